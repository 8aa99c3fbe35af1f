# SPDX-License-Identifier: Apache-2.0
"""Floor 4: carries out plans. Record, act, verify; on failure undo in reverse."""
