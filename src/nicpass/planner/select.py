# SPDX-License-Identifier: Apache-2.0
"""Finds the one NIC or VM that a user's word means, or says why there is not exactly one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.lookup.nics import is_nic, label, list_nics
from nicpass.model.address import parse_address, parse_mac
from nicpass.model.errors import BadInputError, ImpossibleError
from nicpass.model.fact import known, value_or, why_unknown
from nicpass.model.language import _
from nicpass.model.nearest import did_you_mean
from nicpass.model.text import printable, quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.address import Address
    from nicpass.model.domain import Domain
    from nicpass.model.given import GivenNic
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import NicState


def select_nic(index: HostIndex, name: str) -> PciFunction:
    """The NIC with this address, netdev name, alternative name or MAC; one that a VM has, by those that it had.

    Raises:
        BadInputError: no NIC or several NICs have it, the function is no NIC, or the NIC is gone.
    """
    address = parse_address(name)
    if address is not None and address in index.functions:
        function = index.functions[address]
        if not is_nic(function):
            raise BadInputError(
                _("{address} is not a network controller.").format(address=address),
                _("The NICs of this host: nicpass list"),
            )
        return function
    found = [function for function in list_nics(index.host) if _answers_to(function, name, index)]
    if not found:
        return _select_given(index, name)
    if len(found) > 1:
        raise _tell_several(name, [label(function) for function in found])
    return found[0]


def select_nics(index: HostIndex, names: Iterable[str]) -> list[PciFunction]:
    """The NICs with these names, in their order.

    Raises:
        BadInputError: as `select_nic`, or two names mean the same NIC.
    """
    found: dict[Address, PciFunction] = {}
    for name in names:
        function = select_nic(index, name)
        if function.address in found:
            raise tell_twice(label(function))
        found[function.address] = function
    return list(found.values())


def tell_twice(nic: str) -> BadInputError:
    return BadInputError(_("{nic} is named twice.").format(nic=nic), _("Name each NIC once."))


def _tell_several(name: str, labels: list[str]) -> BadInputError:
    return BadInputError(
        _("{name!r} names {count} NICs: {candidates}.").format(
            name=name, count=len(labels), candidates=", ".join(labels)
        ),
        _("Name one of them by its address."),
    )


def _select_given(index: HostIndex, name: str) -> PciFunction:
    """The NIC that nobody sees under this name any more, by its record."""
    several = _all_given(index, name)
    if len(several) > 1:  # renamed since, or names that a boot has dealt out anew
        raise _tell_several(name, [nic.label for nic in several])
    given = several[0] if several else None
    if given is None:
        raise BadInputError(
            _("There is no NIC {name!r} on this host.").format(name=name),
            did_you_mean(name, _names_of_nics(index), _("The NICs of this host: nicpass list")),
        )
    from nicpass.checks.host.orphans import advise_gone, why_card_gone  # late: seldom is a given NIC meant

    if (gone := why_card_gone(given, index)) is not None or given.address not in index.functions:
        raise BadInputError(
            _("{nic}, given to the VM {vm}, is not there: {reason}.").format(
                nic=given.label, vm=given.vm or "?", reason=gone or index.host.pci_unread
            ),
            advise_gone(given, index),
        )
    return index.functions[given.address]


def _names_of_nics(index: HostIndex) -> Iterable[str]:
    """Every word that a NIC of this host answers to."""
    for function in list_nics(index.host):
        yield function.address
        yield from value_or(function.netdevs, ())
        for link in index.netdevs(function):
            yield from link.altnames
            yield from (mac for mac in (link.mac, link.permanent_mac) if mac is not None)
    for given in index.given.values():
        yield from (link.name for link in given.links)


def explain_swapped(index: HostIndex, vm: str, nics: Sequence[str], command: str) -> BadInputError | None:
    """The error for a VM that was named after a NIC; None where it was named first, or not at all."""
    domains = value_or(index.host.domains, None) or ()
    nic = next((nic for nic in nics if any(nic in (domain.name, domain.uuid) for domain in domains)), None)
    if nic is None:
        return None
    try:
        select_nic(index, vm)
    except BadInputError:
        return None
    others = [quote(other) for other in nics if other != nic]
    return BadInputError(
        _("{vm!r} is a NIC and {nic!r} a VM: the VM comes first.").format(vm=vm, nic=nic),
        " ".join(["nicpass", command, quote(nic), quote(vm), *others]),
    )


def find_given(index: HostIndex, name: str) -> GivenNic | None:
    """The one NIC that was given to a VM, and had this address, name or MAC on the host; None for none and several."""
    found = _all_given(index, name)
    return found[0] if len(found) == 1 else None


def _all_given(index: HostIndex, name: str) -> list[GivenNic]:
    address, mac = parse_address(name), parse_mac(name)
    if address is not None:
        return [index.given[address]] if address in index.given else []
    return [nic for nic in index.given.values() if nic.answers_to(name, mac)]


def select_kept(index: HostIndex, name: str, kept: Iterable[NicState]) -> Address:
    """The address of the NIC that `name` means; of a NIC that is not there any more, by the record of what it was.

    Raises:
        BadInputError: as `select_nic`.
    """
    states = tuple(kept)
    address = parse_address(name)
    if address is not None and any(state.address == address for state in states):
        return address
    try:
        return select_nic(index, name).address
    except BadInputError:
        mac = parse_mac(name)
        found = [
            state.address
            for state in states
            if any(name in (k.name, *k.altnames) or mac in {k.mac, k.permanent_mac} - {None} for k in state.links)
        ]
        if len(found) != 1:
            raise
        return found[0]


def require_domains(index: HostIndex, name: str) -> tuple[Domain, ...]:
    """Every VM of the host. Raises ImpossibleError: the hypervisor cannot be asked for the VM `name`."""
    domains = index.host.domains
    if not known(domains):
        reason = why_unknown(domains) or _("there is no libvirt on this host")
        raise ImpossibleError(
            _("libvirt cannot be asked for the VM {name!r}: {reason}.").format(name=name, reason=reason),
            _("systemctl start libvirtd; the Python binding is the package python3-libvirt."),
        )
    return domains


def select_domain(index: HostIndex, name: str) -> Domain:
    """The VM with this name or UUID.

    Raises:
        BadInputError: there is no such VM.
        ImpossibleError: the hypervisor cannot be asked.
    """
    domains = require_domains(index, name)
    found = [domain for domain in domains if name in (domain.name, domain.uuid)]
    if not found:
        names = ", ".join(sorted(printable(domain.name) for domain in domains)) or _("none")
        raise BadInputError(
            _("There is no VM {name!r} on this host.").format(name=name),
            did_you_mean(
                name, [domain.name for domain in domains], _("The VMs that libvirt knows: {names}.").format(names=names)
            ),
        )
    return found[0]


def _answers_to(function: PciFunction, name: str, index: HostIndex) -> bool:
    if name in value_or(function.netdevs, ()):
        return True
    mac = parse_mac(name)
    return any(
        name in link.altnames or (mac is not None and mac in (link.mac, link.permanent_mac))
        for link in index.netdevs(function)
    )
