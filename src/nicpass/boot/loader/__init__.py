# SPDX-License-Identifier: Apache-2.0
"""Boot loaders, a file each: where ours go among the kernel's arguments, and how an entry is tried once."""
