# SPDX-License-Identifier: Apache-2.0
"""The cache: keys, artifacts that are whole or not there, run folders that do not stay."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lab.cache import Cache, cache_root, hash_code, hash_tree, recipe_key, remove_tree


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_the_folder_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.delenv("NICPASS_LAB_CACHE", raising=False)
    assert cache_root() == Path("/x/nicpass-lab")
    monkeypatch.setenv("NICPASS_LAB_CACHE", "/y")
    assert cache_root() == Path("/y")
    monkeypatch.delenv("NICPASS_LAB_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_root() == Path.home() / ".cache/nicpass-lab"


def test_a_key_stands_for_the_content_not_the_order() -> None:
    assert recipe_key({"a": 1, "b": [2]}) == recipe_key({"b": [2], "a": 1})
    assert recipe_key([1, 2]) != recipe_key([2, 1])


def test_a_tree_is_its_names_contents_and_what_can_run(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = hash_tree(tmp_path)
    assert hash_tree(tmp_path) == before
    (tmp_path / "a").chmod(0o755)
    assert hash_tree(tmp_path) != before


def test_code_is_what_it_does_not_how_it_looks(tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in "123")
    one.write_text("x = [1,2]\n")
    two.write_text('"""A docstring."""\n# a comment\nx = [\n    1,\n    2,\n]\n"""Of x."""\n')
    three.write_text("x = [1, 3]\n")
    assert hash_code(one) == hash_code(two) != hash_code(three)


def test_an_artifact_is_built_once(cache: Cache) -> None:
    built: list[Path] = []

    def build(out: Path) -> None:
        built.append(out)
        (out / "file").write_text("content")

    assert cache.artifact("thing-1", build) == cache.artifact("thing-1", build) == cache.root / "thing-1"
    assert (cache.root / "thing-1/file").read_text() == "content"
    assert len(built) == 1
    assert list(cache.runs.iterdir()) == []


def test_a_build_that_is_interrupted_leaves_nothing(cache: Cache) -> None:
    def build(out: Path) -> None:
        (out / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.artifact("thing-1", build)
    assert cache.find("thing-1") is None
    assert list(cache.runs.iterdir()) == []


def test_a_run_folder_lives_as_long_as_its_block(cache: Cache) -> None:
    with cache.run_folder("some") as folder:
        assert folder.is_dir()
        cache.sweep()
        assert folder.is_dir()
    assert not folder.exists()


def test_what_a_killed_owner_left_is_swept_by_the_next(cache: Cache) -> None:
    for name in ("with-a-lock", "without"):
        (cache.runs / name).mkdir()
    (cache.runs / "with-a-lock/owner.lock").touch()
    with cache.run_folder("next") as folder:
        assert list(cache.runs.iterdir()) == [folder]


def test_only_what_was_used_last_is_kept(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for number in range(3):
        folder = cache.artifact(f"base-{number}", lambda out: (out / "file").touch())
        os.utime(folder, (number, number))
    cache.artifact("base-3", lambda out: None)
    assert sorted(path.name for path in tmp_path.glob("base-*")) == ["base-2", "base-3"]
    assert list(cache.runs.iterdir()) == []


def test_a_file_that_goes_while_its_folder_is_removed_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "monitor.sock").touch()
    unlink = os.unlink

    def come_too_late(*names: Any, **more: Any) -> None:
        unlink(*names, **more)
        monkeypatch.setattr(os, "unlink", unlink)
        raise FileNotFoundError(2, "No such file or directory", names[0])

    monkeypatch.setattr(os, "unlink", come_too_late)
    remove_tree(folder)
    assert not folder.exists()
