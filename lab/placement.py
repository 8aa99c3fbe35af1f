# SPDX-License-Identifier: Apache-2.0
"""Where the test NICs sit on the PCI bus, as QEMU's arguments and as the path that a firmware table names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.shape import Nic, Place

# Late slots: the firmware numbers buses in the order of slots, and the NICs come first.
_SWITCH_SLOT = 0x1D
_BRIDGE_SLOT = 0x1E
_FIRST_PORT_SLOT = 0x10
_FIRST_SWITCH_CHASSIS = 0x40


def nic_arguments(nics: Sequence[Nic], ssh_port: int | None = None) -> Iterator[str]:
    """The NICs with the bridges above them and the networks behind them; `ssh_port` is for NICs with `ssh`."""
    places = {nic.place for nic in nics}
    if Place.BRIDGE in places:
        yield from _root_port("bridge", _BRIDGE_SLOT)
        yield from ("-device", "pcie-pci-bridge,id=bridge,bus=bridge-port,addr=0x0")
    if Place.SWITCH in places:
        # Under a root port with ACS each port of QEMU's switch would be a group, though they have none themselves.
        yield from _root_port("switch", _SWITCH_SLOT, ",disable-acs=on")
        yield from ("-device", "x3130-upstream,id=switch,bus=switch-port,addr=0x0")
    for number, nic in enumerate(nics):
        yield from _port_above(nics, number)
        yield from ("-netdev", _network(nic, number, ssh_port))
        rom = "" if nic.option_rom else ",romfile="
        yield from ("-device", f"{nic.model},id=nic{number},netdev=net{number},mac={nic.mac}{rom},{_at(nics, number)}")


def pci_path(nics: Sequence[Nic], number: int) -> tuple[tuple[int, int], ...]:
    """(slot, function) of every device on the way from bus 0 to a NIC, which is the last of them."""
    first = _first_function(nics, number)
    function = number - first
    match nics[first].place:
        case Place.BRIDGE:
            return (_BRIDGE_SLOT, 0), (0, 0), (first + 1, function)
        case Place.SWITCH:
            return (_SWITCH_SLOT, 0), (0, 0), (_switch_port(nics, first), 0), (0, function)
        case Place.ROOT_BUS:
            return ((_root_bus_slot(first), function),)
        case _:
            return (_FIRST_PORT_SLOT + first, 0), (0, function)


def _port_above(nics: Sequence[Nic], number: int) -> Iterator[str]:
    place = nics[number].place
    if place is Place.ROOT_PORT:
        yield from _root_port(f"nic{number}", _FIRST_PORT_SLOT + number)
    elif place is Place.SWITCH:
        port = _switch_port(nics, number)
        chassis = _FIRST_SWITCH_CHASSIS + port
        yield from ("-device", f"xio3130-downstream,id=nic{number}-port,bus=switch,addr={port:#x},chassis={chassis}")


def _root_port(name: str, slot: int, options: str = "") -> tuple[str, str]:
    return "-device", f"pcie-root-port,id={name}-port,bus=pcie.0,addr={slot:#x},chassis={slot},slot={slot}{options}"


def _network(nic: Nic, number: int, ssh_port: int | None) -> str:
    if nic.cable is not None:
        return f"hubport,id=net{number},hubid={nic.cable}"
    forward = f",hostfwd=tcp:127.0.0.1:{ssh_port}-10.0.2.15:22" if nic.ssh and ssh_port else ""
    return f"user,id=net{number},restrict=on,ipv6=off{forward}"


def _at(nics: Sequence[Nic], number: int) -> str:
    """The bus and slot of a NIC, and its function where the slot has several."""
    first = _first_function(nics, number)
    several = number > first or (nics[number + 1 : number + 2] and nics[number + 1].place is Place.SIBLING)
    function = f".{number - first:#x}" if several else ""
    return _slot(nics[first].place, first) + function + (",multifunction=on" if several and number == first else "")


def _slot(place: Place, number: int) -> str:
    if place is Place.BRIDGE:
        return f"bus=bridge,addr={number + 1:#x}"
    if place is Place.ROOT_BUS:
        return f"bus=pcie.0,addr={_root_bus_slot(number):#x}"
    return f"bus=nic{number}-port,addr=0x0"


def _root_bus_slot(number: int) -> int:
    """The slot of a NIC on the root bus: an igb's eight VFs take two slots on the same bus, 16 slots above its own."""
    return 7 + 2 * number


def _first_function(nics: Sequence[Nic], number: int) -> int:
    """The NIC that is function 0 of this one's slot."""
    while nics[number].place is Place.SIBLING:
        number -= 1
    return number


def _switch_port(nics: Sequence[Nic], number: int) -> int:
    return sum(nic.place is Place.SWITCH for nic in nics[:number])
