# SPDX-License-Identifier: Apache-2.0
"""A host in one file, on a real kernel: two VMs on two VFs of one PF, which a VLAN keeps apart or brings together."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.machine import Machine
from lab.state import render_difference, state_difference, without_files
from tests.lab.waiting import wait_for_own_address

pytestmark = pytest.mark.lab

PF, ADDRESS = "enp1s0", "0000:01:00.0"
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly
FILE = """\
schema: nicpass.state/1
pfs:
  enp1s0:
    vfs: 3
    all: {spoofchk: on}
    each:
      2: {trust: on}
vms:
  web01:
    nics:
      - {pf: enp1s0, vf: 0, mac: "52:54:00:00:00:07", vlan: 20}
  db01:
    nics:
      - {pf: enp1s0, vf: 1, mac: "52:54:00:00:00:08", vlan: 20}
"""


def write(host: Machine, text: str) -> None:
    assert host.execute(["tee", "/run/host.yaml"], LONG, stdin=text.encode()).exit_code == 0


def numvfs(host: Machine) -> str:
    return host.succeed(f"cat /sys/bus/pci/devices/{ADDRESS}/sriov_numvfs").strip()


def plan(host: Machine, exit_code: int) -> list[dict[str, Any]]:
    if exit_code:
        told = host.fail("nicpass plan /run/host.yaml --json", exit_code, LONG).stdout
    else:
        told = host.succeed("nicpass plan /run/host.yaml --json", LONG)
    found: list[dict[str, Any]] = json.loads(told)["differences"]
    return found


def start_with_address(host: Machine, vm: str, mac: str, address: str) -> None:
    host.succeed(f"virsh start {vm}", LONG)
    guest = host.guest(vm)
    guest.wait_ready(300)
    find = f"basename $(dirname $(grep -l {mac} /sys/class/net/*/address))"
    guest.wait_until_succeeds(find, LONG)
    guest.succeed(f"ip link set $({find}) up && ip address add {address}/24 dev $({find})")


def test_a_host_in_one_file(fresh_host: Machine) -> None:
    host = fresh_host
    host.succeed(f"ip link set {PF} up")
    wait_for_own_address(host, PF)
    before = without_files(host.read_state(), "/var/lib/nicpass")

    write(host, FILE.replace("vf: 1,", "vf: 9,"))
    assert "line 14, column 9: There is no VF 9" in host.fail("nicpass plan /run/host.yaml", 2, LONG).stderr
    write(host, FILE)
    whats = [difference["what"] for difference in plan(host, 10)]
    assert whats[0] == "vfs"
    assert whats[-2:] == ["enp1s0 vf 0", "enp1s0 vf 1"]
    done = json.loads(host.succeed("nicpass apply /run/host.yaml --confirm-within 0 --json", LONG))
    assert [step["type"] for step in done["steps"]].count("define_device") == 2
    assert numvfs(host) == "3"
    assert plan(host, 0) == []
    again = json.loads(host.succeed("nicpass apply /run/host.yaml --json", LONG))
    assert (again["change"], again["steps"]) == (None, [])
    assert "vfs: 3" in host.succeed("nicpass export", LONG)
    host.succeed("nicpass export >/run/exported.yaml && nicpass plan /run/exported.yaml && rm /run/exported.yaml", LONG)

    start_with_address(host, "web01", "52:54:00:00:00:07", "192.0.2.7")
    start_with_address(host, "db01", "52:54:00:00:00:08", "192.0.2.8")
    host.guest("web01").wait_until_succeeds("ping -c 1 -w 5 192.0.2.8", LONG)
    assert plan(host, 0) == [], "what runs is as the file says"
    host.succeed(f"ip link set {PF} vf 1 vlan 30")
    assert host.guest("web01").execute("ping -c 3 -w 6 192.0.2.8", LONG).exit_code != 0
    host.succeed(f"ip link set {PF} vf 1 vlan 20")

    host.succeed("nicpass undo --stop && rm /run/host.yaml", LONG)
    assert numvfs(host) == "0"
    after = without_files(host.read_state(), "/var/lib/nicpass")
    assert render_difference(state_difference(before, after)) == ""
