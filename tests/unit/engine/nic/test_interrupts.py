# SPDX-License-Identifier: Apache-2.0
"""Interrupts are handled by other CPUs, and only those that the NIC has at this moment."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nicpass.engine.nic.interrupts import interrupt_handlers
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.cpus import Interrupt
from nicpass.model.errors import StepError
from nicpass.model.inverse import invert_step
from nicpass.model.plan import SteerInterrupts

NIC = Address("0000:03:00.0")


class Kernel(Files):
    """A tree that notes what is written to it."""

    def __init__(self, root: Path, heeds: bool = True) -> None:
        super().__init__(str(root))
        self.written: list[tuple[str, str]] = []
        self.heeds = heeds

    def write_kernel(self, path: str, value: str) -> None:
        self.written.append((path, value))
        if self.heeds:
            Path(self.root + path).write_text(f"{value}\n")


def kernel(root: Path, numbers: tuple[int, ...], heeds: bool = True) -> Kernel:
    for number in numbers:
        for path, text in ((f"sys/bus/pci/devices/{NIC}/msi_irqs/{number}", "msix"), (affinity(number), "0-7\n")):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
    return Kernel(root, heeds)


def affinity(number: int) -> str:
    return f"proc/irq/{number}/smp_affinity_list"


def step(*numbers: int) -> SteerInterrupts:
    return SteerInterrupts(
        address=NIC,
        before=tuple(Interrupt(number=number, cpus="0-7") for number in numbers),
        after=tuple(Interrupt(number=number, cpus="4-5") for number in numbers),
    )


def test_they_are_steered_and_come_back(tmp_path: Path) -> None:
    files = kernel(tmp_path, (61, 62))
    handler = interrupt_handlers(files)[SteerInterrupts]
    with pytest.raises(StepError, match="Interrupt 61"):
        handler.verify(step(61, 62))
    handler.apply(step(61, 62))
    handler.verify(step(61, 62))
    handler.apply(step(61, 62))
    assert files.written == [(f"/{affinity(number)}", "4-5") for number in (61, 62)]
    handler.apply(invert_step(step(61, 62)))
    assert (tmp_path / affinity(61)).read_text() == "0-7\n"


def test_a_number_that_somebody_else_has_by_now_is_left_alone(tmp_path: Path) -> None:
    files = kernel(tmp_path, (61,))
    (tmp_path / affinity(70)).parent.mkdir(parents=True)
    (tmp_path / affinity(70)).write_text("0\n")
    handler = interrupt_handlers(files)[SteerInterrupts]
    handler.apply(step(61, 70))
    handler.verify(step(61, 70))
    assert [path for path, _ in files.written] == [f"/{affinity(61)}"]


def test_of_a_vm_that_is_off_there_are_none(tmp_path: Path) -> None:
    handler = interrupt_handlers(Kernel(tmp_path))[SteerInterrupts]
    handler.apply(step(61))
    handler.verify(step(61))


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_one_that_the_kernel_manages_is_told_with_a_way_out(number: int, tmp_path: Path) -> None:
    files = kernel(tmp_path, (61,))
    setattr(files, "write_kernel", _fails(OSError(number, os.strerror(number))))  # noqa: B010
    with pytest.raises(StepError, match=f"Interrupt 61 of {NIC} cannot be given to CPUs 4-5: ") as raised:
        interrupt_handlers(files)[SteerInterrupts].apply(step(61))
    assert "While the VM is off" in raised.value.hint


def test_one_that_the_guest_lets_go_of_in_that_moment_is_no_error(tmp_path: Path) -> None:
    """Else a guest that has its interrupts come and go would keep its VM from being placed."""
    files = kernel(tmp_path, (61,))
    setattr(files, "write_kernel", _fails(FileNotFoundError(errno.ENOENT, "gone")))  # noqa: B010
    interrupt_handlers(files)[SteerInterrupts].apply(step(61))


def _fails(error: OSError) -> Callable[[str, str], None]:
    def write(_path: str, _value: str) -> None:
        raise error

    return write


def test_something_that_moves_them_again_is_told(tmp_path: Path) -> None:
    handler = interrupt_handlers(kernel(tmp_path, (61,), heeds=False))[SteerInterrupts]
    handler.apply(step(61))
    with pytest.raises(StepError) as raised:
        handler.verify(step(61))
    assert "irqbalance" in raised.value.hint


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    files = kernel(tmp_path, (61,))
    (tmp_path / affinity(61)).unlink()
    (tmp_path / affinity(61)).mkdir()
    with pytest.raises(StepError, match="cannot be read"):
        interrupt_handlers(files)[SteerInterrupts].apply(step(61))
