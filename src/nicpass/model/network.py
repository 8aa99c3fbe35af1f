# SPDX-License-Identifier: Apache-2.0
"""The host's network: interfaces, addresses, routes."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from nicpass.model.fact import Fact


class VfSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the PF enforces on one VF (IFLA_VF_* in linux/if_link.h)."""

    vf_index: int
    mac: str
    vlan: int = 0
    spoofchk: bool | None = None
    trust: bool | None = None


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

    @property
    def text(self) -> str:
        return f"{self.address}/{self.prefix_length}"

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
