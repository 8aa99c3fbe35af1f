# SPDX-License-Identifier: Apache-2.0
"""The guard at the moments that it is for: a boot that starts the VM before the NIC is there, a stop that it missed."""

from __future__ import annotations

import json

import pytest

from lab.machine import Machine

pytestmark = pytest.mark.lab

NIC, ADDRESS = "enp1s0", "0000:01:00.0"
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly
IN_USE = "192.0.2.5/24"
RECORD = f"/var/lib/nicpass/nics/{ADDRESS}.json"
LATE = """\
[Unit]
Description=Load the NICs' driver when the VM has been started without it
[Service]
Type=exec
ExecStart=/bin/sh -c 'until virsh domstate web01 | grep -q running; do sleep 1; done; modprobe igb; touch /run/igb'
[Install]
WantedBy=multi-user.target
"""
PRIVATE = "umask 077; mkdir -p /run/nicpass/locks"
"""What others could have open is no lock of nicpass."""
STOP_RETRIES = "systemctl stop 'nicpass-restore-*.timer' 'nicpass-restore-*.service'"
RETRIES = "systemctl list-units --plain --no-legend --state=active,activating 'nicpass-restore-*'"


def record(host: Machine) -> dict[str, object]:
    found: dict[str, object] = json.loads(host.succeed(["cat", RECORD]))
    return found


def give(host: Machine) -> None:
    """The NIC, with an address, to a VM that is off."""
    host.succeed(f"ip link set {NIC} mtu 1400 up; ip address add {IN_USE} dev {NIC}")
    host.wait_for_link(NIC)
    host.succeed(["nicpass", "attach", "web01", NIC, "--allow", "HAS_ADDRESS", "--confirm-within", "0"], LONG)


def assert_restored(host: Machine) -> None:
    assert host.succeed(f"basename $(readlink /sys/bus/pci/devices/{ADDRESS}/driver)").strip() == "igb"
    assert IN_USE in host.succeed(f"ip address show dev {NIC}")
    assert "mtu 1400" in host.succeed(f"ip link show dev {NIC}")
    assert record(host)["away"] is None


def test_a_vm_that_a_boot_starts_before_the_driver_leaves_the_record_whole(fresh_host: Machine) -> None:
    """Its NIC's driver probes only once the VM runs: what the NIC was stays put down, and comes back."""
    host = fresh_host
    give(host)
    before = record(host)
    host.succeed("virsh autostart web01")
    host.put_file("/etc/modprobe.d/late.conf", "blacklist igb\n")
    host.put_file("/etc/systemd/system/late-igb.service", LATE)
    host.succeed("systemctl enable late-igb.service && sync")
    host.reboot()
    host.wait_until_succeeds("test -e /run/igb", LONG)
    after = record(host)
    assert after["state"] == before["state"]
    assert after["away"] == host.succeed("cat /proc/sys/kernel/random/boot_id").strip()
    assert "before all of it is there" in host.succeed("journalctl -b -t nicpass -o cat")
    host.succeed("virsh destroy web01", LONG)
    host.wait_until_succeeds("virsh domstate web01 | grep -q 'shut off'", 60)
    assert_restored(host)


def test_what_a_stop_missed_is_told_and_made_up_for(fresh_host: Machine) -> None:
    host = fresh_host
    give(host)
    host.succeed(["virsh", "start", "web01"], LONG)
    host.fail(["test", "-e", f"/sys/class/net/{NIC}"])
    assert "nicpass recover" not in host.execute(["nicpass", "list"], LONG).stderr
    host.succeed(
        f"{PRIVATE}; flock --exclusive /run/nicpass/locks/nics sleep 1000 >/dev/null 2>&1 & echo $! >/run/holder"
    )
    host.wait_until_succeeds("! flock --nonblock /run/nicpass/locks/nics true")
    host.succeed("virsh destroy web01", LONG)
    host.wait_until_succeeds("virsh domstate web01 | grep -q 'shut off'", 60)
    assert "Another run of nicpass is at work" in host.succeed("journalctl -t nicpass -o cat")
    assert IN_USE not in host.succeed(f"ip address show dev {NIC}")
    assert f"{ADDRESS} has come back from web01" in host.execute(["nicpass", "list"], LONG).stderr
    assert json.loads(host.succeed(["nicpass", "list", "--json"], LONG))["owed"] == [ADDRESS]
    host.fail(["nicpass", "recover"], 7, LONG)
    # The guard has asked for a try of its own; here it is a person who comes first.
    host.wait_until_succeeds(f'{STOP_RETRIES} && test -z "$({RETRIES})"')  # its timer may elapse, and go, meanwhile
    host.succeed("pkill -P $(cat /run/holder); rm /run/holder")
    assert "It was restored." in host.succeed(["nicpass", "recover"], LONG)
    assert_restored(host)
    assert host.execute(["nicpass", "list"], LONG).stderr == ""


@pytest.mark.full
def test_what_a_stop_missed_comes_back_by_itself(fresh_host: Machine) -> None:
    host = fresh_host
    give(host)
    host.succeed(["virsh", "start", "web01"], LONG)
    host.succeed(
        f"{PRIVATE}; flock --exclusive /run/nicpass/locks/nics sleep 1000 >/dev/null 2>&1 & echo $! >/run/holder"
    )
    host.wait_until_succeeds("! flock --nonblock /run/nicpass/locks/nics true")
    host.succeed("virsh destroy web01", LONG)
    host.wait_until_succeeds("virsh domstate web01 | grep -q 'shut off'", 60)
    host.succeed("pkill -P $(cat /run/holder); rm /run/holder")
    host.wait_until_succeeds(f"ip address show dev {NIC} | grep -q {IN_USE}", LONG)
    host.wait_until_succeeds("flock --nonblock /run/nicpass/locks/nics true", LONG)
    assert_restored(host)
