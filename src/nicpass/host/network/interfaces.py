# SPDX-License-Identifier: Apache-2.0
"""Reads network interfaces, addresses and routes.

On the running machine rtnetlink(7) answers. Under another root the kernel is never asked: `/netlink.json`
there holds a `KernelNetwork`, and without it sysfs tells of the interfaces and nothing of addresses and routes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.host.network.managers import read_managers
from nicpass.host.network.stacking import add_lowers
from nicpass.model.errors import BadInputError
from nicpass.model.fact import Unknown
from nicpass.model.language import _
from nicpass.model.network import KernelNetwork, Network

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

CAPTURE = "/netlink.json"


def read_network(files: Files) -> Network:
    """The interfaces, what is configured on them, and by whom.

    Raises:
        BadInputError: the capture's `/netlink.json` is there and is not a `KernelNetwork`.
    """
    network = add_lowers(files, _read_kernel(files))
    managers = read_managers(files, network.links)
    return msgspec.structs.replace(network, managers=managers) if managers else network


def _read_kernel(files: Files) -> Network:
    if files.is_live:
        from nicpass.host.network.netlink import dump_network  # late: loading the library takes longer than a scan

        try:
            return dump_network()
        except OSError as error:
            why = Unknown(f"rtnetlink: {error.strerror or error}")
            return _read_sysfs(files, why)
    content = files.read_bytes(CAPTURE)
    if not isinstance(content, bytes):
        return _read_sysfs(files, content or Unknown(f"not captured: {CAPTURE}"))
    try:
        return Network(**msgspec.structs.asdict(msgspec.json.decode(content, type=KernelNetwork)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(
            _("{path} does not hold what rtnetlink says: {error}.").format(path=files.path(CAPTURE), error=error)
        ) from None


def _read_sysfs(files: Files, why: Unknown) -> Network:
    """What sysfs shows of the interfaces; why there is no more is said of the rest."""
    from nicpass.host.network.sysfs_links import read_sysfs_links  # late: mostly there is more

    return Network(links=read_sysfs_links(files), addresses=why, routes=why)
