# SPDX-License-Identifier: Apache-2.0
"""The one folder that the lab writes to: artifacts, kept by the hash of their recipe, and run folders, kept never.

An artifact is built in a run folder, under a lock, and published by a rename, so an interrupted build leaves
nothing that counts. A run folder belongs to the process that holds its lock; one whose owner is gone is swept
when the next one is made.
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lab.errors import LabError


def cache_root() -> Path:
    """The cache folder: `$NICPASS_LAB_CACHE`, else `nicpass-lab` in `$XDG_CACHE_HOME` or `~/.cache`."""
    chosen = os.environ.get("NICPASS_LAB_CACHE")
    if chosen:
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "nicpass-lab"


def recipe_key(recipe: object) -> str:
    """Sixteen hex digits that stand for a recipe: anything that JSON can say, in canonical form."""
    text = json.dumps(recipe, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_tree(folder: Path) -> dict[str, str]:
    """Every file below `folder` with the hash of its mode and content, so that a recipe can hold files."""
    return {
        str(path.relative_to(folder)): _hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def hash_code(path: Path) -> str:
    """Sixteen hex digits for the code of a Python file: other docstrings, comments or layout change no recipe."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [each for each in body if not _is_text(each)]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def _is_text(statement: ast.stmt) -> bool:
    """Whether a statement is a string alone, which does nothing."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _hash_file(path: Path) -> str:
    executable = path.stat().st_mode & 0o111
    return hashlib.sha256(bytes([bool(executable)]) + path.read_bytes()).hexdigest()[:16]


_KEPT = {"stage": 10, "bootpackages": 8, "bootdisk": 6, "bootstage": 10}
"""How many artifacts of a kind are kept; 400 MB a stage, 1.2 GB a base or an image, of which there are two."""


def remove_tree(folder: Path) -> None:
    """Remove a folder from which others take files away meanwhile: a QEMU that ends removes its sockets by itself."""
    while folder.exists():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)


class Cache:
    """The cache folder and its two kinds of content."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or cache_root()
        self.runs = self.root / "runs"
        self.locks = self.root / "locks"
        for folder in (self.runs, self.locks):
            folder.mkdir(parents=True, exist_ok=True)

    def find(self, name: str) -> Path | None:
        """The published artifact of that name, if there is one."""
        path = self.root / name
        return path if path.exists() else None

    def artifact(self, name: str, build: Callable[[Path], None]) -> Path:
        """The folder `name`, made by `build(folder)` if it is not there yet. Builders of one name queue up."""
        final = self.root / name
        with self.locked(name):
            if not final.exists():
                with self.run_folder("build") as run:
                    work = run / "artifact"
                    work.mkdir()
                    build(work)
                    work.rename(final)
                self._prune(name.split("-", maxsplit=1)[0])
        os.utime(final)  # the time of its last use
        return final

    def _prune(self, kind: str) -> None:
        """Keep the artifacts of one kind that were used last; every change of a recipe leaves another one behind.

        A host that runs from a removed artifact goes on, for its files are open.
        """
        found = sorted(self.root.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for folder in found[_KEPT.get(kind, 2) :]:
            # Out of the way in one step: a folder that is half removed must not pass for an artifact.
            doomed = Path(tempfile.mkdtemp(prefix="doomed-", dir=self.runs)) / folder.name
            folder.rename(doomed)
            shutil.rmtree(doomed.parent)

    @contextmanager
    def run_folder(self, label: str) -> Iterator[Path]:
        """A folder that lives as long as this block, or at the longest as this process."""
        with self.locked("runs"):
            self._sweep()
            folder = Path(tempfile.mkdtemp(prefix=f"{label}-", dir=self.runs))
            lock = (folder / "owner.lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            remove_tree(folder)
            lock.close()

    def sweep(self) -> None:
        """Remove the run folders whose owner is gone."""
        with self.locked("runs"):
            self._sweep()

    def _sweep(self) -> None:
        for folder in self.runs.iterdir():
            if _is_abandoned(folder):
                remove_tree(folder)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the cache's lock of that name; whoever else wants it waits."""
        with (self.locks / name).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _is_abandoned(folder: Path) -> bool:
    """True if nobody holds the folder's lock. Only asked under the lock of `runs`, so never while a folder is made."""
    try:
        with (folder / "owner.lock").open("w") as lock:
            return _try_lock(lock)
    except FileNotFoundError:
        return True
    except NotADirectoryError as error:
        raise LabError(f"{folder} is not a run folder: the cache holds something that is not the lab's") from error


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
