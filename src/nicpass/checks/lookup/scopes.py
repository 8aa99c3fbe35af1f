# SPDX-License-Identifier: Apache-2.0
"""Which functions of this host the firmware's IOMMU tables mean: device scopes, units, reserved memory.

The kernel's own matching is the reference: dmar_match_pci_path(), dmar_insert_dev_scope() and
dmar_find_matched_drhd_unit() in drivers/iommu/intel/dmar.c, intel_iommu_get_resv_regions() in
drivers/iommu/intel/iommu.c; for AMD drivers/iommu/amd/init.c and iommu.c.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from nicpass.model.address import Address, split_address
from nicpass.model.fact import Fact, Unknown, known
from nicpass.model.firmware import ENDPOINT, SUB_HIERARCHY, Hex, number_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nicpass.checks.lookup.functions import FunctionIndex
    from nicpass.model.firmware import Drhd, Ivhd, IvhdEntry, Ivmd, Scope
    from nicpass.model.pci import PciFunction

_BRIDGE_CLASS, _PCI_BRIDGE, _DISPLAY, _USB = 0x06, 0x0604, 0x03, 0x0C03
_MAX_SEGMENT = 0xFFFF
"""Tables have 16 bits for a segment. PCI domains above are the kernel's own, such as those behind a VMD controller."""

_PAGE = 4096
_MAX_DEPTH = 256  # buses below one another; a snapshot from elsewhere could hold a loop


class Reservation(msgspec.Struct, frozen=True):
    """Memory that a table reserves for a function."""

    start: Hex
    end: Hex
    source: str
    """The table's record, in words: `DMAR, RMRR, 00:1a.0`."""
    is_relaxable: bool
    """Whether the kernel gives it up when a VM has the function: USB and graphics, whose drivers do without it."""


class ScopeIndex:
    """The tables of one host turned over once, so that a question about a function is a look-up."""

    def __init__(self, index: FunctionIndex) -> None:
        self.index = index
        self.firmware = index.host.firmware
        self._group_reservations: dict[int, list[Reservation]] = {}

    def resolve(self, scope: Scope, segment: int) -> Fact[Address]:
        """The function that a scope names; None if the host has none there, Unknown if that cannot be told."""
        if scope.kind not in (ENDPOINT, SUB_HIERARCHY):
            return None
        found = self._walk(scope, segment)
        if found is None and len(scope.path) == 1:
            # Some firmware names the function's own bus in place of its root bus and path; the kernel bears it.
            own = _address(segment, scope.start_bus, *scope.path[0])
            return own if own in self.index.functions else None
        return found

    def _walk(self, scope: Scope, segment: int) -> Fact[Address]:
        """The function at the scope's path: from the root bus through each bridge to its children's bus."""
        above: Address | None = None
        buses: Iterable[int] = (scope.start_bus,)
        for hop in scope.path:
            if above is not None and not buses:
                return Unknown(f"nothing is behind {above}, so its bus is not known")
            candidates = (_address(segment, bus, *hop) for bus in buses)
            here = next((a for a in candidates if a in self.index.functions and self._bridge_of(a) == above), None)
            if here is None:
                return None
            above, buses = here, self._buses_behind.get(here, ())
        return above

    def _bridge_of(self, address: Address) -> Address | None:
        return self.index.functions[address].bridge

    @cached_property
    def _buses_behind(self) -> dict[Address, list[int]]:
        """Bridge to the buses of its children; VFs may have one beyond its own."""
        found: dict[Address, list[int]] = {}
        for function in self.index.host.pci:
            if function.bridge is not None:
                bus = split_address(function.address)[1]
                buses = found.setdefault(function.bridge, [])
                if bus not in buses:
                    buses.append(bus)
        return found

    def line_of(self, function: PciFunction) -> list[PciFunction] | None:
        """The function and every bridge above it, up to the root bus; None if the host does not show one of them."""
        line = [function]
        while line[-1].bridge is not None:
            above = self.index.functions.get(line[-1].bridge)
            if above is None or len(line) > _MAX_DEPTH:
                return None
            line.append(above)
        return line

    def matches(self, scope: Scope, segment: int) -> Address | None:
        """The function that the kernel takes for the one that a scope names.

        The kernel refuses an endpoint's scope on a bridge, and a bridge's scope on a function that is none.
        """
        address = self.resolve(scope, segment)
        if not known(address):
            return None
        class_code = self.index.functions[address].class_code
        if not known(class_code):
            return address
        fits = class_code >> 8 != _PCI_BRIDGE if scope.kind == ENDPOINT else class_code >> 16 == _BRIDGE_CLASS
        return address if fits else None

    def unit_of(self, function: PciFunction) -> Fact[Drhd]:
        """The DRHD that covers the function: one that names it or a bridge above, else the one for the whole segment.

        Where several name it, it is the one that comes last in the table, because the kernel puts each at the head of
        its list. INCLUDE_PCI_ALL counts last, wherever it stands. A VF is where its PF is.
        """
        dmar = self.firmware.dmar
        if dmar is None or isinstance(dmar, Unknown):
            return dmar
        segment = split_address(function.address)[0]
        line = self.line_of(self._physical(function))
        if segment > _MAX_SEGMENT or line is None:
            return Unknown(f"where {function.address} is attached is not shown")
        named = [place for member in line if (place := self._named_units.get(member.address)) is not None]
        if named:
            return dmar.drhd[max(named)]
        return next((unit for unit in dmar.drhd if unit.include_pci_all and unit.segment == segment), None)

    @cached_property
    def _named_units(self) -> dict[Address, int]:
        """Function or bridge to the place in the table of the unit that names it."""
        dmar = self.firmware.dmar
        units = enumerate(dmar.drhd if known(dmar) else ())
        return {
            address: place
            for place, unit in units
            if not unit.include_pci_all
            for scope in unit.scopes
            if (address := self.matches(scope, unit.segment)) is not None
        }

    def _physical(self, function: PciFunction) -> PciFunction:
        physfn = function.physfn
        if not known(physfn) and (pf := self.index.vf_indices.get(function.address)) is not None:
            physfn = pf[0]
        return self.index.functions.get(physfn, function) if known(physfn) else function

    def amd_unit_of(self, function: PciFunction) -> Fact[Ivhd]:
        """The IVHD whose device entries cover the function."""
        ivrs = self.firmware.ivrs
        if ivrs is None or isinstance(ivrs, Unknown):
            return ivrs
        segment, devid = _devid(function.address)
        if segment > _MAX_SEGMENT:
            return Unknown(f"where {function.address} is attached is not shown")
        for unit, entries in self._amd_units:
            if unit.segment == segment and any(_within(devid, e.first, e.last) for e in entries if e.special is None):
                return unit
        return None

    @cached_property
    def _amd_units(self) -> list[tuple[Ivhd, tuple[IvhdEntry, ...]]]:
        """The IVHDs of the type that the kernel uses, with their entries: of several types for one IOMMU, the last."""
        ivrs = self.firmware.ivrs
        if not known(ivrs) or not ivrs.ivhd:
            return []
        chosen = [unit.type for unit in ivrs.ivhd if unit.iommu_devid == ivrs.ivhd[0].iommu_devid][-1]
        pairs = zip(ivrs.ivhd, ivrs.ivhd_details, strict=False)
        return [(unit, details.entries) for unit, details in pairs if unit.type == chosen]

    def reservations_of(self, function: PciFunction) -> list[Reservation]:
        """Memory that the tables reserve for the function, each record by itself."""
        return [*self._intel_reservations(function), *self._amd_reservations(function)]

    def reservations_of_group(self, group: int) -> list[Reservation]:
        """The reservations of all members of an IOMMU group, each once."""
        if group not in self._group_reservations:
            each = (found for member in self.index.groups.get(group, ()) for found in self.reservations_of(member))
            self._group_reservations[group] = list(dict.fromkeys(each))
        return self._group_reservations[group]

    def _intel_reservations(self, function: PciFunction) -> Iterator[Reservation]:
        """The RMRRs that name the function or a bridge above it. An RMRR that names a PF is not for its VFs."""
        dmar = self.firmware.dmar
        if not known(dmar):
            return
        named: dict[int, Address] = {}
        for member in self.line_of(function) or ():
            for place in self._rmrrs.get(member.address, ()):
                named.setdefault(place, member.address)
        for place, address in sorted(named.items()):
            rmrr = dmar.rmrr[place]
            yield Reservation(rmrr.base, rmrr.end, f"DMAR, RMRR, {address}", is_relaxable(function))

    @cached_property
    def _rmrrs(self) -> dict[Address, list[int]]:
        """Function or bridge to the places in the table of the RMRRs that name it."""
        dmar, found = self.firmware.dmar, dict[Address, list[int]]()
        for place, rmrr in enumerate(dmar.rmrr if known(dmar) else ()):
            for scope in rmrr.scopes:
                if (address := self.matches(scope, rmrr.segment)) is not None:
                    found.setdefault(address, []).append(place)
        return found

    def _amd_reservations(self, function: PciFunction) -> Iterator[Reservation]:
        ivrs = self.firmware.ivrs
        if not known(ivrs):
            return
        segment, devid = _devid(function.address)
        for memory, details in zip(ivrs.ivmd, ivrs.ivmd_details, strict=False):
            # The kernel maps exclusion ranges as well; a record of neither it passes over (init_memory_definitions()).
            counts = memory.unity or memory.exclusion_range
            if counts and details.segment == segment and _within(devid, details.first, details.last):
                start, end = _pages_of(memory)
                source = f"IVRS, IVMD, {_describe_ivmd(memory)}"
                if (start, end) != (memory.start, details.end):
                    source += f", {memory.length} bytes from {memory.start}"
                yield Reservation(start, end, source, is_relaxable=False)


def _pages_of(memory: Ivmd) -> tuple[Hex, Hex]:
    """(First, last byte) that the kernel maps: whole pages (`init_unity_map_range()` in drivers/iommu/amd/init.c)."""
    start, length = (int(text, 16) + _PAGE - 1 & -_PAGE for text in (memory.start, memory.length))
    return hex(start), hex(min(max(start + length - 1, start), 2**64 - 1))


def _describe_ivmd(memory: Ivmd) -> str:
    if memory.type == "0x20":
        return "all devices"
    ends = (memory.devid, memory.aux) if memory.type == "0x22" else (memory.devid,)
    return "-".join(f"{n >> 8:02x}:{n >> 3 & 31:02x}.{n & 7:x}" for n in map(number_of, ends))


def is_relaxable(function: PciFunction) -> bool:
    """Whether the function's RMRRs are relaxable, by device_rmrris_relaxable(): graphics, USB of every kind."""
    class_code = function.class_code
    return known(class_code) and (class_code >> 16 == _DISPLAY or class_code >> 8 == _USB)


def _address(segment: int, bus: int, slot: int, function: int) -> Address:
    return Address(f"{segment:04x}:{bus:02x}:{slot:02x}.{function:x}")


def _devid(address: Address) -> tuple[int, int]:
    """(Segment, bus, slot and function in 16 bits), as AMD's tables count functions."""
    segment, bus, slot, function = split_address(address)
    return segment, bus << 8 | slot << 3 | function


def _within(devid: int, first: Hex, last: Hex) -> bool:
    return number_of(first) <= devid <= number_of(last)
