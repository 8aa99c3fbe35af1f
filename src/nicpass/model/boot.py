# SPDX-License-Identifier: Apache-2.0
"""How a host boots, as far as passthrough depends on it, and what is written so that it boots otherwise."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from nicpass.model.address import Address
from nicpass.model.fact import Fact
from nicpass.model.file_image import FileChange, invert_changes


class Loader(StrEnum):
    """A boot loader, which hands the kernel its arguments; each has a file of its own in `boot/`."""

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


class Author(StrEnum):
    """Who writes a host's boot configuration anew, so that nothing may be written there beside him."""

    NIXOS = "NixOS"
    GUIX = "Guix System"
    ELEMENTAL = "Elemental"
    """Also Harvester and Kairos: an image for the root, the kernel's arguments in an environment block of GRUB."""
    UNRAID = "Unraid"
    FLATCAR = "Flatcar"
    UBUNTU_CORE = "Ubuntu Core"
    TRUENAS = "TrueNAS"
    TRANSACTIONAL = "transactional-update"
    """openSUSE MicroOS and its kin: every change goes into a new snapshot of a root that is read-only."""
    FIRMWARE = "the firmware"
    """UEFI boots the kernel itself, with arguments that its own boot entry has."""


class Authorship(msgspec.Struct, frozen=True, kw_only=True):
    """Who writes the boot configuration, by what that is known, and where he keeps the kernel's arguments."""

    author: Author
    source: str
    shown: str
    place: str = ""
    """The file, or the number of the firmware's boot entry, that has the arguments."""
    now: str = ""
    """The arguments that stand there, where they could be read."""
    image: str = ""
    """The kernel that the firmware boots, as its entry names it."""


class InitramfsGenerator(StrEnum):
    """A program that makes the initramfs; each has a file of its own in `boot/`."""

    INITRAMFS_TOOLS = "initramfs-tools"
    DRACUT = "dracut"
    MKINITCPIO = "mkinitcpio"


class BootFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that decides about the boot, as it was read; nothing of it is left out but what is secret."""

    path: str
    content: Fact[bytes]
    """The file's bytes; Unknown also where they hold a password, which no snapshot shall."""
    mode: int = 0o644
    target: str | None = None
    """Where the file really lies, if `path` is a symbolic link."""


class BootEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One choice of the loader's menu, as the loader itself has it: generated, not configured."""

    identity: str
    """The entry's name in the loader's tools: GRUB's `--id` path, the entry's file name without `.conf`."""
    title: str
    kernel: str | None
    """The kernel's release (uname -r) where it can be told."""
    arguments: str
    """The kernel's arguments as they stand in the entry; variables of the loader are not filled in."""
    source: str
    """The file that the entry stands in."""
    text: str = ""
    """The entry's own lines, where a copy of the entry can be made from them."""


class GeneratedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a program makes, with the file's SHA-256 (hex) before and after, where that is known."""

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
    """Why nothing about the boot was read; None where all of it was looked for."""
    uefi: Fact[bool] = None
    loaders: tuple[Loader, ...] = ()
    """The loaders that are in use by all that could be seen; empty where none was recognised."""
    evidence: tuple[tuple[str, str], ...] = ()
    """(File, what it says) for each of the loaders."""
    generators: tuple[InitramfsGenerator, ...] = ()
    initramfs: tuple[str, ...] = ()
    """The images that the generators have made, of all kernels, by path."""
    programs: tuple[str, ...] = ()
    """The installed programs of the loaders and generators, by name: `update-grub`, `grubby`."""
    mkconfig_shell: str | None = None
    """The program that grub-mkconfig's script is run by: `dash`, `bash`; None where that was not seen."""
    reads_grub_d: bool = False
    """Whether this grub-mkconfig reads /etc/default/grub.d too, as Debian's and Ubuntu's do."""
    folders: tuple[str, ...] = ()
    """The folders that are there, of those where files of nicpass may go."""
    authorship: Authorship | None = None
    """Who else writes all this; None where nobody was recognised."""
    unwritable: tuple[tuple[str, str], ...] = ()
    """(Folder, why) of those where files of nicpass may go: read-only, or gone with the next boot. The reason is empty
    for a folder below such a one that can be written."""
    files: tuple[BootFile, ...] = ()
    kernels: tuple[KernelImage, ...] = ()
    """The installed kernels; told only where unified images have to be made of them."""
    generated: tuple[GeneratedFile, ...] = ()
    """The files of the loader's own configuration that a program makes, grub.cfg first."""
    entries: Fact[tuple[BootEntry, ...]] = None
    """The entries in the menu's order."""
    default_entry: Fact[str] = None
    """The identity of the entry that boots when nobody chooses."""
    one_shot: Fact[str] = None
    """The identity of the entry that boots next time only; None if there is none."""
    fallback_arguments: Fact[str] = None
    """The arguments that grub.cfg gives entries with `$kernelopts` where grubenv does not have that variable."""
    can_try: bool = False
    """Whether the loader can boot an entry once, and forgets it by itself at that boot."""
    why_not_try: str = ""
    """Why the loader cannot boot an entry once, where it cannot."""

    def file(self, path: str) -> BootFile | None:
        """The file at `path`; None where there is none."""
        return next((file for file in self.files if file.path == path), None)


class Generator(msgspec.Struct, frozen=True, kw_only=True):
    """A program of the distribution that makes boot files out of changed files; it is run after they are changed."""

    argv: tuple[str, ...]
    makes: tuple[GeneratedFile, ...] = ()
    back: tuple[str, ...] | None = None
    """The command that takes the run back; None where that is to run `argv` again on the files as they were."""


class BootPurpose(StrEnum):
    """The purpose of a change of the boot."""

    ARGUMENTS = "arguments"
    """The kernel's arguments, at every boot."""
    TRIAL = "trial"
    """The kernel's arguments, at the next boot only."""
    BINDING = "binding"
    """Which NICs vfio-pci gets before their own driver sees them."""
    RIGHTS = "rights"
    """Who may use VFIO, and who is to leave the NIC alone."""
    VFS = "vfs"
    """Which VFs a PF has at every boot."""
    FINISH = "finish"
    """The unit that finishes after the reboot, and the record that it has to know."""


class BootChange(msgspec.Struct, frozen=True, kw_only=True):
    """Files that are nicpass's or get its tokens, and the programs to run so that the next boot sees them."""

    files: tuple[FileChange, ...] = ()
    generators: tuple[Generator, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.files or self.generators)


def invert_boot_change(change: BootChange) -> BootChange:
    """The change that takes `change` back: the files first, as they were, then the generators on them."""
    generators = tuple(_invert_generator(generator) for generator in reversed(change.generators))
    return BootChange(files=invert_changes(change.files), generators=generators)


def _invert_generator(generator: Generator) -> Generator:
    makes = tuple(GeneratedFile(path=made.path, before=made.after, after=made.before) for made in generator.makes)
    if generator.back is None:
        return msgspec.structs.replace(generator, makes=makes)
    return Generator(argv=generator.back, makes=makes, back=generator.argv)


class DeviceIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The identity of a device: it tells the device before any driver is bound, and when its address has moved.

    Identical cards without serial numbers that were swapped cannot be told apart.
    """

    vendor_id: int
    device_id: int
    subsystem_vendor_id: int
    subsystem_device_id: int
    slots: tuple[str, ...]
    """Slots from the root, without bus numbers: `pci0000:00`, then `1c.4`, `00.0` (device.function, hexadecimal)."""
    serial_number: str | None = None
    """The card's number, as `lspci` shows it (`90-e2-ba-ff-ff-12-34-56`): Device Serial Number, PCIe 6.0, 7.9.3."""
    permanent_mac: str | None = None
    """The card's permanent MAC, known only while a native driver is bound: recorded then, compared when seen again."""


class BootBinding(msgspec.Struct, frozen=True, kw_only=True):
    """A NIC that gets `driver` at every boot, before any other driver sees it; each NIC has a file of its own."""

    name: str
    """The name of the binding's file, made from the address that the NIC had when it was prepared."""
    identity: DeviceIdentity
    address: Address
    """The NIC's address when it was prepared; it may have moved since."""
    driver: str = "vfio-pci"
