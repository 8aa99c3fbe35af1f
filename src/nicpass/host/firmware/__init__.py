# SPDX-License-Identifier: Apache-2.0
"""The firmware's IOMMU tables, decoded: DMAR of Intel, IVRS of AMD."""
