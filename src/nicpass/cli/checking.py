# SPDX-License-Identifier: Apache-2.0
"""`nicpass check` and `nicpass explain`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.catalogue import CATALOGUE
from nicpass.checks.index import HostIndex
from nicpass.checks.nics import label, list_nics
from nicpass.checks.preflight import check_host, check_nic
from nicpass.cli.output import say, say_json, say_table
from nicpass.cli.source import read_source
from nicpass.model.address import Address
from nicpass.model.errors import BadInputError, ExitCode
from nicpass.model.finding import Finding, Severity, worst
from nicpass.planner.refuse import blocking
from nicpass.planner.select import select_nic

if TYPE_CHECKING:
    import argparse

    from nicpass.model.pci import PciFunction

_PLACEHOLDER = re.compile(r"{(\w+)}")

_EXIT_CODES = {
    Severity.IMPOSSIBLE: ExitCode.IMPOSSIBLE,
    Severity.UNSAFE: ExitCode.REFUSED,
    Severity.REBOOT: ExitCode.REBOOT_NEEDED,
}


class NicVerdict(msgspec.Struct, frozen=True):
    """One NIC's answer: ready when nothing of the host and nothing of the NIC stands in the way."""

    address: Address
    ready: bool
    findings: tuple[Finding, ...]


class Report(msgspec.Struct, frozen=True):
    """What `nicpass check --json` prints."""

    host: tuple[Finding, ...]
    nics: tuple[NicVerdict, ...]


def check_command(arguments: argparse.Namespace) -> int:
    """Exit 0 when the NIC asked for, or without one any NIC of the host, is ready; else by the gravest finding."""
    index = HostIndex(read_source(arguments).host)
    functions = [select_nic(index, arguments.nic)] if arguments.nic else list_nics(index.host)
    common = check_host(index.host)
    report = Report(common, tuple(_judge(function, index, common) for function in functions))
    if arguments.json:
        say_json(report)
    else:
        _say_findings("this host", common, verbose=arguments.verbose)
        if not functions:
            say("There is no network controller on the PCI bus of this host.")
        for function, verdict in zip(functions, report.nics, strict=True):
            _say_findings(label(function), verdict.findings, common, verbose=arguments.verbose)
    return _exit_code(report)


def explain_command(arguments: argparse.Namespace) -> int:
    codes = [arguments.code.upper()] if arguments.code else list(CATALOGUE)
    if codes[0] not in CATALOGUE:
        raise BadInputError(f"There is no finding {arguments.code!r}.", "All codes: nicpass explain")
    if arguments.json:
        say_json({code: CATALOGUE[code] for code in codes})
    elif arguments.code:
        entry = CATALOGUE[codes[0]]
        # `{nic}` in a text stands for what a check fills in; here there is no check.
        texts = (entry.sentence, entry.meaning, f"Mend: {entry.mend}" if entry.mend else "There is nothing to mend.")
        say(f"{codes[0]} ({entry.severity})")
        for text in texts:
            say(f"  {_PLACEHOLDER.sub(lambda field: field[1].upper(), text)}")
    else:
        say_table(("CODE", "SEVERITY", "MEANING"), ((c, e.severity, e.meaning) for c, e in CATALOGUE.items()))
    return ExitCode.DONE


def _judge(function: PciFunction, index: HostIndex, common: tuple[Finding, ...]) -> NicVerdict:
    findings = check_nic(function, index)
    return NicVerdict(function.address, not blocking((*common, *findings)), findings)


def _exit_code(report: Report) -> int:
    if any(nic.ready for nic in report.nics):
        return ExitCode.DONE
    everything = (*report.host, *(finding for nic in report.nics for finding in nic.findings))
    gravest = worst(everything)
    return _EXIT_CODES.get(gravest, ExitCode.IMPOSSIBLE) if gravest else ExitCode.IMPOSSIBLE


def _say_findings(what: str, findings: tuple[Finding, ...], common: tuple[Finding, ...] = (), *, verbose: bool) -> None:
    standing = blocking((*findings, *common))
    say(f"{what}: {f'not ready, {len(standing)} in the way' if standing else 'ready'}")
    for finding in sorted(findings, key=lambda finding: -finding.severity.rank):
        if finding.severity == Severity.INFO and not verbose:
            continue
        say(f"  {finding.severity:<10} {finding.code}: {finding.sentence}")
        if verbose:
            say(f"  {'':<10} {finding.meaning}")
            for evidence in finding.evidence:
                say(f"  {'':<10} seen: {evidence.source}: {evidence.value}")
        if finding.mend:
            say(f"  {'':<10} mend: {finding.mend}")
