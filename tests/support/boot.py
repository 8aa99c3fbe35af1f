# SPDX-License-Identifier: Apache-2.0
"""Trees of hosts as their boot loaders leave them, and what `sh` makes of the files that they go by."""

from __future__ import annotations

import dataclasses
import subprocess
from typing import TYPE_CHECKING

from nicpass.host.boot.configuration import read_boot
from nicpass.host.boot.efi_variables import VARIABLES, variable_path
from nicpass.host.doors.files import Files
from nicpass.model.boot import Boot, BootChange, BootFile
from nicpass.model.file_image import FileChange, RegularFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UUID = "6d2d2a6b-5a9c-4f8e-9d5f-0c1b2a3d4e5f"
MKCONFIG = "#! /bin/sh\nset -e\nif test -f /etc/default/grub ; then\n  . /etc/default/grub\nfi\n"
MKCONFIG_WITH_FOLDER = (
    MKCONFIG + 'for x in /etc/default/grub.d/*.cfg ; do\n  if [ -e "${x}" ]; then . "${x}"; fi\ndone\n'
)
GRUB_PROGRAMS = ("grub-mkconfig", "grub-reboot", "grub-editenv", "update-grub")
GRUB2_PROGRAMS = ("grub2-mkconfig", "grub2-reboot", "grub2-editenv")
PLAIN_DISK = "../../devices/pci0000:00/0000:00:05.0/virtio2/block/vda/vda1"
MOUNTS = "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"

MENU_HEAD = """\
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="%s"
fi
function savedefault {
  if [ -z "${boot_once}" ]; then
    saved_entry="${chosen}"
    save_env saved_entry
  fi
}
"""
MENU_FOOT = """\
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
"""


def entry(title: str, identity: str, kernel: str, arguments: str, indent: str = "") -> str:
    """One menuentry, with the lines that 10_linux of GRUB writes."""
    lines = (
        f"menuentry '{title}' --class debian --class gnu-linux --class os $menuentry_id_option '{identity}' {{",
        "\tsavedefault",
        "\tload_video",
        "\tif [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi",
        "\tset root='hd0,msdos1'",
        "\tif [ x$feature_platform_search_hint = xy ]; then",
        f"\t  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,msdos1  {UUID}",
        "\tfi",
        f"\techo\t'Loading Linux {kernel} ...'",
        f"\tlinux\t/boot/vmlinuz-{kernel} {arguments}",
        f"\tinitrd\t/boot/initrd.img-{kernel}",
        "}",
    )
    return "".join(f"{indent}{line}\n" for line in lines)


def grub_cfg(
    arguments: str = f"root=UUID={UUID} ro  quiet", default: str = "0", kernels: tuple[str, ...] = ("6.1.0-18-amd64",)
) -> str:
    """A grub.cfg as grub-mkconfig makes it: the newest kernel, a submenu with all, the question for custom.cfg."""
    text = MENU_HEAD % default + entry("Debian GNU/Linux", f"gnulinux-simple-{UUID}", kernels[0], arguments)
    text += f"submenu 'Advanced options for Debian GNU/Linux' $menuentry_id_option 'gnulinux-advanced-{UUID}' {{\n"
    for kernel in kernels:
        identity = f"gnulinux-{kernel}-advanced-{UUID}"
        text += entry(f"Debian GNU/Linux, with Linux {kernel}", identity, kernel, arguments, "\t")
    return f"{text}}}\n{MENU_FOOT}"


def grubenv(**values: str) -> bytes:
    """An environment block of GRUB: 1024 bytes, filled up with #."""
    lines = "".join(f"{name}={value}\n" for name, value in values.items())
    return f"# GRUB Environment Block\n{lines}".encode().ljust(1024, b"#")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BootTree:
    """The files by which a host boots; those of a Debian with GRUB where nothing else is said."""

    files: Mapping[str, str | bytes] = dataclasses.field(default_factory=dict)
    """More files by path, added to the others, or written over them."""
    programs: tuple[str, ...] = GRUB_PROGRAMS
    mkconfig: str = MKCONFIG_WITH_FOLDER
    menu: str | bytes | None = dataclasses.field(default_factory=grub_cfg)
    folder: str = "/boot/grub"
    environment: bytes | None = dataclasses.field(default_factory=grubenv)
    mounts: str = MOUNTS
    disk: str = PLAIN_DISK
    uefi: bool = False
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The EFI variables of the Boot Loader Interface: LoaderInfo, StubInfo, LoaderEntryDefault ..."""
    cmdline: str = f"BOOT_IMAGE=/boot/vmlinuz-6.1.0-18-amd64 root=UUID={UUID} ro quiet"

    def write(self, root: Path) -> Files:
        """Make the files of the tree below `root`."""
        for path, content in self._all_files().items():
            place = root / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content if isinstance(content, bytes) else content.encode())
        link = root / "sys/dev/block/254:1"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(self.disk)
        return Files(str(root))

    def read(self, root: Path) -> Boot:
        return read_boot(self.write(root))

    def _all_files(self) -> dict[str, str | bytes]:
        files: dict[str, str | bytes] = {f"/usr/sbin/{name}": "" for name in self.programs}
        files |= {f"/usr/sbin/{name}": self.mkconfig for name in self.programs if name.endswith("-mkconfig")}
        if self.mkconfig == MKCONFIG_WITH_FOLDER and self.menu is not None:
            files["/etc/default/grub.d/init-select.cfg"] = "# Nothing is selected here.\n"
        if self.menu is not None:
            files[f"{self.folder}/grub.cfg"] = self.menu
        if self.environment is not None and self.menu is not None:
            files[f"{self.folder}/grubenv"] = self.environment
        files |= {"/proc/self/mountinfo": self.mounts, "/proc/cmdline": f"{self.cmdline}\n"}
        files["/sys/firmware/acpi/tables/DMAR"] = ""
        if self.uefi:
            files[f"{VARIABLES}/BootCurrent-8be4df61-93ca-11d2-aa0d-00e098032b8c"] = b"\x06\0\0\0\1\0"
        for name, value in self.variables.items():
            files[variable_path(name)] = b"\x06\0\0\0" + f"{value}\0".encode("utf-16-le")
        return files | dict(self.files)


def apply_files(root: Path, changes: tuple[FileChange, ...]) -> None:
    """Write the files of changes, and see that what a change says was before did stand there."""
    for change in changes:
        place = root / change.path.lstrip("/")
        if isinstance(change.before, RegularFile):
            assert place.read_bytes() == change.before.content, change.path
        elif change.before is None:
            assert not place.exists(), change.path
        if isinstance(change.after, RegularFile):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(change.after.content)
        elif change.after is None:
            place.rmdir() if place.is_dir() else place.unlink()
        else:
            place.mkdir()


def after_change(boot: Boot, change: BootChange) -> Boot:
    """The boot facts with the files of `change` written; those that programs would have made are as they were."""
    import msgspec

    files = {file.path: file for file in boot.files}
    for each in change.files:
        match each.after:
            case RegularFile(content=content, mode=mode):
                files[each.path] = BootFile(path=each.path, content=content, mode=mode)
            case None:
                files.pop(each.path, None)
            case _:
                pass
    return msgspec.structs.replace(boot, files=tuple(sorted(files.values(), key=lambda file: file.path)))


def ask_shell(text: bytes, names: tuple[str, ...], shell: str = "sh") -> dict[str, bytes]:
    """The values of variables after `text` was sourced by a real shell; only in tests that may start processes."""
    script = b"\n".join([text, *(f"printf '%s\\0' \"${name}\"".encode() for name in names)])
    done = subprocess.run([f"/bin/{shell}", "-c", script], capture_output=True, check=True, env={"PATH": ""}, cwd="/")
    return dict(zip(names, done.stdout.split(b"\0"), strict=False))
