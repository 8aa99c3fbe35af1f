# SPDX-License-Identifier: Apache-2.0
"""Floor 2: the readers, behind one door to files and one to processes."""
