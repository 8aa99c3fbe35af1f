# SPDX-License-Identifier: Apache-2.0
"""Loads libraries without what nicpass never asks of them: half of a command's time is the loading of modules."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module that something loads and nicpass does not ask; a question to it loads it.

    `known` is what it can tell without.
    """

    def __init__(self, name: str, **known: object) -> None:
        super().__init__(name)
        self.__dict__.update(known)

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def load_libraries() -> None:
    """msgspec and argparse, without what they would load in vain, which takes as long as the rest of them.

    Of typing_extensions, which msgspec takes where it is there, it wants what `typing` of every Python that nicpass
    runs on has as well (msgspec/_utils.py). Its inspection of types and its JSON Schema, which folds texts, nobody asks
    for here. `uuid` asks `platform` which system this is (uuid.py), and nothing else. What argparse says is put into
    another language by `cli.translation`, not by a catalogue of argparse's own.
    """
    if "msgspec" in sys.modules:
        return
    for later in (
        _Later("platform", system=lambda: "Linux"),
        _Later("textwrap"),
        _Later("msgspec.inspect"),
        _Later("gettext", gettext=str, ngettext=lambda one, many, count: one if count == 1 else many),
    ):
        sys.modules.setdefault(later.__name__, later)
    is_hidden = sys.modules.setdefault("typing_extensions", None) is None  # type: ignore[arg-type]  # an ImportError
    try:
        import argparse  # noqa: F401

        import msgspec  # noqa: F401
    finally:
        if is_hidden:
            del sys.modules["typing_extensions"]
