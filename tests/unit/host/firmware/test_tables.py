# SPDX-License-Identifier: Apache-2.0
"""DMAR and IVRS decoders on made tables: every kind of record, and tables that are cut short or lie."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.dmar import add_rmrr, seal_table
from nicpass.host.doors.files import Files
from nicpass.host.firmware.acpi import MAX_TABLE, Problems
from nicpass.host.firmware.dmar import decode_dmar
from nicpass.host.firmware.ivrs import decode_ivrs
from nicpass.host.firmware.tables import read_firmware
from nicpass.model.fact import Unknown
from nicpass.model.firmware import DAMAGED, Andd, Dmar, Firmware, IvhdEntry, Ivrs, Rhsa, Scope
from tests.fuzz import bound, tables
from tests.fuzz.tables import fuzz, made_tables, try_table
from tests.support import acpi
from tests.unit.host.pci.test_functions import DenyingFiles

FOLDER = "sys/firmware/acpi/tables"
PATH = ((0x1C, 4), (0, 0))
SCOPE = acpi.pack_scope(PATH)


def dmar(table: bytes) -> Dmar:
    decoded = decode_dmar(table)
    assert isinstance(decoded, Dmar)
    return decoded


def ivrs(table: bytes) -> Ivrs:
    decoded = decode_ivrs(table)
    assert isinstance(decoded, Ivrs)
    return decoded


class TestDmar:
    """Records that the real tables at hand have seldom or not."""

    def test_every_kind_of_record(self) -> None:
        table = dmar(
            acpi.dmar(
                acpi.drhd(SCOPE, segment=1),
                acpi.atsr(SCOPE, all_ports=True, segment=2),
                acpi.rhsa(0xFED90000, 1),
                acpi.andd(3, r"\_SB.PCI0.I2C0"),
                acpi.satc(SCOPE, atc_required=True),
                acpi.sidp(SCOPE),
                flags=acpi.INTR_REMAP | acpi.DMA_OPT_IN,
            )
        )
        scope = Scope(1, 0, 0, PATH)
        assert table.drhd[0].scopes == table.atsr[0].scopes == table.satc[0].scopes == table.sidp[0].scopes == (scope,)
        assert (table.drhd[0].segment, table.atsr[0].segment, table.atsr[0].all_ports) == (1, 2, True)
        assert table.rhsa == (Rhsa("0xfed90000", 1),)
        assert table.andd == (Andd(device_number=3, name=r"\_SB.PCI0.I2C0"),)
        assert table.satc[0].atc_required
        assert table.sidp[0].scope_flags == (0,)
        assert [each.kind for each in table.other_subtables] == [4, 5, 6]
        assert (table.intr_remap, table.x2apic_opt_out, table.dma_ctrl_platform_opt_in) == (True, False, True)
        assert (table.oem_id, table.oem_table_id, table.oem_revision) == ("NICPAS", "TESTTABL", 1)
        assert (table.n_drhd, table.n_atsr, table.n_rhsa, table.problems) == (1, 1, 1, ())

    def test_a_kind_that_nobody_knows_is_counted_and_passed_over(self) -> None:
        table = dmar(acpi.dmar(struct.pack("<HH4x", 99, 8), acpi.drhd(include_pci_all=True)))
        assert [(each.kind, each.length) for each in table.other_subtables] == [(99, 8)]
        assert table.n_drhd == 1
        assert table.problems == ()

    @pytest.mark.parametrize("length", [0, 1, 3])
    def test_a_record_without_a_length_ends_the_walk(self, length: int) -> None:
        bad = struct.pack("<HH4x", 1, length)
        table = dmar(acpi.dmar(acpi.drhd(include_pci_all=True), bad, acpi.drhd()))
        assert table.n_drhd == 1
        assert table.problems == (f"the record at offset 64 says that it is {length} bytes long",)

    def test_a_record_past_the_end_is_left_out(self) -> None:
        bad = struct.pack("<HHHHQQ", 1, 0xFFFF, 0, 0, 0, 0)
        table = dmar(acpi.dmar(acpi.drhd(include_pci_all=True), bad))
        assert (table.n_drhd, table.rmrr) == (1, ())
        assert "65535 bytes long, and 24 are left" in table.problems[0]

    def test_a_record_shorter_than_its_kind_is_left_out_and_the_next_one_read(self) -> None:
        table = dmar(acpi.dmar(struct.pack("<HHI", 1, 8, 0), acpi.drhd(include_pci_all=True)))
        assert (table.n_drhd, table.rmrr) == (1, ())
        assert "its kind has 24" in table.problems[0]

    @pytest.mark.parametrize("length", [0, 5, 200])
    def test_a_scope_with_a_false_length_ends_its_record_only(self, length: int) -> None:
        bad = bytes([1, length, 0, 0, 0, 0, 2, 0])
        table = dmar(acpi.dmar(acpi.drhd(SCOPE, bad, SCOPE), acpi.drhd(include_pci_all=True)))
        assert [len(unit.scopes) for unit in table.drhd] == [1, 0]
        assert len(table.problems) == 1

    @pytest.mark.parametrize("length", [6, 7, 9])
    def test_a_scope_without_a_whole_path_names_nothing(self, length: int) -> None:
        bad = bytes([1, length, 0, 0, 0, 0, 2, 0, 3][:length])
        table = dmar(acpi.dmar(acpi.drhd(bad, SCOPE)))
        assert table.drhd[0].scopes == (Scope(1, 0, 0, PATH),)
        assert "no whole path" in table.problems[0]

    def test_an_rmrr_that_ends_before_it_begins_is_said(self) -> None:
        table = dmar(acpi.dmar(acpi.pack_rmrr(0x2000, 0x1FFF, SCOPE)))
        assert "ends before it begins: 0x2000 to 0x1fff" in table.problems[0]

    def test_a_wrong_checksum_is_said_and_the_rest_decoded(self) -> None:
        table = bytearray(acpi.dmar())
        table[9] ^= 1
        decoded = dmar(bytes(table))
        assert (decoded.checksum_ok, decoded.n_drhd) == (False, 1)
        assert decoded.problems == ("the checksum is wrong",)

    def test_what_lies_behind_the_stated_end_is_not_read(self) -> None:
        decoded = dmar(acpi.dmar() + acpi.drhd())
        assert (decoded.n_drhd, decoded.checksum_ok, decoded.problems) == (1, True, ())

    @pytest.mark.parametrize("cut", range(48, 64))
    def test_a_table_cut_short_is_said(self, cut: int) -> None:
        decoded = dmar(acpi.dmar()[:cut])
        assert (decoded.n_drhd, decoded.checksum_ok) == (0, False)
        assert f"64 bytes long, and {cut} are there" in decoded.problems[0]

    @pytest.mark.parametrize(
        "table", [b"", b"DMAR", acpi.dmar()[:47], acpi.ivrs(), bytes(64), b"DMAR\0\0\0\0" + bytes(56)]
    )
    def test_what_is_no_table_is_unknown(self, table: bytes) -> None:
        decoded = decode_dmar(table)
        assert isinstance(decoded, Unknown)
        assert decoded.unknown.startswith(DAMAGED)

    def test_a_thousand_faults_are_not_a_thousand_sentences(self) -> None:
        table = dmar(acpi.dmar(*(struct.pack("<HHI", 1, 8, 0) for _ in range(1000))))
        assert len(table.problems) == Problems.LIMIT


class TestIvrs:
    """Blocks and device entries that the real tables at hand have seldom or not."""

    HID = b"\xf0\xa5\0\x40AMDI0020" + bytes(8) + b"\x02\x09" + rb"\_SB.FUR0"

    def entries(self, raw: bytes, kind: int = 0x11) -> tuple[IvhdEntry, ...]:
        table = ivrs(acpi.ivrs(acpi.ivhd(raw, kind=kind)))
        assert table.problems == ()
        return table.ivhd_details[0].entries

    @pytest.mark.parametrize(
        ("raw", "first", "last", "alias", "special"),
        [
            ("01 00 00 00", "0x0", "0xffff", None, None),
            ("02 10 03 00", "0x310", "0x310", None, None),
            ("03 08 00 00 04 fe ff 00", "0x8", "0xfffe", None, None),
            ("42 00 03 00 00 00 02 00", "0x300", "0x300", "0x200", None),
            ("43 00 03 00 00 00 02 00 04 ff 03 00", "0x300", "0x3ff", "0x200", None),
            ("46 02 01 00 00 00 00 00", "0x102", "0x102", None, None),
            ("47 02 01 00 00 00 00 00 04 03 01 00", "0x102", "0x103", None, None),
            ("48 00 00 d7 21 a0 00 01", "0xa0", "0xa0", None, "IOAPIC 33"),
            ("48 00 00 00 00 a0 00 02", "0xa0", "0xa0", None, "HPET 0"),
            (HID.hex(), "0xa5", "0xa5", None, r"AMDI0020:\_SB.FUR0"),
        ],
    )
    @pytest.mark.parametrize("kind", [0x10, 0x11, 0x40])
    def test_a_device_entry(
        self, raw: str, first: str, last: str, alias: str | None, special: str | None, kind: int
    ) -> None:
        (entry,) = self.entries(bytes.fromhex(raw), kind)
        assert (entry.first, entry.last, entry.alias, entry.special) == (first, last, alias, special)

    @pytest.mark.parametrize(
        "padding", ["00 00 00 00", "40 00 00 00 00 00 00 00", "80" + " 00" * 15, "c0" + " 00" * 31]
    )
    def test_padding_and_unknown_entries_are_passed_over_by_the_length_of_their_type(self, padding: str) -> None:
        (entry,) = self.entries(bytes.fromhex(padding + "02 10 03 00"))
        assert entry.first == "0x310"

    @pytest.mark.parametrize(
        ("raw", "words"),
        [
            ("04 ff 03 00", "ends a range that none begins"),
            ("03 08 00 00", "from 0x8 has no end"),
            ("03 08 00 00 03 10 00 00 04 20 00 00", "begins a range inside another"),
            ("46 00 00 00", "8 bytes long, and 4 are left"),
            ("f0 00 00 00", "22 bytes long, and 4 are left"),
            ("f0" + " 00" * 20 + "ff", "277 bytes long, and 22 are left"),
        ],
    )
    def test_a_damaged_entry_is_said(self, raw: str, words: str) -> None:
        table = ivrs(acpi.ivrs(acpi.ivhd(bytes.fromhex(raw)), acpi.ivmd(0x1000, 0x1000)))
        assert words in table.problems[0]
        assert len(table.ivmd) == 1

    @pytest.mark.parametrize(
        ("kind", "first", "last"), [(0x20, "0x0", "0xffff"), (0x21, "0x300", "0x300"), (0x22, "0x300", "0x3ff")]
    )
    def test_a_memory_definition(self, kind: int, first: str, last: str) -> None:
        table = ivrs(acpi.ivrs(acpi.ivmd(0xC9F42000, 0x26000, 0x300, 0x3FF, kind=kind, flags=3)))
        (memory,), (details,) = table.ivmd, table.ivmd_details
        assert (memory.unity, memory.exclusion_range, memory.length) == (True, False, "0x26000")
        assert (details.end, details.first, details.last) == ("0xc9f67fff", first, last)
        assert (details.readable, details.writable) == (True, False)

    @pytest.mark.parametrize(("start", "size"), [(0, 0), (0xFFFFFFFFFFFFF000, 0x2000)])
    def test_a_memory_definition_without_sense_is_said(self, start: int, size: int) -> None:
        table = ivrs(acpi.ivrs(acpi.ivmd(start, size)))
        assert f"has {size} bytes from {start:#x}" in table.problems[0]
        assert Firmware(ivrs=table) == msgspec.json.decode(msgspec.json.encode(Firmware(ivrs=table)), type=Firmware)

    def test_the_widths_of_addresses(self) -> None:
        table = ivrs(acpi.ivrs(ivinfo=0x203043))
        assert (table.physical_address_width, table.virtual_address_width) == (48, 64)
        assert (table.efr_sup, table.preboot_dma_remap) == (True, True)


class TestReading:
    """Absent, unreadable, damaged, numbered: each its own answer."""

    def write(self, root: Path, name: str, content: bytes) -> Path:
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
        (root / FOLDER / name).write_bytes(content)
        return root

    def test_absent(self, tmp_path: Path) -> None:
        assert read_firmware(Files(str(tmp_path))) == Firmware()

    def test_unreadable(self, tmp_path: Path) -> None:
        files = DenyingFiles(self.write(tmp_path, "DMAR", acpi.dmar()), "DMAR")
        dmar = read_firmware(files).dmar
        assert isinstance(dmar, Unknown)
        assert "denied" in dmar.unknown

    def test_the_first_of_several(self, tmp_path: Path) -> None:
        self.write(tmp_path, "DMAR2", acpi.dmar(flags=0))
        dmar = read_firmware(Files(str(self.write(tmp_path, "DMAR1", acpi.dmar())))).dmar
        assert isinstance(dmar, Dmar)
        assert dmar.intr_remap

    def test_of_an_endless_file_only_the_beginning_is_read(self, tmp_path: Path) -> None:
        filler = struct.pack("<HH", 77, MAX_TABLE // 32) + bytes(MAX_TABLE // 32 - 4)
        self.write(tmp_path, "DMAR", acpi.dmar(*[filler] * 64))
        dmar = read_firmware(Files(str(tmp_path))).dmar
        assert isinstance(dmar, Dmar)
        assert f"{MAX_TABLE} are there" in dmar.problems[0]

    def test_a_large_table_takes_no_time(self) -> None:
        """A megabyte of the shortest records, as nothing real has it."""
        table = acpi.dmar(struct.pack("<HH", 77, 4) * (MAX_TABLE // 4 - 12))
        start = time.process_time()
        assert len(dmar(table).other_subtables) == MAX_TABLE // 4 - 12
        assert time.process_time() - start < 5

    def test_in_a_snapshot_each_answer_stays_itself(self) -> None:
        for firmware in (Firmware(), Firmware(dmar=Unknown("why")), Firmware(dmar=dmar(acpi.dmar()))):
            assert msgspec.json.decode(msgspec.json.encode(firmware), type=Firmware) == firmware

    @pytest.mark.parametrize("wrong", [b'"x"', b"5", b"{}", b'{"unknown": 5}', b'{"length": "x"}', b"[]"])
    def test_a_snapshot_with_something_else_there_is_refused(self, wrong: bytes) -> None:
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(b'{"dmar": ' + wrong + b"}", type=Firmware)


class TestAddRmrr:
    """What the lab does to a table."""

    def test_it_is_there_and_the_rest_unchanged(self) -> None:
        before = acpi.dmar(acpi.drhd(include_pci_all=True), acpi.atsr(SCOPE))
        old, new = dmar(before), dmar(add_rmrr(before, 0x7D000000, 0x7D000FFF, PATH))
        assert new.problems == ()
        assert [(r.base, r.end, r.scopes) for r in new.rmrr] == [("0x7d000000", "0x7d000fff", (Scope(1, 0, 0, PATH),))]
        assert (new.drhd, new.atsr, new.oem_id, new.oem_table_id) == (old.drhd, old.atsr, old.oem_id, old.oem_table_id)
        assert new.oem_revision == old.oem_revision + 1

    def test_kinds_stay_in_ascending_order(self) -> None:
        table = add_rmrr(acpi.dmar(acpi.drhd(), acpi.atsr(SCOPE)), 0, 0xFFF, PATH)
        assert [struct.unpack_from("<H", table, offset)[0] for offset in (48, 64, 98)] == [0, 1, 2]

    def test_another_table_is_refused(self) -> None:
        with pytest.raises(ValueError, match="not a DMAR"):
            add_rmrr(acpi.ivrs(), 0, 0xFFF, PATH)

    @given(
        st.integers(0, 2**64 - 1), st.lists(st.tuples(st.integers(0, 31), st.integers(0, 7)), min_size=1, max_size=6)
    )
    def test_any_region_and_path(self, base: int, path: list[tuple[int, int]]) -> None:
        new = dmar(add_rmrr(acpi.dmar(), base, base, tuple(path)))
        assert (new.rmrr[0].base, new.rmrr[0].scopes[0].path) == (hex(base), tuple(path))
        assert new.checksum_ok


@given(st.binary(max_size=300))
def test_any_bytes_have_an_answer(noise: bytes) -> None:
    for table in (noise, acpi.dmar()[:48] + noise, acpi.ivrs()[:48] + noise):
        try_table(table)
        if len(table) > 36:
            try_table(seal_table(table))


@pytest.mark.parametrize("table", made_tables())
def test_every_beginning_of_a_table_has_an_answer(table: bytes) -> None:
    for end in range(len(table)):
        try_table(table[:end])
        if end > 36:
            try_table(seal_table(table[:end]))


def test_mutated_tables_have_an_answer() -> None:
    assert fuzz(1500, seed=20250101) == 1500


def test_the_fuzzer_tells_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "decode_dmar", lambda table: table[500])
    with pytest.raises(AssertionError, match=r"IndexError: .*[0-9a-f]{40}"):
        fuzz(10, seed=1)


def test_the_fuzzer_tells_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(_table: bytes) -> None:
        while True:
            pass

    monkeypatch.setattr(tables, "decode_ivrs", hang)
    monkeypatch.setattr(bound, "SECONDS", 0.05)
    with pytest.raises(AssertionError, match=r"hangs: [0-9a-f]{40}"):
        fuzz(10, seed=1)


def test_the_fuzzer_tells_an_answer_that_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = decode_dmar(acpi.dmar())
    monkeypatch.setattr(tables, "decode_dmar", lambda _table: sound)
    with pytest.raises(AssertionError):
        fuzz(10, seed=1)


@pytest.mark.spawns
def test_the_fuzzer_is_a_command() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "tables", "--count", "50", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).resolve().parents[4])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tables: 50 inputs, seed 3")
