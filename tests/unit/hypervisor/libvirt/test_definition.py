# SPDX-License-Identifier: Apache-2.0
"""What of a VM's definition is read; that what is strange or damaged becomes a reason, never an error of ours."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.host.doors.files import Files
from nicpass.hypervisor.libvirt.domains import read_domains
from nicpass.hypervisor.libvirt.hostdevs import parse_devices, parse_domain, parse_machine
from nicpass.model.domain import (
    CpuPin,
    Definition,
    Domain,
    DomainInterface,
    GuestPlace,
    PciPlaces,
    VirtualIommu,
    guest_place,
)
from nicpass.model.errors import NicpassError
from nicpass.model.fact import Unknown
from tests.support.domains import RICH, definition_xml, mutate, mutate_tree

GIB = 1 << 30


def read(**parts: str) -> Definition:
    return parse_machine(definition_xml(**parts))[1]


def test_everything_that_is_said_is_read() -> None:
    devices, whole_definition = parse_machine(RICH)
    interfaces = tuple(msgspec.structs.replace(each, xml=None) for each in whole_definition.interfaces)
    definition = msgspec.structs.replace(whole_definition, interfaces=interfaces)
    assert definition == Definition(
        machine="pc-q35-9.2",
        arch="x86_64",
        firmware="efi",
        secure_boot=True,
        memory=8 * GIB,
        current_memory=4 * GIB,
        max_memory=16 * GIB,
        memory_limit=10 * GIB,
        memory_nodes="0",
        memory_mode="strict",
        numatune_xml='<numatune><memory mode="strict" nodeset="0" /></numatune>',
        hugepages_xml='<hugepages><page size="1048576" unit="KiB" /></hugepages>',
        hugepages=True,
        hugepage_sizes=(GIB,),
        locked=True,
        nosharepages=True,
        vcpus=4,
        cpuset="0-7,^3",
        placement="static",
        vcpu_pins=(CpuPin(0, "0"), CpuPin(1, "1,9")),
        emulator_pin="8",
        cpu_mode="host-passthrough",
        address_bits=39,
        address_bits_mode="emulate",
        pci=PciPlaces(
            root_ports=3, free_root_ports=1, hotplug_slots=1, hotplug_places=(GuestPlace("03:00"),), next_index=4
        ),
        iommu=VirtualIommu(model="intel", caching_mode=True, intremap=True, aw_bits=48),
        interfaces=(
            DomainInterface(
                type="network",
                model="virtio",
                source="default",
                network="default",
                filter="clean-traffic",
                teaming="persistent",
            ),
        ),
        other_hostdevs=("usb",),
        os_id="http://debian.org/debian/12",
    )
    whole, vf = devices
    assert (whole.rom_bar, whole.teaming, vf.rom_bar, vf.teaming) == (False, None, None, "transient")


def test_what_is_not_said_is_none() -> None:
    root = "<domain type='kvm'><name>web</name><uuid>1</uuid></domain>"
    domain = parse_domain(root)
    assert domain.config == Definition()
    assert domain.definition is domain.config


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("b", 1),
        ("bytes", 1),
        ("KB", 1000),
        ("k", 1024),
        ("KiB", 1024),
        ("M", 1 << 20),
        ("MB", 10**6),
        ("MiB", 1 << 20),
        ("G", 1 << 30),
        ("GiB", 1 << 30),
        ("GB", 10**9),
        ("TiB", 1 << 40),
    ],
)
def test_sizes_are_in_the_units_of_the_schema(unit: str, factor: int) -> None:
    assert read(memory=f"<memory unit='{unit}'>3</memory>").memory == 3 * factor


def test_a_size_without_a_unit_is_in_kib() -> None:
    assert read(memory="<memory> 2048 </memory>").memory == 2 << 20


@pytest.mark.parametrize(
    ("parts", "field", "said"),
    [
        ({"memory": "<memory>lots</memory>"}, "memory", "not a number: memory: 'lots'"),
        ({"memory": "<memory unit='furlong'>1</memory>"}, "memory", "not a unit: memory: 'furlong'"),
        ({"memory": "<memory unit=''>1</memory>"}, "memory", "not a unit"),
        ({"memory": "<memory>-4</memory>"}, "memory", "not a number"),
        ({"memory": f"<memory>{'9' * 5000}</memory>"}, "memory", "not a number"),
        ({"vcpu": "<vcpu>٣</vcpu>"}, "vcpus", "not a number"),
        ({"vcpu": "<vcpu cpuset='0-99999'>1</vcpu>"}, "cpuset", "not a list"),
        ({"vcpu": "<vcpu cpuset='3-1'>1</vcpu>"}, "cpuset", "not a list"),
        ({"tune": "<cputune><vcpupin vcpu='x' cpuset='1'/></cputune>"}, "vcpu_pins", "not a number"),
        ({"tune": "<cputune><vcpupin vcpu='1'/></cputune>"}, "vcpu_pins", "not a list"),
        ({"tune": "<cputune><emulatorpin cpuset='all'/></cputune>"}, "emulator_pin", "not a list"),
        ({"tune": "<numatune><memory nodeset='zero'/></numatune>"}, "memory_nodes", "not a list"),
        ({"backing": "<memoryBacking><hugepages><page size='big'/></hugepages></memoryBacking>"}, "hugepage_sizes", ""),
        ({"cpu": "<cpu><maxphysaddr mode='emulate' bits='wide'/></cpu>"}, "address_bits", "not a number"),
    ],
)
def test_what_is_no_value_is_unknown_with_a_reason(parts: dict[str, str], field: str, said: str) -> None:
    fact = getattr(read(**parts), field)
    assert isinstance(fact, Unknown)
    assert said in fact.unknown
    assert len(fact.unknown) < 150, "a hostile value is not repeated whole"


@pytest.mark.parametrize(
    ("os", "firmware", "secure"),
    [
        ("<os><type arch='x86_64' machine='q35'>hvm</type></os>", "bios", None),
        ("<os firmware='efi'><type arch='x86_64'>hvm</type></os>", "efi", None),
        ("<os><type arch='x86_64'>hvm</type><loader type='pflash' secure='yes'>x</loader></os>", "efi", True),
        ("<os><type arch='x86_64'>hvm</type><loader secure='no'>x</loader></os>", "bios", False),
        ("<os><type arch='s390x'>hvm</type></os>", None, None),
    ],
)
def test_the_firmware_is_told(os: str, firmware: str | None, secure: bool | None) -> None:
    definition = read(os=os)
    assert (definition.firmware, definition.secure_boot) == (firmware, secure)


def test_ports_taken_and_ports_without_hotplug_are_no_place() -> None:
    ports = "".join(
        f"<controller type='pci' index='{index}' model='pcie-root-port'>{target}</controller>"
        for index, target in ((1, ""), (2, "<target hotplug='off'/>"), (3, "<target hotplug='on'/>"))
    )
    assert read(controllers=ports).pci == PciPlaces(
        root_ports=3, free_root_ports=2, hotplug_slots=1, hotplug_places=(GuestPlace("03:00"),)
    )


def test_the_address_on_the_host_takes_no_port_of_the_guest() -> None:
    device = "<hostdev type='pci'><source><address type='pci' bus='0x02' slot='0' function='0'/></source></hostdev>"
    assert read(devices=device).pci.free_root_ports == 2


def test_a_conventional_bus_has_31_slots() -> None:
    places = read(
        controllers="<controller type='pci' index='0' model='pci-root'/>",
        interfaces="",
        devices="".join(
            f"<video><address type='pci' bus='0x00' slot='0x0{s}' function='0x0'/></video>" for s in (1, 2)
        ),
    ).pci
    assert places == PciPlaces(hotplug_slots=29, hotplug_places=tuple(guest_place(0, slot) for slot in range(3, 32)))


def test_nesting_without_end_is_an_error_that_says_so() -> None:
    deep = "<domain><devices><hostdev type='pci'>" + "<a>" * 5000 + "</a>" * 5000 + "</hostdev></devices></domain>"
    with pytest.raises(NicpassError, match="nested"):
        parse_devices(deep)


@pytest.mark.parametrize(
    "xml",
    [
        "<network><name>n</name><uuid>1</uuid></network>",
        "<domain><name/><uuid>1</uuid></domain>",
        "<domain><name>a</name></domain>",
        "<?xml version='1.0' encoding='utf-42'?><domain/>",
        "\ud800",
    ],
)
def test_what_is_no_vm_is_an_error(xml: str) -> None:
    with pytest.raises(NicpassError):
        parse_domain(xml)


def test_a_file_of_entities_does_not_fill_the_memory() -> None:
    lines = ["<!DOCTYPE d [<!ENTITY a0 'lollollollollol'>"]
    lines += [f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12)]
    with pytest.raises(NicpassError):
        parse_domain("".join([*lines, "]><domain><name>&a11;</name><uuid>1</uuid></domain>"]))


@given(st.integers())
def test_a_mutated_definition_is_read_or_refused(seed: int) -> None:
    text = mutate(RICH, random.Random(seed))  # noqa: S311
    try:
        domain = parse_domain(text)
    except NicpassError:
        return
    again = msgspec.json.decode(msgspec.json.encode(domain), type=Domain)
    assert again == domain


@given(st.integers(0, 2**32))
def test_a_definition_with_strange_values_is_read(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    with contextlib.suppress(NicpassError):  # its name or its UUID may be what was taken out
        config = parse_domain(mutate_tree(RICH, rng)).config
        assert config is not None
        assert msgspec.json.decode(msgspec.json.encode(config), type=Definition) == config


@given(st.text(max_size=60), st.sampled_from(("memory", "vcpu", "tune", "cpu", "devices", "os")))
def test_any_text_in_any_place_is_read_or_refused(text: str, part: str) -> None:
    with contextlib.suppress(NicpassError):
        assert parse_domain(definition_xml(**{part: text})).config is not None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.integers(0, 9), st.integers(0, 9))
def test_attributes_may_hold_anything(value: str, memory: int, vcpus: int) -> None:
    from xml.sax.saxutils import quoteattr

    kept = "".join(char for char in value if char.isprintable())
    definition = read(
        os=f"<os><type machine={quoteattr(kept)}>hvm</type></os>",
        memory=f"<memory unit={quoteattr(kept)}>{memory}</memory>",
        vcpu=f"<vcpu cpuset={quoteattr(kept)}>{vcpus}</vcpu>",
    )
    assert definition.machine == kept
    assert definition.vcpus == vcpus


class TestDefinitionsInFiles:
    def test_a_saved_image_is_seen(self, tmp_path: Path) -> None:
        put(tmp_path, "etc/libvirt/qemu/web.xml", definition_xml())
        put(tmp_path, "var/lib/libvirt/qemu/save/web.save", "")
        assert domains_in(tmp_path)[0].saved_image is True

    def test_no_saved_image_is_no(self, tmp_path: Path) -> None:
        put(tmp_path, "etc/libvirt/qemu/web.xml", definition_xml())
        put(tmp_path, "var/lib/libvirt/qemu/save/other.save", "")
        assert domains_in(tmp_path)[0].saved_image is False

    def test_a_folder_that_was_not_captured_is_unknown(self, tmp_path: Path) -> None:
        put(tmp_path, "etc/libvirt/qemu/web.xml", definition_xml())
        assert isinstance(domains_in(tmp_path)[0].saved_image, Unknown)

    def test_a_name_cannot_lead_out_of_the_folder(self, tmp_path: Path) -> None:
        put(tmp_path, "etc/libvirt/qemu/web.xml", definition_xml(name="../../web"))
        put(tmp_path, "var/lib/libvirt/web.save", "")
        put(tmp_path, "var/lib/libvirt/qemu/save/x.save", "")
        assert domains_in(tmp_path)[0].saved_image is False


def put(root: Path, path: str, content: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


def domains_in(root: Path) -> tuple[Domain, ...]:
    domains = read_domains(Files(str(root)))
    assert isinstance(domains, tuple)
    return domains
