# SPDX-License-Identifier: Apache-2.0
"""Prints a plan and its outcome, for people and as JSON."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from nicpass.cli.render.aftermath import way_back, what_is_so_now
from nicpass.cli.render.output import say, say_table, say_wrapped, show
from nicpass.cli.render.plan_text import describe_step
from nicpass.engine.journal import read_change
from nicpass.model.change import Phase
from nicpass.model.errors import ExitCode
from nicpass.model.fact import value_or
from nicpass.model.language import _
from nicpass.model.plan import ArmTimer, GiveBackNic, SetNumvfs, StartWindow

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from nicpass.cli.render.documents import OutcomeDocument
    from nicpass.cli.source import Source
    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address
    from nicpass.model.plan import Difference, Plan, Step


def show_plan(plan: Plan, arguments: argparse.Namespace) -> int:
    """Print the plan for people, as JSON, or as shell lines."""
    if arguments.json:
        from nicpass.cli.render.documents import PlanDocument, say_document  # late: most runs are for people

        document = PlanDocument(summary=plan.summary, request=plan.request, steps=plan.steps, notes=plan.notes)
        say_document(document, arguments)
    elif arguments.dry_run == "shell":
        from nicpass.cli.render.plan_shell import render_shell  # late: few ask for it, and it knows every tool

        for step in plan.steps:
            # On one line, whatever a snapshot from elsewhere has for names: these lines are to be pasted.
            for line in (f"# {' '.join(describe_step(step).split())}", *render_shell(step)):
                say(line)
    else:
        say(headline(plan))
        for number, step in enumerate(plan.steps, 1):
            say_wrapped(describe_step(step), indent="     ", first=f"  {number}. ")
        say_notes(plan)
    return ExitCode.DONE


def headline(plan: Plan) -> str:
    if plan.steps:
        return _("{summary}:").format(summary=plan.summary)
    return _("{summary}.").format(summary=plan.summary)


def say_notes(plan: Plan) -> None:
    for note in plan.notes:
        text = _("note: {note}").format(note=note)
        say_wrapped(text, indent="    ", first="  ")


def view_outcome(plan: Plan, source: Source, identity: str | None, told: Iterable[str]) -> OutcomeDocument:
    """The outcome as a document for programs; the host is read anew for it."""
    from nicpass.cli.render.documents import ComparedField, MadeVf, OutcomeDocument  # late: most runs are for people

    compared = _compare_given_back(plan, source)
    return OutcomeDocument(
        summary=plan.summary,
        change=identity,
        steps=plan.steps,
        notes=plan.notes,
        compared=tuple(
            ComparedField(address=address, field=d.field, before=d.before, after=d.after, equal=d.equal)
            for address, fields in compared.items()
            for d in fields
        ),
        vfs=tuple(MadeVf(**vf) for vf in _made_vfs(plan, source)),
        confirm_within=seconds_of(plan.steps),
        told=tuple(told),
        now=what_is_so_now(plan) if identity is not None else None,
        way_back=way_back(plan, identity) if identity is not None else None,
    )


def say_outcome(plan: Plan, source: Source, identity: str | None) -> None:
    """Print what the host shows now; for a NIC that came back, field by field what it was and what it is."""
    compared = _compare_given_back(plan, source)
    say_notes(plan)
    for address, fields in compared.items():
        if len(compared) > 1:
            say(f"{address}:")
        say_table(
            (_("FIELD"), _("BEFORE"), _("NOW"), ""),
            ((d.field, d.before, d.after, _("equal") if d.equal else _("DIFFERENT")) for d in fields),
        )
    if vfs := _made_vfs(plan, source):
        rows = (
            (
                str(vf["vf_index"]),
                vf["address"],
                ", ".join(vf["netdevs"]) or "-",
                vf["mac"] or "?",
                show(vf["vlan"] or None),
            )
            for vf in vfs
        )
        say_table((_("VF"), _("ADDRESS"), _("NETDEV"), "MAC", "VLAN"), rows)
    if identity is not None:
        say_aftermath(plan, identity)
    if (seconds := seconds_of(plan.steps)) is not None:
        until = time.strftime("%H:%M:%S", time.localtime(_counted_from(source.files, identity) + seconds))
        say(
            _(
                "All is taken back at {until}, and a VM that has the NIC is shut down, unless you say: nicpass confirm"
            ).format(until=until)
        )


def say_aftermath(plan: Plan, identity: str) -> None:
    """Print what is so now, and on a line of its own, to be pasted, what takes it back."""
    now, back = what_is_so_now(plan), way_back(plan, identity)
    if now is not None and back is not None:
        say_wrapped(_("{now} To take that back:").format(now=now))
        say(f"  {back}")
    elif now is not None:
        say_wrapped(now)


def _made_vfs(plan: Plan, source: Source) -> list[dict[str, Any]]:
    """The VFs that are there now, of each PF of which the plan has set the VFs or their number."""
    pfs = [step.address for step in plan.steps if isinstance(step, SetNumvfs) and step.after]
    if not pfs:
        return []
    from nicpass.engine.host_steps import read_state  # late, as its handler is
    from nicpass.host.pci.functions import read_function  # late: few changes make VFs

    made = []
    for pf in pfs:
        function, state = read_function(source.files, pf), read_state(source.files, pf)
        set_to = {vf.vf_index: vf for link in state.links for vf in link.vfs}
        for number, vf in zip(function.virtfn_indices or range(999), function.virtfns, strict=False):
            is_so = set_to.get(number)
            told = {"mac": is_so.mac if is_so else None, "vlan": is_so.vlan if is_so else None}
            netdevs = value_or(read_function(source.files, vf).netdevs, ())
            made.append({"pf": pf, "vf_index": number, "address": vf, "netdevs": netdevs} | told)
    return made


def seconds_of(steps: Iterable[Step]) -> int | None:
    return next((step.seconds for step in steps if isinstance(step, ArmTimer)), None)


def _counted_from(files: Files, identity: str | None) -> float:
    """When the timer was set that counts the time to confirm."""
    steps = read_change(files, identity).steps if identity is not None else ()
    moments = [one.time for one in steps if isinstance(one.step, ArmTimer | StartWindow) and one.phase == Phase.DONE]
    return max(moments, default=time.time())


def _compare_given_back(plan: Plan, source: Source) -> dict[Address, tuple[Difference, ...]]:
    """The fields of each NIC that was given back, before and now; the host is read anew, so they are observed now."""
    given_back = [step for step in plan.steps if isinstance(step, GiveBackNic) and not step.gone]
    if not given_back:
        return {}
    from nicpass.engine.host_steps import read_state  # late, as its handler is
    from nicpass.planner.nic_state.compare import compare_states

    return {step.address: compare_states(step.state, read_state(source.files, step.address)) for step in given_back}
