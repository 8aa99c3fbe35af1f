# SPDX-License-Identifier: Apache-2.0
"""What a boot itself does with NICs, before any manager: the kernel's arguments and the initramfs.

Sources: Documentation/admin-guide/nfs/nfsroot.rst (`ip=`); dracut.cmdline(7) (`ip=`, `bond=`, `bridge=`, `team=`,
`vlan=`, `ifname=`, `bootdev=`, `BOOTIF=`); initramfs.conf(5) and initramfs-tools(7) (`DEVICE`, `IP`); the Boot Loader
Specification, type 1 (`options`), which grubby(8) writes for the next boot, before RHEL 9 by `kernelopts` in grubenv.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.model.network import KernelWord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.intent.nic import Nic
    from nicpass.host.intent.reading import Reading

KERNEL, INITRAMFS = "kernel", "initramfs"
_CMDLINES = ("/proc/cmdline", "/etc/kernel/cmdline")
_GRUB, _GRUB_D = "/etc/default/grub", "/etc/default/grub.d"
_ENTRIES = ("/boot/loader/entries", "/efi/loader/entries", "/boot/efi/loader/entries")
_GRUB_ENVIRONMENTS = ("/boot/grub2/grubenv", "/boot/grub/grubenv")
_DRACUT = ("/etc/dracut.conf", "/etc/dracut.conf.d", "/usr/lib/dracut/dracut.conf.d")
_INITRAMFS_TOOLS = "/etc/initramfs-tools"
_KEYS = frozenset({"ip", "BOOTIF", "bootdev", "ksdevice", "bond", "bridge", "team", "vlan"})
_IOMMU_KEYS = frozenset({"intel_iommu", "amd_iommu", "iommu", "iommu.passthrough", "intremap", "nointremap"})
_NO_ADDRESS = ("", "off", "none", "ibft", "link-local", "link6")
_ASKS = ("dhcp", "on", "any", "both", "bootp", "rarp", "dhcp6", "auto6", "auto", "single-dhcp", "either6")


def read_intents(reading: Reading) -> None:
    words = []
    for path, word in _read_words(reading):
        key = word.partition("=")[0]
        if key in _KEYS:
            words.append((path, word))
        elif key in _IOMMU_KEYS and path != _CMDLINES[0]:
            reading.kernel_words.setdefault((path, word), KernelWord(source=path, text=word))
    for nic in reading.nics if words else ():
        for path, word in words:
            _tell(reading, nic, path, word)
    _read_initramfs_tools(reading)


def name_by_arguments(reading: Reading) -> None:
    """By `ifname=NAME:MAC`, the names that NICs get at the next boot."""
    for _path, word in _read_words(reading):
        name, _colon, mac = word.removeprefix("ifname=").partition(":")
        for nic in reading.nics if word.startswith("ifname=") else ():
            if nic.has_mac([mac]):
                nic.names.add(name)


def _read_words(reading: Reading) -> Iterator[tuple[str, str]]:
    """(File, word) of all command lines of this boot and the next ones."""
    for path, text in reading.texts(_CMDLINES):
        for line in text.splitlines():
            if not line.lstrip().startswith("#"):
                yield from ((path, word.strip("\"'")) for word in line.split())
    grub = [_GRUB, *(f"{_GRUB_D}/{name}" for name in reading.names(_GRUB_D) if name.endswith(".cfg"))]
    dracut = [_DRACUT[0], *reading.overlay(_DRACUT[1:], (".conf",)).values()]
    yield from _read_entries(reading)
    named = ((grub, "GRUB_CMDLINE_LINUX"), (dracut, "kernel_cmdline"), (_GRUB_ENVIRONMENTS, "kernelopts"))
    for paths, wanted in named:
        for path, text in reading.texts(paths):
            for name, value in _assignments(text):
                if name.startswith(wanted):
                    yield from ((path, word) for word in value.split())


def _read_entries(reading: Reading) -> Iterator[tuple[str, str]]:
    paths = [f"{folder}/{name}" for folder in _ENTRIES for name in reading.names(folder) if name.endswith(".conf")]
    for path, text in reading.texts(paths):
        for words in (line.split() for line in text.splitlines()):
            if words[:1] == ["options"]:
                yield from ((path, word) for word in words[1:])


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in map(str.strip, text.splitlines()):
        found = re.match(r"(?:export\s+)?(\w+)\+?=(.*)", line)
        if found is not None:
            yield found[1], found[2].strip().strip("\"'")


def _tell(reading: Reading, nic: Nic, path: str, word: str) -> None:
    key, _equals, value = word.partition("=")
    parts = re.split(r"[:,]", re.sub(r"\[[^]]*\]", "", value))
    if key == "ip":
        if _asks(nic, value, parts):
            reading.add(nic, KERNEL, "configure", path, word)
    elif key == "BOOTIF":
        # PXELINUX puts the hardware's type in front of the MAC: `01-52-54-00-..`.
        if nic.has_mac([value, value[3:]]):
            reading.add(nic, KERNEL, "configure", path, word)
    elif key in ("bootdev", "ksdevice"):
        if nic.is_meant(value):
            reading.add(nic, KERNEL, "configure", path, word)
    elif key in ("bond", "bridge", "team") and any(map(nic.is_meant, parts[1:])):
        reading.add(nic, KERNEL, "port", path, word, parts[0])
    elif key == "vlan" and any(map(nic.is_meant, parts[1:])):
        reading.add(nic, KERNEL, "parent", path, word, parts[0])


def _asks(nic: Nic, value: str, parts: list[str]) -> bool:
    """Whether an `ip=` is about this NIC; one without a device is about every one."""
    if any(part in nic.names for part in parts):
        return parts[-1] not in ("off", "none") or len(parts) > 2
    if any(nic.has_mac([found]) for found in re.findall(r"(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}", value)):
        return True
    if value in _NO_ADDRESS:
        return False
    if len(parts) == 1:
        return value.split(",", maxsplit=1)[0] in _ASKS
    # client:server:gateway:netmask:host:device:autoconf, with nothing for the device
    return len(parts) >= 4 and parts[5:6] in ([], [""]) and "-" not in value[:3]


def _read_initramfs_tools(reading: Reading) -> None:
    folder = f"{_INITRAMFS_TOOLS}/conf.d"
    paths = [f"{_INITRAMFS_TOOLS}/initramfs.conf", *(f"{folder}/{name}" for name in reading.names(folder))]
    for path, text in reading.texts(paths):
        for name, value in _assignments(text):
            for nic in reading.nics if name in ("DEVICE", "IP") and value else ():
                if name == "DEVICE" and value in nic.names:
                    reading.add(nic, INITRAMFS, "configure", path, f"DEVICE={value}")
                elif name == "IP" and _asks(nic, value, re.split(r"[:,]", value)):
                    reading.add(nic, INITRAMFS, "configure", path, f"IP={value}")
