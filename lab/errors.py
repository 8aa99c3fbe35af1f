# SPDX-License-Identifier: Apache-2.0
"""The errors of the lab. Such an error says nothing about nicpass: it is the room that failed."""

from __future__ import annotations

from collections.abc import Mapping


class LabError(Exception):
    """A command, a wait or a build in the lab failed.

    `command` is what was asked, `exit_code` and `output` what came back where something did, and `consoles`
    the ends of the consoles at that moment, by name: most failures of a machine are explained there.
    """

    def __init__(
        self,
        message: str,
        *,
        command: str = "",
        exit_code: int | None = None,
        output: str = "",
        consoles: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.command = command
        self.exit_code = exit_code
        self.output = output
        self.consoles: dict[str, str] = dict(consoles or {})

    def __str__(self) -> str:
        lines = [self.message]
        if self.command:
            lines.append(f"  command: {self.command}")
        if self.exit_code is not None:
            lines.append(f"  exit code: {self.exit_code}")
        if self.output.strip():
            lines.append(f"  output:\n{_indented(self.output)}")
        lines += [f"  end of {name}:\n{_indented(end)}" for name, end in self.consoles.items() if end.strip()]
        return "\n".join(lines)


class LabTimeoutError(LabError):
    """Something that was waited for did not come within its limit."""


def _indented(text: str) -> str:
    return "\n".join(f"    | {line}" for line in text.strip().splitlines())
