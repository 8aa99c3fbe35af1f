# SPDX-License-Identifier: Apache-2.0
"""Floor 6: parse, call, render, exit. Nothing below prints or exits."""
