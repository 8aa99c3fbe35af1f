# SPDX-License-Identifier: Apache-2.0
"""How two states of a NIC differ (law 4): what it was to the host before, and what it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.dependence.usage import describe_route
from nicpass.model.fact import known, value_or
from nicpass.model.plan import Difference
from nicpass.planner.nic_state.words import (
    describe_addresses,
    describe_link_state,
    describe_routes,
    describe_upper,
    describe_vf,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.model.fact import Fact
    from nicpass.model.network import Link, LinkSettings, Setting
    from nicpass.model.plan import NicState


def gained_since(before: NicState, now: NicState) -> tuple[str, ...]:
    """The addresses and routes that somebody has put there since; to go back to `before` would cut them off.

    Addresses and routes that a manager has put there are not cut off by asking the manager again, and what comes by
    itself comes again.
    """
    had = {a.text for a in before.addresses} | {describe_route(r) for r in before.routes}
    managed = {manager.netdev for manager in before.managers}
    has = [a.text for a in now.addresses if not a.comes_with_link and not a.dynamic and a.netdev not in managed]
    has += [describe_route(r) for r in now.routes if r.protocol != "kernel" and r.netdev not in managed]
    return tuple(text for text in has if text not in had)


def compare_states(before: NicState, after: NicState) -> tuple[Difference, ...]:
    """Every field of the state, before and after; `equal` tells the two apart.

    Fields that change by themselves (counters, lifetimes, the interface's index) or were not recorded are left out.
    """
    return tuple(_compare(before, after))


def differences(before: NicState, after: NicState) -> tuple[Difference, ...]:
    """Only the fields that differ; empty when the NIC is what it was."""
    return tuple(field for field in _compare(before, after) if not field.equal)


def _compare(before: NicState, after: NicState) -> Iterator[Difference]:
    yield Difference("driver", before.driver or "none", after.driver or "none")
    pairs = list(zip(before.links, after.links, strict=False))
    for old, new in pairs:
        yield from _compare_links(old, new, is_vf=before.vf is not None)
    for lost in before.links[len(pairs) :]:
        yield Difference("name", lost.name, "none")
    if before.vf is not None:
        yield Difference("VF", describe_vf(before.vf, before.vf), describe_vf(after.vf, before.vf))
    yield from _compare_vfs(before, after)
    if before.uppers is not None:
        yield Difference("uppers", _list_uppers(before.uppers), _list_uppers(after.uppers or ()))
    if before.managers:
        yield Difference("manager", _describe_managers(before), _describe_managers(after))
    yield Difference(
        "addresses",
        describe_addresses(before.addresses, before.addresses, _own_names(before)),
        describe_addresses(after.addresses, before.addresses, _own_names(after)),
    )
    yield Difference(
        "routes", describe_routes(before.routes, before.routes), describe_routes(after.routes, before.routes)
    )


def _compare_links(old: Link, new: Link, *, is_vf: bool) -> Iterator[Difference]:
    for name, read in _LINK_FIELDS:
        yield Difference(name, read(old), read(new))
    # A VF's permanent MAC is no such thing: it is the MAC that its PF has given it last.
    if old.permanent_mac is not None and not is_vf:
        yield Difference("permanent MAC", old.permanent_mac, new.permanent_mac or "none")
    yield Difference(
        "other names", ", ".join(sorted(old.altnames)) or "none", ", ".join(sorted(new.altnames)) or "none"
    )
    for name, recorded in _RECORDED_FIELDS:
        if (value := recorded(old)) is not None:
            yield Difference(name, value, recorded(new) or "none")
    if old.settings is not None:
        yield from _compare_settings(old.settings, new.settings)


def _compare_settings(old: LinkSettings, new: LinkSettings | None) -> Iterator[Difference]:
    for attribute, word in _SETTING_GROUPS:
        recorded = getattr(old, attribute)
        if known(recorded):
            yield from _compare_group(word, recorded, getattr(new, attribute) if new is not None else None)


def _compare_group(word: str, old: tuple[Setting, ...], new: Fact[tuple[Setting, ...]]) -> Iterator[Difference]:
    """One difference for all settings that are equal, and one for each that differs; only those that were recorded."""
    values = {setting.name: setting.value for setting in value_or(new, ())}
    equal = 0
    for setting in old:
        value = values.get(setting.name)
        if value == setting.value:
            equal += 1
        else:
            yield Difference(f"{word} {setting.name}", setting.value or "none", value or "none")
    if equal:
        text = (
            ", ".join(f"{s.name} {s.value}" for s in old if s.value != "0") if len(old) <= _FEW else f"{equal} values"
        )
        if equal == len(old):
            yield Difference(word, text or "none", text or "none")


def _compare_vfs(before: NicState, after: NicState) -> Iterator[Difference]:
    """The differences of a PF's VFs: how many there are, and what the PF enforces on each."""
    if before.numvfs is None:
        return
    yield Difference("VFs", str(before.numvfs), str(after.numvfs or 0))
    now = {vf.vf_index: vf for link in after.links for vf in link.vfs}
    for vf in {vf.vf_index: vf for link in before.links for vf in link.vfs}.values():
        yield Difference(f"VF {vf.vf_index}", describe_vf(vf, vf), describe_vf(now.get(vf.vf_index), vf))


def _own_names(state: NicState) -> frozenset[str]:
    return frozenset(link.name for link in state.links)


def _list_uppers(uppers: tuple[Link, ...]) -> str:
    return ", ".join(sorted(describe_upper(upper) for upper in uppers)) or "none"


def _switch(*, on: bool | None) -> str | None:
    return None if on is None else "on" if on else "off"


_FEW = 8
_LINK_FIELDS: tuple[tuple[str, Callable[[Link], str]], ...] = (
    ("name", lambda link: link.name),
    ("MAC", lambda link: link.mac or "none"),
    ("MTU", lambda link: str(link.mtu)),
    ("link", describe_link_state),
    ("master", lambda link: link.master or "none"),
)
_RECORDED_FIELDS: tuple[tuple[str, Callable[[Link], str | None]], ...] = (
    ("txqueuelen", lambda link: str(link.txqueuelen) if link.txqueuelen is not None else None),
    ("promisc", lambda link: _switch(on=link.promisc)),
    ("allmulticast", lambda link: _switch(on=link.allmulticast)),
    ("alias", lambda link: link.alias),
    # An interface that was never up since it was made has no qdisc yet.
    ("qdisc", lambda link: link.qdisc if link.up else None),
    ("XDP", lambda link: "attached" if link.xdp_programs else None),
)
_SETTING_GROUPS = (
    ("rings", "rings"),
    ("channels", "channels"),
    ("coalescing", "coalescing"),
    ("pause", "pause"),
    ("features", "offloads"),
    ("sysctls", "sysctls"),
    ("port", "bridge port"),
    ("port_vlans", "bridge VLANs"),
)


def _describe_managers(state: NicState) -> str:
    """The managers by name only: a profile may be made anew, and under the same name it may say something else."""
    return ", ".join(f"{manager.netdev} by {manager.manager}" for manager in state.managers) or "none"
