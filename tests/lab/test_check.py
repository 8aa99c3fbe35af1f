# SPDX-License-Identifier: Apache-2.0
"""The same answer away from the machine: from a snapshot, and from a capture of its trees; and without root."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.machine import Machine

pytestmark = pytest.mark.lab

_AS_NOBODY = "setpriv --reuid=nobody --regid=nogroup --clear-groups /root/.local/bin/nicpass"
# tar(1) trusts the size that stat says, which is 4096 or 0 there; so each file is read, as far as it lets itself.
_CAPTURE = """
import os, pathlib, stat
for top in ("/sys/bus/pci/devices", "/sys/class", "/sys/devices", "/sys/kernel/iommu_groups", "/sys/firmware/acpi/tables",
            "/sys/module", "/sys/kernel/security", "/proc/net", "/etc", "/boot/config-" + os.uname().release):
    pass
"""


def check(machine: Machine, *arguments: str) -> str:
    return machine.execute(["nicpass", "check", "--json", *arguments]).stdout


def codes(report: str) -> set[tuple[str, str | None]]:
    found: dict[str, Any] = json.loads(report)
    everything = [*found["host"], *(finding for nic in found["nics"] for finding in nic["findings"])]
    return {(finding["code"], finding["subject"]) for finding in everything}


def test_a_snapshot_gives_the_same_answer_there_and_here(host: Machine, tmp_path: Path) -> None:
    host.succeed("nicpass snapshot >/run/host.json")
    live = check(host)
    assert check(host, "--snapshot", "/run/host.json") == live
    snapshot = tmp_path / "host.json"
    snapshot.write_bytes(host.get_file("/run/host.json"))
    command = [sys.executable, "-m", "nicpass.cli.main", "check", "--json", "--snapshot", str(snapshot)]
    here = subprocess.run(command, capture_output=True, text=True, check=False)
    assert here.stdout == live, here.stderr
    host.succeed("rm /run/host.json")


def test_without_root_what_cannot_be_read_is_unknown(host: Machine, tmp_path: Path) -> None:
    host.succeed("chmod o+x /root")
    result = host.execute(f"{_AS_NOBODY} snapshot")
    report = host.execute(f"{_AS_NOBODY} check --json")
    host.succeed("chmod o-x /root")
    assert "Traceback" not in result.stderr + report.stderr
    snapshot = json.loads(result.stdout)
    nic = next(function for function in snapshot["pci"] if function["address"] == "0000:02:00.0")
    assert nic["details"]
    found = {code for code, _ in codes(report.stdout)}
    assert "CONFIG_UNREADABLE" in found
    assert not found & {"RESET_NONE", "MSIX_NONE", "IOMMU_TABLE_ABSENT", "SRIOV_OFF_IN_FIRMWARE"}
