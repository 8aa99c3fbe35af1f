# SPDX-License-Identifier: Apache-2.0
"""The decoder of configuration space: what it says of good bytes, and that nothing makes it guess, raise or hang."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.host.doors.files import Files
from nicpass.host.pci.config_space import decode_config, read_config
from nicpass.model.config_space import ConfigSpace, Pcie, PcieLink, Sriov, VfBar
from nicpass.model.fact import Unknown, known
from tests.support.config_space import CONVENTIONAL, PCI_BRIDGE, Capabilities, Identity, build_config
from tests.support.config_space import Link as BuiltLink
from tests.support.config_space import Sriov as BuiltSriov

NIC = Identity(0x8086, 0x10FB, 0x8086, 0x0003, 0x020000)
PORT = Identity(0x8086, 0x1901, 0, 0, 0x060400)
CONVENTIONAL_FIELDS = ("pm", "msi", "msix", "pcie", "af_flr")
EXTENDED_FIELDS = ("sriov", "ari", "acs", "ats", "pri", "pasid", "serial_number")
PF = build_config(NIC, 4096, sriov=BuiltSriov(63, 2, 16, 1, 0x10ED), serial=0xA0369FFFFF123456)


def patched(content: bytes, **places: bytes) -> bytes:
    """`patched(PF, x34=b"\\x40")`: other bytes at hexadecimal places."""
    changed = bytearray(content)
    for place, new in places.items():
        at = int(place[1:], 16)
        changed[at : at + len(new)] = new
    return bytes(changed)


def test_a_pf_is_decoded_whole() -> None:
    config = decode_config(PF)
    assert config.problems == ()
    assert (config.bytes_read, config.vendor_id, config.device_id, config.header_type) == (4096, 0x8086, 0x10FB, 0)
    assert config.pcie == Pcie(
        port_type="endpoint", flr=True, link=PcieLink(speed=8000, width=8, max_speed=8000, max_width=8)
    )
    assert known(config.msix)
    assert config.msix.table_size == 64
    assert config.serial_number == "a0-36-9f-ff-ff-12-34-56"
    assert config.acs is None
    assert config.sriov == Sriov(
        initial_vfs=63,
        total_vfs=63,
        num_vfs=2,
        first_vf_offset=16,
        vf_stride=1,
        vf_device_id=0x10ED,
        vf_enable=True,
        memory_enable=True,
        supported_page_sizes=0x553,
        vf_bars=(VfBar(index=0, address=0x2000_0000_0000, is_64bit=True, prefetchable=True),),
    )


def test_a_root_port_is_decoded() -> None:
    config = decode_config(build_config(PORT, 4096, secondary_bus=5))
    assert (config.header_type, config.secondary_bus, config.subordinate_bus) == (1, 5, 5)
    assert known(config.pcie)
    assert (config.pcie.port_type, config.pcie.ari_forwarding, config.pcie.ari_forwarding_enabled) == (
        "root port",
        True,
        True,
    )
    assert known(config.acs)
    assert config.acs.enabled == ("SV", "RR", "CR", "UF")
    assert set(config.acs.capable) == {"SV", "TB", "RR", "CR", "UF", "DT"}


@pytest.mark.parametrize("size", [64, 128, 255])
def test_of_64_bytes_every_capability_is_unknown_and_says_run_as_root(size: int) -> None:
    config = decode_config(PF[:size])
    assert (config.bytes_read, config.vendor_id, config.problems) == (size, 0x8086, ())
    for field in (*CONVENTIONAL_FIELDS, *EXTENDED_FIELDS):
        fact = getattr(config, field)
        assert isinstance(fact, Unknown), field
        assert "run as root" in fact.unknown


def test_of_256_bytes_of_pcie_the_extended_ones_are_unknown() -> None:
    config = decode_config(PF[:256])
    assert known(config.pcie)
    assert all(isinstance(getattr(config, field), Unknown) for field in EXTENDED_FIELDS)


def test_of_conventional_pci_256_bytes_are_the_whole_truth() -> None:
    config = decode_config(build_config(NIC, 256, capabilities=CONVENTIONAL))
    assert config.pcie is None
    assert all(getattr(config, field) is None for field in EXTENDED_FIELDS)


def test_a_function_without_a_capability_list_has_none_even_of_64_bytes() -> None:
    config = decode_config(patched(PF, x06=b"\0\0")[:64])
    assert all(getattr(config, field) is None for field in (*CONVENTIONAL_FIELDS, *EXTENDED_FIELDS))


@pytest.mark.parametrize("size", [64, 256, 4096])
def test_a_device_that_does_not_answer_has_no_capabilities_that_are_known(size: int) -> None:
    config = decode_config(b"\xff" * size)
    assert not config.responds
    assert all(isinstance(getattr(config, field), Unknown) for field in (*CONVENTIONAL_FIELDS, *EXTENDED_FIELDS))


def test_a_vf_reads_its_ids_as_ones_and_answers_all_the_same() -> None:
    config = decode_config(build_config(NIC, 4096, is_vf=True))
    assert (config.responds, config.vendor_id) == (True, 0xFFFF)
    assert known(config.pcie)
    assert (config.pcie.flr, config.pcie.link) == (True, None)


@pytest.mark.parametrize(
    ("changes", "problem", "lost"),
    [
        ({"x71": b"\x40"}, "the capability list loops at 0x40", "af_flr"),
        ({"x41": b"\x20"}, "the capability list points outside, at 0x20", "msix"),
        ({"x34": b"\x3c"}, "the capability list points outside, at 0x3c", "pcie"),
        ({"x41": b"\xf0", "xf0": b"\xff\xff"}, "the capability at 0xf0 reads as ones", "pcie"),
        ({"x162": b"\x01\x10"}, "the capability list loops at 0x100", "acs"),
        ({"x102": b"\x01\x04"}, "the capability list points outside, at 0x40", "sriov"),
        ({"x100": b"\xff\xff\xff\xff"}, "the capability at 0x100 reads as ones", "sriov"),
    ],
)
def test_a_damaged_list_ends_and_hides_no_more_than_it_must(changes: dict[str, bytes], problem: str, lost: str) -> None:
    config = decode_config(patched(PF, **changes))
    assert config.problems == (problem,)
    assert isinstance(getattr(config, lost), Unknown)


def test_what_was_found_before_the_damage_is_kept() -> None:
    config = decode_config(patched(PF, x142=b"\x01\x14"))  # ARI points at itself
    assert known(config.serial_number)
    assert known(config.ari)
    assert isinstance(config.sriov, Unknown)


@pytest.mark.parametrize(
    ("content", "field", "problem"),
    [
        (patched(PF, x170=b"\x40\x00"), "sriov", "64 VFs enabled and 63 initial ones of 63"),
        (patched(PF, x16c=b"\x40\x00"), "sriov", "2 VFs enabled and 64 initial ones of 63"),
        (patched(PF, x52=b"\x8e\x00"), "msi", "reserved number of vectors 2^7"),
        (patched(PF, x142=b"\x81\xff", xff8=b"\x10\0\1\0"), "sriov", "it reaches over the end"),
        (patched(PF, x34=b"\xfc", xfc=b"\x10\0"), "pcie", "it reaches over the end"),
    ],
)
def test_a_capability_that_lies_is_unknown_with_the_reason(content: bytes, field: str, problem: str) -> None:
    config = decode_config(content)
    assert any(problem in found for found in config.problems)
    fact = getattr(config, field)
    assert isinstance(fact, Unknown)
    assert problem in fact.unknown


def test_a_length_of_advanced_features_that_cannot_be_is_no_answer() -> None:
    config = decode_config(patched(build_config(NIC, 256, capabilities=Capabilities(af_flr=True)), xb2=b"\x03"))
    assert isinstance(config.af_flr, Unknown)
    assert decode_config(build_config(NIC, 256, capabilities=Capabilities(af_flr=True))).af_flr is True


def test_a_pcie_to_pci_bridge_is_told_by_its_type() -> None:
    config = decode_config(build_config(PORT, 4096, secondary_bus=2, capabilities=Capabilities(pcie=PCI_BRIDGE)))
    assert known(config.pcie)
    assert config.pcie.port_type == "PCIe-to-PCI bridge"


def test_a_reserved_type_and_a_speed_of_the_future_are_said_so() -> None:
    config = decode_config(patched(PF, x72=b"\xf2\x00", x82=b"\x8f\x00"))
    assert known(config.pcie)
    assert config.pcie.port_type == "reserved"
    assert config.pcie.link == PcieLink(speed=None, width=8, max_speed=8000, max_width=8)


@pytest.mark.parametrize("size", [0, 1, 63])
def test_less_than_a_header_is_a_problem(size: int) -> None:
    config = decode_config(PF[:size])
    assert config.problems == (f"the header has {size} of 64 bytes",)
    assert isinstance(config.pcie, Unknown)


def test_an_unassigned_vf_bar_has_no_address() -> None:
    config = decode_config(build_config(NIC, 4096, sriov=BuiltSriov(63, 0, 16, 1, 0x10ED, vf_bar_address=0)))
    assert known(config.sriov)
    assert [bar.address for bar in config.sriov.vf_bars] == [0]


def test_a_link_narrower_than_it_can_be_is_read() -> None:
    capabilities = Capabilities(link=BuiltLink(speed=2500, width=4))
    config = decode_config(build_config(NIC, 4096, capabilities=capabilities))
    assert known(config.pcie)
    assert config.pcie.link == PcieLink(speed=2500, width=4, max_speed=8000, max_width=8)


@pytest.mark.parametrize("size", [0, 64, 256, 4096])
def test_what_is_read_piece_by_piece_equals_the_whole(size: int, tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(PF[:size])
    assert read_config(Files(str(tmp_path)), "/config") == decode_config(PF[:size])


def test_an_absent_config_is_none(tmp_path: Path) -> None:
    assert read_config(Files(str(tmp_path)), "/config") is None
    (tmp_path / "config").mkdir()
    assert isinstance(read_config(Files(str(tmp_path)), "/config"), Unknown)


@given(st.binary(max_size=4200))
def test_any_bytes_are_decoded(content: bytes) -> None:
    assert isinstance(decode_config(content), ConfigSpace)


@given(st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=24), st.sampled_from([64, 256, 4096]))
def test_any_damage_to_a_pf_is_borne(damage: list[tuple[int, int]], size: int) -> None:
    content = bytearray(PF)
    for place, byte in damage:
        content[place] = byte
    config = decode_config(bytes(content[:size]))
    assert config.bytes_read == size
    if config.problems == () and config.responds and size == 4096 and known(config.pcie):
        assert not any(isinstance(getattr(config, field), Unknown) for field in EXTENDED_FIELDS)
