# SPDX-License-Identifier: Apache-2.0
"""File systems, disks and swap space on other machines, and by which NIC they are reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.dependence.unseen import is_addressed
from nicpass.checks.lookup.chains import ARROW, address_on, chain_text
from nicpass.checks.lookup.nics import label
from nicpass.model.activity import NetworkStorage
from nicpass.model.language import _
from nicpass.model.text import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.class_devices import ClassDevice
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("dependence.storage")


def check_storage(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    told: set[str] = set()
    own = [disk for disk in index.class_devices.get(function.address, ()) if disk.subsystem == "block"]
    if own:
        yield from _check_own_disks(function, own, index)
    hanging = {disk.name for disk in own}
    for chain in index.chains(function):
        for storage in index.storage.get(chain[-1].name, ()):
            words = describe_storage(storage)
            if words in told or storage.source in hanging:  # the shortest chain came first
                continue
            told.add(words)
            text = chain_text(chain, address_on(chain[-1], storage.local_address, index.addresses), words)
            code = "CARRIES_ROOT" if storage.root or storage.swap else "CARRIES_STORAGE"
            yield _storage_finding(code, function, storage, chain=text)
    if None in index.storage and is_addressed(function, index):
        for storage in index.storage[None]:
            code = "ROOT_UNPLACED" if storage.root or storage.swap else "STORAGE_UNPLACED"
            yield _storage_finding(code, function, storage, storage=describe_storage(storage))


def _check_own_disks(function: PciFunction, own: list[ClassDevice], index: HostIndex) -> Iterator[Finding]:
    """Disks that hang on the NIC itself, as those of FCoE and of iSCSI in the card's hardware do.

    One that is mounted nowhere counts too: ZFS, a volume group that sleeps or a VM may have it.
    """
    used = [disk for disk in own if disk.mounts or disk.swap]
    netdevs = [link.name for link in index.netdevs(function)]
    for disk in used or own:
        root = "/" in disk.mounts
        storage = NetworkStorage(kind="disk", source=disk.name, mounts=disk.mounts, root=root, swap=disk.swap)
        code = "CARRIES_ROOT" if root or disk.swap else "CARRIES_STORAGE"
        chain = ARROW.join([*netdevs[:1], describe_storage(storage)])
        yield _storage_finding(code, function, storage, chain=chain)


def describe_storage(storage: NetworkStorage) -> str:
    """The storage in words: `nfs 10.0.0.20:/srv (mounted at /mnt)`."""
    uses = [_("mounted at {path}").format(path=path) for path in storage.mounts]
    uses += [_("root file system")] if storage.root else []
    uses += [_("swap space")] if storage.swap else []
    servers = ", ".join(server for server in storage.servers if server not in storage.source)
    where = _("at {servers}").format(servers=servers) if servers else ""
    words = " ".join(word for word in (storage.kind, storage.source, where) if word)
    return f"{words} ({', '.join(uses)})" if uses else words


def _storage_finding(code: str, function: PciFunction, lost: NetworkStorage, **facts: str) -> Finding:
    source = "/proc/self/mountinfo" if lost.mounts else "/sys, /proc"
    servers = ", ".join(lost.servers) or "server unknown"
    return make_finding(
        code,
        function.address,
        ((source, f"{lost.kind} {lost.source}: {servers}"),),
        nic=label(function),
        undo=_undo(lost),
        **facts,
    )


def _undo(storage: NetworkStorage) -> str:
    lines = [f"umount {quote(path)}" for path in reversed(storage.mounts)]
    match storage.kind:
        case "iscsi":
            lines += [f"iscsiadm -m node -p {quote(server)} --logout" for server in storage.servers]
        case "nbd":
            lines.append(f"nbd-client -d /dev/{quote(storage.source)}")
        case "nvme-tcp" | "nvme-rdma":
            lines.append(f"nvme disconnect -d {quote(storage.source)}")
    return "\n".join(lines)
