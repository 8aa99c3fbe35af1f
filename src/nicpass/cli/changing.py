# SPDX-License-Identifier: Apache-2.0
"""The commands that change the host: plan, show or carry out, and say what was seen afterwards."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.output import say, say_json, say_table
from nicpass.cli.plan_text import describe_step, render_shell
from nicpass.cli.source import Source, read_source, require_live_root
from nicpass.engine.deadman import deadman_handlers
from nicpass.engine.handler import LateHandlers
from nicpass.engine.journal import (
    last_to_undo,
    read_changes,
    read_changes_unless_settled,
    select_change,
    undone_by,
    unsettled,
)
from nicpass.engine.lock import hold_lock
from nicpass.engine.store import read_kept_nic
from nicpass.engine.take_nic import take_handlers
from nicpass.engine.transaction import run_plan, watch_nothing
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Processes
from nicpass.host.network.link_settings import add_settings
from nicpass.host.system.actor import read_actor
from nicpass.hypervisor.libvirt.domains import libvirt_handlers
from nicpass.hypervisor.libvirt.guard import guard_handlers, plan_guard, plan_guard_removal
from nicpass.model.change import Outcome, Phase
from nicpass.model.errors import BadInputError, ExitCode, NicpassError, RefusedError
from nicpass.model.language import _
from nicpass.model.plan import (
    ArmTimer,
    AttachRequest,
    ChangeBoot,
    DetachRequest,
    GiveBackNic,
    PrepareRequest,
    Request,
    SetNumvfs,
    UndoRequest,
    VfRequest,
)
from nicpass.planner.attach import plan_attach, plan_detach
from nicpass.planner.observe import compare_states
from nicpass.planner.select import select_nic

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from nicpass.engine.handler import Handlers
    from nicpass.model.change import Actor, Change
    from nicpass.model.file_image import FileChange
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import Difference, NicOwner, NicState, Plan, Step


def change_command(arguments: argparse.Namespace) -> int:
    """`nicpass attach`, `detach`, `vf` and `undo`."""
    request = _request_of(arguments)
    if arguments.dry_run is not None:
        _, plan = read_and_plan(request, arguments)
        return show_plan(plan, arguments)
    require_live_root(arguments)
    outlive_session()
    actor = read_actor(Files(), words_of(request))
    # Read under the lock: a plan made before another run's change is one for a host that is gone.
    with hold_lock(Files(), actor):
        refuse_unless_settled(read_changes_unless_settled(Files()), request)
        source, plan = read_and_plan(request, arguments)
        carry_out(plan, source, actor, as_json=arguments.json)
    return ExitCode.DONE


def read_and_plan(request: Request, arguments: argparse.Namespace) -> tuple[Source, Plan]:
    """The host as it is now, and the plan for it.

    To attach, what is near the NIC is enough. Where that says no, all is read before it is said: the whole host may
    offer a way out, and the nearest of two that answer to one name is not to be taken for the only one.
    """
    if isinstance(request, AttachRequest):
        source = read_source(arguments, request.nic)
        try:
            return source, _plan(request, source)
        except NicpassError:
            if source.host.pci_unread is None:
                raise
    source = read_source(arguments)
    return source, _plan(request, source)


def carry_out(plan: Plan, source: Source, actor: Actor, *, as_json: bool, reboot_needed: bool | None = None) -> None:
    """Do what was planned for the host as it was just read, under the lock that the caller holds.

    `reboot_needed` is for the JSON of changes that may need one.
    """
    if not as_json:
        say(_headline(plan))
    identity = run_plan(plan, handlers_of(source.files), source.files, watch_nothing if as_json else say_phase, actor)
    if as_json:
        _say_json_outcome(plan, source, identity, {} if reboot_needed is None else {"reboot_needed": reboot_needed})
    else:
        _say_outcome(plan, source, identity)


def handlers_of(files: Files) -> Handlers:
    """Every kind of step there is. What gives a NIC back, and what changes the boot, is loaded where it is needed."""
    processes = Processes()

    def of_host() -> Handlers:
        from nicpass.engine.host_steps import host_handlers

        return host_handlers(files, processes)

    def of_boot() -> Handlers:
        from nicpass.engine.boot_steps import boot_handlers

        return boot_handlers(files, processes)

    ready = {
        **take_handlers(files),
        **libvirt_handlers(files),
        **guard_handlers(files, processes),
        **deadman_handlers(files, processes),
    }
    return LateHandlers(ready, {GiveBackNic: of_host, SetNumvfs: of_host, ChangeBoot: of_boot})


def outlive_session() -> None:
    """A change goes on when the ssh session that began it breaks; being asked to end takes it back in order."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def refuse_unless_settled(changes: tuple[Change, ...], request: Request) -> None:
    """One change is settled before the next is begun.

    Raises:
        RefusedError: an earlier one was cut off, or awaits confirmation; only that one may be undone.
    """
    for change in unsettled(changes):
        raise RefusedError(
            _("An earlier change was cut off: {change} ({summary}).").format(
                change=change.identity, summary=summary_of(change)
            ),
            "nicpass recover",
        )
    for change in pending(changes):
        if not (isinstance(request, UndoRequest) and request.change == change.identity):
            raise RefusedError(
                _("An earlier change awaits confirmation: {change} ({summary}).").format(
                    change=change.identity, summary=summary_of(change)
                ),
                _("nicpass confirm keeps it, nicpass undo takes it back."),
            )


def pending(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """Those that await confirmation still."""
    waiting = (change for change in changes if change.outcome == Outcome.UNCONFIRMED)
    return tuple(change for change in waiting if undone_by(change, changes) is None)


def summary_of(change: Change) -> str:
    return change.opened.plan.summary if change.opened is not None else _("not readable")


def _request_of(arguments: argparse.Namespace) -> Request:
    match arguments.command:
        case "attach":
            return AttachRequest(
                vm=arguments.vm,
                nic=arguments.nic,
                start=arguments.start,
                mac=arguments.mac,
                vlan=arguments.vlan,
                allow=frozenset(arguments.allow),
                confirm_within=arguments.confirm_within,
            )
        case "detach":
            return DetachRequest(vm=arguments.vm, nic=arguments.nic, stop=arguments.stop)
        case "undo":
            changes = read_changes(Files())
            change = select_change(changes, arguments.change) if arguments.change else last_to_undo(changes)
            return UndoRequest(change=change.identity, stop=arguments.stop, allow=frozenset(arguments.allow))
    if arguments.action == "create" and arguments.count < 1:
        raise BadInputError(
            _("{count} VFs cannot be made.").format(count=arguments.count), _("To remove them: nicpass vf remove PF")
        )
    count = arguments.count if arguments.action == "create" else 0
    return VfRequest(pf=arguments.pf, count=count, confirm_within=arguments.confirm_within)


def words_of(request: Request) -> list[str]:
    """The request as it could be typed, for the journal and for whoever waits for the lock."""
    match request:
        case AttachRequest():
            allowed = (word for code in sorted(request.allow) for word in ("--allow", code))
            return ["attach", request.vm, request.nic, *(["--start"] if request.start else []), *allowed]
        case DetachRequest():
            return ["detach", request.vm, request.nic, *(["--stop"] if request.stop else [])]
        case VfRequest(count=0):
            return ["vf", "remove", request.pf]
        case VfRequest():
            return ["vf", "create", request.pf, "--count", str(request.count)]
        case UndoRequest():
            return ["undo", request.change, *(["--stop"] if request.stop else [])]
        case PrepareRequest():
            flags = {"--remove": request.remove, "--finish": request.finish, "--iommu-pt": request.iommu_pt}
            allowed = (word for code in sorted(request.allow) for word in ("--allow", code))
            return ["prepare", *request.nics, *(flag for flag, given in flags.items() if given), *allowed]


def _plan(request: Request, source: Source) -> Plan:
    match request:
        case AttachRequest():
            host = _look_closer(source, select_nic(HostIndex(source.host), request.nic))
            return plan_attach(host, request, plan_guard(source.files) if source.is_live else ())
        case DetachRequest():
            function = select_nic(HostIndex(source.host), request.nic)
            return plan_detach(source.host, request, *_kept_of(function, source))
        case VfRequest():
            from nicpass.planner.vf import plan_vf

            return plan_vf(source.host, request)
        case UndoRequest():
            return _plan_undo(request, source)
        case PrepareRequest():
            raise BadInputError(_("This is planned elsewhere."))  # pragma: no cover - for mypy to see every kind


def _plan_undo(request: UndoRequest, source: Source) -> Plan:
    from nicpass.planner.undo import Kept, nic_of, plan_undo

    changes = read_changes(source.files)
    change = select_change(changes, request.change)
    if (other := undone_by(change, changes)) is not None:
        raise BadInputError(
            _("{change} was undone already, by {other}.").format(change=change.identity, other=other),
            f"nicpass show {other}",
        )
    if change.opened is not None and isinstance(change.opened.plan.request, PrepareRequest):
        from nicpass.cli.preparing import plan_undo_of_prepare  # late: that module builds on this one

        return plan_undo_of_prepare(change, request, source)
    function = select_nic(HostIndex(source.host), nic_of(change))
    host = _look_closer(source, function)
    state, owner, removal = _kept_of(function, source)
    return plan_undo(host, change, request, Kept(state, owner, removal, plan_guard(source.files)))


def _kept_of(function: PciFunction, source: Source) -> tuple[NicState | None, NicOwner | None, tuple[FileChange, ...]]:
    """What the NIC was when it left, who has it by the same record, and how the guard goes if it goes with it."""
    if not source.is_live:
        return None, None, ()
    kept = read_kept_nic(source.files, function.address)
    removal = plan_guard_removal(source.files, function.address)
    return (kept.state, kept.owner, removal) if kept is not None else (None, None, removal)


def _look_closer(source: Source, function: PciFunction) -> Host:
    """The host, with what is asked of one NIC alone; of a snapshot nothing more can be asked."""
    return add_settings(source.host, source.files, function) if source.is_live else source.host


def show_plan(plan: Plan, arguments: argparse.Namespace) -> int:
    """The plan for people, as JSON, or as shell lines."""
    if arguments.json:
        say_json(plan)
    elif arguments.dry_run == "shell":
        for step in plan.steps:
            # On one line, whatever a snapshot from elsewhere has for names: these lines are to be pasted.
            for line in (f"# {' '.join(describe_step(step).split())}", *render_shell(step)):
                say(line)
    else:
        say(_headline(plan))
        for number, step in enumerate(plan.steps, 1):
            say(f"  {number}. {describe_step(step)}")
        _say_notes(plan)
    return ExitCode.DONE


def _headline(plan: Plan) -> str:
    if plan.steps:
        return _("{summary}:").format(summary=plan.summary)
    return _("{summary}.").format(summary=plan.summary)


def _say_notes(plan: Plan) -> None:
    for note in plan.notes:
        text = _("note: {note}").format(note=note)
        say(f"  {text}")


def mark_of(phase: Phase) -> str | None:
    """How a phase is told; None for those on the way."""
    marks = {Phase.DONE: _("done"), Phase.UNDONE: _("taken back"), Phase.UNDO_FAILED: _("NOT taken back")}
    return marks.get(phase)


def say_phase(number: int, phase: Phase, step: Step) -> None:
    """For people, as it goes on."""
    if (mark := mark_of(phase)) is not None:
        say(f"  {number + 1}. {mark}: {describe_step(step)}")


def _say_json_outcome(plan: Plan, source: Source, identity: str | None, more: dict[str, bool]) -> None:
    compared = _compare_given_back(plan, source)
    fields = [{"field": d.field, "before": d.before, "after": d.after, "equal": d.equal} for d in compared]
    outcome = {"summary": plan.summary, "change": identity, "steps": plan.steps, "notes": plan.notes}
    say_json(outcome | {"compared": fields, "confirm_within": _seconds_of(plan.steps)} | more)


def _say_outcome(plan: Plan, source: Source, identity: str | None) -> None:
    """What the host shows now; for a NIC that came back, field by field what it was and what it is."""
    compared = _compare_given_back(plan, source)
    _say_notes(plan)
    if compared:
        say_table(
            (_("FIELD"), _("BEFORE"), _("NOW"), ""),
            ((d.field, d.before, d.after, _("equal") if d.equal else _("DIFFERENT")) for d in compared),
        )
    if (seconds := _seconds_of(plan.steps)) is not None:
        until = time.strftime("%H:%M:%S", time.localtime(_opened_at(source.files, identity) + seconds))
        say(
            _(
                "All is taken back at {until}, and a VM that has the NIC is shut down, unless you say: nicpass confirm"
            ).format(until=until)
        )


def _seconds_of(steps: Iterable[Step]) -> int | None:
    return next((step.seconds for step in steps if isinstance(step, ArmTimer)), None)


def _opened_at(files: Files, identity: str | None) -> float:
    changes = {change.identity: change for change in read_changes(files)}
    change = changes.get(identity or "")
    return change.opened.time if change is not None and change.opened is not None else time.time()


def _compare_given_back(plan: Plan, source: Source) -> tuple[Difference, ...]:
    """Read anew: what is printed here was observed now."""
    given_back = [step for step in plan.steps if isinstance(step, GiveBackNic)]
    if not given_back:
        return ()
    from nicpass.engine.host_steps import read_state  # late, as its handler is

    return tuple(
        field for step in given_back for field in compare_states(step.state, read_state(source.files, step.address))
    )
