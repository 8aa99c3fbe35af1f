# SPDX-License-Identifier: Apache-2.0
"""Every finding of the audit: a host that has it, and one that is clean."""

from __future__ import annotations

import re
import shlex
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from nicpass.checks.catalogue import security
from nicpass.checks.catalogue.whole import CATALOGUE
from nicpass.checks.security import check_security
from nicpass.hypervisor.libvirt.hostdevs import parse_domain
from nicpass.model.access import Access, DeviceNode
from nicpass.model.address import Address
from nicpass.model.domain import Domain
from nicpass.model.fact import Unknown
from nicpass.model.finding import Finding, Severity
from nicpass.model.firmware import Dmar, Firmware
from nicpass.model.host import Host
from nicpass.model.network import Link, Network, VfSettings
from nicpass.model.pci import PciFunction
from nicpass.model.platform import Platform
from tests.support.domains import definition_xml
from tests.support.strategies import values_of
from tests.support.trees import hostdev_xml, vf_interface_xml

PF, VF0, VF1 = Address("0000:3b:00.0"), Address("0000:3b:02.0"), Address("0000:3b:02.1")
WHOLE, OTHER = Address("0000:5e:00.0"), Address("0000:5e:00.1")
MAC = "52:54:00:aa:00:01"


def but(struct: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(struct, **changes)


def nic(address: Address, group: int, driver: str | None, **more: Any) -> PciFunction:
    return PciFunction(address=address, class_code=0x020000, iommu_group=group, driver=driver, **more)


def functions(*, other_group: int = 31, other_driver: str | None = "igb") -> tuple[PciFunction, ...]:
    return (
        nic(PF, 20, "ixgbe", totalvfs=8, numvfs=2, virtfns=(VF0, VF1), netdevs=("eth1",)),
        nic(VF0, 21, "vfio-pci", physfn=PF),
        nic(VF1, 22, "ixgbevf", physfn=PF),
        nic(WHOLE, 30, "vfio-pci"),
        nic(OTHER, other_group, other_driver),
    )


def settings_of(vlan: int = 0, *, neighbour_vlan: int = 0, trust: bool = False, spoofchk: bool = True) -> Network:
    own = VfSettings(vf_index=0, mac=MAC, vlan=vlan, trust=trust, spoofchk=spoofchk)
    # The neighbour is the host's own affair: nothing is said of it.
    neighbour = VfSettings(vf_index=1, mac="52:54:00:aa:00:02", vlan=neighbour_vlan, trust=True, spoofchk=False)
    return Network(links=(Link(name="eth1", vfs=(own, neighbour)),), addresses=(), routes=())


def vm(name: str, devices: str, **parts: str) -> Domain:
    return but(parse_domain(definition_xml(name, devices=devices, **parts)), uuid=f"uuid of {name}")  # type: ignore[no-any-return]


def dmar(**more: Any) -> Dmar:
    facts: dict[str, Any] = {"length": 48, "checksum_ok": True, "revision": 1, "oem_id": "", "oem_table_id": ""}
    facts |= {"oem_revision": 1, "host_address_width": 46, "flags": 5, "intr_remap": True, "x2apic_opt_out": False}
    return Dmar(**{**facts, "dma_ctrl_platform_opt_in": True, **more})


PLATFORM = Platform(
    cmdline="intel_iommu=on",
    iommu_tables=("DMAR",),
    iommu_units=("dmar0",),
    iommu_groups=5,
    interrupt_chips=("IR-PCI-MSI",),
    unsafe_interrupts=False,
    noiommu_mode=False,
)
CLEAN = Host(
    pci=functions(),
    platform=PLATFORM,
    firmware=Firmware(dmar=dmar()),
    network=settings_of(),
    access=Access(
        vfio_nodes=(
            DeviceNode(path="/dev/vfio/vfio", is_device=True, mode=0o666, uid=0, gid=0, user="root", group="root"),
            DeviceNode(path="/dev/vfio/21", is_device=True, mode=0o600, uid=0, gid=0, user="root", group="root"),
        ),
        qemu_user="libvirt-qemu",
        qemu_security_drivers=("apparmor",),
    ),
    domains=(vm("web", vf_interface_xml(VF0, MAC, 7)),),
)
WHOLE_GIVEN = (vm("web", hostdev_xml(WHOLE)),)
BOTH = hostdev_xml(WHOLE) + hostdev_xml(OTHER)
UNTAGGED = (vm("web", vf_interface_xml(VF0, MAC)),)
FILTERED = "<interface type='bridge'><source bridge='br0'/><filterref filter='clean-traffic'/></interface>"


def platform(**changes: Any) -> Host:
    return but(CLEAN, platform=but(PLATFORM, **changes))  # type: ignore[no-any-return]


def node(**changes: Any) -> Host:
    nodes = CLEAN.access.vfio_nodes
    assert isinstance(nodes, tuple)
    return but(CLEAN, access=but(CLEAN.access, vfio_nodes=(nodes[0], but(nodes[1], **changes))))  # type: ignore[no-any-return]


def access(**changes: Any) -> Host:
    return but(CLEAN, access=but(CLEAN.access, **changes))  # type: ignore[no-any-return]


HAVING: dict[str, Host] = {
    "GROUP_OF_TWO_VMS": but(CLEAN, pci=functions(other_group=30), domains=(*WHOLE_GIVEN, vm("db", hostdev_xml(OTHER)))),
    "GROUP_OF_VM_AND_HOST": but(CLEAN, pci=functions(other_group=30), domains=WHOLE_GIVEN),
    "NIC_OF_TWO_VMS": but(CLEAN, domains=(*WHOLE_GIVEN, vm("db", hostdev_xml(WHOLE)))),
    "VFIO_NODE_OPEN": node(mode=0o666),
    "VFIO_NODE_OF_USER": node(uid=1000, user="alice"),
    "VFIO_NODES_UNKNOWN": access(vfio_nodes=Unknown("not captured: /dev/vfio")),
    "VF_TRUSTED": but(CLEAN, network=settings_of(trust=True)),
    "VF_SPOOFCHK_OFF": but(CLEAN, network=settings_of(spoofchk=False)),
    "VF_WITHOUT_VLAN": but(CLEAN, network=settings_of(neighbour_vlan=8), domains=UNTAGGED),
    "WHOLE_NIC_GIVEN": but(CLEAN, domains=WHOLE_GIVEN),
    "OPTION_ROM_SHOWN": but(CLEAN, domains=WHOLE_GIVEN),
    "FIREWALL_BYPASSED": CLEAN,
    "FILTERREF_BYPASSED": but(CLEAN, domains=(vm("web", vf_interface_xml(VF0, MAC, 7), interfaces=FILTERED),)),
    "QEMU_AS_ROOT": access(qemu_user="root"),
    "QEMU_UNCONFINED": access(qemu_security_drivers=("none",)),
    "PREBOOT_DMA_OPEN": but(CLEAN, firmware=Firmware(dmar=dmar(flags=1, dma_ctrl_platform_opt_in=False))),
    "GIVEN_NICS_UNKNOWN": but(CLEAN, domains=Unknown("libvirt does not answer")),
}


def findings_of(host: Host) -> dict[str, Finding]:
    return {finding.code: finding for finding in check_security(host)}


def test_every_code_has_a_host_here() -> None:
    assert set(HAVING) == set(security.ENTRIES)


@pytest.mark.parametrize("code", sorted(HAVING))
def test_the_host_that_has_it_is_told(code: str) -> None:
    finding = findings_of(HAVING[code])[code]
    assert finding.severity == CATALOGUE[code].severity
    assert finding.evidence
    assert finding.sentence.endswith(".")
    for text in (finding.sentence, finding.meaning, finding.mend, finding.command):
        assert not re.search(r"[{}]|None|Unknown\(", text), text
    shlex.split(finding.command)


@pytest.mark.parametrize("code", sorted(HAVING))
def test_background_is_there_for_explain(code: str) -> None:
    entry = CATALOGUE[code]
    assert 2 <= len(re.findall(r"[.!](?:\s|$)", entry.background)) <= 6, entry.background
    assert "{" not in entry.background


def test_a_clean_host_passes_also_when_strict() -> None:
    findings = findings_of(CLEAN)
    assert set(findings) == {"FIREWALL_BYPASSED", "DMA_OPT_IN"}
    assert {finding.severity for finding in findings.values()} == {Severity.INFO}


def test_a_host_without_vms_is_told_nothing_of_them() -> None:
    assert set(findings_of(but(CLEAN, domains=()))) == {"DMA_OPT_IN"}
    assert set(findings_of(but(CLEAN, domains=None))) == {"DMA_OPT_IN"}


def test_the_gravest_comes_first() -> None:
    ranks = [finding.severity.rank for finding in check_security(but(HAVING["GROUP_OF_VM_AND_HOST"]))]
    assert ranks == sorted(ranks, reverse=True)
    assert ranks[0] == Severity.UNSAFE.rank


class TestPlatform:
    """The preflight's own codes, as grave as an auditor takes them."""

    @pytest.mark.parametrize(
        ("host", "code", "severity"),
        [
            (platform(cmdline="pcie_acs_override=downstream"), "ACS_OVERRIDE", Severity.UNSAFE),
            (platform(noiommu_mode=True), "NOIOMMU_MODE", Severity.UNSAFE),
            (platform(unsafe_interrupts=True), "UNSAFE_INTERRUPTS", Severity.WARNING),
            (platform(unsafe_interrupts=True, interrupt_chips=("PCI-MSI",)), "UNSAFE_INTERRUPTS", Severity.UNSAFE),
            (platform(unsafe_interrupts=True, interrupt_chips=None), "UNSAFE_INTERRUPTS", Severity.UNSAFE),
            (platform(cmdline="iommu=pt"), "IOMMU_PASSTHROUGH", Severity.WARNING),
            (platform(interrupt_chips=("PCI-MSI",)), "INTERRUPT_REMAPPING_OFF", Severity.WARNING),
            (platform(interrupt_chips=Unknown("x")), "INTERRUPT_REMAPPING_UNKNOWN", Severity.WARNING),
        ],
    )
    def test_each_as_grave_as_it_is_to_isolation(self, host: Host, code: str, severity: Severity) -> None:
        assert findings_of(host)[code].severity == severity

    def test_what_only_stops_passthrough_does_not_fail_an_audit(self) -> None:
        found = check_security(platform(iommu_groups=0, iommu_tables=(), iommu_units=(), virtualization=None))
        assert all(not finding.severity.blocks for finding in found)


class TestGroups:
    def test_idle_members_and_bridges_are_nobodys(self) -> None:
        port = PciFunction(address=Address("0000:00:01.0"), class_code=0x060400, iommu_group=30, driver="pcieport")
        host = but(CLEAN, pci=(port, *functions(other_group=30, other_driver=None)), domains=WHOLE_GIVEN)
        assert not {"GROUP_OF_TWO_VMS", "GROUP_OF_VM_AND_HOST"} & set(findings_of(host))

    def test_a_group_that_one_vm_has_whole_is_its_own(self) -> None:
        host = but(CLEAN, pci=functions(other_group=30), domains=(vm("web", BOTH),))
        assert not {"GROUP_OF_TWO_VMS", "GROUP_OF_VM_AND_HOST"} & set(findings_of(host))

    def test_a_driver_that_could_not_be_read_counts_as_the_hosts(self) -> None:
        pci = (*functions()[:4], but(functions(other_group=30)[4], driver=Unknown("x")))
        assert "GROUP_OF_VM_AND_HOST" in findings_of(but(CLEAN, pci=pci, domains=WHOLE_GIVEN))

    def test_the_hosts_own_groups_are_none_of_this(self) -> None:
        host = but(CLEAN, pci=functions(other_group=30), domains=())
        assert "GROUP_OF_VM_AND_HOST" not in findings_of(host)


class TestNodes:
    def test_only_the_container_node_may_be_open(self) -> None:
        assert "VFIO_NODE_OPEN" not in findings_of(CLEAN)
        assert "VFIO_NODE_OPEN" in findings_of(node(path="/dev/vfio/devices/vfio0", mode=0o602))

    def test_a_group_that_may_write_is_a_user(self) -> None:
        assert "bob" in findings_of(node(gid=100, group="bob", mode=0o660))["VFIO_NODE_OF_USER"].sentence
        assert "VFIO_NODE_OF_USER" not in findings_of(node(gid=100, mode=0o600))

    def test_the_owner_of_a_captured_file_says_nothing(self) -> None:
        assert "VFIO_NODE_OF_USER" not in findings_of(node(uid=1000, is_device=False))

    def test_a_strange_path_stays_one_word_of_the_command(self) -> None:
        command = findings_of(node(path="/dev/vfio/; reboot", mode=0o666))["VFIO_NODE_OPEN"].command
        assert shlex.split(command) == ["chmod", "0600", "/dev/vfio/; reboot"]


class TestVfs:
    def test_a_vlan_in_the_definition_is_one(self) -> None:
        assert "VF_WITHOUT_VLAN" not in findings_of(but(CLEAN, network=settings_of(neighbour_vlan=8)))

    def test_without_a_neighbour_nobody_knows_that_one_is_missing(self) -> None:
        assert "VF_WITHOUT_VLAN" not in findings_of(but(CLEAN, domains=UNTAGGED))

    def test_a_card_that_does_not_tell_is_not_accused(self) -> None:
        network = settings_of()
        bare = VfSettings(vf_index=0, mac=MAC, trust=None, spoofchk=None)
        host = but(CLEAN, network=but(network, links=(but(network.links[0], vfs=(bare,)),)))
        assert not {"VF_TRUSTED", "VF_SPOOFCHK_OFF"} & set(findings_of(host))

    def test_a_vf_is_no_whole_nic(self) -> None:
        assert not {"WHOLE_NIC_GIVEN", "OPTION_ROM_SHOWN"} & set(findings_of(CLEAN))


class TestOptionRom:
    @pytest.mark.parametrize("rom", ["<rom bar='off'/>", "<rom enabled='no'/>", "<rom file='/x.rom'/>"])
    def test_hidden_or_the_hosts_own_file(self, rom: str) -> None:
        devices = hostdev_xml(WHOLE).replace("</hostdev>", f"{rom}</hostdev>")
        assert "OPTION_ROM_SHOWN" not in findings_of(but(CLEAN, domains=(vm("web", devices),)))

    def test_a_card_without_one(self) -> None:
        pci = tuple(but(f, rom_size=None) if f.address == WHOLE else f for f in CLEAN.pci)
        assert "OPTION_ROM_SHOWN" not in findings_of(but(CLEAN, pci=pci, domains=WHOLE_GIVEN))


def test_a_filter_of_a_vm_without_a_nic_holds() -> None:
    host = but(CLEAN, domains=(vm("web", "", interfaces=FILTERED),))
    assert not {"FILTERREF_BYPASSED", "FIREWALL_BYPASSED"} & set(findings_of(host))


@given(values_of(Host))
@settings(max_examples=30)
def test_any_host_is_audited_without_an_error(host: Host) -> None:
    for finding in check_security(host):
        assert finding.sentence.isprintable()
