# SPDX-License-Identifier: Apache-2.0
"""How a host boots, as far as passthrough depends on it, and what is written so that it boots otherwise."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from nicpass.model.address import Address
from nicpass.model.fact import Fact
from nicpass.model.file_image import FileChange, invert_changes


class Loader(StrEnum):
    """What hands the kernel its arguments; each has a file of its own in `boot/`."""

    GRUB = "grub"
    """grub-mkconfig makes grub.cfg from /etc/default/grub."""
    GRUB_BLS = "grub-bls"
    """GRUB reads entries of the Boot Loader Specification, which grubby edits."""
    SYSTEMD_BOOT = "systemd-boot"
    """kernel-install writes its entries from /etc/kernel/cmdline."""
    UKI = "uki"
    """Unified kernel images, which hold their arguments."""
    PROXMOX = "proxmox-boot-tool"
    RPM_OSTREE = "rpm-ostree"


class InitramfsGenerator(StrEnum):
    """What makes the initramfs; each has a file of its own in `boot/`."""

    INITRAMFS_TOOLS = "initramfs-tools"
    DRACUT = "dracut"
    MKINITCPIO = "mkinitcpio"


class BootFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that decides about the boot, as it was read; nothing of it is left out but what is secret."""

    path: str
    content: Fact[bytes]
    """Unknown also where it holds a password, which no snapshot shall."""
    mode: int = 0o644
    target: str | None = None
    """Where it really lies, if `path` is a symbolic link."""


class BootEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One choice of the loader's menu, as the loader itself has it: generated, not configured."""

    identity: str
    """By which the loader's tools name it: GRUB's `--id` path, the entry's file name without `.conf`."""
    title: str
    kernel: str | None
    """The release (uname -r) where it can be told."""
    arguments: str
    """The kernel's arguments as they stand there; variables of the loader are not filled in."""
    source: str
    """The file that it stands in."""
    text: str = ""
    """Its own lines, where a copy of it can be made from them."""


class GeneratedFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a program makes, with the SHA-256 (hex) of it before and after, where that is known."""

    path: str
    before: str | None = None
    after: str | None = None


class KernelImage(msgspec.Struct, frozen=True, kw_only=True):
    """An installed kernel, from which `kernel-install add` makes what the loader boots."""

    release: str
    path: str


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """How the host boots. Two loaders that would both be asked are both here."""

    unread: str | None = None
    """Why nothing of it was read; None where all of it was looked for."""
    uefi: Fact[bool] = None
    loaders: tuple[Loader, ...] = ()
    """Those that are in use by all that could be seen; empty where none was recognised."""
    evidence: tuple[tuple[str, str], ...] = ()
    """(File, what it says) for each of them."""
    generators: tuple[InitramfsGenerator, ...] = ()
    initramfs: tuple[str, ...] = ()
    """The images that they have made, of all kernels, by path."""
    programs: tuple[str, ...] = ()
    """Those of the loaders and generators that are installed, by name: `update-grub`, `grubby`."""
    reads_grub_d: bool = False
    """Whether this grub-mkconfig reads /etc/default/grub.d too, as Debian's and Ubuntu's do."""
    folders: tuple[str, ...] = ()
    """Those that are there, of the ones where files of ours may go."""
    files: tuple[BootFile, ...] = ()
    kernels: tuple[KernelImage, ...] = ()
    """Told only where unified images have to be made of them."""
    generated: tuple[GeneratedFile, ...] = ()
    """The loader's own configuration that a program makes, grub.cfg first."""
    entries: Fact[tuple[BootEntry, ...]] = None
    """In the menu's order."""
    default_entry: Fact[str] = None
    """The identity of the one that boots when nobody chooses."""
    one_shot: Fact[str] = None
    """The identity of the one that boots next time only; None if there is none."""
    can_try: bool = False
    """Whether the loader can boot an entry once, and forgets it by itself at that boot."""
    why_not_try: str = ""
    """The reason, where it cannot."""

    def file(self, path: str) -> BootFile | None:
        """The file at `path`; None where there is none."""
        return next((file for file in self.files if file.path == path), None)


class Generator(msgspec.Struct, frozen=True, kw_only=True):
    """A program of the distribution that makes boot files out of those that were changed; run after they are."""

    argv: tuple[str, ...]
    makes: tuple[GeneratedFile, ...] = ()
    back: tuple[str, ...] | None = None
    """What takes it back, where that is not to run it again on the files as they were."""


class BootChange(msgspec.Struct, frozen=True, kw_only=True):
    """Files that are ours or get our tokens, and what has to be run so that the next boot sees them."""

    files: tuple[FileChange, ...] = ()
    generators: tuple[Generator, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files or self.generators)


def invert_boot_change(change: BootChange) -> BootChange:
    """Back: the files first, as they were, then the generators on them."""
    generators = tuple(_invert_generator(generator) for generator in reversed(change.generators))
    return BootChange(files=invert_changes(change.files), generators=generators)


def _invert_generator(generator: Generator) -> Generator:
    makes = tuple(GeneratedFile(path=made.path, before=made.after, after=made.before) for made in generator.makes)
    if generator.back is None:
        return msgspec.structs.replace(generator, makes=makes)
    return Generator(argv=generator.back, makes=makes, back=generator.argv)


class DeviceIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a device this one before any driver is bound, and still does when its address has moved.

    Identical cards without serial numbers that were swapped cannot be told apart.
    """

    vendor_id: int
    device_id: int
    subsystem_vendor_id: int
    subsystem_device_id: int
    slots: tuple[str, ...]
    """From the root, without bus numbers: `pci0000:00`, then `1c.4`, `00.0` (device.function, hexadecimal)."""
    serial_number: str | None = None
    """Of the card, as `lspci` shows it (`90-e2-ba-ff-ff-12-34-56`): Device Serial Number, PCIe 6.0, 7.9.3."""
    permanent_mac: str | None = None
    """Known only while a native driver is bound: recorded then, compared when seen again."""


class BootBinding(msgspec.Struct, frozen=True, kw_only=True):
    """A NIC that gets `driver` at every boot, before any other driver sees it: a file of its own."""

    name: str
    """Of its file; made from the address that the NIC had when it was prepared."""
    identity: DeviceIdentity
    address: Address
    """Where it stood then; it may have moved since."""
    driver: str = "vfio-pci"
