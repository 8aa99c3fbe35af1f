# SPDX-License-Identifier: Apache-2.0
"""`nicpass pool list`: each pool, its VFs, and the VMs that draw from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.pools import Member, Pool, pools_of_host
from nicpass.cli.render.output import say, say_json, say_table
from nicpass.cli.source import read_source
from nicpass.model.address import Address
from nicpass.model.errors import ExitCode
from nicpass.model.fact import Fact, Unknown, value_or
from nicpass.model.language import _
from nicpass.planner.vf.use import why_machines_unknown
from nicpass.planner.vf.wish import range_text

if TYPE_CHECKING:
    import argparse


class PoolVf(msgspec.Struct, frozen=True, kw_only=True):
    """One function of a pool."""

    address: Address
    pf: Address | None
    """None for what is no VF, or is not there."""
    vf_index: int | None
    vm: str | None
    """The running VM that has it."""


class PoolTaker(msgspec.Struct, frozen=True, kw_only=True):
    """One interface of a VM that draws from a pool."""

    vm: str
    mac: str | None
    vf: Address | None
    """What libvirt has picked for it; null while the VM does not run with it."""
    lasting: bool
    """Whether it stands in the VM's lasting definition."""


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """One network of libvirt's that lends functions to VMs."""

    name: str
    pf_netdevs: tuple[str, ...]
    vfs: tuple[PoolVf, ...]
    whole_pf: bool
    """Whether it lends every VF of a PF, and lists none."""
    vlans: tuple[int, ...]
    active: Fact[bool]
    autostart: Fact[bool]
    free: int
    """VFs on which no VM counts, running or not."""
    takers: tuple[PoolTaker, ...]


class PoolList(msgspec.Struct, frozen=True, kw_only=True):
    """What `nicpass pool list --json` prints."""

    schema: Literal["nicpass.pools/1"] = "nicpass.pools/1"
    pools: Fact[tuple[PoolView, ...]]


def list_pools_command(arguments: argparse.Namespace) -> int:
    index = HostIndex(read_source(arguments).host)
    views = tuple(_view_pool(pool, index) for pool in pools_of_host(index))
    unknown = why_machines_unknown(index)
    if arguments.json:
        say_json(PoolList(pools=views if unknown is None else Unknown(unknown)))
    elif unknown is not None:
        say(_("libvirt cannot be asked for its pools: {reason}.").format(reason=unknown))
    elif views:
        _say_pools(views)
    else:
        say(_("This host has no pools. To make one: nicpass pool create blue --pf PF --vfs 2-7"))
    return ExitCode.DONE


def _view_pool(pool: Pool, index: HostIndex) -> PoolView:
    holders = {member.vf: member.vm for member in pool.holders}
    pfs = [index.functions[pf] for pf in pool.pfs if pf in index.functions]
    return PoolView(
        name=pool.name,
        pf_netdevs=tuple(name for pf in pfs for name in value_or(pf.netdevs, ()) or ()),
        vfs=tuple(_view_vf(vf, holders.get(vf), index) for vf in pool.vfs),
        whole_pf=bool(pool.network.pfs),
        vlans=pool.network.vlans,
        active=pool.network.active,
        autostart=pool.network.autostart,
        free=max(0, len(pool.vfs) - len(pool.members)),
        takers=tuple(map(_view_taker, pool.members)),
    )


def _view_vf(vf: Address, vm: str | None, index: HostIndex) -> PoolVf:
    pf, number = index.vf_indices.get(vf, (None, None))
    return PoolVf(address=vf, pf=pf, vf_index=number, vm=vm)


def _view_taker(member: Member) -> PoolTaker:
    return PoolTaker(vm=member.vm, mac=member.mac, vf=member.vf, lasting=member.lasting)


def _say_pools(views: tuple[PoolView, ...]) -> None:
    rows = [
        (
            view.name,
            ", ".join(view.pf_netdevs) or "-",
            _describe_vfs(view),
            ", ".join(map(str, view.vlans)) or "-",
            _describe_state(view),
            str(view.free),
            ", ".join(map(_describe_taker, view.takers)) or "-",
        )
        for view in views
    ]
    say_table((_("POOL"), "PF", "VFs", "VLAN", _("STATE"), _("FREE"), _("VM")), rows)


def _describe_vfs(view: PoolView) -> str:
    """`2-7`; by address what is no VF that its PF shows."""
    numbers = range_text(vf.vf_index for vf in view.vfs if vf.vf_index is not None)
    words = [numbers] if numbers else []
    words += [vf.address for vf in view.vfs if vf.vf_index is None]
    return ", ".join(words) or "-"


def _describe_state(view: PoolView) -> str:
    if view.active is None:
        return "?"
    return _("started") if view.active is True else _("not started")


def _describe_taker(taker: PoolTaker) -> str:
    return f"{taker.vm} ({taker.vf})" if taker.vf is not None else taker.vm
