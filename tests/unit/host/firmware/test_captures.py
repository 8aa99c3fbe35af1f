# SPDX-License-Identifier: Apache-2.0
"""Real DMAR and IVRS tables decode to what is known to be true of them; without the captures these tests skip."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nicpass.host.doors.files import Files
from nicpass.host.firmware.tables import read_firmware
from nicpass.model.firmware import SUB_HIERARCHY, Dmar, Firmware, Ivrs
from tests.unit.conftest import CAPTURES

Capture = Callable[[str], Path]

TABLES = CAPTURES / "acpi-tables"
BOOKKEEPING = {"hosts", "iasl_agrees", "sha1_12"}
DELL, HP, SUPERMICRO = "dell-r820-dmar-4sockets", "hp-dc7800-8rmrr-flags0", "supermicro-x10dai-rhsa-numa"


def truths() -> dict[str, dict[str, Any]]:
    path = TABLES / "truth.json"
    return json.loads(path.read_text()) if path.exists() else {}


TRUTHS = truths()


def snapshot_of(root: Path) -> tuple[Firmware, dict[str, Any]]:
    """What `nicpass snapshot --root` decodes, as a value and as its JSON."""
    firmware = read_firmware(Files(str(root)))
    return firmware, json.loads(msgspec.json.encode(firmware))


def dmar_of(root: Path) -> Dmar:
    dmar = snapshot_of(root)[0].dmar
    assert isinstance(dmar, Dmar)
    return dmar


def same_fields(decoded: dict[str, Any], truth: dict[str, Any]) -> dict[str, Any]:
    return {name: decoded.get(name, "not there") for name in truth if name not in BOOKKEEPING}


def test_the_real_tables_are_at_hand(capture: Capture) -> None:
    capture("acpi-tables")
    assert len(TRUTHS) == 213


@pytest.mark.parametrize("name", sorted(TRUTHS))
def test_a_real_table_decodes_to_its_truth(name: str, tmp_path: Path) -> None:
    signature = name.split("-", maxsplit=1)[0]
    folder = tmp_path / "sys/firmware/acpi/tables"
    folder.mkdir(parents=True)
    (folder / signature).write_bytes((TABLES / f"{name}.aml").read_bytes())
    firmware, encoded = snapshot_of(tmp_path)
    truth = {field: value for field, value in TRUTHS[name].items() if field not in BOOKKEEPING}
    assert same_fields(encoded[signature.lower()], truth) == truth
    table = firmware.dmar if signature == "DMAR" else firmware.ivrs
    assert isinstance(table, Dmar | Ivrs)
    assert table.problems == ()
    assert (firmware.ivrs if signature == "DMAR" else firmware.dmar) is None


@pytest.mark.parametrize("name", [DELL, HP, SUPERMICRO])
def test_a_captured_host_decodes_to_its_truth(name: str, capture: Capture) -> None:
    root = capture(name)
    truth = json.loads((root / "truth.DMAR.json").read_text())
    truth = {field: value for field, value in truth.items() if field not in BOOKKEEPING}
    assert same_fields(snapshot_of(root)[1]["dmar"], truth) == truth
    assert dmar_of(root).problems == ()


def test_dell_r820_has_nested_rmrrs_that_stay_apart(capture: Capture) -> None:
    dmar = dmar_of(capture(DELL))
    assert (dmar.length, dmar.host_address_width, dmar.flags) == (0x190, 46, 3)
    assert (dmar.intr_remap, dmar.x2apic_opt_out, dmar.dma_ctrl_platform_opt_in) == (True, True, False)
    assert [(unit.base, len(unit.scopes)) for unit in dmar.drhd] == [
        ("0xcf000000", 7),
        ("0xc8000000", 2),
        ("0xc4000000", 2),
        ("0xdf100000", 3),
    ]
    assert [unit.include_pci_all for unit in dmar.drhd] == [False, False, False, True]
    assert len(dmar.atsr) == dmar.n_atsr == 1
    assert [(r.base, r.end, [scope.path for scope in r.scopes]) for r in dmar.rmrr] == [
        ("0xbf458000", "0xbf46ffff", [((0x1A, 0),), ((0x1D, 0),)]),
        ("0xbf450000", "0xbf450fff", [((0x1A, 0),)]),
        ("0xbf452000", "0xbf452fff", [((0x1D, 0),)]),
    ]
    assert sum(scope.kind == SUB_HIERARCHY for scope in dmar.drhd[0].scopes) == 4


def test_hp_dc7800_has_eight_rmrrs_of_one_device_each(capture: Capture) -> None:
    dmar = dmar_of(capture(HP))
    assert (dmar.host_address_width, dmar.flags) == (36, 0)
    assert (dmar.intr_remap, dmar.x2apic_opt_out, dmar.dma_ctrl_platform_opt_in) == (False, False, False)
    assert [unit.base for unit in dmar.drhd] == ["0xfed90000", "0xfed91000", "0xfed92000", "0xfed93000"]
    assert (dmar.drhd[3].include_pci_all, dmar.drhd[3].scopes) == (True, ())
    assert len(dmar.rmrr) == 8
    assert all(len(region.scopes) == 1 for region in dmar.rmrr)
    assert (dmar.rmrr[0].base, dmar.rmrr[0].end) == ("0xdf600000", "0xdfffffff")
    starts = {region.base for region in dmar.rmrr}
    assert "0xdefd3000" in starts
    assert "0xdefd4000" not in starts


def test_supermicro_x10dai_names_the_numa_domain_of_its_units(capture: Capture) -> None:
    dmar = dmar_of(capture(SUPERMICRO))
    assert (dmar.host_address_width, dmar.flags, dmar.n_atsr) == (46, 1, 1)
    assert [(rhsa.base, rhsa.domain) for rhsa in dmar.rhsa] == [("0xf3ffc000", 0), ("0xfbffc000", 1)]
    assert [(unit.base, len(unit.scopes)) for unit in dmar.drhd] == [
        ("0xfbffc000", 11),
        ("0xf3ffd000", 1),
        ("0xf3ffc000", 3),
    ]
    (region,) = dmar.rmrr
    assert (region.base, region.end) == ("0x7b461000", "0x7b470fff")
    assert [scope.path for scope in region.scopes] == [((0x14, 0),), ((0x1A, 0),), ((0x1D, 0),)]


@pytest.mark.parametrize("name", ["hp-dl165g7-amd", "hp-dl360g5-intel"])
def test_a_host_without_the_tables_has_none(name: str, capture: Capture) -> None:
    """Neither SPMI nor SLIC is mistaken for one."""
    assert snapshot_of(capture("servers-without-dmar-ivrs") / name)[1] == {"dmar": None, "ivrs": None}
