# SPDX-License-Identifier: Apache-2.0
"""File systems whose server is another machine. Source: nfs(5), mount.cifs(8), mount.ceph(8), v9fs.rst."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.host.use.connections import is_loopback
from nicpass.model.activity import NetworkStorage
from nicpass.model.address import ip_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nicpass.host.system.mounts import Mount

_FROM_SOURCE = frozenset({"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "lustre", "afs", "beegfs", "ncpfs", "pvfs2"})
_FUSE = frozenset(
    {"sshfs", "glusterfs", "ceph", "ceph-fuse", "curlftpfs", "davfs", "rclone", "s3fs", "nfs", "smbnetfs"}
)
_HOST = r"\[([0-9a-fA-F:.]+)\]|(\d{1,3}(?:\.\d{1,3}){3})"


def network_mounts(mounts: Iterable[Mount]) -> Iterator[NetworkStorage]:
    """The mounts whose server is another machine; one a source, with all the places where it is mounted."""
    grouped: dict[tuple[str, str, str], list[Mount]] = {}
    for mount in mounts:
        kind = mount.kind.removeprefix("fuse.")
        is_remote = kind in _FUSE if mount.kind.startswith("fuse.") else kind in _FROM_SOURCE
        if is_remote and not (kind == "9p" and "trans=tcp" not in mount.options.split(",")):
            grouped.setdefault((kind, mount.source, mount.options), []).append(mount)
    for (kind, source, options), found in grouped.items():
        servers = find_servers(kind, source, options)
        if servers and all(is_loopback(server) for server in servers):
            continue
        paths = tuple(mount.path for mount in found)
        yield NetworkStorage(
            kind=kind,
            source=source,
            servers=servers,
            local_address=_option(options, "clientaddr"),
            mounts=paths,
            root="/" in paths,
        )


def find_servers(kind: str, source: str, options: str) -> tuple[str, ...]:
    """The servers' IPs by `addr=`, which the kernel writes, `mon_addr=` of Ceph, or the source; never by a name."""
    if address := _option(options, "addr"):
        return (address,)
    monitors = [ip_text(_host_of(each)) for each in (_option_text(options, "mon_addr") or "").split("/")]
    if found := tuple(monitor for monitor in monitors if monitor):
        return found
    if kind == "ceph":  # mon1:6789,mon2:6789:/path
        return ips_in(source.split(":/", maxsplit=1)[0])
    if (whole := ip_text(source)) is not None:  # 9p names nothing else
        return (whole,)
    return ips_in(source.split("/")[2] if source.startswith("//") else source.partition(":/")[0])


def ips_in(text: str) -> tuple[str, ...]:
    """All IP addresses that stand in `text`, IPv6 in brackets."""
    found = (ip_text(match[1] or match[2]) for match in re.finditer(_HOST, text))
    return tuple(dict.fromkeys(address for address in found if address))


def _host_of(text: str) -> str:
    """The host of `10.0.0.1:6789` or `[fd00::1]:6789`, without the port."""
    return text.rpartition(":")[0] if text.count(":") == 1 or "]" in text else text


def _option(options: str, name: str) -> str | None:
    return ip_text(_option_text(options, name) or "")


def _option_text(options: str, name: str) -> str | None:
    return next((word.partition("=")[2] for word in options.split(",") if word.startswith(f"{name}=")), None)
