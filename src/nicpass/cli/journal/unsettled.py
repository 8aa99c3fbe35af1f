# SPDX-License-Identifier: Apache-2.0
"""Changes that were cut off or await confirmation: each is settled before the next change is begun.

And NICs that have come back from a VM and are not what they were: whoever looks at the host is told of both.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nicpass.cli.render.output import complain, complain_wrapped
from nicpass.model.errors import RefusedError
from nicpass.model.language import _

if TYPE_CHECKING:
    import argparse

    from nicpass.engine.nic.owed import AskDomains
    from nicpass.engine.nic.store import KeptNic
    from nicpass.host.doors.files import Files
    from nicpass.model.change import Change
    from nicpass.model.domain import Domain
    from nicpass.model.fact import Fact
    from nicpass.model.finding import Finding
    from nicpass.model.request import Request


def refuse_unless_settled(changes: tuple[Change, ...], request: Request) -> None:
    """Pass if every earlier change is settled: one change is settled before the next is begun.

    Raises:
        RefusedError: an earlier change was cut off, or awaits confirmation; only such a change may be undone.
    """
    from nicpass.engine.journal import unsettled  # late: who only looks at a host needs no journal
    from nicpass.model.request import UndoRequest

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


def tell_findings(findings: tuple[Finding, ...]) -> None:
    """Print what waits for somebody to do something; `nicpass check` has the whole of it."""
    for finding in findings:
        complain_wrapped(finding.sentence, "  ", "nicpass: ")
        if finding.mend:
            complain_wrapped(finding.mend, "  ", "  ")
        if finding.command:
            complain(f"    {finding.command}")


def tell_unfinished(files: Files) -> None:
    """Print which changes have no end: those of a run that is at work, or what settles them."""
    from nicpass.engine.journal import find_unsettled

    for change in find_unsettled(files):
        holder = at_work(files)
        text = _("an earlier change was cut off: {change} ({summary}); settle it with: nicpass recover")
        if holder is not None:
            text = _("a run is at work: {change} ({summary}); {holder}")
        sentence = text.format(change=change.identity, summary=summary_of(change), holder=holder)
        complain_wrapped(sentence, "  ", "nicpass: ")


def at_work(files: Files) -> str | None:
    """The run that holds the lock: a change without an end is its, and was not cut off. None where there is none."""
    from nicpass.engine.lock import who_is_at_work  # late: hardly a host has such a change

    return who_is_at_work(files)


def pending(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """The changes of `changes` that await confirmation still."""
    from nicpass.engine.journal import undone_by
    from nicpass.model.change import Outcome

    waiting = (change for change in changes if change.outcome == Outcome.UNCONFIRMED)
    return tuple(change for change in waiting if undone_by(change, changes) is None)


def summary_of(change: Change) -> str:
    """What the change was to do, in the reader's language."""
    if change.opened is None:
        return _("not readable")
    from nicpass.cli.journal.retelling import retell  # late: hardly a run tells of a change

    return retell(change.opened.plan.summary)


def owed_nics(arguments: argparse.Namespace, ask_domains: AskDomains | None = None) -> tuple[KeptNic, ...]:
    """Those of this machine; of a snapshot or a tree nobody knows, and only root may read what they were."""
    if arguments.snapshot is not None or arguments.root is not None or os.geteuid() != 0:
        return ()
    from nicpass.engine.nic.owed import find_owed
    from nicpass.host.doors.files import Files

    def ask() -> Fact[tuple[Domain, ...]]:
        from nicpass.hypervisor.libvirt.domains import read_domains

        return read_domains(Files())

    return find_owed(Files(), ask_domains or ask)
