# SPDX-License-Identifier: Apache-2.0
"""Every finding of the catalogue: a host that has it, and the ready host, which has none that blocks."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import msgspec
import pytest

from nicpass.checks.catalogue import Finder, security
from nicpass.checks.catalogue.device import capabilities, path, quirks, reset, sriov
from nicpass.checks.catalogue.vm import definition as vm
from nicpass.checks.catalogue.vm import memory as vm_memory
from nicpass.checks.catalogue.whole import CATALOGUE
from nicpass.checks.dependence.usage import summarize_usage
from nicpass.checks.host.iommu import check_iommu, explain_iommu_off
from nicpass.checks.lookup.chains import walk_uppers
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import on_vfio
from nicpass.checks.preflight import check_host, check_nic
from nicpass.model.address import Address
from nicpass.model.domain import Domain, DomainDevice
from nicpass.model.fact import Unknown
from nicpass.model.finding import Finding
from nicpass.model.host import Host
from nicpass.model.network import Link, Network
from nicpass.model.pci import PciFunction
from nicpass.model.platform import Platform
from tests.support import provoking
from tests.support.boot_bindings import HAVING as BOOT_BINDINGS
from tests.support.declared_vfs import HAVING as DECLARED_VFS
from tests.support.dependence import DEPENDENT
from tests.support.given import HAVING as GIVEN
from tests.support.guards import HAVING as GUARD
from tests.support.hosts import (
    VM,
    address,
    bridge,
    link,
    network,
    nic,
    nvme,
    pf_with_vfs,
    ready_host,
    route,
)
from tests.support.trees import Tree, Vm, hostdev_xml
from tests.unit.checks.device.test_reserved import HAVING as RESERVED

NIC = "0000:01:00.0"
PORT = bridge("0000:00:01.0")
ETH1 = nic(NIC, "eth1", under="0000:00:01.0")
WITH_VFS = pf_with_vfs(NIC, "eth1", 2)


def findings_of(tree: Tree, root: Path, subject: str = NIC) -> dict[str, Finding]:
    host = tree.read(root)
    index = HostIndex(host)
    found = (*check_host(host), *check_nic(index.functions[Address(subject)], index))
    return {finding.code: finding for finding in found}


def with_eth1(*items: object) -> Network:
    return network(link("eth1"), *items)  # type: ignore[arg-type]


HAVING: dict[str, Tree] = {
    "IOMMU_ON": ready_host(),
    "IOMMU_TABLE_ABSENT": ready_host(nic(NIC, "eth1", group=None), tables=("FACP",), iommu_units=()),
    "IOMMU_OFF": ready_host(nic(NIC, "eth1", group=None), cmdline="ro quiet", iommu_units=()),
    "CPU_NO_VIRTUALIZATION": ready_host(cpu="bare"),
    "KVM_ABSENT": ready_host(kvm=False),
    "VFIO_ABSENT": ready_host(loaded=("kvm",), available=("kvm",)),
    "VFIO_NOT_LOADED": ready_host(loaded=("kvm",)),
    "HYPERVISOR_UNKNOWN": ready_host(vms=None),
    "CARRIES_DEFAULT_ROUTE": ready_host(net=with_eth1(address("eth1", "10.0.0.5/24"), route("eth1"))),
    "CARRIES_ROUTE": ready_host(net=with_eth1(route("eth1", "192.168.7.0/24"))),
    "HAS_ADDRESS": ready_host(net=with_eth1(address("eth1", "10.0.0.5/24"))),
    "HAS_UPPER": ready_host(net=network(link("eth1", master="br0"), link("br0", kind="bridge"))),
    "USE_UNKNOWN": ready_host().but(network=None),
    "NETDEV_ELSEWHERE": ready_host(nic(NIC)),
    "PF_HAS_VFS": ready_host(*WITH_VFS),
    "PF_DOWN": ready_host(
        nic("0000:02:00.0", "eth9", group=20, totalvfs=7, vfs=(NIC,)),
        nic(NIC, "eth1", pf="0000:02:00.0", vf_index=0),
        net=network(link("eth9", up=False), link("eth1")),
    ),
    "VFS_NEARBY": ready_host(nic(NIC, "eth1"), nic("0000:01:10.0", "eth2", group=11, driver="igbvf")),
    "PCI_UNREAD": ready_host(links={"/sys/bus/pci/devices/0000:77:00.0": "/sys/devices/pci0000:77/0000:77:00.0"}),
    "OWNED_BY_VM": ready_host(vms=(Vm(name="web", devices=hostdev_xml(NIC)),)),
    "ON_VFIO": ready_host(nic(NIC, driver="vfio-pci")),
    "OVERRIDE_LEFT": ready_host(nic(NIC, "eth1", driver_override="vfio-pci")),
    **RESERVED,
    "DRIVER_ABSENT": ready_host(nic(NIC, driver=None)),
    "VF_PREFERRED": ready_host(nic(NIC, "eth1", totalvfs=63)),
    **provoking.HAVING,
    **DEPENDENT,
    **BOOT_BINDINGS,
    **DECLARED_VFS,
    **GUARD,
    **GIVEN,
}


def test_every_code_of_the_catalogue_has_a_host_here() -> None:
    # In test_vm_checks.py, test_security.py, test_device_checks.py, test_checks_platform.py and test_dependence.py.
    subjects = (vm, vm_memory, security, reset, capabilities, sriov, path, quirks)
    elsewhere = {code for subject in subjects for code in subject.ENTRIES} | {"KVM_UNUSABLE", "AF_XDP_IN_USE"}
    elsewhere |= {"VF_FILES_UNREAD"}  # root may read all of a tree
    assert set(HAVING) == set(CATALOGUE) - elsewhere


@pytest.mark.parametrize("code", sorted(HAVING))
def test_the_host_that_has_it_is_told(code: str, tmp_path: Path) -> None:
    finding = findings_of(HAVING[code], tmp_path)[code]
    assert finding.severity == CATALOGUE[code].severity
    assert finding.evidence, "a finding says what it was read from"
    for text in (finding.sentence, finding.meaning, finding.mend, finding.command):
        assert not re.search(r"[{}]|None|Unknown\(", text), text
    assert finding.sentence.endswith(".")
    assert finding.subject in (None, NIC)


@pytest.mark.parametrize("code", sorted(HAVING.keys() - {"IOMMU_ON"}))
def test_the_ready_host_is_not_told(code: str, tmp_path: Path) -> None:
    assert code not in findings_of(ready_host(), tmp_path)


def test_the_ready_host_is_told_that_its_iommu_is_on_and_nothing_else(tmp_path: Path) -> None:
    assert set(findings_of(ready_host(), tmp_path)) == {"IOMMU_ON"}


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_codes_and_texts_are_well_formed(code: str) -> None:
    entry = CATALOGUE[code]
    assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", code)
    assert entry.meaning.endswith(".")
    if entry.severity.blocks and code not in ("GROUP_ABSENT", "USE_UNKNOWN"):
        assert entry.mend, "what stands in the way has a way out"


def test_a_text_whose_facts_are_missing_is_an_error_not_a_gap() -> None:
    with pytest.raises(KeyError):
        Finder("dependence.group")("GROUP_SHARED", group=1)


class TestIommu:
    """On, off and why, or not there."""

    @pytest.mark.parametrize(
        ("cmdline", "tables", "words", "mend"),
        [
            ("ro quiet", ("DMAR",), "leaves it off unless told", "Add intel_iommu=on"),
            ("ro intel_iommu=off", ("DMAR",), "intel_iommu=off", "Take intel_iommu=off out"),
            ("ro intel_iommu=sm_on,off", ("DMAR",), "intel_iommu=off", "Take intel_iommu=off out"),
            ("ro iommu=off intel_iommu=on", ("DMAR",), "iommu=off", "Take iommu=off out"),
            ("ro amd_iommu=off", ("IVRS",), "amd_iommu=off", "Take amd_iommu=off out"),
            ("ro", ("IVRS",), "the firmware has it (IVRS)", "dmesg"),
            ("ro intel_iommu=on iommu=pt", ("DMAR",), "intel_iommu=on", "dmesg"),
        ],
    )
    def test_why_it_is_off(self, cmdline: str, tables: tuple[str, ...], words: str, mend: str) -> None:
        reason, cure = explain_iommu_off(Platform(cmdline=cmdline, iommu_tables=tables))
        assert words in reason
        assert mend in cure

    def test_what_is_given_already_is_not_proposed_again(self) -> None:
        platform = Platform(cmdline="ro intel_iommu=on", iommu_tables=("DMAR",))
        assert "Add intel_iommu=on" not in explain_iommu_off(platform)[1]

    @pytest.mark.parametrize("groups", [Unknown("permission denied: /sys/kernel/iommu_groups"), None, 0])
    def test_functions_that_have_a_group_prove_that_it_is_on(self, groups: int | Unknown | None) -> None:
        host = Host(
            pci=(PciFunction(address=Address(NIC), iommu_group=5),),
            platform=Platform(iommu_tables=("DMAR",), iommu_groups=groups),
        )
        assert [finding.code for finding in check_iommu(host)] == ["IOMMU_ON"]

    def test_with_it_off_no_nic_is_blamed_for_having_no_group(self, tmp_path: Path) -> None:
        assert "GROUP_ABSENT" not in findings_of(HAVING["IOMMU_OFF"], tmp_path)

    def test_an_unknown_table_is_not_an_absent_one(self) -> None:
        host = Host(pci=(), platform=Platform(iommu_tables=Unknown("permission denied")))
        assert [finding.code for finding in check_iommu(host)] == ["IOMMU_OFF"]


class TestGroup:
    """Law 2: the whole group is looked at."""

    def test_companions_are_named_with_what_they_are_to_the_host(self, tmp_path: Path) -> None:
        functions = (nic(NIC, "eth1"), nic("0000:01:00.1", "eth2"), nvme("0000:02:00.0", "nvme0n1", 10))
        net = network(link("eth1"), link("eth2"), address("eth2", "10.1.2.3/24"))
        sentence = findings_of(ready_host(*functions, net=net), tmp_path)["GROUP_SHARED"].sentence
        assert "0000:01:00.1 (eth2, driver ixgbe: 10.1.2.3/24)" in sentence
        assert "0000:02:00.0 (driver nvme, nvme0n1)" in sentence

    def test_bridges_of_the_group_do_not_count(self, tmp_path: Path) -> None:
        tree = ready_host(bridge("0000:00:01.0", group=10), ETH1)
        assert not {"GROUP_SHARED", "GROUP_SHARED_IDLE"} & set(findings_of(tree, tmp_path))

    def test_a_companion_with_an_unknown_driver_is_busy(self) -> None:
        pair = (
            PciFunction(address=Address(NIC), class_code=0x020000, iommu_group=1),
            PciFunction(address=Address("0000:01:00.1"), iommu_group=1, driver=Unknown("denied")),
        )
        index = HostIndex(Host(pci=pair))
        assert "GROUP_SHARED" in {finding.code for finding in check_nic(pair[0], index)}

    def test_a_companion_on_vfio_is_idle(self, tmp_path: Path) -> None:
        tree = ready_host(nic(NIC, "eth1"), nic("0000:01:00.1", driver="vfio-pci"))
        assert "GROUP_SHARED_IDLE" in findings_of(tree, tmp_path)


class TestUsage:
    """Law 3: every way by which the host depends on a NIC."""

    def test_the_whole_chain_is_named(self, tmp_path: Path) -> None:
        net = network(
            link("eth1", master="bond0"),
            link("eth2", master="bond0"),
            link("bond0", kind="bond"),
            link("bond0.7", kind="vlan", lower="bond0", master="br0"),
            link("br0", kind="bridge"),
            address("br0", "10.0.0.5/24"),
            route("br0"),
        )
        tree = ready_host(nic(NIC, "eth1"), nic("0000:01:00.1", "eth2", group=11), net=net)
        for subject, netdev in ((NIC, "eth1"), ("0000:01:00.1", "eth2")):
            found = findings_of(tree, tmp_path / netdev, subject)
            chain = f"{netdev} → bond0 → bond0.7 → br0 → 10.0.0.5/24 → default via 10.0.0.1"
            assert chain in found["CARRIES_DEFAULT_ROUTE"].sentence
            assert f"{netdev} → bond0 → bond0.7 → br0 → 10.0.0.5/24" in found["HAS_ADDRESS"].sentence
            assert f"{netdev} → bond0 (bond)" in found["HAS_UPPER"].sentence

    @pytest.mark.parametrize(
        ("items", "codes"),
        [
            ((route("eth1", table=100),), {"CARRIES_DEFAULT_ROUTE"}),
            ((route("eth1", gateway="fe80::1", family="inet6"),), {"CARRIES_DEFAULT_ROUTE"}),
            ((route("eth1", multipath=True),), {"CARRIES_DEFAULT_ROUTE"}),
            ((route("eth1", "10.0.0.0/24", None, protocol="kernel"),), set()),
            ((address("eth1", "fe80::1/64", scope="link"),), set()),
            ((address("eth1", "10.0.0.5/24", dynamic=True),), {"HAS_ADDRESS"}),
            ((address("eth1", "2001:db8::5/64"),), {"HAS_ADDRESS"}),
            ((link("eth1.5", lower="eth1", kind="vlan", up=False),), {"HAS_UPPER"}),
            ((link("mv0", lower="eth1", kind="macvlan"), address("mv0", "10.0.0.6/24")), {"HAS_UPPER", "HAS_ADDRESS"}),
            ((route("eth2"), address("eth2", "10.0.0.7/24"), link("eth2")), set()),
        ],
    )
    def test_each_way(self, items: tuple[object, ...], codes: set[str], tmp_path: Path) -> None:
        found = findings_of(ready_host(net=with_eth1(*items)), tmp_path)
        assert {code for code, finding in found.items() if finding.severity.blocks} == codes

    def test_a_master_that_is_not_shown_is_a_use_all_the_same(self, tmp_path: Path) -> None:
        """It went away between two dumps, or a capture lacks it: the NIC is still part of something."""
        assert "HAS_UPPER" in findings_of(ready_host(net=network(link("eth1", master="team7"))), tmp_path)

    def test_a_nic_on_vfio_has_no_interface_to_look_for(self, tmp_path: Path) -> None:
        found = findings_of(HAVING["ON_VFIO"], tmp_path)
        assert not {"NETDEV_ELSEWHERE", "USE_UNKNOWN"} & set(found)

    @pytest.mark.parametrize("missing", ["addresses", "routes"])
    @pytest.mark.parametrize("fact", [None, Unknown("not captured")])
    def test_unknown_addresses_or_routes_mean_refuse(self, missing: str, fact: Unknown | None, tmp_path: Path) -> None:
        host = ready_host().read(tmp_path)
        net = msgspec.structs.replace(host.network, **{missing: fact})
        index = HostIndex(msgspec.structs.replace(host, network=net))
        assert "USE_UNKNOWN" in {f.code for f in check_nic(index.functions[Address(NIC)], index)}

    @pytest.mark.parametrize("field", ["netdevs", "driver"])
    def test_unknown_interfaces_mean_refuse(self, field: str, tmp_path: Path) -> None:
        host = ready_host().read(tmp_path)
        function = msgspec.structs.replace(host.pci[1], **{field: Unknown("permission denied")})
        index = HostIndex(msgspec.structs.replace(host, pci=(function,)))
        assert "USE_UNKNOWN" in {finding.code for finding in check_nic(function, index)}

    def test_summaries_are_short_and_without_repetition(self, tmp_path: Path) -> None:
        net = with_eth1(address("eth1", "10.0.0.5/24"), address("eth1", "fe80::1/64", scope="link"), route("eth1"))
        host = ready_host(net=net).read(tmp_path)
        index = HostIndex(host)
        assert summarize_usage(index.functions[Address(NIC)], index) == "default route, 10.0.0.5/24"

    def test_vfs_that_only_the_number_shows_count(self, tmp_path: Path) -> None:
        function = PciFunction(address=Address(NIC), class_code=0x020000, totalvfs=8, numvfs=2)
        index = HostIndex(Host(pci=(function,)))
        assert "(2)" in next(f for f in check_nic(function, index) if f.code == "PF_HAS_VFS").sentence


class TestWalk:
    """Upwards through whatever stands on an interface."""

    @staticmethod
    def walk(*links: Link) -> list[list[str]]:
        index = HostIndex(Host(pci=(), network=Network(links=links)))
        return [[each.name for each in chain] for chain in walk_uppers(links[0], index.uppers)]

    def test_nothing_stands_on_it(self) -> None:
        assert self.walk(link("eth0")) == [["eth0"]]

    def test_a_tree_of_vlans(self) -> None:
        chains = self.walk(link("eth0"), link("v1", lower="eth0"), link("v2", lower="eth0"), link("q", lower="v2"))
        assert chains == [["eth0"], ["eth0", "v1"], ["eth0", "v2"], ["eth0", "v2", "q"]]

    @pytest.mark.parametrize("length", [1, 2, 5])
    def test_a_cycle_ends(self, length: int) -> None:
        links = [link(f"i{n}", master=f"i{(n + 1) % length}") for n in range(length)]
        assert len(self.walk(*links)) == length

    def test_two_that_name_each_other_end(self) -> None:
        """veth pairs within one namespace: each is the other's `lower`."""
        assert self.walk(link("a", lower="b"), link("b", lower="a")) == [["a"], ["a", "b"]]

    def test_a_deep_stack_is_walked_to_its_top(self) -> None:
        links = [link(f"i{n}", lower=f"i{n - 1}" if n else None) for n in range(300)]
        assert len(self.walk(*links)[-1]) == 300

    def test_a_lattice_does_not_explode(self) -> None:
        """VLANs of a bridge that are ports of the next bridge: the ways up multiply, the interfaces do not."""
        links = [link("br0")]
        for level in range(1, 12):
            links += [link(f"v{level}.{n}", lower=f"br{level - 1}", master=f"br{level}") for n in range(4)]
            links.append(link(f"br{level}"))
        chains = self.walk(*links)
        assert {chain[-1] for chain in chains} == {each.name for each in links}
        assert len(chains) <= 4 * len(links)


class TestDriver:
    """Whose hands it is in."""

    def test_an_override_that_libvirt_set_for_a_running_vm_is_not_left_over(self) -> None:
        function = PciFunction(
            address=Address(NIC), class_code=0x020000, driver="vfio-pci", driver_override="vfio-pci", iommu_group=1
        )
        device = DomainDevice(address=function.address, element="hostdev", managed=True)
        domain = Domain(name="web", uuid="u", running=True, config_devices=(device,), live_devices=(device,))
        index = HostIndex(Host(pci=(function,), domains=(domain,)))
        codes = {finding.code for finding in check_nic(function, index)}
        assert "OWNED_BY_VM" in codes
        assert not codes & {"OVERRIDE_LEFT", "ON_VFIO"}

    def test_two_vms_that_have_it_are_both_named(self, tmp_path: Path) -> None:
        vms = (Vm(name="a", devices=hostdev_xml(NIC)), Vm(name="b", uuid="2", devices=hostdev_xml(NIC)), VM)
        assert "a, b" in findings_of(ready_host(vms=vms), tmp_path)["OWNED_BY_VM"].sentence

    def test_its_name_is_no_shell_code_in_the_mend(self, tmp_path: Path) -> None:
        host = ready_host(vms=(Vm(name="web", devices=hostdev_xml(NIC)),)).read(tmp_path)
        domains = tuple(msgspec.structs.replace(domain, name="a b;$(id)'") for domain in host.domains)  # type: ignore[union-attr]
        index = HostIndex(msgspec.structs.replace(host, domains=domains))
        found = next(f for f in check_nic(index.functions[Address(NIC)], index) if f.code == "OWNED_BY_VM")
        assert shlex.split(found.command) == ["nicpass", "detach", "a b;$(id)'", NIC]

    def test_a_vf_is_not_told_to_prefer_a_vf(self, tmp_path: Path) -> None:
        tree = ready_host(*WITH_VFS)
        assert "VF_PREFERRED" not in findings_of(tree, tmp_path, "0000:01:02.0")


def test_a_vf_of_a_pf_that_is_up_may_go(tmp_path: Path) -> None:
    up = network(link("eth9", up=True), link("eth1"))
    assert "PF_DOWN" not in findings_of(HAVING["PF_DOWN"].but(network=up), tmp_path)


def test_an_address_of_scope_link_is_an_address(tmp_path: Path) -> None:
    """What networkd gives where there is no DHCP (RFC 3927) may carry somebody's session."""
    net = network(link("eth1", up=True), address("eth1", "169.254.3.1/16", scope="link"))
    host = ready_host(net=net).read(tmp_path)
    index = HostIndex(host)
    assert "HAS_ADDRESS" in {finding.code for finding in check_nic(index.functions[Address("0000:01:00.0")], index)}


def test_a_companion_of_another_vm_is_not_idle(tmp_path: Path) -> None:
    companion = nic("0000:01:00.1", driver="vfio-pci")
    tree = ready_host(
        nic("0000:01:00.0", "eth1"), companion, vms=(Vm(name="web", uuid="2", devices=hostdev_xml("0000:01:00.1")),)
    )
    index = HostIndex(tree.read(tmp_path))
    shared = [f for f in check_nic(index.functions[Address("0000:01:00.0")], index) if f.code == "GROUP_SHARED"]
    assert "VM web" in shared[0].sentence


@pytest.mark.parametrize(
    ("driver", "vfio"), [("vfio-pci", True), ("mlx5_vfio_pci", True), ("igb", False), (None, False)]
)
def test_a_variant_of_vfio_is_vfio(driver: str | None, vfio: bool) -> None:
    assert on_vfio(PciFunction(address=Address("0000:01:00.0"), driver=driver)) is vfio
