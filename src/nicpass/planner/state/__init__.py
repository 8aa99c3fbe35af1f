# SPDX-License-Identifier: Apache-2.0
"""A host described in one file: the file read, the difference to the host, and what is asked for to end it."""
