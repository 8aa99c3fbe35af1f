# SPDX-License-Identifier: Apache-2.0
"""Waiting for a VM to go out: a real process stands for its QEMU."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from nicpass.engine import handler
from nicpass.host.doors.files import Files
from nicpass.hypervisor.libvirt import shutdown
from nicpass.hypervisor.libvirt.shutdown import wait_for_shutdown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Host(Files):
    """A tree that counts as the running machine."""

    is_live = True


@pytest.fixture
def vm() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when its input does."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def host_with(tmp_path: Path, pid: str | None) -> Files:
    folder = tmp_path / "run/libvirt/qemu"
    folder.mkdir(parents=True)
    if pid is not None:
        (folder / "web 01.pid").write_text(pid)
    return Host(str(tmp_path))


@pytest.mark.spawns
def test_the_end_of_its_process_is_the_moment_to_ask(
    tmp_path: Path, vm: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "_FIRST_PAUSE", 60.0)  # no look without an event
    monkeypatch.setattr(handler, "PROMPT", 60.0)
    ended = [0.0]
    asked = threading.Event()

    def is_active() -> bool:
        asked.set()
        return vm.poll() is None

    def power_off() -> None:
        assert asked.wait(10)
        assert vm.stdin is not None
        vm.stdin.close()
        ended[0] = time.monotonic()

    thread = threading.Thread(target=power_off)
    thread.start()
    assert wait_for_shutdown(host_with(tmp_path, f"{vm.pid}\n"), "web 01", is_active, 30)
    thread.join()
    assert time.monotonic() - ended[0] < 5


@pytest.mark.parametrize("pid", [None, "", "nothing", "0", "-7", "4194305", "9" * 30])
def test_without_a_process_libvirt_is_asked_all_the_same(tmp_path: Path, pid: str | None) -> None:
    """4194305 is above PID_MAX_LIMIT of a 64-bit kernel, so nobody has it (linux/threads.h)."""
    answers = iter([True, True, False])
    assert wait_for_shutdown(host_with(tmp_path, pid), "web 01", lambda: next(answers), 10)


def test_one_that_stays_on_is_told(tmp_path: Path) -> None:
    assert not wait_for_shutdown(host_with(tmp_path, str(os.getpid())), "web 01", lambda: True, 0.02)


def test_its_descriptor_is_closed(tmp_path: Path) -> None:
    with shutdown._watch_process(host_with(tmp_path, str(os.getpid())), "web 01") as descriptors:
        (descriptor,) = descriptors
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_the_process_of_a_capture_is_not_one_of_this_machine(tmp_path: Path) -> None:
    host_with(tmp_path, str(os.getpid()))
    with shutdown._watch_process(Files(str(tmp_path)), "web 01") as descriptors:
        assert descriptors == ()
