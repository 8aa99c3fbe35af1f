# SPDX-License-Identifier: Apache-2.0
"""Law 4 on the real kernel: what a NIC was to the host goes with it and comes back, and what does not is told."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from lab.machine import Machine

pytestmark = pytest.mark.lab

PF, PF_ADDRESS = "enp2s0", "0000:02:00.0"
ALLOWED = "--allow HAS_ADDRESS --allow CARRIES_ROUTE --confirm-within 0"

# What an administrator may have made of a NIC: by the tools of every host.
ARRANGE = f"""
ethtool -G {PF} rx 512 tx 1024
ethtool -K {PF} gro off
ethtool -C {PF} rx-usecs 30
ip link set {PF} mtu 1400 txqueuelen 777 alias 'to the switch' allmulticast on up
ip link property add dev {PF} altname uplink
sysctl -q -w net.ipv4.conf.{PF}.rp_filter=2 net.ipv6.conf.{PF}.accept_ra=0 net.ipv6.conf.{PF}.mtu=1300
sysctl -q -w net.ipv4.neigh.{PF}.gc_stale_time=99
ip address add 192.0.2.5/24 dev {PF} noprefixroute metric 55
ip address add 192.0.2.6/24 dev {PF} noprefixroute
ip address add 2001:db8::5/64 dev {PF} nodad
ip address add fe80::5/64 dev {PF} nodad
ip route add 192.0.2.0/24 dev {PF} proto static
ip route add 198.51.100.0/24 via 203.0.113.1 dev {PF} onlink proto static mtu lock 1300 initcwnd 8
ip route add 2001:db8:9::/64 via 2001:db8::1 dev {PF} metric 77
"""
LOOK = f"""
ip -d -o link show {PF} | sed 's/^[0-9]*: //'
ip -o address show {PF} | sed 's/^[0-9]*: //'
ip route show table all dev {PF}
ip -6 route show table all dev {PF}
ethtool -g {PF}; ethtool -l {PF}; ethtool -k {PF}; ethtool -c {PF}; ethtool -a {PF}
sysctl -a 2>/dev/null | grep -F '.{PF}.'
"""
"""By other eyes than nicpass's own."""


def look(machine: Machine) -> list[str]:
    """Sorted, for the kernel may list the same in another order."""
    machine.wait_for_link(PF)
    return sorted(machine.succeed(LOOK).splitlines())


def rebind(machine: Machine, address: str) -> None:
    """The driver lets go and takes it again: all that was on its interface is lost."""
    driver = f"/sys/bus/pci/devices/{address}/driver"
    machine.succeed(f"to=$(readlink -f {driver}); echo {address} >$to/unbind; echo {address} >$to/bind; udevadm settle")


def shut_down(machine: Machine) -> None:
    machine.guest("web01").wait_ready(200)
    machine.succeed("virsh shutdown web01")
    machine.wait_until_succeeds("virsh domstate web01 | grep -q 'shut off'", 120)


def compared(machine: Machine, command: str) -> dict[str, dict[str, object]]:
    """What detach has compared, by the names of the fields."""
    told = json.loads(machine.succeed(f"{command} --json", 180))
    return {field["field"]: field for field in told["compared"]}


def test_all_that_a_nic_was_comes_back_from_a_vm(fresh_host: Machine) -> None:
    fresh_host.succeed(f"set -e\n{ARRANGE}")
    before = look(fresh_host)
    fresh_host.succeed(f"nicpass attach web01 {PF} --start {ALLOWED}", 240)
    shut_down(fresh_host)
    fields = compared(fresh_host, f"nicpass detach web01 {PF}")
    assert look(fresh_host) == before
    assert {name for name, field in fields.items() if not field["equal"]} == set()
    assert {"rings", "channels", "coalescing", "offloads", "sysctls", "uppers", "permanent MAC"} <= set(fields)


# nicpass refuses to give away what a bond, a bridge or a VLAN stands on; what restores is asked without it.
ENGINE = f"""
import sys
import msgspec
from nicpass.engine.host_steps import HostSteps, Interface, read_state
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Processes
from nicpass.model.plan import (NicState)
from nicpass.planner.nic_state.compare import compare_states
files = Files()
if sys.argv[1] == "keep":
    open("/run/kept.json", "wb").write(msgspec.json.encode(read_state(files, "{PF_ADDRESS}")))
else:
    state = msgspec.json.decode(open("/run/kept.json", "rb").read(), type=NicState)
    HostSteps(files, Processes(), Interface).restore(state)
    for field in compare_states(state, read_state(files, "{PF_ADDRESS}")):
        print(field.field, ":", field.after, "" if field.equal else "DIFFERENT")
"""
PYTHON = "/root/.local/share/pipx/venvs/nicpass/bin/python /run/engine.py"
STANDING = {
    "a bridge that filters VLANs": (
        f"""ip link add br0 type bridge vlan_filtering 1
        ip link set br0 up
        ip link set {PF} master br0
        ip link set {PF} up
        bridge link set dev {PF} isolated on learning off
        bridge vlan add dev {PF} vid 20
        bridge vlan add dev {PF} vid 30 pvid untagged
        bridge vlan del dev {PF} vid 1""",
        # not the cost, which follows the link's speed
        f"""bridge vlan show dev {PF}
        bridge -d link show dev {PF} | grep -oE 'master [^ ]*|isolated o[nf]*|learning o[nf]*'""",
        f"ip link set {PF} nomaster; ip link delete br0; ip link set {PF} down",
    ),
    "a bond": (
        f"ip link add bond0 type bond mode active-backup\nip link set bond0 up\nip link set {PF} master bond0",
        f"ip link show {PF} | grep -o 'master bond0'; grep 'Slave Interface' /proc/net/bonding/bond0",
        f"ip link set {PF} nomaster; ip link delete bond0; ip link set {PF} down",
    ),
    "a VLAN": (
        f"""ip link set {PF} up
        ip link add link {PF} name {PF}.20 type vlan id 20 protocol 802.1ad
        ip link set {PF}.20 mtu 1300 up
        ip address add 10.20.0.1/24 dev {PF}.20
        ip route add 10.21.0.0/16 via 10.20.0.9""",
        f"""ip -d link show {PF}.20 | grep -oE 'mtu [0-9]*|vlan protocol 802.1ad id 20|state UP'
        ip -4 address show {PF}.20 | grep inet; ip -4 route show dev {PF}.20""",
        f"ip link delete {PF}.20; ip link set {PF} down",
    ),
}


@pytest.mark.full
def test_what_it_stood_in_and_what_stood_on_it(fresh_host: Machine) -> None:
    fresh_host.put_file("/run/engine.py", ENGINE)
    for what, (arrange, show, undo) in STANDING.items():
        fresh_host.succeed(f"set -e\n{arrange}")
        fresh_host.wait_until_succeeds(f"grep -qx up /sys/class/net/{PF}/operstate")
        before = fresh_host.succeed(show)
        fresh_host.succeed(f"{PYTHON} keep", 120)
        rebind(fresh_host, PF_ADDRESS)
        assert fresh_host.execute(show).stdout != before, what
        told = fresh_host.succeed(f"{PYTHON} restore", 180)
        assert fresh_host.succeed(show) == before, what
        assert "DIFFERENT" not in told, what
        fresh_host.succeed(undo)


def test_a_difference_that_remains_is_told_and_is_exit_code_6(fresh_host: Machine) -> None:
    """A route of several hops is compared and not written; all else is put back all the same."""
    hops = f"nexthop via 192.0.2.1 dev {PF} nexthop via 192.0.2.2 dev {PF}"
    fresh_host.succeed(
        f"ip link set {PF} up && ip address add 192.0.2.5/24 dev {PF} && ip route add 198.51.100.0/24 {hops}"
    )
    fresh_host.succeed(f"nicpass attach web01 {PF} {ALLOWED}", 120)
    rebind(fresh_host, PF_ADDRESS)
    told = fresh_host.fail(f"nicpass detach web01 {PF}", exit_code=6, timeout=180)
    assert re.search(r"routes was .*198\.51\.100\.0/24 via 192\.0\.2\.1 dev enp2s0.*, is ", told.stderr)
    assert "addresses was" not in told.stderr
    assert "192.0.2.5/24" in fresh_host.succeed(f"ip address show {PF}")


@pytest.mark.full
def test_what_the_pf_enforces_on_a_vf_comes_back_from_a_vm(fresh_host: Machine) -> None:
    fresh_host.succeed(f"nicpass vf create {PF} --count 2 --host --confirm-within 0", 120)
    fresh_host.succeed(
        f"""set -e
        ip link set {PF} up
        ip link set {PF} vf 0 mac 52:54:00:12:34:00 vlan 20 qos 3 spoofchk off trust on max_tx_rate 100
        ip link set {PF} vf 1 mac 52:54:00:12:34:01 vlan 30"""
    )
    # The VF's driver learns its MAC when it is bound.
    vf = fresh_host.succeed(f"basename $(readlink /sys/bus/pci/devices/{PF_ADDRESS}/virtfn0)").strip()
    rebind(fresh_host, vf)
    show = f"ip link show {PF} | grep ' vf '"
    before = fresh_host.succeed(show)
    fresh_host.succeed(f"nicpass attach web01 {vf} --start --mac 52:54:00:99:99:99 --vlan 77 {ALLOWED}", 240)
    assert "vlan 77" in fresh_host.succeed(show)
    fresh_host.guest("web01").wait_ready(200)
    # As a hand that is not ours may leave it.
    fresh_host.succeed(f"ip link set {PF} vf 0 trust off max_tx_rate 0")
    shut_down(fresh_host)
    fields = compared(fresh_host, f"nicpass detach web01 {shlex.quote(vf)}")
    assert fresh_host.succeed(show) == before
    assert fields["VF"]["equal"] is True
    assert fields["MAC"]["after"] == "52:54:00:12:34:00"


@pytest.mark.full
def test_more_vfs_keep_what_the_first_ones_were_set_to(fresh_host: Machine) -> None:
    fresh_host.succeed(f"nicpass vf create {PF} --count 2 --host --confirm-within 0", 120)
    fresh_host.succeed(f"ip link set {PF} up; ip link set {PF} vf 1 mac 52:54:00:12:34:01 vlan 30 trust on")
    first = f"ip link show {PF} | grep ' vf 1 '"  # the MAC of the other, which was given none, is its driver's choice
    before = fresh_host.succeed(first)
    fresh_host.succeed(f"nicpass vf create {PF} --count 4 --host --confirm-within 0", 180)
    assert fresh_host.succeed(first) == before
    name = fresh_host.succeed(f"ls /sys/bus/pci/devices/{PF_ADDRESS}/virtfn1/net").strip()
    assert "52:54:00:12:34:01" in fresh_host.succeed(f"ip link show {name}")
    fresh_host.succeed(f"nicpass vf remove {PF} --confirm-within 0", 120)
    fresh_host.succeed("nicpass undo", 180)
    assert fresh_host.succeed(first) == before
