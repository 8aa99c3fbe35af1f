# SPDX-License-Identifier: Apache-2.0
"""The kernel's arguments: how the kernel understands them, which of them a host needs, and which are ours."""
