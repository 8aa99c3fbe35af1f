# SPDX-License-Identifier: Apache-2.0
"""Turns findings that stand in the way into the one error that the exit codes promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.blocking import blocking
from nicpass.model.errors import BadInputError, ImpossibleError, NicpassError, RebootNeededError, RefusedError
from nicpass.model.finding import Severity
from nicpass.model.language import _
from nicpass.model.nearest import did_you_mean
from nicpass.model.text import vm_word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nicpass.model.address import Address
    from nicpass.model.finding import Finding

_ERRORS: dict[Severity, type[NicpassError]] = {
    Severity.IMPOSSIBLE: ImpossibleError,
    Severity.UNSAFE: RefusedError,
    Severity.REBOOT: RebootNeededError,
}

OVERRIDABLE = frozenset(
    {
        "AF_PACKET_IN_USE",
        "CARRIES_DEFAULT_ROUTE",
        "CARRIES_ROUTE",
        "CARRIES_SESSION",
        "CARRIES_TUNNEL",
        "HAS_ADDRESS",
        "NAMED_UNCLEARLY",
        "PTP_IN_USE",
        "RULE_NAMES_NIC",
        "SESSION_UNPLACED",
        "STORAGE_UNPLACED",
        "TO_BE_CONFIGURED",
        "TO_BE_PART",
        "WAITED_FOR",
        "XDP_ATTACHED",
    }
)
"""Codes that an administrator may take upon himself. The others would break something else, not only his network."""


def refuse_unless_clear(findings: tuple[Finding, ...], allow: frozenset[str] = frozenset()) -> None:
    """Pass, or raise the error of the gravest blocking finding with all blocking findings in it.

    Raises:
        BadInputError: `allow` names what nobody may override.
        ImpossibleError, RefusedError, RebootNeededError: by the severity of the gravest finding.
    """
    for code in sorted(allow - OVERRIDABLE):
        from nicpass.checks.catalogue.whole import CATALOGUE  # late: all texts are loaded, for this word only

        sentence = _("There is no finding {code}.") if code not in CATALOGUE else _("{code} cannot be overridden.")
        raise BadInputError(
            sentence.format(code=code),
            did_you_mean(code, OVERRIDABLE, _("--allow takes {names}.").format(names=", ".join(sorted(OVERRIDABLE)))),
        )
    standing = blocking(findings, allow)
    if standing:
        raise _ERRORS[standing[0].severity](standing[0].sentence, standing[0].mend, findings=standing)


def attach_command(vm: str, uuid: str, address: Address, codes: Iterable[str]) -> str:
    """The command that allows these reasons to a VM that has the NIC, beside those that were allowed before."""
    allowed = "".join(f" --allow {code}" for code in sorted(codes))
    return f"nicpass attach {vm_word(vm, uuid)} {address}{allowed}"
