# SPDX-License-Identifier: Apache-2.0
"""The entry point: runs one command and turns its outcome into an exit code."""

from __future__ import annotations

import contextlib
import gc
import os
import sys


def main(argv: list[str] | None = None) -> int:
    """Run `nicpass ARGV`; the exit code. Imports are late so that `--version` is as quick as Python allows.

    Without `argv` this is the whole program: it takes its words from the command line, and does not return.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if arguments == ["--version"]:
        from nicpass import __version__

        sys.stdout.write(f"nicpass {__version__}\n")
        return 0
    if argv is None:
        # A run is short, and what it makes is freed without the collector, which would go through all that is loaded
        # dozens of times: a sixth of the time of an attach.
        gc.disable()
    from nicpass.cli.run import run

    exit_code = run(arguments)
    if argv is None:
        _leave(exit_code)
    return exit_code


def _leave(exit_code: int) -> None:
    """End the process at once: to take down piece by piece all that was loaded takes as long as to read a host."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(exit_code)
