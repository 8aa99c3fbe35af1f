# SPDX-License-Identifier: Apache-2.0
"""Commands about changes that were made, and those that were cut off."""
