# SPDX-License-Identifier: Apache-2.0
"""One interface out of an RTM_NEWLINK message. Numbers: linux/if_link.h, linux/if_tunnel.h."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

import msgspec

from nicpass.host.network.ethtool import read_driver_info
from nicpass.host.network.rtnetlink import (
    LINKS,
    Attributes,
    Kind,
    ask,
    dump,
    fixed_part,
    ip_of,
    number_of,
    read_attributes,
    split_attributes,
    text_of,
)
from nicpass.model.network import Link, VfSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

IFF_UP, IFF_LOOPBACK, IFF_PROMISC, IFF_ALLMULTI = 0x1, 0x8, 0x100, 0x200  # linux/if.h
_RTM_GETNSID, _NETNSA_NSID, _NETNSA_FD = 90, 1, 3  # linux/rtnetlink.h, linux/net_namespace.h
_HEADER = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change

# enum of IFLA_*
_ADDRESS, _IFNAME, _MTU, _LINK, _QDISC, _MASTER, _TXQLEN, _OPERSTATE, _LINKINFO = 1, 3, 4, 5, 6, 10, 13, 16, 18
_IFALIAS, _VFINFO_LIST, _CARRIER, _LINK_NETNSID, _XDP, _PROP_LIST, _ALT_IFNAME = 20, 22, 33, 37, 43, 52, 53
_PERM_ADDRESS, _PARENT_DEV_NAME = 54, 56
_INFO_KIND, _INFO_DATA = 1, 2  # IFLA_INFO_*
_VLAN_ID, _VLAN_PROTOCOL = 1, 5  # IFLA_VLAN_*
_HSR_PORTS = (1, 2, 8)  # IFLA_HSR_SLAVE1, _SLAVE2, _INTERLINK
_WITH_DATA = frozenset({"vlan", "hsr"})
_VF_INFO, _VF_MAC, _VF_VLAN, _VF_SPOOFCHK, _VF_LINK_STATE, _VF_RATE = 1, 1, 2, 4, 5, 6  # IFLA_VF_*
_VF_RSS_QUERY_EN, _VF_TRUST, _VF_VLAN_LIST, _VF_VLAN_INFO = 7, 9, 12, 1
_VF_NODE_GUID, _VF_PORT_GUID = 10, 11  # IFLA_VF_IB_*_GUID
_XDP_ATTACHED, _XDP_PROG_IDS = 2, (4, 5, 6, 7)  # IFLA_XDP_*; the ids are PROG_ID, then of driver, generic, hardware
# RFC 2863, ifOperStatus, as Documentation/networking/operstates.rst numbers it
_OPERSTATES = ("unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up")

_VF_MAC_HEAD = struct.Struct("=I")  # struct ifla_vf_mac: vf, then 32 bytes of which the first six are the MAC
_VF_VALUE = struct.Struct("=II")  # struct ifla_vf_spoofchk, ifla_vf_trust and others: vf, value
_VF_VLAN_LAYOUT = struct.Struct("=III")  # struct ifla_vf_vlan: vf, vlan, qos
_VF_RATE_LAYOUT = struct.Struct("=III")  # struct ifla_vf_rate: vf, min_tx_rate, max_tx_rate; Mbit/s
_VF_VLAN_INFO_LAYOUT = struct.Struct("=IIIH")  # struct ifla_vf_vlan_info: vf, vlan, qos, protocol (big endian)
_VF_GUID = struct.Struct("@IQ")  # struct ifla_vf_guid: vf, guid, whose first octet is the highest of the number
VF_LINK_STATES = ("auto", "enable", "disable")  # enum of IFLA_VF_LINK_STATE_*
VLAN_PROTOCOLS = {0x8100: "802.1Q", 0x88A8: "802.1ad"}  # linux/if_ether.h: ETH_P_8021Q, ETH_P_8021AD


class _Layout(msgspec.Struct, frozen=True):
    """Where a kind of tunnel keeps its ends in IFLA_INFO_DATA; IPv4 and IPv6 apart where it has two."""

    link: int | None
    local: tuple[int, ...]
    remote: tuple[int, ...]


_GRE = _Layout(1, (6,), (7,))  # IFLA_GRE_*
_IPTUN = _Layout(1, (2,), (3,))  # IFLA_IPTUN_*
_VTI = _Layout(1, (4,), (5,))  # IFLA_VTI_*
_TUNNELS = {
    "vxlan": _Layout(3, (4, 17), (2, 16)),  # IFLA_VXLAN_*
    "geneve": _Layout(None, (), (2, 7)),  # IFLA_GENEVE_*
    **dict.fromkeys(("gre", "gretap", "erspan", "ip6gre", "ip6gretap", "ip6erspan"), _GRE),
    **dict.fromkeys(("ipip", "sit", "ip6tnl"), _IPTUN),
    **dict.fromkeys(("vti", "vti6"), _VTI),
}


class LinkMessage(msgspec.Struct, frozen=True):
    """An interface with its attributes taken apart, before the others' names are known."""

    number: int
    name: str
    flags: int
    attributes: Attributes


def split_link(body: bytes) -> LinkMessage:
    """Index, name and attributes; an interface without a name is called by its number.

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    _, _, index, flags, _ = fixed_part(_HEADER, body)
    attributes = read_attributes(body, _HEADER.size)
    return LinkMessage(index, text_of(attributes.get(_IFNAME)) or str(index), flags, attributes)


class Parents(msgspec.Struct, frozen=True):
    """On what an interface of another network namespace stands."""

    name: str
    kind: str | None
    lower: int
    """The index of the interface below it; 0 where there is none."""
    netnsid: int | None
    """In which namespace that is, by its number there; None where it is in the same."""
    device: str | None
    """The device that it belongs to."""


def parents_of(body: bytes) -> Parents:
    """The same, out of one message.

    Raises:
        MalformedError: a length cannot be.
    """
    message = split_link(body)
    found = message.attributes
    kind = text_of(read_attributes(found.get(_LINKINFO, b"")).get(_INFO_KIND))
    netnsid, device = number_of(found.get(_LINK_NETNSID)), text_of(found.get(_PARENT_DEV_NAME))
    return Parents(message.name, kind, number_of(found.get(_LINK)) or 0, netnsid, device)


def read_parents(home: int) -> tuple[Parents, ...]:
    """The interfaces of the network namespace that the calling thread is in; `home` is a descriptor of ours.

    Raises:
        OSError: the kernel's answer.
    """
    found = tuple(parents_of(body) for body in dump(LINKS))
    if all(parents.netnsid is None for parents in found):
        return found
    request = bytes(4) + struct.pack("=HHI", 8, _NETNSA_FD, home)  # struct rtgenmsg, and its padding
    ours = number_of(read_attributes(ask(Kind(_RTM_GETNSID, request, 1))[0], 4).get(_NETNSA_NSID))
    return tuple(parents for parents in found if parents.device or parents.netnsid == ours)


def build_link(message: LinkMessage, names: dict[int, str]) -> Link:
    """The interface; `names` are those of all interfaces, by index.

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    found, name = message.attributes, message.name
    info = read_attributes(found.get(_LINKINFO, b""))
    kind = text_of(info.get(_INFO_KIND))
    layout = _TUNNELS.get(kind or "")
    data = read_attributes(info.get(_INFO_DATA, b"")) if layout or kind in _WITH_DATA else {}
    # An interface that the kernel makes by itself has a kind; a driver's own has none.
    driver = None if kind is not None or message.flags & IFF_LOOPBACK else read_driver_info(name)
    lower = names.get(_lower_index(found, layout, data))
    return Link(
        name=name,
        mac=_hex(found.get(_ADDRESS)),
        permanent_mac=_hex(found.get(_PERM_ADDRESS)),
        mtu=number_of(found.get(_MTU)),
        up=bool(message.flags & IFF_UP),
        operstate=_operstate_of(found.get(_OPERSTATE)),
        carrier=bool(number_of(found.get(_CARRIER))),
        master=names.get(number_of(found.get(_MASTER)) or 0),
        lower=lower if lower != name else None,
        lowers=_ring_of(data, names) if kind == "hsr" else (),
        kind=kind,
        tunnel_local=next(iter(_ends_of(layout.local, data)), None) if layout else None,
        tunnel_remotes=_ends_of(layout.remote, data) if layout else None,
        xdp_programs=_xdp_of(found[_XDP]) if _XDP in found else (),
        parent_device=text_of(found.get(_PARENT_DEV_NAME)),
        altnames=tuple(_altnames_of(found[_PROP_LIST])) if _PROP_LIST in found else (),
        driver_version=driver.version if driver else None,
        firmware_version=driver.firmware if driver else None,
        vfs=tuple(read_vfs(found[_VFINFO_LIST])) if _VFINFO_LIST in found else (),
        txqueuelen=number_of(found.get(_TXQLEN)),
        promisc=bool(message.flags & IFF_PROMISC),
        allmulticast=bool(message.flags & IFF_ALLMULTI),
        alias=text_of(found.get(_IFALIAS)),
        qdisc=text_of(found.get(_QDISC)),
        vlan_id=number_of(data.get(_VLAN_ID)) if kind == "vlan" else None,
        vlan_protocol=_protocol_of(data.get(_VLAN_PROTOCOL)) if kind == "vlan" else None,
    )


def read_vfs(listing: bytes) -> Iterator[VfSettings]:
    """The VFs of IFLA_VFINFO_LIST.

    Raises:
        MalformedError: the length that a message states is impossible.
    """
    for kind, info in split_attributes(listing):
        if kind != _VF_INFO:
            continue
        yield _vf_of(read_attributes(info))


def _vf_of(found: Attributes) -> VfSettings:
    mac, vlan, rate = found.get(_VF_MAC, b""), found.get(_VF_VLAN), found.get(_VF_RATE)
    (vf_index,) = fixed_part(_VF_MAC_HEAD, mac)
    _, vlan_id, qos = fixed_part(_VF_VLAN_LAYOUT, vlan) if vlan is not None else (0, 0, None)
    _, slowest, fastest = fixed_part(_VF_RATE_LAYOUT, rate) if rate is not None else (0, None, None)
    return VfSettings(
        vf_index=vf_index,
        mac=mac[4:10].hex(":"),
        vlan=vlan_id or 0,
        qos=qos,
        vlan_protocol=_vf_protocol(found.get(_VF_VLAN_LIST, b"")),
        spoofchk=_switch_of(found.get(_VF_SPOOFCHK)),
        trust=_switch_of(found.get(_VF_TRUST)),
        link_state=_vf_link_state(found.get(_VF_LINK_STATE)),
        min_tx_rate=slowest,
        max_tx_rate=fastest,
        query_rss=_switch_of(found.get(_VF_RSS_QUERY_EN)),
        node_guid=_guid_of(found.get(_VF_NODE_GUID)),
        port_guid=_guid_of(found.get(_VF_PORT_GUID)),
    )


def _guid_of(content: bytes | None) -> str | None:
    return fixed_part(_VF_GUID, content)[1].to_bytes(8, "big").hex(":") if content is not None else None


def _vf_protocol(listing: bytes) -> str | None:
    """The first VLAN's protocol; the kernel takes no second one as yet (net/core/rtnetlink.c, MAX_VLAN_LIST_LEN)."""
    for kind, content in split_attributes(listing):
        if kind == _VF_VLAN_INFO:
            return _protocol_of(fixed_part(_VF_VLAN_INFO_LAYOUT, content)[3].to_bytes(2, sys.byteorder))
    return None


def _vf_link_state(content: bytes | None) -> str | None:
    value = fixed_part(_VF_VALUE, content)[1] if content is not None else None
    return VF_LINK_STATES[value] if value is not None and value < len(VF_LINK_STATES) else None


def _protocol_of(content: bytes | None) -> str | None:
    """The name of a VLAN's EtherType, which stands in network byte order."""
    number = int.from_bytes(content, "big") if content is not None else None
    return VLAN_PROTOCOLS.get(number, hex(number)) if number is not None else None


def _lower_index(found: Attributes, layout: _Layout | None, data: Attributes) -> int:
    """The index of the interface below, or 0: one whose other end lies in another namespace names an index not ours."""
    if _LINK_NETNSID in found:
        return 0
    bound = number_of(data.get(layout.link)) if layout is not None and layout.link is not None else None
    return number_of(found.get(_LINK)) or bound or 0


def _ring_of(data: Attributes, names: dict[int, str]) -> tuple[str, ...]:
    """The ports of HSR or PRP, which have neither IFLA_MASTER nor IFLA_LINK."""
    ports = (names.get(number_of(data.get(kind)) or 0) for kind in _HSR_PORTS)
    return tuple(port for port in ports if port is not None)


def _ends_of(kinds: tuple[int, ...], data: Attributes) -> tuple[str, ...]:
    """The ends of a tunnel that are set, as IP addresses: the kernel writes `any` as zeros, or leaves it out."""
    ends = (data.get(kind) for kind in kinds)
    return tuple(text for end in ends if end is not None and any(end) and (text := ip_of(end)) is not None)


def _xdp_of(content: bytes) -> tuple[int, ...]:
    found = read_attributes(content)
    if not number_of(found.get(_XDP_ATTACHED)):
        return ()
    programs = {number_of(found.get(kind)) for kind in _XDP_PROG_IDS}
    return tuple(sorted(number for number in programs if number)) or (0,)


def _altnames_of(content: bytes) -> Iterator[str]:
    for kind, name in split_attributes(content):
        if kind == _ALT_IFNAME and (text := text_of(name)):
            yield text


def _switch_of(content: bytes | None) -> bool | None:
    """A VF's switch; a driver that does not know it says 0xffffffff (net/core/rtnetlink.c)."""
    value = fixed_part(_VF_VALUE, content)[1] if content is not None else None
    return bool(value) if value in (0, 1) else None


def _operstate_of(content: bytes | None) -> str:
    number = number_of(content) or 0
    return _OPERSTATES[number] if number < len(_OPERSTATES) else str(number)


def _hex(content: bytes | None) -> str | None:
    return content.hex(":") if content is not None else None
