# SPDX-License-Identifier: Apache-2.0
"""Which guest systems are known to lack a driver for a NIC: a small table, with where each line is proved.

A driver that is not in the table is unknown, not present: Windows, and distributions that carry drivers back into
old kernels (RHEL, SLES, Ubuntu's HWE), are left out on purpose.
"""

from __future__ import annotations

import re

import msgspec


class Lack(msgspec.Struct, frozen=True):
    """The guest's system, the driver that it would need, and the release that brought that driver."""

    system: str
    driver: str
    since: str


Version = tuple[int, int]

# The kernel of each Debian release (https://www.debian.org/releases/), and the kernel that brought a driver:
# igc by the merge of 2018-10-18 (commit 2d0f0ca2c7b5, after 4.19 was closed), ice in the merge window of 4.17.
_DEBIAN_KERNELS: dict[int, Version] = {8: (3, 16), 9: (4, 9), 10: (4, 19)}
_LINUX_DRIVERS: dict[str, Version] = {"igc": (4, 20), "ice": (4, 17)}

# Linux's driver to FreeBSD's for the same NICs, and the release in which its manual page says that it first appeared
# (share/man/man4: igc.4, ice.4, bnxt.4, mlx5en.4, section HISTORY).
_FREEBSD_DRIVERS: dict[str, tuple[str, Version]] = {
    "igc": ("igc", (13, 1)),
    "ice": ("ice", (12, 2)),
    "bnxt_en": ("bnxt", (11, 1)),
    "mlx5_core": ("mlx5en", (11, 0)),
}

_DEBIAN = r"http://debian\.org/debian/([0-9]{1,3})"
_FREEBSD = r"http://freebsd\.org/freebsd/([0-9]{1,3})(?:\.([0-9]{1,3}))?"


def lacking_driver(os_id: str, driver: str) -> Lack | None:
    """What the guest lacks for a NIC that `driver` of Linux drives; None where that is not known.

    `os_id` is libosinfo's id of the guest's system, such as http://freebsd.org/freebsd/12.1.
    """
    if match := re.fullmatch(_DEBIAN, os_id):
        return _lacking_in_debian(int(match[1]), driver)
    if match := re.fullmatch(_FREEBSD, os_id):
        return _lacking_in_freebsd((int(match[1]), int(match[2] or 0)), driver)
    return None


def _lacking_in_debian(release: int, driver: str) -> Lack | None:
    kernel, first = _DEBIAN_KERNELS.get(release), _LINUX_DRIVERS.get(driver)
    if kernel is None or first is None or kernel >= first:
        return None
    return Lack(f"Debian {release} (Linux {kernel[0]}.{kernel[1]})", driver, f"Linux {first[0]}.{first[1]}")


def _lacking_in_freebsd(release: Version, driver: str) -> Lack | None:
    """A later release of the branch before may have got the driver too, so only older branches are known."""
    theirs, first = _FREEBSD_DRIVERS.get(driver, ("", (0, 0)))
    before = release[0] < first[0] - 1 or (release[0] == first[0] and release < first)
    if not before:
        return None
    return Lack(f"FreeBSD {release[0]}.{release[1]}", theirs, f"FreeBSD {first[0]}.{first[1]}")
