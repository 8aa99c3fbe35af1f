# SPDX-License-Identifier: Apache-2.0
"""Activity at a host: who is logged in from afar, what lies on other machines, which programs hold a device."""

from __future__ import annotations

from typing import Literal

import msgspec

from nicpass.model.address import Address
from nicpass.model.fact import Fact, Unknown

_NOT_READ = Unknown("not read")
"""The default of the fields of `Activity`, for a snapshot that was taken before nicpass read them."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session in which somebody administers the host from another machine."""

    user: str | None = None
    program: str = "ssh"
    """The program at this end, as its process is called: `sshd`, `cockpit-session`."""
    own: bool = False
    """Whether nicpass itself runs in this session."""
    local_address: str | None = None
    """The session's IP address at this host; None where its connection was not found, and only the session is known."""
    local_port: int | None = None
    peer_address: str | None = None
    """The other machine's IP address; None where only its name is known."""
    peer_port: int | None = None
    remote_host: str | None = None
    """The other machine in the words of systemd-logind: an address or a name."""


class NetworkStorage(msgspec.Struct, frozen=True, kw_only=True):
    """A file system, disk or swap space that lies on another machine."""

    kind: str
    """`nfs`, `cifs`, `ceph`, `iscsi`, `nbd`, `nvme-tcp` ..."""
    source: str
    """The storage's name on the server or on this host: `10.0.0.20:/srv`, `sdb`, `nvme1`."""
    servers: tuple[str, ...] = ()
    """The servers' IP addresses; empty where the kernel shows names only."""
    local_address: str | None = None
    netdev: str | None = None
    """The interface, where the connection is bound to one."""
    mounts: tuple[str, ...] = ()
    """Paths where the storage is mounted, also by way of device mapper."""
    root: bool = False
    """Whether the root file system lies on this storage."""
    swap: bool = False


class FunctionDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device that a PCI function offers to programs beside its network interface."""

    kind: Literal["rdma", "ptp", "uio", "vfio", "vdpa", "sf"]
    """`sf` is a subfunction (Documentation/networking/devlink/devlink-port.rst), with devices of its own."""
    name: str
    """The device's name in sysfs: `mlx5_0`, `ptp1`, `uio0`, `vdpa0`, `mlx5_core.sf.4`."""
    address: Address
    nodes: tuple[str, ...] = ()
    """The device's files: `/dev/infiniband/uverbs0`."""
    netdevs: tuple[str, ...] = ()
    """The own interfaces of a subfunction or of a vDPA device."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A process that has the file of a device open."""

    process: int
    program: str
    node: str


class BoundSocket(msgspec.Struct, frozen=True, kw_only=True):
    """A socket that sees an interface's packets beside the network stack: packet(7), AF_XDP."""

    netdev: str
    process: int | None = None
    """The process that has the socket; None where none was found."""
    program: str = ""
    queue: int | None = None


class ForeignNetdev(msgspec.Struct, frozen=True, kw_only=True):
    """A NIC's interface that lies in another network namespace."""

    address: Address
    netdev: str
    namespace: str
    """A file that nsenter(1) takes: `/run/netns/blue`, `/proc/4711/ns/net`."""
    program: str = ""
    """A program that runs in the namespace, where the namespace has no name."""


class ForeignUpper(msgspec.Struct, frozen=True, kw_only=True):
    """An interface in another network namespace that stands on one of ours: a container's macvlan or VLAN."""

    netdev: str
    lower: str
    """The interface of this namespace that it stands on."""
    kind: str | None = None
    namespace: str
    """A file that nsenter(1) takes: `/run/netns/blue`, `/proc/4711/ns/net`."""
    process: int | None = None
    """One that runs in it."""
    program: str = ""


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """All activity at a host that concerns its NICs; each field is unknown by itself."""

    sessions: Fact[tuple[Session, ...]] = _NOT_READ
    storage: Fact[tuple[NetworkStorage, ...]] = _NOT_READ
    devices: Fact[tuple[FunctionDevice, ...]] = _NOT_READ
    holders: Fact[tuple[Holder, ...]] = _NOT_READ
    packet_sockets: Fact[tuple[BoundSocket, ...]] = _NOT_READ
    xdp_sockets: Fact[tuple[BoundSocket, ...]] = _NOT_READ
    foreign_netdevs: Fact[tuple[ForeignNetdev, ...]] = _NOT_READ
    foreign_uppers: Fact[tuple[ForeignUpper, ...]] = None
    """None in a capture that does not tell of namespaces, or in a record from before they were looked into."""
    foreign_unseen: str | None = None
    """Why there may be more of them; None where every namespace was looked into, or nobody looked."""
