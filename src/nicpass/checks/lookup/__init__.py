# SPDX-License-Identifier: Apache-2.0
"""The host turned over once, so that every question of a check is a look-up: functions, NICs, chains of interfaces."""
