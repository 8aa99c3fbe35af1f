# SPDX-License-Identifier: Apache-2.0
"""Turns the translations (.po, for people) into what gettext reads (.mo) whenever a wheel is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileMessages(BuildHookInterface[Any]):
    """Hatchling's custom build hook: https://hatch.pypa.io/latest/plugins/build-hook/custom/."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version, build_data
        compile_messages(Path(self.root) / "src" / "nicpass" / "locale")


def compile_messages(locale: Path) -> None:
    """Every catalogue below `locale`, beside its source; what is still marked fuzzy is left out."""
    for source in sorted(locale.rglob("*.po")):
        with source.open("rb") as lines:
            catalogue = read_po(lines)
        with source.with_suffix(".mo").open("wb") as target:
            write_mo(target, catalogue)
