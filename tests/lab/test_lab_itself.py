# SPDX-License-Identifier: Apache-2.0
"""The lab, tested as a lab: hosts are equal, changes are seen, and nothing stays behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cache import Cache
from lab.errors import LabError, LabTimeoutError
from lab.image import PROJECT, get_image
from lab.machine import Machine
from lab.shape import INTEL
from lab.stages import fresh_host as open_fresh_host
from lab.state import Difference, state_difference
from lab.versions import compare_versions, read_installed

pytestmark = pytest.mark.lab

DRIVER = """
from lab.cache import Cache
from lab.shape import INTEL
from lab.signals import end_in_order
from lab.stages import fresh_host
end_in_order()
with fresh_host(Cache(), INTEL) as machine:
    print(machine.pid, machine.folder, flush=True)
    machine.execute("sleep 1000", timeout=1000)
"""


def test_debian_s_versions_differ_by_corrections_at_most(cache: Cache) -> None:
    """If this fails, Debian has changed what the lab stands on: run `make test-full`, then mend `locks/debian.txt`."""
    differences = compare_versions(read_installed(get_image(cache).base))
    assert [str(difference) for difference in differences if not difference.is_correction] == []


def test_two_resumed_hosts_are_equal(cache: Cache) -> None:
    states = []
    for _ in range(2):
        with open_fresh_host(cache, INTEL) as machine:
            states.append(machine.read_state())
    assert state_difference(*states) == []


def test_a_change_is_seen_and_so_is_its_undoing(host: Machine) -> None:
    before = host.read_state()
    host.succeed("ip link set enp1s0 mtu 1400")
    host.succeed("ip address add 192.0.2.5/24 dev enp0s6")
    host.succeed("echo vfio-pci > /sys/bus/pci/devices/0000:03:00.0/driver_override")
    differences = state_difference(before, host.read_state())
    assert Difference(("links", "enp1s0", "mtu"), 1500, 1400) in differences
    assert Difference(("pci", "0000:03:00.0", "driver_override"), "(null)", "vfio-pci") in differences
    assert ("addresses", "enp0s6 192.0.2.5/24") in [difference.path for difference in differences]
    host.succeed("ip link set enp1s0 mtu 1500; ip address del 192.0.2.5/24 dev enp0s6")
    host.succeed("echo > /sys/bus/pci/devices/0000:03:00.0/driver_override")


def test_commands_files_and_failures(host: Machine) -> None:
    host.put_file("/run/lab/some.bin", bytes(range(256)) * 5000)
    assert host.get_file("/run/lab/some.bin") == bytes(range(256)) * 5000
    assert host.succeed(["printf", "%s", "a b"]) == "a b"
    assert host.fail("echo no >&2; exit 3", exit_code=3).stderr == "no\n"
    with pytest.raises(LabError, match="exit code: 7") as caught:
        host.succeed("exit 7")
    assert caught.value.command == "exit 7"
    assert "console box" in caught.value.consoles


def test_a_command_that_does_not_end_is_killed(host: Machine) -> None:
    with pytest.raises(LabTimeoutError, match="within 1 s"):
        host.execute("sleep 4242 | sleep 4242", timeout=1)
    host.wait_until_fails("pgrep -f 'sleep 4242$'", timeout=10)


def test_a_guest_boots_obeys_and_powers_off(fresh_host: Machine) -> None:
    guest = fresh_host.guest("db01")
    fresh_host.succeed("virsh start db01", 400)
    guest.wait_ready()
    assert guest.execute("echo one; echo two >&2; exit 5").stdout == "one\ntwo\n"
    assert guest.execute("exit 5").exit_code == 5
    fresh_host.succeed("virsh shutdown db01")
    fresh_host.wait_until_succeeds("virsh domstate db01 | grep 'shut off'", timeout=60)


def test_the_host_restarts(fresh_host: Machine) -> None:
    before = fresh_host.read_state()
    fresh_host.reset()
    assert state_difference(before, fresh_host.read_state()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_stays_when_the_driver_is_ended(cache: Cache, number: signal.Signals) -> None:
    with open_fresh_host(cache, INTEL):
        pass  # the stage is there now
    driver = subprocess.Popen([sys.executable, "-c", DRIVER], stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    with driver:
        assert driver.stdout is not None
        pid, folder = driver.stdout.readline().split()
        assert _runs(int(pid))
        driver.send_signal(number)
        driver.wait(30)
    cache.sweep()  # only after SIGKILL has it anything to do, and the next start would do it
    assert _ends(int(pid), seconds=20)
    assert not Path(folder).exists()


def _ends(pid: int, seconds: float) -> bool:
    """Whether it is gone in time: a killed process gives its memory back first (pidfd_open(2))."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], seconds)[0])
    finally:
        os.close(process)


def _runs(pid: int) -> bool:
    """True if the process is there and is no zombie."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
