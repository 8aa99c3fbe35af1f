# SPDX-License-Identifier: Apache-2.0
"""Plans which files give NICs their driver at every boot, and what has to be run so that the initramfs has them.

A plan is for a set of bindings; with an empty set all its files go. A host whose initramfs generator is not known has
only the unit, which runs before udev's coldplug of the host: early enough unless the initramfs itself loads the driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nicpass.boot.binding.boot_d import parse_binding, render_binding
from nicpass.boot.initramfs import dracut, initramfs_tools, mkinitcpio
from nicpass.boot.initramfs.bind_script import BIND_UNIT, SCRIPT, UNIT, WANTS, read_script
from nicpass.boot.text.own_files import change_files, keep_damaged
from nicpass.model.binding import FOLDER, path_of
from nicpass.model.boot import BootChange, GeneratedFile, Generator, InitramfsGenerator, Loader
from nicpass.model.file_image import Folder, RegularFile, SymbolicLink

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.boot.text.own_files import Images
    from nicpass.model.boot import Boot, BootBinding
    from nicpass.model.file_image import FileImage

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
"""Every path that a plan may write besides the files in `boot.d`."""


def plan_bindings(boot: Boot, now: Images, bindings: Iterable[BootBinding]) -> BootChange:
    """The change to a host on which just `bindings` are bound; empty where it is so. `now` is as `read_places` has it.

    Raises:
        ValueError: a binding that no file may hold, or two of one name: a NIC stands now where another one stood.
    """
    wanted = sorted(bindings, key=lambda binding: binding.name)
    if len({binding.name for binding in wanted}) < len(wanted):
        raise ValueError("two boot bindings of one name")
    generators = _choose_generators(boot) if wanted else _used_before(now)
    files = change_files(now, _desired(wanted, generators, now), _is_ours)
    inside = {path for generator in generators for path in _HOOKS[generator][0]} | {SCRIPT}
    remade = any(change.path in inside or change.path.startswith(f"{FOLDER}/") for change in files)
    images = tuple(GeneratedFile(path=path) for path in boot.initramfs)
    runs = tuple(Generator(argv=_HOOKS[generator][1], makes=images) for generator in generators) if remade else ()
    return BootChange(files=files, generators=runs)


def _is_ours(path: str) -> bool:
    """Whether a plan may remove `path`; folders of others, which may have had to be made, stay."""
    return (path in PLACES and "nicpass" in path) or path.startswith(f"{FOLDER}/")


def _choose_generators(boot: Boot) -> tuple[InitramfsGenerator, ...]:
    """Generators that can take a hook; rpm-ostree makes the initramfs elsewhere, and /usr is not the host's there."""
    return () if Loader.RPM_OSTREE in boot.loaders else boot.generators


def _used_before(now: Images) -> tuple[InitramfsGenerator, ...]:
    """The initramfs generators that have nicpass's hook."""
    return tuple(
        g for g, (files, _argv) in _HOOKS.items() if any("nicpass" in path and now.get(path) for path in files)
    )


def _desired(wanted: list[BootBinding], generators: Iterable[InitramfsGenerator], now: Images) -> dict[str, FileImage]:
    """Path to the image that shall stand there, in the order of writing; empty where no binding is wanted."""
    if not wanted:
        return {}
    desired: dict[str, FileImage] = {
        HOME: Folder(0o755),
        FOLDER: Folder(0o755),
        SCRIPT: RegularFile(read_script(), 0o755),
        **keep_damaged(now, FOLDER, parse_binding),
        **{path_of(binding): RegularFile(render_binding(binding)) for binding in wanted},
        UNIT: RegularFile(BIND_UNIT.encode()),
        WANTS: Folder(0o755),
        f"{WANTS}/nicpass-bind.service": SymbolicLink(UNIT),
    }
    for generator in generators:
        desired |= _HOOKS[generator][0]
    return desired
