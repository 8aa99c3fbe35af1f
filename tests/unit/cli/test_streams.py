# SPDX-License-Identifier: Apache-2.0
"""A closed, full or abandoned standard output, by real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hosts import link, network, nic, ready_host

NICPASS = f"{sys.executable} -m nicpass"
NIC = "0000:01:00.0"

pytestmark = pytest.mark.spawns


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    many = [nic(f"0000:{bus:02x}:00.0", f"eth{bus}", group=bus + 20) for bus in range(1, 65)]
    net = network(*(link(f"eth{bus}", alias="直通") for bus in range(1, 65)))
    return ready_host(*many, net=net).write(folder)


def run(line: str, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        ["/bin/bash", "-c", line.replace("nicpass", NICPASS)],
        capture_output=True,
        check=False,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "PYTHONIOENCODING": "", **environment},
    )
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    return done.returncode, done.stdout.decode(), done.stderr.decode()


COMMANDS = [
    "list --root ROOT",
    "list --json --root ROOT",
    "check -v --root ROOT",
    "explain",
    "explain IOMMU_OFF",
    "list --help",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_output_is_told(command: str, root: Path) -> None:
    told = "nicpass: standard output could not be written: Bad file descriptor\n"
    assert run(f"nicpass {command} >&-".replace("ROOT", str(root))) == (1, "", told)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_told(command: str, root: Path) -> None:
    told = "nicpass: standard output could not be written: No space left on device\n"
    assert run(f"nicpass {command} >/dev/full".replace("ROOT", str(root))) == (1, "", told)


@pytest.mark.parametrize("command", ["list --root ROOT", "list --json --root ROOT", "snapshot --root ROOT", "explain"])
def test_a_reader_that_has_enough_is_no_error(command: str, root: Path) -> None:
    code, output, error = run(f"nicpass {command} | head -n 1; exit ${{PIPESTATUS[0]}}".replace("ROOT", str(root)))
    assert (code, error) == (0, "")
    assert output.count("\n") == 1


@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_an_error_that_nobody_can_see_keeps_its_exit_code(streams: str, root: Path) -> None:
    assert run(f"nicpass list nosuch --root {root} {streams}") == (2, "", "")


@pytest.mark.parametrize("version", [">&-", ">/dev/full"])
def test_the_version_too(version: str) -> None:
    code, _, error = run(f"nicpass --version {version}")
    assert code == 1
    assert error.startswith("nicpass: ")


def test_json_is_whole_in_any_encoding(root: Path) -> None:
    _, plain, _ = run(f"nicpass snapshot --root {root}")
    _, escaped, error = run(f"nicpass snapshot --root {root}", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert escaped.isascii()
    assert json.loads(escaped) == json.loads(plain)
    assert error == ""


def test_people_get_what_an_encoding_has() -> None:
    code, output, error = run("nicpass explain --lang zh", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (code, error) == (0, "")
    assert "IOMMU_OFF" in output


def test_files_do_not_get_the_numbers_of_closed_streams(tmp_path: Path) -> None:
    code = (
        "import os, sys; from nicpass.cli.main import _open_closed_streams; _open_closed_streams(); "
        "number = os.open('/dev/null', os.O_RDONLY); open(sys.argv[1], 'w').write(str(number))"
    )
    seen = tmp_path / "number"
    line = '"$0" -c "$1" "$2" <&- >&- 2>&-'
    subprocess.run(["/bin/bash", "-c", line, sys.executable, code, str(seen)], check=True, timeout=60)
    assert int(seen.read_text()) > 2
