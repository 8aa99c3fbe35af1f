# SPDX-License-Identifier: Apache-2.0
"""`nicpass check`: the verdict on every NIC, what to mend in which order, and the auditor's view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.blocking import blocking
from nicpass.checks.host.given import check_given
from nicpass.checks.host.orphans import why_card_gone
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import label, list_nics
from nicpass.checks.preflight import check_host, check_nic, check_vm
from nicpass.checks.verdict import NicReport, Report, SecurityReport, Verdict, judge
from nicpass.cli.explaining import describe_severity
from nicpass.cli.journal.unsettled import owed_nics
from nicpass.cli.render.output import say, say_command, say_json, say_wrapped
from nicpass.cli.source import read_source
from nicpass.model.errors import BadInputError, ExitCode
from nicpass.model.finding import Finding, Severity, worst
from nicpass.model.language import _
from nicpass.planner.select import find_given, select_domain, select_nic

if TYPE_CHECKING:
    import argparse

    from nicpass.model.domain import Domain
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction

_EXIT_CODES = {
    Severity.IMPOSSIBLE: ExitCode.IMPOSSIBLE,
    Severity.UNSAFE: ExitCode.REFUSED,
    Severity.REBOOT: ExitCode.REBOOT_NEEDED,
}

_WITH_COMMAND = ("RECORD_WITHOUT_VM", "RECORD_WITHOUT_NIC", "START_VETOED")
"""Warnings that wait for somebody to do something: the command is printed with them in any case."""


def check_command(arguments: argparse.Namespace) -> int:
    """Exit 0 when the NIC asked for, or without one any NIC of the host, is ready; else by the gravest finding."""
    source = read_source(arguments)
    host = source.host
    if arguments.security:
        return _audit(host, arguments)
    if arguments.strict:
        raise BadInputError(_("--strict belongs to --security."), "nicpass check --security --strict")
    report = _examine(host, arguments)
    if arguments.json:
        owed = owed_nics(arguments, lambda: host.domains)
        say_json(msgspec.structs.replace(report, owed=tuple(nic.state.address for nic in owed)))
    else:
        _say_report(report, verbose=arguments.verbose)
    return _exit_code(report)


def _examine(host: Host, arguments: argparse.Namespace) -> Report:
    index = HostIndex(host)
    gone = _find_gone(arguments.nic, index)
    if gone is not None:
        common = tuple(finding for finding in check_host(host, index) if finding not in gone.findings)
        return Report(host=common, nics=(gone,))
    functions = [select_nic(index, arguments.nic)] if arguments.nic else list_nics(host)
    domain = select_domain(index, arguments.vm) if arguments.vm else None
    index = index.for_vm(domain)
    common = check_host(host, index)
    nics = (judge(f.address, label(f), common, _findings_for(f, domain, index)) for f in functions)
    return Report(host=common, nics=tuple(nics))


def _find_gone(name: str | None, index: HostIndex) -> NicReport | None:
    """The report on a NIC that a VM was given and that is gone; None for every other."""
    given = find_given(index, name) if name else None
    if given is None or given.address in index.functions or why_card_gone(given, index) is None:
        return None
    found = tuple(finding for finding in check_given(index) if finding.subject == given.address)
    codes = tuple(finding.code for finding in found)
    return NicReport(
        address=given.address, name=given.label, verdict=Verdict.MENDABLE, ready=False, mends=codes, findings=found
    )


def _findings_for(function: PciFunction, domain: Domain | None, index: HostIndex) -> tuple[Finding, ...]:
    found = check_nic(function, index)
    return found if domain is None else (*found, *check_vm(function, domain, index))


def _exit_code(report: Report) -> int:
    if any(nic.ready for nic in report.nics):
        return ExitCode.DONE
    gravest = worst((*report.host, *(finding for nic in report.nics for finding in nic.findings)))
    return _EXIT_CODES.get(gravest, ExitCode.IMPOSSIBLE) if gravest else ExitCode.IMPOSSIBLE


def _audit(host: Host, arguments: argparse.Namespace) -> int:
    """Exit 4 when something is unsafe, with --strict also when something is worth a warning."""
    from nicpass.checks.security import check_security

    if arguments.nic or arguments.vm:
        raise BadInputError(_("--security looks at the whole host."), "nicpass check --security")
    findings = check_security(host)
    limit = Severity.WARNING if arguments.strict else Severity.UNSAFE
    report = SecurityReport(passed=all(f.severity.rank < limit.rank for f in findings), findings=findings)
    if arguments.json:
        say_json(report)
    else:
        say(_("Security of passthrough on this host: passed") if report.passed else _("Security: not passed"))
        _say_findings(findings, verbose=arguments.verbose)
    return ExitCode.DONE if report.passed else ExitCode.REFUSED


def _say_report(report: Report, *, verbose: bool) -> None:
    mends = len({finding.code for finding in blocking(report.host)})
    say(_("This host: {count} to mend").format(count=mends) if mends else _("This host: ready"))
    _say_findings(report.host, verbose=verbose)
    if not report.nics:
        say(_("No network controller was seen on the PCI bus of this host."))
    for nic in report.nics:
        say_wrapped(_describe_verdict(nic, report.host))
        _say_findings(nic.findings, verbose=verbose)


def _describe_verdict(nic: NicReport, common: tuple[Finding, ...]) -> str:
    if any(finding.code == "RECORD_WITHOUT_NIC" for finding in nic.findings):
        return _("{nic}: is not there now").format(nic=nic.name)
    match nic.verdict:
        case Verdict.READY:
            return _("{nic}: ready").format(nic=nic.name)
        case Verdict.MENDABLE if len(nic.mends) == 1:
            return _("{nic}: ready after 1 mend").format(nic=nic.name)
        case Verdict.MENDABLE:
            return _("{nic}: ready after {count} mends").format(nic=nic.name, count=len(nic.mends))
        case Verdict.IMPOSSIBLE:
            standing = blocking((*common, *nic.findings))
            final = next(finding for finding in standing if not finding.mend and not finding.command)
            return _("{nic}: not on this host, because: {reason}").format(nic=nic.name, reason=final.sentence)


def _say_findings(findings: tuple[Finding, ...], *, verbose: bool) -> None:
    """Print findings: those that stand in the way numbered, with mends; warnings in a line; notes only if `verbose`."""
    standing = blocking(findings)
    for number, finding in enumerate(standing, 1):
        say_wrapped(f"{finding.code}: {finding.sentence}", indent="     ", first=f"  {number}. ")
        _say_details(finding, verbose=verbose)
        _say_mend(finding)
    others = [finding for finding in findings if finding not in standing]
    for finding in sorted(others, key=lambda finding: -finding.severity.rank):
        if finding.severity == Severity.INFO and not verbose:
            continue
        first = _("  {severity}: ").format(severity=describe_severity(finding.severity))
        say_wrapped(f"{finding.code}: {finding.sentence}", indent="     ", first=first)
        _say_details(finding, verbose=verbose)
        if verbose or finding.code in _WITH_COMMAND:
            _say_mend(finding)


def _say_details(finding: Finding, *, verbose: bool) -> None:
    if not verbose:
        return
    say_wrapped(finding.meaning, indent="     ")
    for evidence in finding.evidence:
        text = _("seen: {source}: {value}").format(source=evidence.source, value=evidence.value)
        say_wrapped(text, indent="     ")


def _say_mend(finding: Finding) -> None:
    """Commands stand on lines of their own, whole, so that they can be pasted."""
    if finding.mend:
        say_wrapped(_("mend: {mend}").format(mend=finding.mend), indent="     ")
    say_command(finding.command, "       ")
