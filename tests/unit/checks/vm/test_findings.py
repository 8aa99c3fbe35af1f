# SPDX-License-Identifier: Apache-2.0
"""Every finding about a VM with a NIC: a VM that has it, and a good one that has not."""

from __future__ import annotations

import re
import shlex
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.checks.catalogue.vm import definition as vm
from nicpass.checks.catalogue.vm import memory as vm_memory
from nicpass.checks.catalogue.whole import CATALOGUE
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_vm
from nicpass.checks.vm.definition import handle_of
from nicpass.checks.vm.guest_drivers import lacking_driver
from nicpass.hypervisor.libvirt.hostdevs import parse_devices, parse_domain
from nicpass.model.address import Address
from nicpass.model.domain import Domain
from nicpass.model.fact import Unknown
from nicpass.model.finding import Finding
from nicpass.model.groups import IommuGroup, ReservedRegion
from nicpass.model.host import Host
from nicpass.model.memory import HugepagePool, Memory, NumaNode
from nicpass.model.pci import PciFunction
from nicpass.model.platform import IommuCapability, Platform
from tests.support.domains import RICH, definition_xml
from tests.support.strategies import values_of
from tests.support.trees import hostdev_xml, vf_interface_xml

GIB, MIB2 = 1 << 30, 2 << 20
NIC = PciFunction(
    address=Address("0000:3b:00.0"), class_code=0x020000, driver="igc", numa_node=1, netdevs=("eth1",), iommu_group=1
)
WIDE = IommuCapability(unit="dmar0", register=0x2F0000 | 1 << 10)  # MGAW 48, SAGAW 48 bits


def pools(free: int, overcommit: int = 0) -> tuple[HugepagePool, ...]:
    return (HugepagePool(size=MIB2, total=free + 8, free=free, overcommit=overcommit),)


def nodes(free: int = 4096) -> tuple[NumaNode, ...]:
    return (NumaNode(node=0, cpus="0-7", hugepages=pools(free)), NumaNode(node=1, cpus="8-15", hugepages=pools(free)))


GOOD_HOST = Host(
    pci=(NIC,),
    platform=Platform(physical_bits=46, iommu_capabilities=(WIDE,)),
    memory=Memory(total=64 * GIB, available=32 * GIB, hugepage_size=MIB2, hugepages=pools(8192), nodes=nodes()),
)
PINS = "<cputune>" + "".join(f"<vcpupin vcpu='{n}' cpuset='{8 + n}'/>" for n in range(4)) + "</cputune>"
NUMA = "<numatune><memory mode='strict' nodeset='1'/></numatune>"
HUGE = "<memoryBacking><hugepages/></memoryBacking>"
TEAMED = vf_interface_xml(NIC.address, "52:54:00:aa:00:01").replace(
    "</interface>", "<teaming type='transient' persistent='ua-net0'/></interface>"
)
GOOD_PARTS = {"tune": PINS + NUMA, "backing": HUGE, "devices": TEAMED}


def domain_of(name: str = "web", **parts: str) -> Domain:
    return parse_domain(definition_xml(name, **parts))


def good_domain(**parts: str) -> Domain:
    return domain_of(**{**GOOD_PARTS, **parts})


def running(domain: Domain) -> Domain:
    return msgspec.structs.replace(domain, running=True, live=domain.config, live_devices=domain.config_devices)


def but(struct: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(struct, **changes)


def host_with(**changes: Any) -> Host:
    return but(GOOD_HOST, memory=but(GOOD_HOST.memory, **changes))  # type: ignore[no-any-return]


def findings_of(domain: Domain, host: Host = GOOD_HOST, function: PciFunction = NIC) -> dict[str, Finding]:
    return {finding.code: finding for finding in check_vm(function, domain, HostIndex(host))}


def memtune(gib: int) -> str:
    return f"<memtune><hard_limit unit='GiB'>{gib}</hard_limit></memtune>"


def osinfo(os_id: str) -> str:
    return (
        "<metadata><libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>"
        f"<libosinfo:os id='{os_id}'/></libosinfo:libosinfo></metadata>"
    )


FULL = "".join(
    f"<video><address type='pci' domain='0' bus='0x0{bus}' slot='0x00' function='0'/></video>" for bus in (2, 3)
)
NARROW = but(GOOD_HOST, platform=but(GOOD_HOST.platform, iommu_capabilities=(but(WIDE, register=0x260000 | 1 << 9),)))

OLD = "<os><type arch='x86_64' machine='pc-q35-6.2'>hvm</type></os>"
HYPERTRANSPORT = ReservedRegion("0xfd00000000", "0xffffffffff", "reserved")
AMD = but(GOOD_HOST, iommu_groups=(IommuGroup(number=1, reserved_regions=(HYPERTRANSPORT,)),))

HAVING: dict[str, tuple[Domain, Host]] = {
    "VM_RUNNING": (running(domain_of()), GOOD_HOST),
    "VM_TRANSIENT": (but(running(domain_of()), persistent=False), GOOD_HOST),
    "VM_SAVED_STATE": (but(domain_of(), saved_image=True), GOOD_HOST),
    "VM_HAS_SNAPSHOTS": (but(domain_of(), snapshots=2), GOOD_HOST),
    "VM_UNREAD": (domain_of(memory="<memory unit='ell'>1</memory>"), GOOD_HOST),
    "VM_NOT_PCIE": (domain_of(os="<os><type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type></os>"), GOOD_HOST),
    "VM_NO_FREE_ROOT_PORT": (running(domain_of(devices=FULL)), GOOD_HOST),
    "VM_PORT_WILL_BE_ADDED": (domain_of(devices=FULL), GOOD_HOST),
    "VM_VIOMMU": (domain_of(devices="<iommu model='virtio'/>"), GOOD_HOST),
    "VM_VIOMMU_NO_CACHING": (domain_of(devices="<iommu model='intel'><driver intremap='on'/></iommu>"), GOOD_HOST),
    "VM_OTHER_HOSTDEVS": (domain_of(devices=hostdev_xml("0000:5e:00.0")), GOOD_HOST),
    "VM_GUEST_LACKS_DRIVER": (domain_of(metadata=osinfo("http://debian.org/debian/10")), GOOD_HOST),
    "VM_NO_MIGRATION": (domain_of(), GOOD_HOST),
    "VM_TEAMED": (good_domain(), GOOD_HOST),
    "VIRTIO_ENOUGH": (domain_of(), GOOD_HOST),
    "VM_MEMORY_LOCK": (domain_of(), GOOD_HOST),
    "VM_MEMORY_LOCK_EACH": (domain_of(devices="<iommu model='intel'/>" + hostdev_xml("0000:3b:00.1")), GOOD_HOST),
    "VM_MEMORY_RESERVED": (domain_of(memory="<memory unit='GiB'>1536</memory>", os=OLD), AMD),
    "VM_MEMORY_LIMIT": (domain_of(tune=memtune(3)), GOOD_HOST),
    "VM_MEMORY_LIMIT_TIGHT": (domain_of(tune=memtune(4)), GOOD_HOST),
    "VM_MEMORY_TOO_BIG": (domain_of(), host_with(total=2 * GIB)),
    "VM_MEMORY_SHORT": (domain_of(), host_with(available=2 * GIB)),
    "VM_HUGEPAGES_ABSENT": (domain_of(), GOOD_HOST),
    "VM_HUGEPAGES_SHORT": (domain_of(backing=HUGE), host_with(hugepages=pools(10))),
    "VM_CPU_REMOTE": (domain_of(tune=PINS.replace("'10'", "'2'")), GOOD_HOST),
    "VM_MEMORY_REMOTE": (domain_of(tune="<numatune><memory nodeset='0-1'/></numatune>"), GOOD_HOST),
    "VM_UNPINNED": (domain_of(), GOOD_HOST),
    "VM_ADDRESS_WIDTH": (domain_of(), NARROW),
}


def test_every_code_has_a_vm_here() -> None:
    assert set(HAVING) == {*vm.ENTRIES, *vm_memory.ENTRIES}


@pytest.mark.parametrize("code", sorted(HAVING))
def test_the_vm_that_has_it_is_told(code: str) -> None:
    finding = findings_of(*HAVING[code])[code]
    assert finding.severity == CATALOGUE[code].severity
    assert finding.subject == NIC.address
    assert finding.evidence
    assert finding.sentence.endswith(".")
    for text in (finding.sentence, finding.meaning, finding.mend, finding.command):
        assert not re.search(r"[{}]|None|Unknown\(", text), text
    for line in finding.command.splitlines():
        shlex.split(line)


def test_a_good_vm_is_told_nothing_but_what_cannot_be_otherwise() -> None:
    assert set(findings_of(good_domain())) == {"VM_MEMORY_LOCK", "VM_TEAMED"}


@pytest.mark.parametrize("code", sorted(HAVING.keys() - {"VM_MEMORY_LOCK", "VM_TEAMED"}))
def test_a_good_vm_is_not_told(code: str) -> None:
    assert code not in findings_of(good_domain())


@pytest.mark.parametrize("code", sorted(HAVING))
def test_background_is_there_for_explain(code: str) -> None:
    entry = CATALOGUE[code]
    assert 2 <= len(re.findall(r"[.!](?:\s|$)", entry.background)) <= 6, entry.background
    assert "{" not in entry.background


class TestState:
    def test_a_running_vm_that_has_the_nic_is_no_obstacle(self) -> None:
        assert "VM_RUNNING" not in findings_of(running(good_domain()))

    def test_a_saved_state_of_a_running_vm_is_old_news(self) -> None:
        assert "VM_SAVED_STATE" not in findings_of(but(running(good_domain()), saved_image=True))

    def test_unknown_saved_state_is_said(self) -> None:
        found = findings_of(but(good_domain(), saved_image=Unknown("permission denied: x")))
        assert "permission denied" in found["VM_UNREAD"].sentence

    def test_a_vm_of_an_old_snapshot_is_said_to_be_unread(self) -> None:
        found = findings_of(Domain(name="old", uuid="1"))
        assert "VM_UNREAD" in found
        assert not {"VM_UNPINNED", "VIRTIO_ENOUGH", "VM_HUGEPAGES_ABSENT", "VM_NOT_PCIE"} & set(found)


class TestMachine:
    @pytest.mark.parametrize("machine", ["pc", "pc-i440fx-9.0", "pc-1.2", "isapc"])
    def test_machines_without_pci_express(self, machine: str) -> None:
        os = f"<os><type arch='x86_64' machine='{machine}'>hvm</type></os>"
        assert "VM_NOT_PCIE" in findings_of(domain_of(os=os))

    @pytest.mark.parametrize("machine", ["q35", "pc-q35-9.2", "virt-8.0", "pseries-7.2", "strange\x1b"])
    def test_machines_with_it_or_unknown_ones(self, machine: str) -> None:
        domain = domain_of()
        assert domain.config is not None
        domain = but(domain, config=but(domain.config, machine=machine))
        assert "VM_NOT_PCIE" not in findings_of(domain)

    def test_each_of_one_change_needs_a_port(self) -> None:
        """Two are free, so the third is the first that libvirt adds one for; what the VM has already needs none."""
        ports = "".join(f"<controller type='pci' index='{number}' model='pcie-root-port'/>" for number in range(20, 22))
        has = hostdev_xml("0000:3b:00.7")
        domain = domain_of(devices=FULL + ports + has)
        free = domain.config.pci.free_root_ports if domain.config is not None else 0
        others = [Address(f"0000:3b:00.{number}") for number in range(1, free + 1)]
        having = Address("0000:3b:00.7")
        for place, told in ((0, False), (free - 1, False), (free, True)):
            together = (having, *others[:place], NIC.address, *others[place:])
            found = {f.code for f in check_vm(NIC, domain, HostIndex(GOOD_HOST).for_vm(domain, together))}
            assert ("VM_PORT_WILL_BE_ADDED" in found) is told, place

    def test_a_vm_that_has_the_nic_needs_no_port(self) -> None:
        assert "VM_PORT_WILL_BE_ADDED" not in findings_of(domain_of(devices=FULL + hostdev_xml(NIC.address)))


class TestMemory:
    def test_the_advice_on_the_limit_is_enough(self) -> None:
        finding = findings_of(*HAVING["VM_MEMORY_LIMIT"])["VM_MEMORY_LIMIT"]
        kib = int(shlex.split(finding.command)[4])
        assert "VM_MEMORY_LIMIT" not in (found := findings_of(domain_of(tune=memtune(kib >> 20))))
        assert "VM_MEMORY_LIMIT_TIGHT" not in found

    def test_a_running_vm_has_its_memory_already(self) -> None:
        host = host_with(total=2 * GIB, available=GIB, hugepages=pools(0))
        found = findings_of(running(good_domain()), host)
        assert not {"VM_MEMORY_SHORT", "VM_MEMORY_TOO_BIG", "VM_HUGEPAGES_SHORT"} & set(found)

    def test_huge_pages_do_not_come_out_of_available_memory(self) -> None:
        assert "VM_MEMORY_SHORT" not in findings_of(good_domain(), host_with(available=0))

    @pytest.mark.parametrize("fact", [None, Unknown("not captured")])
    def test_unknown_memory_of_the_host_is_no_shortage(self, fact: Unknown | None) -> None:
        host = host_with(total=fact, available=fact, hugepages=fact, nodes=fact, hugepage_size=fact)
        found = findings_of(domain_of(backing=HUGE), host)
        assert not {"VM_MEMORY_SHORT", "VM_MEMORY_TOO_BIG", "VM_HUGEPAGES_SHORT", "VM_UNPINNED"} & set(found)

    def test_pages_that_the_kernel_may_make_count(self) -> None:
        domain = domain_of(backing=HUGE)
        assert "VM_HUGEPAGES_SHORT" not in findings_of(domain, host_with(hugepages=pools(10, overcommit=4096)))

    def test_only_pages_of_the_strict_node_count(self) -> None:
        host = host_with(nodes=(nodes()[0], nodes(free=100)[1]))
        finding = findings_of(good_domain(), host)["VM_HUGEPAGES_SHORT"]
        assert finding.command.startswith(
            "echo 2056 > /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
        )

    def test_the_advice_on_huge_pages_is_enough(self) -> None:
        finding = findings_of(*HAVING["VM_HUGEPAGES_SHORT"])["VM_HUGEPAGES_SHORT"]
        wanted = int(shlex.split(finding.command)[1])
        assert wanted - 8 == 2048  # eight are in use by others, 2048 pages of 2 MiB are 4 GiB

    def test_a_size_that_the_host_has_no_pool_of(self) -> None:
        backing = "<memoryBacking><hugepages><page size='1' unit='GiB'/></hugepages></memoryBacking>"
        finding = findings_of(domain_of(backing=backing))["VM_HUGEPAGES_SHORT"]
        assert "4 huge pages of 1 GiB, and 0 are free" in finding.sentence

    def test_a_page_of_no_size_is_no_division_by_zero(self) -> None:
        backing = "<memoryBacking><hugepages><page size='0'/></hugepages></memoryBacking>"
        assert "VM_HUGEPAGES_SHORT" not in findings_of(domain_of(backing=backing))


class TestNuma:
    @pytest.mark.parametrize("node", [None, -1, Unknown("x"), 7])
    def test_a_nic_without_a_node_is_near_to_everything(self, node: Any) -> None:
        found = findings_of(domain_of(), function=but(NIC, numa_node=node))
        assert not {"VM_CPU_REMOTE", "VM_MEMORY_REMOTE", "VM_UNPINNED"} & set(found)

    def test_one_node_is_near_to_everything(self) -> None:
        assert "VM_UNPINNED" not in findings_of(domain_of(), host_with(nodes=nodes()[1:]))

    def test_a_cpuset_holds_for_virtual_cpus_without_a_pin(self) -> None:
        vcpu = "<vcpu cpuset='0-7'>4</vcpu>"
        assert "0-7" in findings_of(domain_of(vcpu=vcpu))["VM_CPU_REMOTE"].sentence
        assert "VM_CPU_REMOTE" not in findings_of(domain_of(vcpu=vcpu, tune=PINS))

    def test_automatic_placement_is_not_unpinned(self) -> None:
        assert "VM_UNPINNED" not in findings_of(domain_of(vcpu="<vcpu placement='auto'>4</vcpu>"))

    def test_the_advice_pins_every_virtual_cpu(self) -> None:
        command = findings_of(*HAVING["VM_CPU_REMOTE"])["VM_CPU_REMOTE"].command
        assert command == "for vcpu in $(seq 0 3); do virsh vcpupin web $vcpu 8-15 --config; done"


class TestAddressWidth:
    @pytest.mark.parametrize(
        ("cpu", "told"),
        [
            ("<cpu mode='host-passthrough'/>", True),
            ("<cpu mode='maximum'/>", True),
            ("<cpu mode='custom'><maxphysaddr mode='passthrough'/></cpu>", True),
            ("<cpu mode='host-passthrough'><maxphysaddr mode='emulate' bits='39'/></cpu>", False),
            ("<cpu mode='host-passthrough'><maxphysaddr mode='emulate' bits='40'/></cpu>", True),
            ("<cpu mode='custom'/>", False),
            ("", False),
        ],
    )
    def test_the_guest_is_wider_than_the_iommu(self, cpu: str, told: bool) -> None:
        assert ("VM_ADDRESS_WIDTH" in findings_of(domain_of(cpu=cpu), NARROW)) is told

    def test_the_advice_is_the_width_of_the_iommu(self) -> None:
        assert "bits='39'" in findings_of(*HAVING["VM_ADDRESS_WIDTH"])["VM_ADDRESS_WIDTH"].mend


class TestGuestDrivers:
    @pytest.mark.parametrize(
        ("os_id", "driver", "lacks"),
        [
            ("http://debian.org/debian/9", "ice", True),
            ("http://debian.org/debian/10", "ice", False),
            ("http://debian.org/debian/10", "igc", True),
            ("http://debian.org/debian/11", "igc", False),
            ("http://debian.org/debian/testing", "igc", False),
            ("http://freebsd.org/freebsd/13.0", "igc", True),
            ("http://freebsd.org/freebsd/13.1", "igc", False),
            ("http://freebsd.org/freebsd/12.4", "igc", False),  # may have got it later: not known
            ("http://freebsd.org/freebsd/11.4", "igc", True),
            ("http://freebsd.org/freebsd/10.4", "bnxt_en", False),
            ("http://freebsd.org/freebsd/9.3", "bnxt_en", True),
            ("http://microsoft.com/win/10", "igc", False),
            ("http://redhat.com/rhel/8.0", "igc", False),
            ("http://debian.org/debian/10", "e1000e", False),
            ("x" * 10000, "igc", False),
        ],
    )
    def test_only_what_is_proved(self, os_id: str, driver: str, lacks: bool) -> None:
        assert (lacking_driver(os_id, driver) is not None) is lacks

    def test_a_nic_on_vfio_does_not_tell_its_driver(self) -> None:
        domain = HAVING["VM_GUEST_LACKS_DRIVER"][0]
        assert "VM_GUEST_LACKS_DRIVER" not in findings_of(domain, function=but(NIC, driver="vfio-pci"))


class TestNames:
    @pytest.mark.parametrize(
        ("name", "handle"),
        [
            ("web", "web"),
            ("web server", "'web server'"),
            ("a'b", "'a'\"'\"'b'"),
            ("$(reboot)", "'$(reboot)'"),
            ("17", "UUID"),
            ("--help", "UUID"),
            ("a\nb", "UUID"),
            ("\x1b[2J", "UUID"),
            ("\u202egpj", "UUID"),
        ],
    )
    def test_what_names_the_vm_in_a_line_to_paste(self, name: str, handle: str) -> None:
        uuid = "c7a5fdbd-edaf-9455-926a-d65c16db1801"
        assert handle_of(Domain(name=name, uuid=uuid)) == handle.replace("UUID", uuid)

    def test_a_uuid_that_is_none_is_not_pasted(self) -> None:
        assert handle_of(Domain(name="a\nb", uuid="; reboot")) == "$'a\\012b'"

    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.text(max_size=12))
    def test_no_name_breaks_out_of_a_command_or_a_sentence(self, name: str, uuid: str) -> None:
        for code in ("VM_RUNNING", "VM_TRANSIENT", "VM_CPU_REMOTE", "VM_VIOMMU", "VM_MEMORY_LIMIT"):
            domain, host = HAVING[code]
            finding = findings_of(but(domain, name=name, uuid=uuid), host)[code]
            assert finding.sentence.isprintable()
            assert finding.command.isprintable()
            harmless = findings_of(but(domain, name="web"), host)[code].command
            assert len(shlex.split(finding.command)) == len(shlex.split(harmless))


@given(values_of(Domain), values_of(Memory))
def test_any_vm_on_any_host_is_judged_without_an_error(domain: Domain, memory: Memory) -> None:
    for function in (NIC, but(NIC, numa_node=None, driver=Unknown("x"))):
        for finding in check_vm(function, domain, HostIndex(but(GOOD_HOST, memory=memory))):
            assert finding.sentence.isprintable()


def test_a_rich_definition_is_judged() -> None:
    assert parse_devices(RICH)
    found = findings_of(parse_domain(RICH))
    assert {"VM_VIOMMU", "VM_OTHER_HOSTDEVS", "VM_CPU_REMOTE", "VM_MEMORY_REMOTE"} <= set(found)
