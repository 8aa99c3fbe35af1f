# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.mutation`: the mutation score of the rooms of safety, and what lives.

`--sample 20` judges one mutant in twenty, the same ones each time, and `--part 1` the ones after them; `--rooms` names
files or folders; `--left lived` judges only those anew that lived, `--left unjudged` those that have no verdict yet.
Verdicts stay in `.mutants/`, and the report is of all that stand there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.mutation import cold, operators, warm
from tests.mutation import mutants as mutants_module
from tests.mutation.judge import Verdict
from tests.mutation.mutants import ROOMS, ROOT, Mutant, files_of, mutants_of
from tests.mutation.report import report, stale

KEPT = ROOT / ".mutants"
LEFT_OUT = (
    "lab",
    "test_architecture.py",
    "test_locks.py",
    "cli/render/test_documents.py",
    "cli/test_hostile_text.py",
    "cli/test_own_time.py",
    "cli/test_startup.py",
    "cli/render/test_translation.py",
    "engine/test_two_at_once.py",
    "simulated/test_sequences.py",
)
"""Tests of other things than what the rooms do, and such as take minutes: what only they notice counts as lived."""
PYTEST = [
    "-q",
    "-s",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:xdist",
    "-m",
    "not full",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
]


def main() -> int:
    arguments = _parser().parse_args()
    rooms = tuple(_room(room) for room in arguments.rooms)
    KEPT.mkdir(exist_ok=True)
    start = time.monotonic()
    mutants = [mutant for path in files_of(rooms) for mutant in _kept_mutants(path)]
    verdicts = _read_verdicts()
    chosen = [mutant for mutant in mutants if mutant.number % arguments.sample == arguments.part]
    chosen = [mutant for mutant in chosen if _is_left(mutant, verdicts, arguments.left)]
    if arguments.warm:
        chosen = [mutant for mutant in chosen if mutant.inside]
    print(f"{len(chosen)} of {len(mutants)} mutants", flush=True)
    failed = _judge(chosen, arguments.jobs, arguments.tests, arguments.longest, arguments.most, again=arguments.again)
    verdicts = _read_verdicts()
    shown = chosen if arguments.only else mutants
    for line in report(shown, verdicts):
        print(line)
    for key in stale(mutants, rooms):
        print(f"no such mutant: {key}")
    for name in failed:
        print(f"fails without a mutant: {name}")
    print(f"{time.monotonic() - start:.0f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument(
        "--rooms", nargs="+", default=list(ROOMS), help="files or folders, from src/nicpass or the root"
    )
    parser.add_argument("--sample", type=int, default=1, help="judge one in so many")
    parser.add_argument("--part", type=int, default=0, help="which one in so many, from 0")
    parser.add_argument("--left", choices=("unjudged", "lived", "all"), help="judge only what was not noticed yet")
    parser.add_argument("--only", action="store_true", help="report only what was judged now")
    parser.add_argument("--warm", action="store_true", help="leave out constants and defaults, which take long")
    parser.add_argument("--again", action="store_true", help="only new tests are run to see what they cover")
    parser.add_argument("--tests", nargs="+", default=["tests/unit"], help="the tests that judge")
    parser.add_argument("--longest", type=float, default=2.0, help="seconds; a test that takes longer judges none")
    parser.add_argument("--most", type=int, default=400, help="tests for one mutant, those of its own street first")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at once")
    return parser


def _is_left(mutant: Mutant, verdicts: dict[str, Verdict], left: str | None) -> bool:
    """Whether it is to be judged: any, or only what has no verdict yet, or what lived, or both of these."""
    verdict = verdicts.get(mutant.key)
    if verdict is None:
        return left != "lived"
    return left is None or (left != "unjudged" and not verdict.noticed)


def _room(name: str) -> str:
    return name if name.startswith("src/") else f"src/nicpass/{name}"


def _judge(mutants: list[Mutant], jobs: int, tests: list[str], longest: float, most: int, *, again: bool) -> list[str]:
    """Judge by forks of a process that has run all tests, then what needs a process that has loaded nothing yet."""
    os.chdir(ROOT)
    cold.preload()
    chosen = [*PYTEST, *(f"--ignore=tests/unit/{name}" for name in LEFT_OUT)]
    inside = sorted((mutant for mutant in mutants if mutant.inside), key=lambda mutant: mutant.number)
    child = os.fork()
    if not child:
        _quietly(KEPT / "pytest.log")
        kept = _read_covered() if again and (KEPT / "covered").exists() else warm.Covered()
        plugin = warm.Warm(
            inside, kept, longest, most, _keep_covered, lambda all_, judging: warm.workers(jobs, all_, judging, _keep)
        )
        os._exit(int(pytest.main([*chosen, *tests], plugins=[plugin])))
    if os.waitpid(child, 0)[1]:
        sys.exit(f"pytest ended early: {KEPT / 'pytest.log'}")
    covered = _read_covered()
    outside = [mutant for mutant in mutants if not mutant.inside]
    warm.workers(jobs, outside, lambda mutant: cold.judge_cold(mutant, covered.quick(longest), PYTEST), _keep)
    return covered.failed


def _quietly(log: Path) -> None:
    sys.stdout.flush()
    number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (number, 1), (number, 2)):
        os.dup2(old, new)


def _kept_mutants(path: Path) -> list[Mutant]:
    """The mutants of a file, from last time if neither it nor the operators have changed."""
    code = b"".join(file.read_bytes() for file in (path, *map(Path, (operators.__file__, mutants_module.__file__))))
    kept = KEPT / f"mutants-{hashlib.sha256(code).hexdigest()[:16]}"
    if not kept.exists():
        kept.write_bytes(pickle.dumps(mutants_of(path)))
    found: list[Mutant] = pickle.loads(kept.read_bytes())  # noqa: S301
    return found


def _keep_covered(covered: warm.Covered) -> None:
    (KEPT / "covered").write_bytes(pickle.dumps(covered))


def _read_covered() -> warm.Covered:
    covered: warm.Covered = pickle.loads((KEPT / "covered").read_bytes())  # noqa: S301
    return covered


def _keep(verdict: Verdict) -> None:
    with (KEPT / "verdicts").open("a") as kept:
        kept.write(json.dumps(asdict(verdict)) + "\n")


def _read_verdicts() -> dict[str, Verdict]:
    """The last verdict of each."""
    if not (KEPT / "verdicts").exists():
        return {}
    return {(verdict := Verdict(**json.loads(line))).key: verdict for line in (KEPT / "verdicts").open()}


if __name__ == "__main__":
    sys.exit(main())
