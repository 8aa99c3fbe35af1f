# SPDX-License-Identifier: Apache-2.0
"""The host's network: interfaces, addresses, routes."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from nicpass.model.fact import Fact

NO_MAC: Final = "00:00:00:00:00:00"
VLAN_IDS: Final = range(1, 4095)  # IEEE 802.1Q, 9.6: 0 is no VLAN, 4095 is reserved


class VfSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that a PF enforces on one VF (IFLA_VF_* in linux/if_link.h). None: the PF's driver does not tell."""

    vf_index: int
    mac: str
    """The VF's MAC as the PF has given it; where it gave none, NO_MAC, or with many drivers the VF's own choice."""
    vlan: int = 0
    qos: int | None = None
    """The priority that goes with the VLAN (IEEE 802.1Q, 0 to 7)."""
    vlan_protocol: str | None = None
    """`802.1Q` or `802.1ad`."""
    spoofchk: bool | None = None
    trust: bool | None = None
    link_state: str | None = None
    """The state of the VF's link: `auto`: as the PF's own link; `enable` or `disable`: whatever that is."""
    min_tx_rate: int | None = None
    """The VF's least rate of sending, in Mbit/s; 0 is no limit."""
    max_tx_rate: int | None = None
    query_rss: bool | None = None
    """Whether the VF may ask for the PF's RSS key and table."""
    node_guid: str | None = None
    """The GUID of an InfiniBand VF's node, `00:11:22:33:44:55:66:77`; None on Ethernet."""
    port_guid: str | None = None
    """The GUID of an InfiniBand VF's port."""


class Setting(msgspec.Struct, frozen=True, array_like=True):
    """One named value, as the kernel writes it: a ring's size, a sysctl, an offload."""

    name: str
    value: str


class LinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings read of one interface alone, before it leaves and when it is back: of all it would take too long.

    A field is None where the interface has no such settings; a None or Unknown field is not recorded or compared.
    """

    rings: Fact[tuple[Setting, ...]] = None
    """The sizes of the rings in packets, `ethtool -g`."""
    channels: Fact[tuple[Setting, ...]] = None
    """The numbers of queues, `ethtool -l`."""
    coalescing: Fact[tuple[Setting, ...]] = None
    """When an interrupt is raised, `ethtool -c`; None while the driver adapts it by itself."""
    pause: Fact[tuple[Setting, ...]] = None
    """Flow control, `ethtool -a`."""
    features: Fact[tuple[Setting, ...]] = None
    """Offloads that can be changed, as they were asked for: `ethtool -k`."""
    sysctls: Fact[tuple[Setting, ...]] = None
    """The interface's sysctls, `ipv4/conf/rp_filter`: below /proc/sys/net, without the interface's name."""
    port: Fact[tuple[Setting, ...]] = None
    """The settings of a bridge's port: its files in `brport` (sysfs-class-net, net/bridge/br_sysfs_if.c)."""
    port_vlans: Fact[tuple[Setting, ...]] = None
    """The VLANs of a bridge's port: VLAN to its flags, `bridge vlan`."""


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
    """The bridge, bond, team or VRF that has enslaved this interface."""
    lower: str | None = None
    """The interface that this one stands on: a VLAN's or macvlan's parent, the one that a tunnel is bound to."""
    lowers: tuple[str, ...] = ()
    """What else it stands on: the ports of HSR, the interface of PPPoE, every `lower_*` that sysfs shows."""
    kind: str | None = None
    tunnel_local: str | None = None
    """The address from which a tunnel sends; None is any."""
    tunnel_remotes: Fact[tuple[str, ...]] = None
    """Where a tunnel's packets go: of VXLAN the group, of WireGuard all peers' endpoints. None for other links."""
    xdp_programs: tuple[int, ...] = ()
    """The BPF programs that see every packet first, by id (IFLA_XDP); 0 where the kernel does not say which."""
    parent_device: str | None = None
    """The device of the interface, `0000:3b:00.0` or `virtio0` (IFLA_PARENT_DEV_NAME; since Linux 5.14)."""
    altnames: tuple[str, ...] = ()
    driver_version: str | None = None
    firmware_version: str | None = None
    vfs: tuple[VfSettings, ...] = ()
    speed: int | None = None
    """In Mbit/s; read of a PF whose VFs are to be set, while it has a link."""
    txqueuelen: int | None = None
    promisc: bool | None = None
    """Promiscuous mode as the administrator asked for it, not as programs that capture packets do."""
    allmulticast: bool | None = None
    alias: str | None = None
    """The administrator's text on the interface (`ip link set alias`)."""
    qdisc: str | None = None
    """The root queueing discipline's kind."""
    vlan_id: int | None = None
    vlan_protocol: str | None = None
    """The protocol of a VLAN interface: `802.1Q` or `802.1ad`."""
    settings: LinkSettings | None = None
    """The interface's settings; None where they were not asked for (`host.link_settings`)."""


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
    """Whether it is still being asked if anybody else has the address, as nobody must (RFC 4862, 5.4)."""
    dynamic: bool = False
    """Whether the address has a lifetime: DHCP or a router advertisement gave it."""
    metric: int | None = None
    """The metric of the route that the kernel makes to the address's network."""
    flags: tuple[str, ...] | None = None
    """Flags such as `noprefixroute` and `secondary`, in iproute2's words; None in records that did not know them."""

    @property
    def text(self) -> str:
        return f"{self.address}/{self.prefix_length}"

    @property
    def temporary(self) -> bool:
        """Whether this is one of the addresses that IPv6 makes anew every day, by chance (RFC 8981)."""
        return "temporary" in (self.flags or ())

    @property
    def comes_with_link(self) -> bool:
        """Whether IPv6 gives this address to every interface that is up (RFC 4291, 2.5.6); it alone serves nobody."""
        return self.scope == "link" and self.address.startswith("fe80:")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One route of any table. Source: rtnetlink(7)."""

    netdev: str
    destination: str
    """The prefix that the route leads to: `default`, or `10.0.0.0/24`."""
    table: int = 254
    gateway: str | None = None
    protocol: str = "boot"
    """Who made the route: `kernel` routes follow their address and are never written by nicpass."""
    metric: int | None = None
    scope: str = "global"
    source: str | None = None
    family: Literal["inet", "inet6"] = "inet"
    multipath: bool = False
    weight: int | None = None
    """The weight of this way, where the route has several ways."""
    onlink: bool | None = None
    """Whether the gateway is taken for reachable though no route leads to it; None in records that did not know it."""
    tos: int | None = None
    from_prefix: str | None = None
    """The source prefix: only packets from there take the route (IPv6)."""
    preference: str | None = None
    """The route's preference (RFC 4191): `low`, `medium`, `high`; IPv6 alone."""
    realm: int | None = None
    metrics: tuple[Setting, ...] = ()
    """`mtu`, `initcwnd` and others (RTAX_* in linux/rtnetlink.h); `lock` is the mask of those that stay as they are."""
    nexthop_id: int | None = None
    """The nexthop object that the route goes by."""
    encapsulation: int | None = None
    """LWTUNNEL_ENCAP_* (linux/lwtunnel.h): the kind of wrapping of the route's packets; it is not read further."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that chooses a routing table, as `ip rule` shows it. Source: ip-rule(8), linux/fib_rules.h."""

    priority: int = 0
    family: Literal["inet", "inet6"] = "inet"
    iif: str | None = None
    oif: str | None = None
    source: str | None = None
    """The prefix that packets come from, `10.0.0.0/24`; None is any."""
    destination: str | None = None
    fwmark: int | None = None
    table: int | None = None
    """The table's number; None where the rule does something else than look into a table, or into that of a VRF."""


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """A filter of tc(8) that sends packets of one interface to another, or copies them there (tc-mirred(8))."""

    netdev: str
    """Where it hangs; `?` where only its action was found."""
    target: str


NETWORK_MANAGER: Final = "NetworkManager"
NETWORKD: Final = "systemd-networkd"
IFUPDOWN: Final = "ifupdown"
ManagerName: TypeAlias = Literal["NetworkManager", "systemd-networkd", "ifupdown"]


class LinkManager(msgspec.Struct, frozen=True, kw_only=True):
    """A network manager that configures an interface: addresses and routes there are its own, and not written by us."""

    netdev: str
    manager: ManagerName
    profile: Fact[str]
    """The profile: the UUID of NetworkManager's connection, networkd's .network file, the stanza in interfaces(5).

    Unknown where it could not be learned whether this manager configures the interface at all.
    """


IntentPurpose: TypeAlias = Literal["configure", "port", "parent", "wait", "unclear"]


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """One line somewhere that says what an interface is for, whether or not anything has come of it yet (law 9)."""

    netdev: str
    manager: str
    """Who goes by it: a network manager, `netplan`, `initscripts`, `wicked`, `dhcpcd`, `kernel`, `initramfs`,
    `systemd`, or the DHCP client that somebody has started."""
    purpose: IntentPurpose
    """`configure`: bring it up and give it addresses; `port` of a bridge or bond; `parent` of a VLAN or its like;
    `wait`: the boot waits for it; `unclear`: a file names it that was not understood further.
    """
    source: str
    """The file."""
    text: str
    """What stands there: `Name=en*`, `auto eth1`."""
    target: str | None = None
    """The interface that it is to be a port or a parent of; None where the line does not name it."""


class VfCount(msgspec.Struct, frozen=True, kw_only=True):
    """A setting of a network manager's that gives a PF its number of VFs at every boot."""

    netdev: str
    source: str
    text: str
    count: int


class KernelWord(msgspec.Struct, frozen=True, kw_only=True):
    """An argument about the IOMMU that stands in a file which the kernel's arguments are made of."""

    source: str
    text: str


class Intents(msgspec.Struct, frozen=True, kw_only=True):
    """All that is meant to be done with the host's NICs."""

    found: tuple[Intent, ...] = ()
    vf_counts: tuple[VfCount, ...] = ()
    kernel_words: tuple[KernelWord, ...] = ()
    unread: tuple[str, ...] = ()
    """Why something could not be read that may name any of them."""


class KernelNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """The host's own network namespace, from rtnetlink and ethtool; of a capture, what its sysfs has."""

    links: tuple[Link, ...] = ()
    addresses: Fact[tuple[IpAddress, ...]] = None
    routes: Fact[tuple[Route, ...]] = None
    rules: Fact[tuple[Rule, ...]] = None
    redirects: Fact[tuple[Redirect, ...]] = None
    """None in a capture or a record from before they were read."""


class Network(KernelNetwork, frozen=True, kw_only=True):
    """The same, with who configures it and what is meant to be done with it."""

    managers: tuple[LinkManager, ...] = ()
    """The managers of the devices' interfaces; an interface that is not named here is configured by nobody."""
    intents: Intents | None = None
    """None where nobody asked, as in snapshots from before there was the question."""
