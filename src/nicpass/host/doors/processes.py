# SPDX-License-Identifier: Apache-2.0
"""The one door to processes: an argument list, a time limit, an answer. Never a shell."""

from __future__ import annotations

import contextlib

import msgspec

_GRACE = 1.0  # seconds that a killed process has to go


class Completed(msgspec.Struct, frozen=True):
    """How a process ended. `exit_code` is None when it was not found or had to be killed at its limit."""

    exit_code: int | None
    output: str
    error: str


class Processes:
    """Runs programs of the system."""

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        """Run `argv` to its end, or kill it after `timeout` seconds.

        A process that hangs in the kernel cannot be killed; then it is left behind, not waited for.
        """
        import subprocess  # late: with what it loads, it takes longer than to plan an attach

        try:
            # A session of its own: Ctrl-C in our terminal must not cut a helper short in the middle of a write.
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Whoever names an interface or a file decides what is printed: no byte of it may stop us (law 11).
                encoding="utf-8",
                errors="backslashreplace",
                start_new_session=True,
            )
        except FileNotFoundError:
            return Completed(None, "", f"{argv[0]}: not installed")
        try:
            output, error = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=_GRACE)
            return Completed(None, "", f"{argv[0]}: no answer within {timeout:g} s")
        return Completed(process.returncode, output, error.strip())
