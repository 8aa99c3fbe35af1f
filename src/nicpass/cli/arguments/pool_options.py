# SPDX-License-Identifier: Apache-2.0
"""The actions and options of `nicpass pool`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.cli.arguments.parsing import Parser

TEXTS: dict[str, Callable[[], str]] = {
    "list": lambda: _("show the pools: their VFs, and the VMs that draw from them"),
    "create": lambda: _("make a pool, started now and at every boot"),
    "add": lambda: _("put VFs into a pool"),
    "drain": lambda: _("take VFs out of a pool; without --vfs all of them"),
    "remove": lambda: _("remove a pool; its VFs stay"),
}


def text_of_pool() -> str:
    return _("make, fill, drain, show or remove pools of VFs, from which VMs draw at each start")


def add_pool_options(command: Parser, action: str) -> None:
    command.add_argument("name", metavar="POOL", help=_("the pool's name: that of a network of libvirt's"))
    if action == "remove":
        return
    command.add_argument("--pf", metavar="PF", required=action == "create", help=_("the NIC whose VFs they are"))
    needed = action in ("create", "add")
    command.add_argument("--vfs", metavar="VFS", required=needed, help=_("which VFs: 2-7, 2-7,9 or all"))
    if action == "create":
        command.add_argument("--vlan", type=int, metavar="ID", help=_("the VLAN into which the PF puts each VF"))
