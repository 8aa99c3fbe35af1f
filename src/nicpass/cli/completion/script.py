# SPDX-License-Identifier: Apache-2.0
"""`nicpass completion`: the script by which a shell completes nicpass's words, for whoever installed it elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nicpass.cli.render.output import say_as_it_is
from nicpass.model.errors import ExitCode

if TYPE_CHECKING:
    import argparse

SCRIPTS = {"bash": "nicpass.bash", "zsh": "_nicpass", "fish": "nicpass.fish"}
FOLDER = Path(__file__).resolve().parents[2] / "completions"


def completion_command(arguments: argparse.Namespace) -> int:
    say_as_it_is((FOLDER / SCRIPTS[arguments.shell]).read_text(encoding="utf-8"))
    return ExitCode.DONE
