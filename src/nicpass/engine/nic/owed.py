# SPDX-License-Identifier: Apache-2.0
"""NICs that have come back from a VM and are not what they were: the guard was kept from restoring them, or failed.

Their records say that they are out in this boot, and their VM does not have them any more. Whoever looks at the host
is told, and `nicpass recover` makes up for it. A boot settles it too: it sets every NIC up anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nicpass.checks.lookup.nics import on_vfio
from nicpass.engine.admission import forget_nic_of_start, read_start
from nicpass.engine.attempts import sentence_of
from nicpass.engine.journal import read_boot_id
from nicpass.engine.nic.store import keep_nic, list_kept_nics, read_kept_nic
from nicpass.host.pci.functions import read_function
from nicpass.model.errors import ExitCode, NicpassError, StepError
from nicpass.model.fact import known
from nicpass.model.language import _
from nicpass.planner.nic_state.compare import gained_since
from nicpass.planner.nic_state.whole import why_hollow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from nicpass.engine.nic.store import KeptNic
    from nicpass.host.doors.files import Files
    from nicpass.model.address import Address
    from nicpass.model.domain import Domain
    from nicpass.model.fact import Fact
    from nicpass.model.plan import NicState

    AskDomains: TypeAlias = Callable[[], Fact[tuple[Domain, ...]]]


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one NIC that was owed to the host."""

    address: str
    domain: str
    exit_code: int
    sentence: str


class UnrecordedError(StepError):
    """A NIC is what it was, and its record says still that it is owed to the host."""


def find_owed(files: Files, ask_domains: AskDomains) -> tuple[KeptNic, ...]:
    """The NICs that have come back and are not restored. The hypervisor is asked only where the marks do not tell.

    A record that cannot be read is passed over here: who gives such a NIC or takes it back is told of it.
    """
    boot = read_boot_id(files)
    addresses = list_kept_nics(files)
    found: list[KeptNic] = []
    for address in addresses if known(addresses) else ():
        try:
            kept = read_kept_nic(files, address)
            is_out = kept is not None and (_is_marked(kept, files) or (known(boot) and kept.away == boot))
        except StepError:  # also where the record names no VM by a UUID
            continue
        if kept is not None and is_out:
            found.append(kept)
    return tuple(_without_those_of_vms(found, files, ask_domains))


def _without_those_of_vms(away: list[KeptNic], files: Files, ask_domains: AskDomains) -> Iterator[KeptNic]:
    """What the guard let through and vfio-pci has is its VM's; what is neither is the host's; else libvirt knows."""
    domains: list[Fact[tuple[Domain, ...]]] = []
    for kept in away:
        marked = _is_marked(kept, files)
        bound = on_vfio(read_function(files, kept.state.address))
        if marked and bound:
            continue
        if marked or bound:
            domains = domains or [ask_domains()]
            if _may_have_it(domains[0], kept, marked=marked):
                continue
        yield kept


def _is_marked(kept: KeptNic, files: Files) -> bool:
    """Whether its VM was let through with it in this boot, and its stop was not seen; the record may not say so."""
    return kept.owner is not None and kept.state.address in read_start(files, kept.owner.uuid)


def _may_have_it(domains: Fact[tuple[Domain, ...]], kept: KeptNic, *, marked: bool) -> bool:
    """Whether a VM that runs has it; where nobody can be asked, whether the guard has let one start with it."""
    if not isinstance(domains, tuple):
        return marked
    address = kept.state.address
    return any(domain.running and address in {d.address for d in domain.live_devices} for domain in domains)


def bring_back(files: Files, kept: KeptNic, restore: Callable[[NicState], None]) -> None:
    """Make it what it was, and put down that nothing is owed any more; the caller keeps other runs out.

    Raises:
        StepError: its record is none to go by, so it stays as it is; no further try would change that.
        UnrecordedError: it is what it was, but on a full disk, say, that could not be put down.
        NicpassError, OSError: it is owed still.
    """
    hollow = why_hollow(kept.state, read_function(files, kept.state.address).driver)
    if hollow is None:
        restore(kept.state)
    try:
        settle_nic(files, kept)
    except OSError as error:
        if hollow is not None:
            raise
        raise UnrecordedError(
            _("{address} is what it was again, but that could not be written down: {reason}").format(
                address=kept.state.address, reason=sentence_of(error)
            ),
            _("Make room or make it writable, then: nicpass recover"),
        ) from error
    if hollow is not None:
        raise StepError(hollow)


def settle_nic(files: Files, kept: KeptNic) -> None:
    """Put down that nothing of it is owed any more. Raises OSError."""
    keep_nic(files, msgspec.structs.replace(kept, away=None))
    if kept.owner is not None:
        forget_nic_of_start(files, kept.owner.uuid, kept.state.address)


def settle_owed(
    files: Files, owed: tuple[KeptNic, ...], restore: Callable[[NicState], None], look: Callable[[Address], NicState]
) -> tuple[Restored, ...]:
    """Bring back each of them, whatever becomes of the others; the caller holds the lock. Nothing is raised for one.

    `look` reads what a NIC is now: what the host has come to use since is not taken from it.
    """
    return tuple(_settle(files, kept, restore, look) for kept in owed)


def _settle(
    files: Files, kept: KeptNic, restore: Callable[[NicState], None], look: Callable[[Address], NicState]
) -> Restored:
    try:
        gained = gained_since(kept.state, look(kept.state.address))
        if gained:
            settle_nic(files, kept)
            sentence = _("The host uses it by now ({names}), so it is left as it is.").format(names=", ".join(gained))
        else:
            bring_back(files, kept, restore)
            sentence = _("It was restored.")
        exit_code: int = ExitCode.DONE
    except (NicpassError, OSError) as error:
        exit_code, sentence = ExitCode.NEEDS_PERSON, sentence_of(error)
    domain = kept.owner.domain if kept.owner is not None else ""
    return Restored(address=kept.state.address, domain=domain, exit_code=exit_code, sentence=sentence)
