# SPDX-License-Identifier: Apache-2.0
"""libvirt's networks: by its daemon, or from the definitions in /etc/libvirt/qemu/networks.

Source: https://libvirt.org/formatnetwork.html, "Connectivity"; where each lies: src/network/bridge_driver.c.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from nicpass.hypervisor.libvirt.xml_values import attribute_of, is_on, parse_hex, parse_source_address, parse_xml
from nicpass.model.errors import NicpassError
from nicpass.model.fact import Fact, Unknown
from nicpass.model.language import _
from nicpass.model.libvirt_network import POOL_MODE, LibvirtNetwork
from nicpass.model.text import printable

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET

    from nicpass.host.doors.files import Files

DEFINITIONS = "/etc/libvirt/qemu"
NETWORKS = f"{DEFINITIONS}/networks"
_AUTOSTART = f"{NETWORKS}/autostart"
_RUNNING = "/run/libvirt/network"
"""NAME.xml of each network that is active."""
_SHOWN = 40  # characters of a wrong value that a reason repeats


def parse_network(xml: str) -> LibvirtNetwork:
    """A network from its definition, also as the daemon keeps it of one that runs; whether it does is not in there.

    Raises:
        NicpassError: it is no XML, or no network.
    """
    root = parse_xml(xml)
    if root.tag == "networkstatus":  # virNetworkObjFormat of libvirt's src/conf/virnetworkobj.c
        root = next(iter(root.findall("network")), root)
    name = root.findtext("name")
    if root.tag != "network" or not name:
        raise NicpassError(_("A network's XML lacks its name."))
    forwards = root.findall("forward")
    sources = [element for forward in forwards for element in forward.findall("address")]
    found = [parse_source_address(element) for element in sources]
    interfaces = [attribute_of(element, "dev") for forward in forwards for element in forward.findall("interface")]
    pfs = [attribute_of(element, "dev") for forward in forwards for element in forward.findall("pf")]
    devs = [attribute_of(forward, "dev") for forward in forwards]
    tags = [parse_hex(element.get("id", "")) for element in root.findall("./vlan/tag")]
    unread = [_strange(each) for each, address in zip(sources, found, strict=True) if address is None]
    unread += [f"<{tag}> without dev" for tag, names in (("interface", interfaces), ("pf", pfs)) if not all(names)]
    return LibvirtNetwork(
        name=name,
        uuid=root.findtext("uuid"),
        # libvirt takes a <forward> without a mode for nat.
        forward=next((forward.get("mode", "nat") for forward in forwards), None),
        bridge=attribute_of(root.find("bridge"), "name"),
        netdevs=_unique([*devs, *interfaces]),
        pfs=_unique(pfs),
        addresses=tuple(dict.fromkeys(address for address in found if address is not None)),
        managed=next((is_on(forward.get("managed")) for forward in forwards), None),
        vlans=tuple(tag for tag in tags if tag is not None),
        xml=xml if any(forward.get("mode") == POOL_MODE for forward in forwards) else None,
        unread=tuple(unread),
    )


def networks_of(connection: Any, library: Any, files: Files) -> Fact[tuple[LibvirtNetwork, ...]]:
    """Every network that the daemon knows; one that is gone by the time that it is asked is none.

    A libvirt without its network driver hands no NICs out; what stands in its folder counts all the same.
    """
    networks = []
    try:
        for network in connection.listAllNetworks():
            try:
                networks.append(_network_of(network, library))
            except library.libvirtError as error:
                if error.get_error_code() != library.VIR_ERR_NO_NETWORK:
                    raise
    except library.libvirtError as error:
        # VIR_ERR_NO_CONNECT, VIR_ERR_SYSTEM_ERROR: the socket of virtnetworkd is not there.
        absent = (library.VIR_ERR_NO_SUPPORT, library.VIR_ERR_NO_CONNECT, library.VIR_ERR_SYSTEM_ERROR)
        if error.get_error_code() in absent:
            return read_networks(files)
        return Unknown(f"libvirt: {error.get_error_message()}")
    except NicpassError as error:
        return Unknown(error.sentence.rstrip(".。"))
    return tuple(networks)


def read_networks(files: Files) -> Fact[tuple[LibvirtNetwork, ...]]:
    """Those that have a definition on disk; None where libvirt's folder has none for them."""
    names = files.list_directory(NETWORKS)
    if not isinstance(names, tuple):
        return names or (None if files.exists(DEFINITIONS) else Unknown(f"not captured: {NETWORKS}"))
    autostart, running = files.list_directory(_AUTOSTART), files.list_directory(_RUNNING)
    networks: list[LibvirtNetwork] = []
    for name in sorted(name for name in names if name.endswith(".xml")):
        path = f"{NETWORKS}/{name}"
        text = files.read_text(path)
        if not isinstance(text, str):
            return Unknown(printable(text.unknown if text else f"gone: {path}"))
        try:
            network = parse_network(text)
        except NicpassError as error:
            return Unknown(f"{printable(path)}: {error.sentence.rstrip('.。')}")
        marks = {"autostart": _is_among(name, autostart, absent=False), "active": _is_among(name, running, absent=None)}
        networks.append(msgspec.structs.replace(network, **marks))
    return tuple(networks)


def read_lending(files: Files) -> tuple[LibvirtNetwork, ...]:
    """Each network as the daemon goes by it at this moment, by its files: one that runs, as it was started.

    What cannot be read or understood stands for itself alone: the daemon passes over it too, and lends of the others.
    """
    found: dict[str, LibvirtNetwork] = {}
    for folder in (NETWORKS, _RUNNING):
        names = files.list_directory(folder)
        for name in sorted(names) if isinstance(names, tuple) else ():
            text = files.read_text(f"{folder}/{name}") if name.endswith(".xml") else None
            with contextlib.suppress(NicpassError):
                if isinstance(text, str):
                    network = parse_network(text)
                    found[network.name] = network
    return tuple(found.values())


def _network_of(network: Any, library: Any) -> LibvirtNetwork:
    """The running definition together with the lasting one: somebody may have edited the latter since."""
    active, persistent = bool(network.isActive()), bool(network.isPersistent())
    found = parse_network(network.XMLDesc(0))
    if active and persistent:
        lasting = parse_network(network.XMLDesc(library.VIR_NETWORK_XML_INACTIVE))
        both = {name: _unique((*getattr(found, name), *getattr(lasting, name))) for name in _NAMED}
        found = msgspec.structs.replace(found, forward=found.forward or lasting.forward, xml=lasting.xml, **both)
    autostart = bool(network.autostart()) if persistent else False
    return msgspec.structs.replace(found, active=active, persistent=persistent, autostart=autostart)


_NAMED = ("netdevs", "pfs", "addresses", "unread")


def _unique(names: Any) -> tuple[Any, ...]:
    """In their order, without what is not there."""
    return tuple(dict.fromkeys(name for name in names if name))


def _is_among(name: str, names: Fact[tuple[str, ...]], *, absent: bool | None) -> Fact[bool]:
    return name in names if isinstance(names, tuple) else names or absent


def _strange(element: ET.Element) -> str:
    numbers = " ".join(f"{name}={value}" for name, value in element.items())
    return f"not the address of a PCI function: {numbers[:_SHOWN]!r}"
