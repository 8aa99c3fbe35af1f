# SPDX-License-Identifier: Apache-2.0
"""From a machine with the IOMMU off to a NIC that is ready at every boot, through a real boot loader."""

from __future__ import annotations

import json
import re

import pytest

from lab.machine import Machine
from lab.shape import GRUB_BIOS
from lab.state import HostState, render_difference, state_difference, without_files

pytestmark = [pytest.mark.lab, pytest.mark.full]  # an initramfs takes minutes under emulation

NIC, ADDRESS = "enp2s0", "0000:02:00.0"
KEPT = "/var/lib/nicpass"
"""What nicpass remembers."""
MADE_ANEW = ("/boot/initrd.img", "/boot/grub/grub.cfg", "/boot/grub/grubenv", "/var/lib/initramfs-tools")
"""What the distribution's programs make: compared by content."""


@pytest.fixture
def machine(fresh_host: Machine) -> Machine:
    assert "intel_iommu=off" in fresh_host.succeed("cat /proc/cmdline")
    return fresh_host


def prepare(machine: Machine, words: str, exit_code: int = 5) -> str:
    """It says what it did, and that a reboot is to come."""
    result = machine.fail(f"nicpass prepare {words}", exit_code, timeout=900)
    return result.stdout + result.stderr


def driver(machine: Machine, address: str = ADDRESS) -> str:
    return machine.succeed(f"basename $(readlink /sys/bus/pci/devices/{address}/driver || echo none)").strip()


def reboot(machine: Machine) -> None:
    """In order; and what finishes by itself has finished."""
    machine.reboot(400)
    settled(machine)


def settled(machine: Machine) -> None:
    state = "systemctl show -P ActiveState nicpass-prepare.service"
    machine.wait_until_succeeds(
        f"case $({state}) in inactive|failed) systemctl is-system-running --wait;; *) false;; esac; true", 300
    )
    machine.wait_until_succeeds(f"case $({state}) in inactive|failed) ;; *) false;; esac", 300)


def kernel_log(machine: Machine) -> str:
    return machine.succeed("dmesg --notime")


def see_it_ready(machine: Machine, address: str = ADDRESS) -> None:
    """By other eyes than nicpass's own: arguments, groups, driver, and who came first."""
    words = machine.succeed("cat /proc/cmdline").split()
    assert words.index("intel_iommu=on") > words.index("intel_iommu=off")
    assert int(machine.succeed("ls /sys/kernel/iommu_groups | wc -l")) > 0
    assert driver(machine, address) == "vfio-pci"
    log = kernel_log(machine)
    assert re.search(rf"nicpass: boot binding {ADDRESS} \(initramfs\): bound {address}", log), log
    assert f"igb {address}" not in log, "its own driver never saw it"
    assert re.search(r"igb 0000:01:00\.0: added PHC", log), "the other card is the host's still"


def files_of(machine: Machine) -> HostState:
    state = without_files(machine.read_state(), KEPT)
    for path in MADE_ANEW:
        state = without_files(state, path)
    return state


@pytest.mark.parametrize("fresh_host", [GRUB_BIOS.name], indirect=True)
def test_from_iommu_off_to_a_nic_that_is_ready_and_back(machine: Machine) -> None:
    before = files_of(machine)
    menu = machine.succeed("cat /boot/grub/grub.cfg")
    machine.fail("nicpass check", 5)

    planned = machine.succeed(f"nicpass prepare {NIC} --dry-run")
    assert "intel_iommu=on" in planned
    assert render_difference(state_difference(before, files_of(machine))) == ""
    said = prepare(machine, NIC)
    assert "reboot" in said
    assert machine.succeed("cat /boot/grub/grub.cfg") == menu, "tried once first"
    assert "next_entry=nicpass-trial" in machine.succeed("grub-editenv - list")
    assert "prepared already" in prepare(machine, NIC)

    reboot(machine)
    see_it_ready(machine)
    assert "next_entry=nicpass-trial" not in machine.succeed("grub-editenv - list")
    assert "intel_iommu=off intel_iommu=on" in " ".join(machine.succeed("cat /boot/grub/grub.cfg").split())
    assert "prepared already" in machine.succeed(f"nicpass prepare {NIC}", 120)
    reboot(machine)
    see_it_ready(machine)

    machine.succeed(f"nicpass attach web01 {ADDRESS} --start", 240)
    assert "managed='no'" in machine.succeed("virsh dumpxml web01 --inactive")
    guest = machine.guest("web01")
    guest.wait_ready(200)
    machine.succeed(f"nicpass detach web01 {ADDRESS} --stop", 240)
    assert driver(machine) == "vfio-pci"

    prepare(machine, "--remove")
    assert driver(machine) == "igb", "it is back at once"
    reboot(machine)
    assert driver(machine) == "igb"
    assert "intel_iommu=on" not in machine.succeed("cat /proc/cmdline")
    assert machine.succeed("cat /boot/grub/grub.cfg") == menu
    assert render_difference(state_difference(before, files_of(machine))) == ""


@pytest.mark.parametrize("fresh_host", [GRUB_BIOS.name], indirect=True)
def test_a_boot_that_fails_heals_itself_and_a_card_that_moves_is_found(machine: Machine) -> None:
    prepare(machine, NIC)
    # As a kernel that does not come up with the new arguments.
    machine.succeed(
        "sed -i 's/intel_iommu=on/rdinit=/nowhere init=/nowhere/' /boot/grub/custom.cfg".replace("/n", r"\/n")
    )
    reboot(machine)
    assert machine.console.text().count("GNU GRUB") >= 2
    assert "rdinit" not in machine.succeed("cat /proc/cmdline"), "the old entry"
    assert driver(machine) == "igb", "without an IOMMU it is nobody's but the host's"
    assert "nicpass-trial" not in machine.succeed("cat /boot/grub/custom.cfg || true")
    refused = machine.fail(f"nicpass prepare {NIC}", 3)
    assert "intel_iommu=on" in refused.stderr
    machine.succeed("nicpass prepare --remove", 900)

    prepare(machine, NIC)
    reboot(machine)
    see_it_ready(machine)
    machine.power_cycle(GRUB_BIOS.with_card_in_front("52:54:00:aa:00:10"))
    settled(machine)
    see_it_ready(machine, "0000:03:00.0")
    assert driver(machine) == "igb", "what stands at the old address now is the host's"
    listed = json.loads(machine.succeed("nicpass list --json"))
    assert listed
