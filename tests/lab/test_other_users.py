# SPDX-License-Identifier: Apache-2.0
"""Law 11 on a real host: a user without rights takes every lock that can be had, and holds nobody up."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.machine import Machine
from tests.lab.deaths import Death, difference, kill_at, read

pytestmark = pytest.mark.lab

NIC, ADDRESS = "enp1s0", "0000:01:00.0"
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly
OWN = "/run/nicpass /var/lib/nicpass"
"""The folders of nicpass's state, of a boot and lasting."""
_UNIT = "lab-hostile"
_HELD = "/run/lab-hostile/held.json"
_PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")  # where any user may put something
_HOSTILE = """
import contextlib, fcntl, json, os, sys, time
places, folders = json.loads(sys.argv[1]), sys.argv[2:]
held = {}

def paths():
    yield from folders
    for folder in folders:
        for name in ("nics", "runs", "started", "announced", "locks", "journal", "guard.json"):
            yield f"{folder}/{name}"
            yield f"{folder}/locks/{name}"
        for above, inner, files in os.walk(folder):
            yield from (f"{above}/{name}" for name in (*inner, *files))
    yield "/run/nicpass.lock"

def take(path, make):
    flags = os.O_RDONLY | os.O_NONBLOCK | (os.O_CREAT if make else 0)
    with contextlib.suppress(OSError):
        descriptor = os.open(path, flags, 0o666)
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) in held:
            os.close(descriptor)
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held[status.st_dev, status.st_ino] = path

for place in places:
    for name in ("nicpass", "nicpass.lock", ".nicpass.new", "nics", "runs"):
        take(f"{place}/{name}", make=True)
while True:
    count = len(held)
    for path in paths():
        take(path, make=False)
    if len(held) != count:
        with open("/run/lab-hostile/new", "w") as stream:
            json.dump(list(held.values()), stream)
        os.rename("/run/lab-hostile/new", "/run/lab-hostile/held.json")
    time.sleep(0.05)
"""
_OPENED = """
import os, sys
for path in sys.stdin.read().split():
    try:
        os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (PermissionError, FileNotFoundError):
        continue
    print(path)
"""


def held(host: Machine) -> list[str]:
    """What the other user has locked so far; a name twice, if another file has it by now."""
    found: list[str] = json.loads(host.succeed(["cat", _HELD]))
    return sorted(found)


def opened(host: Machine) -> list[str]:
    """Those of nicpass's files that another user can open, and so lock."""
    host.put_file("/run/opened.py", _OPENED)
    as_other = "setpriv --reuid=nobody --regid=nogroup --clear-groups"
    return host.succeed(f"find {OWN} -type f | {as_other} python3 /run/opened.py; rm /run/opened.py").split()


def uuid_of(host: Machine, vm: str) -> str:
    return host.succeed(f"virsh domuuid {vm}").strip()


@pytest.fixture
def beset(host: Machine) -> Iterator[Machine]:
    """Another user has all that he can open: what an older version left for all to read, and what nobody guards."""
    left = (
        *("/run/nicpass.lock", "/run/nicpass/locks/runs", "/run/nicpass/locks/nics"),
        *(f"/run/nicpass/announced/{uuid_of(host, vm)}" for vm in ("web01", "db01")),
    )
    host.succeed(
        f"rm -rf /run/nicpass; umask 022; mkdir -p /run/nicpass/locks /run/nicpass/announced; touch {' '.join(left)}"
    )
    host.put_file("/run/hostile.py", _HOSTILE)
    run = f"systemd-run --quiet --collect --unit={_UNIT} --uid=nobody --property=RuntimeDirectory={_UNIT}"
    host.succeed([*run.split(), "python3", "/run/hostile.py", json.dumps(_PLACES), *OWN.split()])
    host.wait_until_succeeds(f"test -e {_HELD}")
    try:
        assert set(left) <= {*held(host)}, "he has them before we come"
        assert any(path.startswith("/tmp/") for path in held(host))
        yield host
    finally:
        names = " ".join(
            f"{place}/{name}" for place in _PLACES for name in ("nicpass*", ".nicpass.new", "nics", "runs")
        )
        host.succeed(f"systemctl stop {_UNIT}; rm -rf {names} /run/nicpass.lock /run/hostile.py")


@pytest.mark.full
def test_another_user_who_holds_all_that_he_can_holds_nobody_up(beset: Machine) -> None:
    """A change, one that is cut off and settled, a start that the guard looks at, and the way back."""
    host = beset
    before, had = read(host), held(host)
    assert kill_at(host, Death("after", 4), f"attach web01 {NIC}")
    assert {*opened(host)} <= {*had}, "what a run that was cut off has left"
    assert "It was taken back." in host.succeed("nicpass recover", 180)
    assert difference(before, read(host)) == ""
    host.succeed(f"nicpass attach web01 {NIC}", LONG)
    host.succeed("virsh start web01", LONG)
    assert host.succeed(f"basename $(readlink /sys/bus/pci/devices/{ADDRESS}/driver)").strip() == "vfio-pci"
    assert {*opened(host)} <= {*had}, "what there is while a VM has the NIC"
    host.succeed(f"nicpass detach web01 {ADDRESS} --stop", LONG)
    assert opened(host) == [], "it has announced the stop, and so closed the folder of an older version"
    assert difference(before, read(host)) == ""
    assert held(host) == had, "he has got nothing more"
    assert host.succeed(f"systemctl is-active {_UNIT}").strip() == "active", "he was at it all the time"
