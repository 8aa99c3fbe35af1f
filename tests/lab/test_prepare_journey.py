# SPDX-License-Identifier: Apache-2.0
"""From a machine with the IOMMU off to a NIC that is ready at every boot, through a real boot loader, and back."""

from __future__ import annotations

import re

import pytest

from lab.machine import Machine
from lab.shape import DRACUT, GRUB_BIOS, GRUB_UEFI, SYSTEMD_BOOT
from lab.state import render_difference, state_difference
from tests.lab.boots import (
    ADDRESS,
    LOADERS,
    NIC,
    driver,
    initramfs_of,
    prepare,
    see_it_gone,
    see_it_ready,
    state_of,
)

pytestmark = pytest.mark.lab
LATER = [pytest.param(shape.name, marks=pytest.mark.full) for shape in (GRUB_UEFI, SYSTEMD_BOOT, DRACUT)]


@pytest.mark.parametrize("fresh_host", [GRUB_BIOS.name, *LATER], indirect=True)
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
    assert "only the reboot is missing" in prepare(machine, NIC)

    machine.reboot()
    see_it_ready(machine)
    machine.fail(loader.due)
    machine.fail(f"grep intel_iommu=on {loader.trial}")
    kept = machine.succeed(loader.menu)
    assert re.search("intel_iommu=off .*intel_iommu=on", kept), kept
    assert "prepared already" in machine.succeed(f"nicpass prepare {NIC}", 120)

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
