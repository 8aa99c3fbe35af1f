# SPDX-License-Identifier: Apache-2.0
"""Loads a library without what nicpass never asks of it: half of a command's time is the loading of modules."""

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


def load_msgspec() -> None:
    """Without what it would load in vain, which takes longer than all the rest of it.

    Of typing_extensions, which it takes where it is there, it wants what `typing` of every Python that nicpass runs on
    has as well (msgspec/_utils.py). Its inspection of types and its JSON Schema, which folds texts, nobody asks for
    here. And `uuid` asks `platform` which system this is (uuid.py), and nothing else.
    """
    if "msgspec" in sys.modules:
        return
    for later in (_Later("platform", system=lambda: "Linux"), _Later("textwrap"), _Later("msgspec.inspect")):
        sys.modules.setdefault(later.__name__, later)
    is_hidden = sys.modules.setdefault("typing_extensions", None) is None  # type: ignore[arg-type]  # an ImportError
    try:
        import msgspec  # noqa: F401
    finally:
        if is_hidden:
            del sys.modules["typing_extensions"]
