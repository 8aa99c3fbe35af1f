# SPDX-License-Identifier: Apache-2.0
"""What every reader of intents is given: the NICs, the files, and where it puts what it has found."""

from __future__ import annotations

import functools
import posixpath
from functools import cached_property
from typing import TYPE_CHECKING

from nicpass.model.fact import Unknown
from nicpass.model.network import Intent, KernelWord, VfCount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nicpass.host.doors.files import Files
    from nicpass.host.intent.nic import Nic
    from nicpass.model.network import IntentPurpose

_LIMIT = 1 << 20  # bytes; such a file has a few thousand
_SHOWN = 120  # letters of a line
_NOWHERE = "/dev/null"
UNIT_FOLDERS = (
    *("/etc/systemd/system", "/run/systemd/system", "/run/systemd/generator", "/run/systemd/generator.late"),
    *("/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"),
)
"""By precedence (systemd.unit(5))."""
NETWORKD_FOLDERS = (
    *("/etc/systemd/network", "/run/systemd/network", "/usr/local/lib/systemd/network"),
    *("/usr/lib/systemd/network", "/lib/systemd/network"),
)
"""By precedence (systemd.network(5))."""
NETWORKD_SHIPPED = "/usr/lib/systemd/network"
"""systemd brings files of its own there, so a host that has it and not this folder was not captured in full."""
_SLICES = ("/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice")


@functools.lru_cache(maxsize=64)
def _shown(text: str) -> str:
    """A line as it is told; the same one may mean a thousand NICs."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."


class Reading:
    """One look at a host's configuration: every file is read once, whatever the number of NICs."""

    def __init__(self, files: Files, nics: Sequence[Nic]) -> None:
        self.files = files
        self.nics = nics
        self.found: dict[tuple[object, ...], Intent] = {}
        self.unread: dict[str, None] = {}
        self.vf_counts: dict[tuple[str, str], VfCount] = {}
        self.kernel_words: dict[tuple[str, str], KernelWord] = {}
        self._texts: dict[str, str | None] = {}
        self._names: dict[str, list[str]] = {}
        self._by_nic: dict[str, list[Intent]] = {}

    def add(
        self, nic: Nic, manager: str, purpose: IntentPurpose, source: str, text: str, target: str | None = None
    ) -> None:
        """Keep it; of what one file says to one end the first line is enough."""
        intent = Intent(
            netdev=nic.name, manager=manager, purpose=purpose, source=source, text=_shown(text), target=target or None
        )
        if self.found.setdefault((nic.name, manager, purpose, source, target), intent) is intent:
            self._by_nic.setdefault(nic.name, []).append(intent)

    def add_count(self, nic: Nic, source: str, text: str, count: object) -> None:
        """Keep that a file gives this NIC so many VFs, if that is a number."""
        if isinstance(count, str) and count.isascii() and count.isdigit() and len(count) < 6:  # 65535 at most
            setting = VfCount(netdev=nic.name, source=source, text=text, count=int(count))
            self.vf_counts.setdefault((nic.name, source), setting)

    def has(self, nic: Nic, manager: str, purpose: str | None = None, source: str | None = None) -> bool:
        """Whether something was kept about it, of this manager, and of this purpose and file where they are given."""
        return any(
            intent.manager == manager and purpose in (None, intent.purpose) and source in (None, intent.source)
            for intent in self._by_nic.get(nic.name, ())
        )

    def read(self, path: str) -> str | None:
        """A file's text; None for one that is not there, or cannot be read, which is noted. Each is read once."""
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def _read(self, path: str) -> str | None:
        content = self.files.read_bytes(path, _LIMIT)
        if isinstance(content, Unknown):
            self.unread[content.unknown] = None
            return None
        return content.decode("utf-8", "backslashreplace") if content is not None else None

    def names(self, folder: str) -> list[str]:
        """The names in a folder, sorted; none where it is not there, or cannot be read, which is noted."""
        if folder not in self._names:
            self._names[folder] = self._list(folder)
        return self._names[folder]

    def _list(self, folder: str) -> list[str]:
        names = self.files.list_directory(folder)
        if isinstance(names, Unknown):
            self.unread[names.unknown] = None
            return []
        return sorted(names or ())

    def is_masked(self, path: str) -> bool:
        return self.files.read_link(path) == _NOWHERE

    def overlay(self, folders: Iterable[str], ends: tuple[str, ...]) -> dict[str, str]:
        """Name to path, sorted by name: a file hides those of its name in the folders behind (systemd.unit(5)).

        One that is a link to /dev/null hides them and is none itself.
        """
        chosen: dict[str, str] = {}
        for folder in folders:
            for name in self.names(folder):
                if name.endswith(ends):
                    chosen.setdefault(name, f"{folder}/{name}")
        return {name: path for name, path in sorted(chosen.items()) if not self.is_masked(path)}

    def texts(self, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
        """(Path, text) of those that can be read."""
        for path in paths:
            text = self.read(path)
            if text is not None:
                yield path, text

    # Which manager is at work, or will be after the next boot

    @cached_property
    def enabled(self) -> dict[str, str]:
        """Unit to the link that makes the boot start it: `multi-user.target.wants/NetworkManager.service`."""
        found: dict[str, str] = {}
        for folder in UNIT_FOLDERS:
            for name in self.names(folder):
                if name.endswith((".wants", ".requires")):
                    for unit in self.names(f"{folder}/{name}"):
                        found.setdefault(unit, f"{folder}/{name}/{unit}")
        return found

    @cached_property
    def instances(self) -> dict[str, list[str]]:
        """What stands between `@` and the end of a unit's name to the enabled units that are so called."""
        found: dict[str, list[str]] = {}
        for unit in self.enabled:
            instance = unit.partition("@")[2].rpartition(".")[0]
            if instance:
                found.setdefault(instance, []).append(unit)
        return found

    @cached_property
    def _tells_units(self) -> bool:
        """Whether it can be seen at all what is started; a capture may have the configuration alone."""
        return bool(self.enabled) or any(self.files.exists(path) for path in _SLICES)

    def is_at_work(self, *units: str) -> bool:
        """Whether one of these units runs, or is started by a boot; where that is not to be seen, yes."""
        if not self._tells_units:
            return True
        return any(self._runs(unit) or self._is_started(unit) for unit in units)

    def _runs(self, unit: str) -> bool:
        return any(self.files.exists(f"{path}/{unit}") for path in _SLICES)

    def _is_started(self, unit: str) -> bool:
        if any(self.is_masked(f"{folder}/{unit}") for folder in UNIT_FOLDERS[:2]):
            return False
        # An alias (dbus-org.freedesktop.network1.service) starts it when it is called for, and is made by `enable`.
        return unit in self.enabled or any(
            posixpath.basename(self._target(f"{UNIT_FOLDERS[0]}/{alias}")) == unit for alias in self._aliases
        )

    @cached_property
    def _aliases(self) -> list[str]:
        return [name for name in self.names(UNIT_FOLDERS[0]) if name.startswith("dbus-org.freedesktop.")]

    def _target(self, path: str) -> str:
        target = self.files.read_link(path)
        return target if isinstance(target, str) else ""
