# SPDX-License-Identifier: Apache-2.0
"""`nicpass vf list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.dependence.machines import tell_use
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import kind_of, label
from nicpass.cli.render.output import say, say_json, say_table, show
from nicpass.cli.render.vf_words import flags_of
from nicpass.cli.source import read_source
from nicpass.cli.vf.views import VfList, VfView, view_vfs
from nicpass.model.errors import ExitCode
from nicpass.model.fact import known
from nicpass.model.language import _
from nicpass.model.network import NO_MAC
from nicpass.planner.select import select_nic

if TYPE_CHECKING:
    import argparse


def list_vfs_command(arguments: argparse.Namespace) -> int:
    index = HostIndex(read_source(arguments).host)
    function = select_nic(index, arguments.pf) if arguments.pf else None
    if function is None:
        meant = index.host.pci
    elif kind_of(function, index) == "vf":
        meant = (function,)
    else:
        meant = tuple(index.vfs.get(function.address, ()))
    views = view_vfs(meant, index)
    if arguments.json:
        say_json(VfList(vfs=views))
    elif views:
        _say_vfs(views)
    elif function is None:
        say(_("No NIC of this host has VFs. To make some: nicpass vf create PF --count N"))
    elif known(function.totalvfs) and function.totalvfs > 0:
        say(
            _("{nic} has no VFs, and can make {totalvfs}: nicpass vf create {address} --count N").format(
                nic=label(function), totalvfs=function.totalvfs, address=function.address
            )
        )
    else:
        say(_("{nic} has no VFs, and the kernel shows no SR-IOV for it.").format(nic=label(function)))
    return ExitCode.DONE


def _say_vfs(views: tuple[VfView, ...]) -> None:
    """Print a table, without the columns that would be empty."""
    table: dict[str, list[str]] = {
        "PF": [", ".join(view.pf_netdevs) or view.pf for view in views],
        _("VF"): [show(view.vf_index) for view in views],
        _("ADDRESS"): [view.address for view in views],
        _("NETDEV"): [", ".join(view.netdevs) or show(view.driver) for view in views],
        "MAC": [_describe_mac(view) for view in views],
        "VLAN": [_describe_vlan(view) for view in views],
        _("SETTINGS"): [", ".join(flags_of(view.settings)) if view.settings else "" for view in views],
        _("VM"): [_describe_vms(view) for view in views],
        _("REPRESENTOR"): [_describe_representor(view) for view in views],
    }
    empty = [name for name in (_("SETTINGS"), _("VM"), _("REPRESENTOR")) if not any(table[name])]
    for name in empty:
        del table[name]
    rows = [tuple(cell or "-" for cell in row) for row in zip(*table.values(), strict=True)]
    spare = ("PF",) if len({view.pf for view in views}) == 1 else ()
    say_table(tuple(table), rows, spare=spare, whole=(_("ADDRESS"), "MAC"))


def _describe_mac(view: VfView) -> str:
    if view.mac is None:
        return "?"
    return "-" if view.mac == NO_MAC else view.mac


def _describe_vlan(view: VfView) -> str:
    if view.vlan is None:
        return "?"
    words = [str(view.vlan)] if view.vlan else []
    if view.vlan:
        words += [f"qos {view.qos}"] if view.qos else []
        words += [view.vlan_protocol] if view.vlan_protocol not in (None, "802.1Q") else []
    return " ".join(words)


def _describe_vms(view: VfView) -> str:
    """Those that have it, and who uses it in another way."""
    if not isinstance(view.vms, tuple):
        return show(view.vms)
    uses = [tell_use(use) for use in view.machine_uses] if isinstance(view.machine_uses, tuple) else []
    return ", ".join((*view.vms, *dict.fromkeys(uses)))


def _describe_representor(view: VfView) -> str:
    end = view.representor
    if end is None:
        return ""
    return _("{netdev} in {bridge}").format(netdev=end.netdev, bridge=end.master) if end.master else end.netdev
