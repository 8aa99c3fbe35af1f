# SPDX-License-Identifier: Apache-2.0
"""IOMMU groups: what the kernel says of a group as such. Its members are known from the functions."""

from __future__ import annotations

import msgspec

from nicpass.model.fact import Fact
from nicpass.model.firmware import Hex


class ReservedRegion(msgspec.Struct, frozen=True, array_like=True):
    """Addresses that DMA of the group must not be given, or must keep: `[start, end, type]`; `end` is the last byte.

    Types (Documentation/ABI/testing/sysfs-kernel-iommu_groups): `direct` must stay mapped one to one at all times,
    `direct-relaxable` only until a VM has the device, `reserved` and `msi` are not for mapping.
    """

    start: Hex
    end: Hex
    type: str


class IommuGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One folder of /sys/kernel/iommu_groups."""

    number: int
    type: Fact[str] = None
    """The kind of domain that confines the host's own DMA: `DMA`, `DMA-FQ`, `identity` (not confined), ..."""
    reserved_regions: Fact[tuple[ReservedRegion, ...]] = None
