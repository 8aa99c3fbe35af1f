# SPDX-License-Identifier: Apache-2.0
"""Compares nicpass with driverctl, dpdk-devbind, virsh and `ip`, which ask a running kernel: emulated host, one run."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from bench.measure import Result
from bench.own_time import VFS
from lab.cache import Cache
from lab.machine import Machine
from lab.shape import IGB1, INTEL
from lab.stages import fresh_host
from lab.wheel import build_wheel

SUBJECT = "nicpass list --json"
PEERS = {
    "driverctl list-devices network": "driverctl list-devices network",
    "dpdk-devbind.py -s": "dpdk-devbind.py -s",
    "virsh nodedev-dumpxml of all": "for d in $(virsh nodedev-list --cap pci); do virsh nodedev-dumpxml $d; done",
}
VM = "web01"


class Task(NamedTuple):
    """A command that is timed, and the untimed command that makes the host as it was before."""

    command: str
    afterwards: str = ":"


# Runs on the host. Prints the seconds that the command took there.
_TIMER = """
import subprocess, sys, time
begin = time.perf_counter()
done = subprocess.run(["bash", "-ec", sys.argv[1]], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
seconds = time.perf_counter() - begin
sys.exit(f"{sys.argv[1]}: exit {done.returncode}: {done.stderr}") if done.returncode else print(seconds)
"""
_LONGEST = 600.0


def bench_emulated_host(runs: int) -> list[Result]:
    """Ratios of nicpass's medians to its peers', without a target: these do and show a part of what nicpass does."""
    with fresh_host(Cache(), INTEL, build_wheel()) as machine:
        return [
            *_compare_listing(machine, runs),
            *_compare_vfs(machine, runs),
            _compare_attaching(machine, runs),
            _compare_plugging(machine, runs),
        ]


def _compare_listing(machine: Machine, runs: int) -> list[Result]:
    ours, *theirs = _measure(machine, [Task(SUBJECT), *map(Task, PEERS.values())], runs)
    return [
        Result(f"{SUBJECT} : {name}, emulated host", ours, peer, ours / peer, None, runs)
        for name, peer in zip(PEERS, theirs, strict=True)
    ]


def _compare_vfs(machine: Machine, runs: int) -> list[Result]:
    """Compare making and setting VFs for VMs with sysfs and `ip`, which look at nothing, keep and verify nothing.

    What nicpass takes beside it a VF is told once more without the time of `vf list`, which starts and reads the host
    as every command does: most of that is Python, on an emulated processor.
    """
    address, pf = _find_nic(machine)
    machine.succeed(f"ip link set {pf} up")
    folder = f"/sys/bus/pci/devices/{address}"
    lines = [f"echo 0 >{folder}/sriov_drivers_autoprobe", f"echo {VFS} >{folder}/sriov_numvfs"]
    lines += [f"ip link set {pf} vf {vf} mac 02:00:00:00:00:{vf + 1:02x} vlan 100" for vf in range(VFS)]
    bare = Task(" && ".join(lines), f"echo 0 >{folder}/sriov_numvfs; echo 1 >{folder}/sriov_drivers_autoprobe")
    nicpass = Task(f"nicpass vf create {pf} --count {VFS} --vlan 100 --until-reboot", f"nicpass vf remove {pf}")
    ours, theirs, start = _measure(machine, [nicpass, bare, Task(f"nicpass vf list {pf}")], runs)
    apart = ours - theirs
    name = f"nicpass vf create --count {VFS} --vlan : sriov_numvfs, ip link set vf; emulated host"
    return [
        Result(name, ours, theirs, ours / theirs, None, runs),
        Result(
            "a VF of that, beyond the other : and beyond nicpass vf list too; emulated host",
            apart / VFS,
            (apart - start) / VFS,
            apart / (apart - start) if apart > start else float("inf"),
            None,
            runs,
        ),
    ]


def _find_nic(machine: Machine) -> tuple[str, str]:
    """(address, interface) of an idle NIC, without the address that its manager has given it."""
    address = machine.succeed(f"basename $(dirname $(dirname $(dirname $(grep -l {IGB1} {_ADDRESSES}))))").strip()
    netdev = machine.succeed(f"ls /sys/bus/pci/devices/{address}/net").strip()
    machine.succeed(f"ip address flush dev {netdev}")
    return address, netdev


def _compare_attaching(machine: Machine, runs: int) -> Result:
    """Compare attaching one idle NIC to a stopped VM that is then started. virsh checks nothing and keeps nothing."""
    address, _netdev = _find_nic(machine)
    machine.succeed(["bash", "-c", f"cat >/run/nic.xml <<'END'\n{_hostdev(address)}END"])
    virsh = Task(
        f"virsh attach-device {VM} /run/nic.xml --config && virsh start {VM}",
        f"virsh destroy {VM} && virsh detach-device {VM} /run/nic.xml --config",
    )
    nicpass = Task(f"nicpass attach {VM} {address} --start", f"virsh destroy {VM} && nicpass detach {VM} {address}")
    ours, theirs = _measure(machine, [nicpass, virsh], runs)
    name = "nicpass attach VM NIC --start : virsh attach-device --config, virsh start; emulated host"
    return Result(name, ours, theirs, ours / theirs, None, runs)


def _compare_plugging(machine: Machine, runs: int) -> Result:
    """Compare plugging one idle NIC into a VM that runs. virsh checks nothing, keeps nothing and reads nothing back."""
    address = machine.succeed(f"basename $(dirname $(dirname $(dirname $(grep -l {IGB1} {_ADDRESSES}))))").strip()
    machine.succeed(["bash", "-c", f"cat >/run/nic.xml <<'END'\n{_hostdev(address)}END"])
    machine.succeed(f"virsh start {VM}", _LONGEST)
    machine.guest(VM).wait_ready(_LONGEST)
    back = f"until readlink /sys/bus/pci/devices/{address}/driver | grep -q igb; do sleep 0.1; done"
    virsh = Task(
        f"virsh attach-device {VM} /run/nic.xml --live --config",
        f"virsh detach-device {VM} /run/nic.xml --live --config; {back}",
    )
    nicpass = Task(f"nicpass attach {VM} {address}", f"nicpass detach {VM} {address}")
    ours, theirs = _measure(machine, [nicpass, virsh], runs)
    machine.succeed(f"virsh destroy {VM}", _LONGEST)
    own = f"own time {(ours - theirs) * 1000:.0f} ms"
    name = f"nicpass attach VM NIC : virsh attach-device --live --config, VM runs, {own}; emulated host"
    return Result(name, ours, theirs, ours / theirs, None, runs)


_ADDRESSES = "/sys/bus/pci/devices/*/net/*/address"


def _hostdev(address: str) -> str:
    domain, bus, slot, function = address.replace(".", ":").split(":")
    place = f"domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' function='0x{function}'"
    return f"<hostdev mode='subsystem' type='pci' managed='yes'><source><address {place}/></source></hostdev>\n"


def _measure(machine: Machine, tasks: list[Task], runs: int) -> list[float]:
    """Each task's median time in seconds. Tasks run in turn, to feel the same noise; the first round is not counted."""
    times: list[list[float]] = [[] for _ in tasks]
    for number in range(runs + 1):
        for task, found in zip(tasks, times, strict=True):
            seconds = float(machine.succeed(["python3", "-c", _TIMER, task.command], _LONGEST))
            machine.succeed(task.afterwards, _LONGEST)
            if number:
                found.append(seconds)
    return [statistics.median(found) for found in times]
