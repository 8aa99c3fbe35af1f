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
    if argv is None:
        _open_closed_streams()
    arguments = sys.argv[1:] if argv is None else argv
    if arguments == ["--version"]:
        return _say_version()
    if argv is None:
        # A run is short, and what it makes is freed without the collector, which would go through all that is loaded
        # dozens of times: a sixth of the time of an attach.
        gc.disable()
    exit_code = _run(arguments)
    if argv is None:
        _leave(exit_code)
    return exit_code


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["--complete"]:
        from nicpass.cli.completion.candidates import complete_command

        return complete_command(arguments[1:])
    from nicpass.cli.run import run

    return run(arguments)


def _say_version() -> int:
    from nicpass import __version__

    try:
        sys.stdout.write(f"nicpass {__version__}\n")
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.stderr.write("" if isinstance(error, BrokenPipeError) else f"nicpass: {error.strerror}\n")
        return int(not isinstance(error, BrokenPipeError))
    return 0


def _open_closed_streams() -> None:
    """Open what a caller has closed of the three streams (`>&-`), or the next file that is opened gets its number.

    Then a library's message would be written into a journal. Standard output is opened for reading, so that it is an
    error to print there, as the caller wants it.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            descriptor = os.open(os.devnull, flags)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


def _leave(exit_code: int) -> None:
    """End the process at once: to take down piece by piece all that was loaded takes as long as to read a host."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(exit_code)
