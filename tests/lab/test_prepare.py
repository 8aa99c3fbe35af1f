# SPDX-License-Identifier: Apache-2.0
"""From a machine with the IOMMU off to a NIC that is ready at every boot, through a real boot loader."""

from __future__ import annotations

import json
import re

import pytest

from lab.machine import Machine
from lab.shape import DRACUT, GRUB_BIOS, GRUB_UEFI, SYSTEMD_BOOT
from lab.state import render_difference, state_difference
from tests.lab.boots import (
    ADDRESS,
    LOADERS,
    NIC,
    UNIT,
    driver,
    initramfs_of,
    prepare,
    see_it_gone,
    see_it_ready,
    state_of,
)

pytestmark = [pytest.mark.lab, pytest.mark.full]  # an initramfs takes minutes under emulation
REBOOTS = 20
SHAPES = [shape.name for shape in (GRUB_BIOS, GRUB_UEFI, SYSTEMD_BOOT, DRACUT)]


@pytest.mark.parametrize("fresh_host", SHAPES, indirect=True)
def test_from_iommu_off_to_a_nic_that_is_ready_and_back(fresh_host: Machine) -> None:
    machine, loader = fresh_host, LOADERS[fresh_host.shape.name]
    see_it_gone(machine)
    before, packed = state_of(machine), initramfs_of(machine)
    menu = machine.succeed(loader.menu)
    machine.fail(f"nicpass check {NIC}", 5)

    assert "intel_iommu=on" in machine.succeed(f"nicpass prepare {NIC} --dry-run")
    assert render_difference(state_difference(before, state_of(machine))) == ""
    assert "reboot" in prepare(machine, NIC)
    assert machine.succeed(loader.menu) == menu, "tried once first"
    machine.succeed(loader.due)
    assert "prepared already" in prepare(machine, NIC)

    machine.reboot()
    see_it_ready(machine)
    machine.fail(loader.due)
    machine.fail(f"grep intel_iommu=on {loader.trial}")
    kept = machine.succeed(loader.menu)
    assert re.search("intel_iommu=off .*intel_iommu=on", kept), kept
    assert "prepared already" in machine.succeed(f"nicpass prepare {NIC}", 120)
    machine.reboot()
    see_it_ready(machine)

    machine.succeed(f"nicpass attach web01 {ADDRESS} --start", 240)
    assert "managed='no'" in machine.succeed("virsh dumpxml web01 --inactive")
    machine.guest("web01").wait_ready(200)
    machine.succeed(f"nicpass detach web01 {ADDRESS} --stop", 240)
    assert driver(machine) == "vfio-pci"

    prepare(machine, "--remove")
    assert driver(machine) == "igb", "it is back at once"
    machine.reboot()
    see_it_gone(machine)
    assert machine.succeed(loader.menu) == menu
    assert initramfs_of(machine) == packed
    assert render_difference(state_difference(before, state_of(machine))) == ""


@pytest.mark.parametrize("fresh_host", SHAPES, indirect=True)
def test_a_boot_that_fails_heals_itself(fresh_host: Machine) -> None:
    """With a line put in by force that stops the kernel: it is tried once, and the host comes up by the old entry."""
    machine, loader = fresh_host, LOADERS[fresh_host.shape.name]
    prepare(machine, NIC)
    machine.succeed(f"sed -i 's:intel_iommu=on:rdinit=/nowhere init=/nowhere root=/nowhere:' {loader.trial}")
    machine.succeed(f"grep -q rdinit {loader.trial}")
    machine.reboot(may_fail=UNIT)
    assert machine.console.text().count(loader.banner) >= 2
    see_it_gone(machine)
    machine.fail(f"grep rdinit {loader.trial}")
    refused = machine.fail(f"nicpass prepare {NIC}", 3)
    assert "intel_iommu=on" in refused.stderr
    machine.succeed("nicpass prepare --remove", 900)
    see_it_gone(machine)


def test_a_card_that_moves_is_found(ready_host: Machine) -> None:
    machine = ready_host
    machine.power_cycle(GRUB_BIOS.with_card_in_front("52:54:00:aa:00:10"))
    see_it_ready(machine, "0000:03:00.0")
    assert driver(machine) == "igb", "what stands at the old address now is the host's"
    assert json.loads(machine.succeed("nicpass list --json"))
    machine.succeed("nicpass attach web01 0000:03:00.0", 120)


def test_twenty_reboots(ready_host: Machine) -> None:
    """Each time before its own driver."""
    for number in range(1, REBOOTS + 1):
        ready_host.reboot()
        see_it_ready(ready_host)
        print(f"reboot {number}: ready", flush=True)


@pytest.mark.parametrize("ready_host", SHAPES, indirect=True)
def test_a_new_kernel_gets_the_same(ready_host: Machine) -> None:
    """It comes by the package manager, whose hooks make its initramfs and the menu."""
    machine, old = ready_host, ready_host.succeed("uname -r").strip()
    machine.succeed("dpkg --install /var/lib/lab/kernel/*.deb", 1800)
    new = machine.succeed(f"ls /usr/lib/modules | grep -vx {old}").strip()
    machine.succeed(f"release={new}; {LOADERS[machine.shape.name].take_once}")
    # It is a real-time kernel, whose kvm wants a constant TSC, which no emulated processor has.
    machine.reboot(may_fail="systemd-modules-load.service")
    assert machine.succeed("uname -r").strip() == new
    see_it_ready(machine)
    machine.succeed("test -d /sys/module/vfio_iommu_type1")


@pytest.mark.parametrize("fresh_host", [GRUB_BIOS.name], indirect=True)
def test_a_binding_that_nobody_confirms_is_withdrawn(fresh_host: Machine) -> None:
    machine = fresh_host
    prepare(machine, f"{NIC} --group kvm --confirm-within 120")
    machine.reboot()
    see_it_ready(machine)
    node = f"/dev/vfio/$(basename $(readlink /sys/bus/pci/devices/{ADDRESS}/iommu_group))"
    assert machine.succeed(f"stat -c '%G %a' {node}").split() == ["kvm", "660"]
    machine.wait_until_succeeds("nicpass history --json | grep -q '\"unconfirmed\"'")
    machine.wait_until_succeeds(f"readlink /sys/bus/pci/devices/{ADDRESS}/driver | grep -q /igb$", 600)
    machine.wait_until_fails("pgrep -f 'nicpass (undo|recover)'", 600)
    machine.reboot()
    assert driver(machine) == "igb"
    assert "intel_iommu=on" in machine.succeed("cat /proc/cmdline"), "what was seen to work stays"
