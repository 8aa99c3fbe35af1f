# SPDX-License-Identifier: Apache-2.0
"""The three network managers: a NIC that one of them configures goes, and comes back with its address by its hand."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from lab.agent import Result
from lab.machine import Machine
from lab.state import HostState, render_difference, state_difference

pytestmark = pytest.mark.lab

NIC, NAME, MAC = "0000:02:00.0", "enp2s0", "52:54:00:aa:00:02"
# Documentation addresses (RFC 5737). By DHCP, every NIC's user network gives 10.0.2.15.
ADDRESS, OTHER_ADDRESS, LEASED = "192.0.2.5/24", "192.0.2.99/24", "10.0.2.15/24"
ROUTE, NEXT_HOP = "198.51.100.0/24", "192.0.2.1"
UUID = "8b7f0c52-0d5c-4f0e-9d7e-6c6162006e6d"


@dataclass(frozen=True)
class Manager:
    """How one is made to configure the NIC, and what it says when it has."""

    path: str
    profile: str
    start: str
    says_up: str
    leases: bool = True


NETWORK_MANAGER = Manager(
    path="/etc/NetworkManager/system-connections/office.nmconnection",
    # It does nothing with this profile by itself: that it is up again means that it was asked.
    profile=f"""[connection]
id=office
uuid={UUID}
type=ethernet
interface-name={NAME}
autoconnect=false
[ethernet]
mtu=1400
[ipv4]
method=auto
never-default=true
address1={ADDRESS}
route1={ROUTE},{NEXT_HOP}
[ipv6]
method=link-local
""",
    start=f"""chmod 600 /etc/NetworkManager/system-connections/office.nmconnection
printf '[main]\\nno-auto-default=*\\n[keyfile]\\nunmanaged-devices=*,except:interface-name:{NAME}\\n' \
    >/etc/NetworkManager/conf.d/lab.conf
systemctl unmask --quiet NetworkManager NetworkManager-dispatcher
systemctl start NetworkManager
nmcli --wait 60 connection up uuid {UUID}""",
    says_up=f"nmcli -t -f DEVICE,STATE,CONNECTION device | grep -x {NAME}:connected:office",
)
NETWORKD = Manager(
    path="/etc/systemd/network/20-office.network",
    profile=f"""[Match]
MACAddress={MAC}
[Link]
MTUBytes=1400
[Network]
Address={ADDRESS}
DHCP=ipv4
IPv6AcceptRA=no
[DHCPv4]
UseGateway=no
[Route]
Destination={ROUTE}
Gateway={NEXT_HOP}
""",
    start="networkctl reload",
    says_up=f'networkctl --json=short status {NAME} | grep \'"AdministrativeState":"configured"\'',
)
IFUPDOWN = Manager(
    path="/etc/network/interfaces.d/office",
    profile=f"""auto {NAME}
iface {NAME} inet static
    address {ADDRESS}
    mtu 1400
    up ip route add {ROUTE} via {NEXT_HOP} dev {NAME}
""",
    start=f"ifup {NAME}",
    says_up=f"ifquery --state {NAME} | grep -x {NAME}={NAME}",
    leases=False,  # it needs a DHCP client of its own, and the host has none
)


def configure(machine: Machine, manager: Manager) -> HostState:
    """The manager has configured the NIC; the whole host as it is then."""
    machine.put_file(manager.path, manager.profile)
    machine.succeed(manager.start, 120)
    machine.wait_until_succeeds(manager.says_up)
    for address in (ADDRESS, LEASED) if manager.leases else (ADDRESS,):
        machine.wait_until_succeeds(f"ip address show dev {NAME} | grep -F '{address} '")
    machine.wait_until_succeeds(f"ip -6 address show dev {NAME} -tentative | grep -F fe80:")
    assert f"mtu {1400} " in machine.succeed(f"ip link show dev {NAME}")
    return machine.read_state()


def lend(machine: Machine) -> None:
    """The NIC goes into web01, which runs."""
    allowed = ["--allow", "HAS_ADDRESS", "--allow", "CARRIES_ROUTE"]
    machine.succeed(["/root/.local/bin/nicpass", "attach", "web01", NIC, "--start", *allowed], 180)
    assert machine.succeed(f"basename $(readlink /sys/bus/pci/devices/{NIC}/driver)").strip() == "vfio-pci"


def take_back(machine: Machine, how: str = "destroy") -> Result:
    """web01 is shut down, or its plug is pulled, which does not wait for its system to be up."""
    if how == "shutdown":
        machine.guest("web01").wait_ready(150)
    machine.succeed(f"virsh {how} web01")
    machine.wait_until_succeeds("virsh domstate web01 | grep -q 'shut off'", 90)
    return machine.execute(["/root/.local/bin/nicpass", "detach", "web01", NIC], 240)


def changes(before: HostState, after: HostState) -> str:
    found = state_difference(before, after)
    return render_difference([each for each in found if not each.path[-1].startswith("/var/lib/nicpass/journal/")])


@pytest.mark.parametrize(
    ("manager", "how"),
    [
        pytest.param(NETWORK_MANAGER, "shutdown", id="NetworkManager", marks=pytest.mark.full),
        pytest.param(NETWORKD, "destroy", id="systemd-networkd"),
        pytest.param(IFUPDOWN, "destroy", id="ifupdown", marks=pytest.mark.full),
    ],
)
def test_a_nic_of_a_network_manager_goes_and_comes_back_with_its_address(
    fresh_host: Machine, manager: Manager, how: str
) -> None:
    before = configure(fresh_host, manager)
    lend(fresh_host)
    result = take_back(fresh_host, how)
    assert result.exit_code == 0, result.stdout + result.stderr
    assert "DIFFERENT" not in result.stdout
    assert re.search(rf"manager .*{NAME}.*equal", result.stdout)
    fresh_host.wait_until_succeeds(manager.says_up)
    assert not changes(before, fresh_host.read_state())


@pytest.mark.full
def test_what_a_manager_gives_instead_is_told_and_left_alone(fresh_host: Machine) -> None:
    configure(fresh_host, NETWORKD)
    lend(fresh_host)
    fresh_host.put_file(NETWORKD.path, NETWORKD.profile.replace(ADDRESS, OTHER_ADDRESS))
    fresh_host.succeed("networkctl reload")
    result = take_back(fresh_host)
    assert result.exit_code == 6, result.stdout + result.stderr
    assert re.search(rf"addresses was .*{ADDRESS}.*, is .*{OTHER_ADDRESS}", result.stderr)
    assert f"networkctl reconfigure {NAME}" in result.stderr
    there = fresh_host.succeed(f"ip -4 address show dev {NAME}")
    assert OTHER_ADDRESS in there
    assert ADDRESS not in there
