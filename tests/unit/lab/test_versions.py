# SPDX-License-Identifier: Apache-2.0
"""Debian's versions: a correction is told, anything more is a fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.versions import compare_versions, read_installed, read_tried, series

STATUS = """Package: udev
Status: install ok installed
Version: 257.13-1~deb13u1
Description: the manager of devices
 Version: of nothing

Package: qemu-system-x86
Version: 1:10.0.13+ds-0+deb13u1
"""


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1:10.0.13+ds-0+deb13u1", "10.0"),
        ("6.12.118-1", "6.12"),
        ("11.3.0-3+deb13u3", "11.3"),
        ("257.13-1~deb13u1", "257"),
        ("0.0~2025.06.09-1", "0.0"),
        ("34-2", "34"),
        ("7", "7"),
    ],
)
def test_a_series_is_the_first_two_numbers_of_upstream(version: str, expected: str) -> None:
    assert series(version) == expected


def test_dpkg_s_list_is_read(tmp_path: Path) -> None:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS)
    assert read_installed(tmp_path) == {"udev": "257.13-1~deb13u1", "qemu-system-x86": "1:10.0.13+ds-0+deb13u1"}


def test_a_correction_another_version_and_a_missing_package_are_told_apart() -> None:
    tried = read_tried()
    assert compare_versions(tried) == []
    here = tried | {"qemu-system-x86": "1:10.0.99+ds-1", "libvirt-daemon-system": "12.0.0-1"}
    del here["udev"]
    found = {difference.package: difference for difference in compare_versions(here)}
    assert {name: difference.is_correction for name, difference in found.items()} == {
        "qemu-system-x86": True,
        "libvirt-daemon-system": False,
        "udev": False,
    }
    assert str(found["udev"]).startswith("udev is missing, tried with ")
