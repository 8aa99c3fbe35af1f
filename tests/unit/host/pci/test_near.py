# SPDX-License-Identifier: Apache-2.0
"""An attach that is planned from what is near the NIC is the one that is planned from the whole host."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.checks.lookup.nics import list_nics
from nicpass.host.doors.files import Files
from nicpass.host.read import read_host
from nicpass.hypervisor.libvirt.domains import read_machines
from nicpass.model.errors import NicpassError
from nicpass.model.host import Host
from nicpass.model.plan import Plan
from nicpass.model.request import AttachRequest
from nicpass.planner.nic.attach import plan_attach
from nicpass.planner.refuse import OVERRIDABLE
from tests.support.dependence import DEPENDENT
from tests.support.hosts import bridge, generated_host, link, network, nic, nvme, pf_with_vfs, ready_host
from tests.support.provoking import HAVING
from tests.support.trees import Function, Tree, Vm, hostdev_xml, mac_of


def read(root: Path, nic: str | None = None) -> Host:
    files = Files(str(root))
    machines = read_machines(files)
    return read_host(files, machines.domains, nic=nic, networks=machines.networks)


def plan(host: Host, name: str) -> Plan | None:
    """None where it is refused; all that can be allowed is, so that there are many to compare."""
    try:
        return plan_attach(host, AttachRequest(vm="guest", nic=name, start=True, allow=OVERRIDABLE))
    except NicpassError:
        return None


def compare(root: Path) -> int:
    """Plan for each NIC both ways; how many times less than the whole host was read, and that was enough."""
    whole, enough = read(root), 0
    for function in list_nics(whole):
        names = function.netdevs if isinstance(function.netdevs, tuple) else ()
        for name in (function.address, *names):
            near = read(root, name)
            if (planned := plan(near, name)) is not None:
                assert planned == plan(whole, name), name
                enough += near.pci != whole.pci
    return enough


FAR = (bridge("0000:00:1f.0", group=90), *pf_with_vfs("0000:80:00.0", "far", 3, group=100, under="0000:00:1f.0"))


@pytest.mark.parametrize("code", [*HAVING, *DEPENDENT])
def test_a_host_that_has_something_to_say(code: str, tmp_path: Path) -> None:
    tree = (HAVING | DEPENDENT)[code]
    compare(tree.but(functions=(*tree.functions, *FAR)).write(tmp_path))


def test_a_host_that_has_nothing_to_say(tmp_path: Path) -> None:
    tree = ready_host()
    assert (
        compare(tree.but(functions=(*tree.functions, *FAR)).write(tmp_path)) == 2
    )  # eth1, by its name and by its address


@pytest.mark.parametrize("name", ["ghw-xeon-l5640-i350-8vfs", "hwloc-necve-x722-64byte-config"])
def test_a_real_host(name: str, capture: Callable[[str], Path]) -> None:
    compare(capture(name))


def test_most_of_a_big_host_is_not_read(tmp_path: Path) -> None:
    root = generated_host(200).write(tmp_path)
    near = read(root, "enp2s0v3")
    assert len(near.pci) < 12
    assert near.pci_unread == "only what enp2s0v3 depends on was asked for"
    assert near.network == read(root).network
    assert plan(near, "enp2s0v3") == plan(read(root), "enp2s0v3") is not None


class TestNearness:
    """What must be among the near."""

    FAR = nic("0000:90:00.0", "far0", group=90)

    def near(self, root: Path, name: str, *functions: Function, **more: Any) -> set[str]:
        host = read(ready_host(*functions, self.FAR, **more).write(root), name)
        return {function.address for function in host.pci}

    def test_its_slot_its_bus_its_group_and_the_bridges_above(self, tmp_path: Path) -> None:
        wanted = (
            bridge("0000:00:01.0"),
            bridge("0000:01:00.0", under="0000:00:01.0"),
            nic("0000:02:00.0", "eth1", under="0000:01:00.0"),
            nic("0000:02:00.1", "eth2", group=11, under="0000:01:00.0"),
            nvme("0000:02:03.0", "nvme0n1", 12),
            nvme("0000:05:00.0", "nvme1n1", 10),
        )
        wanted = (*wanted[:4], dataclasses.replace(wanted[4], under="0000:01:00.0"), wanted[5])
        assert self.near(tmp_path, "eth1", *wanted) == {function.address for function in wanted}

    def test_a_vfs_pf_and_a_pfs_vfs(self, tmp_path: Path) -> None:
        family = pf_with_vfs("0000:02:00.0", "eth1", 2)
        addresses = {function.address for function in family}
        assert self.near(tmp_path / "vf", "eth1v0", *family) == addresses
        assert self.near(tmp_path / "pf", "eth1", *family) == addresses

    def test_what_a_vm_has(self, tmp_path: Path) -> None:
        given_away = nic("0000:70:00.0", driver="vfio-pci", group=70)
        vms = (Vm(name="guest", devices=hostdev_xml(given_away.address)),)
        found = self.near(tmp_path, "eth1", nic("0000:02:00.0", "eth1"), given_away, vms=vms)
        assert found == {"0000:02:00.0", given_away.address}


class TestAllIsRead:
    """Where what is near cannot be told for certain."""

    def reads_all(self, root: Path, name: str, *functions: Function, **more: Any) -> bool:
        tree = ready_host(*(functions or (nic("0000:02:00.0", "eth1"),)), TestNearness.FAR, **more)
        host = read(tree.write(root), name)
        return host.pci_unread is None and len(host.pci) == len(tree.functions)

    def test_not_for_a_plain_nic(self, tmp_path: Path) -> None:
        assert not self.reads_all(tmp_path, "eth1")

    @pytest.mark.parametrize("name", ["nosuch", "0000:0f:00.0", "../../eth1", "", "x\0y", "52:54:00:00:00:99"])
    def test_for_a_name_of_nothing(self, name: str, tmp_path: Path) -> None:
        assert self.reads_all(tmp_path, name)

    def test_for_a_mac_that_two_have(self, tmp_path: Path) -> None:
        mac = mac_of(7)
        cards = (nic("0000:02:00.0", "eth1"), nic("0000:03:00.0", "eth2", group=11))
        twice = network(link("eth1", mac=mac), link("eth2", mac=mac))
        assert self.reads_all(tmp_path / "two", mac, *cards, net=twice)
        once = network(link("eth1", mac=mac), link("eth2"))
        assert not self.reads_all(tmp_path / "one", mac, *cards, net=once)

    def test_for_an_alternative_name_that_is_anothers_name(self, tmp_path: Path) -> None:
        cards = (nic("0000:02:00.0", "eth1"), nic("0000:03:00.0", "eth2", group=11))
        net = network(link("eth1"), link("eth2", altnames=("eth1", "slot2")))
        assert self.reads_all(tmp_path / "two", "eth1", *cards, net=net)
        assert not self.reads_all(tmp_path / "one", "slot2", *cards, net=net)

    def test_without_a_group_and_on_vfio(self, tmp_path: Path) -> None:
        assert self.reads_all(tmp_path / "none", "0000:02:00.0", nic("0000:02:00.0", "eth1", group=None))
        assert self.reads_all(tmp_path / "vfio", "0000:02:00.0", nic("0000:02:00.0", driver="vfio-pci"))

    def test_where_the_groups_folder_is_not_shown(self, tmp_path: Path) -> None:
        root = ready_host(nic("0000:02:00.0", "eth1"), TestNearness.FAR).write(tmp_path)
        shutil.rmtree(root / "sys/kernel/iommu_groups")
        assert len(read(root, "eth1").pci) == 2

    def test_where_nothing_near_shows_its_reset_methods(self, tmp_path: Path) -> None:
        assert self.reads_all(tmp_path, "eth1", nic("0000:02:00.0", "eth1", reset_methods=()))


GROUPS = st.sampled_from([10, 11, 12, None])
METHODS = st.sampled_from([("flr", "bus"), ("bus",), ()])


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Bridges, and below them cards of all kinds in groups of all kinds; some stand in a VM's definition."""
    ports = [f"0000:00:{number:02x}.0" for number in range(1, draw(st.integers(1, 3)) + 1)]
    functions = [bridge(port, group=number) for number, port in enumerate(ports)]
    for bus, port in enumerate(ports, 1):
        for number in range(draw(st.integers(0, 2))):
            address, netdev = f"0000:{bus:02x}:00.{number}", f"eth{bus}{number}"
            if draw(st.booleans()):
                made = nic(address, netdev, group=draw(GROUPS), reset_methods=draw(METHODS), totalvfs=draw(TOTALVFS))
                functions.append(dataclasses.replace(made, under=port, driver=draw(DRIVERS)))
            elif number == 0:
                group = draw(st.integers(10, 13))
                functions += pf_with_vfs(address, netdev, draw(st.integers(0, 2)), group=group, under=port)
        if draw(st.booleans()):
            functions.append(dataclasses.replace(nvme(f"0000:{bus:02x}:01.0", f"nvme{bus}n1", 11), under=port))
    devices = draw(st.lists(st.sampled_from([f.address for f in functions]), max_size=2, unique=True))
    vms = (Vm(name="guest"), Vm(name="web", uuid="2", devices="".join(map(hostdev_xml, devices))))
    return ready_host(*functions, vms=vms)


TOTALVFS = st.sampled_from([None, 8])
DRIVERS = st.sampled_from(["ixgbe", "ixgbe", "ixgbe", "ixgbevf", "vfio-pci", None])


def test_any_host(tmp_path_factory: pytest.TempPathFactory) -> None:
    enough: list[int] = []

    @given(tree=trees())
    def agree(tree: Tree) -> None:
        enough.append(compare(tree.write(tmp_path_factory.mktemp("host"))))

    agree()
    assert sum(enough) > 20, "too few NICs were planned for from less than the whole host"
