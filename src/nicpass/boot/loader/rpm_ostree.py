# SPDX-License-Identifier: Apache-2.0
"""rpm-ostree, which keeps the kernel's arguments with each deployment and writes the entries itself.

A new deployment gets the arguments of the one before. The deployment before stays in the menu, so a bad boot is healed
by choosing it; a deployment cannot be tried once. Source: rpm-ostree(1), "kargs".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.arguments.tokens import are_last, join_tokens
from nicpass.boot.loader.edits import Edits, plan_record, read_edits
from nicpass.boot.loader.grub_menu import known_entry
from nicpass.model.boot import BootChange, Generator
from nicpass.model.errors import ImpossibleError
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nicpass.model.boot import Boot


def plan_arguments(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """The change that adds those of `tokens` that the next deployment does not have; they come last."""
    if not tokens:
        return plan_removal(boot)
    join_tokens(tokens)
    edits = read_edits(boot)
    ours = edits.tokens if edits is not None else ()
    given = _given(boot)
    added = tuple(token for token in tokens if token not in ours and not are_last(" ".join(given), (token,)))
    gone = tuple(token for token in ours if token not in tokens and token in given)
    kept = tuple(token for token in ours if token in tokens)
    files = plan_record(boot, Edits(tokens=(*kept, *added), edits=())) if added or gone else ()
    return BootChange(files=files, generators=_change(added, gone))


def plan_removal(boot: Boot) -> BootChange:
    """The change that takes the arguments that nicpass added out again."""
    edits = read_edits(boot)
    if edits is None:
        return BootChange()
    given = _given(boot)
    gone = tuple(token for token in edits.tokens if not given or token in given)
    return BootChange(files=plan_record(boot, None), generators=_change((), gone))


def plan_trial(boot: Boot, tokens: Sequence[str]) -> BootChange:
    """Refuse a trial boot, which is not possible with rpm-ostree.

    Raises:
        ImpossibleError: always.
    """
    raise ImpossibleError(_("rpm-ostree cannot try arguments at one boot only."))


def plan_trial_end(boot: Boot) -> BootChange:
    """The empty change, for there is no trial boot."""
    return BootChange()


def _change(added: Sequence[str], gone: Sequence[str]) -> tuple[Generator, ...]:
    """The one run of rpm-ostree for all these arguments, for each run makes a deployment."""
    if not added and not gone:
        return ()
    return (Generator(argv=_kargs(added, gone), back=_kargs(gone, added)),)


def _kargs(added: Sequence[str], gone: Sequence[str]) -> tuple[str, ...]:
    """The `rpm-ostree kargs` command: `--append` also where the name is there; an opposite one stays, the last wins."""
    return (
        "rpm-ostree",
        "kargs",
        *(f"--delete-if-present={token}" for token in gone),
        *(f"--append={token}" for token in added),
    )


def _given(boot: Boot) -> list[str]:
    entry = known_entry(boot.entries, boot.default_entry)
    return entry.arguments.split() if entry is not None else []
