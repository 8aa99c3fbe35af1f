# SPDX-License-Identifier: Apache-2.0
"""IOMMU groups: domain types and reserved regions, as sysfs-kernel-iommu_groups has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_nic
from nicpass.host.doors.files import Files
from nicpass.host.pci.groups import parse_regions, read_groups
from nicpass.model.fact import Unknown
from nicpass.model.groups import IommuGroup, ReservedRegion
from tests.support.hosts import ready_host
from tests.support.trees import MSI_REGION
from tests.unit.host.pci.test_functions import DenyingFiles

MSI = ReservedRegion("0xfee00000", "0xfeefffff", "msi")


def read(root: Path) -> dict[int, IommuGroup]:
    groups = read_groups(Files(str(root)))
    assert isinstance(groups, tuple)
    return {group.number: group for group in groups}


def test_every_group_has_its_type_and_regions(tmp_path: Path) -> None:
    regions = "0x00000000bf458000 0x00000000bf46ffff direct\n" + MSI_REGION
    tree = ready_host(group_types={1: "identity"}, reserved_regions={10: regions})
    groups = read(tree.write(tmp_path))
    assert groups == {
        1: IommuGroup(number=1, type="identity", reserved_regions=(MSI,)),
        10: IommuGroup(
            number=10, type="DMA-FQ", reserved_regions=(ReservedRegion("0xbf458000", "0xbf46ffff", "direct"), MSI)
        ),
    }


def test_an_old_kernel_has_neither_file(tmp_path: Path) -> None:
    tree = ready_host(group_types={10: None}, reserved_regions={10: None})
    assert read(tree.write(tmp_path))[10] == IommuGroup(number=10)


def test_a_group_without_regions_has_none(tmp_path: Path) -> None:
    assert read(ready_host(reserved_regions={10: ""}).write(tmp_path))[10].reserved_regions == ()


def test_no_folder_an_empty_one_and_one_that_is_refused(tmp_path: Path) -> None:
    assert read_groups(Files(str(tmp_path))) is None
    (tmp_path / "sys/kernel/iommu_groups").mkdir(parents=True)
    assert read_groups(Files(str(tmp_path))) == ()
    assert isinstance(read_groups(DenyingFiles(tmp_path, "iommu_groups")), Unknown)


def test_regions_that_may_not_be_read_are_unknown(tmp_path: Path) -> None:
    groups = read_groups(DenyingFiles(ready_host().write(tmp_path), "10/reserved_regions"))
    assert isinstance(groups, tuple)
    assert isinstance(groups[1].reserved_regions, Unknown)
    assert groups[1].type == "DMA-FQ"


def test_names_that_are_no_number_are_passed_over(tmp_path: Path) -> None:
    root = ready_host().write(tmp_path)
    for name in ("x", "-1", "²", "1" * 5000):
        try:
            (root / "sys/kernel/iommu_groups" / name).mkdir()
        except OSError:
            continue  # the file system has an end
    assert set(read(root)) == {1, 10}


@pytest.mark.parametrize("text", ["direct", "0x1 0x2", "0x1 0x2 direct more", "1 2 msi", "0x1 0x" + "f" * 17 + " msi"])
def test_what_is_no_region_makes_them_unknown(text: str) -> None:
    assert isinstance(parse_regions(MSI_REGION + text), Unknown)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.sampled_from(["direct", "direct-relaxable", "msi"]))
def test_what_the_kernel_writes_is_read(start: int, end: int, kind: str) -> None:
    assert parse_regions(f"{start:#018x} {end:#018x} {kind}\n") == (ReservedRegion(hex(start), hex(end), kind),)


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    assert isinstance(parse_regions(text), tuple | Unknown)


@pytest.mark.parametrize("kind", ["DMA", "DMA-FQ", "unmanaged", "blocked", None])
def test_only_identity_is_not_confined(kind: str | None, tmp_path: Path) -> None:
    index = HostIndex(ready_host(group_types={10: kind}).read(tmp_path))
    (nic,) = [function for function in index.host.pci if function.iommu_group == 10]
    assert "DOMAIN_IDENTITY" not in {finding.code for finding in check_nic(nic, index)}
