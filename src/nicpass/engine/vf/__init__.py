# SPDX-License-Identifier: Apache-2.0
"""VFs are made, made again, and what their PF's driver cannot."""
