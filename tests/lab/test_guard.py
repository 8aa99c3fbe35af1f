# SPDX-License-Identifier: Apache-2.0
"""Every start of the VM is as safe as the first, and every stop brings the NIC back as it was."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from lab.machine import Machine

pytestmark = pytest.mark.lab

NIC, ADDRESS = "enp1s0", "0000:01:00.0"
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly
IN_USE = "192.0.2.5/24"
HOOK = "/etc/libvirt/hooks/qemu.d/nicpass"
GUARD = (
    HOOK,
    "/etc/systemd/system/nicpass-recover.service",
    "/etc/systemd/system/multi-user.target.wants/nicpass-recover.service",
    "/var/lib/nicpass/guard.json",
)


def driver(host: Machine) -> str:
    return host.succeed(f"basename $(readlink /sys/bus/pci/devices/{ADDRESS}/driver)").strip()


def stop(host: Machine) -> None:
    """As an administrator does, without nicpass."""
    host.succeed("virsh destroy web01", LONG)
    host.wait_until_succeeds("virsh domstate web01 | grep -q 'shut off'", 60)


@pytest.fixture
def given(host: Machine) -> Iterator[Machine]:
    """A host that has given the NIC to a VM that is off; it comes back at the end, and the guard goes."""
    host.succeed(["nicpass", "attach", "web01", NIC], LONG)
    yield host
    host.execute("virsh destroy web01", LONG)
    host.succeed(["nicpass", "detach", "web01", NIC], LONG)


def test_the_guard_comes_with_the_first_nic_and_goes_with_the_last(host: Machine) -> None:
    host.succeed(["nicpass", "attach", "web01", NIC], LONG)
    host.succeed(f"test -x {HOOK}; for path in {' '.join(GUARD)}; do test -e $path; done")
    assert host.succeed("systemctl is-enabled nicpass-recover").strip() == "enabled"
    host.succeed(["nicpass", "attach", "db01", "enp2s0"], LONG)
    host.succeed(["nicpass", "detach", "web01", NIC], LONG)
    host.succeed(["test", "-x", HOOK])
    host.succeed(["nicpass", "detach", "db01", "enp2s0"], LONG)
    host.succeed(f"for path in {' '.join(GUARD)} /etc/libvirt/hooks/qemu.d; do test ! -e $path -a ! -L $path; done")
    host.fail("systemctl cat nicpass-recover")


def test_a_nic_that_came_into_use_stays(given: Machine) -> None:
    given.succeed(f"ip link set {NIC} up; ip address add {IN_USE} dev {NIC}")
    given.succeed(f"ip route add 198.51.100.0/24 via 192.0.2.1 dev {NIC}")
    refused = given.fail(["virsh", "start", "web01"], timeout=LONG)
    assert "web01 is not started" in refused.stderr
    assert IN_USE in refused.stderr
    assert driver(given) == "igb"
    assert IN_USE in given.succeed(f"ip address show dev {NIC}")
    assert "192.0.2.1" in given.succeed("ip route show 198.51.100.0/24")
    assert "web01 is not started" in given.succeed("journalctl -t nicpass -n 5 -o cat")
    for looks in ("list", "check"):
        told = given.execute(["nicpass", looks], LONG)
        assert "web01 is not started" in told.stdout + told.stderr, looks
    assert "vetoed: CARRIES_ROUTE, HAS_ADDRESS" in given.succeed(["nicpass", "history"], LONG)
    given.succeed(f"ip address del {IN_USE} dev {NIC}; ip link set {NIC} down")
    given.succeed(["virsh", "start", "web01"], LONG)
    assert driver(given) == "vfio-pci"
    # The host has no such interface now; the NIC answers to its name all the same, and the veto is over.
    given.fail(f"test -e /sys/class/net/{NIC}")
    listed = given.execute(["nicpass", "list"], LONG)
    assert f"({NIC})" in listed.stdout
    assert "web01 is not started" not in listed.stdout + listed.stderr
    assert ADDRESS in given.execute(["nicpass", "check", NIC, "--json"], LONG).stdout
    stop(given)


def test_a_later_allowance_ends_a_veto_by_the_command_that_it_prints(host: Machine) -> None:
    host.succeed(["nicpass", "attach", "web01", NIC], LONG)
    host.succeed(f"ip link set {NIC} up; ip address add {IN_USE} dev {NIC}")
    host.wait_for_link(NIC)
    refused = host.fail(["virsh", "start", "web01"], timeout=LONG).stderr
    command = re.search(r"To start it all the same: (nicpass attach .+? --start)\.", " ".join(refused.split()))
    assert command is not None, refused
    host.succeed(f"{command[1].replace(ADDRESS, NIC)} --confirm-within 0", LONG)
    assert driver(host) == "vfio-pci"
    stop(host)
    assert IN_USE in host.succeed(f"ip address show dev {NIC}")
    host.succeed(["virsh", "start", "web01"], LONG)
    stop(host)
    host.succeed(["nicpass", "detach", "web01", NIC], LONG)
    host.succeed(f"ip address del {IN_USE} dev {NIC}; ip link set {NIC} down")


@pytest.mark.full
def test_what_the_administrator_took_upon_himself_goes_along_and_comes_back(host: Machine) -> None:
    host.succeed(f"ip link set {NIC} mtu 1400 up; ip address add {IN_USE} dev {NIC}")
    host.succeed(f"ip route add 198.51.100.0/24 via 192.0.2.1 dev {NIC}")
    host.wait_for_link(NIC)
    allowed = ["--allow", "HAS_ADDRESS", "--allow", "CARRIES_ROUTE"]
    host.succeed(["nicpass", "attach", "web01", NIC, "--start", *allowed], LONG)
    host.fail(["test", "-e", f"/sys/class/net/{NIC}"])
    for again in (True, False):
        stop(host)
        # The hook has run when the VM is off: nothing of nicpass is called here.
        assert IN_USE in host.succeed(f"ip address show dev {NIC}")
        assert "mtu 1400" in host.succeed(f"ip link show dev {NIC}")
        assert "192.0.2.1" in host.succeed("ip route show 198.51.100.0/24")
        if again:
            host.succeed("virsh start web01", LONG)
            assert driver(host) == "vfio-pci"
    host.succeed(["nicpass", "detach", "web01", ADDRESS], LONG)
    # Only a new interface is one that was never up.
    host.succeed(f"cd /sys/bus/pci/drivers/igb; echo {ADDRESS} >unbind; echo {ADDRESS} >bind; udevadm settle")


@pytest.mark.full
def test_a_removed_nicpass_stops_no_vm(given: Machine) -> None:
    given.succeed("mv /root/.local/share/pipx/venvs/nicpass /root/nicpass-gone")
    try:
        given.succeed(["virsh", "start", "web01"], LONG)
        stop(given)
        assert "web01 starts and its NICs" in given.succeed("journalctl -t nicpass -p err -o cat")
    finally:
        given.succeed("mv /root/nicpass-gone /root/.local/share/pipx/venvs/nicpass")
    assert "web01 was stopped at" in given.succeed(["nicpass", "recover"], LONG)


@pytest.mark.full
def test_while_nicpass_is_at_work_no_other_start_takes_the_nic(given: Machine) -> None:
    given.succeed(
        "umask 077; flock --exclusive /run/nicpass/locks/nics sleep 1000 >/dev/null 2>&1 & echo $! >/run/holder"
    )
    given.wait_until_succeeds("! flock --nonblock /run/nicpass/locks/nics true")
    refused = given.fail(["virsh", "start", "web01"], timeout=LONG)
    assert "Another run of nicpass is at work" in refused.stderr
    given.succeed("pkill -P $(cat /run/holder); rm /run/holder")
    given.succeed(["virsh", "start", "web01"], LONG)
    stop(given)


@pytest.mark.full
def test_a_vm_without_our_nics_is_not_kept_waiting(given: Machine) -> None:
    """Counted by what Python would have opened: the script ends before it."""
    package = given.succeed(f"sed -n 's/^package=//p' {HOOK}").strip()
    given.succeed(f"cp {package}/cli/hook.py /root/hook.py; echo 'raise SystemExit(9)' >{package}/cli/hook.py")
    try:
        given.succeed(["virsh", "start", "db01"], LONG)
        given.succeed(["virsh", "destroy", "db01"], LONG)
        given.fail("journalctl -t nicpass -p err -o cat | grep db01")
        given.succeed(["virsh", "start", "web01"], LONG)
        stop(given)
        assert "could not run it (exit code 9)" in given.succeed("journalctl -t nicpass -p err -o cat")
    finally:
        given.succeed(f"mv /root/hook.py {package}/cli/hook.py")
    given.succeed(["nicpass", "recover"], LONG)
