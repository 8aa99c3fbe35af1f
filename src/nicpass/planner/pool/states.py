# SPDX-License-Identifier: Apache-2.0
"""A pool as a state: what it is, and the way from one to the other, one change of libvirt's after the other."""

from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING

import msgspec

from nicpass.model.libvirt_network import PoolState
from nicpass.model.plan import SetPool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.checks.lookup.pools import Pool

_IDENTITY = uuid.UUID("6f1d4c1e-6b0e-4a0b-9a55-7e1f5b3c9d20")
"""The name space of pools' UUIDs: made of the name, so that a plan is the same whenever it is made."""


def uuid_of(name: str) -> str:
    """The UUID that nicpass gives a pool of this name."""
    return str(uuid.uuid5(_IDENTITY, name))


def is_own(pool: Pool) -> bool:
    """Whether nicpass has made the pool, as its UUID tells."""
    return pool.network.uuid == uuid_of(pool.name)


def state_of(pool: Pool) -> PoolState:
    network = pool.network
    return PoolState(
        name=network.name,
        uuid=network.uuid or uuid_of(network.name),
        # What an active one with <pf> lists, libvirt has put there: in a definition the two exclude each other.
        addresses=() if network.pfs else network.addresses,
        vlan=network.vlans[0] if len(network.vlans) == 1 else None,
        active=network.active is True,
        autostart=network.autostart is True,
        xml=network.xml,
    )


def steps_between(before: PoolState | None, after: PoolState | None) -> tuple[SetPool, ...]:
    """The way from one state of a pool to the other, one change of libvirt's after the other."""
    states = [before]
    if before is not None and before.active and (after is None or _is_other(before, after)):
        states.append(msgspec.structs.replace(before, active=False))
    if after is None:
        last = states[-1]
        if last is not None and last.autostart:
            states.append(msgspec.structs.replace(last, autostart=False))
        states.append(None)
    else:
        states += _towards(states[-1], after)
    return tuple(SetPool(before=one, after=other) for one, other in itertools.pairwise(states))


def _towards(now: PoolState | None, after: PoolState) -> Iterable[PoolState]:
    """Defined, then started by libvirt itself, then running."""
    if now is None or _is_other(now, after):
        now = msgspec.structs.replace(after, active=False, autostart=now is not None and now.autostart)
        yield now
    if now.autostart != after.autostart:
        now = msgspec.structs.replace(now, autostart=after.autostart)
        yield now
    if now.active != after.active:
        yield msgspec.structs.replace(now, active=after.active)


def _is_other(one: PoolState, other: PoolState) -> bool:
    return (one.addresses, one.vlan) != (other.addresses, other.vlan)


def essence_of(state: PoolState | None) -> PoolState | None:
    """The part of a pool's state that a change of ours has made, and that libvirt does not word in its own way."""
    return None if state is None else msgspec.structs.replace(state, xml=None)


def less_of(before: PoolState | None, after: PoolState | None) -> PoolState | None:
    """A pool on its way back from `after` to `before`: without the VFs that it got, and not yet with those it lost."""
    if before is None or after is None:
        return None
    common = tuple(address for address in after.addresses if address in before.addresses)
    return msgspec.structs.replace(after, addresses=common)
