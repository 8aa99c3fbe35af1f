# SPDX-License-Identifier: Apache-2.0
"""Whether what was seen of a NIC is all of it, so that it may stand in the place of an earlier record (law 10).

During a boot a NIC comes by and by: its driver, its interface, the name that udev gives, what a network manager makes
of it. Who puts down what it is in the middle of that, and later brings the NIC back to it, takes away what came after.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nicpass.checks.dependence.unseen import USERSPACE_DRIVERS
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicpass.model.fact import Fact
    from nicpass.model.network import IpAddress, Link
    from nicpass.model.plan import NicState

_STUBS = USERSPACE_DRIVERS | {"pci-stub", "pciback", "xen-pciback"}
"""Drivers that only keep a device for somebody else, and make no interface; vfio-pci is one of them too."""
_PASSING_NAME = re.compile("rename[0-9]+")
"""What udev calls an interface between two names (systemd, src/udev/udev-event.c, `rename_netif`, up to 240)."""


def is_stub(driver: str) -> bool:
    """Whether this driver is none of the host's own use: it keeps the device for a VM or for a program."""
    return driver in _STUBS or driver.replace("_", "-").endswith("vfio-pci")


def is_passing_name(name: str) -> bool:
    """Whether udev is about to give the interface another name."""
    return _PASSING_NAME.fullmatch(name) is not None


def why_not_whole(before: NicState, now: NicState) -> str | None:
    """Why `now` is no more than a part of the NIC, by what `before` shows of it; None where it may be put down."""
    return next(_lacks(before, now), None)


def why_hollow(state: NicState, driver: Fact[str]) -> str | None:
    """Why a NIC that has `driver` is not to be brought back to `state`: it was taken in the middle of a boot."""
    passing = next((link.name for link in state.links if is_passing_name(link.name)), None)
    if passing is not None:
        return _(
            "The record of what {address} was before was made while udev gave it a name ({name}): it is left as it is."
        ).format(address=state.address, name=passing)
    if state.driver is None and isinstance(driver, str) and not is_stub(driver):
        return _(
            "The record of what {address} was before knows no driver of it, which has {driver} now: it is left so."
        ).format(address=state.address, driver=driver)
    return None


def _lacks(before: NicState, now: NicState) -> Iterator[str]:
    """Each thing that `before` has and `now` has not, or not yet."""
    if now.driver is None and before.driver is not None:
        yield _("it has no driver yet")
    if now.driver is not None and now.driver != before.driver and is_stub(now.driver):
        yield _("it is on {driver}").format(driver=now.driver)
    if len(now.links) < len(before.links):
        yield _("it shows {count} of its {all} interfaces").format(count=len(now.links), all=len(before.links))
    for link in now.links:
        if is_passing_name(link.name):
            yield _("{name} is about to be named").format(name=link.name)
    pairs = list(zip(before.links, now.links, strict=False))
    if any(old.permanent_mac is not None and new.permanent_mac is None for old, new in pairs):
        yield _("the MAC that is burnt in cannot be seen")
    if before.vf is not None and now.vf is None:
        yield _("its PF does not show it")
    yield from _missing_of_managers(before, now, pairs)
    yield from _missing_addresses(before, now, {old.name: new.name for old, new in pairs})


def _missing_of_managers(before: NicState, now: NicState, pairs: list[tuple[Link, Link]]) -> Iterator[str]:
    """A network manager sets an interface up, makes it a port and stands VLANs on it, one after the other."""
    names = {old.name: new.name for old, new in pairs}
    managed, is_now = {m.netdev for m in before.managers}, {m.netdev for m in now.managers}
    for netdev in managed:
        if names.get(netdev, netdev) not in is_now:
            yield _("its network manager has not got {netdev} yet").format(netdev=netdev)
    for old, new in pairs:
        if old.name in managed and ((old.up and not new.up) or (old.master is not None and new.master is None)):
            yield _("its network manager has not set {netdev} up yet").format(netdev=new.name)
    uppers = {upper.name for upper in now.uppers or ()}
    for upper in before.uppers or ():
        if upper.name not in uppers and {upper.name, upper.lower} & managed:
            yield _("{upper} is not there yet").format(upper=upper.name)


def _missing_addresses(before: NicState, now: NicState, names: dict[str, str]) -> Iterator[str]:
    """What a manager or a lease gives comes and goes; as long as none of it is there, it may be on its way."""
    managed = {manager.netdev for manager in before.managers}
    there = {(address.netdev, *_kind_of(address)) for address in now.addresses if _counts(address)}
    unsure = {address.text for address in now.addresses if address.tentative}
    for address in before.addresses:
        netdev = names.get(address.netdev, address.netdev)
        given = address.dynamic or address.netdev in managed
        if given and _counts(address) and (netdev, *_kind_of(address)) not in there:
            yield _("{netdev} has not been given its address yet").format(netdev=netdev)
        if address.text in unsure and not address.tentative:
            yield _("whether {address} is free is being asked yet").format(address=address.text)


def _counts(address: IpAddress) -> bool:
    return not address.comes_with_link and not address.temporary


def _kind_of(address: IpAddress) -> tuple[bool, bool]:
    """Of either family, lent or given for good: which one it is may change, and one lease follows another."""
    return ":" in address.address, address.dynamic
