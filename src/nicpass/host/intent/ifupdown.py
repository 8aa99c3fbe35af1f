# SPDX-License-Identifier: Apache-2.0
"""/etc/network/interfaces, of ifupdown and ifupdown2.

Sources: interfaces(5), bridge-utils-interfaces(5), vlan-interfaces(5), ifupdown2-addons-guide.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from nicpass.host.intent.patterns import matches
from nicpass.model.network import IFUPDOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.host.intent.nic import Nic
    from nicpass.host.intent.reading import Reading

INTERFACES = "/etc/network/interfaces"
_FILE = r"[a-zA-Z0-9_-]+"  # of `source-directory`, as run-parts(8); ifupdown2 takes others too
_DEPTH = 8  # files that lead to each other
_PORTS = (
    "bridge-ports",
    "bond-slaves",
    "bond-ports",
    "ovs-ports",
    "ovs-bonds",
    "batman-ifaces",
    "team-ports",
    "slaves",
)
_PARENTS = ("vlan-raw-device", "vxlan-physdev", "macvlan-raw-device", "ipvlan-raw-device", "physdev", "link")
_MASTERS = ("bond-master", "bridge", "ovs-bridge", "vrf", "team-master")
_KEYS = frozenset({"iface", *_PORTS, *_PARENTS, *_MASTERS})


class Line(msgspec.Struct, frozen=True):
    """One line of a stanza, or one of `auto`; `stanza` is the interface that it stands under."""

    path: str
    stanza: str
    words: list[str]

    @property
    def text(self) -> str:
        return " ".join(self.words)


def read_lines(reading: Reading) -> list[Line]:
    """All lines of all files, those of a stanza with its interface."""
    return [*_read_file(reading, INTERFACES, _DEPTH)]


def _read_file(reading: Reading, path: str, depth: int) -> Iterator[Line]:
    stanza = ""
    for words in _split(reading.read(path) or ""):
        if words[0] in ("source", "source-directory") and depth:
            for pattern in words[1:]:
                for more in _find(reading, path, pattern, is_folder=words[0] == "source-directory"):
                    yield from _read_file(reading, more, depth - 1)
            continue
        if words[0] in ("iface", "mapping", "template", "vlan") and len(words) > 1:
            stanza = words[1]
        elif _is_auto(words[0]):
            stanza = ""
        yield Line(path, stanza, words)


def _split(text: str) -> Iterator[list[str]]:
    joined = re.sub(r"\\\r?\n", " ", text)
    for line in joined.splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            yield words


def _find(reading: Reading, path: str, pattern: str, *, is_folder: bool) -> list[str]:
    """The files that `source interfaces.d/*` or `source-directory interfaces.d` means."""
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), pattern))
    found: list[str] = []
    for each in _expand(reading, place):
        if is_folder:
            found += [f"{each}/{name}" for name in reading.names(each) if re.fullmatch(_FILE, name)]
            continue
        # A folder may be sourced too: then each of its files.
        inside = reading.files.list_directory(each)
        found += [f"{each}/{name}" for name in sorted(inside)] if isinstance(inside, tuple) else [each]
    return found


def _expand(reading: Reading, place: str) -> list[str]:
    """All that is there by a path in which any part may be a pattern, as wordexp(3) expands it."""
    found = [""]
    for part in place.strip("/").split("/"):
        if not any(mark in part for mark in "*?["):
            found = [f"{folder}/{part}" for folder in found]
            continue
        found = [
            f"{folder}/{name}"
            for folder in found
            for name in reading.names(folder or "/")
            if matches(part, name) and not (name.startswith(".") and not part.startswith("."))
        ]
    return found


def _is_auto(word: str) -> bool:
    return word == "auto" or word.startswith("allow-")


def mentioned(reading: Reading, lines: list[Line]) -> set[str]:
    """The NICs that have a stanza; NetworkManager leaves such a one alone."""
    stanzas = {line.words[1] for line in lines if line.words[0] == "iface" and len(line.words) > 1}
    return {nic.name for nic in reading.nics if nic.names & stanzas}


def read_intents(reading: Reading, lines: list[Line]) -> None:
    if not lines or any(reading.is_masked(f"{folder}/networking.service") for folder in ("/etc/systemd/system",)):
        return
    telling = [line for line in lines if _is_auto(key := line.words[0].replace("_", "-")) or key in _KEYS]
    for nic in reading.nics:
        for line in telling:
            _tell(reading, nic, line)


def _tell(reading: Reading, nic: Nic, line: Line) -> None:
    key, values = line.words[0].replace("_", "-"), line.words[1:]
    if _is_auto(key):
        if any(_is_meant(nic, word.split("=")[0]) for word in values):
            reading.add(nic, IFUPDOWN, "configure", line.path, line.text)
        for parent in (word for word in values if _stands_on(nic, word)):
            reading.add(nic, IFUPDOWN, "parent", line.path, line.text, parent)
    elif key == "iface" and values and _stands_on(nic, values[0]):
        reading.add(nic, IFUPDOWN, "parent", line.path, line.text, values[0])
    elif key in _PORTS and (below := [word for word in values if _stands_on(nic, word)]):
        reading.add(nic, IFUPDOWN, "parent", line.path, f"iface {line.stanza}: {line.text}", below[0])
    elif key in _PORTS and _is_listed(nic, values):
        reading.add(nic, IFUPDOWN, "port", line.path, f"iface {line.stanza}: {line.text}", line.stanza)
    elif key in _PARENTS and any(map(nic.is_meant, values)):
        reading.add(nic, IFUPDOWN, "parent", line.path, f"iface {line.stanza}: {line.text}", line.stanza)
    elif key in _MASTERS and line.stanza in nic.names and values[:1] not in ([], ["none"]):
        reading.add(nic, IFUPDOWN, "port", line.path, f"iface {line.stanza}: {line.text}", values[0])


def _is_meant(nic: Nic, word: str) -> bool:
    """`eth1`, its alias `eth1:0`, `/eth*`, `/eth*/1`, `mac/00:1b:..`, and the bare patterns that ifupdown2 takes."""
    variable, slash, rest = word.partition("/")
    if slash:
        value = rest.split("/", maxsplit=1)[0]
        return nic.shows(variable, value) if variable else nic.is_named(value)
    return nic.is_named(word.split(":", maxsplit=1)[0]) or nic.is_meant(word)


def _stands_on(nic: Nic, word: str) -> bool:
    """A VLAN called after the NIC, `eth1.20`."""
    name, dot, number = word.split(":", maxsplit=1)[0].rpartition(".")
    return bool(dot) and number.isdigit() and name in nic.names


def _is_listed(nic: Nic, words: list[str]) -> bool:
    """Names; after `regex` a regular expression, after `glob` or by its marks a pattern, `all` is all of them."""
    how = ""
    for word in words:
        if word in ("regex", "noregex", "glob", "all"):
            how = word
            if word == "all":
                return any(name.startswith(("eth", "en")) for name in nic.names)
        elif _fits(word, nic) if how == "regex" else nic.is_named(word) or nic.is_meant(word) or _in_range(nic, word):
            return True
    return False


def _fits(expression: str, nic: Nic) -> bool:
    try:
        return any(re.search(rf"^(?:{expression})$", name) for name in nic.names)
    except re.error:
        return True  # not understood: it may mean this one


def _in_range(nic: Nic, word: str) -> bool:
    """ifupdown2's `swp1-4` and `swp[1-4]`."""
    found = re.fullmatch(r"(.*?)\[?(\d{1,6})-(\d{1,6})\]?(.*)", word)
    if found is None:
        return False
    before, low, high, after = found.groups()
    numbers = (name[len(before) : len(name) - len(after)] for name in nic.names if name.startswith(before))
    return any(number.isdigit() and int(low) <= int(number) <= int(high) for number in numbers)
