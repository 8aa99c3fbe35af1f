# SPDX-License-Identifier: Apache-2.0
"""netplan's files, by which the next boot makes those of systemd-networkd or NetworkManager (netplan(5)).

What they have made for this boot lies in /run, and is read there. A file that is not understood and names a NIC, or
that may mean it by what it matches, counts as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.host.intent.patterns import matches
from nicpass.host.intent.yaml_subset import NotUnderstoodError, parse_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nicpass.host.intent.nic import Nic
    from nicpass.host.intent.reading import Reading
    from nicpass.host.intent.yaml_subset import Node

NETPLAN = "netplan"
_PORTS_OF = ("bridges", "bonds", "vrfs")
_PARENT_OF = ("vlans", "macvlans", "tunnels", "virtual-ethernets")
_DEVICES = ("ethernets", "wifis")
_BY_HAND = ("manual", "off")
_VFS = "virtual-function-count"
_WISHES = ("dhcp4", "dhcp6", "addresses", "optional")


def read_intents(reading: Reading, folders: Sequence[str]) -> None:
    """By all files in these folders, of which the first hides the others."""
    for path, text in reading.texts(reading.overlay(folders, (".yaml",)).values()):
        try:
            document = parse_yaml(text)
        except NotUnderstoodError:
            _tell_mentions(reading, path, text)
            continue
        if document is None:
            continue
        network = document.get("network") if isinstance(document, dict) else None
        if not isinstance(network, dict) or not all(
            isinstance(part, (dict, str)) or part is None for part in network.values()
        ):
            _tell_mentions(reading, path, text)
            continue
        relations = [*_relations(network)]
        definitions = [*_definitions(network)]
        for nic in reading.nics:
            own = {name: definition for name, definition in definitions if _is_own(nic, name, definition)}
            _tell_relations(reading, nic, path, relations, own)
            _tell_own(reading, nic, path, own)
            for definition in own.values():
                count = definition.get(_VFS) if isinstance(definition, dict) else None
                reading.add_count(nic, path, f"{_VFS}: {count}", count)


def _tell_mentions(reading: Reading, path: str, text: str) -> None:
    """What stands there about a NIC, word by word."""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    words = sorted(set(re.findall(r"[^\s\"',\[\]{}]+", bare)) | set(re.findall(r"[\w.@*?-]+", bare)))
    opaque = "match" in bare
    for nic in reading.nics:
        named = next((word for word in words if word.strip("*?") and (nic.is_meant(word) or nic.is_named(word))), None)
        if named is None and opaque:
            named = "match"
        if named is not None:
            reading.add(nic, NETPLAN, "unclear", path, named)


def _tell_relations(
    reading: Reading, nic: Nic, path: str, relations: list[tuple[str, str, str, str]], own: dict[str, Node]
) -> None:
    for section, target, name, text in relations:
        if name in own or name in nic.names:
            reading.add(nic, NETPLAN, "port" if section in _PORTS_OF else "parent", path, text, target)


def _tell_own(reading: Reading, nic: Nic, path: str, own: dict[str, Node]) -> None:
    if own and reading.has(nic, NETPLAN, "port", path):
        return  # a port has no addresses of its own
    for name, definition in own.items():
        settings = definition if isinstance(definition, dict) else {}
        if settings.get("activation-mode") not in _BY_HAND:
            wishes = [f"{key}: {_show(settings[key])}" for key in _WISHES if settings.get(key) is not None]
            reading.add(nic, NETPLAN, "configure", path, f"{name}: {', '.join(wishes)}")


def _definitions(network: dict[str, Node]) -> Iterator[tuple[str, Node]]:
    for section in _DEVICES:
        definitions = network.get(section)
        if isinstance(definitions, dict):
            yield from definitions.items()


def _is_own(nic: Nic, name: str, definition: Node) -> bool:
    match = definition.get("match") if isinstance(definition, dict) else None
    if not match:
        return name in nic.names
    if not isinstance(match, dict):
        return True
    new = definition.get("set-name") if isinstance(definition, dict) else None
    tests = [_fits(nic, key, value) for key, value in match.items()]
    # What `set-name` has renamed is no longer called what `match` says.
    return all(tests) or (isinstance(new, str) and new in nic.names and "macaddress" not in match)


def _fits(nic: Nic, key: str, value: Node) -> bool:
    words = [word for word in (value if isinstance(value, list) else [value]) if isinstance(word, str)]
    if key == "name":
        return any(nic.is_named(word) for word in words)
    if key == "macaddress":
        return not nic.macs or nic.has_mac(words)
    if key == "driver":
        return nic.driver is None or any(matches(word, nic.driver) for word in words)
    return True


def _relations(network: dict[str, Node]) -> Iterator[tuple[str, str, str, str]]:
    """(Section, the interface, what it is made of, the line that says so)."""
    for section in (*_PORTS_OF, *_PARENT_OF):
        definitions = network.get(section)
        for target, definition in definitions.items() if isinstance(definitions, dict) else ():
            settings = definition if isinstance(definition, dict) else {}
            parts = settings.get("interfaces")
            for name in parts if isinstance(parts, list) else ():
                if isinstance(name, str):
                    yield section, target, name, f"{target}: interfaces: {_show(parts)}"
            link = settings.get("link")
            if isinstance(link, str):
                yield section, target, link, f"{target}: link: {link}"


def _show(node: Node | Iterable[Node]) -> str:
    if isinstance(node, list):
        return f"[{', '.join(map(_show, node))}]"
    if isinstance(node, dict):
        return "{" + ", ".join(f"{key}: {_show(value)}" for key, value in node.items()) + "}"
    return str(node) if node is not None else ""
