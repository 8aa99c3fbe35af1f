# SPDX-License-Identifier: Apache-2.0
"""How a host is had: booted cold, or resumed in seconds from a stage that the cache keeps.

A stage is a qcow2 overlay with the saved state of a running host in it. A run copies the overlay and resumes the
copy, so every run starts from the very same host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from lab import qemu
from lab.boot_disk import get_boot_disk
from lab.cache import Cache, hash_code, recipe_key
from lab.image import Image, get_image
from lab.machine import Machine
from lab.prepare import define_domains, install_wheel
from lab.running import make_overlay, run_tool, running
from lab.shape import INTEL, Shape
from lab.tables import DMAR, change_dmar, prepend_table

__all__ = ["build_stage", "cold_host", "fresh_host", "install_wheel"]
SNAPSHOT = "stage"
Prepare = Callable[[Machine], None]


@contextmanager
def cold_host(cache: Cache, shape: Shape, prepare: Prepare | None = None) -> Iterator[Machine]:
    """A host that is booted now, with the domains defined."""
    image = _image_of(cache, shape)
    with cache.run_folder(shape.name) as folder:
        make_overlay(image, folder)
        with running(image, shape, folder, None) as machine:
            machine.wait_booted()
            define_domains(machine)
            if prepare is not None:
                prepare(machine)
            yield machine


@dataclass(frozen=True)
class Further:
    """A stage after nicpass is installed; `name` stands for all that `prepare` does."""

    name: str
    prepare: Prepare


@contextmanager
def fresh_host(
    cache: Cache, shape: Shape, wheel: Path | None = None, further: Further | None = None
) -> Iterator[Machine]:
    """A host for the caller alone, with nicpass from `wheel` if given; resumed if QEMU can do that with its shape."""
    prepare = _installer(wheel) if wheel is not None else None
    if not shape.migratable:
        with cold_host(cache, shape, prepare) as machine:
            if further is not None:
                further.prepare(machine)
            yield machine
        return
    image = _image_of(cache, shape)
    stage = _booted_stage(cache, image, shape)
    if wheel is not None and prepare is not None:
        stage = _stage(cache, image, shape, f"installed-{_hash_wheel(wheel)}", stage, prepare)
        if further is not None:
            name = f"{further.name}-{_hash_wheel(wheel)}"
            stage = _stage(cache, image, shape, name, stage, further.prepare)
    with _resumed(cache, image, shape, stage) as machine:
        yield machine


def build_stage(cache: Cache, shape: Shape) -> None:
    """See to it that the next `fresh_host` of a shape resumes, if QEMU can do that with it."""
    if shape.migratable:
        _booted_stage(cache, _image_of(cache, shape), shape)


def _image_of(cache: Cache, shape: Shape) -> Image:
    """The image that a shape boots: a disk with a boot loader, or another initrd if its firmware has its own tables."""
    image = get_image(cache)
    if shape.boot is not None:
        return get_boot_disk(cache, image, shape.boot, shape.kernel_arguments)
    if shape.dmar_flags is None:
        return image
    code = [hash_code(Path(__file__).with_name(name)) for name in ("tables.py", "dmar.py", "placement.py")]
    key = recipe_key([image.key, shape.to_recipe(), code])

    def build(out: Path) -> None:
        with fresh_host(cache, INTEL) as machine:
            dmar = machine.get_file(DMAR)
        (out / "initrd.img").write_bytes(prepend_table(image.initrd.read_bytes(), "dmar", change_dmar(dmar, shape)))

    return replace(image, initrd=cache.artifact(f"initrd-{key}", build) / "initrd.img")


def _installer(wheel: Path) -> Prepare:
    return lambda machine: install_wheel(machine, wheel)


def _hash_wheel(wheel: Path) -> str:
    return recipe_key([wheel.name, wheel.read_bytes().hex()])


def _booted_stage(cache: Cache, image: Image, shape: Shape) -> Path:
    def build(out: Path) -> None:
        with cold_host(cache, shape) as machine:
            _save(machine, out)

    return cache.artifact(_stage_name(image, shape, "booted"), build)


def _stage(cache: Cache, image: Image, shape: Shape, name: str, parent: Path, prepare: Prepare) -> Path:
    def build(out: Path) -> None:
        with _resumed(cache, image, shape, parent) as machine:
            prepare(machine)
            _save(machine, out)

    return cache.artifact(_stage_name(image, shape, name), build)


def _stage_name(image: Image, shape: Shape, stage: str) -> str:
    """A stage's name. QEMU's arguments in it stand for the shape, QEMU and all else that a saved state depends on."""
    start = qemu.Start(qemu.choose_accelerator())
    code = hash_code(Path(__file__).with_name("prepare.py"))
    kind = "stage" if shape.boot is None else "bootstage"
    return f"{kind}-{recipe_key([image.key, qemu.qemu_arguments(shape, image, start), code, stage])}"


def _save(machine: Machine, out: Path) -> None:
    """Save the running host into its overlay, and keep that. The host is over then."""
    machine.succeed(["sync"])
    machine.monitor.command("stop")
    machine.monitor.human(f"savevm {SNAPSHOT}")
    machine.quit()
    for name in (qemu.OVERLAY, qemu.VARIABLES):
        if (machine.folder / name).exists():
            (machine.folder / name).rename(out / name)


@contextmanager
def _resumed(cache: Cache, image: Image, shape: Shape, stage: Path) -> Iterator[Machine]:
    with cache.run_folder(shape.name) as folder:
        for path in stage.iterdir():
            run_tool(["cp", "--reflink=auto", "--sparse=always", str(path), str(folder)])
        with running(image, shape, folder, SNAPSHOT) as machine:
            yield machine
