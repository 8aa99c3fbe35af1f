# SPDX-License-Identifier: Apache-2.0
"""Refuses a preparation that could not hold: where somebody else writes the boot, or what is written does not stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.loader.authors import advise_author, describe_author
from nicpass.model.errors import ImpossibleError
from nicpass.model.language import _
from nicpass.model.plan import ChangeBoot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nicpass.model.boot import Boot
    from nicpass.model.plan import Step


_BESIDE = ("/etc/systemd/system", "/var/lib/nicpass")


def refuse_other_author(boot: Boot, tokens: Sequence[str], nics: Sequence[str]) -> None:
    """Refuse to write kernel arguments, or bindings of NICs, where another program writes the boot configuration.

    Raises:
        ImpossibleError: it does; the hint has the place and the words for it.
    """
    if boot.authorship is not None and (tokens or nics):
        raise ImpossibleError(describe_author(boot.authorship), advise_author(boot.authorship, tokens, nics))


def refuse_lost_files(boot: Boot, steps: Iterable[Step]) -> None:
    """Refuse steps that write where nothing can be written, or where the next boot finds nothing of it.

    Raises:
        ImpossibleError: one of their files is to stand in such a folder.
    """
    reasons = dict(boot.unwritable)
    changes = [step.change for step in steps if isinstance(step, ChangeBoot)]
    written = [file.path for change in changes for file in change.files]
    written += [made.path for change in changes for generator in change.generators for made in generator.makes]
    # What looks at the next boot stands beside every preparation.
    for path in (*written, *(_BESIDE if written else ())):
        above = [folder for folder in reasons if f"{path}/".startswith(f"{folder}/")]
        reason = reasons[max(above, key=len)] if above else ""
        if reason:
            raise ImpossibleError(
                _("{path} cannot be written so that it stays: {reason}.").format(path=path, reason=reason),
                _(
                    "If that is only for now (mount -o remount,rw), change it and try again. On a system that comes as "
                    "an image, put it where that system keeps what outlives a boot."
                ),
            )
