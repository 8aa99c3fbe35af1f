# SPDX-License-Identifier: Apache-2.0
"""Reads how the host boots: which loader and which initramfs generator are in use, and the files that they go by.

Sources: GRUB manual; systemd-boot(7), bootctl(1), kernel-install(8); systemd's Boot Loader Interface, whose EFI
variables tell which loader started this kernel (GRUB has set them since 2.12, with its module bli); proxmox-boot-tool
and rpm-ostree by the files that they keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.boot.grub import DEFAULTS_FOLDER
from nicpass.host.boot_file import read_boot_file
from nicpass.host.boot_grub import find_grub_config, read_defaults, read_grub_config
from nicpass.model.boot import Boot, BootFile, InitramfsGenerator, Loader
from nicpass.model.fact import Fact, Unknown, known

if TYPE_CHECKING:
    from nicpass.host.boot_grub import GrubConfig
    from nicpass.host.files import Files

FIRMWARE = "/sys/firmware"
VARIABLES = f"{FIRMWARE}/efi/efivars"
LOADER_VENDOR = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
"""The Boot Loader Interface's variables end with it."""
OSTREE_BOOTED = "/run/ostree-booted"
PROXMOX_UUIDS = "/etc/kernel/proxmox-boot-uuids"

_PROGRAM_FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
_PROGRAMS = (
    *("update-grub", "grub-mkconfig", "grub2-mkconfig", "grub-reboot", "grub2-reboot", "grub-editenv", "grub2-editenv"),
    *("grubby", "kernel-install", "bootctl", "ukify", "proxmox-boot-tool", "rpm-ostree"),
    *("mkinitramfs", "update-initramfs", "dracut", "mkinitcpio"),
)
_GENERATORS = {
    InitramfsGenerator.INITRAMFS_TOOLS: "mkinitramfs",
    InitramfsGenerator.DRACUT: "dracut",
    InitramfsGenerator.MKINITCPIO: "mkinitcpio",
}
_KERNEL_HOOKS = "/etc/kernel/postinst.d"
_FOLDERS = (DEFAULTS_FOLDER,)
_FILES = ("/etc/kernel/cmdline", "/usr/lib/kernel/cmdline")


class _Firmware(NamedTuple):
    uefi: Fact[bool]
    loader: Fact[str]
    """What started this kernel, as it named itself: `systemd-boot 252.39-1`."""
    stub: Fact[str]
    """The stub of a unified image, if it came in one."""


class _Found(NamedTuple):
    loaders: tuple[Loader, ...]
    evidence: tuple[tuple[str, str], ...]


def read_boot(files: Files) -> Boot:
    """Everything of `Boot`; what cannot be read is Unknown there."""
    firmware = _read_firmware(files)
    programs = _find_programs(files)
    path = find_grub_config(files)
    grub = read_grub_config(files, path, programs) if path is not None else None
    reads_grub_d = _reads_grub_d(files, programs)
    found = _recognise(files, firmware, grub, programs)
    boot = Boot(
        uefi=firmware.uefi,
        loaders=found.loaders,
        evidence=found.evidence,
        generators=_find_generators(files, programs),
        programs=programs,
        reads_grub_d=reads_grub_d,
        folders=tuple(folder for folder in _FOLDERS if files.exists(folder)),
        files=_read_files(files, grub, reads_grub_d=reads_grub_d),
        why_not_try="the boot loader was not recognised, or cannot try an entry once",
    )
    return _with_grub(boot, grub) if grub is not None and Loader.GRUB in found.loaders else boot


def _with_grub(boot: Boot, grub: GrubConfig) -> Boot:
    return msgspec.structs.replace(
        boot,
        generated=(grub.generated,),
        entries=grub.entries,
        default_entry=grub.default_entry,
        one_shot=grub.one_shot,
        can_try=not grub.why_not_try,
        why_not_try=grub.why_not_try,
    )


def _recognise(files: Files, firmware: _Firmware, grub: GrubConfig | None, programs: tuple[str, ...]) -> _Found:
    if files.exists(OSTREE_BOOTED):
        return _Found((Loader.RPM_OSTREE,) if "rpm-ostree" in programs else (), ((OSTREE_BOOTED, "present"),))
    uuids = files.read_text(PROXMOX_UUIDS)
    if isinstance(uuids, str) and uuids:
        return _Found((Loader.PROXMOX,), ((PROXMOX_UUIDS, f"{len(uuids.splitlines())} partition(s)"),))
    loaders, evidence = _from_firmware(firmware)
    if not loaders or isinstance(firmware.loader, Unknown):
        more = _from_grub(grub, programs, firmware)
        loaders, evidence = loaders + more.loaders, evidence + more.evidence
    return _Found(loaders, evidence)


def _from_firmware(firmware: _Firmware) -> _Found:
    """By the variables of whatever started this kernel: what it says of itself is sure."""
    evidence = tuple(
        (f"{VARIABLES}/{name}-{LOADER_VENDOR}", value)
        for name, value in (("LoaderInfo", firmware.loader), ("StubInfo", firmware.stub))
        if isinstance(value, str)
    )
    if known(firmware.stub):
        return _Found((Loader.UKI,), evidence)
    if known(firmware.loader) and firmware.loader.startswith("systemd-boot"):
        return _Found((Loader.SYSTEMD_BOOT,), evidence)
    return _Found((), evidence)


def _from_grub(grub: GrubConfig | None, programs: tuple[str, ...], firmware: _Firmware) -> _Found:
    is_other = known(firmware.loader) and not firmware.loader.startswith("GRUB")
    if grub is None or is_other or not {"grub-mkconfig", "grub2-mkconfig"} & set(programs):
        return _Found((), ())
    loader = Loader.GRUB_BLS if grub.has_bls else Loader.GRUB
    return _Found((loader,), ((grub.path, "blscfg" if grub.has_bls else "present"),))


def _read_firmware(files: Files) -> _Firmware:
    firmware = files.list_directory(FIRMWARE)
    if not known(firmware):
        unknown = firmware if isinstance(firmware, Unknown) else Unknown(f"not captured: {FIRMWARE}")
        return _Firmware(unknown, unknown, unknown)
    if "efi" not in firmware:
        return _Firmware(uefi=False, loader=None, stub=None)
    names = files.list_directory(VARIABLES)
    if not known(names) or not names:
        unknown = Unknown(f"no EFI variables: {VARIABLES}") if not isinstance(names, Unknown) else names
        return _Firmware(uefi=True, loader=unknown, stub=unknown)
    return _Firmware(
        uefi=True,
        loader=_read_variable(files, "LoaderInfo") if f"LoaderInfo-{LOADER_VENDOR}" in names else None,
        stub=_read_variable(files, "StubInfo") if f"StubInfo-{LOADER_VENDOR}" in names else None,
    )


def _read_variable(files: Files, name: str) -> Fact[str]:
    """Four bytes of attributes (filesystems/efivarfs.rst), then UTF-16 with a NUL at its end."""
    path = f"{VARIABLES}/{name}-{LOADER_VENDOR}"
    content = files.read_bytes(path, 4096)
    if not isinstance(content, bytes):
        return content
    try:
        return content[4:].decode("utf-16-le").rstrip("\0") or Unknown(f"empty: {path}")
    except UnicodeDecodeError:
        return Unknown(f"not text in UTF-16: {path}")


def _find_programs(files: Files) -> tuple[str, ...]:
    return tuple(name for name in _PROGRAMS if _find_program(files, name) is not None)


def _find_program(files: Files, name: str) -> str | None:
    return next((path for folder in _PROGRAM_FOLDERS if files.exists(path := f"{folder}/{name}")), None)


def _reads_grub_d(files: Files, programs: tuple[str, ...]) -> bool:
    """By the script itself: reading /etc/default/grub.d is a distribution's patch."""
    name = next((name for name in ("grub-mkconfig", "grub2-mkconfig") if name in programs), None)
    path = _find_program(files, name) if name is not None else None
    script = files.read_bytes(path, 1 << 16) if path is not None else None
    return isinstance(script, bytes) and b"default/grub.d/" in script


def _find_generators(files: Files, programs: tuple[str, ...]) -> tuple[InitramfsGenerator, ...]:
    """Those installed; where two are, those that run when a kernel is installed, if that can be told."""
    found = tuple(generator for generator, program in _GENERATORS.items() if program in programs)
    hooked = tuple(generator for generator in found if files.exists(f"{_KERNEL_HOOKS}/{generator.value}"))
    return hooked or found


def _read_files(files: Files, grub: GrubConfig | None, *, reads_grub_d: bool) -> tuple[BootFile, ...]:
    others = (file for path in _FILES if (file := read_boot_file(files, path)) is not None)
    custom = (grub.custom,) if grub is not None and grub.custom is not None else ()
    return (*read_defaults(files, reads_grub_d=reads_grub_d), *custom, *others)
