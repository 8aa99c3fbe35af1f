# SPDX-License-Identifier: Apache-2.0
"""A guard whose Python an upgrade has taken away: it says so, keeps no VM from its start but for the host's sake."""

from __future__ import annotations

import json

import pytest

from lab.machine import Machine

pytestmark = pytest.mark.lab

NIC, ADDRESS = "enp1s0", "0000:01:00.0"
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly
HOOK = "/etc/libvirt/hooks/qemu.d/nicpass"
IN_USE = "192.0.2.5/24"
PYTHON = f"sed -n 's/^python=//p' {HOOK}"


def codes(host: Machine) -> set[str]:
    report = json.loads(host.execute(["nicpass", "check", "--json"], LONG).stdout)
    return {finding["code"] for finding in report["host"]}


def give(host: Machine) -> None:
    host.succeed(f"ip link set {NIC} mtu 1400 up; ip address add {IN_USE} dev {NIC}")
    host.wait_for_link(NIC)
    host.succeed(["nicpass", "attach", "web01", NIC, "--allow", "HAS_ADDRESS", "--confirm-within", "0"], LONG)


def upgrade_python(host: Machine) -> None:
    """The venv's interpreter is a link; it leads to one by now that does not have what was installed for the other."""
    host.put_file("/usr/local/bin/python9.9", '#!/bin/sh\nexec /usr/bin/python3 -S "$@"\n')
    host.succeed("chmod 755 /usr/local/bin/python9.9")
    host.succeed(
        f"python=$({PYTHON}); readlink $python >/root/python-was; ln -sfn /usr/local/bin/python9.9 $python; sync"
    )


def repair_python(host: Machine) -> None:
    host.succeed(f"ln -sfn $(cat /root/python-was) $({PYTHON})")


@pytest.mark.full  # it installs another Python and boots: eight minutes
def test_an_upgrade_of_python_stops_no_vm_and_is_told_until_it_is_mended(fresh_host: Machine) -> None:
    host = fresh_host
    give(host)
    host.succeed("virsh autostart web01")
    upgrade_python(host)
    host.reboot(may_fail="nicpass-recover.service")
    host.wait_until_succeeds("virsh domstate web01 | grep -q running", LONG)
    told = host.succeed("journalctl -b -t nicpass -o cat -p err")
    assert f"web01 starts and its NICs ( {ADDRESS} ) were not looked at: nicpass is broken" in told
    # systemd tells it of its own unit, and the unit in words.
    host.wait_until_succeeds("systemctl is-failed nicpass-recover", LONG)
    assert "install nicpass anew" in host.succeed("journalctl -b -u nicpass-recover -o cat")
    host.succeed("virsh destroy web01", LONG)
    host.wait_until_succeeds("virsh domstate web01 | grep -q 'shut off'", 60)
    assert IN_USE not in host.succeed(f"ip address show dev {NIC}")

    repair_python(host)
    seen = codes(host)
    assert {"STARTED_UNGUARDED", "STOPPED_UNGUARDED"} <= seen
    listed = host.execute(["nicpass", "list"], LONG).stderr
    assert "STARTED_UNGUARDED: web01 was started at " in listed
    assert f"{ADDRESS} has come back from web01" in listed
    mended = host.succeed(["nicpass", "recover"], LONG)
    assert "It was restored." in mended
    assert "web01 was stopped at " in mended
    assert IN_USE in host.succeed(f"ip address show dev {NIC}")
    assert not {code for code in codes(host) if "GUARD" in code}
    assert host.execute(["nicpass", "list"], LONG).stderr == ""


def test_a_vm_whose_nic_carries_the_host_is_vetoed_without_python(fresh_host: Machine) -> None:
    host = fresh_host
    give(host)
    upgrade_python(host)
    host.succeed(f"ip link add br9 type bridge && ip link set {NIC} master br9 && ip link set br9 up")
    host.succeed("ip address add 192.0.2.6/24 dev br9 && ip route add default via 192.0.2.1 dev br9 metric 9000")
    refused = host.fail(["virsh", "start", "web01"], timeout=LONG)
    assert "web01 is not started: nicpass is broken" in refused.stderr
    assert "a default route of the host leads over br9" in refused.stderr
    assert "web01 is not started" in host.succeed("journalctl -t nicpass -o cat -p err")
    host.succeed("ip link del br9")
    host.succeed(["virsh", "start", "web01"], LONG)
    host.succeed("virsh destroy web01", LONG)
    repair_python(host)
    assert {"STARTED_UNGUARDED", "VETOED_UNGUARDED", "STOPPED_UNGUARDED"} <= codes(host)
    host.succeed(["nicpass", "recover"], LONG)
    assert not {code for code in codes(host) if "GUARD" in code}


def test_recover_puts_the_guard_in_order(fresh_host: Machine) -> None:
    """It is missing, not executable, of another installation, or changed: one command mends each."""
    host = fresh_host
    give(host)
    ways = {
        "GUARD_MISSING": f"rm {HOOK}",
        "GUARD_NOT_EXECUTABLE": f"chmod 644 {HOOK}",
        "GUARD_BROKEN": f"sed -i 's|^python=.*|python=/opt/gone/bin/python|' {HOOK}",
        "GUARD_CHANGED": f"echo '# mine' >>{HOOK}",
    }
    for code, spoil in ways.items():
        host.succeed(spoil)
        assert {found for found in codes(host) if "GUARD" in found} == {code}
        assert code in host.execute(["nicpass", "list"], LONG).stderr
        assert "The guard was put in order, and runs." in host.succeed(["nicpass", "recover"], LONG)
        assert not {found for found in codes(host) if "GUARD" in found}
    host.succeed(["nicpass", "detach", "web01", ADDRESS], LONG)
    host.succeed(f"test ! -e {HOOK}")


def test_an_attach_without_a_start_sees_libvirt_run_the_hook(fresh_host: Machine) -> None:
    host = fresh_host
    machines, logs = host.succeed("virsh list --all"), host.succeed("ls /var/log/libvirt/qemu")
    given = host.execute(["nicpass", "attach", "web01", NIC], LONG)
    assert (given.exit_code, given.stderr) == (0, "")
    assert host.succeed("virsh list --all") == machines
    assert host.succeed("ls /var/log/libvirt/qemu") == logs
    host.fail("test -e /run/nicpass/proof")
    host.succeed(["nicpass", "detach", "web01", ADDRESS], LONG)

    # A libvirt that does not look for hooks: its reload is kept from it.
    host.put_file(
        "/etc/systemd/system/libvirtd.service.d/deaf.conf",
        "[Service]\nType=notify\nExecReload=\nExecReload=/bin/true\n",
    )
    host.succeed("systemctl daemon-reload; systemctl restart libvirtd", LONG)
    failed = host.fail(["nicpass", "attach", "web01", NIC], timeout=LONG)
    assert "without asking the guard" in failed.stderr
    assert host.succeed("virsh list --all") == machines
    host.fail(f"test -e {HOOK}")
    host.succeed("systemctl restart libvirtd", LONG)
