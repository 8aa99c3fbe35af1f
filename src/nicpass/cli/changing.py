# SPDX-License-Identifier: Apache-2.0
"""`nicpass attach`, `detach` and `vf`: plan, show or carry out, and say what was seen afterwards."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from nicpass.checks.index import HostIndex
from nicpass.cli.output import say, say_json, say_table
from nicpass.cli.plan_text import describe_step, render_shell
from nicpass.cli.source import Source, read_source, require_live_root
from nicpass.engine.host_steps import host_handlers, read_state
from nicpass.engine.lock import hold_lock
from nicpass.engine.store import Phase, read_kept_nic
from nicpass.engine.transaction import run_plan
from nicpass.host.files import Files
from nicpass.host.processes import Processes
from nicpass.hypervisor.guard import guard_handlers, plan_guard, plan_guard_removal
from nicpass.hypervisor.libvirt import libvirt_handlers
from nicpass.model.errors import BadInputError, ExitCode
from nicpass.model.language import _
from nicpass.model.plan import AttachRequest, DetachRequest, GiveBackNic, Request, VfRequest
from nicpass.planner.attach import plan_attach, plan_detach
from nicpass.planner.observe import compare_states
from nicpass.planner.select import select_nic
from nicpass.planner.vf import plan_vf

if TYPE_CHECKING:
    import argparse

    from nicpass.model.plan import Difference, Plan, Step


def _mark_of(phase: Phase) -> str | None:
    """How a phase is told; None for those on the way."""
    marks = {Phase.DONE: _("done"), Phase.UNDONE: _("taken back"), Phase.UNDO_FAILED: _("NOT taken back")}
    return marks.get(phase)


def change_command(arguments: argparse.Namespace) -> int:
    request = _request_of(arguments)
    if arguments.dry_run is not None:
        return _show_plan(_plan(request, read_source(arguments)), arguments)
    require_live_root(arguments)
    _outlive_session()
    # Read under the lock: a plan made before another run's change is one for a host that is gone.
    with hold_lock(Files(), f"nicpass {' '.join(_words(request))}"):
        source = read_source(arguments)
        plan = _plan(request, source)
        if not arguments.json:
            say(_headline(plan))
        processes = Processes()
        handlers = {
            **host_handlers(source.files, processes),
            **libvirt_handlers(source.files),
            **guard_handlers(source.files, processes),
        }
        run_plan(plan, handlers, source.files, _watch_silently if arguments.json else _say_phase)
        _say_outcome(plan, source, as_json=arguments.json)
    return ExitCode.DONE


def _outlive_session() -> None:
    """A change goes on when the ssh session that began it breaks; being asked to end takes it back in order."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _request_of(arguments: argparse.Namespace) -> Request:
    if arguments.command == "attach":
        return AttachRequest(
            vm=arguments.vm,
            nic=arguments.nic,
            start=arguments.start,
            mac=arguments.mac,
            vlan=arguments.vlan,
            allow=frozenset(arguments.allow),
        )
    if arguments.command == "detach":
        return DetachRequest(vm=arguments.vm, nic=arguments.nic)
    if arguments.action == "create" and arguments.count < 1:
        raise BadInputError(
            _("{count} VFs cannot be made.").format(count=arguments.count), _("To remove them: nicpass vf remove PF")
        )
    return VfRequest(pf=arguments.pf, count=arguments.count if arguments.action == "create" else 0)


def _words(request: Request) -> list[str]:
    """The request as it could be typed, for whoever waits for the lock."""
    match request:
        case AttachRequest():
            return ["attach", request.vm, request.nic]
        case DetachRequest():
            return ["detach", request.vm, request.nic]
        case VfRequest():
            return ["vf", "create" if request.count else "remove", request.pf]


def _plan(request: Request, source: Source) -> Plan:
    match request:
        case AttachRequest():
            return plan_attach(source.host, request, plan_guard(source.files) if source.is_live else ())
        case DetachRequest():
            function = select_nic(HostIndex(source.host), request.nic)
            kept = read_kept_nic(source.files, function.address) if source.is_live else None
            guard = plan_guard_removal(source.files, function.address) if source.is_live else ()
            state, owner = (kept.state, kept.owner) if kept is not None else (None, None)
            return plan_detach(source.host, request, state, owner, guard)
        case VfRequest():
            return plan_vf(source.host, request)


def _show_plan(plan: Plan, arguments: argparse.Namespace) -> int:
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


def _watch_silently(_number: int, _phase: Phase, _step: Step) -> None:
    """With --json only the outcome is said."""


def _say_phase(number: int, phase: Phase, step: Step) -> None:
    if (mark := _mark_of(phase)) is not None:
        say(f"  {number + 1}. {mark}: {describe_step(step)}")


def _say_outcome(plan: Plan, source: Source, *, as_json: bool) -> None:
    """What the host shows now; for a NIC that came back, field by field what it was and what it is."""
    compared = _compare_given_back(plan, source)
    if as_json:
        fields = [{"field": d.field, "before": d.before, "after": d.after, "equal": d.equal} for d in compared]
        say_json({"summary": plan.summary, "steps": plan.steps, "notes": plan.notes, "compared": fields})
        return
    _say_notes(plan)
    if compared:
        say_table(
            (_("FIELD"), _("BEFORE"), _("NOW"), ""),
            ((d.field, d.before, d.after, _("equal") if d.equal else _("DIFFERENT")) for d in compared),
        )


def _compare_given_back(plan: Plan, source: Source) -> tuple[Difference, ...]:
    """Read anew: what is printed here was observed now."""
    given_back = [step for step in plan.steps if isinstance(step, GiveBackNic)]
    return tuple(
        field for step in given_back for field in compare_states(step.state, read_state(source.files, step.address))
    )
