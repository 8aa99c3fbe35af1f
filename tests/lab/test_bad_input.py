# SPDX-License-Identifier: Apache-2.0
"""Bad input on a real kernel: one sentence, a hint, the documented exit code, and a host that has not changed.

That it has not changed is seen by the `host` fixture, which compares the whole host before and after each test.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.cache import Cache
from lab.machine import Machine
from lab.shape import NONE
from lab.stages import fresh_host as open_fresh_host
from lab.state import render_difference, state_difference

pytestmark = pytest.mark.lab

ATTACH = "nicpass attach web01 enp2s0"


def refuse(machine: Machine, command: str, exit_code: int, reason: str) -> None:
    """Run a command that must be refused as the documentation promises, in text and in JSON."""
    result = machine.fail(command, exit_code)
    first, *rest = result.stderr.splitlines()
    assert first.startswith("nicpass: "), result.stderr
    assert first.endswith("."), result.stderr
    assert re.search(reason, first), result.stderr
    assert any(line.startswith("  hint: ") for line in rest), result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    error = json.loads(machine.fail(f"{command} --json", exit_code).stdout)["error"]
    assert re.search(reason, error["sentence"])
    assert error["exit_code"] == exit_code
    assert error["hint"]


@contextmanager
def done(machine: Machine, do: str, undo: str) -> Iterator[None]:
    """Something done to the host for the length of a block."""
    machine.succeed(do, 400)
    try:
        yield
    finally:
        machine.succeed(undo, 400)


@pytest.mark.parametrize(
    ("command", "exit_code", "reason"),
    [
        ("nicpass attach web01 enp99s0", 2, "no NIC 'enp99s0'"),
        ("nicpass attach web01 0000:77:00.0", 2, "no NIC '0000:77:00.0'"),
        ("nicpass attach web99 enp2s0", 2, "no VM 'web99'"),
        ("nicpass detach web01 enp2s0", 2, "web01 does not have enp2s0"),
        ("nicpass attach web01 enp2s0 --vlan 7", 2, "is a whole NIC"),
        ("nicpass attach web01 enp2s0 --live", 2, "web01 does not run"),
        ("nicpass attach web01 enp2s0 --allow GROUP_SHARED", 2, "cannot be overridden"),
        ("nicpass vf create enp2s0 --count 99", 2, "0 to 7 VFs, not 99"),
        ("nicpass vf create enp3s0 --count 1", 3, "cannot make VFs"),
        ("nicpass attach web01 enp0s6", 4, "default route: enp0s6 → 10.9.0.15/24 → default via 10.9.0.2"),
        ("nicpass attach web01 ens4", 4, r"shares IOMMU group \d+ with devices that nobody uses, .*: 0000:05:05.0"),
    ],
)
def test_refused_at_once(host: Machine, command: str, exit_code: int, reason: str) -> None:
    refuse(host, command, exit_code, reason)


def test_nic_with_an_address(host: Machine) -> None:
    with done(host, "ip address add 192.0.2.9/24 dev enp2s0", "ip address del 192.0.2.9/24 dev enp2s0"):
        refuse(host, ATTACH, 4, "address of the host: enp2s0 → 192.0.2.9/24")


def test_nic_in_a_bridge(host: Machine) -> None:
    make = "ip link add br9 type bridge && ip link set enp2s0 master br9 && ip address add 192.0.2.9/24 dev br9"
    with done(host, make, "ip link del br9"):
        refuse(host, ATTACH, 4, "address of the host: enp2s0 → br9 → 192.0.2.9/24")


def test_nic_in_a_bond_below_a_vlan(fresh_host: Machine) -> None:
    """On a host of its own: a bond takes its members up, and that leaves a trace in their queueing."""
    fresh_host.succeed("ip link add bond9 type bond mode active-backup && ip link set enp2s0 master bond9")
    fresh_host.succeed("ip link add link bond9 name bond9.5 type vlan id 5")
    fresh_host.succeed("ip address add 192.0.2.9/24 dev bond9.5")
    before = fresh_host.read_state()
    refuse(fresh_host, ATTACH, 4, "enp2s0 → bond9 → bond9.5 → 192.0.2.9/24")
    assert render_difference(state_difference(before, fresh_host.read_state())) == ""


def test_group_shared_with_a_device_that_carries_an_address(host: Machine) -> None:
    with done(host, "ip address add 192.0.2.9/24 dev ens5", "ip address del 192.0.2.9/24 dev ens5"):
        refuse(host, "nicpass attach web01 ens4", 4, r"0000:05:05.0 \(ens5, driver e1000: 192.0.2.9/24\)")


def test_nic_in_another_namespace(host: Machine) -> None:
    make = "ip netns add lab9 && ip link set enp2s0 netns lab9"
    with done(host, make, "ip -n lab9 link set enp2s0 netns 1; ip netns del lab9; udevadm settle"):
        refuse(host, "nicpass attach web01 0000:02:00.0", 4, "shows no interface here")


def test_nic_of_another_vm(host: Machine) -> None:
    with done(host, "nicpass attach db01 enp2s0", "nicpass detach db01 enp2s0"):
        refuse(host, ATTACH, 4, "belongs to the VM db01")


def test_vfs_in_use_are_not_removed_nor_their_pf_given_away(host: Machine) -> None:
    make = "ip link set enp2s0 up && nicpass vf create enp2s0 --count 2 && nicpass attach db01 0000:02:10.0"
    undo = "nicpass detach db01 0000:02:10.0 && nicpass vf remove enp2s0 && ip link set enp2s0 down"
    with done(host, make, undo):
        refuse(host, "nicpass vf remove enp2s0", 4, "belongs to the VM db01")
        refuse(host, "nicpass vf create enp2s0 --count 3", 4, "belongs to the VM db01")
        refuse(host, ATTACH, 4, "would vanish with it")


def test_libvirt_is_down(host: Machine) -> None:
    units = "libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket"
    with done(host, f"systemctl stop {units}", f"systemctl start {units} && virsh list"):
        refuse(host, ATTACH, 3, "libvirt")
        assert json.loads(host.succeed("nicpass list --json"))["nics"][1]["why_not"] == ["HYPERVISOR_UNKNOWN"]


def test_not_root(host: Machine) -> None:
    as_nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups /root/.local/bin/nicpass"
    with done(host, "chmod o+x /root", "chmod o-x /root"):
        refuse(host, f"{as_nobody} attach web01 enp2s0", 2, "Only root")
        assert json.loads(host.succeed(f"{as_nobody} list --json"))["nics"]


def test_damaged_snapshot(host: Machine) -> None:
    with done(host, "nicpass snapshot | head -c 3000 >/run/cut.json", "rm /run/cut.json"):
        refuse(host, "nicpass list --snapshot /run/cut.json", 2, "/run/cut.json is not a snapshot")


def test_another_run_holds_the_lock(host: Machine) -> None:
    place = "cd /run/nicpass/locks || { mkdir -m 700 -p /run/nicpass/locks; cd /run/nicpass/locks; }; umask 077"
    hold = f"{place}; echo process 1, a test >runs; setsid -f flock runs sleep 300 >/dev/null 2>&1"
    with done(host, hold, "pkill -f 'flock run[s]'; rm /run/nicpass/locks/runs"):
        refuse(host, ATTACH, 7, "process 1, a test")


def test_a_start_that_fails_is_taken_back(host: Machine) -> None:
    """vfio-pci cannot be loaded: libvirt fails, and the VM's definition is as it was. Exit code 1."""
    rule = "/etc/modprobe.d/broken.conf"
    with done(host, f"echo install vfio-pci /bin/false >{rule}; modprobe -r vfio-pci", f"rm {rule}"):
        result = host.fail(f"{ATTACH} --start", 1, timeout=400)
        assert "All was taken back." in result.stderr
        assert "Traceback" not in result.stderr


def test_no_iommu(cache: Cache, wheel: Path) -> None:
    with open_fresh_host(cache, NONE, wheel) as machine:
        before = machine.read_state()
        refuse(machine, ATTACH, 3, "no IOMMU table")
        assert render_difference(state_difference(before, machine.read_state())) == ""
