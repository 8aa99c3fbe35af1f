# SPDX-License-Identifier: Apache-2.0
"""The host is turned over once, however many NICs are looked at: a thousand look-ups of a thousand take seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.main import main
from tests.support.hosts import VM, generated_host

SEVERAL = 2
"""A look-up before the VM is known, and one for it."""


def counted(work: Callable[[Any], Any], name: str, counts: Counter[str]) -> Callable[[Any], Any]:
    def count(index: HostIndex) -> Any:
        counts[name] += 1
        return work(index)

    return count


@pytest.mark.parametrize("words", [("check",), ("check", "--vm", VM.name), ("list",)])
def test_each_look_up_is_made_once(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[str] = Counter()
    for place in HostIndex.__mro__:
        for name, found in vars(place).items():
            if isinstance(found, cached_property):
                monkeypatch.setattr(found, "func", counted(found.func, name, counts))
    main([*words, "--root", str(generated_host(64).write(tmp_path))])
    assert counts, "nothing was looked up"
    assert {name: count for name, count in counts.items() if count > SEVERAL} == {}
