# SPDX-License-Identifier: Apache-2.0
"""The machine and its kernel: processor, memory, modules, mounts, and who else has a hand in its devices."""
