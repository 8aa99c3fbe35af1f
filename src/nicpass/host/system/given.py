# SPDX-License-Identifier: Apache-2.0
"""Reads what nicpass has put down below /var/lib/nicpass: of a NIC's record only by what it can be recognised.

All of a record is read by who gives the NIC back (`engine/nic/store.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.model.address import Address, parse_address
from nicpass.model.boot import DeviceIdentity
from nicpass.model.fact import Fact, known
from nicpass.model.given import GivenLink, GivenNic, VetoedVm

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files
    from nicpass.model.plan import NicOwner, NicState

STATE = "/var/lib/nicpass"
NICS = f"{STATE}/nics"
"""A folder with a file for each NIC that is given away, named by its address."""
VETOES = f"{STATE}/vetoes"
"""A folder with a file for each VM of which a start was vetoed, named by the VM's UUID."""
EVENTS = f"{STATE}/unguarded"
"""A folder with a file for each start or stop that the hook's script had to answer for without Python: `UUID.started`,
`UUID.vetoed` or `UUID.stopped`, the last of each. Lines: when, the word again, the NICs' addresses, why
nicpass could not run, what the administrator would have lost, the VM's name."""
EVENTS_OF_BOOT = "/run/nicpass/unguarded"
"""The same, where the first cannot be written to."""


class _Vf(msgspec.Struct):
    vf_index: int


class _State(msgspec.Struct):
    address: Address
    links: tuple[GivenLink, ...] = ()
    vf: _Vf | None = None
    pf: Address | None = None
    identity: DeviceIdentity | None = None


class _Owner(msgspec.Struct):
    domain: str
    uuid: str
    allow: frozenset[str] = frozenset()
    managed: bool = True


class _Record(msgspec.Struct):
    """The part of `KeptNic` that is read here."""

    state: _State
    owner: _Owner | None = None


def read_given(files: Files) -> Fact[tuple[GivenNic, ...]]:
    """The NICs that were given away, by their addresses. One whose record is damaged is known by its address alone."""
    names = files.list_directory(NICS)
    if not isinstance(names, tuple):
        return names
    found = (parse_address(name.removesuffix(".json")) for name in names if name.endswith(".json"))
    return tuple(_read_one(files, address) for address in sorted(a for a in found if a is not None))


def _read_one(files: Files, address: Address) -> GivenNic:
    content = files.read_bytes(f"{NICS}/{address}.json")
    if not isinstance(content, bytes):
        return GivenNic(address=address)
    try:
        record = msgspec.json.decode(content, type=_Record)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return GivenNic(address=address)
    return given_of(record.state, record.owner) if record.state.address == address else GivenNic(address=address)


def given_of(state: NicState | _State, owner: NicOwner | _Owner | None) -> GivenNic:
    """A record, whole or the part of it that is read here, as far as the NIC is recognised by it."""
    links = (
        GivenLink(name=link.name, altnames=link.altnames, mac=link.mac, permanent_mac=link.permanent_mac)
        for link in state.links
    )
    given = GivenNic(
        address=state.address,
        links=tuple(links),
        vf_index=state.vf.vf_index if state.vf is not None else None,
        pf=state.pf,
        identity=state.identity,
    )
    if owner is None:
        return given
    terms = {"allow": owner.allow, "managed": owner.managed}
    return msgspec.structs.replace(given, vm=owner.domain, uuid=owner.uuid, **terms)


def read_vetoes(files: Files) -> Fact[tuple[VetoedVm, ...]]:
    """The VMs of which a start was vetoed, by their names. A file that cannot be read tells of none."""
    names = files.list_directory(VETOES)
    if not isinstance(names, tuple):
        return names
    read = (files.read_bytes(f"{VETOES}/{name}") for name in names if name.endswith(".json"))
    found = (_decode(content) for content in read if known(content) and isinstance(content, bytes))
    return tuple(sorted((vm for vm in found if vm is not None), key=lambda vm: (vm.vm, vm.uuid)))


def _decode(content: bytes) -> VetoedVm | None:
    try:
        return msgspec.json.decode(content, type=VetoedVm)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
