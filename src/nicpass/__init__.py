# SPDX-License-Identifier: Apache-2.0
"""nicpass hands a physical NIC to a virtual machine, exclusively, and gets it back."""

__version__ = "0.1.0"
