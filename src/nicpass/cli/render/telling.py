# SPDX-License-Identifier: Apache-2.0
"""Who is told what is being settled: people at once, a program at the end, in one document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.cli.render.output import say, say_error, say_wrapped

if TYPE_CHECKING:
    from nicpass.cli.render.documents import ErrorView, OutcomeDocument
    from nicpass.engine.nic.owed import Restored
    from nicpass.engine.recovery import Settled
    from nicpass.model.errors import NicpassError


class Teller:
    """What `nicpass recover` and the look after a reboot have to tell."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.settled: list[Settled] = []
        self.restored: list[Restored] = []
        self.carried: list[OutcomeDocument] = []
        self.told: list[str] = []
        self.errors: list[ErrorView] = []

    def tell(self, text: str, command: str = "") -> None:
        """Tell a paragraph, and a command that can be copied."""
        if self.as_json:
            self.told.append(f"{text} {command}".strip())
            return
        say_wrapped(text)
        if command:
            say(f"  {command}")

    def tell_error(self, error: NicpassError) -> None:
        """Tell of an error that does not end the run."""
        if self.as_json:
            from nicpass.cli.render.documents import view_error  # late: most runs are for people

            self.errors.append(view_error(error))
        else:
            say_error(error, as_json=False)

    def tell_outcome(self, document: OutcomeDocument | None) -> None:
        """Keep what `carry_out` has answered, which it has told people already."""
        if document is not None:
            self.carried.append(document)
