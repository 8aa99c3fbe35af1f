# SPDX-License-Identifier: Apache-2.0
"""Both functions of a two-port card, which share an IOMMU group, into one VM and back; and a free VF of a PF."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.machine import Machine
from lab.shape import PAIR
from lab.state import render_difference, state_difference, without_files

pytestmark = pytest.mark.lab

PF, PF_ADDRESS = "enp1s0", "0000:01:00.0"
PORTS = ("0000:02:00.0", "0000:02:00.1")
MACS = tuple(nic.mac for nic in PAIR.nics[1:])
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly


def answer(host: Machine, *words: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(host.succeed(["nicpass", *words, "--json"], LONG))
    return told


def drivers(host: Machine) -> list[str]:
    return [host.succeed(f"basename $(readlink /sys/bus/pci/devices/{port}/driver)").strip() for port in PORTS]


def names(host: Machine) -> list[str]:
    return [host.succeed(f"ls /sys/bus/pci/devices/{port}/net").strip() for port in PORTS]


@pytest.mark.parametrize("fresh_host", [PAIR.name], indirect=True)
def test_both_ports_of_a_card_to_one_vm_and_back(fresh_host: Machine) -> None:
    host = fresh_host
    groups = {host.succeed(f"basename $(readlink /sys/bus/pci/devices/{port}/iommu_group)") for port in PORTS}
    assert len(groups) == 1, "the two share a group, or this test shows nothing"
    one, two = names(host)
    for name, last in ((one, 5), (two, 6)):
        host.succeed(f"ip link set {name} mtu 1400 up && ip address add 192.0.2.{last}/24 dev {name}")
        host.wait_for_link(name)
    before = without_files(host.read_state(), "/var/lib/nicpass")

    # By itself neither may go: with an address on the other it is in use, and the one in use is named.
    assert two in host.fail(["nicpass", "attach", "web01", one, "--allow", "HAS_ADDRESS"], 4, LONG).stderr
    assert two in host.fail(["nicpass", "attach", "web01", one, "--with-group"], 4, LONG).stderr
    assert "named twice" in host.fail(["nicpass", "attach", "web01", one, PORTS[0]], 2, LONG).stderr

    allow = ("--allow", "HAS_ADDRESS", "--confirm-within", "0")
    given = answer(host, "attach", "web01", one, "--with-group", "--start", *allow)
    assert [step["address"] for step in given["steps"] if step["type"] == "define_device"] == list(PORTS)
    assert drivers(host) == ["vfio-pci", "vfio-pci"]
    guest = host.guest("web01")
    guest.wait_ready(300)
    guest.wait_until_succeeds(f"test $(cat /sys/class/net/*/address | grep -c -e {MACS[0]} -e {MACS[1]}) = 2", LONG)

    back = answer(host, "detach", "web01", one, two, "--stop")
    assert {field["address"] for field in back["compared"]} == set(PORTS)
    assert all(field["equal"] for field in back["compared"])
    assert drivers(host) == ["e1000e", "e1000e"]
    after = without_files(host.read_state(), "/var/lib/nicpass")
    assert render_difference(state_difference(before, after)) == ""

    # The same by names, and taken back as one change; the guard lets a start through that libvirt was asked for.
    host.succeed(["nicpass", "attach", "web01", *PORTS, *allow], LONG)
    host.succeed("virsh start web01", LONG)
    assert drivers(host) == ["vfio-pci", "vfio-pci"]
    host.succeed("virsh destroy web01", LONG)
    host.succeed("nicpass undo", LONG)
    after = without_files(host.read_state(), "/var/lib/nicpass")
    assert render_difference(state_difference(before, after)) == ""


@pytest.mark.full
@pytest.mark.parametrize("fresh_host", [PAIR.name], indirect=True)
def test_an_idle_port_is_offered_and_goes_along(fresh_host: Machine) -> None:
    host = fresh_host
    report = json.loads(host.execute(["nicpass", "check", PORTS[0], "--vm", "web01", "--json"], LONG).stdout)
    (shared,) = [f for f in report["nics"][0]["findings"] if f["code"] == "GROUP_SHARED_BOUND"]
    command = f"nicpass attach web01 {PORTS[0]} --with-group"
    assert command in shared["mend"]
    host.succeed(f"{command} --confirm-within 0", LONG)
    assert all(address in host.succeed("nicpass list", LONG) for address in PORTS)
    assert "keeps" in host.succeed(["nicpass", "detach", "web01", PORTS[1], "--dry-run"], LONG)
    host.succeed(["nicpass", "detach", "web01", *PORTS], LONG)
    assert drivers(host) == ["e1000e", "e1000e"]


@pytest.mark.full
def test_a_free_vf_is_chosen_and_the_reason_told(fresh_host: Machine) -> None:
    host = fresh_host
    assert "has no VFs" in host.fail(["nicpass", "attach", "web01", "--from", PF], 3, LONG).stderr
    host.succeed(f"ip link set {PF} up")
    host.wait_for_link(PF)
    host.succeed(["nicpass", "vf", "create", PF, "--count", "2", "--confirm-within", "0"], LONG)
    chosen: list[str] = []
    for vm in ("web01", "db01"):
        given = answer(host, "attach", vm, "--from", PF, "--confirm-within", "0")
        assert "is the first that nobody uses" in given["notes"][0]
        chosen += [step["address"] for step in given["steps"] if step["type"] == "define_device"]
    assert chosen == ["0000:01:10.0", "0000:01:10.2"]
    assert "No VF of" in host.fail(["nicpass", "attach", "web01", "--from", PF], 3, LONG).stderr
    for vm, vf in zip(("web01", "db01"), chosen, strict=True):
        host.succeed(["nicpass", "detach", vm, vf], LONG)
    host.succeed(["nicpass", "vf", "remove", PF, "--confirm-within", "0"], LONG)
