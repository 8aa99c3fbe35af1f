# SPDX-License-Identifier: Apache-2.0
"""Disks that lie on other machines: iSCSI, NBD, NVMe over TCP or RDMA, Ceph's RBD, ATA or FC over Ethernet.

Source: Documentation/ABI/testing/sysfs-bus-rbd, sysfs-block-aoe, sysfs-class-iscsi_connection's attributes in
drivers/scsi/scsi_transport_iscsi.c, drivers/nvme/host/sysfs.c, drivers/block/nbd.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.host.system.block import BLOCK
from nicpass.host.use.connections import is_loopback
from nicpass.host.use.network_mounts import ips_in
from nicpass.model.activity import NetworkStorage
from nicpass.model.address import ip_text
from nicpass.model.fact import Fact, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.doors.files import Files
    from nicpass.host.use.connections import Connections
    from nicpass.host.use.holders import Descriptors

Disks = dict[str, NetworkStorage]
"""A disk's name, `sdb`, to the storage that it is."""

_NBD_PORT = 10809  # IANA


def read_network_disks(files: Files, connections: Fact[Connections], descriptors: Descriptors) -> Disks:
    """Every disk that needs the network."""
    found: Disks = {}
    found.update(_iscsi(files))
    found.update(_nvme(files))
    found.update(_nbd(files, connections, descriptors))
    found.update(_rbd(files))
    found.update(_aoe(files))
    found.update(_fcoe(files))
    return {name: disk for name, disk in found.items() if not _is_here(disk)}


def _is_here(disk: NetworkStorage) -> bool:
    return bool(disk.servers) and all(is_loopback(server) for server in disk.servers)


def _iscsi(files: Files) -> Iterator[tuple[str, NetworkStorage]]:
    """Disks by iSCSI: `connection1:0` is a connection of `session1`, in whose folder the disks lie."""
    for connection in _names(files, "/sys/class/iscsi_connection"):
        folder = f"/sys/class/iscsi_connection/{connection}"
        texts = (files.read_attribute(f"{folder}/{name}") for name in ("address", "persistent_address"))
        servers = tuple(dict.fromkeys(ip for text in texts if isinstance(text, str) and (ip := ip_text(text))))
        session = f"session{connection.removeprefix('connection').partition(':')[0]}"
        home = f"/sys/class/iscsi_session/{session}/device"
        disks = [
            disk
            for target in _names(files, home)
            if target.startswith("target")
            for unit in _names(files, f"{home}/{target}")
            for disk in _names(files, f"{home}/{target}/{unit}/block")
        ]
        for disk in disks or [session]:
            yield disk, NetworkStorage(kind="iscsi", source=disk, servers=servers)


def _nvme(files: Files) -> Iterator[tuple[str, NetworkStorage]]:
    """NVMe controllers by `transport` and `address`; their namespaces lie below them, or below their subsystem."""
    ways: dict[str, NetworkStorage] = {}
    for controller in _names(files, "/sys/class/nvme"):
        folder = f"/sys/class/nvme/{controller}"
        transport, text = files.read_attribute(f"{folder}/transport"), files.read_attribute(f"{folder}/address")
        if transport not in ("tcp", "rdma"):
            continue
        words = dict(word.split("=", 1) for word in str(text).split(",") if "=" in word)
        server = ip_text(words.get("traddr", ""))
        ways[controller] = NetworkStorage(
            kind=f"nvme-{transport}",
            source=controller,
            servers=(server,) if server else (),
            local_address=ip_text(words.get("src_addr", words.get("host_traddr", ""))),
        )
        yield controller, ways[controller]
        for disk in _names(files, folder):
            if disk.startswith(f"{controller}n"):
                yield disk, ways[controller]
    for subsystem in _names(files, "/sys/class/nvme-subsystem"):
        names = _names(files, f"/sys/class/nvme-subsystem/{subsystem}")
        paths = [ways[name] for name in names if name in ways]
        for disk in names if paths else ():
            if disk.startswith("nvme") and "n" in disk[4:]:
                servers = tuple(dict.fromkeys(server for way in paths for server in way.servers))
                yield disk, NetworkStorage(kind=paths[0].kind, source=paths[0].source, servers=servers)


def _nbd(
    files: Files, connections: Fact[Connections], descriptors: Descriptors
) -> Iterator[tuple[str, NetworkStorage]]:
    """Disks by NBD: `pid` is there while one is connected; the process has the socket, or gave it to the kernel."""
    established = connections.established if known(connections) else ()
    for disk in _names(files, "/sys/block"):
        pid = files.read_attribute(f"/sys/block/{disk}/pid") if disk.startswith("nbd") else None
        if not isinstance(pid, str):
            continue
        inodes = set(descriptors.inodes.get(int(pid), ()) if pid.isdecimal() else ())
        mine = [c for c in established if c.inode in inodes]
        mine = mine or [c for c in established if c.peer_port == _NBD_PORT]
        servers = tuple(dict.fromkeys(connection.peer for connection in mine))
        yield disk, NetworkStorage(kind="nbd", source=disk, servers=servers)


def _rbd(files: Files) -> Iterator[tuple[str, NetworkStorage]]:
    """Disks by Ceph's RBD: `config_info` begins with the monitors' addresses."""
    for number in _names(files, "/sys/bus/rbd/devices"):
        text = files.read_attribute(f"/sys/bus/rbd/devices/{number}/config_info")
        servers = ips_in(text.split(" ")[0]) if isinstance(text, str) else ()
        yield f"rbd{number}", NetworkStorage(kind="rbd", source=f"rbd{number}", servers=servers)


def _aoe(files: Files) -> Iterator[tuple[str, NetworkStorage]]:
    """Disks by ATA over Ethernet, which has no address but an interface."""
    for disk in _names(files, "/sys/block"):
        if not disk.startswith("etherd!"):
            continue
        text = files.read_attribute(f"/sys/block/{disk}/netif")
        netdev = text.split(",")[0].strip() if isinstance(text, str) else None
        yield disk, NetworkStorage(kind="aoe", source=disk, netdev=netdev or None)


def _fcoe(files: Files) -> Iterator[tuple[str, NetworkStorage]]:
    """FCoE in software hangs its controller below an interface, mostly a VLAN: `.../net/eth1.7/ctlr_0/host5/...`.

    Source: Documentation/ABI/testing/sysfs-bus-fcoe.
    """
    for disk in _names(files, BLOCK):
        target = files.read_link(f"{BLOCK}/{disk}")
        parts = target.split("/") if isinstance(target, str) else []
        if "net" in parts[:-2] and parts[-2] == "block":  # a partition lies in its disk's folder
            yield disk, NetworkStorage(kind="fcoe", source=disk, netdev=parts[parts.index("net") + 1])


def _names(files: Files, path: str) -> list[str]:
    names = files.list_directory(path)
    return sorted(names) if known(names) else []
