# SPDX-License-Identifier: Apache-2.0
"""Device scopes walked to functions: units and reserved memory, as the kernel's own matching has it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_host, check_nic
from nicpass.host.doors.files import Files
from nicpass.host.firmware.tables import read_firmware
from nicpass.model.address import Address
from nicpass.model.fact import Unknown
from nicpass.model.firmware import ENDPOINT, HPET, IOAPIC, SUB_HIERARCHY, Drhd, Ivhd, Scope
from nicpass.model.host import Host
from nicpass.model.pci import PciFunction
from tests.support import acpi
from tests.support.hosts import bridge, nic, pf_with_vfs, ready_host
from tests.support.trees import BRIDGE, Function, Tree

NIC = "0000:03:00.0"
SWITCH = (
    bridge("0000:00:01.0"),
    bridge("0000:01:00.0", under="0000:00:01.0"),
    bridge("0000:02:04.0", under="0000:01:00.0"),
    nic(NIC, "eth1", under="0000:02:04.0"),
    bridge("0000:00:1c.0"),
    nic("0000:80:00.0", "eth8", group=18),
)
TO_NIC = ((1, 0), (0, 0), (4, 0), (0, 0))
BASE = 0xFED91000

scope = acpi.pack_scope


def index_of(tmp_path: Path, *records: bytes, functions: tuple[Function, ...] = SWITCH, **more: object) -> HostIndex:
    tree = ready_host(*functions).but(firmware={"DMAR": acpi.dmar(*records)}, **more)
    return HostIndex(tree.read(tmp_path))


def function_of(index: HostIndex, address: str = NIC) -> PciFunction:
    return index.functions[Address(address)]


def codes_of(index: HostIndex, address: str = NIC) -> set[str]:
    return {finding.code for finding in (*check_host(index.host), *check_nic(function_of(index, address), index))}


@pytest.mark.parametrize(
    ("kind", "bus", "path", "expected"),
    [
        (ENDPOINT, 0, TO_NIC, NIC),
        (SUB_HIERARCHY, 0, TO_NIC[:2], "0000:01:00.0"),
        (ENDPOINT, 0x80, ((0, 0),), "0000:80:00.0"),
        (ENDPOINT, 3, ((0, 0),), NIC),  # its own bus in place of the root's: the kernel bears that
        (ENDPOINT, 3, ((0, 0), (0, 0)), None),
        (ENDPOINT, 0, ((2, 0),), None),
        (ENDPOINT, 0, ((1, 0), (1, 0)), None),
        (ENDPOINT, 0, ((2, 0), (0, 0)), None),
        (ENDPOINT, 0, ((1, 0), (0, 0), (5, 0), (0, 0)), None),
        (IOAPIC, 0, TO_NIC, None),
        (HPET, 0, TO_NIC, None),
        (ENDPOINT, 0, (), None),
    ],
)
def test_a_path_leads_to_a_function(kind: int, bus: int, path: acpi.Path, expected: str | None, tmp_path: Path) -> None:
    assert index_of(tmp_path).scopes.resolve(Scope(kind, 0, bus, path), 0) == expected


def test_another_segment_is_another_host_bridge(tmp_path: Path) -> None:
    assert index_of(tmp_path).scopes.resolve(Scope(ENDPOINT, 0, 0, TO_NIC), 1) is None


def test_behind_a_bridge_with_nothing_below_the_bus_is_unknown(tmp_path: Path) -> None:
    answer = index_of(tmp_path).scopes.resolve(Scope(ENDPOINT, 0, 0, ((0x1C, 0), (0, 0))), 0)
    assert isinstance(answer, Unknown)
    assert "0000:00:1c.0" in answer.unknown


def bases(index: HostIndex) -> dict[str, str | None]:
    units = {f.address: index.scopes.unit_of(f) for f in index.host.pci}
    return {address: unit.base if isinstance(unit, Drhd) else None for address, unit in units.items()}


@pytest.mark.parametrize("catch_all_first", [True, False])
def test_a_named_unit_goes_before_include_pci_all_wherever_that_stands(catch_all_first: bool, tmp_path: Path) -> None:
    named = acpi.drhd(scope(((1, 0),), kind=SUB_HIERARCHY), base=BASE)
    rest = acpi.drhd(include_pci_all=True)
    index = index_of(tmp_path, *((rest, named) if catch_all_first else (named, rest)))
    assert bases(index) == {
        "0000:00:01.0": hex(BASE),
        "0000:01:00.0": hex(BASE),
        "0000:02:04.0": hex(BASE),
        NIC: hex(BASE),
        "0000:00:1c.0": "0xfed90000",
        "0000:80:00.0": "0xfed90000",
    }


def test_an_endpoint_scope_is_for_that_function_alone(tmp_path: Path) -> None:
    index = index_of(tmp_path, acpi.drhd(scope(TO_NIC), base=BASE), acpi.drhd(include_pci_all=True))
    found = bases(index)
    assert [address for address, base in found.items() if base == hex(BASE)] == [NIC]


def test_a_scope_of_the_wrong_kind_is_passed_over_as_the_kernel_does(tmp_path: Path) -> None:
    wrong = acpi.drhd(scope(TO_NIC, kind=SUB_HIERARCHY), scope(((1, 0),), kind=ENDPOINT), base=BASE)
    assert hex(BASE) not in bases(index_of(tmp_path, wrong)).values()


def test_include_pci_all_is_for_its_segment_only(tmp_path: Path) -> None:
    index = index_of(tmp_path, acpi.drhd(include_pci_all=True, segment=1))
    assert set(bases(index).values()) == {None}


def test_of_two_units_that_name_it_the_later_counts(tmp_path: Path) -> None:
    units = (acpi.drhd(scope(TO_NIC), base=BASE), acpi.drhd(scope(((1, 0),), kind=SUB_HIERARCHY), base=0x1000))
    assert bases(index_of(tmp_path, *units))[NIC] == "0x1000"


def test_a_vf_is_where_its_pf_is(tmp_path: Path) -> None:
    functions = (bridge("0000:00:01.0"), *pf_with_vfs("0000:01:00.0", "eth1", 2, under="0000:00:01.0"))
    unit = acpi.drhd(scope(((1, 0), (0, 0))), base=BASE)
    assert bases(index_of(tmp_path, unit, functions=functions)) == {
        "0000:00:01.0": None,
        "0000:01:00.0": hex(BASE),
        "0000:01:02.0": hex(BASE),
        "0000:01:02.1": hex(BASE),
    }


def test_behind_a_vmd_controller_the_unit_is_unknown(tmp_path: Path) -> None:
    functions = (nic("10000:01:00.0", "eth1", group=None),)
    index = index_of(tmp_path, functions=functions)
    assert isinstance(index.scopes.unit_of(function_of(index, "10000:01:00.0")), Unknown)
    assert "NO_UNIT_FOR_NIC" not in codes_of(index, "10000:01:00.0")


def test_supermicro_s_second_socket_belongs_to_its_own_unit(capture: Callable[[str], Path], tmp_path: Path) -> None:
    """TRUTH.md: bus 80h is below fbffc000's bridges, not the catch-all's."""
    functions = (
        bridge("0000:80:02.0"),
        nic("0000:81:00.0", "eth1", under="0000:80:02.0"),
        bridge("0000:00:02.0"),
        nic("0000:02:00.0", "eth2", group=11, under="0000:00:02.0"),
    )
    host = ready_host(*functions).read(tmp_path)
    captured = read_firmware(Files(str(capture("supermicro-x10dai-rhsa-numa"))))
    index = HostIndex(msgspec.structs.replace(host, firmware=captured))
    found = bases(index)
    assert found["0000:81:00.0"] == found["0000:80:02.0"] == "0xfbffc000"
    assert found["0000:02:00.0"] == "0xf3ffc000"
    assert not index.scopes.reservations_of(function_of(index, "0000:81:00.0"))


@pytest.mark.parametrize("name", ["dell-r820-dmar-4sockets", "hp-dc7800-8rmrr-flags0", "supermicro-x10dai-rhsa-numa"])
def test_no_nic_of_a_captured_host_is_locked_by_its_rmrrs(
    name: str, capture: Callable[[str], Path], tmp_path: Path
) -> None:
    """TRUTH.md: they are for USB and graphics, whose regions the kernel gives up, and never for a NIC elsewhere."""
    captured = read_firmware(Files(str(capture(name))))
    usb = [f"0000:00:{slot:02x}.{function}" for slot in (0x14, 0x1A, 0x1D) for function in (0, 1, 2, 3, 7)]
    functions = (
        *(Function(address=address, class_code=0x0C0320, group=9) for address in usb),
        Function(address="0000:00:02.0", class_code=0x030000, group=8),
        nic("0000:00:19.0", "eth1", group=None),
        bridge("0000:00:1c.0"),
        nic("0000:03:00.0", "eth2", group=None, under="0000:00:1c.0"),
    )
    index = HostIndex(msgspec.structs.replace(ready_host(*functions).read(tmp_path), firmware=captured))
    for address in ("0000:00:19.0", "0000:03:00.0"):
        assert not index.scopes.reservations_of(function_of(index, address))
        assert not {"RESERVED_REGION", "RESERVED_REGION_FIRMWARE", "NO_UNIT_FOR_NIC"} & codes_of(index, address)
    controllers = [each for address in usb for each in index.scopes.reservations_of(function_of(index, address))]
    assert controllers
    assert all(each.is_relaxable for each in controllers)


class TestReservedMemory:
    """RMRR and IVMD, alone and beside what the kernel says."""

    RMRR = acpi.pack_rmrr(0x7D000000, 0x7D000FFF, scope(TO_NIC))

    def test_it_is_the_named_function_s(self, tmp_path: Path) -> None:
        index = index_of(tmp_path, acpi.drhd(include_pci_all=True), self.RMRR, reserved_regions={10: None})
        assert "RESERVED_REGION_FIRMWARE" in codes_of(index)
        assert "RESERVED_REGION_FIRMWARE" not in codes_of(index, "0000:80:00.0")

    def test_the_kernel_s_word_counts_before_the_table_s(self, tmp_path: Path) -> None:
        index = index_of(tmp_path, acpi.drhd(include_pci_all=True), self.RMRR)
        assert not {"RESERVED_REGION", "RESERVED_REGION_FIRMWARE"} & codes_of(index)

    def test_the_table_is_evidence_for_the_kernel_s_word(self, tmp_path: Path) -> None:
        regions = "0x000000007d000000 0x000000007d000fff direct\n"
        index = index_of(tmp_path, acpi.drhd(include_pci_all=True), self.RMRR, reserved_regions={10: regions})
        finding = next(f for f in check_nic(function_of(index), index) if f.code == "RESERVED_REGION")
        assert "0x7d000000-0x7d000fff" in finding.sentence
        assert [evidence.source for evidence in finding.evidence] == [
            "/sys/kernel/iommu_groups/10/reserved_regions",
            f"DMAR, RMRR, {NIC}",
        ]

    def test_a_companion_s_is_named_as_such(self, tmp_path: Path) -> None:
        functions = (*SWITCH, nic("0000:03:00.1", "eth2", under="0000:02:04.0"))
        regions = {10: "0x000000007d000000 0x000000007d000fff direct\n"}
        index = index_of(
            tmp_path, acpi.drhd(include_pci_all=True), self.RMRR, functions=functions, reserved_regions=regions
        )
        findings = check_nic(function_of(index, "0000:03:00.1"), index)
        evidence = next(finding.evidence for finding in findings if finding.code == "RESERVED_REGION")
        assert [each.source for each in evidence][1:] == [f"DMAR, RMRR, {NIC}"]

    def test_a_bridge_s_is_everything_s_below_it(self, tmp_path: Path) -> None:
        rmrr = acpi.pack_rmrr(0x7D000000, 0x7D000FFF, scope(((1, 0),), kind=SUB_HIERARCHY))
        index = index_of(tmp_path, acpi.drhd(include_pci_all=True), rmrr)
        assert [each.source for each in index.scopes.reservations_of(function_of(index))] == [
            "DMAR, RMRR, 0000:00:01.0"
        ]

    def test_a_pf_s_is_not_its_vfs(self, tmp_path: Path) -> None:
        functions = (bridge("0000:00:01.0"), *pf_with_vfs("0000:01:00.0", "eth1", 1, under="0000:00:01.0"))
        rmrr = acpi.pack_rmrr(0x7D000000, 0x7D000FFF, scope(((1, 0), (0, 0))))
        index = index_of(tmp_path, acpi.drhd(include_pci_all=True), rmrr, functions=functions)
        assert len(index.scopes.reservations_of(function_of(index, "0000:01:00.0"))) == 1
        assert index.scopes.reservations_of(function_of(index, "0000:01:02.0")) == []

    def test_overlapping_ones_are_not_merged(self, tmp_path: Path) -> None:
        wide = acpi.pack_rmrr(0x7D000000, 0x7D00FFFF, scope(TO_NIC))
        index = index_of(tmp_path, acpi.drhd(include_pci_all=True), wide, self.RMRR)
        found = [(each.start, each.end) for each in index.scopes.reservations_of(function_of(index))]
        assert found == [("0x7d000000", "0x7d00ffff"), ("0x7d000000", "0x7d000fff")]

    def test_direct_relaxable_is_no_obstacle(self, tmp_path: Path) -> None:
        regions = {10: "0x00000000bf458000 0x00000000bf46ffff direct-relaxable\n"}
        assert "RESERVED_REGION" not in codes_of(index_of(tmp_path, reserved_regions=regions))

    @pytest.mark.parametrize(
        ("block", "reserved"),
        [
            (acpi.ivmd(0xC9F42000, 0x26000, 0x300), True),
            (acpi.ivmd(0xC9F42000, 0x26000, 0x100), False),
            (acpi.ivmd(0xC9F42000, 0x26000, kind=0x20), True),
            (acpi.ivmd(0xC9F42000, 0x26000, 0, 0xFFF, kind=0x22), True),
            (acpi.ivmd(0xC9F42000, 0x26000, 0, 0x2FF, kind=0x22), False),
            (acpi.ivmd(0xC9F42000, 0x26000, 0x300, flags=7), True),  # unity, readable, writable
            (acpi.ivmd(0xC9F42000, 0x26000, 0x300, flags=6), False),  # neither unity nor exclusion
        ],
    )
    def test_ivmd_is_for_its_devices(self, block: bytes, reserved: bool, tmp_path: Path) -> None:
        tree = amd_host(acpi.ivhd(b"\x01\0\0\0"), block).but(reserved_regions={10: None})
        index = HostIndex(tree.read(tmp_path))
        assert ("RESERVED_REGION_FIRMWARE" in codes_of(index)) is reserved


def amd_host(*blocks: bytes) -> Tree:
    return ready_host(*SWITCH).but(cpu="amd", tables=("IVRS",), firmware={"IVRS": acpi.ivrs(*blocks)})


def entry(kind: int, devid: int) -> bytes:
    return bytes([kind, devid & 255, devid >> 8, 0])


ALIAS_RANGE = bytes.fromhex("43 00 03 00 00 00 02 00")


@pytest.mark.parametrize(
    ("entries", "covered"),
    [
        (entry(1, 0), True),
        (entry(2, 0x300), True),
        (entry(2, 0x301), False),
        (entry(3, 0x8) + entry(4, 0xFFFE), True),
        (entry(3, 0x8) + entry(4, 0x2FF), False),
        (ALIAS_RANGE + entry(4, 0x3FF), True),
        (bytes.fromhex("48 00 00 00 21 00 03 01"), False),  # an IOAPIC that asks in the NIC's name
    ],
)
def test_an_amd_unit_covers_what_its_entries_name(entries: bytes, covered: bool, tmp_path: Path) -> None:
    functions = tuple(dataclasses.replace(f, group=None) if f.class_code != BRIDGE else f for f in SWITCH)
    index = HostIndex(amd_host(acpi.ivhd(entries)).but(functions=functions).read(tmp_path))
    assert isinstance(index.scopes.amd_unit_of(function_of(index)), Ivhd) is covered
    assert ("NO_UNIT_FOR_NIC" in codes_of(index)) is not covered


def test_of_several_types_the_last_is_the_kernel_s(tmp_path: Path) -> None:
    blocks = (acpi.ivhd(entry(1, 0), kind=0x10), acpi.ivhd(entry(2, 0x80), kind=0x11))
    index = HostIndex(amd_host(*blocks).read(tmp_path))
    assert index.scopes.amd_unit_of(function_of(index)) is None


def test_a_damaged_table_denies_no_nic_its_unit(tmp_path: Path) -> None:
    table = acpi.dmar(acpi.drhd(scope(((2, 0),))))[:-1]
    functions = (nic(NIC, "eth1", group=None),)
    index = HostIndex(ready_host(*functions, firmware={"DMAR": table}).read(tmp_path))
    assert "TABLE_DAMAGED" in codes_of(index)
    assert "NO_UNIT_FOR_NIC" not in codes_of(index)


def test_a_loop_of_bridges_in_a_snapshot_ends() -> None:
    """A snapshot comes from elsewhere."""
    address = Address("0000:01:00.0")
    looped = PciFunction(address=address, class_code=0x020000, bridge=address)
    assert HostIndex(Host(pci=(looped,))).scopes.line_of(looped) is None
