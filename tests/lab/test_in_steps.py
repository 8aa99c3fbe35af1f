# SPDX-License-Identifier: Apache-2.0
"""More VFs while a VM runs with one of them, and more root ports for a VM: by the real libvirt, QEMU and kernel."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.machine import Machine
from tests.lab.waiting import wait_for_own_address

pytestmark = [pytest.mark.lab, pytest.mark.full]

PF, ADDRESS, VF = "enp1s0", "0000:01:00.0", "0000:01:10.0"
MAC = "52:54:00:00:00:07"
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly


def answer(host: Machine, *words: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(host.succeed(["nicpass", *words, "--json"], LONG))
    return told


def definition(host: Machine) -> str:
    return host.succeed("virsh dumpxml web01 --inactive", LONG)


def see_vf(host: Machine, numvfs: int) -> None:
    """The PF has so many VFs, and the guest of web01 drives the first."""
    assert host.succeed(f"cat /sys/bus/pci/devices/{ADDRESS}/sriov_numvfs").strip() == str(numvfs)
    assert host.succeed(f"basename $(readlink /sys/bus/pci/devices/{VF}/driver)").strip() == "vfio-pci"
    host.guest("web01").wait_until_succeeds(f"grep -q {MAC} /sys/class/net/*/address", LONG)


def test_more_vfs_while_a_vm_has_one_and_more_ports_for_it(fresh_host: Machine) -> None:
    host = fresh_host
    host.succeed(f"ip link set {PF} up")
    wait_for_own_address(host, PF)
    first = definition(host)
    host.succeed(["nicpass", "vf", "create", PF, "--count", "2", "--confirm-within", "0"], LONG)
    words = ("--mac", MAC, "--vlan", "20", "--add-ports", "2", "--start", "--confirm-within", "0")
    given = answer(host, "attach", "web01", VF, *words)
    assert definition(host).count("model='pcie-root-port'") == first.count("model='pcie-root-port'") + 2
    host.guest("web01").wait_ready(300)
    see_vf(host, 2)
    lasting = definition(host)

    more = ["nicpass", "vf", "create", PF, "--count", "4", "--confirm-within", "0"]
    assert "--in-steps" in host.fail(more, 4, LONG).stderr
    stepped = answer(host, *more[1:], "--in-steps")
    kinds = [step["type"] for step in stepped["steps"] if step["type"] != "change_boot"]
    assert kinds == ["unplug_device", "set_numvfs", "plug_device"]
    see_vf(host, 4)
    assert "vlan 20" in host.succeed(f"ip link show {PF} | grep 'vf 0 '")
    assert definition(host) == lasting
    host.succeed(["nicpass", "undo", stepped["change"]], LONG)
    see_vf(host, 2)

    host.succeed(["nicpass", "undo", given["change"], "--stop"], LONG)
    assert definition(host) == first, "its ports are gone too"
    assert "vlan" not in host.succeed(f"ip link show {PF} | grep 'vf 0 '"), "the VF is what it was by itself"
    host.succeed(["nicpass", "vf", "remove", PF, "--confirm-within", "0"], LONG)
