# SPDX-License-Identifier: Apache-2.0
"""Floor 3: from the host as it is and a request to a Plan. No I/O, no clock."""
