# SPDX-License-Identifier: Apache-2.0
"""Sessions by which somebody administers the host: by the address that they came to, and by the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.checks.dependence.unseen import is_addressed
from nicpass.checks.lookup.chains import address_on, chain_text
from nicpass.checks.lookup.nics import label
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.checks.lookup.index import HostIndex
    from nicpass.model.activity import Session
    from nicpass.model.finding import Finding
    from nicpass.model.pci import PciFunction

make_finding = Finder("dependence.sessions")

_PROGRAMS = {"sshd": "ssh", "sshd-session": "ssh", "dropbear": "ssh"}


def check_sessions(function: PciFunction, index: HostIndex) -> Iterator[Finding]:
    told: set[str] = set()
    for chain in index.chains(function):
        for session in index.sessions.get(chain[-1].name, ()):
            words = describe_session(session)
            if words in told:  # the shortest chain came first
                continue
            told.add(words)
            yield make_finding(
                "CARRIES_SESSION",
                function.address,
                (("established connection", _connection(session)),),
                nic=label(function),
                chain=chain_text(chain, address_on(chain[-1], session.local_address, index.addresses), words),
            )
    if None in index.sessions and is_addressed(function, index):
        for session in index.sessions[None]:
            words, evidence = describe_session(session), _connection(session)
            yield make_finding(
                "SESSION_UNPLACED", function.address, (("session", evidence),), nic=label(function), session=words
            )


def describe_session(session: Session) -> str:
    """The session in words: `your ssh session from 10.0.0.9`."""
    facts = {
        "program": _PROGRAMS.get(session.program, session.program),
        "peer": session.peer_address or session.remote_host or _("an unknown host"),
        "user": session.user,
    }
    if session.own:
        return _("your {program} session from {peer}").format(**facts)
    if session.user is None:
        return _("a {program} session from {peer}").format(**facts)
    return _("the {program} session of {user} from {peer}").format(**facts)


def _connection(session: Session) -> str:
    """Both ends of the session's connection: `10.0.0.5:22 - 10.0.0.9:51000`."""
    ends = ((session.local_address, session.local_port), (session.peer_address, session.peer_port))
    return " - ".join(f"{address or '?'}:{'?' if port is None else port}" for address, port in ends)
