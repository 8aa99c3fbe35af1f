# SPDX-License-Identifier: Apache-2.0
"""Runs one parsed command; every error ends here, as a sentence, a hint and an exit code."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from nicpass.cli.arguments.parser import build_parser
from nicpass.cli.render.output import complain, lost_output, say_error
from nicpass.cli.render.translation import choose_language, speak
from nicpass.model.errors import ExitCode, NicpassError
from nicpass.model.language import _
from nicpass.model.text import well_formed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


def run(argv: list[str]) -> int:
    """Parse, dispatch, and answer with the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a Latin-1 terminal has no arrows
    speak(choose_language(argv, os.environ), sys.stdout.encoding)
    changed = False
    try:
        # argparse would take the word after a bare `--dry-run` for its value.
        plans = bool(argv) and argv[0] in _WITH_DRY_RUN  # of others nobody shall read a word that he did not type
        words = ["--dry-run=plan" if plans and word == "--dry-run" else word for word in argv]
        arguments = _without_surrogates(build_parser(words[0] if words else None).parse_args(words))
        changed = _name_of(arguments) not in _READING and getattr(arguments, "dry_run", None) is None
        exit_code = dispatch(arguments)
        if arguments.command in ("list", "check"):
            _tell_unsettled(arguments)
    except SystemExit as error:  # argparse has printed its help
        exit_code = error.code if isinstance(error.code, int) else ExitCode.DONE
    except BaseException as error:
        exit_code = _tell_error(error, as_json="--json" in argv)
    return _tell_lost_output(exit_code, changed=changed)


def _tell_error(error: BaseException, *, as_json: bool) -> int:
    """Print why a command has failed: its exit code."""
    if isinstance(error, KeyboardInterrupt):
        error = NicpassError(_("Interrupted."))
    if not isinstance(error, NicpassError):
        if "NICPASS_DEBUG" in os.environ or not isinstance(error, Exception):
            raise error
        error = NicpassError(
            _("A mistake of nicpass itself: {kind}: {error}.").format(kind=type(error).__name__, error=error),
            _("Please report it, with what NICPASS_DEBUG=1 nicpass ... prints."),
        )
    say_error(error, as_json=as_json)
    return error.exit_code


def _tell_lost_output(exit_code: int, *, changed: bool) -> int:
    """The run's exit code: that of a change is its own, though nobody saw it printed; its journal has the rest."""
    reason = lost_output()
    if reason is None:
        return exit_code
    text = _("standard output could not be written: {reason}").format(reason=reason)
    complain(f"nicpass: {text}")
    return exit_code if changed or exit_code != ExitCode.DONE else ExitCode.ROLLED_BACK


def _without_surrogates(arguments: argparse.Namespace) -> argparse.Namespace:
    """The arguments as text that JSON can hold; but names of files stay the bytes that they are."""
    for name, value in vars(arguments).items():
        if isinstance(value, str) and name not in ("root", "snapshot"):
            setattr(arguments, name, well_formed(value))
        elif isinstance(value, list):
            setattr(arguments, name, [well_formed(word) if isinstance(word, str) else word for word in value])
    return arguments


def _tell_unsettled(arguments: argparse.Namespace) -> None:
    """Print which changes were cut off: whoever looks at a half-changed host is to know it, and what settles it."""
    if arguments.snapshot is not None or arguments.root is not None or os.geteuid() != 0:
        return
    from nicpass.cli.journal.unsettled import owed_nics, tell_unfinished
    from nicpass.host.doors.files import Files

    tell_unfinished(Files())
    for nic in owed_nics(arguments):
        text = _("{address} has come back from {domain} and is not what it was; nicpass recover restores it").format(
            address=nic.state.address, domain=nic.owner.domain if nic.owner else "VM"
        )
        complain(f"nicpass: {text}")


def dispatch(arguments: argparse.Namespace) -> int:
    """Call the command's module; each is loaded only when it is asked for."""
    module, name = _HANDLERS.get(_name_of(arguments), ("nic.changing", "change_command"))
    handler: Callable[[argparse.Namespace], int] = getattr(import_module(f"nicpass.cli.{module}"), name)
    return handler(arguments)


def _name_of(arguments: argparse.Namespace) -> str:
    """The command's name; of the actions of `vf` and `pool`, those that plan nothing have a name of their own."""
    name: str = arguments.command
    return f"{name} {arguments.action}" if name in ("vf", "pool") and arguments.action in ("list", "restore") else name


_WITH_DRY_RUN = ("attach", "detach", "vf", "pool", "tune", "undo", "prepare", "apply")
_READING = (
    *("export", "plan", "list", "check", "explain", "schema", "snapshot", "history", "show"),
    *("vf list", "pool list", "completion"),
)
_HANDLERS = {
    "list": ("nic.listing", "list_nics_command"),
    "check": ("nic.checking", "check_command"),
    "explain": ("explaining", "explain_command"),
    "schema": ("schemas", "schema_command"),
    "completion": ("completion.script", "completion_command"),
    "vf list": ("vf.listing", "list_vfs_command"),
    "pool list": ("pool.listing", "list_pools_command"),
    "snapshot": ("nic.listing", "snapshot_command"),
    "history": ("journal.history", "history_command"),
    "show": ("journal.history", "show_command"),
    "recover": ("journal.settling", "recover_command"),
    "confirm": ("journal.settling", "confirm_command"),
    "prepare": ("boot.preparing", "prepare_command"),
    "export": ("state.applying", "export_command"),
    "plan": ("state.applying", "plan_command"),
    "apply": ("state.applying", "apply_command"),
    "vf restore": ("vf.restoring", "restore_vfs_command"),
}
"""Module and function of each command; all others change a NIC."""
