# SPDX-License-Identifier: Apache-2.0
"""Reads whether somebody else writes this host's boot configuration, and which folders keep nothing that is written.

Sources: NixOS manual, Guix manual; elemental-toolkit (`grub_oem_env`), Harvester's documentation; Unraid's
documentation (syslinux.cfg on the flash drive); Flatcar's documentation ("Adding custom kernel boot options"); Ubuntu
Core's system options; transactional-update(8); UEFI 2.10, 3.1.3 (load options) and 10.3 (device paths).
"""

from __future__ import annotations

import posixpath
import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from nicpass.host.boot.efi_variables import VARIABLES
from nicpass.host.system.mounts import list_mounts
from nicpass.model.boot import Author, Authorship
from nicpass.model.fact import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.boot.efi_variables import Firmware
    from nicpass.host.doors.files import Files
    from nicpass.host.system.mounts import Mount

OS_RELEASE = "/etc/os-release"
CMDLINE = "/proc/cmdline"
OEM_ENVIRONMENTS = ("/run/initramfs/cos-state/grub_oem_env", "/run/elemental/efi/grub_oem_env", "/oem/grubenv")
_IMAGE_OF_ELEMENTAL = re.compile(r"(?:^|\s)(?:cos-img/filename=\S+|root=LABEL=COS_(?:ACTIVE|PASSIVE|RECOVERY)\b)")
_FLATCAR_FILES = ("/oem/grub.cfg", "/usr/share/oem/grub.cfg")
_IDS = {"nixos": Author.NIXOS, "guix": Author.GUIX, "flatcar": Author.FLATCAR, "ubuntu-core": Author.UBUNTU_CORE}
_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_LARGEST = 1 << 16
_MOST_LINKS = 16
_IN_MEMORY = frozenset({"tmpfs", "ramfs", "rootfs"})
_FOLDERS = (
    *("/etc", "/etc/default", "/etc/default/grub.d", "/etc/kernel", "/etc/nicpass", "/etc/modules-load.d"),
    *("/etc/systemd/system", "/etc/systemd/network", "/etc/udev/rules.d", "/etc/NetworkManager/conf.d"),
    *("/etc/initramfs-tools", "/etc/initcpio", "/etc/mkinitcpio.conf.d", "/usr/lib/dracut/modules.d"),
    *("/var/lib/nicpass", "/boot", "/boot/grub", "/boot/grub2", "/boot/loader/entries"),
    *("/efi/loader/entries", "/boot/efi/loader/entries", "/boot/efi/EFI"),
)
"""Where a preparation may write; of a folder that is not there the nearest one above it counts."""


def read_authorship(files: Files, firmware: Firmware, programs: tuple[str, ...]) -> Authorship | None:
    """Who writes the boot configuration of this host; None for the ordinary distributions, where anybody may."""
    return _by_sign(files) or _by_release(files) or _by_snapshots(files, programs) or _by_firmware(files, firmware)


def _by_sign(files: Files) -> Authorship | None:
    for path, author in (("/etc/NIXOS", Author.NIXOS), ("/etc/unraid-version", Author.UNRAID)):
        if files.exists(path):
            place = "/boot/syslinux/syslinux.cfg" if author == Author.UNRAID else ""
            return Authorship(author=author, source=path, shown="present", place=place)
    cmdline = files.read_text(CMDLINE)
    found = _IMAGE_OF_ELEMENTAL.search(cmdline) if isinstance(cmdline, str) else None
    if found is None:
        return None
    place = next((path for path in OEM_ENVIRONMENTS if files.exists(path)), OEM_ENVIRONMENTS[0])
    return Authorship(author=Author.ELEMENTAL, source=CMDLINE, shown=found[0].strip(), place=place)


def _by_release(files: Files) -> Authorship | None:
    text = files.read_text(OS_RELEASE)
    found = re.search(r"^ID=[\"']?([\w.-]+)", text, re.MULTILINE) if isinstance(text, str) else None
    author = _IDS.get(found[1]) if found else None
    if author is None and files.exists("/usr/bin/midclt"):
        return Authorship(author=Author.TRUENAS, source="/usr/bin/midclt", shown="present")
    if author is None or found is None:
        return None
    place = next((path for path in _FLATCAR_FILES if files.exists(path)), _FLATCAR_FILES[0])
    return Authorship(author=author, source=OS_RELEASE, shown=found[0], place=place if author == Author.FLATCAR else "")


def _by_snapshots(files: Files, programs: tuple[str, ...]) -> Authorship | None:
    """A root that is read-only beside transactional-update; on a root that can be written it is only installed."""
    root = _mount_of("/", list_mounts(files))
    if "transactional-update" not in programs or root is None or not _is_read_only(root):
        return None
    has_entries = "sdbootutil" in programs
    place = "/etc/kernel/cmdline" if has_entries else "/etc/default/grub"
    return Authorship(
        author=Author.TRANSACTIONAL, source="/proc/self/mountinfo", shown=f"/ {root.own_options}", place=place
    )


class _LoadOption(NamedTuple):
    label: str
    image: str
    arguments: str


def _by_firmware(files: Files, firmware: Firmware) -> Authorship | None:
    """A kernel that UEFI booted by itself: no loader has told its name, and the entry that was booted has arguments."""
    if firmware.uefi is not True or firmware.loader is not None or firmware.stub is not None:
        return None
    current = files.read_bytes(f"{VARIABLES}/BootCurrent-{_GLOBAL}", 64)
    if not isinstance(current, bytes) or len(current) != 6:
        return None
    number = f"{struct.unpack_from('<H', current, 4)[0]:04X}"
    path = f"{VARIABLES}/Boot{number}-{_GLOBAL}"
    content = files.read_bytes(path, _LARGEST)
    option = parse_load_option(content[4:]) if isinstance(content, bytes) else None
    if option is None or not re.search(r"(?:^|\s)(?:root|initrd)=", option.arguments):
        return None
    return Authorship(
        author=Author.FIRMWARE, source=path, shown=option.label, place=number, now=option.arguments, image=option.image
    )


def parse_load_option(content: bytes) -> _LoadOption | None:
    """The label, the file and the arguments of an EFI_LOAD_OPTION; None where it is cut off, or its data is no text."""
    if len(content) < 6:
        return None
    size = struct.unpack_from("<H", content, 4)[0]
    end = next((at for at in range(6, len(content) - 1, 2) if content[at : at + 2] == b"\0\0"), None)
    if end is None or end + 2 + size > len(content):
        return None
    nodes, data = content[end + 2 : end + 2 + size], content[end + 2 + size :]
    try:
        arguments = data.decode("utf-16-le").rstrip("\0").strip()
        label = content[6:end].decode("utf-16-le")
    except UnicodeDecodeError:
        return None
    return _LoadOption(label, "".join(_file_paths(nodes)), arguments)


def _file_paths(nodes: bytes) -> Iterator[str]:
    """The text of the nodes of type 4 (media), subtype 4 (file path)."""
    while len(nodes) >= 4:
        kind, subtype, length = struct.unpack_from("<BBH", nodes)
        if length < 4:
            return
        if (kind, subtype) == (4, 4):
            yield nodes[4:length].decode("utf-16-le", "replace").rstrip("\0")
        nodes = nodes[length:]


def read_unwritable(files: Files) -> tuple[tuple[str, str], ...]:
    """The folders in which a preparation could write nothing that the next boot finds, each with the reason.

    Below such a folder those with an empty reason can be written: an ESP on a /boot that is read-only.
    """
    mounts = list_mounts(files)
    found = {folder: _why_unwritable(real_path(files, folder), mounts) for folder in _FOLDERS} if mounts else {}
    lost = tuple(f"{folder}/" for folder, reason in found.items() if reason is not None)
    return tuple((folder, reason or "") for folder, reason in found.items() if reason or folder.startswith(lost))


def _why_unwritable(place: str, mounts: tuple[Mount, ...]) -> str | None:
    mount = _mount_of(place, mounts)
    if mount is None:
        return None
    if _is_read_only(mount):
        return f"{mount.path} is mounted read-only ({mount.kind})"
    if mount.kind in _IN_MEMORY:
        return f"{mount.path} is kept in memory ({mount.kind}), and gone with the next boot"
    upper = re.search(r"(?:^|,)upperdir=([^,]+)", mount.options) if mount.kind == "overlay" else None
    below = _mount_of(upper[1], mounts) if upper else None
    if below is not None and below.kind in _IN_MEMORY:
        return f"changes of {mount.path} are kept in memory ({below.path}), and gone with the next boot"
    return None


def _is_read_only(mount: Mount) -> bool:
    return "ro" in mount.own_options.split(",") or "ro" in mount.options.split(",")


def _mount_of(place: str, mounts: tuple[Mount, ...]) -> Mount | None:
    """The mount that `place` lies on: of several at one path the last."""
    above = [mount for mount in mounts if mount.path == "/" or f"{place}/".startswith(f"{mount.path}/")]
    return max(reversed(above), key=lambda mount: len(mount.path)) if above else None


def real_path(files: Files, path: str) -> str:
    """`path` with the links in it followed; what is not there is taken as it is written."""
    done, ahead, links = "/", path.strip("/").split("/"), 0
    while ahead:
        step = posixpath.join(done, ahead.pop(0))
        target = files.read_link(step)
        if not known(target) or links >= _MOST_LINKS:
            done = step
            continue
        links += 1
        whole = posixpath.normpath(posixpath.join(done, target))
        done, ahead = "/", [*whole.strip("/").split("/"), *ahead]
    return done
