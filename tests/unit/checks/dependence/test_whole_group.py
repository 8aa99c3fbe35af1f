# SPDX-License-Identifier: Apache-2.0
"""A group is judged for the VM that shall have it: which members stand in the way, and which way out is none."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.checks.dependence.quick import check_dependence
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_nic
from nicpass.model.address import Address
from nicpass.model.fact import Unknown, known
from nicpass.model.given import GivenNic
from tests.support.config_space import ISOLATING, PORT, Capabilities
from tests.support.hosts import address, bridge, link, network, nic, pf_with_vfs, ready_host
from tests.support.provoking import AHCI, USB, controller, with_disk
from tests.support.reports import read_report
from tests.support.trees import UUID, Vm, hostdev_xml

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.finding import Finding
    from nicpass.model.host import Host
    from tests.support.trees import Function, Tree

AHCI_AT, XHCI_AT = "0000:00:17.0", "0000:00:14.0"
NIC, SIBLING, PORT_ABOVE = "0000:01:00.0", "0000:01:00.1", "0000:00:01.0"
ETH1, ETH2 = nic(NIC, "eth1", under=PORT_ABOVE), nic(SIBLING, "eth2", under=PORT_ABOVE)
GUEST, OTHER = Vm(name="guest"), Vm(name="other", uuid=UUID.format(2))
HAVING_SIBLING = dataclasses.replace(GUEST, devices=hostdev_xml(SIBLING))
BLIND_PORT = dataclasses.replace(bridge(PORT_ABOVE, group=10), capabilities=PORT._replace(acs=None))
HOST_BRIDGE, ISA_BRIDGE, EVENT_COLLECTOR = 0x060000, 0x060100, 0x080700


def told(host: Host, vm: str | None = None, subject: str = NIC) -> dict[str, Finding]:
    index = HostIndex(host)
    domains = host.domains if known(host.domains) else ()
    domain = next((domain for domain in domains if domain.name == vm), None)
    found = check_nic(index.functions[Address(subject)], index.for_vm(domain))
    return {finding.code: finding for finding in found}


def blocking(found: dict[str, Finding]) -> set[str]:
    return {code for code, finding in found.items() if finding.severity.blocks}


class TestReports:
    def test_an_idle_port_of_the_card_is_not_in_use(self, tmp_path: Path) -> None:
        found = told(read_report("01-whole-card-one-group", tmp_path), "fw")
        assert blocking(found) == {"GROUP_SHARED_BOUND"}
        assert "that nobody uses" in found["GROUP_SHARED_BOUND"].sentence
        way = "Give all of it to this VM (0000:01:00.0, 0000:01:00.1): nicpass attach fw 0000:01:00.0 --with-group"
        assert way in found["GROUP_SHARED_BOUND"].mend

    @pytest.mark.parametrize(
        "report", ["01-whole-card-one-group/tree-first-port-given", "h01-pair-to-one-vm-refused/full"]
    )
    def test_the_other_port_goes_to_the_vm_that_has_the_first(self, report: str, tmp_path: Path) -> None:
        host = read_report(report, tmp_path)
        assert not blocking(told(host, "fw", SIBLING))

    def test_a_host_that_has_both_in_one_vm_is_told_nothing(self, tmp_path: Path) -> None:
        host = read_report("h01-pair-to-one-vm-refused/full", tmp_path)
        # The port that the VM has already, asked for without naming the VM.
        assert blocking(told(host, None, NIC)) == {"OWNED_BY_VM"}

    def test_a_port_without_isolation_is_named_and_no_vf_advised(self, tmp_path: Path) -> None:
        found = told(read_report("02-vf-advice-below-bad-port", tmp_path))
        assert "0000:00:01.0 does not isolate" in found["ACS_MISSING"].sentence
        ways = found["GROUP_SHARED_BOUND"].mend
        assert ways.startswith(
            "(1) Put the card into another slot: behind these root ports there is nothing: 0000:00:1b"
        )
        assert "VF" not in ways

    def test_a_port_in_the_group_leaves_no_way_by_a_vf(self, tmp_path: Path) -> None:
        found = told(read_report("h10-advice-give-a-vf-where-the-root-port-is-in-the-group/full", tmp_path))
        assert found["GROUP_SHARED_BOUND"].mend.startswith("(1) Put the card into another slot, one behind another")

    def test_a_host_bridge_on_a_driver_keeps_the_group(self, tmp_path: Path) -> None:
        report = "h02-host-bridge-with-driver-in-group-is-overlooked/full"
        found = told(read_report(report, tmp_path), "fw", "0000:00:1f.6")
        assert blocking(found) == {"GROUP_SHARED_BOUND"}
        assert "0000:00:00.0 (driver skl_uncore)" in found["GROUP_SHARED_BOUND"].sentence
        assert found["GROUP_SHARED_BOUND"].command == "echo 0000:00:00.0 > /sys/bus/pci/drivers/skl_uncore/unbind"
        assert "slot" not in found["GROUP_SHARED_BOUND"].mend, "it is a part of the chipset"


class TestOneVm:
    """The members that the VM has are no other VM's, and none that keeps it from the rest."""

    def judge(self, tree: Tree, root: Path, vm: str | None) -> set[str]:
        return blocking(told(tree.read(root), vm))

    @pytest.mark.parametrize(
        ("driver", "vms", "vm", "expected"),
        [
            ("ixgbe", (HAVING_SIBLING, OTHER), "guest", set()),
            ("vfio-pci", (HAVING_SIBLING, OTHER), "guest", set()),
            ("ixgbe", (HAVING_SIBLING, OTHER), "other", {"GROUP_SHARED", "GROUP_HAS_OTHER_VM"}),
            ("ixgbe", (HAVING_SIBLING, OTHER), None, {"GROUP_SHARED", "GROUP_HAS_OTHER_VM"}),
            (
                "ixgbe",
                (HAVING_SIBLING, dataclasses.replace(OTHER, devices=hostdev_xml(SIBLING))),
                "guest",
                {"GROUP_SHARED", "GROUP_HAS_OTHER_VM"},
            ),
            ("ixgbe", (GUEST, OTHER), "guest", {"GROUP_SHARED_BOUND"}),
            (None, (GUEST, OTHER), "guest", set()),
        ],
    )
    def test_the_sibling(
        self, driver: str | None, vms: tuple[Vm, ...], vm: str | None, expected: set[str], tmp_path: Path
    ) -> None:
        sibling = nic(SIBLING, *(("eth2",) if driver == "ixgbe" else ()), under=PORT_ABOVE, driver=driver)
        assert self.judge(ready_host(bridge(PORT_ABOVE), ETH1, sibling, vms=vms), tmp_path, vm) == expected

    def test_what_the_host_uses_does_not_come_along(self, tmp_path: Path) -> None:
        """It stands in the VM's definition, and the host has come to use it since."""
        net = network(link("eth1"), link("eth2"), address("eth2", "10.1.2.3/24"))
        tree = ready_host(bridge(PORT_ABOVE), ETH1, ETH2, vms=(HAVING_SIBLING,), net=net)
        assert "GROUP_SHARED" in self.judge(tree, tmp_path, "guest")

    @pytest.mark.parametrize(
        ("vm", "allow", "free"),
        [
            ("guest", {"HAS_ADDRESS"}, True),
            ("guest", set(), False),
            ("guest", {"CARRIES_ROUTE"}, False),
            ("other", {"HAS_ADDRESS"}, False),
        ],
    )
    def test_what_it_was_given_although_the_host_uses_it_does(
        self, vm: str, allow: set[str], free: bool, tmp_path: Path
    ) -> None:
        net = network(link("eth1"), link("eth2"), address("eth2", "10.1.2.3/24"))
        host = ready_host(bridge(PORT_ABOVE), ETH1, ETH2, vms=(HAVING_SIBLING, OTHER), net=net).read(tmp_path)
        given = GivenNic(
            address=Address(SIBLING), uuid=(GUEST if vm == "guest" else OTHER).uuid, allow=frozenset(allow)
        )
        host = msgspec.structs.replace(host, given=(given,))
        assert ("GROUP_SHARED" not in blocking(told(host, "guest"))) is free

    @pytest.mark.parametrize(
        ("driver", "disk", "expected"),
        [("ahci", True, {"GROUP_SHARED"}), ("ahci", False, set()), ("vfio-pci", False, set()), (None, False, set())],
    )
    def test_a_controller_with_a_disk_does_not(
        self, driver: str | None, disk: bool, expected: set[str], tmp_path: Path
    ) -> None:
        """ZFS has no mount by a device's number, nor has a VM's disk: what is on it may be the host's."""
        vm = dataclasses.replace(GUEST, devices=hostdev_xml(AHCI_AT))
        tree = ready_host(nic(NIC, "eth1"), controller(AHCI_AT, AHCI, driver), vms=(vm,))
        if disk:
            tree = with_disk(tree, AHCI_AT)
            tree = tree.but(files={**tree.files, "/proc/self/mountinfo": "22 1 0:40 / / rw - zfs rpool/ROOT rw\n"})
        assert self.judge(tree, tmp_path, "guest") == expected

    def test_a_controller_by_whose_usb_the_host_is_reached_does_not(self, tmp_path: Path) -> None:
        vm = dataclasses.replace(GUEST, devices=hostdev_xml(XHCI_AT))
        tree = ready_host(nic(NIC, "eth1"), controller(XHCI_AT, USB, "xhci_hcd"), vms=(vm,))
        assert self.judge(tree, tmp_path / "a", "guest") == set()
        usb = f"/sys/devices/pci0000:00/{XHCI_AT}/usb1/1-1/1-1:1.0/net/enx1"
        found = told(tree.but(links={**tree.links, "/sys/class/net/enx1": usb}).read(tmp_path / "b"), "guest")
        assert "enx1" in found["GROUP_SHARED"].sentence

    def test_what_could_not_be_read_of_a_controller_is_in_use(self, tmp_path: Path) -> None:
        vm = dataclasses.replace(GUEST, devices=hostdev_xml(AHCI_AT))
        host = ready_host(nic(NIC, "eth1"), controller(AHCI_AT, AHCI, "ahci"), vms=(vm,)).read(tmp_path)
        assert not blocking(told(host, "guest"))
        unread = msgspec.structs.replace(host, class_devices=Unknown("/sys/class: Input/output error"))
        assert "GROUP_SHARED" in blocking(told(unread, "guest"))

    @pytest.mark.parametrize("field", ["class_code", "netdevs", "driver"])
    def test_a_controller_of_which_that_is_unknown_is_in_use(self, field: str, tmp_path: Path) -> None:
        vm = dataclasses.replace(GUEST, devices=hostdev_xml(XHCI_AT))
        host = ready_host(nic(NIC, "eth1"), controller(XHCI_AT, USB, "xhci_hcd"), vms=(vm,)).read(tmp_path)
        unread = {field: Unknown("Input/output error")}
        pci = tuple(msgspec.structs.replace(f, **unread) if f.address == XHCI_AT else f for f in host.pci)
        assert "GROUP_SHARED" in blocking(told(msgspec.structs.replace(host, pci=pci), "guest"))

    def test_one_with_interfaces_and_the_class_of_another_kind_is_in_use(self, tmp_path: Path) -> None:
        vm = dataclasses.replace(GUEST, devices=hostdev_xml(SIBLING))
        accelerator = dataclasses.replace(nic(SIBLING, "eth2"), class_code=0x120000)
        tree = ready_host(nic(NIC, "eth1"), accelerator, vms=(vm,))
        assert "GROUP_SHARED" in self.judge(tree, tmp_path, "guest")

    @pytest.mark.parametrize(("driver", "expected"), [("ixgbe", {"GROUP_SHARED_BOUND"}), ("vfio-pci", set())])
    def test_one_that_libvirt_does_not_take_from_its_driver(
        self, driver: str, expected: set[str], tmp_path: Path
    ) -> None:
        vm = dataclasses.replace(GUEST, devices=hostdev_xml(SIBLING, managed="no"))
        sibling = nic(SIBLING, *(("eth2",) if driver == "ixgbe" else ()), driver=driver)
        assert self.judge(ready_host(nic(NIC, "eth1"), sibling, vms=(vm,)), tmp_path, "guest") == expected

    def test_a_vm_that_has_both_is_not_stopped_at_its_start(self, tmp_path: Path) -> None:
        both = dataclasses.replace(GUEST, devices=hostdev_xml(NIC) + hostdev_xml(SIBLING))
        index = HostIndex(ready_host(bridge(PORT_ABOVE), ETH1, ETH2, vms=(both,)).read(tmp_path))
        domains = index.host.domains
        assert known(domains)
        function = index.functions[Address(NIC)]
        assert [f for f in check_dependence(function, index.for_vm(domains[0])) if f.severity.blocks] == []

    def test_the_one_that_looks_is_not_changed(self, tmp_path: Path) -> None:
        index = HostIndex(ready_host(bridge(PORT_ABOVE), ETH1, ETH2).read(tmp_path))
        domains = index.host.domains
        assert known(domains)
        assert index.for_vm(domains[0]).taker == domains[0]
        assert index.taker is None


class TestIdle:
    """Not merely without a driver: nobody uses it, and nobody is about to."""

    @pytest.mark.parametrize(
        ("items", "code"),
        [
            ((), "GROUP_SHARED_BOUND"),
            ((address("eth2", "10.1.2.3/24"),), "GROUP_SHARED"),
            ((link("br0", kind="bridge"),), "GROUP_SHARED"),
        ],
    )
    def test_what_stands_on_the_sibling_counts(self, items: tuple[object, ...], code: str, tmp_path: Path) -> None:
        second = link("eth2", master="br0" if items and "br0" in str(items) else None)
        net = network(link("eth1"), second, *items)  # type: ignore[arg-type]
        assert blocking(told(ready_host(bridge(PORT_ABOVE), ETH1, ETH2, net=net).read(tmp_path))) == {code}

    def test_what_a_manager_means_to_do_with_it_counts(self, tmp_path: Path) -> None:
        files = {"/etc/network/interfaces": "auto eth2\niface eth2 inet dhcp\n"}
        found = told(ready_host(bridge(PORT_ABOVE), ETH1, ETH2, files=files).read(tmp_path))
        assert blocking(found) == {"GROUP_SHARED"}

    def test_the_group_whole_is_no_way_out_of_what_is_used(self, tmp_path: Path) -> None:
        net = network(link("eth1"), link("eth2"), address("eth2", "10.1.2.3/24"))
        found = told(ready_host(bridge(PORT_ABOVE), ETH1, ETH2, net=net).read(tmp_path))
        assert "Give all of it" not in found["GROUP_SHARED"].mend

    def test_each_member_is_asked_once(self, tmp_path: Path) -> None:
        """A group of hundreds must not take hundreds times hundreds of looks."""
        pf, *vfs = pf_with_vfs(NIC, "eth1", 8)
        index = HostIndex(ready_host(pf, *(dataclasses.replace(vf, group=20) for vf in vfs)).read(tmp_path))
        for vf in vfs:
            check_nic(index.functions[Address(vf.address)], index)
        assert set(index.idle) == {Address(function.address) for function in (pf, *vfs)}


class TestBridges:
    """Which bridge may keep its driver: by its header up to Linux 5.18, by its driver since."""

    @pytest.mark.parametrize(
        ("kernel", "member", "free"),
        [
            ("6.1.0-28-amd64", bridge(PORT_ABOVE, group=10), True),
            ("5.10.0-30-amd64", bridge(PORT_ABOVE, group=10), True),
            ("6.1.0-28-amd64", dataclasses.replace(bridge(PORT_ABOVE, group=10), driver=None), True),
            ("6.1.0-28-amd64", dataclasses.replace(bridge(PORT_ABOVE, group=10), driver="shpchp"), False),
            ("5.10.0-30-amd64", dataclasses.replace(bridge(PORT_ABOVE, group=10), driver="shpchp"), True),
            ("6.1.0-28-amd64", controller("0000:00:00.0", HOST_BRIDGE, "skl_uncore"), False),
            ("5.10.0-30-amd64", controller("0000:00:00.0", HOST_BRIDGE, "skl_uncore"), False),
            ("6.1.0-28-amd64", controller("0000:00:18.3", HOST_BRIDGE, "k10temp"), False),
            ("6.1.0-28-amd64", controller("0000:00:1f.0", ISA_BRIDGE, "lpc_ich"), False),
            ("6.1.0-28-amd64", controller("0000:00:1f.0", ISA_BRIDGE, None), True),
            ("6.1.0-28-amd64", controller("0000:00:1f.0", ISA_BRIDGE, "pci-stub"), True),
            ("6.1.0-28-amd64", controller("0000:00:1b.4", EVENT_COLLECTOR, "pcieport"), True),
            ("5.10.0-30-amd64", controller("0000:00:1b.4", EVENT_COLLECTOR, "pcieport"), False),
        ],
    )
    def test_a_bridge_in_the_group(self, kernel: str, member: Function, free: bool, tmp_path: Path) -> None:
        found = told(ready_host(nic(NIC, "eth1"), member, kernel=kernel).read(tmp_path))
        assert (not blocking(found)) is free
        assert any(code.startswith("GROUP") for code in found) is not free

    def test_the_line_that_frees_it_is_given_only_where_it_frees_the_group(self, tmp_path: Path) -> None:
        isa = controller("0000:00:1f.0", ISA_BRIDGE, "lpc_ich")
        alone = told(ready_host(nic(NIC, "eth1"), isa).read(tmp_path / "a"))["GROUP_SHARED_BOUND"]
        assert alone.command == "echo 0000:00:1f.0 > /sys/bus/pci/drivers/lpc_ich/unbind"
        both = told(ready_host(nic(NIC, "eth1"), isa, nic(SIBLING, "eth2")).read(tmp_path / "b"))
        assert both["GROUP_SHARED_BOUND"].command == ""

    def test_the_audit_sees_a_bridge_that_the_host_drives(self, tmp_path: Path) -> None:
        from nicpass.checks.security import check_groups

        given = dataclasses.replace(GUEST, devices=hostdev_xml(NIC))
        tree = ready_host(nic(NIC, driver="vfio-pci"), controller("0000:00:00.0", HOST_BRIDGE, "skl_uncore"))
        found = check_groups(HostIndex(tree.but(vms=(given,)).read(tmp_path)))
        assert [finding.code for finding in found] == ["GROUP_OF_VM_AND_HOST"]


class TestWays:
    def test_a_port_in_the_group_of_a_lonely_card_is_named(self, tmp_path: Path) -> None:
        found = told(ready_host(BLIND_PORT, ETH1, ETH2).read(tmp_path))
        assert f"{PORT_ABOVE} does not isolate" in found["ACS_MISSING"].sentence
        assert "another slot" in found["ACS_MISSING"].mend.lower()

    def test_a_card_that_does_not_isolate_itself_is_not_sent_to_another_slot(self, tmp_path: Path) -> None:
        peers = Capabilities(multifunction=True)
        card = [
            nic(a, n, under=PORT_ABOVE, device_id=0x1572, capabilities=peers)
            for a, n in ((NIC, "eth1"), (SIBLING, "eth2"))
        ]
        found = told(ready_host(bridge(PORT_ABOVE), *card).read(tmp_path))
        assert "slot" not in found["GROUP_SHARED_BOUND"].mend
        assert "firmware" not in found["GROUP_SHARED_BOUND"].mend
        way = f"(1) Give all of it to one VM ({NIC}, {SIBLING}): nicpass attach VM {NIC} --with-group"
        assert found["GROUP_SHARED_BOUND"].mend == way
        assert "in another slot this one is no better" in found["ACS_MISSING"].mend

    def test_a_port_whose_isolation_is_on_is_no_culprit(self, tmp_path: Path) -> None:
        port = dataclasses.replace(BLIND_PORT, capabilities=PORT._replace(acs=(ISOLATING, ISOLATING)))
        assert "ACS_MISSING" not in told(ready_host(port, ETH1, ETH2).read(tmp_path))
