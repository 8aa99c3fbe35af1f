# SPDX-License-Identifier: Apache-2.0
"""What a driver was seen not to know is known at the next try, and by another kernel it is tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from nicpass.engine.vf.unsupported import RELEASE, UNSUPPORTED, keep_unsupported, read_unsupported
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.fact import Unknown
from nicpass.model.pci import PciFunction, Representor
from nicpass.model.vf import Unsupported

PF = PciFunction(address=Address("0000:01:00.0"), driver="igb")
TRUST = Unsupported(driver="igb", setting="trust", release="6.12.1")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    boot(tmp_path, "6.12.1")
    return Files(str(tmp_path))


def boot(root: Path, release: str) -> None:
    path = root / RELEASE[1:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{release}\n")


def test_it_is_kept_once_and_read_again(files: Files) -> None:
    assert read_unsupported(files) == ()
    for _ in range(2):
        keep_unsupported(files, PF, ["trust"])
    assert read_unsupported(files) == (TRUST,)
    keep_unsupported(files, PF, ["max_tx_rate", "trust"])
    assert [each.setting for each in read_unsupported(files)] == ["max_tx_rate", "trust"]


def test_another_kernel_may_know_it(files: Files, tmp_path: Path) -> None:
    keep_unsupported(files, PF, ["trust"])
    boot(tmp_path, "6.13.0")
    assert read_unsupported(files) == ()
    keep_unsupported(files, PF, ["spoofchk"])
    assert [each.setting for each in read_unsupported(files)] == ["spoofchk"]
    boot(tmp_path, "6.12.1")
    assert read_unsupported(files) == ()


def test_a_mode_in_which_it_takes_less_is_told_apart(files: Files) -> None:
    mode = (Representor(netdev="eth1_0", port="pf0vf0"),)
    keep_unsupported(files, PciFunction(address=PF.address, driver="mlx5_core", representors=mode), ["vlan"])
    assert [each.switchdev for each in read_unsupported(files)] == [True]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"unsupported": [{"driver": 5}]}', "\xff"])
def test_a_damaged_record_forbids_nothing(content: str, files: Files, tmp_path: Path) -> None:
    path = tmp_path / UNSUPPORTED[1:]
    path.parent.mkdir(parents=True)
    path.write_bytes(content.encode("latin-1"))
    assert read_unsupported(files) == ()
    keep_unsupported(files, PF, ["trust"])
    assert read_unsupported(files) == (TRUST,)


def test_of_a_driver_or_kernel_without_a_name_nothing_is_kept(files: Files, tmp_path: Path) -> None:
    keep_unsupported(files, PciFunction(address=PF.address, driver=Unknown("denied")), ["trust"])
    (tmp_path / RELEASE[1:]).unlink()
    keep_unsupported(files, PF, ["trust"])
    assert not (tmp_path / UNSUPPORTED[1:]).exists()
