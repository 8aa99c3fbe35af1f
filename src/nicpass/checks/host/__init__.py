# SPDX-License-Identifier: Apache-2.0
"""Whether this host can do passthrough at all, and what earlier hands have left on it."""
