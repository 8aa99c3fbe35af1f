# SPDX-License-Identifier: Apache-2.0
"""The same many times: hand-overs to and fro, and two programs at once. Nothing adds up, nothing is half done."""

from __future__ import annotations

import json
import re

import pytest

from lab.machine import Machine
from tests.lab.deaths import JOURNAL, difference, read

pytestmark = [pytest.mark.lab, pytest.mark.full]

HAND_OVERS = 50
ROUNDS = 10
_KEPT = 100  # closed journals, as nicpass promises


@pytest.mark.parametrize("kind", ["pf", "vf"])
def test_to_and_fro(fresh_host: Machine, kind: str) -> None:
    """50 times into a VM that is started with it, and back; compared each time, leaks at the end."""
    machine = fresh_host
    machine.succeed("ip link set enp2s0 mtu 1400 up && ip address add 192.0.2.5/24 dev enp2s0")
    machine.wait_for_link("enp2s0")
    if kind == "vf":
        machine.succeed("ip link set enp1s0 up")
        machine.wait_for_link("enp1s0")
        machine.succeed("nicpass vf create enp1s0 --count 1", 120)
    nic = "0000:02:00.0" if kind == "pf" else "0000:01:10.0"
    before = read(machine)
    leaks: list[dict[str, int]] = []
    for number in range(1, HAND_OVERS + 1):
        machine.succeed(f"nicpass attach web01 {nic} --start --allow HAS_ADDRESS", 180)
        assert machine.succeed(f"basename $(readlink /sys/bus/pci/devices/{nic}/driver)").strip() == "vfio-pci"
        machine.succeed("virsh destroy web01", 120)
        said = machine.succeed(f"nicpass detach web01 {nic}", 180)
        assert "DIFFERENT" not in said
        if number in (5, HAND_OVERS) or number % 10 == 0:
            assert difference(before, read(machine)) == "", f"after {number} hand-overs"
            leaks.append(_what_could_grow(machine))
            print(f"{kind}, after {number} hand-overs: {leaks[-1]}", flush=True)
    first, last = leaks[0], leaks[-1]
    assert last["libvirtd descriptors"] <= first["libvirtd descriptors"] + 2
    assert last["files in /run/nicpass"] == first["files in /run/nicpass"]
    assert last["units"] <= first["units"]
    assert last["journals"] <= _KEPT + 1
    assert last["journal bytes"] <= (_KEPT + 1) * 40_000
    assert last["peak kB of nicpass"] <= first["peak kB of nicpass"] * 1.1


def _what_could_grow(machine: Machine) -> dict[str, int]:
    peak = """python3 - <<'E'
import resource, subprocess
subprocess.run(["/root/.local/bin/nicpass", "list"], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
E"""
    commands = {
        "libvirtd descriptors": "ls /proc/$(pidof libvirtd)/fd | wc -l",
        "files in /run/nicpass": "find /run/nicpass* | wc -l",
        "units": "systemctl list-units --all --plain --no-legend | grep -c nicpass || true",
        "journals": f"ls {JOURNAL} | wc -l",
        "journal bytes": f"du -sb {JOURNAL} | cut -f1",
        "peak kB of nicpass": peak,
    }
    return {name: int(machine.succeed(command).split()[-1]) for name, command in commands.items()}


def test_two_at_once(fresh_host: Machine) -> None:
    """One wins; the other names it, or, when it came later, is told whose the NIC is."""
    before = read(fresh_host)
    at_once = """
cd /run; for vm in web01 db01; do
(code=0; nicpass attach $vm enp2s0 >$vm.out 2>&1 || code=$?; echo $code >$vm.code) & done; wait
cat web01.code db01.code; cat web01.out db01.out >&2; rm web01.* db01.*"""
    busy = 0
    for _ in range(ROUNDS):
        result = fresh_host.execute(at_once, 180)
        codes = [int(code) for code in result.stdout.split()]
        assert 0 in codes, result.stderr
        loser = next(code for code in codes if code != 0)
        assert loser in (4, 7), result.stderr
        busy += loser == 7
        assert re.search(r"process \d+, nicpass attach \w+ enp2s0, by root|belongs to the VM", result.stderr)
        winner = ("web01", "db01")[codes.index(0)]
        owners = [vm for vm in ("web01", "db01") if "<hostdev" in fresh_host.succeed(f"virsh dumpxml {vm} --inactive")]
        assert owners == [winner]
        fresh_host.succeed(f"nicpass detach {winner} enp2s0", 120)
        assert difference(before, read(fresh_host)) == ""
    print(f"{ROUNDS} rounds, {busy} times the other held the lock")
    changes = json.loads(fresh_host.succeed("nicpass history --json --last 100"))["changes"]
    assert {change["outcome"] for change in changes} == {"done"}
