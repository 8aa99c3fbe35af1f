# SPDX-License-Identifier: Apache-2.0
"""Records of NICs whose VM is gone, or no longer has them, and of NICs that are gone themselves.

Nothing is gone only because it cannot be seen: not while libvirt does not answer, nor while the PCI bus was not listed
in full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.nics import label, pf_of
from nicpass.model.fact import known
from nicpass.model.given import GivenNic
from nicpass.model.language import _

if TYPE_CHECKING:
    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.address import Address
    from nicpass.model.domain import Domain
    from nicpass.model.host import Host
    from nicpass.model.pci import PciFunction


class Orphan(msgspec.Struct, frozen=True):
    """A NIC's record that no VM of this host and no NIC answers to any more."""

    nic: GivenNic
    reason: str
    """A clause that says what is gone."""
    command: str
    """The command that settles the record."""
    nic_is_here: bool = True


def find_orphans(index: HostIndex) -> tuple[Orphan, ...]:
    """The records of which it is certain that their VM or their NIC is gone."""
    owned = (nic for nic in index.given.values() if nic.uuid)
    return tuple(orphan for nic in owned if (orphan := _orphan_of(nic, index)) is not None)


def _orphan_of(nic: GivenNic, index: HostIndex) -> Orphan | None:
    lost = why_card_gone(nic, index)
    reason = lost or _why_vm_gone(nic, index.host)
    if reason is None:
        return None
    return Orphan(nic, reason, f"nicpass detach {_quoted(nic.vm)} {nic.address}", nic_is_here=lost is None)


def _quoted(name: str) -> str:
    from shlex import quote  # late: an attach finds no orphans

    return quote(name)


def _why_vm_gone(nic: GivenNic, host: Host) -> str | None:
    if not known(host.domains):
        return None
    domain = next((domain for domain in host.domains or () if domain.uuid == nic.uuid), None)
    if domain is None:
        return _("the VM {name} is gone").format(name=nic.vm)
    if has_device(domain, nic.address):
        return None
    return _("the VM {name} does not have it any more").format(name=domain.name)


def has_device(domain: Domain, address: Address) -> bool:
    return any(device.address == address for device in (*domain.config_devices, *domain.live_devices))


def why_card_gone(nic: GivenNic, index: HostIndex) -> str | None:
    """A clause that says what became of the card of a record; None while it is there, or while that is not known."""
    if index.host.pci_unread is not None:
        return None
    function = index.functions.get(nic.address)
    if function is None:
        return _why_vf_gone(nic, index) or (
            _("there is no {address} on this host any more").format(address=nic.address) + _where_now(nic, index)
        )
    if is_another_card(nic, index):
        return _("another card stands at {address} now").format(address=nic.address) + _where_now(nic, index)
    return None


def _pf_of_vanished(nic: GivenNic, index: HostIndex) -> PciFunction | None:
    """The PF of a VF that is gone, where it is not the VF's only loss."""
    return index.functions.get(nic.pf) if nic.pf is not None and nic.vf_index is not None else None


def _why_vf_gone(nic: GivenNic, index: HostIndex) -> str | None:
    pf = _pf_of_vanished(nic, index)
    if pf is None or not known(pf.numvfs):
        return None
    if not pf.numvfs:
        return _("its PF {pf} has no VFs now; after a boot there are none until somebody makes them").format(
            pf=label(pf)
        )
    return _("of its PF {pf} there are fewer VFs now: {count}").format(pf=label(pf), count=pf.numvfs)


def advise_vf(nic: GivenNic, index: HostIndex) -> str:
    """How a VF that is gone comes again; empty for another card, and where the PF is gone too."""
    pf = _pf_of_vanished(nic, index)
    if pf is None or index.functions.get(nic.address) is not None or nic.vf_index is None:
        return ""
    command = f"nicpass vf create {pf.address} --count {nic.vf_index + 1}"
    return _("To have it again: {command}, or as many more as you need.").format(command=command)


def advise_gone(nic: GivenNic, index: HostIndex) -> str:
    """What to do about a NIC that is gone: both ways, in one line."""
    back = _("To let it go: nicpass detach {name} {address}").format(name=_quoted(nic.vm), address=nic.address)
    return f"{advise_vf(nic, index)} {back}".strip()


def _where_now(nic: GivenNic, index: HostIndex) -> str:
    """A clause that says at which other address the card is now; empty where nobody can tell."""
    macs = {link.permanent_mac for link in nic.links} - {None}
    if nic.vf_index is not None or (not macs and nic.identity is None):
        return ""
    found = [
        function.address
        for function in index.host.pci
        if function.address != nic.address
        and pf_of(function, index) is None
        and any(link.permanent_mac in macs for link in index.netdevs(function))
    ]
    if not found and nic.identity is not None and nic.identity.serial_number is not None:
        from nicpass.boot.binding.identity import match_identity  # late: hardly a host has lost a card

        match = match_identity(nic.identity, index.host.pci)
        found = [a for a in match.addresses if match.outcome == "found" and a != nic.address]
    return _("; its card is at {address}").format(address=found[0]) if len(found) == 1 else ""


def is_another_card(nic: GivenNic, index: HostIndex) -> bool:
    """Whether the function at the record's address is certainly not the one of the record.

    A VF is what its PF makes of it: it has neither a MAC nor a serial number of its own.
    """
    function = index.functions[nic.address]
    is_vf = pf_of(function, index) is not None
    if is_vf or nic.vf_index is not None:
        return is_vf != (nic.vf_index is not None)
    before = {link.permanent_mac for link in nic.links} - {None}
    now = {link.permanent_mac for link in index.netdevs(function)} - {None}
    if before and now:
        return not before & now
    if nic.identity is None:
        return False
    ids = ("vendor_id", "device_id", "subsystem_vendor_id", "subsystem_device_id")
    if any(known(getattr(function, n)) and getattr(function, n) != getattr(nic.identity, n) for n in ids):
        return True
    serial = getattr(function.config, "serial_number", None) if known(function.config) else None
    wanted = nic.identity.serial_number
    return wanted is not None and known(serial) and isinstance(serial, str) and serial != wanted
