# SPDX-License-Identifier: Apache-2.0
"""The simulated systemd: units that are active, and timers that outlive whoever set them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.host.doors.processes import Completed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Systemd:
    """Answers systemctl(1) and systemd-run(1); the active units lie in `systemd.json` beside the tree."""

    def __init__(self, base: Path) -> None:
        self.path = base / "systemd.json"
        self.on_reload: Callable[[], None] = lambda: None
        """What libvirtd does when it is told to reload."""

    @property
    def active(self) -> dict[str, list[str]]:
        """Active unit to the command that it runs."""
        return msgspec.json.decode(self.path.read_bytes(), type=dict[str, list[str]]) if self.path.exists() else {}

    def _save(self, active: dict[str, list[str]]) -> None:
        self.path.write_bytes(msgspec.json.encode(active))

    def answer(self, argv: list[str]) -> Completed:
        match argv:
            case ["systemd-run", *options]:
                return self._run_later(options)
            case ["systemctl", "is-active", *_, unit]:
                is_active = unit in self.active or unit == "libvirtd"
                return Completed(0 if is_active else 3, "active\n" if is_active else "inactive\n", "")
            case ["systemctl", "reload", "libvirtd"]:
                self.on_reload()
                return Completed(0, "", "")
            case ["systemctl", "start", unit]:
                self._save({**self.active, unit: []})
                return Completed(0, "", "")
            case ["systemctl", "stop", unit]:
                self._save({name: command for name, command in self.active.items() if name != unit})
                return Completed(0, "", "")
            case _:
                return Completed(0, "", "")

    def _run_later(self, options: list[str]) -> Completed:
        command = options[options.index("--") + 1 :]
        unit = next(option.removeprefix("--unit=") for option in options if option.startswith("--unit="))
        if f"{unit}.timer" in self.active:
            return Completed(1, "", f"Failed to start transient timer unit: Unit {unit}.timer was already loaded")
        self._save({**self.active, f"{unit}.timer": command})
        return Completed(0, "", "")
