# SPDX-License-Identifier: Apache-2.0
"""The dead man's hand: the NIC that carries the session goes away with an override, and comes back by itself."""

from __future__ import annotations

import json
import subprocess

import pytest

from lab.machine import Machine
from tests.lab.deaths import difference, read

pytestmark = pytest.mark.lab

NIC = "enp1s0"
ALLOWED = "--allow CARRIES_SESSION --allow HAS_ADDRESS"
SECONDS = 120  # nicpass's own default: time enough for the start on a slow machine


def ssh(machine: Machine, command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """By the NIC that is about to go."""
    argv = [*machine.ssh_over_nic, command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)


def answers(machine: Machine, timeout: float) -> bool:
    """Whether somebody can come in by the NIC; where it has gone, nothing is refused and nothing answers."""
    try:
        return ssh(machine, "true", timeout).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@pytest.fixture
def machine(fresh_host: Machine) -> Machine:
    fresh_host.succeed(f"ip link set {NIC} up && ip address add 10.0.2.15/24 dev {NIC}")
    fresh_host.wait_for_link(NIC)
    assert ssh(fresh_host, "true").returncode == 0
    fresh_host.wait_until_fails("ss -Htn state established | grep -q '10.0.2.15:22 '", 30)
    return fresh_host


def test_the_nic_of_the_session_comes_back_by_itself(machine: Machine) -> None:
    """The override was given, the session breaks, nobody confirms: after the time the host answers again."""
    before = read(machine)
    refused = ssh(machine, f"nicpass attach web01 {NIC} --start")
    assert refused.returncode == 4
    assert "session" in refused.stderr
    command = f"nicpass attach web01 {NIC} --start {ALLOWED}"  # by default it is to be confirmed
    session = subprocess.Popen([*machine.ssh_over_nic, command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        machine.wait_until_succeeds("virsh domstate web01 | grep -q running", 180)
        machine.wait_until_fails(f"test -e /sys/class/net/{NIC}", 30)
        assert session.poll() is None, "the session hangs: nothing of what it says arrives"
        assert not answers(machine, 15), "the host is not reached any more"
        machine.wait_until_succeeds("virsh domstate web01 | grep -q 'shut off'", SECONDS + 180)
        machine.wait_until_succeeds('test "$(systemctl is-active nicpass-confirm.service)" = inactive', 180)
        machine.wait_for_link(NIC, 30)
        assert answers(machine, 60), "the host answers again"
    finally:
        session.kill()
        session.wait()
    machine.wait_until_fails("ss -Htn state established | grep -q '10.0.2.15:22 '", 60)
    assert difference(before, read(machine)) == ""
    changes = json.loads(machine.succeed("nicpass history --json"))["changes"]
    assert [change["outcome"] for change in changes] == ["unconfirmed", "done"]
    assert changes[0]["undone_by"] == changes[1]["id"]


def test_it_is_on_by_default_and_confirmed_it_stays(machine: Machine) -> None:
    """On by default, since the session hangs on the NIC. Other changes wait; once confirmed, no timer is left."""
    done = ssh(machine, f"nicpass attach web01 {NIC} {ALLOWED}")  # not started: the session goes on
    assert done.returncode == 0, done.stderr
    assert "nicpass confirm" in done.stdout
    assert "active" in machine.succeed("systemctl is-active nicpass-confirm.timer")
    waits = machine.fail("nicpass attach web01 enp2s0", 4)
    assert "awaits confirmation" in waits.stderr
    machine.succeed("nicpass confirm")
    assert "inactive" in machine.execute("systemctl is-active nicpass-confirm.timer").stdout
    machine.fail("nicpass confirm", 2)
    machine.succeed("nicpass undo", 120)
    assert "hostdev" not in machine.succeed("virsh dumpxml web01 --inactive")
