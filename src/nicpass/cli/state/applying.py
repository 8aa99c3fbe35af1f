# SPDX-License-Identifier: Apache-2.0
"""`nicpass export`, `plan` and `apply`: a host in one file."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.arguments.requests import words_of
from nicpass.cli.carry_out import carry_out, outlive_session
from nicpass.cli.journal.unsettled import refuse_unless_settled
from nicpass.cli.render.documents import ErrorView, say_document, view_error
from nicpass.cli.render.output import complain_wrapped, say, say_as_it_is, say_json, say_table
from nicpass.cli.render.report import show_plan
from nicpass.cli.source import read_source, require_live_root
from nicpass.cli.state.booting import prepared_of
from nicpass.cli.state.planning import differ, plan_apply, read_state_file
from nicpass.engine.journal import read_changes_unless_settled
from nicpass.engine.lock import hold_lock
from nicpass.host.doors.files import Files
from nicpass.host.system.actor import read_actor
from nicpass.model.errors import ExitCode, NicpassError, RebootNeededError
from nicpass.model.language import _
from nicpass.model.request import ApplyRequest
from nicpass.planner.state.difference import Difference
from nicpass.planner.state.export import comments_of, export_state, render_state

if TYPE_CHECKING:
    import argparse

    from nicpass.planner.state.text import StateFile


class DifferenceDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `nicpass plan FILE` prints with --json."""

    schema: str = "nicpass.difference/1"
    file: str
    differences: tuple[Difference, ...] = ()
    refused: ErrorView | None = None
    """Why `nicpass apply` would change nothing, as the host is now."""


def export_command(arguments: argparse.Namespace) -> int:
    source = read_source(arguments, with_boot=True)
    index = HostIndex(source.host)
    state = export_state(index, prepared_of(source))
    if arguments.json:
        say_json(state)
    else:
        say_as_it_is(render_state(state, comments_of(index)))
    return ExitCode.DONE


def plan_command(arguments: argparse.Namespace) -> int:
    file = read_state_file(arguments.file)
    source = read_source(arguments, with_boot=True)
    differences = differ(file, source, prune=arguments.prune)
    refused: NicpassError | None = None
    if differences or file.state.boot is not None:  # of the boot all may be written, and a reboot be due
        try:
            plan_apply(_request_of(file, arguments), file, source, lambda: source)
        except NicpassError as error:
            refused = error if differences or isinstance(error, RebootNeededError) else None
    if arguments.json:
        view = view_error(refused) if refused is not None else None
        say_json(DifferenceDocument(file=file.name, differences=differences, refused=view))
    else:
        _say_differences(file, differences, refused)
    if differences:
        return ExitCode.DIFFERENT
    return ExitCode.REBOOT_NEEDED if refused is not None else ExitCode.DONE


def _say_differences(file: StateFile, differences: tuple[Difference, ...], refused: NicpassError | None) -> None:
    if not differences:
        if refused is None:
            say(_("The host is as {file} says.").format(file=file.name))
        else:
            complain_wrapped(refused.sentence, "  ", "nicpass: ")
            complain_wrapped(_("hint: {hint}").format(hint=refused.hint), "  ", "  ")
        return
    words = {"present": _("present"), None: "-"}
    rows = (
        (
            str(d.line or "-"),
            f"{d.kind} {d.name}",
            d.what,
            words.get(d.now, d.now or "-"),
            words.get(d.wanted, d.wanted or "-"),
        )
        for d in differences
    )
    say_table((_("LINE"), _("OF"), _("WHAT"), _("NOW"), _("WANTED")), rows)
    if refused is not None:
        complain_wrapped(_("nicpass apply would be refused: {why}").format(why=refused.sentence), "  ", "nicpass: ")
        if refused.hint:
            complain_wrapped(_("hint: {hint}").format(hint=refused.hint), "  ", "  ")


def apply_command(arguments: argparse.Namespace) -> int:
    file = read_state_file(arguments.file)
    request = _request_of(file, arguments)
    if arguments.dry_run is not None:
        source = read_source(arguments, with_boot=True)
        return show_plan(plan_apply(request, file, source, lambda: source).first, arguments)
    require_live_root(arguments)
    outlive_session()
    actor = read_actor(Files(), words_of(request))
    with hold_lock(Files(), actor):
        refuse_unless_settled(read_changes_unless_settled(Files()), request)
        read = functools.partial(read_source, arguments, with_boot=True)
        source = read()
        plans = plan_apply(request, file, source, read)
        document = carry_out(plans.first, source, actor, as_json=arguments.json, further=plans.further)
    due = plans.is_reboot_due
    if document is not None:
        say_document(msgspec.structs.replace(document, reboot_needed=due), arguments)
    elif due:
        say(_("A reboot is needed: systemctl reboot. Then apply the file once more."))
    return ExitCode.REBOOT_NEEDED if due else ExitCode.DONE


def _request_of(file: StateFile, arguments: argparse.Namespace) -> ApplyRequest:
    return ApplyRequest(
        file=file.name,
        state=file.state,
        prune=arguments.prune,
        confirm_within=getattr(arguments, "confirm_within", None),
    )
