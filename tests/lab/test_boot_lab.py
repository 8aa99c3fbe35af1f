# SPDX-License-Identifier: Apache-2.0
"""The hosts that boot from their own disk: through a real boot loader, the IOMMU off, and time after time."""

from __future__ import annotations

import json
import re

import pytest

from lab.machine import Machine
from lab.shape import DRACUT, GRUB_BIOS, GRUB_UEFI, IGB0, SYSTEMD_BOOT

pytestmark = [pytest.mark.lab, pytest.mark.full]  # an initramfs takes minutes under emulation
FRONT = "52:54:00:aa:00:10"


def addresses(machine: Machine) -> dict[str, str]:
    """The PCI address of each interface with a MAC of the lab's NICs, by MAC."""
    links = json.loads(machine.succeed(["ip", "-json", "-details", "link"]))
    return {link["address"]: link["parentdev"] for link in links if link.get("parentbus") == "pci"}


def seconds_in_log(machine: Machine, pattern: str) -> float:
    """When the kernel logged a line for the first time in this boot."""
    log = machine.succeed(["journalctl", "--boot", "--dmesg", "--output=short-monotonic", "--no-hostname"])
    found = re.search(rf"^\[ *([0-9.]+)\] .*{pattern}", log, re.MULTILINE)
    assert found is not None, pattern
    return float(found[1])


def assert_booted_by_itself(machine: Machine) -> None:
    """The arguments are those of the loader's configuration; a NIC's own driver had it before the root was there."""
    words = machine.succeed(["cat", "/proc/cmdline"]).split()
    assert any(word.startswith(("BOOT_IMAGE=", "initrd=")) for word in words)
    assert "intel_iommu=off" in words
    assert machine.succeed("ls /sys/kernel/iommu_groups") == ""
    assert machine.succeed(["cat", "/sys/bus/pci/devices/0000:01:00.0/uevent"]).startswith("DRIVER=igb\n")
    assert seconds_in_log(machine, "igb .* added PHC") < seconds_in_log(machine, "EXT4-fs .* mounted filesystem")


RESTARTED = [GRUB_BIOS.name, *(pytest.param(shape.name, marks=pytest.mark.full) for shape in (GRUB_UEFI, DRACUT))]


@pytest.mark.parametrize("fresh_host", RESTARTED, indirect=True)
def test_every_restart_goes_through_grub(fresh_host: Machine) -> None:
    assert_booted_by_itself(fresh_host)
    fresh_host.succeed("grub-editenv - set seen=1")
    fresh_host.reboot()
    assert_booted_by_itself(fresh_host)
    assert fresh_host.console.text().count("GNU GRUB") == 1
    fresh_host.reset()
    assert_booted_by_itself(fresh_host)
    assert fresh_host.console.text().count("GNU GRUB") == 2
    assert "seen=1" in fresh_host.succeed("grub-editenv - list")


@pytest.mark.full
@pytest.mark.parametrize("fresh_host", [SYSTEMD_BOOT.name], indirect=True)
def test_every_restart_goes_through_systemd_boot(fresh_host: Machine) -> None:
    assert_booted_by_itself(fresh_host)
    entry = fresh_host.succeed("bootctl list --json=short")
    fresh_host.reboot()
    assert_booted_by_itself(fresh_host)
    assert fresh_host.console.text().count("Linux Boot Manager") >= 1
    assert fresh_host.succeed("bootctl list --json=short") == entry


@pytest.mark.parametrize("fresh_host", [GRUB_BIOS.name], indirect=True)
def test_another_card_in_front_shifts_the_addresses(fresh_host: Machine) -> None:
    before = addresses(fresh_host)
    fresh_host.power_cycle(GRUB_BIOS.with_card_in_front(FRONT))
    after = addresses(fresh_host)
    assert after[FRONT] == before[IGB0]
    assert after[IGB0] != before[IGB0]
    fresh_host.power_cycle(GRUB_BIOS)
    assert addresses(fresh_host) == before
