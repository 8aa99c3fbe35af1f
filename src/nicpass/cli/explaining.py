# SPDX-License-Identifier: Apache-2.0
"""`nicpass explain`: what a code means, without a host."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.catalogue.entry import Entry
from nicpass.checks.catalogue.whole import CATALOGUE
from nicpass.cli.render.output import say, say_json, say_table, say_wrapped
from nicpass.model.errors import BadInputError, ExitCode
from nicpass.model.finding import Severity
from nicpass.model.language import _
from nicpass.model.nearest import did_you_mean

if TYPE_CHECKING:
    import argparse

_PLACEHOLDER = re.compile(r"{(\w+)}")


class Explanations(msgspec.Struct, frozen=True, kw_only=True):
    """What `nicpass explain --json` prints."""

    schema: str = "nicpass.explain/1"
    findings: dict[str, Entry]
    """Code to what it means."""


def explain_command(arguments: argparse.Namespace) -> int:
    codes = [arguments.code.upper()] if arguments.code else list(CATALOGUE)
    if codes[0] not in CATALOGUE:
        raise BadInputError(
            _("There is no finding {code!r}.").format(code=arguments.code),
            did_you_mean(codes[0], CATALOGUE, _("All codes: nicpass explain")),
        )
    entries = {code: _translate(CATALOGUE[code]) for code in codes}
    if arguments.json:
        say_json(Explanations(findings=entries))
    elif arguments.code:
        _say_entry(codes[0], entries[codes[0]])
    else:
        rows = (
            (code, describe_severity(entry.severity), _in_capitals(entry.sentence)) for code, entry in entries.items()
        )
        say_table((_("CODE"), _("SEVERITY"), _("MEANING")), rows)
    return ExitCode.DONE


def describe_severity(severity: Severity) -> str:
    words = {
        Severity.INFO: _("info"),
        Severity.WARNING: _("warning"),
        Severity.REBOOT: _("reboot"),
        Severity.UNSAFE: _("unsafe"),
        Severity.IMPOSSIBLE: _("impossible"),
    }
    return words[severity]


def _say_entry(code: str, entry: Entry) -> None:
    """Print one catalogue entry; `{nic}` in its texts, which a check would fill in, is printed as NIC."""
    say(f"{code} ({describe_severity(entry.severity)})")
    for text in filter(None, (entry.sentence, entry.meaning, entry.background)):
        say_wrapped(_in_capitals(text), indent="  ")
    if entry.mend:
        say_wrapped(_("Mend: {mend}").format(mend=_in_capitals(entry.mend)), indent="  ")
    for line in entry.command.splitlines():
        say(f"    {_in_capitals(line)}")
    if not entry.mend and not entry.command:
        nothing = _("Nothing on this host mends it.") if entry.severity.blocks else _("There is nothing to mend.")
        say_wrapped(nothing, indent="  ")


def _in_capitals(text: str) -> str:
    return _PLACEHOLDER.sub(lambda field: field[1].upper(), text)


def _translate(entry: Entry) -> Entry:
    return msgspec.structs.replace(
        entry,
        sentence=_(entry.sentence),
        meaning=_(entry.meaning),
        background=_(entry.background),
        mend=_(entry.mend),
    )
