# SPDX-License-Identifier: Apache-2.0
"""Addresses as text: the C library reads them as Python's own reader does."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from nicpass.host.connections import parse_ip
from nicpass.model.network import pack_ip, unmap_ip

NEARLY = st.text(alphabet="0123456789abcdefABCDEF:./%[]x- \0٣", max_size=24)


@given(st.ip_addresses().map(str) | NEARLY | st.text(max_size=12))
def test_the_same_texts_are_addresses_and_the_same_ones(text: str) -> None:
    try:
        expected = ipaddress.ip_address(text.split("%", 1)[0]).packed
    except ValueError:
        expected = None
    assert pack_ip(text) == expected


@given(st.ip_addresses())
def test_an_address_is_written_as_the_kernel_does(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    for text in (str(address), f"[{address}]", address.exploded.upper()):
        assert ipaddress.ip_address(parse_ip(text) or "") == address
        assert parse_ip(parse_ip(text) or "") == parse_ip(text)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_within_ipv6_is_one_of_ipv4(address: ipaddress.IPv4Address) -> None:
    mapped = pack_ip(f"::ffff:{address}")
    assert mapped is not None
    assert unmap_ip(mapped) == address.packed == unmap_ip(address.packed)
    assert parse_ip(f"::FFFF:{address}") == f"::ffff:{address}"


@given(st.ip_addresses(v=6))
def test_other_ipv6_addresses_stay_what_they_are(address: ipaddress.IPv6Address) -> None:
    if address.ipv4_mapped is None:
        assert unmap_ip(address.packed) == address.packed
