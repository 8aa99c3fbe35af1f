# SPDX-License-Identifier: Apache-2.0
"""Plans which files give NICs their driver at every boot, and what has to be run so that the initramfs has them.

What is wanted is a set of bindings; with an empty one all of it goes. A host whose initramfs generator is not known has
only the unit, which runs before udev's coldplug of the host: early enough unless the initramfs itself loads the driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nicpass.boot import dracut, initramfs_tools, mkinitcpio
from nicpass.boot.boot_d import FOLDER, parse_binding, path_of, render_binding
from nicpass.boot.script import BIND_UNIT, SCRIPT, UNIT, WANTS, read_script
from nicpass.model.binding import DamagedFile
from nicpass.model.boot import BootChange, Generator, InitramfsGenerator, Loader
from nicpass.model.file_image import FileChange, FileImage, Folder, RegularFile, SymbolicLink

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nicpass.model.boot import Boot, BootBinding

    Images = Mapping[str, FileImage | None]
    """Path to what stands there; None, or no entry: nothing."""

HOME: Final = "/etc/nicpass"
_HOOKS = {
    InitramfsGenerator.INITRAMFS_TOOLS: (initramfs_tools.FILES, initramfs_tools.ARGV),
    InitramfsGenerator.DRACUT: (dracut.FILES, dracut.ARGV),
    InitramfsGenerator.MKINITCPIO: (mkinitcpio.FILES, mkinitcpio.ARGV),
}

PLACES: Final[tuple[str, ...]] = (
    HOME,
    FOLDER,
    SCRIPT,
    UNIT,
    WANTS,
    f"{WANTS}/nicpass-bind.service",
    *(path for files, _argv in _HOOKS.values() for path in files),
)
"""All that a plan may write besides the files in `boot.d`."""


def plan_bindings(boot: Boot, now: Images, bindings: Iterable[BootBinding]) -> BootChange:
    """The change to a host on which just these are bound; none where it is so. `now` is as `read_places` has it.

    Raises:
        ValueError: a binding that no file may hold.
    """
    wanted = sorted(bindings, key=lambda binding: binding.name)
    generators = _choose_generators(boot) if wanted else _used_before(now)
    files = change_files(now, _desired(wanted, generators, now))
    inside = {path for generator in generators for path in _HOOKS[generator][0]} | {SCRIPT}
    remade = any(change.path in inside or change.path.startswith(f"{FOLDER}/") for change in files)
    runs = tuple(Generator(argv=_HOOKS[generator][1]) for generator in generators) if remade else ()
    return BootChange(files=files, generators=runs)


def _choose_generators(boot: Boot) -> tuple[InitramfsGenerator, ...]:
    """Those that can be given a hook; rpm-ostree makes the initramfs elsewhere, and /usr is not the host's there."""
    return () if Loader.RPM_OSTREE in boot.loaders else boot.generators


def _used_before(now: Images) -> tuple[InitramfsGenerator, ...]:
    """Those that have our hook."""
    return tuple(g for g, (files, _argv) in _HOOKS.items() if any(now.get(path) is not None for path in files))


def _desired(wanted: list[BootBinding], generators: Iterable[InitramfsGenerator], now: Images) -> dict[str, FileImage]:
    """Path to what shall stand there, in the order in which it is written; nothing of ours where nothing is wanted."""
    if not wanted:
        return {}
    desired: dict[str, FileImage] = {
        HOME: Folder(0o755),
        FOLDER: Folder(0o755),
        SCRIPT: RegularFile(read_script(), 0o755),
        **_keep_damaged(now),
        **{path_of(binding): RegularFile(render_binding(binding)) for binding in wanted},
        UNIT: RegularFile(BIND_UNIT.encode()),
        WANTS: Folder(0o755),
        f"{WANTS}/nicpass-bind.service": SymbolicLink(UNIT),
    }
    for generator in generators:
        desired |= _HOOKS[generator][0]
    return desired


def _keep_damaged(now: Images) -> dict[str, FileImage]:
    """What somebody wrote there, and binds nothing, is his to mend: a finding names it."""
    return {
        path: image
        for path, image in now.items()
        if path.startswith(f"{FOLDER}/")
        and isinstance(image, RegularFile)
        and isinstance(parse_binding(path.rpartition("/")[2], image.content), DamagedFile)
    }


def change_files(now: Images, desired: Mapping[str, FileImage]) -> tuple[FileChange, ...]:
    """From `now` to `desired`: what is missing or other is written, then what is ours by its path besides is removed.

    A folder goes after what is in it, and stays while something else is; folders that are not ours stay anyway.
    """
    written = [
        FileChange(path=path, before=now.get(path), after=image)
        for path, image in desired.items()
        if not _is_there(now.get(path), image)
    ]
    gone = [
        FileChange(path=path, before=image)
        for path, image in sorted(now.items(), reverse=True)
        if path not in desired and image is not None and "nicpass" in path
    ]
    return (*written, *gone)


def _is_there(now: FileImage | None, image: FileImage) -> bool:
    return isinstance(now, Folder) if isinstance(image, Folder) else now == image
