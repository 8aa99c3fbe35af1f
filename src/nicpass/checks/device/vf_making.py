# SPDX-License-Identifier: Apache-2.0
"""What keeps VFs from being made, or from being of use: the driver, the room for them, the group that they come into.

Source: `sriov_numvfs_store()` in drivers/pci/iov.c answers ENOENT unless the PF has a driver with `sriov_configure`;
`vfio_pci_sriov_configure()` in drivers/vfio/pci/vfio_pci.c does unless `enable_sriov` is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.device.sriov import check_room
from nicpass.checks.lookup.groups import port_in_group
from nicpass.checks.lookup.nics import attribute, kind_of, label, on_vfio
from nicpass.model.fact import known, value_or
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("device.sriov")

_WITHOUT = frozenset({"mlx4_core", "pci-stub", "uio_pci_generic"})
"""Drivers that PFs are found on and that have no `sriov_configure`; one that is not named here may have it."""


def check_vf_making(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Why no VFs can be made, then why they would be no use; VFs that are there can be made."""
    if kind_of(function, index) == "pf":
        yield from _check_driver(function, index)
        yield from check_vf_group(function, index)


def why_no_vfs(function: PciFunction, index: HostIndex) -> tuple[Finding, ...]:
    """The findings by which the kernel must refuse to make VFs, the one that is hardest to mend first."""
    config = function.config
    room = check_room(function, config.sriov) if known(config) and known(config.sriov) else ()
    return (*room, *_check_driver(function, index))


def can_serve(function: PciFunction, index: HostIndex) -> bool:
    """Whether a VF of this PF is worth being advised: it can be made, and does not come into the PF's group."""
    return not why_no_vfs(function, index) and not any(check_vf_group(function, index))


def _check_driver(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    driver, address, shown = function.driver, function.address, attribute(function, "driver")
    if value_or(function.numvfs, 0) or function.virtfns:
        return
    if driver is None:
        yield make_finding("VF_DRIVER_ABSENT", address, ((shown, "absent"),), nic=label(function), address=address)
    elif on_vfio(function) and index.host.platform.vfio_sriov is not True:
        switch = {False: "N", None: "absent"}.get(value_or(index.host.platform.vfio_sriov, None), "unknown")
        source = ("/sys/module/vfio_pci/parameters/enable_sriov", switch)
        yield make_finding("VF_BY_VFIO", address, ((shown, driver), source), nic=label(function), driver=driver)
    elif driver in _WITHOUT:
        mend = _("Give it to a driver that makes VFs: that of its maker, or pci-pf-stub.")
        if driver == "mlx4_core":
            mend = _(
                "In /etc/modprobe.d: options mlx4_core num_vfs=8 probe_vf=0; then load mlx4_core anew, which takes its "
                "interfaces away for a moment, or reboot."
            )
        yield make_finding(
            "VF_DRIVER_CANNOT", address, ((shown, driver),), nic=label(function), driver=driver, mend=mend
        )


def check_vf_group(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """That VFs come into the PF's own group: seen of VFs that are there, else by a bridge above that is in it."""
    group, vfs = function.iommu_group, index.vfs.get(function.address, ())
    port = port_in_group(function, index)
    inside = next((vf for vf in vfs if known(group) and vf.iommu_group == group), None)
    if inside is None and (vfs or port is None):
        return
    found = inside or port
    yield make_finding(
        "VFS_JOIN_GROUP",
        function.address,
        ((f"/sys/kernel/iommu_groups/{group}/devices", found.address if found is not None else "?"),),
        nic=label(function),
        group=group,
        port=label(port) if port is not None else _("a bridge above"),
    )
