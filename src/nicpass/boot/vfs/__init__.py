# SPDX-License-Identifier: Apache-2.0
"""VFs that are there at every boot: what is written for them, and when they are made."""
