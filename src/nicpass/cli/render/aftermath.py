# SPDX-License-Identifier: Apache-2.0
"""What is so once a change is done, in a sentence, and the command that takes it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nicpass.model.boot import BootPurpose
from nicpass.model.language import _
from nicpass.model.plan import (
    ChangeBoot,
    DefineDevice,
    GiveBackNic,
    JoinPool,
    LeavePool,
    PlaceDomain,
    PlugDevice,
    SetNumvfs,
    SetPool,
    SetTerms,
    StartDomain,
    SteerInterrupts,
    StopDomain,
    UndefineDevice,
    UnplugDevice,
)
from nicpass.model.request import ApplyRequest, AttachRequest, PrepareRequest, VfRequest
from nicpass.model.text import shell_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nicpass.model.plan import Plan

T = TypeVar("T")


def what_is_so_now(plan: Plan) -> str | None:
    """A sentence that says what has become of the change; None where no step of it is for people."""
    if (sentence := _tell_whole(plan)) is not None:
        return sentence
    if (boots := _of_boot(plan)) and not _all(plan, GiveBackNic):
        return _tell_boot(plan, boots)
    if (told := _tell_of_pools(plan)) is not None:
        return told
    if starts := _all(plan, StartDomain):
        addresses = ", ".join(starts[0].addresses)
        return _("{name} runs, and has {address}.").format(name=starts[0].domain, address=addresses)
    if gives := [step for step in plan.steps if isinstance(step, PlugDevice | DefineDevice)]:
        return _tell_gift(plan, gives)
    if backs := _all(plan, GiveBackNic):
        return _tell_return(plan, backs)
    if (takes := _all(plan, UndefineDevice)) and takes[0].running:
        sentence = _("{name} has {address} until it is shut down.")
        return sentence.format(name=takes[0].domain, address=", ".join(step.address for step in takes))
    numbers, kept = _all(plan, SetNumvfs), _all(plan, ChangeBoot)
    if numbers or kept:
        return _tell_vfs(numbers, kept)
    if stops := _all(plan, StopDomain):
        return _("{name} is off.").format(name=stops[0].domain)
    return _tell_terms(_all(plan, SetTerms)) or _tell_place(plan)


def _tell_terms(terms: list[SetTerms]) -> str | None:
    if not terms:
        return None
    codes = ", ".join(sorted(terms[-1].after.allow)) or _("none")
    sentence = _("From its next start on, {name} may have {address} although: {codes}.")
    return sentence.format(name=terms[-1].after.domain, address=", ".join(step.address for step in terms), codes=codes)


def _tell_whole(plan: Plan) -> str | None:
    """What a change of many parts comes to; None for all others, which their steps tell of."""
    if isinstance(plan.request, ApplyRequest) and not (_of_boot(plan) and _of_boot(plan) == list(plan.steps)):
        return _("The host is as {file} says.").format(file=plan.request.file)
    numbers = _all(plan, SetNumvfs)
    if numbers and isinstance(plan.request, VfRequest):  # of one in steps too
        return _tell_numvfs(numbers[-1], _all(plan, ChangeBoot))
    return None


def way_back(plan: Plan, identity: str) -> str | None:
    """The command that takes the change back; None where nothing does, as where only a record was let go."""
    if isinstance(plan.request, PrepareRequest) and (plan.request.finish or not plan.request.nics):
        return "nicpass prepare" if plan.request.remove else "nicpass prepare --remove"
    if (boots := _of_boot(plan)) and not isinstance(plan.request, ApplyRequest):
        if not boots[0].removes:
            return f"nicpass undo {identity}"
        nics = plan.request.nics if isinstance(plan.request, PrepareRequest) else ()
        return shell_line(("nicpass", "prepare", *nics))
    if _all(plan, GiveBackNic) and not _all(plan, UndefineDevice) and not _all(plan, UnplugDevice):
        return None
    return f"nicpass undo {identity}{' --stop' if _all(plan, StartDomain) else ''}"


def _all(plan: Plan, kind: type[T]) -> list[T]:
    return [step for step in plan.steps if isinstance(step, kind)]


def _of_boot(plan: Plan) -> list[ChangeBoot]:
    """The steps that are about the boot for its own sake, and not about VFs that outlive it."""
    return [step for step in _all(plan, ChangeBoot) if step.purpose != BootPurpose.VFS]


def _tell_boot(plan: Plan, boots: list[ChangeBoot]) -> str:
    if isinstance(plan.request, PrepareRequest) and plan.request.finish:
        return _("What was prepared was looked at after this boot, and is settled.")
    if all(step.removes for step in boots):
        return _("What was prepared is taken out of the files; the next boot comes without it.")
    return _("It is written, and counts from the next boot on.")


def _tell_of_pools(plan: Plan) -> str | None:
    if pools := _all(plan, SetPool):
        return _tell_pool(pools)
    members = [step for step in plan.steps if isinstance(step, JoinPool | LeavePool)]
    if members or any(start.pool_macs for start in _all(plan, StartDomain)):
        return _tell_member(plan, members)
    return None


def _tell_pool(steps: list[SetPool]) -> str:
    before, after = steps[0].before, steps[-1].after
    if after is None:
        return _("There is no pool {pool} any more; its VFs are free.").format(pool=before.name if before else "")
    return _("The pool {pool} has {count} VFs: {vfs}.").format(
        pool=after.name, count=len(after.addresses), vfs=", ".join(after.addresses) or _("none")
    )


def _tell_member(plan: Plan, members: Sequence[JoinPool | LeavePool]) -> str:
    if starts := _all(plan, StartDomain):
        sentence = _("{name} runs with a VF that libvirt has picked: nicpass pool list")
        return sentence.format(name=starts[0].domain)
    step = members[-1]
    if isinstance(step, LeavePool):
        return _("{name} draws from the pool {pool} no more.").format(name=step.domain, pool=step.pool)
    if any(member.live for member in members):
        sentence = _("{name} has a VF of the pool {pool} now: nicpass pool list")
    else:
        sentence = _("{name} gets a VF of the pool {pool} at its next start.")
    return sentence.format(name=step.domain, pool=step.pool)


def _tell_return(plan: Plan, backs: list[GiveBackNic]) -> str:
    addresses = ", ".join(step.address for step in backs)
    if all(step.gone for step in backs):
        return _("Nothing is kept of {address} any more.").format(address=addresses)
    if backs[0].keeps and backs[0].owner is not None:
        return _("{address} is the host's again, until {name} is started.").format(
            address=addresses, name=backs[0].owner.domain
        )
    if stops := _all(plan, StopDomain):
        return _("{name} is off, and {address} is the host's again.").format(name=stops[0].domain, address=addresses)
    return _("{address} is the host's again.").format(address=addresses)


def _tell_gift(plan: Plan, gifts: Sequence[PlugDevice | DefineDevice]) -> str:
    addresses = dict.fromkeys(gift.address for gift in gifts)
    if not any(isinstance(gift, PlugDevice) for gift in gifts):
        sentence = _("{name} has {address} from its next start on.")
    elif isinstance(plan.request, AttachRequest) and plan.request.where == "live":
        sentence = _("{name} has {address} until it is shut down.")
    else:
        sentence = _("{name} has {address} now, and at its next start.")
    return sentence.format(name=gifts[0].domain, address=", ".join(addresses))


def _tell_vfs(numbers: list[SetNumvfs], kept: list[ChangeBoot]) -> str:
    if numbers:
        return _tell_numvfs(numbers[-1], kept)
    lasts = not all(step.removes for step in kept)
    return _("Every boot makes these VFs again, and sets them so.") if lasts else _("No boot makes these VFs again.")


def _tell_place(plan: Plan) -> str | None:
    if places := _all(plan, PlaceDomain):
        return _("{name} is placed so from its next start on.").format(name=places[0].domain)
    if steered := _all(plan, SteerInterrupts):
        addresses = ", ".join(step.address for step in steered)
        return _("The interrupts of {address} are handled there until its VM is off.").format(address=addresses)
    return None


def _tell_numvfs(step: SetNumvfs, kept: list[ChangeBoot]) -> str:
    lasting = any(not boot.removes for boot in kept)
    match step.after:
        case 0:
            sentence = _("{address} has no VFs now.")
        case 1 if lasting:
            sentence = _("{address} has 1 VF now, and every boot makes it again.")
        case 1:
            sentence = _("{address} has 1 VF now, until the reboot.")
        case _ if lasting:
            sentence = _("{address} has {count} VFs now, and every boot makes them again.")
        case _:
            sentence = _("{address} has {count} VFs now, until the reboot.")
    return sentence.format(address=step.address, count=step.after)
