# SPDX-License-Identifier: Apache-2.0
"""The same answer away from the machine: from a snapshot, and from a capture of its trees; and without root."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.agent import Result
from lab.machine import Machine

pytestmark = pytest.mark.lab

_AS_NOBODY = "setpriv --reuid=nobody --regid=nogroup --clear-groups /root/.local/bin/nicpass"
_TREES = (
    "/sys/bus/pci/devices /sys/bus/pci/drivers /sys/devices/pci0000:00 /sys/devices/virtual/net "
    "/sys/devices/virtual/iommu /sys/devices/virtual/dmi /sys/class/net /sys/class/iommu /sys/class/dmi "
    "/sys/kernel/iommu_groups /sys/kernel/security/lockdown /sys/firmware/acpi/tables /sys/module/kvm* "
    "/sys/module/vfio* /etc/modprobe.d /etc/udev /etc/libvirt /boot/config-* /lib/modules/*/modules.* "
    "/proc/cmdline /proc/cpuinfo /proc/interrupts /proc/meminfo /proc/modules /proc/self/mountinfo "
    "/proc/sys/kernel/osrelease"
)
# What a copy of files cannot hold: what netlink, libvirt and the files of processes tell.
_ONLY_LIVE = {
    *("HYPERVISOR_UNKNOWN", "USE_UNKNOWN", "CARRIES_DEFAULT_ROUTE", "CARRIES_ROUTE", "HAS_ADDRESS", "CAPTURED_BY"),
    *("AF_PACKET_IN_USE", "CONFIGURED_BY"),
    # Whether a member of the group is idle hangs on these.
    *("GROUP_SHARED", "GROUP_SHARED_BOUND"),
}
# Who may not read may not say that something is not there.
_ABSENCES = {"RESET_NONE", "MSI_NONE", "MSIX_NONE", "IOMMU_TABLE_ABSENT", "TABLE_DAMAGED", "SRIOV_OFF_IN_FIRMWARE"}


def check(machine: Machine, *arguments: str) -> Result:
    result = machine.execute(["nicpass", "check", "--json", *arguments], 120)
    assert "Traceback" not in result.stdout + result.stderr
    assert "mistake of nicpass itself" not in result.stdout
    return result


def codes(report: str) -> set[tuple[str, str | None]]:
    found: dict[str, Any] = json.loads(report)
    everything = [*found["host"], *(finding for nic in found["nics"] for finding in nic["findings"])]
    return {(finding["code"], finding["subject"]) for finding in everything}


def test_a_snapshot_gives_the_same_answer_there_and_here(host: Machine, tmp_path: Path) -> None:
    host.succeed("nicpass snapshot >/run/host.json")
    live = check(host)
    there = check(host, "--snapshot", "/run/host.json")
    assert (there.stdout, there.exit_code) == (live.stdout, live.exit_code)
    snapshot = tmp_path / "host.json"
    snapshot.write_bytes(host.get_file("/run/host.json"))
    program = "import sys; from nicpass.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "check", "--json", "--snapshot", str(snapshot)]
    here = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (here.stdout, here.returncode) == (live.stdout, live.exit_code), here.stderr
    host.succeed("rm /run/host.json")


def test_without_root_what_cannot_be_read_is_unknown(host: Machine) -> None:
    by_root = codes(check(host).stdout)
    host.succeed("chmod o+x /root")
    snapshot = host.execute(f"{_AS_NOBODY} snapshot")
    report = host.execute(f"{_AS_NOBODY} check --json")
    host.succeed("chmod o-x /root")
    assert "Traceback" not in snapshot.stderr + report.stderr + report.stdout
    nic = next(function for function in json.loads(snapshot.stdout)["pci"] if function["address"] == "0000:02:00.0")
    assert "unknown" in json.dumps(nic)
    found = codes(report.stdout)
    assert "CONFIG_UNREADABLE" in {code for code, _ in found}
    assert {(code, nic) for code, nic in found if code in _ABSENCES} <= by_root


def test_a_copy_of_its_trees_differs_only_in_what_a_copy_cannot_hold(host: Machine) -> None:
    live = codes(check(host).stdout)
    host.succeed(f"mkdir -p /root/copy; cp -a --parents {_TREES} /root/copy 2>/dev/null || true", 120)
    copied = codes(check(host, "--root", "/root/copy").stdout)
    host.succeed("rm -rf /root/copy")
    assert {code for code, _ in live ^ copied} <= _ONLY_LIVE


def test_a_tar_of_its_trees_is_no_reason_to_fail(host: Machine) -> None:
    """Files of sysfs are shorter than they say, and tar(1) fills them up with zeros."""
    host.succeed(f"mkdir -p /root/tar; tar -cf - {_TREES} 2>/dev/null | tar -xf - -C /root/tar || true", 120)
    check(host, "--root", "/root/tar")
    text = host.execute("nicpass check -v --root /root/tar")
    assert "Traceback" not in text.stdout + text.stderr
    assert "\0" not in text.stdout
    host.succeed("rm -rf /root/tar")
