# SPDX-License-Identifier: Apache-2.0
"""systemd's own files, `[Section]` and `Key=value` (systemd.syntax(7)), and whom their `[Match]` means.

Source: systemd, src/shared/net-condition.c (`net_match_config`, `net_condition_test_strv`), conf-parser.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from nicpass.host.intent.patterns import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nicpass.host.intent.nic import Nic

Conditions: TypeAlias = "dict[str, tuple[str, ...]]"


class Assignment(msgspec.Struct, frozen=True):
    """One line of a file."""

    section: str
    key: str
    value: str


NO: Final = 0
PERHAPS: Final = 1
"""Some conditions of a `[Match]` are not asked here."""
YES: Final = 2


def parse_unit(text: str) -> list[Assignment]:
    """All assignments in their order, of sections that come again too."""
    found: list[Assignment] = []
    section, begun = "", ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith(("#", ";")) or (not line and not begun):
            continue  # a comment does not end a line that goes on
        whole = f"{begun} {line}".strip() if begun else line
        if whole.endswith("\\"):
            begun = whole[:-1].rstrip()
            continue
        begun = ""
        if whole.startswith("[") and whole.endswith("]"):
            section = whole[1:-1]
        elif "=" in whole:
            key, _equals, value = whole.partition("=")
            found.append(Assignment(section, key.strip(), unquote(value.strip())))
    return found


def unquote(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'" else value


def is_true(value: str) -> bool:
    """As parse_boolean() in systemd's src/basic/parse-util.c."""
    return value.lower() in ("1", "yes", "y", "true", "t", "on")


def last(assignments: Iterable[Assignment], section: str, key: str) -> str:
    """The value that counts; empty where there is none."""
    return next((a.value for a in reversed(list(assignments)) if (a.section, a.key) == (section, key)), "")


def collect_match(assignments: Iterable[Assignment]) -> Conditions:
    """Key to all its words; an empty value takes back those before, `!` at a line's begin holds for all its words."""
    found: dict[str, tuple[str, ...]] = {}
    for assignment in assignments:
        if assignment.section != "Match":
            continue
        value = assignment.value
        inverted = value.startswith("!")
        words = tuple(("!" if inverted else "") + unquote(word) for word in value.removeprefix("!").split())
        found[assignment.key] = (*found.get(assignment.key, ()), *words) if words else ()
    return {key: words for key, words in found.items() if words}


def is_in_list(words: Sequence[str], test: Callable[[str], bool]) -> bool:
    """Whether `test` holds for one of the words and for none that begins with `!`; without others, all but those."""
    if any(test(word[1:]) for word in words if word.startswith("!")):
        return False
    positive = [word for word in words if not word.startswith("!")]
    return not positive or any(map(test, positive))


def match_nic(conditions: Conditions, nic: Nic) -> int:
    """Whether the NIC is meant. A file without a condition means every NIC in old systemd, and none since 245."""
    if not conditions:
        return PERHAPS
    answer = YES
    for key, words in conditions.items():
        answer = min(answer, _ask(key, words, nic))
        if answer == NO:
            break
    return answer


def _ask(key: str, words: tuple[str, ...], nic: Nic) -> int:
    if key in ("MACAddress", "PermanentMACAddress"):
        if not nic.macs:
            return PERHAPS
        return YES if nic.has_mac(words) else NO
    if key in ("Name", "OriginalName"):
        return _sure(any(is_in_list(words, _against(name)) for name in nic.names))
    if key == "Type":
        return _sure(is_in_list(words, _against(nic.kind)))
    if key == "Kind":  # of interfaces without a device (rtnl_link_ops); a NIC has none
        return _sure(all(word.startswith("!") for word in words))
    if key in ("Driver", "Path"):
        value = nic.driver if key == "Driver" else nic.path
        return _sure(is_in_list(words, _against(value))) if value is not None else PERHAPS
    if key in ("SSID", "BSSID", "WLANInterfaceType") and nic.kind != "wlan":
        return _sure(all(word.startswith("!") for word in words))
    return PERHAPS


def _against(value: str) -> Callable[[str], bool]:
    return lambda pattern: matches(pattern, value)


def _sure(answer: object) -> int:
    return YES if answer else NO


def describe_match(conditions: Conditions) -> str:
    """`Name=en* MACAddress=...`, as it stands there."""
    return " ".join(f"{key}={' '.join(words)}" for key, words in conditions.items()) or "[Match]"
