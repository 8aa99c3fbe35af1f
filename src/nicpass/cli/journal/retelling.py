# SPDX-License-Identifier: Apache-2.0
"""What a change was, in the reader's language: the journal has it in that of whoever made the change."""

from __future__ import annotations

import gettext
import re
from typing import TYPE_CHECKING

from nicpass.cli.render.translation import CATALOGUES, DOMAIN, FOLDERS
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUMMARIES = (
    "Undo {change}: {summary}",
    "Give {nic} to {name}",
    "Take {nic} back from {name}",
    "Allow more for {nic} in {name}",
    "Allow less for {address} in {name}",
    "Stop {name}",
    "Make 1 VF of {nic}",
    "Make {count} VFs of {nic}",
    "Remove the VF of {nic}",
    "Remove the {numvfs} VFs of {nic}",
    "Set VF {vfs} of {nic}",
    "Set VFs {vfs} of {nic}",
    "Make the pool {pool} of VFs {vfs} of {nic}",
    "Make the pool {pool} what it was",
    "Add {vfs} to the pool {pool}",
    "Take {vfs} out of the pool {pool}",
    "Remove the pool {pool}",
    "Give {name} a VF of the pool {pool} at each start",
    "Take the interface of the pool {pool} out of {name}",
    "Put {name} where {nic} is, on NUMA node {node}",
    "Put {name} back",
    "Let the interrupts be handled as before",
    "Prepare this host for passthrough",
    "The reboot did not bring what was prepared",
    "The host came up as it was prepared",
    "Take out what was prepared",
    "Leave {address} as it is",
)
"""The summaries of plans, as the planners write them."""
_FIELD = re.compile(r"\\{(\w+)\\}")


def retell(summary: str) -> str:
    """`summary` in the language of now; as it is where it is none that is known here."""
    for message, pattern in _patterns():
        found = pattern.fullmatch(summary)
        if found is not None:
            fields = found.groupdict()
            if "summary" in fields:
                fields["summary"] = retell(fields["summary"])
            return _(message).format(**fields)
    return summary


def _patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every summary with what it looks like, in every language: English first, for most journals have that."""
    translations: list[Callable[[str], str]] = [str, *(_catalogue(folder).gettext for folder in FOLDERS.values())]
    for translate in translations:
        for message in SUMMARIES:
            yield message, re.compile(_FIELD.sub(r"(?P<\1>.+)", re.escape(translate(message))))


def _catalogue(folder: str) -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, CATALOGUES, [folder], fallback=True)
