# SPDX-License-Identifier: Apache-2.0
"""NICs that come and go under a VM that runs, on the real kernel, libvirt and QEMU, as the guest itself sees them."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest

from lab.machine import Machine
from tests.lab.deaths import Death, difference, kill_at, read, settle

pytestmark = pytest.mark.lab

VM, NIC, ADDRESS, MAC = "web01", "enp2s0", "0000:02:00.0", "52:54:00:aa:00:02"
PF, VF = "enp1s0", "0000:01:10.0"
ALLOW = "--allow HAS_ADDRESS"
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly
TIMES = 20


def start(host: Machine) -> None:
    host.succeed(f"ip link set {NIC} mtu 1400 up && ip address add 192.0.2.5/24 dev {NIC}")
    host.wait_for_link(NIC)
    host.succeed(f"virsh start {VM}", LONG)
    host.guest(VM).wait_ready(LONG)


def guest_macs(host: Machine) -> set[str]:
    return set(host.guest(VM).succeed("cat /sys/class/net/*/address").split())


def wait_for_guest(host: Machine, mac: str, *, there: bool = True) -> None:
    test = f"cat /sys/class/net/*/address | grep -q {mac}"
    host.guest(VM).wait_until_succeeds(test if there else f"! {{ {test}; }}", LONG)


def set_hearing(host: Machine, *, on: bool) -> None:
    """Whether the guest hears of hotplug: by ACPI, for which QEMU raises the event of _E01, and by PCI Express."""
    guest = host.guest(VM)
    guest.succeed(f"echo {'enable' if on else 'disable'} > /sys/firmware/acpi/interrupts/gpe01")
    drivers, ports = "/sys/bus/pci_express/drivers/pciehp", "/sys/bus/pci_express/devices/*:pcie004"
    act = "bind" if on else "unbind"
    guest.succeed(f"for port in {ports}; do echo ${{port##*/}} > {drivers}/{act} 2>/dev/null; done; true")


def places(host: Machine, address: str) -> list[str | None]:
    """Where the guest sees the NIC, by the definition of the running machine and by the lasting one."""
    found: list[str | None] = []
    for flag in ("", "--inactive"):
        devices = ET.fromstring(host.succeed(f"virsh dumpxml {VM} {flag}")).find("devices")  # noqa: S314
        assert devices is not None
        bus, slot = (int(part, 16) for part in re.split("[:.]", address)[1:3])
        place = None
        for element in devices:
            source, own = element.find("source/address"), element.find("address")
            numbers = [int(source.get(name, "0"), 16) for name in ("bus", "slot")] if source is not None else []
            if numbers == [bus, slot] and own is not None:
                place = f"{own.get('bus')} {own.get('slot')}"
        found.append(place)
    return found


def outcome(host: Machine, command: str, exit_code: int) -> str:
    result = host.execute(f"nicpass {command}", LONG)
    assert result.exit_code == exit_code, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_into_a_running_vm_and_out_of_it(fresh_host: Machine) -> None:
    host = fresh_host
    start(host)
    before = read(host)

    said = outcome(host, f"attach {VM} {NIC} {ALLOW}", 0)
    assert f"{VM} has {ADDRESS} now, and at its next start." in " ".join(said.split())
    wait_for_guest(host, MAC)
    live, lasting = places(host, ADDRESS)
    assert live is not None
    assert live == lasting
    outcome(host, f"detach {VM} {NIC}", 0)
    wait_for_guest(host, MAC, there=False)
    assert difference(before, read(host)) == ""

    # For the running machine alone, and then a guest that cannot heed.
    outcome(host, f"attach {VM} {NIC} {ALLOW} --live", 0)
    assert places(host, ADDRESS)[1] is None
    wait_for_guest(host, MAC)
    host.succeed(f"virsh suspend {VM}")
    assert "paused" in outcome(host, f"detach {VM} {NIC}", 4)
    host.succeed(f"virsh resume {VM}")
    set_hearing(host, on=False)
    said = " ".join(outcome(host, f"detach {VM} {NIC}", 1).split())
    assert "did not let go" in said
    assert "--stop" in said
    assert places(host, ADDRESS)[0] is not None, "it keeps what it has not let go of"
    assert "vfio-pci" in host.succeed(f"readlink /sys/bus/pci/devices/{ADDRESS}/driver")
    set_hearing(host, on=True)
    outcome(host, f"detach {VM} {NIC}", 0)  # it is asked anew
    assert difference(before, read(host)) == ""


@pytest.mark.full
def test_nobody_confirms(fresh_host: Machine) -> None:
    """The dead man's hand has the guest let go, and the VM goes on."""
    host = fresh_host
    start(host)
    before = read(host)
    outcome(host, f"attach {VM} {NIC} {ALLOW} --confirm-within 20", 0)
    wait_for_guest(host, MAC)
    host.wait_until_succeeds(f"ip address show dev {NIC} | grep 192.0.2.5", LONG)
    host.wait_until_succeeds("! systemctl is-active --quiet nicpass-confirm.service", LONG)
    wait_for_guest(host, MAC, there=False)
    assert host.succeed(f"virsh domstate {VM}").strip() == "running"
    assert difference(before, read(host)) == ""


@pytest.mark.full
def test_killed_at_each_record(fresh_host: Machine) -> None:
    host = fresh_host
    start(host)
    before = read(host)
    for number in range(1, 20):
        if not kill_at(host, Death("after", number), f"attach {VM} {NIC} {ALLOW}"):
            break
        settle(host)
        if places(host, ADDRESS) != [None, None]:
            outcome(host, f"detach {VM} {NIC}", 0)
        assert difference(before, read(host)) == "", f"attach, killed after record {number}"
    for number in range(1, 20):
        if places(host, ADDRESS) == [None, None]:
            outcome(host, f"attach {VM} {NIC} {ALLOW}", 0)
            wait_for_guest(host, MAC)
        if not kill_at(host, Death("after", number), f"detach {VM} {NIC}"):
            break
        settle(host)
        if places(host, ADDRESS) != [None, None]:
            outcome(host, f"detach {VM} {NIC}", 0)
        assert difference(before, read(host)) == "", f"detach, killed after record {number}"


@pytest.mark.full
def test_what_others_do_meanwhile(fresh_host: Machine) -> None:
    """QEMU is killed, and libvirt restarted in the midst of a change."""
    host = fresh_host
    start(host)
    before = read(host)
    outcome(host, f"attach {VM} {NIC} {ALLOW}", 0)
    host.succeed(f"kill -9 $(cat /run/libvirt/qemu/{VM}.pid)")
    host.wait_until_succeeds(f"ip address show dev {NIC} | grep 192.0.2.5", LONG)
    outcome(host, f"detach {VM} {NIC}", 0)
    host.succeed(f"virsh start {VM}", LONG)
    host.guest(VM).wait_ready(LONG)
    assert difference(before, read(host)) == ""
    for command in (f"attach {VM} {NIC} {ALLOW}", f"detach {VM} {NIC}"):
        host.succeed(f"systemd-run --collect --unit=midst bash -c 'nicpass {command}; true'")
        host.wait_until_succeeds("grep -l plug_device /var/lib/nicpass/journal/* | tail -n 1", LONG)
        host.succeed("systemctl restart libvirtd", LONG)
        host.wait_until_succeeds("! systemctl is-active --quiet midst", LONG)
        settle(host)
        assert [place is None for place in places(host, ADDRESS)] in ([True, True], [False, False])
    if places(host, ADDRESS) != [None, None]:
        outcome(host, f"detach {VM} {NIC}", 0)
    assert difference(before, read(host)) == ""


@pytest.mark.full
@pytest.mark.parametrize("kind", ["pf", "vf"])
def test_many_times_beside_traffic(fresh_host: Machine, kind: str) -> None:
    """20 times in and out, and a ping that the guest sends over another VF loses nothing."""
    host = fresh_host
    start(host)
    host.succeed(f"ip link set {PF} up && ip address add 10.77.0.1/24 dev {PF}")
    host.wait_for_link(PF)
    host.succeed(f"nicpass vf create {PF} --count 2", LONG)
    vfs = json.loads(host.succeed(["nicpass", "vf", "list", PF, "--json"], LONG))["vfs"]
    outcome(host, f"attach {VM} {vfs[1]['address']}", 0)
    wait_for_guest(host, vfs[1]["mac"])
    guest = host.guest(VM)
    name = guest.succeed(f"basename $(dirname $(grep -l {vfs[1]['mac']} /sys/class/net/*/address))").strip()
    guest.succeed(f"ip link set {name} up && ip address add 10.77.0.2/24 dev {name}")
    guest.wait_until_succeeds("ping -c 1 -W 2 10.77.0.1", LONG)
    guest.succeed("(ping -i 1 10.77.0.1 > /tmp/ping 2>&1; true) & echo $! > /tmp/pid")
    nic, mac = (NIC, MAC) if kind == "pf" else (VF, vfs[0]["mac"])
    before = read(host)
    for _number in range(TIMES):
        outcome(host, f"attach {VM} {nic} {ALLOW if kind == 'pf' else ''}", 0)
        wait_for_guest(host, mac)
        outcome(host, f"detach {VM} {nic}", 0)
        wait_for_guest(host, mac, there=False)
    assert difference(before, read(host)) == ""
    guest.succeed("pkill -INT ping || kill -INT $(pidof ping)")
    told = guest.wait_until_succeeds("grep 'packet loss' /tmp/ping", LONG)
    assert " 0% packet loss" in told, told
