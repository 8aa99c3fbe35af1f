# SPDX-License-Identifier: Apache-2.0
"""Reads the EFI variables of systemd's Boot Loader Interface, by which a loader and the system talk.

Sources: filesystems/efivarfs.rst; systemd's Boot Loader Interface. systemd-boot has set LoaderInfo from the
beginning, GRUB sets it since 2.12 (module bli), rEFInd and Limine set it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nicpass.model.fact import Fact, Unknown, known

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

FIRMWARE = "/sys/firmware"
VARIABLES = f"{FIRMWARE}/efi/efivars"
LOADER_VENDOR = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
"""The GUID with which the names of the interface's variables end."""
_LARGEST = 4096


class Firmware(NamedTuple):
    """The firmware's variables that say how this kernel was started."""

    uefi: Fact[bool]
    loader: Fact[str]
    """The loader that started this kernel, as it named itself: `systemd-boot 252.39-1`."""
    stub: Fact[str]
    """The stub of a unified image, if the kernel came in one."""
    default: Fact[str] = None
    """The entry that `bootctl set-default` chose: the name of its file, or a pattern."""
    one_shot: Fact[str] = None
    """The entry chosen for the next boot only: the name of its file, or a pattern."""
    last: Fact[str] = None
    """The entry that was booted last, where that is remembered."""


def read_firmware_variables(files: Files) -> Firmware:
    """All variables of `Firmware`; without UEFI there are none."""
    firmware = files.list_directory(FIRMWARE)
    if not known(firmware):
        unknown = firmware if isinstance(firmware, Unknown) else Unknown(f"not captured: {FIRMWARE}")
        return Firmware(unknown, unknown, unknown)
    if "efi" not in firmware:
        return Firmware(uefi=False, loader=None, stub=None)
    names = files.list_directory(VARIABLES)
    if not known(names) or not names:
        unknown = Unknown(f"no EFI variables: {VARIABLES}") if not isinstance(names, Unknown) else names
        return Firmware(uefi=True, loader=unknown, stub=unknown, default=unknown, one_shot=unknown, last=unknown)
    return Firmware(
        uefi=True,
        loader=_read(files, "LoaderInfo", names),
        stub=_read(files, "StubInfo", names),
        default=_read(files, "LoaderEntryDefault", names),
        one_shot=_read(files, "LoaderEntryOneShot", names),
        last=_read(files, "LoaderEntryLastBooted", names),
    )


def variable_path(name: str) -> str:
    """The path at which a variable of the interface stands."""
    return f"{VARIABLES}/{name}-{LOADER_VENDOR}"


def _read(files: Files, name: str, names: tuple[str, ...]) -> Fact[str]:
    """The text of a variable, whose content is four bytes of attributes, then UTF-16 with a NUL at its end."""
    path = variable_path(name)
    content = files.read_bytes(path, _LARGEST) if f"{name}-{LOADER_VENDOR}" in names else None
    if not isinstance(content, bytes):
        return content
    try:
        return content[4:].decode("utf-16-le").rstrip("\0") or Unknown(f"empty: {path}")
    except UnicodeDecodeError:
        return Unknown(f"not text in UTF-16: {path}")
