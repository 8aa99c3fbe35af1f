# SPDX-License-Identifier: Apache-2.0
"""The same MAC twice in one VLAN of one PF is refused, and found where it is so already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_nic
from nicpass.checks.security import check_security
from nicpass.model.address import Address, derive_vf_mac
from nicpass.model.errors import RefusedError
from nicpass.model.finding import Severity
from nicpass.model.network import NO_MAC, VfSettings
from nicpass.model.request import AttachRequest
from nicpass.planner.nic.attach import plan_attach
from tests.support.hosts import link, network, pf_with_vfs, ready_host
from tests.support.trees import UUID, Tree, Vm, vf_interface_xml

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.network import Link
    from nicpass.model.plan import Plan

PF, VF0, VF1 = "0000:01:00.0", "0000:01:02.0", "0000:01:02.1"
OTHER_PF, OTHER_VF = "0000:02:00.0", "0000:02:02.0"
MAC, PF_MAC = "52:54:00:00:00:07", "00:1b:21:00:00:01"


def host(
    *links: Link, mac: str = MAC, vlan: int | None = None, vfs: tuple[VfSettings, ...] = (), vf: str = VF0
) -> Tree:
    """A host with two PFs; the VM db has a VF with this MAC and VLAN already."""
    taken = Vm(name="db", uuid=UUID.format(2), devices=vf_interface_xml(vf, mac, vlan))
    vf_links = (link(name, mac=NO_MAC) for name in ("eth1v0", "eth1v1", "eth2v0"))
    own = link("eth1", mac=PF_MAC, permanent_mac=PF_MAC, vfs=vfs)
    return ready_host(
        *pf_with_vfs(PF, "eth1", 2),
        *pf_with_vfs(OTHER_PF, "eth2", 1, group=40),
        net=network(own, link("eth2", mac="00:1b:21:00:00:02"), *vf_links, *links),
        vms=(Vm(name="guest"), taken),
    )


def attach(tree: Tree, root: Path, nic: str = VF1, mac: str | None = MAC, vlan: int | None = None) -> Plan:
    return plan_attach(tree.read(root), AttachRequest(vm="guest", nic=nic, mac=mac, vlan=vlan))


class TestAttach:
    """Who asks for what somebody has."""

    @pytest.mark.parametrize("vlan", [None, 20])
    def test_the_mac_of_another_vf(self, vlan: int | None, tmp_path: Path) -> None:
        with pytest.raises(RefusedError, match=r"is that of .* in the VM db already") as caught:
            attach(host(vlan=vlan), tmp_path, mac=MAC.upper().replace(":", "-"), vlan=vlan)
        assert "--mac" in caught.value.hint

    @pytest.mark.parametrize(("theirs", "ours"), [(None, 20), (20, None), (20, 30)])
    def test_in_another_vlan_it_may_be(self, theirs: int | None, ours: int | None, tmp_path: Path) -> None:
        assert attach(host(vlan=theirs), tmp_path, vlan=ours).steps

    def test_on_another_pf_it_may_be(self, tmp_path: Path) -> None:
        assert attach(host(), tmp_path, nic=OTHER_VF).steps

    def test_the_mac_of_the_pf(self, tmp_path: Path) -> None:
        with pytest.raises(RefusedError, match="the host's own eth1"):
            attach(host(), tmp_path, mac=PF_MAC)
        assert attach(host(), tmp_path / "again", mac=PF_MAC, vlan=20).steps

    def test_the_mac_of_the_hosts_own_vlan(self, tmp_path: Path) -> None:
        upper = link("eth1.20", mac=PF_MAC, kind="vlan", lower="eth1", vlan_id=20)
        with pytest.raises(RefusedError, match=r"the host's own eth1\.20"):
            attach(host(upper), tmp_path, mac=PF_MAC, vlan=20)

    def test_what_the_pf_enforces_on_a_vf_of_no_vm(self, tmp_path: Path) -> None:
        vfs = (VfSettings(vf_index=0, mac="52:54:00:00:00:09"),)
        with pytest.raises(RefusedError, match="eth1v0"):
            attach(host(vfs=vfs, vf=OTHER_VF), tmp_path, mac="52:54:00:00:00:09")

    def test_one_that_nobody_asked_for_by_name(self, tmp_path: Path) -> None:
        """The MAC that is derived from the PF's is somebody's, who was given it by hand."""
        with pytest.raises(RefusedError, match="in the VM db already"):
            attach(host(mac=derive_vf_mac(PF_MAC, 1)), tmp_path, mac=None)

    def test_who_has_it_already_keeps_it(self, tmp_path: Path) -> None:
        plan = plan_attach(host().read(tmp_path), AttachRequest(vm="db", nic=VF0, start=True))
        assert plan.steps


class TestFinding:
    """Where it is so already."""

    @staticmethod
    def both(second_vlan: int | None = 20) -> Tree:
        guest = Vm(name="guest", devices=vf_interface_xml(VF1, MAC, second_vlan))
        taken = Vm(name="db", uuid=UUID.format(2), devices=vf_interface_xml(VF0, MAC, 20))
        return host().but(vms=(guest, taken))

    def test_the_check_tells_it_of_each(self, tmp_path: Path) -> None:
        index = HostIndex(self.both().read(tmp_path))
        for vf, other in ((VF0, "guest"), (VF1, "db")):
            found = [f for f in check_nic(index.functions[Address(vf)], index) if f.code == "VF_MAC_TWICE"]
            assert len(found) == 1
            assert f"in the VM {other}" in found[0].sentence
            assert "VLAN 20" in found[0].sentence
            assert "--vlan 20" in found[0].command
            assert MAC not in found[0].command

    def test_the_audit_does_not_pass(self, tmp_path: Path) -> None:
        found = [f for f in check_security(self.both().read(tmp_path)) if f.code == "VF_MAC_TWICE"]
        assert {finding.severity for finding in found} == {Severity.UNSAFE}

    def test_in_two_vlans_it_is_none(self, tmp_path: Path) -> None:
        index = HostIndex(self.both(30).read(tmp_path))
        codes = {f.code for f in check_nic(index.functions[Address(VF0)], index)}
        assert "VF_MAC_TWICE" not in codes
