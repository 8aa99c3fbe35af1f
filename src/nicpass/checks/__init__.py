# SPDX-License-Identifier: Apache-2.0
"""Floor 3: from a Host to Findings, one file a subject. No I/O, no clock."""
