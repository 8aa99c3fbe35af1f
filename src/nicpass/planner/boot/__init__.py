# SPDX-License-Identifier: Apache-2.0
"""A host is made ready at its boot, or no longer."""
