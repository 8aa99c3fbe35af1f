# SPDX-License-Identifier: Apache-2.0
"""The nested guest's initrd: busybox, the NIC drivers, and an init that serves a shell on the serial console."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

FILES = Path(__file__).parent / "files" / "guest"
DRIVERS = ("igb", "igbvf", "e1000", "e1000e", "virtio_net", "button", "evdev")
_FOLDERS = ("bin", "dev", "etc", "lib", "proc", "sys", "tmp", "var")


@dataclass(frozen=True)
class Entry:
    """One member of an initrd: its path without a leading slash, its mode with the type bits, its content."""

    path: str
    mode: int
    content: bytes = b""


def build_guest_initrd(root: Path, kernel: str) -> bytes:
    """A gzipped initrd from the busybox and the modules of the Debian tree `root`, for its kernel release."""
    modules = module_closure((root / f"usr/lib/modules/{kernel}/modules.dep").read_text(), DRIVERS)
    return gzip.compress(cpio(_entries(root / "usr/lib/modules" / kernel, root / "usr/bin/busybox", modules)), 1)


def _entries(module_folder: Path, busybox: Path, modules: list[str]) -> Iterator[Entry]:
    # acpid wants a folder for its log and one for its process id.
    for folder in (*_FOLDERS, "etc/acpi", "etc/acpi/PWRF", "lib/modules", "var/log", "var/run"):
        yield Entry(folder, 0o040755)
    yield Entry("init", 0o100755, (FILES / "init").read_bytes())
    yield Entry("etc/acpi/PWRF/00000080", 0o100755, (FILES / "power-button").read_bytes())
    yield Entry("bin/busybox", 0o100755, busybox.read_bytes())
    names = [Path(module).name.removesuffix(".xz") for module in modules]
    for module, name in zip(modules, names, strict=True):
        yield Entry(f"lib/modules/{name}", 0o100644, _read_module(module_folder / module))
    yield Entry("lib/load-order", 0o100644, "".join(f"/lib/modules/{name}\n" for name in names).encode())


def _read_module(path: Path) -> bytes:
    content = path.read_bytes()
    return lzma.decompress(content) if path.suffix == ".xz" else content


def module_closure(modules_dep: str, names: Iterable[str]) -> list[str]:
    """The modules `names` and all that they need, as paths, in an order in which each can be loaded.

    `modules_dep` is the text of the kernel's modules.dep(5): a line lists what its module needs, last first.
    """
    needs = {path: rest.split() for path, _, rest in (line.partition(":") for line in modules_dep.splitlines())}
    by_name = {Path(path).name.split(".")[0].replace("-", "_"): path for path in needs}
    order: list[str] = []
    for name in names:
        if name not in by_name:
            raise LabError(f"the kernel has no module {name}")
        path = by_name[name]
        order += [module for module in (*reversed(needs[path]), path) if module not in order]
    return order


def cpio(entries: Iterable[Entry]) -> bytes:
    """The entries as an archive in the "newc" form that the kernel unpacks (buffer-format.rst in its documents)."""
    members = [*entries, Entry("TRAILER!!!", 0)]
    return b"".join(_cpio_member(number, entry) for number, entry in enumerate(members, start=1))


def _cpio_member(inode: int, entry: Entry) -> bytes:
    name = entry.path.encode() + b"\0"
    links, mtime, device = 1, 0, 0
    fields = (inode, entry.mode, 0, 0, links, mtime, len(entry.content), device, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.content)


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 4)
