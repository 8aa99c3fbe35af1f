# SPDX-License-Identifier: Apache-2.0
"""The entry point: runs one command and turns its outcome into an exit code."""

from __future__ import annotations

import gc
import sys


def main(argv: list[str] | None = None) -> int:
    """Run `nicpass ARGV`; the exit code. Imports are late so that `--version` is as quick as Python allows."""
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

    return run(arguments)
