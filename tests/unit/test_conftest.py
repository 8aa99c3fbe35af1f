# SPDX-License-Identifier: Apache-2.0
"""The guard of conftest.py bites; and the door to processes, which needs it open."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Processes
from nicpass.host.pci.functions import read_pci


@pytest.mark.parametrize(
    "spawn",
    [
        lambda: subprocess.run(["/bin/true"], check=False),
        lambda: os.system("true"),  # noqa: S605, S607
        lambda: os.posix_spawn("/bin/true", ["true"], {}),
        os.fork,
        lambda: Processes().run(["true"], timeout=1),
    ],
)
def test_a_unit_test_cannot_start_a_process(spawn: Callable[[], object]) -> None:
    with pytest.raises(AssertionError, match="starts a process"):
        spawn()


def test_a_unit_test_cannot_read_this_machines_sys() -> None:
    with pytest.raises(AssertionError, match="reads this machine"):
        read_pci(Files())
    with pytest.raises(AssertionError, match="reads this machine"):
        Files().read_text("/sys/class/net/lo/address")


@pytest.mark.spawns
class TestProcesses:
    """An argument list, a time limit, an answer."""

    def test_output_and_exit_code(self) -> None:
        done = Processes().run([sys.executable, "-c", "import sys; print(input()); sys.exit(3)"], timeout=20, stdin="a")
        assert (done.exit_code, done.output) == (3, "a\n")

    def test_what_is_not_installed_is_said(self) -> None:
        assert Processes().run(["nicpass-no-such-program"], timeout=1).error == "nicpass-no-such-program: not installed"

    def test_what_hangs_is_killed_at_its_limit(self) -> None:
        done = Processes().run(["sleep", "60"], timeout=0.05)
        assert done.exit_code is None
        assert "no answer within 0.05 s" in done.error

    def test_no_shell_reads_the_arguments(self) -> None:
        assert Processes().run(["echo", "$HOME; `id`"], timeout=5).output == "$HOME; `id`\n"
