# SPDX-License-Identifier: Apache-2.0
"""Commands about how the host boots."""
