# SPDX-License-Identifier: Apache-2.0
"""Law 12 on a real libvirt: its daemon is stopped in the middle of things, takes connections and answers nothing.

SIGSTOP makes it so: the kernel goes on to take connections for it, as it does for a daemon that is in a deadlock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab.agent import Result
from lab.machine import Machine
from tests.lab.deaths import difference, read, settle

pytestmark = pytest.mark.lab

NIC, ADDRESS = "enp1s0", "0000:01:00.0"
IN_USE = "192.0.2.5/24"
ALLOWED = "--allow HAS_ADDRESS"
ONE_CALL = 30
"""Seconds that nicpass gives one call; once one had no answer, the others get three each."""
SLOW = 120
"""What it does besides, on an emulated host."""
NO_ANSWER = f"no answer within {ONE_CALL} s"
_STOP = "systemctl kill --kill-whom=main --signal=STOP libvirtd"
_GO_ON = "systemctl kill --kill-whom=main --signal=CONT libvirtd"
_PYTHON = "/root/.local/share/pipx/venvs/nicpass/bin/python"
_SCRIPT = "/run/stop-libvirt.py"
_STOPPING = """
import subprocess, sys
kind, stop, *arguments = sys.argv[1:]
from nicpass.cli.main import main
from nicpass.host.doors.files import Files
append_line = Files.append_line

def append_and_stop(self, path, line):
    append_line(self, path, line)
    if b'"phase":"doing"' in line and f'"type":"{kind}"'.encode() in line:
        subprocess.run(stop.split(), check=True)

Files.append_line = append_and_stop
raise SystemExit(main(arguments))
"""


def stop_at(host: Machine, kind: str, words: str, timeout: float) -> Result:
    """Run `nicpass WORDS`, and stop libvirt when the journal says that a step of that kind is begun."""
    host.put_file(_SCRIPT, _STOPPING)
    result = host.execute([_PYTHON, _SCRIPT, kind, _STOP, *words.split()], timeout)
    host.succeed(["rm", _SCRIPT])
    assert is_stopped(host), "the run never came to that step"
    return result


def is_stopped(host: Machine) -> bool:
    """By the kernel's word."""
    state = "ps -o state= -p $(systemctl show --property=MainPID --value libvirtd)"
    return host.succeed(state).strip() == "T"


@contextmanager
def going_on(host: Machine) -> Iterator[None]:
    """However the block ends, libvirt goes on, and answers."""
    try:
        yield
    finally:
        host.succeed(_GO_ON)
        host.wait_until_succeeds("timeout 20 virsh list --all", SLOW)


def changes(host: Machine) -> list[dict[str, Any]]:
    """The journal, the oldest first."""
    found: list[dict[str, Any]] = json.loads(host.succeed("nicpass history --json"))["changes"]
    return found


def has_address(host: Machine) -> bool:
    return IN_USE in host.execute(f"ip address show dev {NIC}").stdout


@pytest.fixture
def machine(fresh_host: Machine) -> Machine:
    """With an address on the NIC: that is to come back too."""
    fresh_host.succeed(f"ip link set {NIC} up && ip address add {IN_USE} dev {NIC}")
    fresh_host.wait_for_link(NIC)
    return fresh_host


def test_an_attach_ends_and_says_so_and_readers_do_too(machine: Machine) -> None:
    """Stopped when the VM is about to be started: the run ends, the journal knows what is left, `recover` does it."""
    before = read(machine)
    with going_on(machine):
        words = f"attach web01 {NIC} --start {ALLOWED} --confirm-within 0"
        ended = stop_at(machine, "start_domain", words, ONE_CALL + SLOW)
        assert ended.exit_code == 6, ended.stdout + ended.stderr
        assert NO_ANSWER in ended.stderr
        assert "nicpass recover" in ended.stderr
        assert has_address(machine), "it never left"
        assert changes(machine)[-1]["outcome"] == "unfinished"
        see_readers_end(machine)
        assert is_stopped(machine)
    assert "It was taken back." in settle(machine)
    assert changes(machine)[-1]["outcome"] == "taken back"
    assert difference(before, read(machine)) == ""


def see_readers_end(host: Machine) -> None:
    """Whose a NIC is, nobody can tell now: so none may go."""
    listed = host.execute(["nicpass", "list", "--json"], ONE_CALL + SLOW)
    assert listed.exit_code == 0, listed.stderr
    nics = json.loads(listed.stdout)["nics"]
    assert all(NO_ANSWER in nic["vms"]["unknown"] for nic in nics), nics
    assert not any(nic["may_go"] for nic in nics), nics
    checked = host.execute(["nicpass", "check", "enp2s0"], ONE_CALL + SLOW)
    assert checked.exit_code in (3, 4), checked.stdout
    assert NO_ANSWER in checked.stdout


@pytest.mark.full
@pytest.mark.parametrize(("step", "running"), [("undefine_device", False), ("stop_domain", True)])
def test_a_detach_ends_and_is_settled(machine: Machine, step: str, running: bool) -> None:
    before = read(machine)
    machine.succeed(f"nicpass attach web01 {NIC} {ALLOWED} --confirm-within 0 {'--start' if running else ''}", 240)
    with going_on(machine):
        ended = stop_at(machine, step, f"detach web01 {ADDRESS} --stop", 2 * ONE_CALL + SLOW)
        assert ended.exit_code == 6, ended.stdout + ended.stderr
        assert NO_ANSWER in ended.stderr
        assert "nicpass recover" in ended.stderr
        assert changes(machine)[-1]["outcome"] == "unfinished"
        again = machine.execute("nicpass recover", 2 * ONE_CALL + SLOW)
        assert again.exit_code == 6, "it ends too, and has not settled it"
        assert is_stopped(machine)
    settle(machine)
    if "<hostdev" in machine.succeed("virsh dumpxml web01 --inactive"):  # taken back: the VM has it still
        machine.succeed(f"nicpass detach web01 {ADDRESS} --stop", 240)
    assert difference(before, read(machine)) == ""


@pytest.mark.full
def test_the_dead_man_s_hand_does_without_libvirt(machine: Machine) -> None:
    """Nobody confirms, and libvirt hangs: the VM is ended, the NIC comes back; the rest when libvirt goes on."""
    before = read(machine)
    machine.succeed(f"nicpass attach web01 {NIC} --start {ALLOWED} --confirm-within 30 && {_STOP}", 240)
    with going_on(machine):
        machine.wait_until_succeeds(f"ip address show dev {NIC} | grep -q {IN_USE}", 8 * ONE_CALL + SLOW)
        assert machine.execute("pgrep -f nicpass-.*qemu; pgrep qemu-system").exit_code != 0
        assert is_stopped(machine)
        said = machine.succeed("journalctl --boot --unit nicpass-confirm --output cat")
        assert NO_ANSWER in said
    machine.wait_until_succeeds('test "$(systemctl is-active nicpass-confirm.service)" = inactive', 300)
    assert "may give it back once more" in machine.succeed("journalctl --boot --unit nicpass-confirm --output cat")
    assert [change["outcome"] for change in changes(machine)] == ["taken back"]
    assert difference(before, read(machine)) == ""
