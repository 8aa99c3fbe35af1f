# SPDX-License-Identifier: Apache-2.0
"""The step that says which CPUs handle a NIC's interrupts.

Source: Documentation/core-api/irq/irq-affinity.rst. The kernel gives the number of an interrupt that has ended to the
next one that is asked for: only interrupts that the NIC has at this moment are touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.engine.handler import Handler, Handlers
from nicpass.host.system.cpus import affinity_path, read_interrupts
from nicpass.model.errors import StepError
from nicpass.model.fact import why_unknown
from nicpass.model.language import _
from nicpass.model.memory import parse_cpulist
from nicpass.model.plan import SteerInterrupts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.doors.files import Files
    from nicpass.model.cpus import Interrupt


def interrupt_handlers(files: Files) -> Handlers:
    """The handlers of this file's step."""

    def apply(step: SteerInterrupts) -> None:
        for interrupt in _left(files, step):
            try:
                files.write_kernel(affinity_path(interrupt.number), interrupt.cpus)
            except FileNotFoundError:  # the guest has let go of it since
                continue
            except OSError as error:
                raise _refusal(step, interrupt, error) from error

    def verify(step: SteerInterrupts) -> None:
        for interrupt in _left(files, step):
            raise StepError(
                _("Interrupt {number} of {address} is not handled by CPUs {cpus}.").format(
                    number=interrupt.number, address=step.address, cpus=interrupt.cpus
                ),
                _("Does something move interrupts by itself? systemctl status irqbalance"),
            )

    return {SteerInterrupts: Handler(apply, verify)}


def _refusal(step: SteerInterrupts, interrupt: Interrupt, error: OSError) -> StepError:
    """EIO: the kernel manages it by itself. ENOSPC: these CPUs have no vector left. (kernel/irq/proc.c)"""
    return StepError(
        _("Interrupt {number} of {address} cannot be given to CPUs {cpus}: {reason}.").format(
            number=interrupt.number, address=step.address, cpus=interrupt.cpus, reason=error.strerror or error
        ),
        _("While the VM is off only its definition is changed: shut it down, and tune it then."),
    )


def _left(files: Files, step: SteerInterrupts) -> Iterator[Interrupt]:
    """The interrupts that are there and not yet handled by these CPUs; those that ended with the VM are not there."""
    now = read_interrupts(files, step.address)
    if (reason := why_unknown(now)) is not None:
        raise StepError(
            _("The interrupts of {address} cannot be read: {reason}.").format(address=step.address, reason=reason)
        )
    present = {each.number: parse_cpulist(each.cpus) for each in (now if isinstance(now, tuple) else ())}
    for interrupt in step.after:
        if interrupt.number in present and present[interrupt.number] != parse_cpulist(interrupt.cpus):
            yield interrupt
