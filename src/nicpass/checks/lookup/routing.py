# SPDX-License-Identifier: Apache-2.0
"""The interfaces by which packets for an address may leave: by the best route in every table.

Which table a packet really takes is up to the rules, its mark and its source; so every table is asked, and an
interface that any of them names counts. Too many is safe, too few is not.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nicpass.model.address import parse_ip

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.network import Route

_BITS = {4: 32, 6: 128}
_Table = dict[int, dict[int, list["Route"]]]
"""Prefix length to network to its routes."""


class RoutingTables:
    """The routes of one host, sorted for look-ups by the longest prefix."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._tables: dict[tuple[int, int], _Table] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        for route in routes:
            version = 6 if route.family == "inet6" else 4
            place = _parse_prefix(route.destination, version)
            if place is not None:
                length, network = place
                self._tables[version, route.table][length][network].append(route)
        self._known: dict[str, tuple[Route, ...]] = {}

    def best(self, address: str) -> tuple[Route, ...]:
        """The best routes to `address`, of each table; none for what is no IP address."""
        if address not in self._known:
            self._known[address] = tuple(self._look_up(address))
        return self._known[address]

    def _look_up(self, text: str) -> Iterable[Route]:
        address = parse_ip(text)
        if address is None:
            return
        bits = _BITS[address.version]
        for (version, _), table in self._tables.items():
            if version == address.version:
                yield from _longest(table, int(address), bits)


def _longest(table: _Table, number: int, bits: int) -> list[Route]:
    for length in sorted(table, reverse=True):
        routes = table[length].get(number >> (bits - length))
        if routes:
            least = min(route.metric or 0 for route in routes)
            return [route for route in routes if (route.metric or 0) == least]
    return []


def _parse_prefix(destination: str, version: int) -> tuple[int, int] | None:
    """(length, network without its host bits); None for what is no prefix of this family."""
    if destination == "default":
        return 0, 0
    text, _, length = destination.partition("/")
    address = parse_ip(text)
    if address is None or address.version != version or not length.isdecimal():
        return None
    bits = _BITS[version]
    return (int(length), int(address) >> (bits - int(length))) if int(length) <= bits else None
