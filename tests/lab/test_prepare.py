# SPDX-License-Identifier: Apache-2.0
"""What else may happen to a machine that was prepared: boots that fail, cards that move, kernels that come."""

from __future__ import annotations

import json

import pytest

from lab.machine import Machine
from lab.shape import DRACUT, GRUB_BIOS, GRUB_UEFI, SYSTEMD_BOOT
from tests.lab.boots import (
    ADDRESS,
    LOADERS,
    NIC,
    UNIT,
    driver,
    prepare,
    see_it_gone,
    see_it_ready,
)

pytestmark = [pytest.mark.lab, pytest.mark.full]  # an initramfs takes minutes under emulation
REBOOTS = 20
SHAPES = [shape.name for shape in (GRUB_BIOS, GRUB_UEFI, SYSTEMD_BOOT, DRACUT)]


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


@pytest.mark.parametrize("ready_host", SHAPES[1:], indirect=True)
def test_what_was_kept_is_what_boots_from_now_on(ready_host: Machine) -> None:
    """Not only the trial; through GRUB with BIOS it is seen twenty times."""
    ready_host.reboot()
    see_it_ready(ready_host)


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
