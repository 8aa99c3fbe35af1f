# SPDX-License-Identifier: Apache-2.0
"""Asks a driver about its interface by ioctl: version and firmware, ring sizes, queues, offloads.

By ioctl and not over netlink: ETHTOOL_GDRVINFO was never taught to netlink, an ioctl needs no library, and each
answer comes in microseconds. Structures and numbers: linux/ethtool.h; netdevice(7).
"""

from __future__ import annotations

import _socket as socket
import array
import errno
import fcntl
import struct
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec

from nicpass.model.fact import Fact, Unknown
from nicpass.model.network import Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIOCETHTOOL = 0x8946  # linux/sockios.h
_ETHTOOL_GDRVINFO = 0x3
# struct ethtool_drvinfo: cmd, driver, version, fw_version, bus_info, erom_version, reserved2, five counts
_DRVINFO = struct.Struct("=I32s32s32s32s32s12s5I")
_IFREQ = struct.Struct("16sP16x")  # netdevice(7): the name, then a pointer to the command
_NOT_THERE = frozenset({errno.EOPNOTSUPP, errno.ENODEV, errno.ENOTTY})
_GSTRINGS, _GSSET_INFO, _GFEATURES, _SFEATURES = 0x1B, 0x37, 0x3A, 0x3B
_SSET_INFO = struct.Struct("=IIQI")  # struct ethtool_sset_info: cmd, reserved, a mask, a count for each bit of it
_ETH_SS_FEATURES = 4
_STRING_BYTES = 32  # ETH_GSTRING_LEN
_MAX_FEATURES = 1024  # the kernel has some 60


class DriverInfo(msgspec.Struct, frozen=True):
    """A driver's name and versions as `ethtool -i` prints them; an empty string where it has nothing to say."""

    driver: str
    version: str
    firmware: str


class Group(msgspec.Struct, frozen=True):
    """A structure of 32-bit numbers that is read by one command and written by another.

    `names` are the numbers that can be set, and their places in the structure: the command itself is at place 0.
    """

    read: int
    write: int
    size: int
    names: dict[str, int]
    adaptive: tuple[int, ...] = ()
    """Places of the numbers by which the driver says that it changes the rest by itself."""
    negotiated: str | None = None
    """A switch: while it is on, the rest is what came of negotiating with the other end, at least with some drivers."""


RINGS = Group(0x10, 0x11, 9, {"rx": 5, "rx-mini": 6, "rx-jumbo": 7, "tx": 8})  # struct ethtool_ringparam
CHANNELS = Group(0x3C, 0x3D, 9, {"rx": 5, "tx": 6, "other": 7, "combined": 8})  # struct ethtool_channels
PAUSE = Group(0x12, 0x13, 4, {"autoneg": 1, "rx": 2, "tx": 3}, negotiated="autoneg")  # struct ethtool_pauseparam
# struct ethtool_coalesce; the names are those of ethtool(8)
COALESCING = Group(
    0x0E,
    0x0F,
    23,
    {
        "rx-usecs": 1,
        "rx-frames": 2,
        "rx-usecs-irq": 3,
        "rx-frames-irq": 4,
        "tx-usecs": 5,
        "tx-frames": 6,
        "tx-usecs-irq": 7,
        "tx-frames-irq": 8,
        "stats-block-usecs": 9,
    },
    adaptive=(10, 11),
)


def read_driver_info(netdev: str) -> DriverInfo | None:
    """The driver of an interface; None for one without such a driver (a bridge, loopback) or that has just gone."""
    answer = array.array("B", _DRVINFO.pack(_ETHTOOL_GDRVINFO, *([b""] * 6), *([0] * 5)))
    try:
        ask_driver(netdev, answer)
    except OSError:
        return None
    _, driver, version, firmware, *_ = _DRVINFO.unpack(answer.tobytes())
    return DriverInfo(*(_text_of(field) for field in (driver, version, firmware)))


def ask_driver(netdev: str, command: array.array[int]) -> None:
    """Hand one command to the driver, which writes its answer into it.

    Raises:
        OSError: EOPNOTSUPP where the driver has no such thing, ENODEV where there is no such interface.
    """
    request = _IFREQ.pack(netdev.encode(), command.buffer_info()[0])
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)) as handle:
        fcntl.ioctl(handle, _SIOCETHTOOL, request)


def read_group(netdev: str, group: Group) -> Fact[tuple[Setting, ...]]:
    """The settings of `group`; None where the driver has no such thing, or changes the numbers by itself."""
    try:
        numbers = read_numbers(netdev, group)
    except OSError as error:
        return None if error.errno in _NOT_THERE else Unknown(f"ethtool: {(error.strerror or str(error)).lower()}")
    if any(numbers[place] for place in group.adaptive):
        return None
    return settings_of(numbers, group)


def settings_of(numbers: array.array[int], group: Group) -> tuple[Setting, ...]:
    """The numbers of a structure that are somebody's choice."""
    names = group.names
    if group.negotiated is not None and numbers[names[group.negotiated]]:
        names = {group.negotiated: names[group.negotiated]}
    return tuple(Setting(name, str(numbers[place])) for name, place in names.items())


def read_numbers(netdev: str, group: Group) -> array.array[int]:
    """The whole structure of `group`, as it would be written back.

    Raises:
        OSError: as `ask_driver`.
    """
    numbers = array.array("I", [group.read, *([0] * (group.size - 1))])
    ask_driver(netdev, numbers)
    return numbers


def write_group(netdev: str, group: Group, wanted: tuple[Setting, ...]) -> None:
    """Set the named numbers and leave the rest as it is; nothing is written when they are so already.

    Raises:
        OSError: the driver's answer.
    """
    numbers = read_numbers(netdev, group)
    before = numbers[:]
    for setting in wanted:
        if setting.name in group.names:
            numbers[group.names[setting.name]] = int(setting.value)
    if numbers != before:
        numbers[0] = group.write
        ask_driver(netdev, numbers)


def read_features(netdev: str) -> Fact[tuple[Setting, ...]]:
    """The offloads that can be changed, `on` or `off` as they were asked for; the driver may have granted less."""
    try:
        names = _feature_names(netdev)
        blocks = _feature_blocks(netdev, len(names))
    except OSError as error:
        return None if error.errno in _NOT_THERE else Unknown(f"ethtool: {(error.strerror or str(error)).lower()}")
    return tuple(_changeable(names, blocks))


def write_features(netdev: str, wanted: tuple[Setting, ...]) -> None:
    """Ask for the named offloads, on or off; the driver may grant less, which a reading shows.

    Raises:
        OSError: the driver's answer.
    """
    names = _feature_names(netdev)
    places = {name: place for place, name in enumerate(names)}
    values = [0] * (2 * _block_count(len(names)))  # struct ethtool_set_features_block: valid, requested
    for setting in wanted:
        if (place := places.get(setting.name)) is not None:
            block, bit = 2 * (place // 32), 1 << place % 32
            values[block] |= bit
            values[block + 1] |= bit if setting.value == "on" else 0
    if any(values):
        ask_driver(netdev, array.array("I", [_SFEATURES, len(values) // 2, *values]))


def _feature_names(netdev: str) -> list[str]:
    asked = array.array("B", _SSET_INFO.pack(_GSSET_INFO, 0, 1 << _ETH_SS_FEATURES, 0))
    ask_driver(netdev, asked)
    _, _, mask, found = _SSET_INFO.unpack(asked.tobytes())
    count = min(found, _MAX_FEATURES) if mask else 0
    # struct ethtool_gstrings: cmd, string_set, len, then the strings
    head = struct.pack("=III", _GSTRINGS, _ETH_SS_FEATURES, count)
    strings = array.array("B", head + bytes(count * _STRING_BYTES))
    ask_driver(netdev, strings)
    content = strings.tobytes()[len(head) :]
    return [_text_of(content[place * _STRING_BYTES : (place + 1) * _STRING_BYTES]) for place in range(count)]


def _feature_blocks(netdev: str, count: int) -> array.array[int]:
    """Each struct ethtool_get_features_block, one for 32 features: available, requested, active, never_changed."""
    blocks = _block_count(count)
    answer = array.array("I", [_GFEATURES, blocks, *([0] * (4 * blocks))])
    ask_driver(netdev, answer)
    return answer[2:]


def _changeable(names: list[str], blocks: array.array[int]) -> Iterator[Setting]:
    for place, name in enumerate(names):
        available, requested, _, never = blocks[4 * (place // 32) : 4 * (place // 32) + 4]
        bit = 1 << place % 32
        if name and available & bit and not never & bit:
            yield Setting(name, "on" if requested & bit else "off")


def _block_count(features: int) -> int:
    return (features + 31) // 32


def _text_of(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "backslashreplace")
