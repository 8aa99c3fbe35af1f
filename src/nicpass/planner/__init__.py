# SPDX-License-Identifier: Apache-2.0
"""Floor 3: from what is and what is wanted to a Plan. No I/O, no clock."""
