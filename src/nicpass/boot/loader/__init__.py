# SPDX-License-Identifier: Apache-2.0
"""Boot loaders, a file each: where nicpass's arguments go among the kernel's, and how an entry is tried once."""
