# SPDX-License-Identifier: Apache-2.0
"""What can be wished of VFs at all, and which VFs a word means."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.model.address import Address
from nicpass.model.errors import BadInputError
from nicpass.model.pci import PciFunction
from nicpass.model.vf import VfWish
from nicpass.planner.vf.wish import check_wish, parse_vfs, range_text, refuse_one_for_several

PF = PciFunction(address=Address("0000:01:00.0"), netdevs=("eth1",))


@pytest.mark.parametrize(
    ("text", "vfs"),
    [
        ("3", (3,)),
        ("0-3", (0, 1, 2, 3)),
        ("0,2,5-6", (0, 2, 5, 6)),
        ("5-6,0,6", (0, 5, 6)),
        ("all", tuple(range(8))),
        ("007", (7,)),
    ],
)
def test_which_are_meant(text: str, vfs: tuple[int, ...]) -> None:
    assert parse_vfs(text, PF, 8) == vfs


@pytest.mark.parametrize("text", ["", ",", "3,", "x", "-1", "1-", "3-1", "1 - 2", "0x3", "\u0663", "ALL", "1.5", "1;2"])
def test_nonsense_is_told_with_an_example(text: str) -> None:
    with pytest.raises(BadInputError, match="does not say which VFs") as caught:
        parse_vfs(text, PF, 8)
    assert "0,2,5-6" in caught.value.hint


@pytest.mark.parametrize("text", ["8", "0-8", "0,9", "0-99999999999", "9" * 6000, "0-" + "9" * 6000])
def test_one_that_is_not_there_is_told_at_once(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(BadInputError, match=r"has no VF .*: its VFs are 0-7"):
        parse_vfs(text, PF, 8)
    assert time.monotonic() - began < 1


def test_without_vfs_there_are_none_to_set() -> None:
    with pytest.raises(BadInputError, match=r"eth1 .* has no VFs") as caught:
        parse_vfs("all", PF, 0)
    assert caught.value.hint == "nicpass vf create 0000:01:00.0 --count N"


@given(st.sets(st.integers(0, 63), min_size=1))
def test_numbers_in_words_mean_themselves(numbers: set[int]) -> None:
    assert parse_vfs(range_text(numbers), PF, 64) == tuple(sorted(numbers))


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"vlan": 4095}, "4095 is not a VLAN"),
        ({"vlan": -1}, "-1 is not a VLAN"),
        ({"vlan": 10**30}, "is not a VLAN"),
        ({"qos": 8}, "8 is no priority"),
        ({"qos": -1}, "-1 is no priority"),
        ({"min_tx_rate": -1}, "--min-tx-rate -1 is no rate"),
        ({"max_tx_rate": 2**32}, "--max-tx-rate 4294967296 is no rate"),
        ({"mac": "01:00:5e:00:00:01"}, "is not the MAC of one station"),
        ({"mac": "ff:ff:ff:ff:ff:ff"}, "is not the MAC of one station"),
        ({"mac": "00:00:00:00:00:00"}, "is not the MAC of one station"),
        ({"mac": "52:54:00"}, "is not the MAC of one station"),
        ({"node_guid": "00:11"}, "--node-guid '00:11' is no GUID"),
        ({"port_guid": "0011:2233:4455:6677"}, "--port-guid .* is no GUID"),
        ({"port_guid": "00:00:00:00:00:00:00:00"}, "--port-guid .* is no GUID"),
    ],
)
def test_a_value_that_no_vf_can_have(wish: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInputError, match=words) as caught:
        check_wish(VfWish(**wish))
    assert caught.value.hint


def test_addresses_are_taken_in_every_spelling() -> None:
    wish = VfWish(mac="52-54-00-AA-00-01", node_guid="00:11:22:33:44:55:66:AA", vlan=0, qos=None)
    assert check_wish(wish) == VfWish(mac="52:54:00:aa:00:01", node_guid="00:11:22:33:44:55:66:aa", vlan=0)


@pytest.mark.parametrize("name", ["mac", "node_guid", "port_guid"])
def test_what_names_one_vf_is_not_for_several(name: str) -> None:
    wish = msgspec.structs.replace(VfWish(), **{name: "x"})
    refuse_one_for_several(wish, 1)
    with pytest.raises(BadInputError, match="is for one VF, not for 2"):
        refuse_one_for_several(wish, 2)
