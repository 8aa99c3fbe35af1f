# SPDX-License-Identifier: Apache-2.0
"""Starting is quick because little is loaded: what a command does not need, it does not import."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hosts import ready_host

pytestmark = pytest.mark.spawns

_PROBE = """
import json, sys
spawned = []
sys.addaudithook(lambda event, _: event in {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.system", "os.exec"}
                 and spawned.append(event))
from nicpass.cli.main import main
import io
sys.stdout = io.StringIO()
code = main(sys.argv[1:])
sys.stdout = sys.__stdout__
print(json.dumps({"code": code, "modules": sorted(sys.modules), "spawned": spawned}))
"""


def probe(*argv: str) -> tuple[int, set[str], list[str]]:
    """(exit code, modules loaded, processes started) of `nicpass ARGV` in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", _PROBE, *argv], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    return told["code"], set(told["modules"]), told["spawned"]


def test_the_version_loads_nothing() -> None:
    code, modules, spawned = probe("--version")
    assert (code, spawned) == (0, [])
    assert not modules & {"msgspec", "rich", "argparse", "pyroute2", "subprocess", "nicpass.cli.run", "libvirt"}


def test_no_pattern_is_made_at_the_start_of_which_few_texts_have_need(tmp_path: Path) -> None:
    """A range of wide characters takes milliseconds to compile, as long as a quarter of all that a list loads."""
    ready_host().write(tmp_path)
    wide = """
from nicpass.cli.main import main
import io, re, sys
sys.stdout = io.StringIO()
main(sys.argv[1:])
sys.stdout = sys.__stdout__
for module in [module for name, module in sys.modules.items() if name.startswith("nicpass.")]:
    for name, value in vars(module).items():
        if isinstance(value, re.Pattern) and isinstance(value.pattern, str) and not value.pattern.isascii():
            print(module.__name__, name)
"""
    argv = [sys.executable, "-c", wide, "list", "--json", "--root", str(tmp_path)]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == ""


def test_list_loads_only_what_it_needs_and_starts_nothing(tmp_path: Path) -> None:
    ready_host().write(tmp_path)
    code, modules, spawned = probe("list", "--json", "--root", str(tmp_path))
    assert (code, spawned) == (0, [])
    unneeded = {
        "pyroute2",
        "rich",
        "subprocess",
        "libvirt",
        "asyncio",
        "nicpass.engine.transaction",
        "nicpass.host.network.netlink",
    }
    assert not modules & unneeded


_OF_CHANGES = {
    *("nicpass.engine.admission", "nicpass.engine.handler", "nicpass.engine.journal", "nicpass.engine.lock"),
    *(
        "nicpass.engine.nic.store",
        "nicpass.host.doors.running",
        "nicpass.hypervisor.libvirt.steps",
        "nicpass.model.change",
    ),
}
"""What a command that only looks at a host has no use for."""
_OF_MANAGERS = {
    f"nicpass.host.intent.{name}" for name in ("ifcfg", "ifupdown", "netplan", "network_manager", "networkd", "units")
}
"""What a host without the files of that manager has no use for; this one has those of none."""


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        (["list", "--json"], {"nicpass.planner.nic.attach", *_OF_CHANGES, *_OF_MANAGERS}),
        (["check", "--json"], {"nicpass.planner.nic.attach", *_OF_CHANGES, *_OF_MANAGERS}),
        (
            ["attach", "guest", "eth1", "--dry-run"],
            {
                "nicpass.boot.loader.edits",
                "nicpass.checks.catalogue.whole",
                "nicpass.engine.nic.give_back",
                "nicpass.cli.render.plan_shell",
                "nicpass.engine.boot.steps",
                "nicpass.engine.deadman",
                "nicpass.hypervisor.libvirt.shutdown",
                "nicpass.planner.undo",
                # What is asked for when a NIC is taken back.
                "ipaddress",
                "nicpass.planner.nic.detach",
                "nicpass.planner.nic_state.elsewhere",
                "nicpass.planner.orphans",
                "nicpass.planner.nic_state.whole",
                *_OF_MANAGERS,
            },
        ),
    ],
)
def test_the_program_loads_only_what_it_needs(command: list[str], unneeded: set[str], tmp_path: Path) -> None:
    """Half of a short command's time is the loading of modules."""
    ready_host().write(tmp_path)
    argv = [sys.executable, "-X", "importtime", "-m", "nicpass", *command, "--root", str(tmp_path)]
    told = subprocess.run(argv, capture_output=True, text=True, check=False).stderr
    loaded = set(re.findall(r"\| +([\w.]+)$", told, re.MULTILINE))
    assert "msgspec" in loaded
    large = {"subprocess", "asyncio", "pyroute2", "rich", "socket", "zlib"}
    assert loaded & (unneeded | large) == set()


@pytest.mark.parametrize("command", [["check"], ["snapshot"], ["explain"], ["attach", "guest", "eth1", "--dry-run"]])
def test_no_reading_command_starts_a_process(command: list[str], tmp_path: Path) -> None:
    ready_host().write(tmp_path)
    root = [] if command == ["explain"] else ["--root", str(tmp_path)]
    code, modules, spawned = probe(*command, *root)
    assert (code, spawned) == (0, [])
    assert "pyroute2" not in modules


@pytest.mark.parametrize(
    ("words", "exit_code", "end"),
    [
        (["explain"], 0, r"[A-Z_0-9]+ +.*"),
        (["list", "--json"], 0, r"\}"),
        (["list", "nosuch"], 2, ""),
        (["--help"], 0, r".* 7 busy: .*"),
    ],
)
def test_the_whole_program_ends_with_all_said(words: list[str], exit_code: int, end: str, tmp_path: Path) -> None:
    """It leaves without taking itself down, also where its output is a pipe, to which it is written late."""
    ready_host().write(tmp_path)
    root = ["--root", str(tmp_path)] if words[0] == "list" else []
    argv = [sys.executable, "-m", "nicpass", *words, *root]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == exit_code
    assert re.search(f"(?m)^(?:{end})$", done.stdout)
    assert done.stdout.endswith("\n") == (exit_code == 0)
    assert bool(done.stderr) == bool(exit_code)
