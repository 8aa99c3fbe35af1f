# SPDX-License-Identifier: Apache-2.0
"""Changes the rooms of safety, one small change at a time, and sees whether a unit test notices."""
