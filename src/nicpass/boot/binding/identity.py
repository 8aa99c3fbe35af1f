# SPDX-License-Identifier: Apache-2.0
"""The identity of a PCI function before a driver has it, and the function of a host that an identity means.

The boot's script, `files/bind-at-boot`, decides by the same rules; a test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.binding import Match
from nicpass.model.boot import DeviceIdentity
from nicpass.model.config_space import ConfigSpace
from nicpass.model.fact import Fact, Unknown, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nicpass.model.address import Address
    from nicpass.model.pci import PciFunction

_IDS = ("vendor_id", "device_id", "subsystem_vendor_id", "subsystem_device_id")
_NO_SERIALS = ("00-00-00-00-00-00-00-00", "ff-ff-ff-ff-ff-ff-ff-ff")
"""Serial numbers that a card reports when it was never given one."""
_CONVENTIONAL = 256  # bytes of config space without the extended part


def slots_of(function: PciFunction, functions: Mapping[Address, PciFunction]) -> tuple[str, ...] | None:
    """Slots from the root to the function, without bus numbers, which firmware and kernel deal out anew at each boot.

    `("pci0000:00", "1c.4", "00.0")`. None where a bridge above it is not among `functions`.
    """
    chain: list[str] = []
    address, above, seen = function.address, function.bridge, {function.address}
    while True:
        domain, bus, slot = address.split(":")
        chain.append(slot)
        if above is None:
            return (f"pci{domain}:{bus}", *reversed(chain))
        if above in seen or above not in functions:
            return None
        seen.add(above)
        address, above = above, functions[above].bridge


def identity_of(
    function: PciFunction, functions: Mapping[Address, PciFunction], permanent_mac: str | None = None
) -> DeviceIdentity | Unknown:
    """The identity to record; Unknown with the reason where part of it cannot be told.

    A card whose serial number cannot be read is not taken for one that has none: it would be bound by its slots,
    and so might another card that is put there.
    """
    ids = [getattr(function, name) for name in _IDS]
    for name, value in zip(_IDS, ids, strict=True):
        if not isinstance(value, int):
            return value if isinstance(value, Unknown) else Unknown(f"absent: {name} of {function.address}")
    serial, slots = _serial_of(function), slots_of(function, functions)
    if isinstance(serial, Unknown):
        return serial
    if slots is None:
        return Unknown(f"the bridges above {function.address} are not known")
    return DeviceIdentity(
        vendor_id=ids[0],
        device_id=ids[1],
        subsystem_vendor_id=ids[2],
        subsystem_device_id=ids[3],
        slots=slots,
        serial_number=serial if serial not in _NO_SERIALS else None,
        permanent_mac=permanent_mac,
    )


def _serial_of(function: PciFunction) -> Fact[str]:
    return function.config.serial_number if isinstance(function.config, ConfigSpace) else _why_no_config(function)


def _why_no_config(function: PciFunction) -> Unknown:
    return function.config if isinstance(function.config, Unknown) else Unknown(f"no config: {function.address}")


def match_identity(identity: DeviceIdentity, functions: Iterable[PciFunction]) -> Match:
    """Find which of all functions of a host `identity` means.

    All four ids must be equal. An identity with a serial number asks for the same serial number and the same function
    number in the slot, for the ports of a card share a serial number; its slots then only tell two answers apart. One
    without a serial number asks for the same slots. VFs are left out: at boot there are none.
    """
    by_address = {function.address: function for function in functions}
    chains = {
        address: slots_of(function, by_address)
        for address, function in by_address.items()
        if not known(function.physfn)
    }
    candidates = [address for address in chains if _same_ids(by_address[address], identity) and chains[address]]
    unread: list[Address] = []
    if identity.serial_number is not None:
        port = _port(identity.slots)
        candidates = [address for address in candidates if _port(chains[address] or ()) == port]
        unread = [address for address in candidates if _hides_serial(by_address[address])]
        candidates = [a for a in candidates if _serial_of(by_address[a]) == identity.serial_number]
    in_place = [address for address in candidates if chains[address] == identity.slots]
    answers = in_place if len(in_place) == 1 or identity.serial_number is None else candidates
    if answers:
        return Match(outcome="found" if len(answers) == 1 else "ambiguous", addresses=tuple(answers))
    if unread:
        return Match(outcome="unread", addresses=tuple(unread))
    instead = tuple(address for address, chain in chains.items() if chain == identity.slots)
    return Match(outcome="other" if instead else "absent", addresses=instead)


def _same_ids(function: PciFunction, identity: DeviceIdentity) -> bool:
    return all(getattr(function, name) == getattr(identity, name) for name in _IDS)


def _port(slots: tuple[str, ...]) -> str:
    """The function's number within its slot."""
    return slots[-1].rpartition(".")[2] if slots else ""


def _hides_serial(function: PciFunction) -> bool:
    """Whether the function may have the serial number that is sought, for all that could be read of its config."""
    if not isinstance(function.config, ConfigSpace):
        return True
    serial = function.config.serial_number
    return isinstance(serial, Unknown) or (serial is None and function.config.bytes_read <= _CONVENTIONAL)
