# SPDX-License-Identifier: Apache-2.0
"""QEMU in a run folder, and all that holds it: the agent, the monitor, the consoles, the ways in by ssh."""

from __future__ import annotations

import fcntl
import functools
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from lab import qemu
from lab.agent import Agent, connect_in_folder
from lab.cache import cache_root
from lab.console import Console, GuestConsole
from lab.errors import LabError
from lab.image import DOMAINS, Image
from lab.machine import Machine, Parts
from lab.monitor import Monitor
from lab.shape import Shape


@contextmanager
def running(image: Image, shape: Shape, folder: Path, snapshot: str | None) -> Iterator[Machine]:
    """A machine that QEMU runs in `folder`, and all that holds it; gone at the end of the block."""
    accelerator = qemu.choose_accelerator()
    with ExitStack() as stack:
        processor = own_processor().number if accelerator is qemu.Accelerator.TCG else None
        start = qemu.Start(accelerator, hold_port(stack), hold_port(stack), snapshot, processor)
        guests = {name: _open_guest_console(folder, name, stack) for name in DOMAINS}
        seat = _Seat(image, folder, guests, stack)
        ways = (_ssh(image, start.ssh_port), _ssh(image, start.nic_ssh_port))
        cold = replace(start, snapshot=None)
        parts = seat.start(shape, start)
        machine = Machine(shape, folder, parts, *ways, restart=lambda other: seat.start(other, cold))
        if snapshot is not None:
            try:
                parts.agent.sync(60)
                machine.succeed(["date", "--set", f"@{time.time():.0f}"])
            except LabError as error:
                error.output += (folder / qemu.QEMU_LOG).read_text()
                raise
        yield machine


@dataclass(frozen=True)
class _Seat:
    """The place of a host: its disk is in `folder`, and its hardware may be another at each start."""

    image: Image
    folder: Path
    guests: dict[str, GuestConsole]
    stack: ExitStack  # ends what was started

    def start(self, shape: Shape, start: qemu.Start) -> Parts:
        """Start QEMU and connect to it."""
        for name in (qemu.AGENT_SOCKET, qemu.MONITOR_SOCKET):  # an earlier QEMU's
            (self.folder / name).unlink(missing_ok=True)
        process = qemu.start_qemu(shape, self.image, start, self.folder)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        try:
            agent = Agent(connect_in_folder(self.folder, qemu.AGENT_SOCKET, 30))
            self.stack.callback(agent.close)
            monitor = Monitor(connect_in_folder(self.folder, qemu.MONITOR_SOCKET, 30))
            self.stack.callback(monitor.close)
        except LabError as error:
            error.output += (self.folder / qemu.QEMU_LOG).read_text()
            raise
        return Parts(process, agent, monitor, Console("box", self.folder / qemu.BOX_CONSOLE), self.guests)


@functools.cache
def own_processor() -> Processor:
    """One processor for all hosts of this program, one of this machine's that no other program's hosts have, if any.

    QEMU's emulation of AMD's virtualization changes a processor's pending interrupts without their lock at every entry
    into a guest and every exit from it (target/i386/tcg/sysemu/svm_helper.c, `cs->interrupt_request`, until QEMU 10.2),
    so that another thread's interrupt of that moment can be lost. So its source reads; it was not caught in the act.
    What was seen: a host whose threads ran on two processors slept for ever after half an hour with guests. On one,
    another thread hardly ever runs within that change.
    """
    folder = cache_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    processors = sorted(os.sched_getaffinity(0))
    for number in processors:
        lock = (folder / f"processor-{number}").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return Processor(number, lock)
    return Processor(processors[os.getpid() % len(processors)], None)


@dataclass(frozen=True)
class Processor:
    """A processor of this machine, held as long as its lock file is open."""

    number: int
    lock: TextIO | None


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


def hold_port(stack: ExitStack) -> int:
    """A port of 127.0.0.1 that is nobody's, and nobody else's as long as the stack stands: QEMU takes it later.

    It is none of those that the kernel gives to whoever asks for any (ip_local_port_range, ip(7)): such a one was taken
    by another program before QEMU came. What is left is dealt out among the lab's own programs by locks.
    """
    folder = cache_root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    for number in random.sample(_fixed_ports(), 200):
        lock = (folder / f"port-{number}").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", number))
        except OSError:  # another host of the lab has it, or a service of this machine
            lock.close()
        else:
            stack.callback(lock.close)
            return number
    raise LabError("no port of 127.0.0.1 is free")


def _fixed_ports() -> list[int]:
    """The ports that the kernel gives to nobody who has not asked for that one."""
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    return [number for number in range(10_000, 65_536) if not first <= number <= last]


def make_overlay(image: Image, folder: Path) -> None:
    """The disk that a host writes to, backed by the image's; and the firmware's variables, if it has any."""
    backing = ["-b", str(image.disk), "-F", "raw"]
    overlay = str(folder / qemu.OVERLAY)
    run_tool([*qemu.qemu_program(image.base, "qemu-img"), "create", "-q", "-f", "qcow2", *backing, overlay])
    variables = image.disk.with_name(qemu.VARIABLES)
    if variables.exists():
        shutil.copy(variables, folder / qemu.VARIABLES)


def run_tool(command: list[str]) -> None:
    """Run a program on this machine to its end, which must be a good one."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(
            "a tool failed", command=" ".join(command), exit_code=done.returncode, output=done.stdout + done.stderr
        )
