# SPDX-License-Identifier: Apache-2.0
"""Laws 2 and 3: by which ways the host depends on a NIC, and on every member of its IOMMU group."""
