# SPDX-License-Identifier: Apache-2.0
"""libvirt's hook on the simulated host: nicpass's own guard, on doors that no fate of a run has a hand in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.engine.host_steps import HostSteps
from nicpass.hypervisor.libvirt.hook import Hook
from nicpass.model.guard import HOOK
from tests.support.simulation.doors import SimulatedFiles, SimulatedInterface, SimulatedProcesses
from tests.support.simulation.effects import Effects

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.simulation.kernel import Kernel
    from tests.support.simulation.systemd import Systemd


class Hooks:
    """The hooks that libvirtd calls before a start and after an end; it looks for them only when told to reload."""

    def __init__(self, base: Path, kernel: Kernel, systemd: Systemd) -> None:
        self.known = base / "hooks-known"
        effects = Effects()
        self.files = SimulatedFiles(kernel, effects)
        self.processes = SimulatedProcesses(kernel, effects, systemd)
        steps = HostSteps(self.files, self.processes, lambda name: SimulatedInterface(name, kernel, effects))
        self.hook = Hook(self.files, lambda: self.processes, steps.restore)
        systemd.on_reload = self.look

    def look(self) -> None:
        """Look for the hook, as libvirtd does when it reloads."""
        if self.files.exists(HOOK):
            self.known.touch()
        else:
            self.known.unlink(missing_ok=True)

    @property
    def is_called(self) -> bool:
        return self.known.exists() and self.files.exists(HOOK)

    def prepare(self, definition: str) -> None:
        """Call the guard before a VM's start; raises NicpassError where the VM shall not start."""
        if self.is_called:
            self.hook.prepare(definition)

    def release(self, definition: str) -> None:
        if self.is_called:
            self.hook.release(definition)
