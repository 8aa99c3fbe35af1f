# SPDX-License-Identifier: Apache-2.0
"""A pool of two VFs, from which two VMs draw; a third finds none; drained and removed, the host is as before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.machine import Machine
from lab.state import render_difference, state_difference, without_files
from tests.lab.waiting import wait_for_own_address

pytestmark = [pytest.mark.lab, pytest.mark.full]

PF = "enp1s0"
POOL = ("0000:01:10.2", "0000:01:10.4")
FREE = "0000:01:10.6"
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly


def the_pool(host: Machine) -> dict[str, Any]:
    (pool,) = json.loads(host.succeed("nicpass pool list --json", LONG))["pools"]
    assert pool["name"] == "blue"
    return dict(pool)


def driver_of(host: Machine, vf: str) -> str:
    return host.succeed(f"basename $(readlink /sys/bus/pci/devices/{vf}/driver)").strip()


def state_of(host: Machine) -> Any:
    """Without the folder in which libvirt keeps what it starts by itself: it makes it, and leaves it."""
    kept = without_files(host.read_state(), "/var/lib/nicpass")
    return without_files(kept, "/etc/libvirt/qemu/networks/autostart")


def test_two_vms_draw_from_a_pool_and_a_third_finds_none(fresh_host: Machine) -> None:
    host = fresh_host
    host.succeed(f"ip link set {PF} up")
    wait_for_own_address(host, PF)
    before = state_of(host)
    host.succeed(["nicpass", "vf", "create", PF, "--count", "4", "--confirm-within", "0"], LONG)

    host.succeed(f"nicpass pool create blue --pf {PF} --vfs 1-2 --vlan 20", LONG)
    pool = the_pool(host)
    assert tuple(vf["address"] for vf in pool["vfs"]) == POOL
    assert (pool["active"], pool["autostart"], pool["vlans"], pool["free"]) == (True, True, [20], 2)
    definition = host.succeed("virsh net-dumpxml blue --inactive")
    assert "<pf " not in definition
    assert "managed='yes'" in definition

    # What the pool has is free for nobody else, and nobody pulls it away.
    assert "network blue" in host.fail(["nicpass", "attach", "web01", POOL[0]], 4, LONG).stderr
    assert "network blue" in host.fail(["nicpass", "vf", "remove", PF], 4, LONG).stderr
    assert host.succeed("nicpass vf list", LONG).count("pool blue") == 2

    for vm in ("web01", "db01"):
        host.succeed(["nicpass", "attach", vm, "--from-pool", "blue", "--start"], LONG)
    pool = the_pool(host)
    assert {taker["vf"] for taker in pool["takers"]} == set(POOL)
    assert [driver_of(host, vf) for vf in POOL] == ["vfio-pci", "vfio-pci"]
    third = ["nicpass", "attach", "web01", "--from-pool", "blue", "--mac", "52:54:00:00:00:99", "--config"]
    refused = host.fail(third, 3, LONG).stderr
    assert "No VF of the pool blue is free" in refused
    assert all(vm in refused for vm in ("web01", "db01"))
    for words in ("drain blue --vfs 1", "remove blue", "add blue --vfs 3"):
        assert "web01" in host.fail(f"nicpass pool {words}", 4, LONG).stderr

    # The guest has it under the MAC that stands in the definition, and lets go of it.
    (mac,) = [taker["mac"] for taker in pool["takers"] if taker["vm"] == "web01"]
    guest = host.guest("web01")
    guest.wait_ready(300)
    guest.wait_until_succeeds(f"grep -q {mac} /sys/class/net/*/address", LONG)
    host.succeed("nicpass detach web01 --from-pool blue", LONG)
    assert the_pool(host)["free"] == 1

    host.succeed("nicpass detach db01 --from-pool blue --stop", LONG)
    assert the_pool(host)["free"] == 2
    host.fail("test -e /etc/libvirt/hooks/qemu.d/nicpass")
    host.succeed("virsh destroy web01")

    # A start that libvirt is asked for is looked at: it may pick a VF that has come into use.
    host.succeed("nicpass attach web01 --from-pool blue", LONG)
    host.succeed(f"modprobe igbvf; echo igbvf >/sys/bus/pci/devices/{POOL[0]}/driver_override", LONG)
    host.succeed(f"echo {POOL[0]} >/sys/bus/pci/drivers_probe", LONG)
    host.wait_until_succeeds(f"ls /sys/bus/pci/devices/{POOL[0]}/net", LONG)
    # Before udev has renamed it, it is an eth0 that is gone at the next command.
    netdev = host.succeed(f"udevadm settle && ls /sys/bus/pci/devices/{POOL[0]}/net", LONG).strip()
    host.succeed(f"ip link set {netdev} up && ip address add 192.0.2.77/24 dev {netdev}")
    assert "may pick" in host.fail("virsh start web01", None, LONG).stderr
    host.succeed(f"echo {POOL[0]} >/sys/bus/pci/devices/{POOL[0]}/driver/unbind", LONG)
    host.succeed(f"echo >/sys/bus/pci/devices/{POOL[0]}/driver_override")
    host.succeed("virsh start web01", LONG)
    host.succeed("virsh destroy web01", LONG)
    host.succeed("nicpass undo", LONG)

    host.succeed("nicpass pool add blue --vfs 3", LONG)
    assert [vf["address"] for vf in the_pool(host)["vfs"]] == [*POOL, FREE]
    host.succeed("nicpass pool drain blue", LONG)
    assert the_pool(host)["vfs"] == []
    host.succeed("nicpass pool remove blue", LONG)
    assert "blue" not in host.succeed("virsh net-list --all --name")
    host.succeed(["nicpass", "vf", "remove", PF, "--confirm-within", "0"], LONG)
    wait_for_own_address(host, PF)
    assert render_difference(state_difference(before, state_of(host))) == ""
