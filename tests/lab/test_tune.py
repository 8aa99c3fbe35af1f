# SPDX-License-Identifier: Apache-2.0
"""A VM is put where its NIC is, by the real libvirt and kernel: pins, memory, interrupts, and all of it back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.machine import Machine
from lab.shape import TANGLED

pytestmark = [pytest.mark.lab, pytest.mark.full]

VM, NIC, ADDRESS = "web01", "enp2s0", "0000:02:00.0"
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly


def answer(host: Machine, *words: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(host.succeed(["nicpass", *words, "--json"], LONG))
    return told


def definition(host: Machine) -> str:
    return host.succeed(f"virsh dumpxml {VM} --inactive --security-info", LONG)


def affinities(host: Machine) -> set[str]:
    """The CPUs that may handle each interrupt of the NIC; one that nobody has asked for is listed and has no file."""
    folder = f"/sys/bus/pci/devices/{ADDRESS}/msi_irqs"
    each = f"for irq in $(ls {folder}); do cat /proc/irq/$irq/smp_affinity_list 2>/dev/null; done | grep ."
    return set(host.wait_until_succeeds(each, LONG).split())


def kinds(told: dict[str, Any]) -> list[str]:
    return [step["type"] for step in told["steps"]]


def test_a_vm_runs_on_its_own_cpu_and_its_nic_interrupts_another(fresh_host: Machine) -> None:
    """This host has one node and two processors; one of them is left to the host and to QEMU's own threads."""
    host = fresh_host
    assert "has no NIC" in host.fail(["nicpass", "tune", VM], 2, LONG).stderr
    host.succeed(["nicpass", "attach", VM, NIC, "--confirm-within", "0"], LONG)
    before = definition(host)
    assert kinds(answer(host, "tune", VM)) == ["place_domain"]
    assert kinds(answer(host, "tune", VM)) == []
    placed = definition(host)
    assert "<vcpupin vcpu='0' cpuset='1'/>" in placed
    assert "<emulatorpin cpuset='0'/>" in placed

    host.succeed(f"virsh start {VM}", LONG)
    host.guest(VM).wait_ready(LONG)
    # As the kernel has it, of the thread that is the virtual processor.
    thread = f"grep -l 'CPU 0/KVM' /proc/$(cat /run/libvirt/qemu/{VM}.pid)/task/*/comm"
    assert host.succeed(f"grep Cpus_allowed_list $(dirname $({thread}))/status").split()[-1] == "1"
    guest = host.guest(VM)
    guest.wait_until_succeeds(
        "for net in /sys/class/net/*/device; do ip link set $(basename ${net%/device}) up; done", LONG
    )
    guest.wait_until_succeeds("grep -q 1 /sys/class/net/e*/carrier", LONG)
    first = affinities(host)
    steered = answer(host, "tune", VM)
    assert kinds(steered) == ["steer_interrupts"]
    assert affinities(host) == {"0"}
    host.succeed("nicpass undo", LONG)
    assert affinities(host) == first

    host.succeed(f"virsh destroy {VM}", LONG)
    host.succeed("nicpass undo", LONG)  # the one before, which wrote the definition
    assert definition(host) == before
    host.succeed(["nicpass", "detach", VM, NIC], LONG)


@pytest.mark.parametrize("fresh_host", [TANGLED.name], indirect=True)
def test_memory_comes_from_the_node_of_the_nic(fresh_host: Machine) -> None:
    """Two nodes with a processor each; the NIC is said to be on the second."""
    host = fresh_host
    address = host.succeed("basename $(readlink -f /sys/class/net/enp2s0/device)").strip()
    domain, bus, slot, function = (f"0x{part}" for part in address.replace(".", ":").split(":"))
    source = f"<address domain='{domain}' bus='{bus}' slot='{slot}' function='{function}'/>"
    device = f"<hostdev mode='subsystem' type='pci' managed='yes'><source>{source}</source></hostdev>"
    host.put_file("/root/nic.xml", device)
    host.succeed(f"virsh attach-device {VM} /root/nic.xml --config", LONG)
    assert "does not tell" in host.fail(["nicpass", "tune", VM], 3, LONG).stderr
    host.succeed(f"echo 1 > /sys/bus/pci/devices/{address}/numa_node")
    before = definition(host)
    host.succeed(["nicpass", "tune", VM], LONG)
    placed = definition(host)
    assert "nodeset='1'/>" in placed
    assert "<vcpupin vcpu='0' cpuset='1'/>" in placed
    assert "<emulatorpin cpuset='0'/>" in placed
    host.succeed("nicpass undo", LONG)
    assert definition(host) == before
