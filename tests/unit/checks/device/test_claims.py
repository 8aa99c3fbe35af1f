# SPDX-License-Identifier: Apache-2.0
"""What another manager of devices has for its own is refused (law 5), and what it only could have is not."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_nic
from nicpass.host.doors.files import Files
from nicpass.host.system.claims import parse_devices, read_claims
from nicpass.model.activity import Activity, ForeignNetdev, Holder
from nicpass.model.address import Address
from nicpass.model.errors import RefusedError
from nicpass.model.finding import Severity
from nicpass.model.request import AttachRequest, VfRequest
from nicpass.planner.nic.attach import plan_attach
from nicpass.planner.vf.count import plan_vf
from tests.support.hosts import VM, nic, ready_host
from tests.support.provoking import LEFTOVERS
from tests.support.trees import Function, Tree

NIC, OTHER, VF = Address("0000:01:00.0"), Address("0000:02:00.0"), Address("0000:02:10.0")
CONFIG = "/etc/pve/qemu-server/100.conf"
MAPPINGS = "/etc/pve/mapping/pci.cfg"
CODES = {
    *("CLAIMED_BY_DRIVERCTL", "CLAIMED_BY_PROXMOX", "CLAIMED_BY_OPERATOR", "DRIVERCTL_OVERRIDE"),
    *("HELD_BY_PROCESS", "NETDEV_ELSEWHERE"),
}


def claimed(tree: Tree, root: Path) -> dict[str, list[str]]:
    """Each NIC with the codes by which it is another's."""
    host = tree.read(root)
    index = HostIndex(host)
    return {
        function.address: [each.code for each in check_nic(function, index) if each.code in CODES]
        for function in host.pci
        if function.class_code == nic(NIC).class_code
    }


def two_nics(files: dict[str, str], links: dict[str, str] | None = None) -> Tree:
    return ready_host(nic(NIC, "eth1"), nic(OTHER, "eth2", group=11), files=files, links=links or {})


class TestProxmox:
    """VMs of this node, and mappings that they name."""

    @pytest.mark.parametrize(
        "line",
        [
            "hostpci0: 0000:01:00.0,pcie=1",
            "hostpci3: 01:00.0",
            "hostpci0: host=01:00,x-vga=1",
            "hostpci0: 0000:01:00",
            "hostpci15: 0000:07:10.0;0000:01:00.0,rombar=0",
        ],
    )
    def test_a_vm_that_has_it(self, line: str, tmp_path: Path) -> None:
        found = claimed(two_nics({CONFIG: f"cores: 2\n{line}\nmemory: 2048\n"}), tmp_path)
        assert found == {NIC: ["CLAIMED_BY_PROXMOX"], OTHER: []}

    @pytest.mark.parametrize(
        ("path", "text"),
        [
            (CONFIG, "cores: 2\n[snapshot]\nhostpci0: 0000:01:00.0\n"),
            (CONFIG, "#hostpci0: 0000:01:00.0\ndescription: hostpci0\n"),
            (CONFIG, "hostpci0: mapping=gpu\n"),
            (CONFIG, "hostpci0: 0000:01:00.1\nhostpci1: what,ever=\nhostpci2:\n"),
            ("/etc/pve/qemu-server/notes.txt", "hostpci0: 0000:01:00.0\n"),
        ],
    )
    def test_what_names_no_device_of_now_claims_none(self, path: str, text: str, tmp_path: Path) -> None:
        assert claimed(two_nics({path: text}), tmp_path) == {NIC: [], OTHER: []}

    def test_a_mapping_of_this_node_and_not_of_another(self, tmp_path: Path) -> None:
        text = (
            "uplink\n\tdescription for VMs\n"
            "\tmap id=8086:10fb,iommugroup=10,node=pve1,path=0000:01:00.0,subsystem-id=8086:0003\n"
            "\tmap id=8086:10fb,iommugroup=11,node=pve2,path=0000:02:00.0\n\tmap\n"
        )
        tree = two_nics({MAPPINGS: text}, links={"/etc/pve/local": "/etc/pve/nodes/pve1"})
        assert claimed(tree, tmp_path) == {NIC: ["CLAIMED_BY_PROXMOX"], OTHER: []}

    def test_without_a_node_of_its_own_every_nodes_counts(self, tmp_path: Path) -> None:
        tree = two_nics({MAPPINGS: "uplink\n\tmap node=pve2,path=0000:02:00,id=8086:10fb\n"})
        assert claimed(tree, tmp_path) == {NIC: [], OTHER: ["CLAIMED_BY_PROXMOX"]}

    def test_the_command_takes_it_out_of_that_vm(self, tmp_path: Path) -> None:
        host = two_nics({CONFIG: "hostpci2: 01:00.0\n"}).read(tmp_path)
        found = next(f for f in check_nic(host.pci[0], HostIndex(host)) if f.code == "CLAIMED_BY_PROXMOX")
        assert found.command == "qm set 100 --delete hostpci2"
        assert CONFIG in found.sentence

    @given(st.text())
    def test_no_line_is_too_strange(self, text: str) -> None:
        assert all(":" in device for device in parse_devices(text))


class TestOperator:
    """PFs that the SR-IOV operator has configured, and their VFs."""

    @pytest.mark.parametrize(
        ("content", "codes"),
        [
            ('{"pciAddress":"0000:02:00.0","numVfs":1,"mtu":1500,"name":"eth2","vfGroups":[]}', True),
            ('{"pciAddress":"0000:02:00.0","name":"eth2"}', False),
            ("{", True),
            ("", True),
            ('{"numVfs":"many"}', True),
        ],
    )
    def test_the_pf_and_its_vfs(self, content: str, codes: bool, tmp_path: Path) -> None:
        functions = (
            nic(NIC, "eth1"),
            nic(OTHER, "eth2", group=11, totalvfs=8, vfs=(VF,)),
            nic(VF, "eth3", group=12, pf=OTHER),
        )
        files = {f"/etc/sriov-operator/pci/{OTHER}": content, "/etc/sriov-operator/pci/odd": content}
        found = claimed(ready_host(*functions, files=files), tmp_path)
        expected = ["CLAIMED_BY_OPERATOR"] if codes else []
        assert found == {NIC: [], OTHER: expected, VF: expected}


class TestDriverctl:
    """Left to it where it has the NIC on VFIO already, refused where the two would fight."""

    @pytest.mark.parametrize(
        ("function", "override", "code"),
        [
            (nic(NIC, driver="vfio-pci", driver_override="vfio-pci"), "vfio-pci", "DRIVERCTL_OVERRIDE"),
            (nic(NIC, "eth1"), "vfio-pci", "CLAIMED_BY_DRIVERCTL"),
            (nic(NIC, "eth1", driver_override="ixgbe"), "ixgbe", "CLAIMED_BY_DRIVERCTL"),
            (nic(NIC, driver="vfio-pci"), "vfio-pci", "CLAIMED_BY_DRIVERCTL"),
            (nic(NIC, driver="vfio-pci", driver_override="vfio-pci"), "uio_pci_generic", "CLAIMED_BY_DRIVERCTL"),
            (nic(NIC, driver="uio_pci_generic", driver_override="uio_pci_generic"), "", "CLAIMED_BY_DRIVERCTL"),
        ],
    )
    def test_in_force_or_not(self, function: Function, override: str, code: str, tmp_path: Path) -> None:
        tree = ready_host(function, files={f"/etc/driverctl.d/pci-{NIC}": f"{override}\n"})
        assert claimed(tree, tmp_path)[NIC] == [code]

    def test_what_it_binds_to_vfio_goes_without_a_second_binding(self, tmp_path: Path) -> None:
        host = LEFTOVERS["DRIVERCTL_OVERRIDE"].read(tmp_path)
        plan = plan_attach(host, AttachRequest(vm=VM.name, nic=NIC))
        assert [step.device.managed for step in plan.steps if hasattr(step, "device")] == [False]


class TestInstances:
    """Incus and LXD: a running instance is seen by what it holds."""

    def test_a_vm_holds_the_group(self, tmp_path: Path) -> None:
        holder = Holder(process=4711, program="qemu-system-x86", node="/dev/vfio/10")
        tree = ready_host(nic(NIC, driver="vfio-pci", group=10))
        host = tree.read(tmp_path)
        host = type(host)(pci=host.pci, network=host.network, activity=Activity(holders=(holder,)))
        codes = {each.code: each.severity for each in check_nic(host.pci[0], HostIndex(host))}
        assert codes["HELD_BY_PROCESS"] is Severity.UNSAFE

    def test_a_container_has_the_interface_in_its_namespace(self, tmp_path: Path) -> None:
        host = ready_host(nic(NIC)).read(tmp_path)
        there = ForeignNetdev(address=NIC, netdev="eth0", namespace="/proc/4711/ns/net", program="systemd")
        host = type(host)(pci=host.pci, network=host.network, activity=Activity(foreign_netdevs=(there,)))
        codes = {each.code: each.severity for each in check_nic(host.pci[0], HostIndex(host))}
        assert codes["NETDEV_ELSEWHERE"] is Severity.UNSAFE


@pytest.mark.parametrize("code", ["CLAIMED_BY_DRIVERCTL", "CLAIMED_BY_PROXMOX", "CLAIMED_BY_OPERATOR"])
def test_attach_refuses_it(code: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        plan_attach(LEFTOVERS[code].read(tmp_path), AttachRequest(vm=VM.name, nic=NIC))
    assert [finding.code for finding in caught.value.findings] == [code]


@pytest.mark.parametrize(
    ("path", "content", "refused"),
    [
        (f"/etc/sriov-operator/pci/{NIC}", '{"numVfs":2}', True),
        (CONFIG, f"hostpci0: {NIC}\n", True),
        (f"/etc/driverctl.d/pci-{NIC}", "ixgbe\n", False),
    ],
)
def test_the_vfs_of_another_managers_pf_are_its_own(path: str, content: str, refused: bool, tmp_path: Path) -> None:
    host = ready_host(nic(NIC, "eth1", totalvfs=8), files={path: content}).read(tmp_path)
    with pytest.raises(RefusedError) if refused else contextlib.nullcontext():
        assert plan_vf(host, VfRequest(pf=NIC, count=4)).steps


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    for name in (CONFIG, MAPPINGS, f"/etc/sriov-operator/pci/{NIC}"):
        (tmp_path / name[1:]).mkdir(parents=True)
    unread: list[str] = []
    claims = read_claims(Files(str(tmp_path)), unread)
    assert [claim.device for claim in claims] == [NIC], "a record that cannot be read claims its PF"
    assert len(unread) == 3
