# SPDX-License-Identifier: Apache-2.0
"""Unit tests stay inside their own folder: none starts a process, none sees this machine's /sys.

What a mock would hide (a forgotten call site, another module's door) an audit hook sees: PEP 578.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from nicpass.model import language

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "hosts"

_SPAWNING = frozenset(
    {"subprocess.Popen", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.system", "os.exec"}
)
_READING = frozenset({"open", "os.listdir", "os.scandir"})

settings.register_profile("unit", max_examples=40, deadline=None, derandomize=True, database=None)
settings.load_profile("unit")


class _Guard:
    """Whether the hook bites; a hook, once added, cannot be taken away."""

    may_spawn = True
    may_read_sys = True


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event in _READING:
        path = arguments[0] if arguments else None
        if not _Guard.may_read_sys and isinstance(path, str) and path.startswith("/sys/"):
            raise AssertionError(f"a unit test reads this machine's {path}")
    elif event in _SPAWNING and not _Guard.may_spawn:
        raise AssertionError(f"a unit test starts a process ({event}); if it must: @pytest.mark.spawns")


sys.addaudithook(_audit)


@pytest.fixture(autouse=True)
def _stay_inside(request: pytest.FixtureRequest) -> Iterator[None]:
    _Guard.may_spawn = request.node.get_closest_marker("spawns") is not None
    _Guard.may_read_sys = False
    yield
    _Guard.may_spawn = _Guard.may_read_sys = True


@pytest.fixture(autouse=True)
def _in_english() -> Iterator[None]:
    """A run chooses its process' language for good; here the next test has the same process."""
    yield
    language.use_translation(str)


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one, for tests that write tens of thousands of files."""
    if not Path("/dev/shm").is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="nicpass-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The root of a captured host, unpacked once; skips where the captures are not at hand."""
    unpacked: dict[str, Path] = {}

    def find(name: str) -> Path:
        folder = CAPTURES / name
        if not folder.is_dir():
            pytest.skip(f"no capture of a real host: ../shared/hosts/{name}")
        archive = folder / "sysroot.tar.xz"
        if not archive.exists():
            return folder
        if name not in unpacked:
            target = tmp_path_factory.mktemp("capture")
            with tarfile.open(archive) as bundle:
                bundle.extractall(target, filter="tar")
            unpacked[name] = target / "sysroot"
        return unpacked[name]

    return find
