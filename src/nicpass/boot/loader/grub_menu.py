# SPDX-License-Identifier: Apache-2.0
"""GRUB's generated menu: its entries, and which of them a name means.

Source: GRUB manual, "menuentry", "default", "The GRUB environment block"; get_entry_number() and menuentry_eq() in
grub-core/normal/menu.c; util/grub.d of GRUB for how the lines of generated entries look.
"""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

from nicpass.model.boot import BootEntry
from nicpass.model.fact import Fact, Unknown, known

_LINE = re.compile(
    r"^[ \t]*(?:(?P<open>menuentry|submenu|function)[ \t]+(?P<head>[^\n]*)\{(?P<rest>[^\n]*)$"
    r"|(?P<close>\})[ \t]*$"
    r"|(?:linux|linux16|linuxefi)[ \t]+(?P<linux>(?:[^\n\\]|\\.)*)$)",
    re.MULTILINE | re.DOTALL,
)
_WORD = re.compile(r"""(?:'[^']*'|"(?:[^"\\]|\\.)*"|\\.|[^\s'"\\])+""", re.DOTALL)
_QUOTED = re.compile(
    r"""'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|\\(?P<escaped>.)|(?P<plain>[^'"\\]+)""", re.DOTALL
)
_RELEASE = re.compile(r"/(?:vmlinu[xz]|kernel|linux|bzImage|Image)-(\d[^/\s]*?)(?:\.efi\.signed|\.efi)?$")
_DEFAULT = re.compile(r"""^[ \t]*set default=(?:"([^"\n]*)"|'([^'\n]*)'|([^\s"';]*))[ \t;]*$""", re.MULTILINE)
_CORRECTION = re.compile(r"""if \[ "x\$default" = '([^'\n]*)' \]; then default='([^'\n]*)'; fi;""")
_VALUE = r"""("[^"\n]*"|'[^'\n]*'|[^\s"';]*)"""
_SETTING = re.compile(rf"""^([ \t]*)set[ \t]+(\w+)={_VALUE}[ \t;]*$""", re.MULTILINE)
_FALLBACK = re.compile(
    rf"""^if \[ -z "\$\{{?(\w+)\}}?" \]; then\n[ \t]*set[ \t]+\1={_VALUE}[ \t;]*\nfi$""", re.MULTILINE
)
_DEEPEST = 8  # levels of submenus; grub-mkconfig makes one
_ENVIRONMENT_HEADER = "# GRUB Environment Block\n"
_ENVIRONMENT_SIZE = 1024
_LINUX_LINE = re.compile(r"^[ \t]*(?:linux|linux16|linuxefi)[ \t](?:[^\n\\]|\\.)*", re.MULTILINE | re.DOTALL)
_REMEMBERS = re.compile(r"^[ \t]*(?:savedefault|recordfail)[ \t]*\n", re.MULTILINE)
_ID_OPTIONS = ("--id", "$menuentry_id_option", "${menuentry_id_option}")


class MenuItem(NamedTuple):
    """An entry, or a submenu with its own items; `keys` are what it can be named by at its level."""

    keys: tuple[str, ...]
    entry: BootEntry | None
    items: tuple[MenuItem, ...] = ()


class Menu(NamedTuple):
    """The items in order, and the place among them where custom.cfg adds its own; None if it is not asked for."""

    items: tuple[MenuItem, ...]
    custom_place: int | None = None


def parse_menu(text: str, source: str) -> Menu | Unknown:
    """The menu of a grub.cfg or a custom.cfg that a program made, or that is written like such a file."""
    parser = _MenuParser(text, source)
    for line in _LINE.finditer(text):
        if not parser.take(line):
            return Unknown(f"not understood: {source}, line {text.count(chr(10), 0, line.start()) + 1}")
    if parser.is_open:
        return Unknown(f"not whole: {source}")
    custom = text.find("/custom.cfg")
    place = sum(start < custom for start in parser.starts) if custom >= 0 else None
    return Menu(tuple(parser.items), place)


def join_menus(menu: Menu, custom: Menu) -> tuple[MenuItem, ...]:
    """The items of `menu`, with those of custom.cfg where GRUB puts them."""
    place = menu.custom_place
    return menu.items if place is None else (*menu.items[:place], *custom.items, *menu.items[place:])


def entries_of(items: tuple[MenuItem, ...]) -> tuple[BootEntry, ...]:
    """Every entry, those of submenus too, in the menu's order."""
    return tuple(entry for item in items for entry in ((item.entry,) if item.entry else entries_of(item.items)))


def find_default(text: str, menu: tuple[MenuItem, ...], environment: Fact[dict[str, str]]) -> Fact[str]:
    """The identity of the entry that grub.cfg chooses when nobody else does."""
    said: set[str] = {next((group for group in found.groups() if group), "") for found in _DEFAULT.finditer(text)}
    said -= {"${next_entry}"}
    if len(said) > 1:
        return Unknown("grub.cfg chooses its default by a condition")
    chosen = said.pop() if said else "0"
    if chosen in ("${saved_entry}", "$saved_entry"):
        if isinstance(environment, Unknown):
            return environment
        chosen = (environment or {}).get("saved_entry", "")
    if "$" in chosen:
        return Unknown(f"grub.cfg chooses its default by {chosen}")
    corrected: dict[str, str] = dict(_CORRECTION.findall(text))
    chosen = corrected.get(chosen, chosen)
    return find_entry(chosen, menu)


def find_entry(name: str, menu: tuple[MenuItem, ...]) -> Fact[str]:
    """The identity of the entry that `name` (number, title, id; `>` leads into a submenu) means; else of the first.

    None where the menu is empty.
    """
    first, parted, rest = _part(name)
    item = _find_item(first, menu)
    if item is None or item.entry is not None:
        return item.entry.identity if item is not None and item.entry is not None else None
    if not parted:
        return Unknown("the default is a submenu, in which somebody has to choose")
    return find_entry(rest, item.items)


def parse_environment(content: Fact[bytes]) -> Fact[dict[str, str]]:
    """Name to value of a grubenv: 1024 bytes, `name=value` lines with `\\` before a plain newline."""
    if not isinstance(content, bytes):
        return content
    text = content.decode("utf-8", "backslashreplace")
    if len(content) != _ENVIRONMENT_SIZE or not text.startswith(_ENVIRONMENT_HEADER):
        return Unknown("not an environment block of GRUB")
    lines = re.findall(r"^([^#=\n][^=\n]*)=((?:[^\\\n]|\\.)*)$", text, re.MULTILINE | re.DOTALL)
    return {name: re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL) for name, value in lines}


class Variables(NamedTuple):
    """What grub.cfg sets by itself; Unknown where only GRUB could tell."""

    always: dict[str, Fact[str]]
    """Whatever grubenv says."""
    otherwise: dict[str, Fact[str]]
    """Where grubenv does not have the variable."""

    def value_of(self, name: str, environment: dict[str, str]) -> Fact[str]:
        """What GRUB puts in place of `$name` once grubenv was loaded; None for nothing."""
        if name in self.always:
            return self.always[name]
        return environment[name] if environment.get(name) else self.otherwise.get(name)


def parse_variables(text: str) -> Variables:
    """The variables that a grub.cfg sets once and by a plain word: `kernelopts` of 10_linux, those of tuned."""
    otherwise: dict[str, Fact[str]] = {}
    for name, value in _FALLBACK.findall(text):
        otherwise[name] = _plain_value(name, value) if name not in otherwise else Unknown(f"set twice: ${name}")
    always: dict[str, Fact[str]] = {}
    for indent, name, value in _SETTING.findall(_FALLBACK.sub("", text)):
        is_sure = not indent and name not in always and name not in otherwise
        always[name] = _plain_value(name, value) if is_sure else Unknown(f"set by a condition: ${name}")
    return Variables(always, otherwise)


def _plain_value(name: str, word: str) -> Fact[str]:
    return Unknown(f"made of other variables: ${name}") if "$" in word else _unquote(word).strip()


class TrialParts(NamedTuple):
    """An entry, taken apart for a copy of it."""

    title: str
    """The title, as it stands between single quotes."""
    options: str
    """The options that follow the title, without the id."""
    body: str
    """The text after the opening brace to the closing one, without commands that remember that the entry was booted."""
    arguments_end: int
    """The offset in `body` at which the line of the kernel ends."""


def find_trial_parts(text: str) -> TrialParts | None:
    """The parts of an entry's lines; None if it boots no Linux kernel."""
    head = re.match(r"([^\n]*)\{[ \t]*(?=\n)", text)
    body = _REMEMBERS.sub("", text[head.end() :]) if head else ""
    linux = _LINUX_LINE.search(body)
    if head is None or linux is None:
        return None
    words = _WORD.findall(head[1])[1:]
    options = [
        word
        for before, word in itertools.pairwise(words)
        if before not in _ID_OPTIONS and word not in _ID_OPTIONS and not word.startswith("--id=")
    ]
    title = _unquote(words[0]).replace("'", "'\\''") if words else ""
    return TrialParts(title, " ".join(options), body, linux.end())


def split_words(text: str) -> list[str]:
    """The words of a line of GRUB's script, without their quotes; variables are left as they are written."""
    return [_unquote(word) for word in _WORD.findall(text)]


class _MenuParser:
    def __init__(self, text: str, source: str) -> None:
        self.items: list[MenuItem] = []
        self.starts: list[int] = []
        """Offsets in the text at which the items of the first level begin."""
        self._text, self._source = text, source
        self._open: list[_OpenItem] = []

    @property
    def is_open(self) -> bool:
        return bool(self._open)

    def take(self, line: re.Match[str]) -> bool:
        """Take the menu's next line; False where it cannot stand there."""
        if line["open"]:
            return not line["rest"].strip() and self._begin(line)
        if line["close"]:
            return self._end(line)
        if self._open and self._open[-1].kind == "menuentry":
            self._open[-1].linux = self._open[-1].linux or line["linux"]
        return True

    def _begin(self, line: re.Match[str]) -> bool:
        if len(self._open) >= _DEEPEST or (self._open and self._open[-1].kind != "submenu"):
            return False
        if not self._open:
            self.starts.append(line.start()) if line["open"] != "function" else None
        self._open.append(_OpenItem(line["open"], line["head"], line.start()))
        return True

    def _end(self, line: re.Match[str]) -> bool:
        if not self._open:
            return False
        ended = self._open.pop()
        if ended.kind != "function":
            siblings = self._open[-1].items if self._open else self.items
            siblings.append(self._build(ended, line.end()))
        return True

    def _build(self, ended: _OpenItem, end: int) -> MenuItem:
        keys = _keys(ended.head)
        if ended.kind == "submenu":
            return MenuItem(keys, None, tuple(ended.items))
        above = [_keys(item.head)[0] for item in self._open]
        words = _WORD.findall(ended.linux)
        release = _RELEASE.search(_unquote(words[0])) if words else None
        arguments = ended.linux[ended.linux.index(words[0]) + len(words[0]) :] if words else ""
        entry = BootEntry(
            identity=">".join((*above, keys[0])),
            title=_title(ended.head),
            kernel=release[1] if release else None,
            arguments=" ".join(arguments.replace("\\\n", " ").split()),
            source=self._source,
            text=self._text[ended.start : end],
        )
        return MenuItem(keys, entry)


class _OpenItem:
    def __init__(self, kind: str, head: str, start: int) -> None:
        self.kind, self.head, self.start = kind, head, start
        self.linux = ""
        self.items: list[MenuItem] = []


def _keys(head: str) -> tuple[str, ...]:
    """The keys of an item, its id, then its title, as `default` has to name them: a `>` of a title is written twice."""
    words = split_words(head)
    found = next((after for word, after in itertools.pairwise(words) if word in _ID_OPTIONS), None)
    found = found or next((word[5:] for word in words if word.startswith("--id=")), None)
    title = _title(head).replace(">", ">>")
    return (found, title) if found is not None else (title,)


def _title(head: str) -> str:
    return next(iter(split_words(head)), "")


def _part(name: str) -> tuple[str, str, str]:
    """`name` split at its first single `>`: what stands before it, the `>`, and what stands after it."""
    found = re.match(r"((?:[^>]|>>)*)(>?)(.*)", name, re.DOTALL)
    return (found[1], found[2], found[3]) if found else (name, "", "")


def _find_item(name: str, menu: tuple[MenuItem, ...]) -> MenuItem | None:
    if name.isascii() and name.isdigit():
        return menu[int(name)] if int(name) < len(menu) else next(iter(menu), None)
    return next((item for item in menu if name in item.keys), next(iter(menu), None))


def _unquote(word: str) -> str:
    parts = []
    for found in _QUOTED.finditer(word):
        text = found[found.lastgroup or 0]
        parts.append(re.sub(r'\\([\\"$\n])', r"\1", text) if found.lastgroup == "double" else text)
    return "".join(parts)


def known_entry(entries: Fact[tuple[BootEntry, ...]], identity: Fact[str]) -> BootEntry | None:
    """The entry of this identity; None where either is not known."""
    if not known(entries) or not known(identity):
        return None
    return next((entry for entry in entries if entry.identity == identity), None)
