# SPDX-License-Identifier: Apache-2.0
"""What the simulated machine is made of: its cards with all the VFs that they can make, its network, its VMs."""

from __future__ import annotations

import dataclasses
import ipaddress

import msgspec

from nicpass.host.network.link_settings import sysctl_path
from nicpass.model.network import IpAddress, Link, LinkSettings, Network, Route, Setting, VfSettings
from tests.support.cpus import cpu_files
from tests.support.hosts import bridge, nic, pf_with_vfs
from tests.support.trees import UUID, Function, Tree, Vm

NIC, PF = "0000:03:00.0", "0000:01:00.0"
TOTALVFS = 4
PORTS = "".join(
    f"    <controller type='pci' index='{index}' model='pcie-root-port'>\n"
    f"      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x{index}'/>\n    </controller>\n"
    for index in (5, 6, 7)
)
GUESTS = tuple(Vm(name=name, uuid=UUID.format(number), devices=PORTS) for number, name in enumerate(("web", "db"), 1))
SYSCTLS = {"ipv4/conf/rp_filter": "0", "ipv4/conf/forwarding": "0", "ipv6/conf/accept_ra": "1"}
"""The sysctls that an interface has when it is new."""
INTERRUPT = 61
"""The one that `lan0` has on a host with nodes."""
UNUSED_MAC = "00:00:00:00:00:00"

_DRIVERS = ("vfio-pci", "ixgbe", "ixgbevf", "igb")
_PF_CARDS = pf_with_vfs(PF, "eth1", TOTALVFS, totalvfs=TOTALVFS, under="0000:00:01.0")
_PLAIN = nic(NIC, "lan0", group=40, driver="igb", device_id=0x1521, under="0000:00:02.0", serial=0x77)
CARDS: dict[str, Function] = {
    card.address: card for card in (bridge("0000:00:01.0"), bridge("0000:00:02.0", group=2), *_PF_CARDS, _PLAIN)
}
"""Every function that can be there, by address, with its own driver and the name that udev gives its interface."""
VFS = CARDS[PF].vfs
NUMBERS = {address: number for number, address in enumerate(CARDS)}


def _mac(address: str) -> str:
    return f"00:1b:21:00:{NUMBERS[address]:02x}:01"


def fresh_link(address: str) -> Link:
    """The interface that a driver has just made: down, with the MAC of the card, called as udev calls it."""
    card = CARDS[address]
    return Link(
        name=card.netdevs[0],
        mac=_mac(address),
        permanent_mac=_mac(address) if card.pf is None else None,
        mtu=1500,
        operstate="down",
        carrier=False,
        parent_device=address,
        txqueuelen=1000,
        settings=LinkSettings(rings=_rings(512)),
    )


def _rings(received: int) -> tuple[Setting, ...]:
    return Setting("rx", str(received)), Setting("tx", "512")


def fresh_vf(index: int) -> VfSettings:
    """The settings that a PF tells of a VF that it has just made."""
    plain = VfSettings(vf_index=index, mac=UNUSED_MAC, qos=0, vlan_protocol="802.1Q", spoofchk=True, trust=False)
    return msgspec.structs.replace(plain, link_state="auto", min_tx_rate=0, max_tx_rate=0)


def simulated_tree(numvfs: int = 0, *, numa: bool = False) -> Tree:
    """A host on which nothing stands in the way: a PF, and a NIC `lan0` with addresses and a route of its own.

    With `numa` it has two nodes, and the NIC is on the second, with an interrupt that any CPU may handle.
    """
    vfs = VFS[:numvfs]
    present = [card for card in CARDS.values() if card.pf is None or card.address in vfs]
    functions = tuple(dataclasses.replace(card, vfs=vfs) if card.address == PF else card for card in present)
    links = [fresh_link(card.address) for card in present if card.netdevs]
    used = ("eth1", "lan0")
    links = [_in_use(link, numvfs if link.name == "eth1" else 0) if link.name in used else link for link in links]
    files = {"/sys/bus/pci/drivers_probe": "", "/var/lib/libvirt/qemu/save/.keep": "", "/run/systemd/system/.keep": ""}
    files |= {"/etc/libvirt/qemu/networks/autostart/.keep": ""}
    files |= {"/etc/systemd/system/multi-user.target.wants/.keep": "", "/etc/udev/rules.d/.keep": ""}
    for name in (link.name for link in links):
        own = {"ipv4/conf/rp_filter": "2"} if name in used else {}
        files |= {sysctl_path(name, key): f"{value}\n" for key, value in (SYSCTLS | own).items()}
    files |= {f"/sys/bus/pci/drivers/{driver}/{name}": "" for driver in _DRIVERS for name in ("bind", "unbind")}
    if numa:
        irqs = ((f"msi_irqs/{INTERRUPT}", "msix\n"),)
        near = dataclasses.replace(CARDS[NIC], numa_node=1, files=irqs)
        functions = tuple(near if f.address == NIC else f for f in functions)
        files |= cpu_files(nodes={0: "0-3", 1: "4-7"}, threads=2, free=4 << 30)
        files |= {f"/proc/irq/{INTERRUPT}/smp_affinity_list": "0-7\n"}
    return Tree(functions=functions, network=_network(links), vms=GUESTS, files=files)


def _in_use(link: Link, numvfs: int) -> Link:
    """The link with much about it that no driver would give it."""
    vfs = tuple(fresh_vf(index) for index in range(numvfs))
    return msgspec.structs.replace(
        link,
        mtu=9000,
        up=True,
        operstate="up",
        carrier=True,
        vfs=vfs,
        txqueuelen=2000,
        alias=f"the office's {link.name}",
        altnames=(f"uplink-{link.name}",),
        settings=LinkSettings(rings=_rings(4096)),
    )


def _network(links: list[Link]) -> Network:
    """`lan0` has a static address, a route behind a gateway and IPv6; `eth1` what the kernel gives it by itself."""
    own = [
        IpAddress(netdev="lan0", address="10.3.0.5", prefix_length=24, broadcast="10.3.0.255", label="lan0"),
        IpAddress(netdev="lan0", address="2001:db8:3::5", prefix_length=64),
    ]
    local = [address for link in links if link.up for address in [link_local(link)]]
    routes = [
        connected_route(own[0]),
        connected_route(own[1]),
        Route(netdev="lan0", destination="10.9.0.0/16", gateway="10.3.0.1", protocol="static"),
        *(connected_route(address) for address in local),
    ]
    return Network(links=tuple(links), addresses=(*own, *local), routes=tuple(routes), rules=())


def link_local(link: Link, *, tentative: bool = False) -> IpAddress:
    """The address that IPv6 makes of the MAC (RFC 4291, appendix A)."""
    octets = bytes(int(octet, 16) for octet in (link.mac or UNUSED_MAC).split(":"))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    address = str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + identifier))
    return IpAddress(netdev=link.name, address=address, prefix_length=64, scope="link", tentative=tentative)


def connected_route(address: IpAddress) -> Route:
    """The route that the kernel adds with an address."""
    net = ipaddress.ip_interface(address.text).network
    six = net.version == 6
    return Route(
        netdev=address.netdev,
        destination=str(net),
        protocol="kernel",
        scope="global" if six else "link",
        metric=256 if six else None,
        source=None if six else address.address,
        family="inet6" if six else "inet",
    )
