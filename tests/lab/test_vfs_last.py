# SPDX-License-Identifier: Apache-2.0
"""VFs that are there after a reboot, after their PF's driver came again and after a reset, as they were set."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.machine import Machine
from lab.state import render_difference, state_difference, without_files
from tests.lab.waiting import wait_for_own_address

pytestmark = pytest.mark.lab

PF, ADDRESS = "enp1s0", "0000:01:00.0"
VF = "0000:01:10.0"
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly
SET: dict[int, dict[str, Any]] = {
    0: {"vlan": 20, "trust": True},
    1: {"mac": "52:54:00:00:00:07"},
    2: {"spoofchk": False},
}


def vfs(host: Machine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(host.succeed(["nicpass", "vf", "list", PF, "--json"], LONG))["vfs"]
    return [{key: vf[key] for key in sorted(vf) if key not in ("owners", "machine_uses")} for vf in found]


def make_and_set(host: Machine) -> list[dict[str, Any]]:
    host.succeed(["nicpass", "vf", "create", PF, "--count", "3", "--confirm-within", "0"], LONG)
    for words in (
        "0 --vlan 20 --trust on",
        "1 --mac 52:54:00:00:00:07",
        "2 --spoofchk off",
    ):
        host.succeed(f"nicpass vf set {PF} {words} --confirm-within 0", LONG)
    # igb knows no state of a VF's link: the first time the kernel says so, from then on nicpass.
    unknown = f"nicpass vf set {PF} 0-2 --vlan 30 --state enable --confirm-within 0"
    for exit_code, told in ((1, "All was taken back"), (3, "igb")):
        assert told in host.fail(unknown, exit_code, LONG).stderr
    made = vfs(host)
    assert [{key: made[number][key] for key in wanted} for number, wanted in SET.items()] == list(SET.values())
    assert [vf["driver"] for vf in made] == [None] * 3, "they are for VMs: no driver of the host has them"
    assert len({vf["mac"] for vf in made}) == 3
    return made


def wait_for(host: Machine, made: list[dict[str, Any]]) -> None:
    unit = (
        "systemctl show nicpass-vfs.service nicpass-vfs.path --property=ActiveState,Result; ls -d /run/nicpass/vfs-due"
    )
    count = f"test $(cat /sys/bus/pci/devices/{ADDRESS}/sriov_numvfs) = 3"
    host.succeed(f"for try in $(seq 120); do {count} && exit; sleep 1; done; {unit}; exit 1", LONG)
    idle = "systemctl is-active --quiet nicpass-vfs.service"
    host.succeed(f"for try in $(seq 120); do {idle} || exit 0; sleep 1; done; {unit}; exit 1", LONG)
    assert vfs(host) == made, host.succeed("journalctl --boot --quiet --unit nicpass-vfs.service")


def test_vfs_outlive_a_reboot_and_their_pfs_driver(fresh_host: Machine) -> None:
    host = fresh_host
    host.succeed(f"ip link set {PF} up")
    wait_for_own_address(host, PF)
    before = without_files(host.read_state(), "/var/lib/nicpass")
    made = make_and_set(host)
    host.succeed(["nicpass", "attach", "web01", VF, "--vlan", "20", "--confirm-within", "0"], LONG)
    host.succeed("virsh autostart web01 && sync")

    host.reboot()
    said = "journalctl --boot --quiet --unit nicpass-vfs.service --unit libvirtd.service --identifier nicpass"
    host.succeed(
        f"for try in $(seq 200); do virsh domstate web01 | grep running && exit; sleep 1; done; {said}; exit 1", LONG
    )
    host.guest("web01").wait_ready(300)
    there = vfs(host)
    assert [vf["mac"] for vf in there] == [vf["mac"] for vf in made]
    order = "systemctl show libvirtd.service nicpass-vfs.service --property=ExecMainStartTimestampMonotonic --value"
    started, done = (int(line) for line in host.succeed(order).split())
    assert done < started, "VFs are there before libvirt starts its VMs"
    host.succeed(["nicpass", "detach", "web01", VF, "--stop"], LONG)
    host.succeed("virsh autostart web01 --disable")
    assert vfs(host) == made

    host.succeed("modprobe -r igbvf igb; modprobe igb", LONG)
    wait_for(host, made)

    host.succeed(f"echo 1 > /sys/bus/pci/devices/{ADDRESS}/reset", LONG)
    host.succeed("nicpass vf restore", LONG)
    wait_for(host, made)

    host.succeed(f"ip link set {PF} vf 1 vlan 50; ip link set {PF} vf 2 spoofchk on")
    assert "set again" in host.succeed("nicpass vf restore", LONG)
    assert vfs(host) == made

    host.succeed(["nicpass", "vf", "remove", PF, "--confirm-within", "0"], LONG)
    wait_for_own_address(host, PF)
    after = without_files(host.read_state(), "/var/lib/nicpass")
    assert render_difference(state_difference(before, after)) == ""
    for path in (
        "/etc/nicpass/vfs.d",
        "/etc/udev/rules.d/71-nicpass-vfs.rules",
        "/etc/systemd/system/nicpass-vfs.path",
    ):
        host.fail(f"test -e {path}")
