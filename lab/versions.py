# SPDX-License-Identifier: Apache-2.0
"""Which of Debian's versions the lab stands on, beside those that the tests last passed with.

Debian gives no old version of a package away for long, so these cannot be locked. Within a release they change by
corrections only (`series`): a change of more is a fault of the lab, a correction is told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

TRIED = Path(__file__).parent.parent / "locks" / "debian.txt"


@dataclass(frozen=True)
class Difference:
    """A package that is not the one that the tests last passed with; `here` is None where it is not installed."""

    package: str
    tried: str
    here: str | None

    @property
    def is_correction(self) -> bool:
        return self.here is not None and series(self.here) == series(self.tried)

    def __str__(self) -> str:
        return f"{self.package} {self.here or 'is missing'}, tried with {self.tried}"


def series(version: str) -> str:
    """The upstream version's first two numbers, by the form of deb-version(7): `1:10.0.13+ds-0+deb13u1` is `10.0`.

    Of systemd's version, only the first number: its releases are counted by one number, and the second is a correction.
    """
    upstream = version.partition(":")[2] or version
    numbers = re.findall(r"\d+", upstream.rpartition("-")[0] or upstream)
    return ".".join(numbers[: 1 if int(numbers[0]) > 200 else 2])


def read_tried() -> dict[str, str]:
    """Package name to version, as `locks/debian.txt` lists them."""
    lines = (line.partition(" ") for line in TRIED.read_text().splitlines() if not line.startswith("#"))
    return {package: version for package, _, version in lines}


def read_installed(root: Path) -> dict[str, str]:
    """Package to version of the Debian tree `root`, from dpkg's own list (deb822(5))."""
    stanzas = (root / "var/lib/dpkg/status").read_text().split("\n\n")
    fields = (dict(re.findall(r"^(Package|Version): (.+)$", stanza, re.MULTILINE)) for stanza in stanzas)
    return {found["Package"]: found["Version"] for found in fields if found.keys() == {"Package", "Version"}}


def compare_versions(installed: dict[str, str]) -> list[Difference]:
    """The packages of `locks/debian.txt` that are here in another version, or not at all."""
    return [
        Difference(package, tried, installed.get(package))
        for package, tried in read_tried().items()
        if installed.get(package) != tried
    ]
