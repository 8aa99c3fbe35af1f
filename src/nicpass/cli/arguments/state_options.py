# SPDX-License-Identifier: Apache-2.0
"""What the command line takes for a host in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.language import _

if TYPE_CHECKING:
    from nicpass.cli.arguments.parsing import Parser


def text_of_state(command: str) -> str:
    """What `nicpass export`, `plan` or `apply` is for, in a line."""
    return {
        "export": _("write the host down as a file for plan and apply: boot, VFs, pools, VMs' NICs"),
        "plan": _("show in what the host is not as a file says; exit 0 if in nothing, 10 else"),
        "apply": _("make the host as a file says, all of it or nothing"),
    }[command]


def add_state_options(command: Parser) -> None:
    """Add the file, and what becomes of what it does not name."""
    command.add_argument("file", metavar="FILE", help=_("YAML, as nicpass export writes it; - is standard input"))
    command.add_argument(
        "--prune", action="store_true", help=_("take back what nicpass has made and the file does not name")
    )
