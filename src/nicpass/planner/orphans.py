# SPDX-License-Identifier: Apache-2.0
"""Records of NICs whose VM is gone, or no longer has them, and of NICs that are gone themselves.

Nothing is gone only because it cannot be seen: not while libvirt does not answer, nor while the PCI bus was not listed
in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nicpass.boot.binding.identity import match_identity
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import pf_of
from nicpass.model.fact import known
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.address import Address
    from nicpass.model.domain import Domain
    from nicpass.model.host import Host
    from nicpass.model.plan import NicOwner, NicState


class Orphan(NamedTuple):
    """A NIC's record that no VM of this host and no NIC answers to any more."""

    address: Address
    vm: str
    """The VM that the NIC was given to, as the record names it."""
    reason: str
    """A clause that says what is gone."""
    command: str
    nic_is_here: bool = True


def find_orphans(host: Host, records: Iterable[tuple[NicState, NicOwner | None]]) -> tuple[Orphan, ...]:
    """The records of which it is certain that their VM or their NIC is gone."""
    index = HostIndex(host)
    return tuple(
        orphan for state, owner in records if owner is not None and (orphan := _orphan_of(state, owner, index))
    )


def _orphan_of(state: NicState, owner: NicOwner, index: HostIndex) -> Orphan | None:
    lost = why_card_gone(state, index)
    reason = lost or _why_vm_gone(state, owner, index.host)
    if reason is None:
        return None
    command = f"nicpass detach {_quoted(owner.domain)} {state.address}"
    return Orphan(state.address, owner.domain, reason, command, nic_is_here=lost is None)


def _quoted(name: str) -> str:
    from shlex import quote  # late: an attach finds no orphans

    return quote(name)


def _why_vm_gone(state: NicState, owner: NicOwner, host: Host) -> str | None:
    if not known(host.domains):
        return None
    domain = next((domain for domain in host.domains or () if domain.uuid == owner.uuid), None)
    if domain is None:
        return _("the VM {name} is gone").format(name=owner.domain)
    if has_device(domain, state.address):
        return None
    return _("the VM {name} does not have it any more").format(name=domain.name)


def has_device(domain: Domain, address: Address) -> bool:
    return any(device.address == address for device in (*domain.config_devices, *domain.live_devices))


def why_card_gone(state: NicState, index: HostIndex) -> str | None:
    """A clause that says what became of the card of a record; None while it is there, or while that is not known."""
    if index.host.pci_unread is not None:
        return None
    function = index.functions.get(state.address)
    if function is None:
        return _("there is no {address} on this host any more").format(address=state.address) + _where_now(state, index)
    if is_another_card(state, index):
        return _("another card stands at {address} now").format(address=state.address) + _where_now(state, index)
    return None


def _where_now(state: NicState, index: HostIndex) -> str:
    """A clause that says at which other address the card is now; empty where nobody can tell."""
    macs = {link.permanent_mac for link in state.links} - {None}
    if state.vf is not None or (not macs and state.identity is None):
        return ""
    found = [
        function.address
        for function in index.host.pci
        if function.address != state.address
        and pf_of(function, index) is None
        and any(link.permanent_mac in macs for link in index.netdevs(function))
    ]
    if not found and state.identity is not None and state.identity.serial_number is not None:
        match = match_identity(state.identity, index.host.pci)
        found = [a for a in match.addresses if match.outcome == "found" and a != state.address]
    return _("; its card is at {address}").format(address=found[0]) if len(found) == 1 else ""


def is_another_card(state: NicState, index: HostIndex) -> bool:
    """Whether the function at the record's address is certainly not the one of the record.

    A VF is what its PF makes of it: it has neither a MAC nor a serial number of its own.
    """
    function = index.functions[state.address]
    is_vf = pf_of(function, index) is not None
    if is_vf or state.vf is not None:
        return is_vf != (state.vf is not None)
    before = {link.permanent_mac for link in state.links} - {None}
    now = {link.permanent_mac for link in index.netdevs(function)} - {None}
    if before and now:
        return not before & now
    if state.identity is None:
        return False
    ids = ("vendor_id", "device_id", "subsystem_vendor_id", "subsystem_device_id")
    if any(known(getattr(function, n)) and getattr(function, n) != getattr(state.identity, n) for n in ids):
        return True
    serial = getattr(function.config, "serial_number", None) if known(function.config) else None
    wanted = state.identity.serial_number
    return wanted is not None and known(serial) and isinstance(serial, str) and serial != wanted
