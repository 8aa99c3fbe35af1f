# SPDX-License-Identifier: Apache-2.0
"""What the journeys through a boot have in common: doing it, and seeing it by other eyes than nicpass's own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.machine import Machine
from lab.shape import DRACUT, GRUB_BIOS, GRUB_UEFI, SYSTEMD_BOOT
from lab.state import HostState, render_difference, state_difference, without_files

NIC, ADDRESS = "enp2s0", "0000:02:00.0"
UNIT = "nicpass-prepare.service"
_KEPT = "/var/lib/nicpass"
"""What nicpass remembers."""
_UNPACKED = """
image=$(ls /boot/efi/*/$(uname -r)/initrd* 2>/dev/null || echo /boot/initrd.img-$(uname -r))
mkdir /run/unpacked && cd /run/unpacked
if command -v unmkinitramfs >/dev/null; then unmkinitramfs $image .; else lsinitrd --unpack $image; fi
find . -type f -exec sha256sum {} +; find . -type l -printf '%p -> %l\\n'
cd / && rm -r /run/unpacked
"""


@dataclass(frozen=True)
class Loader:
    """How a boot loader's own tools and files tell what is to come."""

    banner: str
    """What its menu writes to the console."""
    menu: str
    """Prints what boots go by, but for a trial."""
    due: str
    """Succeeds while the next boot is the trial."""
    trial: str
    """The file with the trial's entry."""
    take_once: str
    """Has the next boot take the kernel `$release`."""


_GRUB = Loader(
    banner="GNU GRUB",
    menu="cat /boot/grub/grub.cfg",
    due="grub-editenv - list | grep -qx next_entry=nicpass-trial",
    trial="/boot/grub/custom.cfg",
    take_once="""
identity() { grep -o "gnulinux-$1[^']*" /boot/grub/grub.cfg | head -1; }
grub-reboot "$(identity advanced)>$(identity $release-advanced)"
""",
)
_SYSTEMD_BOOT = Loader(
    banner="Linux Boot Manager",
    menu="cat /boot/efi/loader/entries/[!-]*.conf",
    # The variable's vendor is systemd's own (systemd-boot(7), LoaderEntryOneShot).
    due="test -e /sys/firmware/efi/efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
    trial="/boot/efi/loader/entries/-nicpass-trial.conf",
    take_once="bootctl set-oneshot $(basename /boot/efi/loader/entries/*-$release.conf)",
)
LOADERS = {GRUB_BIOS.name: _GRUB, GRUB_UEFI.name: _GRUB, DRACUT.name: _GRUB, SYSTEMD_BOOT.name: _SYSTEMD_BOOT}


def prepare(machine: Machine, words: str, exit_code: int = 5) -> str:
    """It says what it did, and that a reboot is to come."""
    result = machine.fail(f"nicpass prepare {words}", exit_code, timeout=900)
    return result.stdout + result.stderr


def make_ready(machine: Machine) -> None:
    """Prepared, and rebooted once."""
    prepare(machine, NIC)
    machine.reboot()
    see_it_ready(machine)


def driver(machine: Machine, address: str = ADDRESS) -> str:
    """Of the function there, as sysfs has it."""
    return machine.succeed(f"basename $(readlink /sys/bus/pci/devices/{address}/driver || echo none)").strip()


def see_it_ready(machine: Machine, address: str = ADDRESS) -> None:
    """Arguments, groups, driver, and who came first. `address` is where the NIC stands by now."""
    words = machine.succeed("cat /proc/cmdline").split()
    assert words.index("intel_iommu=on") > words.index("intel_iommu=off")
    assert int(machine.succeed("ls /sys/kernel/iommu_groups | wc -l")) > 0
    assert driver(machine, address) == "vfio-pci"
    log = machine.succeed("dmesg --notime")
    assert re.search(rf"nicpass: boot binding {ADDRESS} \(initramfs\): bound {address}", log), log
    assert f"igb {address}" not in log, "its own driver never saw it"
    assert re.search(r"igb 0000:0\d:00\.0: added PHC", log), "the other card is the host's still"


def see_it_gone(machine: Machine) -> None:
    """As an administrator had left it."""
    words = machine.succeed("cat /proc/cmdline").split()
    assert "intel_iommu=off" in words
    assert "intel_iommu=on" not in words
    assert driver(machine) == "igb"


def state_of(machine: Machine) -> HostState:
    """The whole host, but for what nicpass remembers."""
    return without_files(machine.read_state(), _KEPT)


def initramfs_of(machine: Machine) -> list[str]:
    """What is in the running kernel's initramfs: a line a file, with its hash."""
    return sorted(machine.succeed(_UNPACKED, 300).splitlines())


@dataclass(frozen=True)
class End:
    """All that a host may end as: its state, what GRUB goes by, and what is in its initramfs."""

    state: HostState
    menu: str
    initramfs: list[str]

    @classmethod
    def of(cls, machine: Machine) -> End:
        """What it is now."""
        return cls(state_of(machine), machine.succeed(_GRUB.menu), initramfs_of(machine))

    def meet(self, seen: End) -> None:
        """The host that was seen ended just so."""
        assert render_difference(state_difference(self.state, seen.state)) == ""
        assert seen.menu == self.menu
        assert seen.initramfs == self.initramfs
