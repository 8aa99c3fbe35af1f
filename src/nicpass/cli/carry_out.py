# SPDX-License-Identifier: Apache-2.0
"""Carries out a plan with every kind of step that there is, and tells what the host shows afterwards."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from nicpass.cli.render.output import say
from nicpass.cli.render.progress import watched
from nicpass.cli.render.report import headline, say_outcome, view_outcome
from nicpass.cli.render.system_log import log_begin, log_done, log_failure
from nicpass.cli.source import open_processes
from nicpass.engine.handler import LateHandlers
from nicpass.engine.journal import read_change
from nicpass.engine.nic.take import take_handlers
from nicpass.engine.transaction import run_plan
from nicpass.hypervisor.libvirt.steps import libvirt_handlers
from nicpass.model.plan import (
    AddPorts,
    ArmTimer,
    ChangeBoot,
    DisarmTimer,
    GiveBackNic,
    InstallGuard,
    JoinPool,
    LeavePool,
    PlaceDomain,
    PlugDevice,
    RemoveGuard,
    RemovePorts,
    SetNumvfs,
    SetPool,
    StartWindow,
    SteerInterrupts,
    UnplugDevice,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nicpass.cli.render.documents import OutcomeDocument
    from nicpass.cli.source import Source
    from nicpass.engine.handler import Handlers
    from nicpass.host.doors.files import Files
    from nicpass.model.change import Actor
    from nicpass.model.plan import Plan, StepBase


def carry_out(
    plan: Plan,
    source: Source,
    actor: Actor,
    *,
    as_json: bool,
    further: Iterator[Plan] = iter(()),  # noqa: B008 - one that is empty stays so
) -> OutcomeDocument | None:
    """Carry out a plan for the host as it was just read, under the lock that the caller holds.

    `further` are the plans that go on with it, as `run_plan` has them.

    People are told of it here; with `as_json` nothing is printed, and the answer is what the caller is to print.
    """
    if not as_json:
        say(headline(plan))
    if plan.steps:
        log_begin(actor, plan.summary)
    try:
        told: list[str] = []
        handlers = handlers_of(source.files, told.append if as_json else _say_aside)
        with watched(as_json=as_json) as watch:
            identity = run_plan(plan, handlers, source.files, watch, actor, further)
    except BaseException as error:
        log_failure(actor, plan.summary, error)
        raise
    if identity is not None and plan.more:
        opened = read_change(source.files, identity).opened
        plan = opened.plan if opened is not None else plan
    if identity is not None:
        log_done(actor, identity, plan.summary)
    if as_json:
        return view_outcome(plan, source, identity, told)
    say_outcome(plan, source, identity)
    return None


def _say_aside(text: str) -> None:
    say(f"     {text}")


def handlers_of(files: Files, tell: Callable[[str], object] = str) -> Handlers:
    """The handlers of every kind of step; those of steps that a plain attach does not take are loaded when needed.

    `tell` is told what a step's own words do not say.
    """

    def of_host() -> Handlers:
        from nicpass.engine.host_steps import host_handlers

        return host_handlers(files, open_processes())

    def of_boot() -> Handlers:
        from nicpass.engine.boot.steps import boot_handlers

        return boot_handlers(files, open_processes())

    def of_timer() -> Handlers:
        from nicpass.engine.deadman import deadman_handlers

        return deadman_handlers(files, open_processes())

    def of_guard() -> Handlers:
        from nicpass.hypervisor.libvirt.guard import Hands, ask_version, guard_handlers

        return guard_handlers(files, open_processes(), Hands(ask_version, tell=tell))

    def of_running() -> Handlers:
        from nicpass.hypervisor.libvirt.live import live_handlers

        return live_handlers(files, tell)

    def of_ports() -> Handlers:
        from nicpass.hypervisor.libvirt.ports import port_handlers

        return port_handlers(tell)

    def of_pools() -> Handlers:
        from nicpass.hypervisor.libvirt.pools import pool_handlers

        return pool_handlers(files)

    def of_place() -> Handlers:
        from nicpass.hypervisor.libvirt.tuning import tuning_handlers

        return tuning_handlers()

    def of_interrupts() -> Handlers:
        from nicpass.engine.nic.interrupts import interrupt_handlers

        return interrupt_handlers(files)

    ready = {**take_handlers(files), **libvirt_handlers(files, tell)}
    late: dict[type[StepBase], Callable[[], Handlers]] = {
        AddPorts: of_ports,
        RemovePorts: of_ports,
        PlugDevice: of_running,
        UnplugDevice: of_running,
        SetPool: of_pools,
        JoinPool: of_pools,
        LeavePool: of_pools,
        GiveBackNic: of_host,
        SetNumvfs: of_host,
        ChangeBoot: of_boot,
        ArmTimer: of_timer,
        StartWindow: of_timer,
        DisarmTimer: of_timer,
        InstallGuard: of_guard,
        RemoveGuard: of_guard,
        PlaceDomain: of_place,
        SteerInterrupts: of_interrupts,
    }
    return LateHandlers(ready, late)


def outlive_session() -> None:
    """Let a change go on when the ssh session that began it breaks (SIGHUP); SIGTERM takes the change back in order."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
