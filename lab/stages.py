# SPDX-License-Identifier: Apache-2.0
"""How a host is had: booted cold, or resumed in seconds from a stage that the cache keeps.

A stage is a qcow2 overlay with the saved state of a running host in it. A run copies the overlay and resumes the
copy, so every run starts from the very same host.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from lab import qemu
from lab.agent import Agent, connect_in_folder
from lab.cache import Cache, hash_code, recipe_key
from lab.console import Console, GuestConsole
from lab.errors import LabError
from lab.image import DOMAINS, Image, get_image
from lab.machine import Machine, Parts
from lab.monitor import Monitor
from lab.prepare import define_domains, install_wheel
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
        _make_overlay(image, folder)
        with _running(image, shape, folder, None) as machine:
            machine.wait_booted()
            define_domains(machine)
            if prepare is not None:
                prepare(machine)
            yield machine


@contextmanager
def fresh_host(cache: Cache, shape: Shape, wheel: Path | None = None) -> Iterator[Machine]:
    """A host of its own, with nicpass from `wheel` if given; resumed if QEMU can do that with its shape."""
    prepare = _installer(wheel) if wheel is not None else None
    if not shape.migratable:
        with cold_host(cache, shape, prepare) as machine:
            yield machine
        return
    image = _image_of(cache, shape)
    stage = _booted_stage(cache, image, shape)
    if wheel is not None and prepare is not None:
        stage = _stage(cache, image, shape, f"installed-{_hash_wheel(wheel)}", stage, prepare)
    with _resumed(cache, image, shape, stage) as machine:
        yield machine


def build_stage(cache: Cache, shape: Shape) -> None:
    """See to it that the next `fresh_host` of a shape resumes, if QEMU can do that with it."""
    if shape.migratable:
        _booted_stage(cache, _image_of(cache, shape), shape)


def _image_of(cache: Cache, shape: Shape) -> Image:
    """The image that a shape boots: with another initrd if its firmware has tables of its own."""
    image = get_image(cache)
    if shape.dmar_flags is None:
        return image
    code = [hash_code(Path(__file__).with_name(name)) for name in ("tables.py", "dmar.py", "placement.py")]
    key = recipe_key([image.key, asdict(shape), code])

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

    return cache.artifact(_stage_name(image, shape, "booted"), build) / qemu.OVERLAY


def _stage(cache: Cache, image: Image, shape: Shape, name: str, parent: Path, prepare: Prepare) -> Path:
    def build(out: Path) -> None:
        with _resumed(cache, image, shape, parent) as machine:
            prepare(machine)
            _save(machine, out)

    return cache.artifact(_stage_name(image, shape, name), build) / qemu.OVERLAY


def _stage_name(image: Image, shape: Shape, stage: str) -> str:
    """The arguments stand for the shape, QEMU and all else that a saved state depends on."""
    start = qemu.Start(qemu.choose_accelerator())
    code = hash_code(Path(__file__).with_name("prepare.py"))
    return f"stage-{recipe_key([image.key, qemu.qemu_arguments(shape, image, start), code, stage])}"


def _save(machine: Machine, out: Path) -> None:
    """Save the running host into its overlay, and keep that. The host is over then."""
    machine.succeed(["sync"])
    machine.monitor.command("stop")
    machine.monitor.human(f"savevm {SNAPSHOT}")
    machine.quit()
    (machine.folder / qemu.OVERLAY).rename(out / qemu.OVERLAY)


@contextmanager
def _resumed(cache: Cache, image: Image, shape: Shape, stage: Path) -> Iterator[Machine]:
    with cache.run_folder(shape.name) as folder:
        _run(["cp", "--reflink=auto", "--sparse=always", str(stage), str(folder / qemu.OVERLAY)])
        with _running(image, shape, folder, SNAPSHOT) as machine:
            yield machine


@contextmanager
def _running(image: Image, shape: Shape, folder: Path, snapshot: str | None) -> Iterator[Machine]:
    """QEMU in `folder`, and all that holds it; gone at the end of the block."""
    start = qemu.Start(qemu.choose_accelerator(), _free_port(), _free_port(), snapshot)
    with ExitStack() as stack:
        guests = {name: _open_guest_console(folder, name, stack) for name in DOMAINS}
        process = qemu.start_qemu(shape, image, start, folder)
        stack.callback(process.wait)
        stack.callback(process.kill)
        try:
            agent = Agent(connect_in_folder(folder, qemu.AGENT_SOCKET, 30))
            stack.callback(agent.close)
            monitor = Monitor(connect_in_folder(folder, qemu.MONITOR_SOCKET, 30))
            stack.callback(monitor.close)
            console = Console("box", folder / qemu.BOX_CONSOLE)
            ways = (_ssh(image, start.ssh_port), _ssh(image, start.nic_ssh_port))
            machine = Machine(shape, folder, Parts(process, agent, monitor, console, guests), *ways)
            if snapshot is not None:
                agent.sync(60)
                machine.succeed(["date", "--set", f"@{time.time():.0f}"])
        except LabError as error:
            error.output += (folder / qemu.QEMU_LOG).read_text()
            raise
        yield machine


def _open_guest_console(folder: Path, name: str, stack: ExitStack) -> GuestConsole:
    fifo = folder / qemu.console_input(name)
    os.mkfifo(fifo)
    console = GuestConsole(name, folder / qemu.console_file(name), fifo)
    stack.callback(console.close)
    return console


def _ssh(image: Image, port: int | None) -> list[str]:
    """The command that opens a session in the host; to be followed by a command, or not."""
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes")
    flags = [word for option in options for word in ("-o", option)]
    return ["ssh", "-i", str(image.ssh_key), "-p", str(port), *flags, "root@127.0.0.1"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _make_overlay(image: Image, folder: Path) -> None:
    backing = ["-b", str(image.disk), "-F", "raw"]
    overlay = str(folder / qemu.OVERLAY)
    _run([*qemu.qemu_program(image.base, "qemu-img"), "create", "-q", "-f", "qcow2", *backing, overlay])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(
            "a tool failed", command=" ".join(command), exit_code=done.returncode, output=done.stdout + done.stderr
        )
