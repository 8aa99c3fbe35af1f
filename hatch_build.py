# SPDX-License-Identifier: Apache-2.0
"""Turns the translations (.po, for people) into what gettext reads (.mo) whenever a wheel is built.

A wheel's are made in a folder of their own: who builds one from a checkout finds the checkout as it was. Only an
installation that runs from the checkout (`pip install --editable`) has them there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileMessages(BuildHookInterface[Any]):
    """Hatchling's custom build hook: https://hatch.pypa.io/latest/plugins/build-hook/custom/."""

    _made: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        locale = Path(self.root) / "src" / "nicpass" / "locale"
        if self.target_name != "wheel":
            return
        if version == "editable":
            compile_messages(locale)
            return
        self._made = tempfile.TemporaryDirectory(prefix="nicpass-messages-")
        for made in compile_messages(locale, Path(self._made.name)):
            place = made.relative_to(self._made.name).as_posix()
            build_data["force_include"][str(made)] = f"nicpass/locale/{place}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        del version, build_data, artifact_path
        if self._made is not None:
            self._made.cleanup()


def compile_messages(locale: Path, target: Path | None = None) -> list[Path]:
    """Every catalogue below `locale`, at the same place below `target`; what is still marked fuzzy is left out."""
    made = []
    for source in sorted(locale.rglob("*.po")):
        with source.open("rb") as lines:
            catalogue = read_po(lines)
        place = (target or locale) / source.relative_to(locale).with_suffix(".mo")
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as compiled:
            write_mo(compiled, catalogue)
        made.append(place)
    return made
