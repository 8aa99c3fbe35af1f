# SPDX-License-Identifier: Apache-2.0
"""The command line: its words, its help, and the requests that they make."""
