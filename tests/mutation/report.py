# SPDX-License-Identifier: Apache-2.0
"""The score by room, and what lives; `equivalent.toml` says of some why no test can notice them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.mutation.judge import Verdict
from tests.mutation.mutants import ROOMS, ROOT, Mutant

EQUIVALENT = Path(__file__).with_name("equivalent.toml")


def equivalents() -> dict[str, str]:
    """The mutant's name to why it is equal."""
    reasons = tomllib.loads(EQUIVALENT.read_text())["equal"]
    return {key: reason["why"] for reason in reasons for key in reason["mutants"]}


def report(mutants: list[Mutant], verdicts: dict[str, Verdict]) -> Iterator[str]:
    """Lines: what lives, then the score by room and file, of what was judged."""
    equal = equivalents()
    judged = [mutant for mutant in mutants if mutant.key in verdicts]
    counted = [mutant for mutant in judged if mutant.key not in equal]
    for mutant in sorted(counted, key=lambda mutant: (mutant.path, mutant.line)):
        if not verdicts[mutant.key].noticed:
            yield f"{verdicts[mutant.key].outcome:9} {mutant.line:4} {mutant.key}"
    for mutant in judged:
        if mutant.key in equal and verdicts[mutant.key].noticed:
            yield f"not equal {mutant.line:4} {mutant.key}: noticed by {verdicts[mutant.key].by}"
    yield ""
    for room in [*ROOMS, ""]:
        inside = [mutant for mutant in counted if mutant.path.startswith(room)]
        if room and room.endswith(".py"):
            yield _score(room, inside, verdicts)
            continue
        for path in sorted({mutant.path for mutant in inside}) if room else ():
            yield _score("  " + str(Path(path).relative_to(room)), [m for m in inside if m.path == path], verdicts)
        yield _score(room or "all", inside, verdicts)
    yield f"{len(judged) - len(counted)} of {len(judged)} are equal by {EQUIVALENT.relative_to(ROOT)}"


def stale(mutants: list[Mutant], rooms: tuple[str, ...]) -> list[str]:
    """Entries of the list of equals that name no mutant."""
    there = {mutant.key for mutant in mutants}
    return [key for key in equivalents() if key not in there and key.startswith(rooms)]


def _score(name: str, mutants: list[Mutant], verdicts: dict[str, Verdict]) -> str:
    noticed = sum(verdicts[mutant.key].noticed for mutant in mutants)
    share = f"{100 * noticed / len(mutants):5.1f} %" if mutants else "     –"
    return f"{name:45} {noticed:5} of {len(mutants):5} noticed  {share}"
