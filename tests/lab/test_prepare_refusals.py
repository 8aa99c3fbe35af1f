# SPDX-License-Identifier: Apache-2.0
"""Where a host cannot be prepared, or the disk says no half way: a sentence, a hint, the exit code, all as it was."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from lab.machine import Machine
from lab.shape import GRUB_BIOS, GRUB_UEFI
from lab.state import render_difference, state_difference
from tests.lab.boots import NIC, initramfs_of, see_it_gone, state_of

pytestmark = [pytest.mark.lab, pytest.mark.full]  # an initramfs takes minutes under emulation


@dataclass(frozen=True)
class Case:
    """`arranged` is done in a mount namespace that only nicpass shares, and is gone with it."""

    arranged: str
    exit_code: int
    says: str
    words: str = NIC


SMALL_BOOT = """
cp -a /boot /run/boot
mount -t tmpfs -o size=$(($(du -sm /boot | cut -f1) + 2))M tmpfs /boot
cp -a /run/boot/. /boot; rm -r /run/boot"""
FULL_DISK = """
for size in 100M 10M 1M 100K 4K; do while fallocate -l $size /fill.$RANDOM 2>/dev/null; do :; done; done
trap 'rm -f /fill.*' EXIT"""
TWO_LOADERS = """
mount -t tmpfs tmpfs /sys/firmware/efi/efivars
mkdir -p /boot/efi/loader/entries
trap 'rm -r /boot/efi/loader' EXIT
touch /boot/efi/loader/loader.conf
printf 'title Other\\nlinux /vmlinuz\\noptions root=/dev/sda1\\n' >/boot/efi/loader/entries/other.conf"""
"""The firmware's variables tell which one it was; without them both may be."""
BOOT_FILES = "find /boot -type f ! -name 'initrd.img*' -exec sha256sum {} + | sort"
"""The initramfs may have been made anew; its content is compared."""
CASES = {
    GRUB_UEFI.name: {"two loaders": Case(TWO_LOADERS, 3, "More than one boot loader")},
    GRUB_BIOS.name: {
        "read-only /boot": Case("mount --bind /boot /boot; mount -o remount,ro,bind /boot", 1, "[Rr]ead-only"),
        "full /boot": Case(SMALL_BOOT, 1, "No space left on device"),
        "full disk": Case(FULL_DISK, 1, "No space left on device"),
        "unknown loader": Case("mount -t tmpfs tmpfs /boot/grub", 3, "intel_iommu=on.* by hand"),
        "a container": Case(
            "echo lxc >/run/systemd/container; trap 'rm /run/systemd/container' EXIT", 3, "This is a container"
        ),
        "no such group": Case("true", 2, "There is no group wheels", f"{NIC} --group wheels"),
        "no such NIC": Case("true", 2, "enp99s0", "enp99s0"),
        "the NIC of the session's way out": Case("true", 4, "carries the host's default route", "enp0s6"),
    },
}


@pytest.mark.parametrize("fresh_host", CASES, indirect=True)
def test_nothing_changes_where_it_cannot_be_done(fresh_host: Machine, subtests: pytest.Subtests) -> None:
    machine = fresh_host
    before, packed, boot_files = state_of(machine), initramfs_of(machine), machine.succeed(BOOT_FILES)
    for name, case in CASES[machine.shape.name].items():
        with subtests.test(name):
            script = f"{case.arranged}\nnicpass prepare {case.words} >/run/said 2>&1"
            machine.fail(["unshare", "--mount", "bash", "-c", script], case.exit_code, timeout=900)
            said = machine.succeed("cat /run/said; rm /run/said")
            print(f"{name}: exit code {case.exit_code}\n{said}")
            assert re.search(case.says, said), said
            assert "Traceback" not in said
            assert machine.succeed(BOOT_FILES) == boot_files
            assert render_difference(state_difference(before, state_of(machine))) == ""
            see_it_gone(machine)
    assert initramfs_of(machine) == packed
