# SPDX-License-Identifier: Apache-2.0
"""Mutated DMAR and IVRS tables: decoded, checked against what must hold of any answer, and now and then to JSON."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec

from lab.dmar import add_rmrr, seal_table
from nicpass.host.firmware.acpi import Problems
from nicpass.host.firmware.dmar import decode_dmar
from nicpass.host.firmware.ivrs import decode_ivrs
from nicpass.model.fact import Unknown
from nicpass.model.firmware import DAMAGED, Dmar, Firmware, Ivrs
from tests.fuzz.bound import HangError, rearm, watching
from tests.fuzz.mutate import mutate
from tests.support import acpi

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "hosts" / "acpi-tables"
JSON_EVERY = 16
SEALED_SHARE = 0.5
"""So many of the inputs get their length and checksum made right, so that the faults lie deeper."""

MAX_PROBLEMS = Problems.LIMIT


def fuzz(count: int, seed: int) -> int:
    """Try `count` mutated tables; the same seed tries the same ones.

    Raises:
        AssertionError: one of them crashed or hung its decoder, or the answer does not hold.
    """
    rng = random.Random(seed)  # noqa: S311  the same inputs again are what it is for
    sources = seeds()
    with watching():
        for number in range(count):
            table = mutate(rng.choice(sources), sources, rng)
            if rng.random() < SEALED_SHARE and len(table) > 36:
                table = seal_table(table)
            rearm()
            try_table(table, with_json=number % JSON_EVERY == 0)
    return count


def seeds() -> list[bytes]:
    """The real tables where they are at hand, and made ones that have what those lack."""
    real = [path.read_bytes() for path in sorted(CAPTURES.glob("*.aml"))]
    return [*real, *made_tables()]


def made_tables() -> list[bytes]:
    """Every kind of record and device entry once."""
    scope = acpi.pack_scope(((0x1C, 4), (0, 0)))
    everything = acpi.dmar(
        acpi.drhd(scope, acpi.pack_scope(((1, 0),), kind=2)),
        acpi.drhd(include_pci_all=True),
        acpi.atsr(scope),
        acpi.rhsa(0xFED90000, 1),
        acpi.andd(1, r"\_SB.PCI0.I2C0"),
        acpi.satc(scope, atc_required=True),
        acpi.sidp(scope),
    )
    hid = b"\xf0\xa5\0\x40AMDI0020" + bytes(8) + b"\x02\x09" + rb"\_SB.FUR0"
    entries = bytes.fromhex("03080000 04fe0000 4300030000000200 04ff0300 4602010000000000 4800000021a00001") + hid
    return [
        acpi.dmar(),
        everything,
        add_rmrr(everything, 0x7D000000, 0x7D000FFF, ((0x1C, 4), (0, 0))),
        acpi.ivrs(),
        acpi.ivrs(
            acpi.ivhd(entries, kind=0x10),
            acpi.ivhd(entries, kind=0x40),
            *(acpi.ivmd(0xC9F42000, 0x26000, 0x300, 0x3FF, kind=kind) for kind in (0x20, 0x21, 0x22)),
        ),
    ]


def try_table(table: bytes, *, with_json: bool = True) -> None:
    """Decode it as both; an AssertionError has the input in it.

    Raises:
        AssertionError: a crash, a hang, or an answer that does not hold.
    """
    try:
        dmar, ivrs = decode_dmar(table), decode_ivrs(table)
        check_answer(dmar, table)
        check_answer(ivrs, table)
        if with_json:
            firmware = Firmware(dmar=dmar, ivrs=ivrs)
            assert msgspec.json.decode(msgspec.json.encode(firmware), type=Firmware) == firmware
    except HangError:
        raise AssertionError(f"hangs: {table.hex()}") from None
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}: {table.hex()}") from error


def check_answer(answer: Dmar | Ivrs | Unknown, table: bytes) -> None:
    """What holds of every answer, whatever the bytes."""
    if isinstance(answer, Unknown):
        assert answer.unknown.startswith(DAMAGED)
        return
    assert len(answer.problems) <= MAX_PROBLEMS
    assert answer.problems or answer.checksum_ok
    assert answer.checksum_ok == (answer.length <= len(table) and not sum(table[: answer.length]) & 0xFF)
    read = min(answer.length, len(table))
    if isinstance(answer, Dmar):
        # Nothing is decoded twice: scopes and records cannot outnumber the bytes that they take.
        scopes = sum(len(each.scopes) for kind in (answer.drhd, answer.rmrr, answer.atsr) for each in kind)
        assert 8 * scopes + 4 * len(answer.other_subtables) <= read
        assert all(scope.path for unit in answer.drhd for scope in unit.scopes)
    else:
        entries = sum(len(details.entries) for details in answer.ivhd_details)
        assert 4 * entries + 4 * len(answer.blocks) <= read
        assert len(answer.ivhd) == len(answer.ivhd_details)
        assert len(answer.ivmd) == len(answer.ivmd_details)
