# SPDX-License-Identifier: Apache-2.0
"""Completion of a shell's line."""
