# SPDX-License-Identifier: Apache-2.0
"""The guard in libvirt's hooks: whether the next start of a VM with a NIC of ours is looked at, and which were not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.catalogue import Finder
from nicpass.model.fact import Unknown, known
from nicpass.model.guard import HOOK
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.model.address import Address
    from nicpass.model.fact import Fact
    from nicpass.model.finding import Finding
    from nicpass.model.given import GivenNic
    from nicpass.model.guard import Guard
    from nicpass.model.host import Host

make_finding = Finder("host.guard")

_NICS = "/var/lib/nicpass/nics"
_CODES = {"started": "STARTED_UNGUARDED", "vetoed": "VETOED_UNGUARDED", "stopped": "STOPPED_UNGUARDED"}


def check_guard(host: Host) -> Iterator[Finding]:
    """Findings about the guard as it stands, and about what it missed."""
    yield from _check_hook(host.guard, guarded_nics(host.given))
    yield from check_confinement(host.guard)
    yield from tell_unguarded(host.guard)


def check_confinement(guard: Guard) -> Iterator[Finding]:
    """Whether SELinux keeps the guard from its work."""
    if guard.selinux is True and guard.hooks_unconfined is False:
        path = "/sys/fs/selinux/booleans/virt_hooks_unconfined"
        yield make_finding("HOOKS_CONFINED", evidence=((path, "0"), ("/sys/fs/selinux/enforce", "1")))


def tell_unguarded(guard: Guard) -> Iterator[Finding]:
    """The starts and stops for which nicpass could not run."""
    for event in guard.unguarded if known(guard.unguarded) else ():
        yield make_finding(
            _CODES[event.what],
            evidence=((event.path, event.reason),),
            vm=event.vm,
            when=event.when,
            nics=", ".join(event.nics) or "?",
            reason=event.reason,
            loss=event.loss,
        )


def guarded_nics(given: Fact[tuple[GivenNic, ...]]) -> Fact[tuple[Address, ...]]:
    """The NICs that libvirt takes at each start of a VM: these are what the guard is for.

    Of a record that cannot be read nobody knows whether libvirt takes its NIC: then it does.
    """
    if known(given):
        return tuple(nic.address for nic in given if nic.managed)
    return given if isinstance(given, Unknown) else None


def _check_hook(guard: Guard, guarded: Fact[tuple[Address, ...]]) -> Iterator[Finding]:
    """One finding at most: the gravest. Where no NIC of ours is given away, there is nothing to guard."""
    if guarded in ((), None):
        return
    mode = guard.hook_mode
    if mode is None and known(guarded):
        nics = ", ".join(guarded)
        yield make_finding("GUARD_MISSING", evidence=((HOOK, _("absent")), (_NICS, nics)), nics=nics)
    elif known(mode) and not mode & 0o100:
        yield make_finding("GUARD_NOT_EXECUTABLE", evidence=((HOOK, f"{mode:o}"),))
    elif (reason := _why_broken(guard)) is not None:
        yield make_finding("GUARD_BROKEN", evidence=((HOOK, reason),), reason=reason)
    elif guard.is_ours is False or (known(mode) and guard.python is None):
        yield make_finding("GUARD_CHANGED", evidence=((HOOK, f"python={guard.python} package={guard.package}"),))


def _why_broken(guard: Guard) -> str | None:
    """Why what the hook names cannot run; None where it can, or where that cannot be told."""
    if not known(guard.python) or guard.is_ours is True:
        return None
    if guard.python_is_there is False:
        return _("{path} is not there, or may not be run").format(path=guard.python)
    if guard.package_is_there is False:
        return _("{path} is not there").format(path=guard.package)
    # A package of one minor version is not on the path of another: https://docs.python.org/3/library/site.html
    has, wants = guard.python_version, guard.package_version
    if known(has) and known(wants) and has != wants:
        return _("{path} is Python {has} by now, and nicpass was installed for {wants}").format(
            path=guard.python, has=has, wants=wants
        )
    return None
