# SPDX-License-Identifier: Apache-2.0
"""What is read of a NIC besides its plain attributes, and of which functions: BARs, link, power, config."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.host.doors.files import Files
from nicpass.host.pci.details import parse_link_speed, parse_resources
from nicpass.host.pci.functions import read_function, read_pci
from nicpass.model.address import Address
from nicpass.model.config_space import PcieLink
from nicpass.model.fact import Unknown, known, why_unknown
from nicpass.model.pci import IS_VF, NOT_READ, Bar, PciFunction
from tests.support.hosts import bridge, nic, nvme, pf_with_vfs
from tests.support.trees import Function, Tree

NIC = "0000:01:00.0"
PORT = bridge("0000:00:01.0")
# Of a real PF, an 82576: two BARs of memory, one of ports, the ROM, and two VF BARs.
RESOURCE = """\
0x00000000f7c20000 0x00000000f7c3ffff 0x0000000000040200
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x000000000000e020 0x000000000000e03f 0x0000000000040101
0x00000000f7c44000 0x00000000f7c47fff 0x0000000000040200
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x00000000f7400000 0x00000000f77fffff 0x0000000000046200
0x00000000f7bc0000 0x00000000f7bdffff 0x0000000000140204
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x0000000000000000 0x000000000001ffff 0x0000000020140204
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x0000000000000000 0x0000000000000000 0x0000000000000000
"""


def read(root: Path, *functions: Function) -> dict[str, PciFunction]:
    found = read_pci(Files(str(Tree(functions=functions).write(root))))
    return {str(function.address): function for function in found}


def was_read(function: PciFunction) -> bool:
    return function.config is not NOT_READ and function.config != NOT_READ


def test_read_are_nics_what_shares_slot_or_group_and_the_bridges_above(tmp_path: Path) -> None:
    functions = read(
        tmp_path,
        PORT,
        bridge("0000:00:02.0", group=2),
        nic(NIC, "eth1", under="0000:00:01.0", group=10),
        dataclasses.replace(nvme("0000:01:00.1", "nvme0n1", 11), under="0000:00:01.0"),
        nvme("0000:05:00.0", "nvme1n1", 10),
        nvme("0000:06:00.0", "nvme2n1", 12),
    )
    assert {address for address, function in functions.items() if was_read(function)} == {
        "0000:00:01.0",
        NIC,
        "0000:01:00.1",
        "0000:05:00.0",
    }
    assert functions["0000:06:00.0"].bars == NOT_READ


def test_one_function_alone_is_read_without_its_details(tmp_path: Path) -> None:
    read(tmp_path, nic(NIC, "eth1"))
    assert read_function(Files(str(tmp_path)), Address(NIC)).config == NOT_READ


def test_the_details_of_a_pf(tmp_path: Path) -> None:
    files = (("d3cold_allowed", "1\n"), ("resource", RESOURCE), ("power/control", "auto\n"))
    pf = read(tmp_path, PORT, nic(NIC, "eth1", under="0000:00:01.0", totalvfs=7, files=files))[NIC]
    assert pf.bars == (
        Bar(index=0, address=0xF7C20000, size=0x20000),
        Bar(index=2, address=0xE020, size=0x20, is_io=True),
        Bar(index=3, address=0xF7C44000, size=0x4000),
    )
    assert pf.vf_bars == (
        Bar(index=0, address=0xF7BC0000, size=0x20000, is_64bit=True),
        Bar(index=3, address=0, size=0x20000, is_64bit=True, assigned=False),
    )
    assert (pf.rom_size, pf.d3cold_allowed, pf.power_state, pf.runtime_pm) == (0x400000, True, "D0", "auto")
    assert known(pf.config)
    assert pf.sysfs_link is None  # config has told it


def test_of_a_vf_nothing_more_is_read(tmp_path: Path) -> None:
    functions = read(tmp_path, PORT, *pf_with_vfs(NIC, "eth1", 2, under="0000:00:01.0"))
    vf = functions["0000:01:02.0"]
    assert {why_unknown(fact) for fact in (vf.config, vf.bars, vf.sysfs_link, vf.power_state)} == {IS_VF.unknown}
    assert vf.reset_methods == ("flr", "bus")


def test_a_plain_nic_has_no_vf_bars_and_no_rom(tmp_path: Path) -> None:
    plain = read(tmp_path, nic(NIC, "eth1", files=(("resource", RESOURCE.partition("0x00000000f7400000")[0]),)))[NIC]
    assert (plain.vf_bars, plain.rom_size, plain.d3cold_allowed) == (None, None, None)


def test_a_link_comes_from_sysfs_where_config_is_cut(tmp_path: Path) -> None:
    files = (
        ("current_link_speed", "5.0 GT/s PCIe\n"),
        ("current_link_width", "4\n"),
        ("max_link_speed", "8 GT/s\n"),
        ("max_link_width", "8\n"),
    )
    cut = read(tmp_path, nic(NIC, "eth1", config_size=64, files=files))[NIC]
    assert cut.sysfs_link == PcieLink(speed=5000, width=4, max_speed=8000, max_width=8)


@pytest.mark.parametrize(
    ("text", "speed"),
    [
        ("2.5 GT/s PCIe", 2500),
        ("8 GT/s", 8000),
        ("16.0 GT/s PCIe", 16000),
        ("Unknown", None),
        ("Unknown speed", None),
        ("", None),
        ("8.25 GT/s", None),
        ("-8 GT/s", None),
        ("99999 GT/s", None),
        ("8.0 MT/s", None),
        (None, None),
        (Unknown("permission denied"), None),
    ],
)
def test_a_link_speed_is_read_or_not_known(text: str | None, speed: int | None) -> None:
    assert parse_link_speed(text) == speed


@pytest.mark.parametrize("text", ["one two three\n", "0x1 0x2\n", "0x1 0x2 0x3 0x4\n", "\x00\n" * 3 + "zz zz zz zz"])
def test_a_resource_that_is_none_is_unknown(text: str) -> None:
    assert isinstance(parse_resources(text), Unknown)


@given(st.text(max_size=200))
def test_any_text_of_resources_is_borne(text: str) -> None:
    assert isinstance(parse_resources(text), dict | Unknown)
    parse_link_speed(text)
