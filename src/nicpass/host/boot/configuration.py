# SPDX-License-Identifier: Apache-2.0
"""Reads how the host boots: which loader and which initramfs generator are in use, and the files that they go by.

Sources: GRUB manual; systemd-boot(7), bootctl(1), kernel-install(8); systemd's Boot Loader Interface, whose EFI
variables tell which loader started this kernel (GRUB has set them since 2.12, with its module bli); proxmox-boot-tool
and rpm-ostree by the files that they keep.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nicpass.boot.loader import edits, grub_bls, uki
from nicpass.boot.loader.grub import DEFAULTS_FOLDER
from nicpass.host.boot.authors import read_authorship, read_unwritable, real_path
from nicpass.host.boot.efi_variables import read_firmware_variables, variable_path
from nicpass.host.boot.entries import (
    PARTITIONS,
    Chosen,
    choose_as_grub,
    choose_as_systemd_boot,
    read_entries,
)
from nicpass.host.boot.file import list_names, read_boot_file
from nicpass.host.boot.grub import find_grub_config, read_defaults, read_grub_config, why_not_once
from nicpass.model.boot import Boot, BootFile, InitramfsGenerator, KernelImage, Loader
from nicpass.model.fact import Unknown, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.boot.efi_variables import Firmware
    from nicpass.host.boot.entries import Entries
    from nicpass.host.boot.grub import GrubConfig
    from nicpass.host.doors.files import Files

OSTREE_BOOTED = "/run/ostree-booted"
PROXMOX_UUIDS = "/etc/kernel/proxmox-boot-uuids"

_PROGRAM_FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
_PROGRAMS = (
    *("update-grub", "grub-mkconfig", "grub2-mkconfig", "grub-reboot", "grub2-reboot", "grub-editenv", "grub2-editenv"),
    *("grubby", "kernel-install", "bootctl", "ukify", "proxmox-boot-tool", "rpm-ostree"),
    *("transactional-update", "sdbootutil"),
    *("mkinitramfs", "update-initramfs", "dracut", "mkinitcpio"),
)
_GENERATORS = {
    InitramfsGenerator.INITRAMFS_TOOLS: "mkinitramfs",
    InitramfsGenerator.DRACUT: "dracut",
    InitramfsGenerator.MKINITCPIO: "mkinitcpio",
}
_KERNEL_HOOKS = "/etc/kernel/postinst.d"
_FOLDERS = (DEFAULTS_FOLDER,)
_FILES = (edits.CMDLINE, edits.VENDOR_CMDLINE, edits.RECORD)
_MODULES = "/usr/lib/modules"
# Debian's and SUSE's initrd, Fedora's and Arch's initramfs; but not what generators leave beside it while they run, or
# where they were cut off: update-initramfs has `.new` and `.dpkg-bak`.
_INITRAMFS = re.compile(r"(?!.*\.(new|tmp|bak|dpkg-\w+)$)(initrd|initramfs)([.-].*)?")


class _Found(NamedTuple):
    loaders: tuple[Loader, ...]
    evidence: tuple[tuple[str, str], ...]


def read_boot(files: Files) -> Boot:
    """Everything of `Boot`; what cannot be read is Unknown there."""
    firmware = read_firmware_variables(files)
    programs = _find_programs(files)
    path = find_grub_config(files)
    grub = read_grub_config(files, path, programs) if path is not None else None
    entries = read_entries(files)
    mkconfig = _read_mkconfig(files, programs)
    reads_grub_d = b"default/grub.d/" in mkconfig
    found = _recognise(files, firmware, grub, entries, programs)
    boot = Boot(
        uefi=firmware.uefi,
        loaders=found.loaders,
        evidence=found.evidence,
        generators=_find_generators(files, programs),
        initramfs=tuple(_find_initramfs(files)),
        programs=programs,
        mkconfig_shell=_find_shell(files, mkconfig),
        reads_grub_d=reads_grub_d,
        authorship=read_authorship(files, firmware, programs),
        unwritable=read_unwritable(files),
        folders=tuple(folder for folder in _FOLDERS if files.exists(folder)),
        files=(*_read_files(files, grub, reads_grub_d=reads_grub_d), *entries.files),
        generated=(grub.generated,) if grub is not None else (),
        why_not_try="the boot loader was not recognised, or cannot try an entry once",
    )
    match found.loaders:
        case (Loader.GRUB,) if grub is not None:
            return _with(boot, Chosen(grub.entries, grub.default_entry, grub.one_shot, grub.why_not_try))
        case (Loader.GRUB_BLS,) if grub is not None:
            why_not = why_not_once(files, grub, programs)
            boot = msgspec.structs.replace(boot, fallback_arguments=grub.variables.otherwise.get("kernelopts"))
            chosen = choose_as_grub(_below(entries, "/boot/"), grub.environment, why_not, grub.variables)
            return _with(boot, chosen)
        case (Loader.SYSTEMD_BOOT,):
            return _with(boot, choose_as_systemd_boot(files, entries, firmware, programs))
        case (Loader.RPM_OSTREE,):
            return _with(boot, choose_as_grub(entries, {}, ""), "rpm-ostree cannot try arguments at one boot only")
        case (Loader.UKI,):
            return _with_images(files, boot)
    unknown = Unknown("it stands where nicpass does not look")
    return _with(boot, Chosen(unknown, unknown, unknown, boot.why_not_try))


def _with(boot: Boot, chosen: Chosen, why_not_try: str = "") -> Boot:
    why = why_not_try or chosen.why_not_try
    return msgspec.structs.replace(
        boot,
        entries=chosen.entries,
        default_entry=chosen.default_entry,
        one_shot=chosen.one_shot,
        can_try=not why,
        why_not_try=why,
    )


def _below(entries: Entries, folder: str) -> Entries:
    """Only the entries below `folder`, at which GRUB looks."""
    return entries._replace(found=tuple(entry for entry in entries.found if entry.entry.source.startswith(folder)))


def _with_images(files: Files, boot: Boot) -> Boot:
    """`boot` with the files that tell what makes unified images, and kernels; arguments in the images are not read."""
    presets = sorted(name for name in list_names(files, uki.PRESETS_FOLDER) if name.endswith(".preset"))
    paths = (*uki.INSTALL_CONFIGS, *(f"{uki.PRESETS_FOLDER}/{name}" for name in presets))
    more = tuple(file for path in paths if (file := read_boot_file(files, path)) is not None)
    unknown = Unknown("the arguments are within the unified image")
    boot = msgspec.structs.replace(boot, files=(*boot.files, *more), kernels=tuple(_find_kernels(files)))
    return _with(boot, Chosen(unknown, unknown, None, "a unified image cannot be tried with other arguments"))


def _find_kernels(files: Files) -> Iterator[KernelImage]:
    for release in sorted(list_names(files, _MODULES)):
        images = (f"{_MODULES}/{release}/vmlinuz", f"/boot/vmlinuz-{release}")
        path = next((image for image in images if files.exists(image)), None)
        if path is not None:
            yield KernelImage(release=release, path=path)


def _recognise(
    files: Files, firmware: Firmware, grub: GrubConfig | None, entries: Entries, programs: tuple[str, ...]
) -> _Found:
    if files.exists(OSTREE_BOOTED):
        return _Found((Loader.RPM_OSTREE,) if "rpm-ostree" in programs else (), ((OSTREE_BOOTED, "present"),))
    uuids = files.read_text(PROXMOX_UUIDS)
    if isinstance(uuids, str) and uuids:
        return _Found((Loader.PROXMOX,), ((PROXMOX_UUIDS, f"{len(uuids.splitlines())} partition(s)"),))
    told = _from_firmware(firmware)
    if told.loaders:
        return told
    by_files = (_from_grub(grub, programs, firmware), _from_entries(files, entries, firmware))
    loaders = tuple(loader for found in by_files for loader in found.loaders)
    return _Found(loaders, told.evidence + tuple(each for found in by_files for each in found.evidence))


def _from_firmware(firmware: Firmware) -> _Found:
    """The loader by the EFI variables of whatever started this kernel: what it says of itself is sure."""
    evidence = tuple(
        (variable_path(name), value)
        for name, value in (("LoaderInfo", firmware.loader), ("StubInfo", firmware.stub))
        if isinstance(value, str)
    )
    if known(firmware.stub):
        return _Found((Loader.UKI,), evidence)
    if known(firmware.loader) and firmware.loader.startswith("systemd-boot"):
        return _Found((Loader.SYSTEMD_BOOT,), evidence)
    return _Found((), evidence)


def _from_grub(grub: GrubConfig | None, programs: tuple[str, ...], firmware: Firmware) -> _Found:
    is_other = known(firmware.loader) and not firmware.loader.startswith("GRUB")
    if grub is None or is_other or not {"grub-mkconfig", "grub2-mkconfig"} & set(programs):
        return _Found((), ())
    loader = Loader.GRUB_BLS if grub.has_bls else Loader.GRUB
    return _Found((loader,), ((grub.path, "blscfg" if grub.has_bls else "present"),))


def _from_entries(files: Files, entries: Entries, firmware: Firmware) -> _Found:
    """systemd-boot by its files, where its EFI variables cannot be asked; GRUB's entries have no loader.conf."""
    config = next((path for place in PARTITIONS if files.exists(path := f"{place}/loader/loader.conf")), None)
    if not isinstance(firmware.loader, Unknown) or config is None or not entries.found:
        return _Found((), ())
    return _Found((Loader.SYSTEMD_BOOT,), ((config, "present"),))


def _find_programs(files: Files) -> tuple[str, ...]:
    return tuple(name for name in _PROGRAMS if _find_program(files, name) is not None)


def _find_program(files: Files, name: str) -> str | None:
    return next((path for folder in _PROGRAM_FOLDERS if files.exists(path := f"{folder}/{name}")), None)


def _read_mkconfig(files: Files, programs: tuple[str, ...]) -> bytes:
    """The script grub-mkconfig, by which it is seen whether it reads /etc/default/grub.d: a distribution's patch."""
    name = next((name for name in ("grub-mkconfig", "grub2-mkconfig") if name in programs), None)
    path = _find_program(files, name) if name is not None else None
    script = files.read_bytes(path, 1 << 16) if path is not None else None
    return script if isinstance(script, bytes) else b""


def _find_shell(files: Files, script: bytes) -> str | None:
    """The name of the program that the script's first line asks for, links followed: /bin/sh is dash or bash."""
    found = re.match(rb"#![ \t]*(/\S+)", script)
    if found is None:
        return None
    path = real_path(files, found[1].decode("ascii", "replace"))
    return posixpath.basename(path) if files.exists(path) else None


def _find_generators(files: Files, programs: tuple[str, ...]) -> tuple[InitramfsGenerator, ...]:
    """The installed generators; where two are, those that run when a kernel is installed, if that can be told."""
    found = tuple(generator for generator, program in _GENERATORS.items() if program in programs)
    hooked = tuple(generator for generator in found if files.exists(f"{_KERNEL_HOOKS}/{generator.value}"))
    return hooked or found


def _find_initramfs(files: Files) -> Iterator[str]:
    """Initramfs images in /boot, and those that kernel-install put beside its kernels (UAPI.1: `TOKEN/RELEASE/`)."""
    releases = list_names(files, _MODULES)
    folders = ["/boot"]
    for place in PARTITIONS:
        tokens = sorted(list_names(files, place))
        folders += [f"{place}/{token}/{release}" for token in tokens for release in sorted(releases)]
    for folder in folders:
        yield from (f"{folder}/{name}" for name in sorted(list_names(files, folder)) if _INITRAMFS.fullmatch(name))


def _read_files(files: Files, grub: GrubConfig | None, *, reads_grub_d: bool) -> tuple[BootFile, ...]:
    environment = (grub_bls.GRUBENV,) if grub is not None and grub.has_bls else ()
    others = (file for path in (*_FILES, *environment) if (file := read_boot_file(files, path)) is not None)
    custom = (grub.custom,) if grub is not None and grub.custom is not None else ()
    return (*read_defaults(files, reads_grub_d=reads_grub_d), *custom, *others)
