# SPDX-License-Identifier: Apache-2.0
"""NICs that nicpass binds at boot: whether they are there, whether this boot bound them, and what was there first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.boot.arguments.cmdline import parse_cmdline
from nicpass.checks.catalogue import Finder
from nicpass.checks.lookup.nics import attribute, label
from nicpass.model.binding import FOLDER, REPORTS, BindingOutcome, path_of
from nicpass.model.fact import Unknown, known, value_or
from nicpass.model.language import _
from nicpass.model.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.binding import BindingReport, Match
    from nicpass.model.boot import BootBinding
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("device.boot_bindings")


def check_boot_bindings(index: HostIndex) -> Iterator[Finding]:
    """Findings about the host: files that bind nothing. Where only part of the host was read, no card is missed."""
    found = index.host.boot_bindings
    for damaged in found.damaged:
        if damaged.path.startswith(f"{FOLDER}/"):
            evidence = ((damaged.path, damaged.reason),)
            file = quote(damaged.path)
            yield make_finding(
                "BOOT_BINDING_DAMAGED", evidence=evidence, path=damaged.path, reason=damaged.reason, file=file
            )
    for binding, match in index.binding_matches if index.host.pci_unread is None else ():
        if match.outcome in ("absent", "other"):
            yield _absent(binding, match, index)
        elif match.outcome == "ambiguous":
            answers = ", ".join(label(index.functions[address]) for address in match.addresses)
            evidence = ((path_of(binding), answers),)
            yield make_finding("BOOT_BINDING_AMBIGUOUS", evidence=evidence, address=binding.address, answers=answers)
    yield from _check_unread(index)


def _absent(binding: BootBinding, match: Match, index: HostIndex) -> Finding:
    """The finding about an absent card, with what stands there instead, and cards of its kind that stand elsewhere."""
    instead = ", ".join(label(index.functions[address]) for address in match.addresses)
    alike = ", ".join(label(f) for f in index.host.pci if _kind(f) == _recorded_kind(binding))
    words = [_("in its place is {instead}").format(instead=instead) if instead else _("nothing is in its place")]
    if alike:
        words.append(_("of the same kind are there {alike}").format(alike=alike))
    return make_finding(
        "BOOT_BINDING_ABSENT",
        evidence=((path_of(binding), "/".join(binding.identity.slots)),),
        address=binding.address,
        card=_card(binding),
        instead="; ".join(words),
    )


def _kind(function: PciFunction) -> tuple[object, object]:
    return function.vendor_id, function.device_id


def _recorded_kind(binding: BootBinding) -> tuple[object, object]:
    return binding.identity.vendor_id, binding.identity.device_id


def _card(binding: BootBinding) -> str:
    """The recorded card in words, for who looks at the cards: ids and serial number."""
    identity = binding.identity
    ids = f"{identity.vendor_id:04x}:{identity.device_id:04x}"
    if identity.serial_number is None:
        return ids
    return _("{ids}, serial number {number}").format(ids=ids, number=identity.serial_number)


def _check_unread(index: HostIndex) -> Iterator[Finding]:
    found = index.host.boot_bindings
    reasons = [fact.unknown for fact in (found.bindings, found.reports) if isinstance(fact, Unknown)]
    reasons += [f"{d.reason}: {d.path}" for d in found.damaged if d.path.startswith(f"{REPORTS}/")]
    reasons += [
        _("whether {address} is the card that was prepared").format(address=address)
        for binding, match in index.binding_matches
        if match.outcome == "unread" and binding not in index.boot_bindings.values()
        for address in match.addresses
    ]
    if reasons:
        evidence = tuple((FOLDER, reason) for reason in reasons)
        yield make_finding("BOOT_BINDINGS_UNREAD", evidence=evidence, reason="; ".join(reasons))


def check_nic_boot_binding(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """Findings about one NIC that has a binding."""
    binding = index.boot_bindings.get(function.address)
    if binding is None:
        return
    if function.driver == binding.driver:
        evidence = ((path_of(binding), binding.driver), (attribute(function, "driver"), function.driver))
        yield make_finding(
            "BOUND_AT_BOOT",
            function.address,
            evidence,
            nic=label(function),
            driver=binding.driver,
            path=path_of(binding),
            address=binding.address,
        )
        return
    yield _not_bound(function, binding, index)
    yield from check_builtin(function, index)
    recorded = binding.identity.permanent_mac
    for link in index.netdevs(function):
        if link.permanent_mac is not None and recorded is not None and link.permanent_mac != recorded:
            yield make_finding(
                "BOOT_BINDING_OTHER_CARD",
                function.address,
                ((path_of(binding), recorded), (_("ethtool -P {name}").format(name=link.name), link.permanent_mac)),
                nic=label(function),
                seen=link.permanent_mac,
                recorded=recorded,
                address=binding.address,
            )


def _not_bound(function: PciFunction, binding: BootBinding, index: HostIndex) -> Finding:
    report = next((r for r in value_or(index.host.boot_bindings.reports, ()) if r.name == binding.name), None)
    had = function.driver if known(function.driver) else _("no driver")
    said = ((f"{REPORTS}/{binding.name}", report.outcome.value),) if report is not None else ()
    return make_finding(
        "BOOT_BINDING_PENDING" if report is None else "BOOT_BINDING_FAILED",
        function.address,
        ((path_of(binding), binding.driver), (attribute(function, "driver"), had), *said),
        nic=label(function),
        driver=binding.driver,
        had=had,
        reason=_why_pending(index) if report is None else _why_failed(report, had),
    )


def _why_pending(index: HostIndex) -> str:
    cmdline = index.host.platform.cmdline
    if known(cmdline) and "off" in parse_cmdline(cmdline).get("nicpass.bind", ()):
        return _("nicpass.bind=off is on the kernel's command line")
    return _("it was prepared after the boot, or the script has not run")


def _why_failed(report: BindingReport, had: str) -> str:
    match report.outcome:
        case BindingOutcome.TAKEN:
            return _("{driver} had it first").format(driver=report.driver or had)
        case BindingOutcome.BOUND:
            return _("it was, and somebody has bound it to {driver} since").format(driver=had)
        case BindingOutcome.FAILED:
            return report.detail or _("the driver did not take it")
        case BindingOutcome.UNREAD:
            return _("its serial number could not be read at boot")
        case BindingOutcome.DAMAGED:
            return _("its file was damaged at boot: {detail}").format(detail=report.detail)
        case _:
            return _("the card was not found at boot")


def check_builtin(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    """The finding about a NIC whose driver is built in, also one that is only to be bound at boot: it cannot be."""
    for builtin in index.host.boot_bindings.builtin_drivers:
        if builtin.address == function.address:
            yield make_finding(
                "DRIVER_BUILT_IN",
                function.address,
                ((f"/lib/modules/{index.host.platform.kernel}/modules.builtin", builtin.module),),
                nic=label(function),
                module=builtin.module,
                address=function.address,
            )
