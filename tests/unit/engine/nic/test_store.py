# SPDX-License-Identifier: Apache-2.0
"""The records of NICs that are given away: what is no record is not taken for one, and a damaged one is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.engine.nic.store import (
    KeptNic,
    is_kept,
    keep_nic,
    keep_nic_state,
    list_kept_nics,
    read_kept_nic,
    read_nic_state,
)
from nicpass.engine.nic.take import TakeSteps
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.errors import StepError
from nicpass.model.fact import Unknown
from nicpass.model.plan import NicOwner, NicState, TakeNic

if TYPE_CHECKING:
    from pathlib import Path

NIC, OTHER = Address("0000:01:00.0"), Address("0000:02:00.0")
STATE = NicState(address=NIC, driver="igb")
OWNER = NicOwner(domain="web", uuid="00000000-0000-0000-0000-000000000001", allow=frozenset({"B", "A", "C"}))
KEPT = KeptNic(state=STATE, owner=OWNER, away="boot")
FOLDER = "/var/lib/nicpass/nics"


@pytest.fixture
def files(quick_path: Path) -> Files:
    return Files(str(quick_path))


def test_it_is_read_as_it_was_written(files: Files) -> None:
    assert read_kept_nic(files, NIC) is None
    keep_nic(files, KEPT)
    assert read_kept_nic(files, NIC) == KEPT
    assert read_nic_state(files, NIC) == STATE
    assert is_kept(files, KEPT)
    assert not is_kept(files, msgspec.structs.replace(KEPT, away=None))


def test_one_of_the_first_nicpass_was_the_state_alone(files: Files) -> None:
    files.write_atomic(f"{FOLDER}/{NIC}.json", msgspec.json.encode(STATE))
    assert read_kept_nic(files, NIC) == KeptNic(state=STATE)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"state": {"address": "\xff", "driver": null}}'])
def test_a_damaged_one(content: bytes, files: Files) -> None:
    files.write_atomic(f"{FOLDER}/{NIC}.json", content)
    with pytest.raises(StepError, match=f"The record of what {NIC} was before is damaged") as caught:
        read_kept_nic(files, NIC)
    assert f"{FOLDER}/{NIC}.json" in caught.value.hint


def test_one_about_another_nic(files: Files) -> None:
    files.write_atomic(f"{FOLDER}/{OTHER}.json", msgspec.json.encode(KEPT))
    with pytest.raises(StepError, match=f"what {OTHER} was before is about {NIC}") as caught:
        read_kept_nic(files, OTHER)
    assert f"{FOLDER}/{OTHER}.json" in caught.value.hint


def test_one_that_cannot_be_read(files: Files, quick_path: Path) -> None:
    (quick_path / FOLDER[1:] / f"{NIC}.json").mkdir(parents=True)
    with pytest.raises(StepError, match=f"What {NIC} was before cannot be read: .*directory") as caught:
        read_kept_nic(files, NIC)
    assert f"{FOLDER}/{NIC}.json" in caught.value.hint


def test_only_records_are_listed(files: Files) -> None:
    for name in (f"{OTHER}.json", f"{NIC}.json", str(NIC), f"{NIC}.json.new", "x.json", "notes"):
        files.write_atomic(f"{FOLDER}/{name}", b"")
    assert list_kept_nics(files) == (NIC, OTHER)


def test_what_cannot_be_listed_is_unknown(files: Files, quick_path: Path) -> None:
    assert list_kept_nics(files) is None
    (quick_path / "var/lib/nicpass").mkdir(parents=True)
    (quick_path / FOLDER[1:]).symlink_to("nics")
    assert isinstance(list_kept_nics(files), Unknown)


@pytest.mark.parametrize(
    ("kept", "holds"),
    [
        (KeptNic(state=STATE, owner=OWNER), True),
        (KEPT, True),
        (msgspec.structs.replace(KEPT, renewed=True), True),
        (msgspec.structs.replace(KEPT, renewed=True, state=NicState(address=NIC, driver="ice")), True),
        (msgspec.structs.replace(KEPT, state=NicState(address=NIC, driver="ice")), False),
        (msgspec.structs.replace(KEPT, renewed=True, owner=None), False),
        (msgspec.structs.replace(KEPT, owner=None), False),
        (None, False),
    ],
)
def test_a_nic_is_taken_when_its_record_says_so(kept: KeptNic | None, holds: bool, files: Files) -> None:
    """The guard may have seen it leave since, and have put down what it was then."""
    if kept is not None:
        keep_nic(files, kept)
    steps, step = TakeSteps(files), TakeNic(address=NIC, state=STATE, owner=OWNER)
    if holds:
        steps.verify(step)
    else:
        with pytest.raises(StepError, match=f"What {NIC} is to the host was not kept"):
            steps.verify(step)
    steps.apply(step)
    steps.verify(step)


def test_a_record_that_says_the_same_stays_as_it_is(files: Files) -> None:
    keep_nic(files, KEPT)
    TakeSteps(files).apply(TakeNic(address=NIC, state=STATE, owner=OWNER))
    assert read_kept_nic(files, NIC) == KEPT
    TakeSteps(files).apply(TakeNic(address=NIC, state=STATE, owner=None))
    assert read_kept_nic(files, NIC) == KeptNic(state=STATE)
    keep_nic_state(files, STATE)
    assert read_kept_nic(files, NIC) == KeptNic(state=STATE)
