# SPDX-License-Identifier: Apache-2.0
"""Runs nicpass's commands on a simulated host, each in a process of its own that may die at any effect."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from nicpass.cli.arguments.requests import words_of
from nicpass.cli.journal.unsettled import refuse_unless_settled
from nicpass.cli.parts import plan_all
from nicpass.cli.planning import Plans, plan_request
from nicpass.cli.source import Source
from nicpass.cli.state.planning import plan_apply
from nicpass.engine.boot.steps import boot_handlers
from nicpass.engine.deadman import deadman_handlers
from nicpass.engine.host_steps import HostSteps, host_handlers
from nicpass.engine.journal import last_to_undo, read_changes
from nicpass.engine.lock import hold_lock
from nicpass.engine.nic.interrupts import interrupt_handlers
from nicpass.engine.nic.take import take_handlers
from nicpass.engine.recovery import Settled, recover
from nicpass.engine.transaction import run_plan
from nicpass.engine.vf.declared import make_declared
from nicpass.host.boot.declared_vfs import read_declared_vfs
from nicpass.host.read import read_host
from nicpass.host.system.actor import read_actor
from nicpass.hypervisor.libvirt.domains import _machines_of, connect
from nicpass.hypervisor.libvirt.guard import Hands, ask_version, guard_handlers
from nicpass.hypervisor.libvirt.live import live_handlers
from nicpass.hypervisor.libvirt.pools import pool_handlers
from nicpass.hypervisor.libvirt.ports import port_handlers
from nicpass.hypervisor.libvirt.steps import libvirt_handlers
from nicpass.hypervisor.libvirt.tuning import tuning_handlers
from nicpass.model.errors import NicpassError
from nicpass.model.fact import value_or
from nicpass.model.request import ApplyRequest, UndoRequest
from nicpass.planner.state.text import StateFile, parse_state
from tests.support.simulation.clock import Clock
from tests.support.simulation.contents import compare_form, put_back, read_raw
from tests.support.simulation.doors import SimulatedFiles, SimulatedInterface, SimulatedProcesses, install_names
from tests.support.simulation.effects import Death, Effect, Effects, Fault
from tests.support.simulation.hardware import simulated_tree
from tests.support.simulation.hooks import Hooks
from tests.support.simulation.kernel import Kernel
from tests.support.simulation.libvirt import Daemon
from tests.support.simulation.systemd import Systemd

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.engine.handler import Handlers
    from nicpass.model.host import Host
    from nicpass.model.plan import Plan
    from nicpass.model.request import Request
    from tests.support.simulation.contents import Raw
    from tests.support.trees import Tree

LAST = "the last"
"""In an UndoRequest: the change that `nicpass undo` without a name takes back."""
_LONGEST = 60
"""Seconds of the real clock that one command may take before its process is ended, so that a test never hangs."""


Act: TypeAlias = "Callable[[Machine], tuple[Settled, ...] | None]"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended; `exit_code` is None when it was killed."""

    exit_code: int | None
    error: str = ""
    """The class of the command's error."""
    sentence: str = ""
    hint: str = ""
    settled: tuple[Settled, ...] = ()
    """The changes that a recovery has settled."""
    effects: tuple[Effect, ...] = ()
    traceback: str = ""


class Machine:
    """The simulated host as one process has it at hand."""

    def __init__(self, base: Path, effects: Effects) -> None:
        self.clock = Clock()
        self.effects = effects
        self.kernel = Kernel(base, self.clock, effects)
        self.files = SimulatedFiles(self.kernel, effects)
        self.systemd = Systemd(base)
        self.processes = SimulatedProcesses(self.kernel, effects, self.systemd)
        self.daemon = Daemon(base, self.kernel, effects, Hooks(base, self.kernel, self.systemd))

    def install(self) -> None:
        """Time and libvirt are this host's from here on; only for a process of its own."""
        self.clock.install()
        install_names(self.kernel)
        self.daemon.install()

    def host_steps(self) -> HostSteps:
        """The steps that change the host itself, on this host's doors."""
        return HostSteps(self.files, self.processes, lambda name: SimulatedInterface(name, self.kernel, self.effects))

    def handlers(self) -> Handlers:
        """nicpass's own handlers, on this host's doors."""
        host = host_handlers(
            self.files, self.processes, lambda name: SimulatedInterface(name, self.kernel, self.effects)
        )
        return {
            **take_handlers(self.files),
            **host,
            **libvirt_handlers(self.files),
            **live_handlers(self.files),
            **port_handlers(),
            **pool_handlers(self.files),
            **guard_handlers(self.files, self.processes, Hands(ask_version, lambda _files: None)),
            **deadman_handlers(self.files, self.processes),
            **boot_handlers(self.files, self.processes),
            **tuning_handlers(),
            **interrupt_handlers(self.files),
        }

    def make_declared_vfs(self) -> None:
        """Make what is missing of the VFs that were asked for."""
        declared = value_or(read_declared_vfs(self.files).found, ())
        made = make_declared(self.files, self.host_steps(), declared)
        assert not [one for one in made if one.exit_code], made

    def read(self) -> Host:
        machines = _machines_of(connect(writing=False), self.files)
        return read_host(
            self.files,
            machines.domains,
            lambda: self.processes,
            {},
            networks=machines.networks,
            with_cpus=True,
            with_boot=self.files.exists("/boot/grub/grub.cfg"),
        )

    def source(self) -> Source:
        return Source(self.files, self.read(), is_live=True)

    def plan(self, request: Request) -> Plan:
        return plan_request(request, self.source())

    def plan_all(self, request: Request) -> Plans:
        """The plan, with those that go on with it."""
        if isinstance(request, ApplyRequest):
            return plan_apply(request, StateFile(request.file, request.state, {}), self.source(), self.source)
        return plan_all(request, self.source(), self.source)


def change(machine: Machine, request: Request) -> None:
    """Do what `nicpass attach`, `detach`, `vf` and `undo` do."""
    if isinstance(request, UndoRequest) and request.change == LAST:
        last = last_to_undo(read_changes(machine.files))
        request = msgspec.structs.replace(request, change=last.identity)
    actor = read_actor(machine.files, words_of(request))
    with hold_lock(machine.files, actor):
        refuse_unless_settled(read_changes(machine.files), request)
        plans = machine.plan_all(request)
        run_plan(plans.first, machine.handlers(), machine.files, actor=actor, further=plans.further)


def do(host: SimulatedHost, request: Request, exit_code: int = 0) -> Outcome:
    """Carry out a request on the host, and let it come to rest."""
    done = host.run(functools.partial(change, request=request))
    assert done.exit_code == exit_code, done
    host.settle()
    return done


def see(host: SimulatedHost, act: Callable[[Machine], object]) -> None:
    """Look at the machine, or do something there as somebody else; what fails there fails here."""

    def looking(machine: Machine) -> None:
        act(machine)

    done = host.run(looking)
    assert done.exit_code == 0, done.traceback or done


def other_than_journal(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """What of the host differs, but for what nicpass remembers of its runs."""
    names = {*before, *after}
    return {name for name in names if before.get(name) != after.get(name) and "/var/lib/nicpass" not in name}


def apply_request(content: bytes, *, prune: bool = False) -> ApplyRequest:
    """What `nicpass apply` asks for with a file of this content."""
    file = parse_state("host.yaml", content)
    return ApplyRequest(file=file.name, state=file.state, prune=prune)


def recover_all(machine: Machine) -> tuple[Settled, ...]:
    """Do what `nicpass recover` does about changes that were cut off."""
    actor = read_actor(machine.files, ["recover"])
    with hold_lock(machine.files, actor):
        settled = recover(machine.files, machine.handlers(), actor)
        if settled:
            machine.make_declared_vfs()
        return settled


class SimulatedHost:
    """A simulated host, whose state is a folder."""

    def __init__(self, base: Path, tree: Tree | None = None) -> None:
        self.base = base
        if not (base / "root").exists():
            (tree or simulated_tree()).write(base / "root")
        self.first = self.raw()
        """The host as it was when it was first seen here."""

    def run(self, act: Act, *, death: Death | None = None, faults: tuple[Fault, ...] = ()) -> Outcome:
        """Do `act` in a process of its own, to its end or its death."""
        return wait_for(self.spawn(act, death=death, faults=faults))

    def spawn(self, act: Act, *, death: Death | None = None, faults: tuple[Fault, ...] = ()) -> tuple[int, int]:
        """Begin `act` in a process of its own: (process, descriptor from which its outcome will be read)."""
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the test runner's threads take no part
            child = os.fork()
        if child:
            os.close(writing)
            return child, reading
        try:
            os.close(reading)
            _live(self.base, act, Effects(death, faults), writing)
        finally:
            os._exit(1)

    def settle(self) -> None:
        """Let time pass, until nothing is to come by itself."""
        Kernel(self.base, Clock(), Effects()).pass_time()

    def raw(self) -> Raw:
        return read_raw(self.base)

    def put_back(self, wanted: Raw) -> None:
        put_back(self.base, wanted)

    def state(self) -> dict[str, str]:
        """The state of the host to be compared, after all has settled."""
        self.settle()
        return compare_form(self.raw())


def _live(base: Path, act: Act, effects: Effects, writing: int) -> None:
    """The life of a command's process."""
    gc.disable()  # it would touch, and so copy, every page that the test runner has
    signal.alarm(_LONGEST)
    setattr(os, "fsync", lambda _descriptor: None)  # noqa: B010  a killed process loses nothing that it has written
    machine = Machine(base, effects)
    machine.install()
    try:
        outcome = Outcome(exit_code=0, settled=act(machine) or ())
    except NicpassError as error:
        outcome = Outcome(
            exit_code=int(error.exit_code), error=type(error).__name__, sentence=error.sentence, hint=error.hint
        )
    except BaseException as error:
        outcome = Outcome(
            exit_code=-1, error=type(error).__name__, sentence=str(error), traceback=traceback.format_exc()
        )
    report = msgspec.json.encode(msgspec.structs.replace(outcome, effects=tuple(effects.log)))
    with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "wb") as stream:
        stream.write(report)
    os._exit(0)


def wait_for(spawned: tuple[int, int]) -> Outcome:
    """The outcome of a command that `spawn` began."""
    child, reading = spawned
    with os.fdopen(reading, "rb") as stream:
        report = stream.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, f"the command was ended by {os.WTERMSIG(status)}: did it hang?"
        return Outcome(exit_code=None)
    assert report, "the command's process told nothing"
    outcome = msgspec.json.decode(report, type=Outcome)
    assert outcome.exit_code != -1, outcome.traceback
    return outcome
