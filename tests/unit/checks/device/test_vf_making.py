# SPDX-License-Identifier: Apache-2.0
"""What the kernel must refuse is not offered: VFs without a driver that makes them, without room, or of no use."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_nic
from nicpass.model.address import Address
from nicpass.model.errors import ImpossibleError
from nicpass.model.request import VfRequest
from nicpass.planner.vf.count import plan_vf
from tests.support.config_space import PORT, Sriov
from tests.support.hosts import bridge, link, network, nic, pf_with_vfs, ready_host
from tests.support.reports import read_report

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.finding import Finding
    from nicpass.model.host import Host

NIC, PORT_ABOVE = "0000:01:00.0", "0000:00:01.0"
ENABLE_SRIOV = "/sys/module/vfio_pci/parameters/enable_sriov"
BLIND_PORT = dataclasses.replace(bridge(PORT_ABOVE, group=10), capabilities=PORT._replace(acs=None))
NO_ROOM = {"sriov": Sriov(63, 0, 16, 1, 0x10ED, vf_bar_address=0), "vf_bar": (0, 0x10000, 0x2014220C)}


def pf(*netdevs: str, **more: Any) -> Any:
    return nic(NIC, *netdevs, under=PORT_ABOVE, totalvfs=63, **more)


def told(host: Host, subject: str = NIC) -> dict[str, Finding]:
    index = HostIndex(host)
    return {finding.code: finding for finding in check_nic(index.functions[Address(subject)], index)}


def refusal(host: Host, subject: str = NIC, count: int = 2) -> tuple[str, str]:
    with pytest.raises(ImpossibleError) as caught:
        plan_vf(host, VfRequest(pf=subject, count=count))
    return str(caught.value), caught.value.hint


class TestReports:
    @pytest.mark.parametrize(
        ("report", "subject", "sentence", "hint"),
        [
            ("06-vf-create-cannot-work/tree-mlx4", "0000:03:00.0", "mlx4_core", "options mlx4_core num_vfs="),
            ("06-vf-create-cannot-work/tree-no-driver", "0000:14:00.1", "has no driver", "Bind it to its driver"),
            ("06-vf-create-cannot-work/tree-on-vfio", "0000:04:00.0", "enable_sriov", "its own driver first"),
            ("h16-vf-create-does-not-heed-vf-bar-unassigned", "0000:3b:00.1", "There is no room in memory", "4G"),
        ],
    )
    def test_vfs_that_cannot_be_are_not_planned(
        self, report: str, subject: str, sentence: str, hint: str, tmp_path: Path
    ) -> None:
        host = read_report(report, tmp_path)
        told_sentence, told_hint = refusal(host, subject, 1)
        assert sentence in told_sentence
        assert hint in told_hint
        assert "VF_PREFERRED" not in told(host, subject)

    @pytest.mark.parametrize(
        "report",
        ["02-vf-advice-below-bad-port", "h10-advice-give-a-vf-where-the-root-port-is-in-the-group/full"],
    )
    def test_where_the_vfs_come_into_the_pfs_group_that_is_said(self, report: str, tmp_path: Path) -> None:
        host = read_report(report, tmp_path)
        plan = plan_vf(host, VfRequest(pf=NIC, count=1))
        assert any("come into its own IOMMU group 1, for 0000:00:01.0 does not isolate" in note for note in plan.notes)
        assert "VF_PREFERRED" not in told(host)
        assert "VFS_JOIN_GROUP" in told(host)


class TestDriver:
    @pytest.mark.parametrize(
        ("driver", "code"),
        [
            ("ixgbe", None),
            ("a_driver_of_tomorrow", None),
            (None, "VF_DRIVER_ABSENT"),
            ("vfio-pci", "VF_BY_VFIO"),
            ("mlx4_core", "VF_DRIVER_CANNOT"),
            ("pci-stub", "VF_DRIVER_CANNOT"),
            ("uio_pci_generic", "VF_DRIVER_CANNOT"),
        ],
    )
    def test_by_the_driver(self, driver: str | None, code: str | None, tmp_path: Path) -> None:
        host = ready_host(bridge(PORT_ABOVE), pf(*(("eth1",) if driver else ()), driver=driver)).read(tmp_path)
        codes = {"VF_DRIVER_ABSENT", "VF_BY_VFIO", "VF_DRIVER_CANNOT"} & set(told(host))
        assert codes == ({code} if code else set())
        assert ("VF_PREFERRED" in told(host)) is (code is None)
        if code is None:
            assert len(plan_vf(host, VfRequest(pf=NIC, count=2)).steps) == 1
        else:
            refusal(host)

    @pytest.mark.parametrize(("switch", "makes"), [("Y\n", True), ("N\n", False), (None, False)])
    def test_vfio_makes_them_by_its_option(self, switch: str | None, makes: bool, tmp_path: Path) -> None:
        files = {ENABLE_SRIOV: switch} if switch is not None else {}
        host = ready_host(bridge(PORT_ABOVE), pf(driver="vfio-pci"), files=files).read(tmp_path)
        if not makes:
            assert "enable_sriov" in refusal(host)[0]
            return
        assert plan_vf(host, VfRequest(pf=NIC, count=2)).notes == (f"Whoever has {NIC} by vfio-pci rules its VFs.",)

    def test_vfs_that_are_there_can_be_made(self, tmp_path: Path) -> None:
        """A PF on vfio-pci that has VFs already: what it cannot do is no matter by now."""
        made = pf_with_vfs(NIC, "eth1", 2)
        made = (dataclasses.replace(made[0], driver="vfio-pci", netdevs=()), *made[1:])
        assert "VF_BY_VFIO" not in told(ready_host(*made).read(tmp_path))

    def test_removing_them_is_never_kept_back_by_that(self, tmp_path: Path) -> None:
        first, *vfs = pf_with_vfs(NIC, "eth1", 2)
        tree = ready_host(dataclasses.replace(first, driver="mlx4_core"), *vfs)
        assert len(plan_vf(tree.read(tmp_path), VfRequest(pf=NIC, count=0)).steps) == 1


class TestRoom:
    def test_none_in_memory(self, tmp_path: Path) -> None:
        host = ready_host(bridge(PORT_ABOVE), pf("eth1", **NO_ROOM)).read(tmp_path)
        assert "There is no room in memory" in refusal(host)[0]
        assert "VF_PREFERRED" not in told(host)

    @pytest.mark.parametrize(("count", "told_of"), [(1, False), (63, True)])
    def test_bus_numbers_are_counted_for_what_is_asked(self, count: int, told_of: bool, tmp_path: Path) -> None:
        host = ready_host(bridge(PORT_ABOVE), pf("eth1", sriov=Sriov(63, 0, 128, 4, 0x10ED))).read(tmp_path)
        notes = plan_vf(host, VfRequest(pf=NIC, count=count)).notes
        assert any("would lie on bus" in note for note in notes) is told_of


class TestGroup:
    def test_a_port_in_the_group_is_named_also_of_a_lonely_card(self, tmp_path: Path) -> None:
        host = ready_host(BLIND_PORT, pf("eth1")).read(tmp_path)
        assert f"for {PORT_ABOVE} does not isolate" in told(host)["VFS_JOIN_GROUP"].sentence
        assert "VF_PREFERRED" not in told(host)

    def test_vfs_that_are_there_tell_for_certain(self, tmp_path: Path) -> None:
        """Below a port in the group, and yet in groups of their own: the kernel has the last word."""
        first, *vfs = pf_with_vfs(NIC, "eth1", 2, group=10, under=PORT_ABOVE)
        apart = ready_host(BLIND_PORT, first, *vfs).read(tmp_path / "a")
        assert "VFS_JOIN_GROUP" not in told(apart)
        assert told(apart)["PF_HAS_VFS"].mend == "Give away one of its VFs instead, or remove them."
        joined = ready_host(BLIND_PORT, first, *(dataclasses.replace(vf, group=10) for vf in vfs))
        found = told(joined.read(tmp_path / "b"))
        assert "VFS_JOIN_GROUP" in found
        assert "VF_PREFERRED" not in found
        assert "instead" not in found["PF_HAS_VFS"].mend

    def test_a_port_with_a_group_of_its_own_is_nothing_to_tell(self, tmp_path: Path) -> None:
        net = network(link("eth1"))
        assert "VFS_JOIN_GROUP" not in told(ready_host(bridge(PORT_ABOVE), pf("eth1"), net=net).read(tmp_path))
