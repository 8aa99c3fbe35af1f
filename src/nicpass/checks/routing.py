# SPDX-License-Identifier: Apache-2.0
"""By which interfaces packets for an address may leave: the best route in every table.

Which table a packet really takes is up to the rules, its mark and its source; so every table is asked, and an
interface that any of them names counts. Too many is safe, too few is not.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nicpass.model.network import pack_ip, unmap_ip

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.network import Route

_Table = dict[int, dict[int, list["Route"]]]
"""Prefix length to network to its routes."""


class RoutingTables:
    """The routes of one host, sorted for look-ups by the longest prefix."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._tables: dict[tuple[int, int], _Table] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        for route in routes:
            bits = 128 if route.family == "inet6" else 32
            place = _parse_prefix(route.destination, bits)
            if place is not None:
                length, network = place
                self._tables[bits, route.table][length][network].append(route)
        self._known: dict[str, tuple[Route, ...]] = {}

    def best(self, address: str) -> tuple[Route, ...]:
        """The best routes to `address`, of each table; none for what is no IP address."""
        if address not in self._known:
            self._known[address] = tuple(self._look_up(address))
        return self._known[address]

    def _look_up(self, text: str) -> Iterable[Route]:
        packed = pack_ip(text)
        if packed is None:
            return
        address = unmap_ip(packed)
        for (bits, _), table in self._tables.items():
            if bits == len(address) * 8:
                yield from _longest(table, int.from_bytes(address), bits)


def _longest(table: _Table, number: int, bits: int) -> list[Route]:
    for length in sorted(table, reverse=True):
        routes = table[length].get(number >> (bits - length))
        if routes:
            least = min(route.metric or 0 for route in routes)
            return [route for route in routes if (route.metric or 0) == least]
    return []


def _parse_prefix(destination: str, bits: int) -> tuple[int, int] | None:
    """(length, network without its host bits); None for what is no prefix of a family whose addresses have `bits`."""
    if destination == "default":
        return 0, 0
    text, _, length = destination.partition("/")
    packed = pack_ip(text)
    if packed is None or len(unmap_ip(packed)) * 8 != bits or not length.isdecimal() or int(length) > bits:
        return None
    return int(length), int.from_bytes(unmap_ip(packed)) >> (bits - int(length))
