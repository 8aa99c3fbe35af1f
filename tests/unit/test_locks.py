# SPDX-License-Identifier: Apache-2.0
"""What tests and lab install is locked, and the lock is of this pyproject.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
USERS = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
TESTS = [Requirement(text) for group in ("dev", "lab") for text in PROJECT["dependency-groups"][group]]


def locked(name: str) -> list[tuple[Requirement, int]]:
    """(requirement, how many hashes) of every line of a lock."""
    lines = (ROOT / "locks" / name).read_text().replace("\\\n", " ").splitlines()
    return [
        (Requirement(line.split(" --hash")[0]), line.count(" --hash=sha256:"))
        for line in lines
        if line and not line.startswith("#")
    ]


@pytest.mark.parametrize(("name", "asked"), [("tests.txt", USERS + TESTS), ("host.txt", USERS)])
def test_the_lock_has_one_version_of_all_that_is_asked_for(name: str, asked: list[Requirement]) -> None:
    """`make lock` writes it anew."""
    for wanted in asked:
        versions = [
            specifier.version
            for requirement, _ in locked(name)
            if canonicalize_name(requirement.name) == canonicalize_name(wanted.name)
            for specifier in requirement.specifier
        ]
        assert len(versions) == 1, wanted
        assert wanted.specifier.contains(versions[0]), wanted


@pytest.mark.parametrize("name", ["tests.txt", "host.txt"])
def test_every_line_of_a_lock_is_one_version_with_its_hashes(name: str) -> None:
    for requirement, hashes in locked(name):
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
        assert requirement.url is None
        assert hashes > 0, requirement


def test_the_host_gets_what_the_tests_get() -> None:
    versions = {str(requirement) for requirement, _ in locked("tests.txt")}
    assert {str(requirement) for requirement, _ in locked("host.txt")} <= versions


def test_a_library_before_its_first_version_is_bound_to_the_minor_versions_that_were_tried() -> None:
    for requirement in USERS:
        bounds = {specifier.operator: specifier.version for specifier in requirement.specifier}
        assert set(bounds) == {">=", "<"}, requirement
        if bounds[">="].startswith("0."):
            assert bounds["<"].startswith("0."), requirement
