# SPDX-License-Identifier: Apache-2.0
"""A PF in switchdev mode: which interfaces are its own, and what its driver no longer does for a VF."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import label
from nicpass.checks.preflight import check_nic
from nicpass.model.address import Address
from nicpass.model.errors import BadInputError, ImpossibleError
from nicpass.model.request import AttachRequest
from nicpass.planner.nic.attach import plan_attach
from tests.support.hosts import link, network, nic, ready_host
from tests.support.reports import read_report

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.finding import Finding
    from nicpass.model.host import Host
    from tests.support.trees import Tree

REPORT = "05-switchdev-representors"
PF, VF = "0000:02:00.0", "0000:02:00.2"
NETS = f"/sys/devices/pci0000:02/{PF}/net"


def told(host: Host, subject: str) -> dict[str, Finding]:
    index = HostIndex(host)
    return {finding.code: finding for finding in check_nic(index.functions[Address(subject)], index)}


def card(ports: dict[str, str | None], master: str | None = None) -> Tree:
    """A PF with one VF, whose interfaces have these port names; the second interface is in `master`."""
    names = tuple(ports)
    links = [link(name, master=master if name == names[-1] else None) for name in names]
    return ready_host(
        nic(PF, *names, group=20, totalvfs=7, vfs=(VF,), driver="mlx5_core"),
        nic(VF, "vf0", group=21, pf=PF, driver="mlx5_core"),
        net=network(*links, link("vf0"), link("br0", kind="bridge")),
        files={f"{NETS}/{name}/phys_port_name": f"{port}\n" for name, port in ports.items() if port is not None},
    )


class TestReport:
    def test_the_pf_has_one_interface_of_its_own(self, tmp_path: Path) -> None:
        host = read_report(REPORT, tmp_path)
        pf = HostIndex(host).functions[Address("0000:81:00.0")]
        assert label(pf) == "pf0 (0000:81:00.0)"
        assert pf.netdevs == ("pf0",)
        assert [each.vf_index for each in pf.representors] == list(range(8))
        assert "eth0" not in told(host, "0000:81:00.0")["HAS_UPPER"].sentence

    def test_a_vlan_is_not_planned_for_a_vf(self, tmp_path: Path) -> None:
        host = read_report(REPORT, tmp_path)
        with pytest.raises(ImpossibleError, match="switchdev mode") as caught:
            plan_attach(host, AttachRequest(vm="one-15", nic="0000:81:00.3", vlan=100))
        assert "at eth1" in caught.value.hint

    def test_it_is_said_where_the_vfs_traffic_comes_out(self, tmp_path: Path) -> None:
        host = read_report(REPORT, tmp_path)
        plan = plan_attach(host, AttachRequest(vm="one-15", nic="0000:81:00.3"))
        assert any("comes out at eth1" in note and "in no bridge" in note for note in plan.notes)
        assert (
            "eth0 of its PF pf0 (0000:81:00.0), which is in ovs-system"
            in told(host, "0000:81:00.2")["VF_REPRESENTOR"].sentence
        )


class TestInterfaces:
    @pytest.mark.parametrize(
        ("port", "own"),
        [
            ("pf0vf0", False),
            ("pf0sf88", False),
            ("c1pf0vf3", False),
            ("pf0hpf", False),
            ("p1", True),
            ("p0s1", True),
            ("pf0", True),
            ("1", True),
            ("vf0", True),
            (None, True),
        ],
    )
    def test_by_the_names_of_their_ports(self, port: str | None, own: bool, tmp_path: Path) -> None:
        """A card with two ports on one function, such as ConnectX-3, has two interfaces of its own."""
        host = card({"ethb": "p0", "etha": port}).read(tmp_path)
        pf = HostIndex(host).functions[Address(PF)]
        assert pf.netdevs == (("etha", "ethb") if own else ("ethb",))
        assert [each.netdev for each in pf.representors] == ([] if own else ["etha"])

    def test_what_stands_on_another_end_is_no_use_of_the_pf(self, tmp_path: Path) -> None:
        host = card({"pf0": "p0", "rep0": "pf0vf0"}, master="br0").read(tmp_path)
        assert "HAS_UPPER" not in told(host, PF)
        assert "in br0" in told(host, VF)["VF_REPRESENTOR"].sentence

    def test_a_vlan_is_refused_where_the_other_end_is_not_shown_too(self, tmp_path: Path) -> None:
        host = card({"pf0": "p0", "rep1": "pf0vf1"}).read(tmp_path)
        with pytest.raises(ImpossibleError, match="switchdev mode"):
            plan_attach(host, AttachRequest(vm="guest", nic=VF, vlan=7))
        assert not {"VF_REPRESENTOR", "VF_REPRESENTOR_LOOSE"} & set(told(host, VF))

    def test_in_legacy_mode_a_vlan_is_the_pfs(self, tmp_path: Path) -> None:
        host = card({"pf0": "p0"}).read(tmp_path)
        assert plan_attach(host, AttachRequest(vm="guest", nic=VF, vlan=7)).steps
        with pytest.raises(BadInputError, match="is not a VLAN"):
            plan_attach(host, AttachRequest(vm="guest", nic=VF, vlan=4095))
