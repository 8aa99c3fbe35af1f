# SPDX-License-Identifier: Apache-2.0
"""The system's own log: every change goes there under the one name `nicpass`, as what the guard has to say does.

It outlives nicpass's journal, and is what goes to another machine. `journalctl -t nicpass` shows it.
"""

from __future__ import annotations

import syslog
from typing import TYPE_CHECKING

from nicpass.model.language import _
from nicpass.model.text import printable, quote

if TYPE_CHECKING:
    from nicpass.model.change import Actor


def log_begin(actor: Actor, summary: str) -> None:
    """Tell that a change is begun: of one that never ends, this is all that there is."""
    _log(syslog.LOG_INFO, actor, _("begun: {summary}").format(summary=summary))


def log_done(actor: Actor, identity: str, summary: str) -> None:
    _log(syslog.LOG_NOTICE, actor, _("done: {summary} (change {change})").format(summary=summary, change=identity))


def log_failure(actor: Actor, summary: str, error: BaseException) -> None:
    """Tell that a change failed or was stopped, with its sentence and exit code."""
    sentence = getattr(error, "sentence", None) or f"{type(error).__name__} {error}".strip()
    text = _("not done: {summary}: {sentence}").format(summary=summary, sentence=sentence)
    _log(syslog.LOG_ERR, actor, text)


def log_settled(actor: Actor, text: str) -> None:
    """Tell what became of a change that was cut off, confirmed or abandoned."""
    _log(syslog.LOG_NOTICE, actor, text)


def _log(priority: int, actor: Actor, text: str) -> None:
    command = " ".join(("nicpass", *map(quote, actor.command)))
    syslog.openlog("nicpass", syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(priority, printable(f"{actor.user}: {command}: {text}"))
