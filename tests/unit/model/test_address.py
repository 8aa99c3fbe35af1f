# SPDX-License-Identifier: Apache-2.0
"""Addresses, MACs and names of interfaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.model.address import derive_vf_mac, is_netdev_name, parse_address, parse_mac, split_address
from tests.support.strategies import ADDRESSES, STATION_MACS


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0000:3b:00.1", "0000:3b:00.1"),
        ("3b:00.1", "0000:3b:00.1"),
        ("0000:3B:1F.7", "0000:3b:1f.7"),
        ("10000:e1:00.0", "10000:e1:00.0"),
        ("0002:01:00.0", "0002:01:00.0"),
    ],
)
def test_an_address_is_read_in_every_form_that_tools_print(text: str, address: str) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "eth0",
        "0000:3b:00",
        "0000:3b:00.8",
        "0000:3b:20.0",
        "000:3b:00.0",
        "0000:3b:00.0\n",
        " 0000:3b:00.0",
        "0000:3b:00.0/../../x",
        "0000:03b:00.0",
        "٠٠٠٠:3b:00.0",
        "52:54:00:aa:00:01",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    assert parse_address(text) is None


@given(ADDRESSES)
def test_an_address_survives_being_split(address: str) -> None:
    parsed = parse_address(address.upper())
    assert parsed == address
    domain, bus, slot, function = split_address(parsed)
    assert f"{domain:04x}:{bus:02x}:{slot:02x}.{function}" == address


@pytest.mark.parametrize("text", ["52:54:00:AA:00:01", "52-54-00-aa-00-01"])
def test_a_mac_is_read_in_both_notations(text: str) -> None:
    assert parse_mac(text) == "52:54:00:aa:00:01"


@pytest.mark.parametrize("text", ["", "52:54:00:aa:00", "52:54:00:aa:00:01:02", "5254.00aa.0001", "g2:54:00:aa:00:01"])
def test_what_is_no_mac_is_refused(text: str) -> None:
    assert parse_mac(text) is None


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        *((name, True) for name in ("eth0", "enp3s0f0np0", "a" * 15, "...", "br-lan.100")),
        *((name, False) for name in ("", ".", "..", "a" * 16, "a b", "a/b", "a:b", "a\n")),
    ],
)
def test_a_netdev_name_is_what_the_kernel_takes(name: str, valid: bool) -> None:
    assert is_netdev_name(name) is valid


@given(STATION_MACS, st.integers(0, 65534))
def test_a_derived_mac_is_local_and_of_one_station(pf_mac: str, vf_index: int) -> None:
    derived = derive_vf_mac(pf_mac, vf_index)
    assert parse_mac(derived) == derived
    assert int(derived[:2], 16) & 0b11 == 0b10
    assert derived != pf_mac


@given(STATION_MACS)
def test_the_derived_macs_of_one_pf_are_distinct(pf_mac: str) -> None:
    derived = {derive_vf_mac(pf_mac, vf_index) for vf_index in range(256)}
    assert len(derived | {pf_mac}) == 257


@given(STATION_MACS, st.integers(1, 8))
def test_the_vfs_of_neighbouring_ports_never_share_a_mac(pf_mac: str, ports: int) -> None:
    """The ports of one card have consecutive MACs, and their VFs meet on one switch."""
    first = int(pf_mac.replace(":", ""), 16) & ~0xF
    macs = [f"{first + port:012x}" for port in range(ports)]
    pfs = [":".join(mac[i : i + 2] for i in range(0, 12, 2)) for mac in macs]
    derived = [derive_vf_mac(pf, vf_index) for pf in pfs for vf_index in range(64)]
    assert len({*derived, *pfs}) == ports * 65


def test_the_derived_mac_is_stable() -> None:
    """Guests are configured by it, so it is part of the interface."""
    assert derive_vf_mac("00:1b:21:00:00:02", 0) == "02:1b:20:00:00:02"
