# SPDX-License-Identifier: Apache-2.0
"""Runs one parsed command; every error ends here, as a sentence, a hint and an exit code."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from nicpass.cli.output import flush, say_error
from nicpass.cli.parser import build_parser
from nicpass.cli.translation import choose_language, speak
from nicpass.model.errors import ExitCode, NicpassError
from nicpass.model.language import _

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def run(argv: list[str]) -> int:
    """Parse, dispatch, and answer with the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Latin-1 terminal has no arrows
    speak(choose_language(argv, os.environ), sys.stdout.encoding)
    try:
        # argparse would take the word after a bare `--dry-run` for its value.
        words = ["--dry-run=plan" if word == "--dry-run" else word for word in argv]
        arguments = build_parser(words[0] if words else None).parse_args(words)
        exit_code = dispatch(arguments)
        flush()
        if arguments.command in ("list", "check"):
            _tell_unsettled(arguments)
        return exit_code
    except NicpassError as error:
        say_error(error, as_json="--json" in argv)
        return error.exit_code
    except KeyboardInterrupt:
        interrupted = _("Interrupted.")
        sys.stderr.write(f"nicpass: {interrupted}\n")
        return ExitCode.ROLLED_BACK
    except Exception as error:
        if "NICPASS_DEBUG" in os.environ:
            raise
        mistake = NicpassError(
            _("A mistake of nicpass itself: {kind}: {error}.").format(kind=type(error).__name__, error=error),
            _("Please report it, with what NICPASS_DEBUG=1 nicpass ... prints."),
        )
        say_error(mistake, as_json="--json" in argv)
        return mistake.exit_code


def _tell_unsettled(arguments: argparse.Namespace) -> None:
    """Print which changes were cut off: whoever looks at a half-changed host is to know it, and what settles it."""
    if arguments.snapshot is not None or arguments.root is not None or os.geteuid() != 0:
        return
    from nicpass.cli.unsettled import owed_nics, summary_of
    from nicpass.engine.journal import find_unsettled
    from nicpass.host.doors.files import Files

    for change in find_unsettled(Files()):
        text = _("an earlier change was cut off: {change} ({summary}); settle it with: nicpass recover").format(
            change=change.identity, summary=summary_of(change)
        )
        sys.stderr.write(f"nicpass: {text}\n")
    for nic in owed_nics(arguments):
        text = _("{address} has come back from {domain} and is not what it was; nicpass recover restores it").format(
            address=nic.state.address, domain=nic.owner.domain if nic.owner else "VM"
        )
        sys.stderr.write(f"nicpass: {text}\n")


def dispatch(arguments: argparse.Namespace) -> int:
    """Call the command's module; each is loaded only when it is asked for."""
    module, name = _HANDLERS.get(arguments.command, ("changing", "change_command"))
    handler: Callable[[argparse.Namespace], int] = getattr(import_module(f"nicpass.cli.{module}"), name)
    return handler(arguments)


_HANDLERS = {
    "list": ("listing", "list_nics_command"),
    "check": ("checking", "check_command"),
    "explain": ("explaining", "explain_command"),
    "schema": ("schemas", "schema_command"),
    "snapshot": ("listing", "snapshot_command"),
    "history": ("history", "history_command"),
    "show": ("history", "show_command"),
    "recover": ("settling", "recover_command"),
    "confirm": ("settling", "confirm_command"),
    "prepare": ("preparing", "prepare_command"),
}
"""Module and function of each command; all others change a NIC."""
