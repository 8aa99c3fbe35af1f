# SPDX-License-Identifier: Apache-2.0
"""The host's network: interfaces, addresses, routes."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from nicpass.model.fact import Fact

NO_MAC: Final = "00:00:00:00:00:00"


class VfSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the PF enforces on one VF (IFLA_VF_* in linux/if_link.h). None: its driver does not tell."""

    vf_index: int
    mac: str
    """As the PF has given it; NO_MAC, or with many drivers the VF's own choice, where it has given none."""
    vlan: int = 0
    qos: int | None = None
    """The priority that goes with the VLAN (IEEE 802.1Q, 0 to 7)."""
    vlan_protocol: str | None = None
    """`802.1Q` or `802.1ad`."""
    spoofchk: bool | None = None
    trust: bool | None = None
    link_state: str | None = None
    """`auto`: as the PF's own link; `enable` or `disable`: whatever that is."""
    min_tx_rate: int | None = None
    """In Mbit/s; 0 is no limit."""
    max_tx_rate: int | None = None
    query_rss: bool | None = None
    """Whether the VF may ask for the PF's RSS key and table."""


class Setting(msgspec.Struct, frozen=True, array_like=True):
    """One named value, as the kernel writes it: a ring's size, a sysctl, an offload."""

    name: str
    value: str


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of one interface alone, before it leaves and when it is back: of all it would take too long.

    None where there is no such thing; what is None or Unknown was not recorded, and is not compared.
    """

    rings: Fact[tuple[Setting, ...]] = None
    """In packets, `ethtool -g`."""
    channels: Fact[tuple[Setting, ...]] = None
    """Queues, `ethtool -l`."""
    coalescing: Fact[tuple[Setting, ...]] = None
    """When an interrupt is raised, `ethtool -c`; None while the driver adapts it by itself."""
    pause: Fact[tuple[Setting, ...]] = None
    """Flow control, `ethtool -a`."""
    features: Fact[tuple[Setting, ...]] = None
    """Offloads that can be changed, as they were asked for: `ethtool -k`."""
    sysctls: Fact[tuple[Setting, ...]] = None
    """`ipv4/conf/rp_filter`: below /proc/sys/net, without the interface's name."""
    port: Fact[tuple[Setting, ...]] = None
    """Of a bridge's port: its files in `brport` (sysfs-class-net, net/bridge/br_sysfs_if.c)."""
    port_vlans: Fact[tuple[Setting, ...]] = None
    """Of a bridge's port: VLAN to its flags, `bridge vlan`."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One network interface of the host, as `ip -details link` shows it."""

    name: str
    mac: str | None = None
    permanent_mac: str | None = None
    mtu: int | None = None
    up: bool = False
    """The administrator's wish (IFF_UP); `operstate` and `carrier` say what came of it."""
    operstate: str | None = None
    carrier: bool | None = None
    master: str | None = None
    """The bridge, bond, team or VRF that has enslaved it."""
    lower: str | None = None
    """The interface that this one stands on: a VLAN's or macvlan's parent, the one that a tunnel is bound to."""
    kind: str | None = None
    tunnel_local: str | None = None
    """The address from which a tunnel sends; None is any."""
    tunnel_remotes: Fact[tuple[str, ...]] = None
    """Where its packets go: of VXLAN the group, of WireGuard all peers' endpoints. None for what is no tunnel."""
    xdp_programs: tuple[int, ...] = ()
    """The BPF programs that see every packet first, by id (IFLA_XDP); 0 where the kernel does not say which."""
    parent_device: str | None = None
    """The device that it belongs to, `0000:3b:00.0` or `virtio0` (IFLA_PARENT_DEV_NAME; since Linux 5.14)."""
    altnames: tuple[str, ...] = ()
    driver_version: str | None = None
    firmware_version: str | None = None
    vfs: tuple[VfSettings, ...] = ()
    txqueuelen: int | None = None
    promisc: bool | None = None
    """As the administrator asked for, not as programs that capture packets do."""
    allmulticast: bool | None = None
    alias: str | None = None
    """A text of the administrator's (`ip link set alias`)."""
    qdisc: str | None = None
    """The root queueing discipline's kind."""
    vlan_id: int | None = None
    vlan_protocol: str | None = None
    """Of a VLAN: `802.1Q` or `802.1ad`."""
    settings: LinkSettings | None = None
    """None: not asked for (`host.link_settings`)."""


class IpAddress(msgspec.Struct, frozen=True, kw_only=True):
    """One address on an interface, `10.0.0.5/24`; without lifetimes, which change by themselves."""

    netdev: str
    address: str
    prefix_length: int
    scope: str = "global"
    """`global`, `site`, `link` or `host` (rtnetlink(7))."""
    peer: str | None = None
    """The other end of a point-to-point link."""
    broadcast: str | None = None
    label: str | None = None
    tentative: bool = False
    """Nobody else must have it, and that is still being asked (RFC 4862, 5.4)."""
    dynamic: bool = False
    """It has a lifetime: DHCP or a router advertisement gave it."""
    metric: int | None = None
    """Of the route that the kernel makes to its network."""
    flags: tuple[str, ...] | None = None
    """`noprefixroute`, `secondary` and others, in iproute2's words; None in records that did not know them."""

    @property
    def text(self) -> str:
        return f"{self.address}/{self.prefix_length}"

    @property
    def temporary(self) -> bool:
        """One of those that IPv6 makes anew every day, by chance (RFC 8981)."""
        return "temporary" in (self.flags or ())

    @property
    def comes_with_link(self) -> bool:
        """The address that IPv6 gives every interface that is up (RFC 4291, 2.5.6); it serves nobody by itself."""
        return self.scope == "link" and self.address.startswith("fe80:")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One route of any table. Source: rtnetlink(7)."""

    netdev: str
    destination: str
    """`default`, or `10.0.0.0/24`."""
    table: int = 254
    gateway: str | None = None
    protocol: str = "boot"
    """Who made it: `kernel` routes follow their address and are never written by us."""
    metric: int | None = None
    scope: str = "global"
    source: str | None = None
    family: Literal["inet", "inet6"] = "inet"
    multipath: bool = False
    weight: int | None = None
    """Of one way of several."""
    onlink: bool | None = None
    """The gateway is taken for reachable although no route leads to it; None in records that did not know it."""
    tos: int | None = None
    from_prefix: str | None = None
    """Only packets from there take it (IPv6)."""
    preference: str | None = None
    """RFC 4191: `low`, `medium`, `high`; IPv6 alone."""
    realm: int | None = None
    metrics: tuple[Setting, ...] = ()
    """`mtu`, `initcwnd` and others (RTAX_* in linux/rtnetlink.h); `lock` is the mask of those that stay as they are."""
    nexthop_id: int | None = None
    """The nexthop object that it goes by."""
    encapsulation: int | None = None
    """LWTUNNEL_ENCAP_* (linux/lwtunnel.h): what wraps its packets; that is not read further."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that chooses a routing table, as `ip rule` shows it. Source: ip-rule(8), linux/fib_rules.h."""

    priority: int = 0
    family: Literal["inet", "inet6"] = "inet"
    iif: str | None = None
    oif: str | None = None
    source: str | None = None
    """`10.0.0.0/24`; None is any."""
    destination: str | None = None
    fwmark: int | None = None
    table: int | None = None
    """None where the rule does something else than look into a table, or into that of a VRF."""


NETWORK_MANAGER: Final = "NetworkManager"
NETWORKD: Final = "systemd-networkd"
IFUPDOWN: Final = "ifupdown"
ManagerName: TypeAlias = Literal["NetworkManager", "systemd-networkd", "ifupdown"]


class LinkManager(msgspec.Struct, frozen=True, kw_only=True):
    """A network manager that configures an interface: addresses and routes there are its own, and not written by us."""

    netdev: str
    manager: ManagerName
    profile: Fact[str]
    """By what: the UUID of NetworkManager's connection, systemd-networkd's .network file, the stanza in interfaces(5).

    Unknown where it could not be learned whether this manager configures the interface at all.
    """


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """The host's own network namespace, from rtnetlink and ethtool; of a capture, what its sysfs has."""

    links: tuple[Link, ...] = ()
    addresses: Fact[tuple[IpAddress, ...]] = None
    routes: Fact[tuple[Route, ...]] = None
    rules: Fact[tuple[Rule, ...]] = None
    managers: tuple[LinkManager, ...] = ()
    """Of the interfaces of devices; one that is not named here is configured by nobody."""
