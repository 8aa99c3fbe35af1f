# SPDX-License-Identifier: Apache-2.0
"""PCI functions as sysfs shows them: identity, configuration space, IOMMU groups, and which devices hang on each."""
