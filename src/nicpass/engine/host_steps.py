# SPDX-License-Identifier: Apache-2.0
"""The steps that change the host itself: a NIC leaves, a NIC comes back, VFs are made and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.index import HostIndex
from nicpass.engine.handler import Handler, Handlers, wait_until
from nicpass.engine.interface import Interface
from nicpass.engine.store import forget_nic_state, keep_nic_state, read_nic_state
from nicpass.host.holders import find_vfio_user
from nicpass.host.network import read_network
from nicpass.host.pci import DEVICES, read_function
from nicpass.model.errors import NeedsPersonError, NicpassError, StepError
from nicpass.model.fact import known
from nicpass.model.host import Host
from nicpass.model.language import _
from nicpass.model.plan import GiveBackNic, SetNumvfs, TakeNic
from nicpass.planner.observe import differences, observe_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from nicpass.host.files import Files
    from nicpass.host.processes import Processes
    from nicpass.model.address import Address
    from nicpass.model.network import IpAddress, Link, Route
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import NicState

    OpenInterface: TypeAlias = Callable[[str], Interface]

_BIND_SECONDS = 20.0
"""How long a probe may take; drivers that load firmware need several seconds."""
_NETDEV_SECONDS = 20.0
_SETTLE_SECONDS = 20.0
"""For carrier, duplicate address detection (RFC 4862: 1 s) and what a manager puts back by itself."""
_NUMVFS_SECONDS = 120.0
"""Drivers take up to half a second a VF."""


def host_handlers(files: Files, processes: Processes, interface: OpenInterface | None = None) -> Handlers:
    """The handlers of this file's steps; `interface` opens the netlink writer of one interface, by its name."""
    steps = HostSteps(files, processes, interface or Interface)
    return {
        TakeNic: Handler(steps.apply_take, steps.verify_take),
        GiveBackNic: Handler(steps.apply_give_back, steps.verify_give_back),
        SetNumvfs: Handler(steps.apply_numvfs, steps.verify_numvfs),
    }


def read_state(files: Files, address: Address) -> NicState:
    """What one NIC is to the host at this moment, read anew."""
    function = read_function(files, address)
    pf = (read_function(files, function.physfn),) if known(function.physfn) else ()
    host = Host(pci=(function, *pf), network=read_network(files))
    return observe_state(function, HostIndex(host))


class HostSteps:
    """Handlers that share the three doors: files, processes, and netlink for writing."""

    def __init__(self, files: Files, processes: Processes, interface: OpenInterface) -> None:
        self.files = files
        self.processes = processes
        self.open_interface = interface

    def apply_take(self, step: TakeNic) -> None:
        keep_nic_state(self.files, step.state)

    def verify_take(self, step: TakeNic) -> None:
        if read_nic_state(self.files, step.address) != step.state:
            raise StepError(
                _("What {address} is to the host was not kept on disk as it was written.").format(address=step.address)
            )

    def apply_give_back(self, step: GiveBackNic) -> None:
        """Raises NeedsPersonError, with every field that differs, when the NIC is not what it was."""
        if step.after_boot:
            forget_nic_state(self.files, step.address)
            return
        try:
            self._restore(step.state)
        except (NicpassError, OSError) as error:
            reason = error.sentence if isinstance(error, NicpassError) else f"{error.strerror or error}."
            raise _not_as_before(step.state, read_state(self.files, step.address), reason) from error
        forget_nic_state(self.files, step.address)

    def verify_give_back(self, step: GiveBackNic) -> None:
        now = read_state(self.files, step.address)
        if not step.after_boot and differences(step.state, now):
            raise _not_as_before(step.state, now, "")
        if read_nic_state(self.files, step.address) is not None:
            raise StepError(_("The record of what {address} was is still there.").format(address=step.address))

    def _restore(self, state: NicState) -> None:
        if not self._wait_for_driver(state, seconds=0):
            self._bind(state.address, state.driver)
        if not self._wait_for_driver(state, seconds=_BIND_SECONDS):
            raise StepError(
                _("{address} did not come back on {driver}.").format(
                    address=state.address, driver=state.driver or _("no driver")
                )
            )
        if state.links:
            self._restore_links(state)
        if not wait_until(lambda: not differences(state, read_state(self.files, state.address)), _SETTLE_SECONDS, 0.3):
            raise StepError(_("It did not settle within {seconds:g} s.").format(seconds=_SETTLE_SECONDS))

    def _wait_for_driver(self, state: NicState, seconds: float) -> bool:
        return wait_until(lambda: read_function(self.files, state.address).driver == state.driver, seconds)

    def _bind(self, address: Address, driver: str | None) -> None:
        """Law 1: this device alone, by its address. Source: sysfs-bus-pci, `driver_override`, `drivers_probe`."""
        function = read_function(self.files, address)
        folder = f"{DEVICES}/{address}"
        if known(function.driver_override) and function.driver_override != driver:
            self.files.write_kernel(f"{folder}/driver_override", "\n")
        if known(function.driver):
            self._unbind(function)
        if driver is not None:
            if not self.files.exists(f"/sys/bus/pci/drivers/{driver}"):
                self.processes.run(["modprobe", driver], timeout=_BIND_SECONDS)
            self.files.write_kernel("/sys/bus/pci/drivers_probe", address)

    def _unbind(self, function: PciFunction) -> None:
        """By a child: while a program has the device open, the kernel waits for it in this write."""
        holder = find_vfio_user(self.files, function.iommu_group)
        if holder is not None:
            raise StepError(
                _("{address} is on {driver}, and process {holder} has it open.").format(
                    address=function.address, driver=function.driver, holder=holder
                )
            )
        path = self.files.path(f"{DEVICES}/{function.address}/driver/unbind")
        done = self.processes.run(["tee", path], stdin=function.address, timeout=_BIND_SECONDS)
        if done.exit_code != 0:
            raise StepError(
                _("{driver} does not let {address} go: {error}.").format(
                    driver=function.driver, address=function.address, error=done.error
                )
            )

    def _restore_links(self, state: NicState) -> None:
        self._settle()
        for position, link in enumerate(state.links):
            now = self._wait_for_netdev(state, position)
            if _is_another_card(state, link, now):
                raise StepError(
                    _("Another card stands at {address} now: its MAC is {mac}.").format(
                        address=state.address, mac=now.permanent_mac
                    )
                )
            with self.open_interface(now.name) as interface:
                interface.restore(link, now)
                for address in (a for a in state.addresses if a.netdev == link.name and not _comes_by_itself(a)):
                    interface.add_address(address)
                routes = [r for r in state.routes if r.netdev == link.name and not _follows(r)]
                # A gateway is valid only once the route that reaches it is there.
                for route in sorted(routes, key=lambda route: route.gateway is not None):
                    interface.add_route(route)

    def _wait_for_netdev(self, state: NicState, position: int) -> Link:
        """The function's first, second ... interface as it is now, whatever it is called as yet."""

        def is_there() -> bool:
            return len(read_state(self.files, state.address).links) > position

        if not wait_until(is_there, _NETDEV_SECONDS):
            lost = state.links[position].name
            raise StepError(
                _("{address} is on {driver} and made no interface in place of {lost}.").format(
                    address=state.address, driver=state.driver, lost=lost
                )
            )
        return read_state(self.files, state.address).links[position]

    def _settle(self) -> None:
        """Names are given by udev; before it has, they are not the ones to compare."""
        self.processes.run(["udevadm", "settle", "--timeout=20"], timeout=30)

    def apply_numvfs(self, step: SetNumvfs) -> None:
        """By a child: the kernel may hang in this write for as long as a VF is in use."""
        path = f"{DEVICES}/{step.address}/sriov_numvfs"
        if self.files.read_int(path) == step.after:
            return
        # The kernel goes from one number to another only through none (pci-iov-howto.rst).
        for count in dict.fromkeys((0, step.after)):
            if self.files.read_int(path) != count:
                done = self.processes.run(["tee", self.files.path(path)], stdin=str(count), timeout=_NUMVFS_SECONDS)
                if done.exit_code != 0:
                    raise StepError(
                        _("The kernel did not make {count} VFs of {address}: {error}.").format(
                            count=count, address=step.address, error=done.error
                        )
                    )
        self._settle()

    def verify_numvfs(self, step: SetNumvfs) -> None:
        function = read_function(self.files, step.address)
        count = function.numvfs
        if count != step.after or len(function.virtfns) != step.after:
            raise StepError(
                _("{address} has {count} VFs ({links} links), not {after}.").format(
                    address=step.address, count=count, links=len(function.virtfns), after=step.after
                )
            )


_SELF_MADE = frozenset({"kernel", "ra", "dhcp"})
"""Routes that follow an address, a router's word or a lease; written by hand they would outlive it."""


def _follows(route: Route) -> bool:
    """Also a route of several hops: written from one NIC's side it would replace the hops of the others."""
    return route.protocol in _SELF_MADE or route.multipath


def _is_another_card(state: NicState, link: Link, now: Link) -> bool:
    """By the MAC that is burnt in. That of a VF is no such thing: it is what the PF has given it last."""
    known_macs = None not in (link.permanent_mac, now.permanent_mac)
    return state.vf is None and known_macs and link.permanent_mac != now.permanent_mac


def _comes_by_itself(address: IpAddress) -> bool:
    return address.dynamic or address.comes_with_link


def _not_as_before(before: NicState, now: NicState, reason: str) -> NeedsPersonError:
    fields = differences(before, now)
    listing = "; ".join(
        _("{field} was {before}, is {after}").format(field=field.field, before=field.before, after=field.after)
        for field in fields
    ) or _("nothing more")
    return NeedsPersonError(
        _("{address} is not what it was before: {listing}. {reason}")
        .format(address=before.address, listing=listing, reason=reason)
        .strip(),
        _("What it was is kept in /var/lib/nicpass/nics/{address}.json; dmesg | grep {address}").format(
            address=before.address
        ),
    )
