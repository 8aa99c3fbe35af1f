# SPDX-License-Identifier: Apache-2.0
"""The words of the command line as a request, and a request as the words that it could be typed with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.engine.journal import last_to_undo, read_changes, select_change
from nicpass.host.doors.files import Files
from nicpass.model.errors import BadInputError
from nicpass.model.language import _
from nicpass.model.request import (
    ApplyRequest,
    AttachRequest,
    DetachRequest,
    PoolAttachRequest,
    PoolDetachRequest,
    PoolRequest,
    PrepareRequest,
    Request,
    TuneRequest,
    UndoRequest,
    VfRequest,
)
from nicpass.model.text import quote
from nicpass.model.vf import NOTHING, OPTIONS, SWITCHES, VfSetRequest, VfWish

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from nicpass.model.request import Where


def request_of(arguments: argparse.Namespace) -> Request:
    if getattr(arguments, "from_pool", None) is not None or arguments.command == "pool":
        from nicpass.cli.arguments.pool_requests import pool_request_of  # late: most changes are about one NIC

        return pool_request_of(arguments, _where_of(arguments) if arguments.command != "pool" else "both")
    match arguments.command:
        case "attach":
            first, *more = _nics_of(arguments)
            return AttachRequest(
                vm=arguments.vm,
                nic=first,
                more=tuple(more),
                with_group=arguments.with_group,
                from_pf=arguments.from_pf is not None,
                start=arguments.start,
                mac=arguments.mac,
                vlan=arguments.vlan,
                allow=frozenset(arguments.allow),
                confirm_within=arguments.confirm_within,
                where=_where_of(arguments),
                add_ports=arguments.add_ports,
            )
        case "detach":
            if not arguments.nic:
                raise BadInputError(
                    _("Which NIC? Name one or several, or a pool by --from-pool."),
                    f"nicpass detach {quote(arguments.vm)} NIC",
                )
            first, *more = arguments.nic
            where = _where_of(arguments)
            return DetachRequest(vm=arguments.vm, nic=first, more=tuple(more), stop=arguments.stop, where=where)
        case "undo":
            changes = read_changes(Files())
            change = select_change(changes, arguments.change) if arguments.change else last_to_undo(changes)
            return UndoRequest(change=change.identity, stop=arguments.stop, allow=frozenset(arguments.allow))
        case "tune":
            return TuneRequest(vm=arguments.vm, cpus=arguments.cpus, hugepages=arguments.hugepages)
    if arguments.action == "set":
        return VfSetRequest(
            pf=arguments.pf,
            vfs=arguments.vfs,
            settings=_wish_of(arguments),
            until_reboot=arguments.until_reboot,
            confirm_within=arguments.confirm_within,
        )
    if arguments.action == "create" and arguments.count < 1:
        raise BadInputError(
            _("--count {count}: there is no such number of VFs to be made.").format(count=arguments.count),
            _("To remove them: nicpass vf remove PF"),
        )
    makes = arguments.action == "create"
    return VfRequest(
        pf=arguments.pf,
        count=arguments.count if makes else 0,
        settings=_wish_of(arguments) if makes else NOTHING,
        for_host=makes and arguments.host,
        until_reboot=arguments.until_reboot,
        in_steps=makes and arguments.in_steps,
        confirm_within=arguments.confirm_within,
    )


def _where_of(arguments: argparse.Namespace) -> Where:
    if arguments.live:
        return "live"
    return "config" if arguments.config else "both"


def _nics_of(arguments: argparse.Namespace) -> list[str]:
    """The NICs of an attach as they were named; the PF, where a free VF of it is to be chosen."""
    if arguments.from_pf is None and not arguments.nic:
        raise BadInputError(
            _("Which NIC? Name one or several, or a PF by --from."),
            f"nicpass attach {quote(arguments.vm)} NIC",
        )
    if arguments.from_pf is not None and arguments.nic:
        raise BadInputError(
            _("--from chooses the NIC, so none is named beside it."),
            f"nicpass attach {quote(arguments.vm)} --from {quote(arguments.from_pf)}",
        )
    return [arguments.from_pf] if arguments.from_pf is not None else arguments.nic


def _wish_of(arguments: argparse.Namespace) -> VfWish:
    words = {name: getattr(arguments, name) for name in OPTIONS}
    return VfWish(**words | {name: words[name] == "on" for name in SWITCHES if words[name] is not None})


def prepare_request_of(arguments: argparse.Namespace) -> PrepareRequest:
    return PrepareRequest(
        nics=tuple(arguments.nic),
        remove=arguments.remove,
        finish=arguments.finish,
        iommu_pt=arguments.iommu_pt,
        group=arguments.group,
        allow=frozenset(arguments.allow),
        confirm_within=arguments.confirm_within,
    )


def words_of(request: Request) -> list[str]:  # noqa: C901 - a case for each kind, so that mypy sees that none is missing
    """The request as it could be typed, all of it, for the journal and for whoever waits for the lock."""
    match request:
        case AttachRequest():
            flags = {"--with-group": request.with_group, "--start": request.start}
            flags |= {f"--{request.where}": request.where != "both"}
            values = {"--mac": request.mac, "--vlan": request.vlan, "--confirm-within": request.confirm_within}
            values |= {"--add-ports": request.add_ports or None}
            nics = ["--from", request.nic] if request.from_pf else request.nics
            return ["attach", request.vm, *nics, *_options(flags, values, request.allow)]
        case DetachRequest():
            flags = {"--stop": request.stop, f"--{request.where}": request.where != "both"}
            return ["detach", request.vm, *request.nics, *_options(flags)]
        case VfRequest():
            flags = {"--host": request.for_host, "--until-reboot": request.until_reboot, "--in-steps": request.in_steps}
            more = _options(flags, {"--confirm-within": request.confirm_within})
            if not request.count:
                return ["vf", "remove", request.pf, *more]
            wish = _wish_words(request.settings)
            return ["vf", "create", request.pf, "--count", str(request.count), *wish, *more]
        case VfSetRequest():
            vfs = [request.vfs] if request.vfs is not None else []
            more = _options({"--until-reboot": request.until_reboot}, {"--confirm-within": request.confirm_within})
            return ["vf", "set", request.pf, *vfs, *_wish_words(request.settings), *more]
        case PoolRequest():
            values = {"--pf": request.pf, "--vfs": request.vfs, "--vlan": request.vlan}
            return ["pool", request.action, request.name, *_options({}, values)]
        case PoolAttachRequest():
            flags = {"--start": request.start, f"--{request.where}": request.where != "both"}
            return ["attach", request.vm, "--from-pool", request.pool, *_options(flags, {"--mac": request.mac})]
        case PoolDetachRequest():
            flags = {"--stop": request.stop, f"--{request.where}": request.where != "both"}
            return ["detach", request.vm, "--from-pool", request.pool, *_options(flags, {"--mac": request.mac})]
        case UndoRequest():
            return ["undo", request.change, *_options({"--stop": request.stop}, {}, request.allow)]
        case ApplyRequest():
            values = {"--confirm-within": request.confirm_within}
            return ["apply", request.file, *_options({"--prune": request.prune}, values)]
        case TuneRequest():
            return ["tune", request.vm, *_options({"--hugepages": request.hugepages}, {"--cpus": request.cpus})]
        case PrepareRequest():
            flags = {"--remove": request.remove, "--finish": request.finish, "--iommu-pt": request.iommu_pt}
            values = {"--group": request.group, "--confirm-within": request.confirm_within}
            return ["prepare", *request.nics, *_options(flags, values, request.allow)]


def _wish_words(wish: VfWish) -> list[str]:
    on_off = {True: "on", False: "off"}
    return _options({}, {OPTIONS[name]: on_off[v] if isinstance(v, bool) else v for name, v in wish.given.items()})


def _options(
    flags: Mapping[str, bool], values: Mapping[str, str | int | None] | None = None, allow: frozenset[str] = frozenset()
) -> list[str]:
    given = [flag for flag, is_set in flags.items() if is_set]
    given += [word for name, value in (values or {}).items() if value is not None for word in (name, str(value))]
    return given + [word for code in sorted(allow) for word in ("--allow", code)]
