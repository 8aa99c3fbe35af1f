# SPDX-License-Identifier: Apache-2.0
"""Ways to damage bytes, as firmware, a bad medium or an attacker would. All by one seeded generator."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_TELLING = (0, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x11, 0x20, 0x21, 0x22, 0x40, 0x7F, 0x80, 0xF0, 0xFE, 0xFF)
"""Bytes that decoders branch on: kinds, short lengths, ends of a range."""


def mutate(source: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """`source` with one to four faults."""
    data = bytearray(source)
    for _ in range(1 + int(rng.random() * 4)):
        rng.choice(_FAULTS)(data, others, rng)
    return bytes(data)


def _place(data: bytearray, rng: random.Random) -> int:
    return int(rng.random() * len(data))


def _flip_bit(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << int(rng.random() * 8)


def _set_byte(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] = rng.choice(_TELLING)


def _set_word(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    place = _place(data, rng)
    data[place : place + 2] = int(rng.random() * 65536).to_bytes(2, "little")


def _cut(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    place = _place(data, rng)
    del data[place : place + 1 + int(rng.random() * 32)]


def _repeat(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    place = _place(data, rng)
    piece = data[place : place + 1 + int(rng.random() * 64)]
    data[place:place] = piece * (1 + int(rng.random() * 4))


def _splice(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(others)
    place, start = _place(data, rng), int(rng.random() * len(other))
    data[place:place] = other[start : start + int(rng.random() * 128)]


def _noise(data: bytearray, _others: Sequence[bytes], rng: random.Random) -> None:
    place = _place(data, rng)
    noise = rng.randbytes(1 + int(rng.random() * 24))
    data[place : place + len(noise)] = noise


_FAULTS: tuple[Callable[[bytearray, Sequence[bytes], random.Random], None], ...] = (
    _flip_bit,
    _set_byte,
    _set_byte,
    _set_word,
    _cut,
    _remove,
    _repeat,
    _splice,
    _noise,
)
