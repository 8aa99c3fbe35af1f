# SPDX-License-Identifier: Apache-2.0
"""The only ways out of the program: files, processes, and the kernel's word that something has changed."""
