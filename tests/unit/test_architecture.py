# SPDX-License-Identifier: Apache-2.0
"""The house stands: lower floors import nothing from higher ones, files and functions stay small."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "nicpass"
FLOORS = {
    "model": 1,
    "host": 2,
    "boot": 2,
    "planner": 3,
    "checks": 3,
    "engine": 4,
    "hypervisor": 5,
    "cli": 6,
}
FILES = sorted(PACKAGE.rglob("*.py"))
OURS = [path for folder in ("src", "tests", "bench", "lab") for path in sorted((ROOT / folder).rglob("*.py"))]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 80
MEDIAN_FUNCTION_LINES = 8


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports_of(path: Path) -> list[tuple[str, int]]:
    """Every module that the file imports, also late ones; those for the type checker alone count too."""
    tree = ast.parse(path.read_text())
    found: list[tuple[str, int]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: relative import"
            found.append((node.module or "", node.lineno))
    return found


MODULES = {path: "nicpass." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in FILES}
BY_NAME = {module.removesuffix(".__init__"): path for path, module in MODULES.items()}


def arrows_of(path: Path) -> set[Path]:
    """The files of the package that this one imports: `from nicpass.boot.loader import grub` means grub.py."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module or ""]
        else:
            continue
        found |= {BY_NAME[name] for name in names if name in BY_NAME}
    # To import a module is to import the folder around it, which is no arrow between the two.
    return {other for other in found if other.name != "__init__.py" or other.parent not in path.parents}


def circle_in(arrows: dict[str, set[str]]) -> list[str]:
    """One way that comes back to where it began, or nothing."""
    done: set[str] = set()

    def walk(way: list[str]) -> list[str]:
        for other in sorted(arrows.get(way[-1], set())):
            if other in way:
                return [*way[way.index(other) :], other]
            if other not in done and (found := walk([*way, other])):
                return found
        done.add(way[-1])
        return []

    return next((found for start in sorted(arrows) if start not in done and (found := walk([start]))), [])


def functions_of(path: Path) -> list[tuple[str, int]]:
    nodes = (node for node in ast.walk(ast.parse(path.read_text())))
    return [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_every_room_has_a_floor() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))} == set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_lower_floors_import_nothing_from_higher_ones(path: Path) -> None:
    if path.parent == PACKAGE:
        return
    floor = FLOORS[path.relative_to(PACKAGE).parts[0]]
    for module, line in imports_of(path):
        room = module.split(".")[1] if module.startswith("nicpass.") else None
        assert room is None or FLOORS[room] <= floor, f"{name_of(path)}:{line} imports {module}"
        assert not module.startswith(("lab", "tests", "bench")), f"{name_of(path)}:{line} imports {module}"


def test_no_files_import_each_other() -> None:
    """Neither late nor for the type checker alone: who reads one of two that know each other must read both."""
    arrows = {name_of(path): {name_of(other) for other in arrows_of(path)} for path in FILES}
    assert circle_in(arrows) == []


def test_no_streets_import_each_other() -> None:
    """A street is a folder of the package; the files that stand above the streets of their room are its roof."""
    arrows: dict[str, set[str]] = {}
    for path in FILES:
        streets = {name_of(other.parent) for other in arrows_of(path)}
        arrows.setdefault(name_of(path.parent), set()).update(streets - {name_of(path.parent)})
    roofs = {name_of(path.parent) for path in FILES if any((path.parent / name).is_dir() for name in _streets(path))}
    assert circle_in({street: below - roofs for street, below in arrows.items() if street not in roofs}) == []


def _streets(path: Path) -> list[str]:
    return [folder.name for folder in path.parent.iterdir() if folder.is_dir() and any(folder.glob("*.py"))]


def test_a_circle_is_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c", "d"}, "c": set(), "d": {"b"}}) == ["b", "d", "b"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert circle_in({"a": {"a"}}) == ["a", "a"]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_repeats_the_name_of_its_street(path: Path) -> None:
    assert path.stem.removesuffix("s") != path.parent.name.removesuffix("s")


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("model", {"os", "pathlib", "subprocess", "socket", "time"}),
        ("checks", {"os", "pathlib", "subprocess", "socket", "time", "datetime", "random"}),
        ("planner", {"os", "pathlib", "subprocess", "socket", "time", "datetime", "random"}),
    ],
)
def test_deciding_reads_no_file_and_no_clock(room: str, forbidden: set[str]) -> None:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        for module, line in imports_of(path):
            assert module.split(".")[0].lstrip("_") not in forbidden, f"{name_of(path)}:{line} imports {module}"


def test_only_one_door_leads_to_processes() -> None:
    doors = {name_of(path) for path in FILES if any(module == "subprocess" for module, _ in imports_of(path))}
    assert doors == {"src/nicpass/host/doors/processes.py"}


@pytest.mark.parametrize("path", [path for path in FILES if "cli" not in path.parts], ids=name_of)
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"print", "exit", "quit"}, f"{name_of(path)}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys":
            assert node.attr not in {"stdout", "stderr", "exit"}, f"{name_of(path)}:{node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_are_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) < MAX_FILE_LINES
    for name, lines in functions_of(path):
        assert lines <= MAX_FUNCTION_LINES, f"{name} has {lines} lines"


def test_the_median_function_is_short() -> None:
    lengths = [lines for path in FILES for _, lines in functions_of(path)]
    assert statistics.median(lengths) <= MEDIAN_FUNCTION_LINES


def test_every_law_that_is_cited_stands_on_the_wall() -> None:
    laws = re.findall(r"(?m)^(\d+)\. \*\*[^*]+\*\*", (ROOT / "docs" / "laws.md").read_text())
    assert laws == [str(number) for number in range(1, len(laws) + 1)]
    cited = {number for path in OURS for number in re.findall(r"(?i)\blaws? (\d+)", path.read_text())}
    assert cited
    assert cited <= set(laws)


def test_every_street_is_drawn() -> None:
    drawn = (ROOT / "CONTRIBUTING.md").read_text()
    streets = {path.parent for path in FILES if len(path.relative_to(PACKAGE).parts) == 3}
    assert [name for street in sorted(streets) if f"`{(name := str(street.relative_to(PACKAGE)))}/`" not in drawn] == []


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_every_file_says_its_licence(path: Path) -> None:
    assert "SPDX-License-Identifier: Apache-2.0" in path.read_text()[:120]
