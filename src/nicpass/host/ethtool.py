# SPDX-License-Identifier: Apache-2.0
"""Asks a driver for its version and its card's firmware: ETHTOOL_GDRVINFO, which netlink never learned."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from typing import NamedTuple

_SIOCETHTOOL = 0x8946  # linux/sockios.h
_ETHTOOL_GDRVINFO = 0x3  # linux/ethtool.h
# struct ethtool_drvinfo: cmd, driver, version, fw_version, bus_info, erom_version, reserved2, five counts
_DRVINFO = struct.Struct("=I32s32s32s32s32s12s5I")
_IFREQ = struct.Struct("16sP16x")  # netdevice(7): the name, then a pointer to the command


class DriverInfo(NamedTuple):
    """What `ethtool -i` prints; an empty string where the driver has nothing to say."""

    driver: str
    version: str
    firmware: str


def read_driver_info(netdev: str) -> DriverInfo | None:
    """None for an interface without such a driver (a bridge, loopback) or one that has just gone."""
    answer = array.array("B", _DRVINFO.pack(_ETHTOOL_GDRVINFO, *([b""] * 6), *([0] * 5)))
    request = _IFREQ.pack(netdev.encode(), answer.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as handle:
        try:
            fcntl.ioctl(handle, _SIOCETHTOOL, request)
        except OSError:
            return None
    _, driver, version, firmware, *_ = _DRVINFO.unpack(answer.tobytes())
    return DriverInfo(*(field.split(b"\0")[0].decode("utf-8", "replace") for field in (driver, version, firmware)))
