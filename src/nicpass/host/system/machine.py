# SPDX-License-Identifier: Apache-2.0
"""Reads what this host is (bare metal, a guest, Xen's dom0, a container) and how its firmware binds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from nicpass.host.system.mounts import MOUNTINFO, read_mounts
from nicpass.model.fact import Fact, Unknown, known
from nicpass.model.platform import Dmi

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

DMI = "/sys/class/dmi/id"
LOCKDOWN = "/sys/kernel/security/lockdown"
# The variable SecureBoot of EFI_GLOBAL_VARIABLE (UEFI 2.10, 3.3), as efivarfs names it.
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_ATTRIBUTES = 4  # bytes that efivarfs puts before the value (Documentation/filesystems/efivarfs.rst)

_BMC_SIGNS = (
    ("/sys/class/ipmi", "ipmi"),
    ("/sys/firmware/dmi/entries", "38-"),
    ("/sys/bus/acpi/devices", "IPI0001:"),
)
"""Folder to how the names begin that tell of one."""


def read_dmi(files: Files) -> Dmi:
    """The names of the machine, its board and its firmware; serial numbers are not asked for."""
    return Dmi(**{name: files.read_attribute(f"{DMI}/{name}") for name in Dmi.__struct_fields__})


def read_lockdown(files: Files) -> Fact[str]:
    """The word in brackets of `none [integrity] confidentiality` (security/lockdown/lockdown.c)."""
    text = files.read_attribute(LOCKDOWN)
    if not isinstance(text, str):
        return text
    chosen = [word[1:-1] for word in text.split() if word.startswith("[") and word.endswith("]")]
    return chosen[0] if len(chosen) == 1 else Unknown(f"no mode in brackets: {LOCKDOWN}: {text[:60]!r}")


def read_secure_boot(files: Files) -> Fact[bool]:
    """Whether the firmware checks what it boots; None where it is no UEFI firmware or has no such variable."""
    content = files.read_bytes(SECURE_BOOT)
    if not isinstance(content, bytes):
        return content
    if len(content) != _ATTRIBUTES + 1:
        return Unknown(f"{len(content)} bytes, not {_ATTRIBUTES + 1}: {SECURE_BOOT}")
    return content[_ATTRIBUTES] == 1


def read_container(files: Files) -> Fact[str]:
    """The kind of container that this is, by its manager's name, as systemd finds it (systemd, Container Interface)."""
    told = files.read_text("/run/systemd/container")
    if isinstance(told, str) and told:
        return told
    for mark, name in (("/run/.containerenv", "podman"), ("/.dockerenv", "docker")):
        if files.exists(mark):
            return name
    environment = files.read_bytes("/proc/1/environ")
    if isinstance(environment, bytes):
        names = [entry[10:] for entry in environment.split(b"\0") if entry.startswith(b"container=")]
        return names[0].decode("utf-8", "backslashreplace") or None if names else None
    return environment if told is None else told


def read_sysfs_read_only(files: Files) -> Fact[bool]:
    """Whether /sys is mounted read-only here, as container managers do it (proc_pid_mountinfo(5))."""
    mounts = read_mounts(files)
    if not isinstance(mounts, tuple):
        return mounts
    found = [mount.own_options.split(",") for mount in mounts if mount.path == "/sys"]
    return "ro" in found[-1] if found else Unknown(f"no mount of /sys: {MOUNTINFO}")


def read_xen(files: Files) -> Fact[Literal["dom0", "guest"]]:
    """Which kind of Xen's domains this is; None where Xen does not run.

    Source: Documentation/ABI/testing/sysfs-hypervisor-xen; `control_d` marks dom0 in xenfs.
    """
    hypervisor = files.read_attribute("/sys/hypervisor/type")
    if hypervisor != "xen":
        return hypervisor if isinstance(hypervisor, Unknown) else None
    capabilities = files.read_text("/proc/xen/capabilities")
    if isinstance(capabilities, Unknown):
        return capabilities
    return "dom0" if known(capabilities) and "control_d" in capabilities.split() else "guest"


def read_bmc(files: Files) -> Fact[str]:
    """The first sign of a management controller: IPMI's driver, SMBIOS type 38, ACPI's IPI0001; None without any.

    Source: Documentation/driver-api/ipmi.rst; SMBIOS 3.6, 7.39; drivers/char/ipmi/ipmi_si_platform.c.
    """
    for folder, prefix in _BMC_SIGNS:
        names = files.list_directory(folder)
        found = sorted(name for name in names if name.startswith(prefix)) if isinstance(names, tuple) else []
        if found:
            return f"{folder}/{found[0]}"
    return None
