# SPDX-License-Identifier: Apache-2.0
"""Network managers are asked, not fought: what one of them configures, it configures again, and we wait and compare.

Most act by themselves when the interface appears, perhaps before anybody asks. So nothing is asked of a manager whose
interface is as it was, and asking one that is at work already only lets it begin anew.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from nicpass.engine.handler import wait_until
from nicpass.model.errors import StepError
from nicpass.model.fact import known
from nicpass.model.language import _
from nicpass.model.network import IFUPDOWN, NETWORK_MANAGER
from nicpass.model.text import shell_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.host.doors.processes import Processes
    from nicpass.model.network import LinkManager
    from nicpass.model.plan import NicState

MANAGER_SECONDS = 60.0
"""How long a manager has for all of it: a DHCP client of theirs gives up after 30 to 60 s."""
_AGAIN_SECONDS = 5.0
"""The time after which a manager is asked again: one that has not seen the interface yet says no."""
_LOOK_SECONDS = 0.3


def commands_for(manager: LinkManager) -> tuple[list[str], ...]:
    """The commands that an administrator would type to have the interface configured again, in order.

    Sources: nmcli(1), `connection up`; networkctl(1), `reconfigure`; ifup(8). `device connect` would let
    NetworkManager choose among its profiles, or make one. ifupdown believes of an interface that has vanished that it
    is up still, so it must take it down first.
    """
    netdev, profile = manager.netdev, manager.profile if known(manager.profile) else ""
    if manager.manager == NETWORK_MANAGER:
        return (["nmcli", "--wait", f"{MANAGER_SECONDS:g}", "connection", "up", "uuid", profile, "ifname", netdev],)
    if manager.manager == IFUPDOWN:
        stanza = netdev if profile in ("", netdev) else f"{netdev}={profile}"
        return (["ifdown", "--force", netdev], ["ifup", stanza])
    return (["networkctl", "reconfigure", netdev],)


def shell_lines(state: NicState) -> list[str]:
    """The `commands_for` all managers of the NIC, as lines of a shell."""
    return [shell_line(command) for manager in state.managers for command in commands_for(manager)]


def is_managed(state: NicState, netdev: str) -> bool:
    """Whether addresses and routes of this interface are a manager's, and not written by us."""
    return any(manager.netdev == netdev for manager in state.managers)


def without_managed(state: NicState) -> NicState:
    """The state but for the addresses and routes that a manager owns, which we do not write."""
    return msgspec.structs.replace(
        state,
        addresses=tuple(address for address in state.addresses if not is_managed(state, address.netdev)),
        routes=tuple(route for route in state.routes if not is_managed(state, route.netdev)),
    )


def ask_managers(processes: Processes, state: NicState, is_as_before: Callable[[], bool]) -> None:
    """Have each interface configured by the manager that had configured it, until the NIC is as it was.

    Raises:
        StepError: the NIC is not as it was within 60 s; says what was asked, and what was answered last.
    """
    deadline = time.monotonic() + MANAGER_SECONDS
    answer = ""
    while not is_as_before():
        left = deadline - time.monotonic()
        if answer and left < _AGAIN_SECONDS:  # too late to begin anew
            raise _not_configured(state, answer)
        answer = _ask(processes, state, left)
        left = max(deadline - time.monotonic(), 0)
        if not wait_until(is_as_before, min(_AGAIN_SECONDS, left) if answer else left, _LOOK_SECONDS) and not answer:
            raise _not_configured(state, answer)


def _ask(processes: Processes, state: NicState, seconds: float) -> str:
    """Ask the managers to configure the NIC; their complaints, empty without any. The last command of each counts."""
    answers = []
    for manager in state.managers:
        for command in commands_for(manager):
            done = processes.run(command, timeout=seconds)
        if done.exit_code != 0:
            answers.append(f"{shell_line(command)}: {done.error or done.output.strip() or done.exit_code}")
    return "; ".join(answers)


def _not_configured(state: NicState, answer: str) -> StepError:
    names = ", ".join(dict.fromkeys(manager.manager for manager in state.managers))
    if answer:
        sentence = _("{managers} did not configure it as it was within {seconds:g} s: {answer}.")
    else:
        sentence = _("{managers} configured it within {seconds:g} s, and not as it was.")
    return StepError(sentence.format(managers=names, seconds=MANAGER_SECONDS, answer=answer.rstrip(".")))
