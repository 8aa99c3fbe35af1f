# SPDX-License-Identifier: Apache-2.0
"""The steps that change the host itself: a NIC comes back, VFs are made and removed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from nicpass.checks.lookup.index import HostIndex
from nicpass.engine.admission import forget_nic_of_start
from nicpass.engine.attempts import Attempts
from nicpass.engine.handler import Handler, Handlers, wait_until
from nicpass.engine.nic.give_back import (
    restore_addresses,
    restore_driver,
    restore_link,
    restore_routes,
    restore_sysctls,
    restore_uppers,
    restore_vfs,
)
from nicpass.engine.nic.interface import Interface
from nicpass.engine.nic.managers import ask_managers, shell_lines, without_managed
from nicpass.engine.nic.store import KeptNic, forget_nic_state, is_kept, keep_nic, read_nic_state
from nicpass.engine.vf.errors import explain_refusal
from nicpass.engine.vf.rebinding import rebind_vfs
from nicpass.engine.vf.terms import lacks_only_derived, learns_at_binding, set_vfs, stale_vfs, verify_vfs
from nicpass.engine.vf.unsupported import keep_unsupported
from nicpass.host.network.interfaces import read_network
from nicpass.host.network.link_settings import with_settings
from nicpass.host.pci.functions import DEVICES, read_function
from nicpass.host.use.holders import find_vfio_user
from nicpass.model.errors import NeedsPersonError, NicpassError, NotSupportedError, StepError
from nicpass.model.fact import Unknown, known
from nicpass.model.host import Host
from nicpass.model.language import _
from nicpass.model.plan import GiveBackNic, SetNumvfs
from nicpass.planner.nic_state.compare import differences
from nicpass.planner.nic_state.elsewhere import find_reachable
from nicpass.planner.nic_state.observe import observe_state
from nicpass.planner.nic_state.whole import why_hollow

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from nicpass.host.doors.files import Files
    from nicpass.host.doors.processes import Processes
    from nicpass.model.address import Address
    from nicpass.model.network import Link
    from nicpass.model.pci import PciFunction
    from nicpass.model.plan import NicState
    from nicpass.planner.nic_state.elsewhere import Reachable

    OpenInterface: TypeAlias = Callable[[str], Interface]

_BIND_SECONDS = 20.0
"""How long a probe may take; drivers that load firmware need several seconds."""
_PROBE_SECONDS = 6.0
"""How long a VF's probe may take before it is tried once more."""
_NETDEV_SECONDS = 20.0
_SETTLE_SECONDS = 20.0
"""The time for carrier, duplicate address detection (RFC 4862: 1 s) and what a manager puts back by itself."""
_NUMVFS_SECONDS = 120.0
"""Drivers take up to half a second a VF."""


def host_handlers(files: Files, processes: Processes, interface: OpenInterface | None = None) -> Handlers:
    """The handlers of this file's steps; `interface` opens the netlink writer of one interface, by its name."""
    steps = HostSteps(files, processes, interface or Interface)
    return {
        GiveBackNic: Handler(steps.apply_give_back, steps.verify_give_back),
        SetNumvfs: Handler(steps.apply_numvfs, steps.verify_numvfs),
    }


def read_state(files: Files, address: Address) -> NicState:
    """The state of one NIC, what it is to the host at this moment, read anew."""
    function = read_function(files, address)
    pf = (read_function(files, function.physfn),) if known(function.physfn) else ()
    network = with_settings(read_network(files), files, function.netdevs)
    host = Host(pci=(function, *pf), network=network)
    return observe_state(function, HostIndex(host))


class HostSteps:
    """The apply and verify of the host's steps, with three doors: files, processes, and netlink for writing."""

    def __init__(self, files: Files, processes: Processes, interface: OpenInterface = Interface) -> None:
        self.files = files
        self.processes = processes
        self.open_interface = interface

    def apply_give_back(self, step: GiveBackNic) -> None:
        """Give the NIC back; raises NeedsPersonError, with every field that differs, when it is not what it was."""
        if step.after_boot or step.gone:
            self._let_record_go(step)
            return
        try:
            self.restore(step.state)
        except (NicpassError, OSError) as error:
            reason = error.sentence if isinstance(error, NicpassError) else f"{error.strerror or error}."
            raise _not_as_before(step.state, read_state(self.files, step.address), reason) from error
        self._let_record_go(step)

    def _let_record_go(self, step: GiveBackNic) -> None:
        """Forget the record; one that stays says that the NIC is in, and so does the mark of its VM's start."""
        if not step.keeps:
            forget_nic_state(self.files, step.address)
            return
        if step.owner is not None:
            forget_nic_of_start(self.files, step.owner.uuid, step.address)
        keep_nic(self.files, KeptNic(state=step.state, owner=step.owner))

    def verify_give_back(self, step: GiveBackNic) -> None:
        now = read_state(self.files, step.address)
        if not (step.after_boot or step.gone) and differences(step.state, now):
            raise _not_as_before(step.state, now, "")
        if step.keeps and not is_kept(self.files, KeptNic(state=step.state, owner=step.owner)):
            raise StepError(_("The record of {address} says still that it is out.").format(address=step.address))
        if not step.keeps and read_nic_state(self.files, step.address) is not None:
            raise StepError(_("The record of what {address} was is still there.").format(address=step.address))

    def restore(self, state: NicState) -> None:
        """Make the NIC what it was, and verify it; a setting that is so already is left alone.

        So is what another interface has by now: it would be taken from there, or be in two places.

        Raises:
            NicpassError, OSError: something of the NIC's state could not be brought back; or the record is less than
                what the NIC is by now, and then nothing is done (law 10).
        """
        hollow = why_hollow(state, read_function(self.files, state.address).driver)
        if hollow is not None:
            raise StepError(hollow)
        attempts = Attempts()
        # A VF's driver asks for its MAC when it is bound.
        asks_anew = state.vf is not None and self._restore_vfs_of(self._find_reachable(state).state, attempts)
        if asks_anew or not self._wait_for_driver(state, seconds=0):
            self._bind(state.address, state.driver)
        if not self._wait_for_driver(state, seconds=_BIND_SECONDS):
            raise StepError(
                _("{address} did not come back on {driver}.").format(
                    address=state.address, driver=state.driver or _("no driver")
                )
            )
        if state.links:
            self._wait_for_links(state)
        reachable = self._find_reachable(state)
        if state.links:
            self._restore_links(reachable.state, attempts)
        if state.numvfs:
            with attempts:
                self._remake_vfs(state)

        moved = StepError(_("{moved}.").format(moved="; ".join(reachable.moved)))
        attempts.refusals += [moved] if reachable.moved else []
        self._wait_until_as_before(reachable.state, attempts)
        if reachable.moved:
            raise moved

    def _wait_until_as_before(self, state: NicState, attempts: Attempts) -> None:
        """Wait until the NIC is what it was; then what the kernel refused on the way is of no account."""

        def is_as_before() -> bool:
            if not differences(state, read_state(self.files, state.address)):
                return True
            restore_sysctls(self.files, state)
            return False

        if state.managers:
            try:
                ask_managers(self.processes, state, is_as_before)
            except StepError:
                attempts.raise_refusals()
                raise
        elif not wait_until(is_as_before, _SETTLE_SECONDS, 0.3):
            attempts.raise_refusals()
            raise StepError(_("It did not settle within {seconds:g} s.").format(seconds=_SETTLE_SECONDS))

    def _find_reachable(self, state: NicState) -> Reachable:
        """What of the state can be put back, and what is elsewhere by now."""
        return find_reachable(state, read_state(self.files, state.address), read_network(self.files))

    def _wait_for_driver(self, state: NicState, seconds: float) -> bool:
        return wait_until(lambda: read_function(self.files, state.address).driver == state.driver, seconds)

    def _bind(self, address: Address, driver: str | None) -> None:
        """Bind this device alone, by its address (law 1). Source: sysfs-bus-pci, `driver_override`, `drivers_probe`."""
        function = read_function(self.files, address)
        folder = f"{DEVICES}/{address}"
        if known(function.driver_override) and function.driver_override != driver:
            self._write(f"{folder}/driver_override", "\n")
        if known(function.driver):
            self._unbind(function)
        if driver is not None:
            if not self.files.exists(f"/sys/bus/pci/drivers/{driver}"):
                self.processes.run(["modprobe", driver], timeout=_BIND_SECONDS)
            self._write("/sys/bus/pci/drivers_probe", address)

    def _write(self, path: str, value: str) -> None:
        """Write to sysfs by a child that can be left behind: the kernel holds the writer during a driver's probe."""
        done = self.processes.run(["tee", self.files.path(path)], stdin=value, timeout=_BIND_SECONDS)
        if done.exit_code != 0:
            raise StepError(_("The kernel refused: {reason}{where}.").format(reason=done.error, where=f": {path}"))

    def _unbind(self, function: PciFunction) -> None:
        """Unbind a device that no program has open: the kernel would wait for that program in this write."""
        holder = find_vfio_user(self.files, function.address, function.iommu_group)
        if isinstance(holder, Unknown):
            raise StepError(
                _("{address} is on {driver}, and whether a process has it open is not known: {reason}.").format(
                    address=function.address, driver=function.driver, reason=holder.unknown
                )
            )
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

    def _wait_for_links(self, state: NicState) -> None:
        """Wait until the card has its interfaces, under the names that udev gives them; it must be the same card."""
        self.settle()
        for position, link in enumerate(state.links):
            now = self._wait_for_netdev(state, position)
            if _is_another_card(state, link, now):
                raise StepError(
                    _("Another card stands at {address} now: its MAC is {mac}.").format(
                        address=state.address, mac=now.permanent_mac
                    )
                )

    def _restore_links(self, state: NicState, attempts: Attempts) -> None:
        for position, link in enumerate(state.links):
            now = self._wait_for_netdev(state, position)
            restore_link(self.files, self.open_interface, link, now, attempts)

        def read() -> NicState:
            return read_state(self.files, state.address)

        for link, now in zip(state.links, read().links, strict=False):
            restore_driver(self.open_interface, link, now, attempts)
        restore_uppers(self.open_interface, state, read(), attempts)
        own = without_managed(state)
        restore_addresses(self.open_interface, own, read, attempts)
        restore_routes(self.open_interface, own, read(), attempts)

    def _restore_vfs_of(self, state: NicState, attempts: Attempts) -> bool:
        """Restore what the PF enforces on this VF, which libvirt may have changed; whether its MAC was written."""
        physfn = read_function(self.files, state.address).physfn
        if not known(physfn) or state.vf is None:
            return False
        with attempts:
            pf, own_mac = read_state(self.files, physfn), state.links[0].mac if state.links else None
            return bool(restore_vfs(pf, (state.vf,), self.open_interface, attempts, own_mac))
        return False

    def _remake_vfs(self, state: NicState) -> None:
        """Make the VFs again that went with their PF; VFs that are there by now are somebody's, and stay."""
        if read_function(self.files, state.address).numvfs == 0 and state.numvfs is not None:
            vfs = tuple({vf.vf_index: vf for link in state.links for vf in link.vfs}.values())
            self.apply_numvfs(SetNumvfs(address=state.address, before=0, after=state.numvfs, after_vfs=vfs))

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

    def settle(self) -> None:
        """Wait until udev has given interfaces their names; earlier names are not the ones to compare."""
        self.processes.run(["udevadm", "settle", "--timeout=20"], timeout=30)

    def apply_numvfs(self, step: SetNumvfs) -> None:
        path = f"{DEVICES}/{step.address}/sriov_numvfs"
        self._write_autoprobe(step, first=True)
        if self.files.read_int(path) != step.after:
            # The kernel goes from one number to another only through none (pci-iov-howto.rst).
            for count in dict.fromkeys((0, step.after)):
                if self.files.read_int(path) != count:
                    self._write_numvfs(step.address, count)
            self.settle()
        self._write_autoprobe(step, first=False)
        self._restore_vfs(step)

    def _write_autoprobe(self, step: SetNumvfs, *, first: bool) -> None:
        """Say whether drivers take VFs (`sriov_drivers_autoprobe`): before they are made, or after they are gone."""
        path = f"{DEVICES}/{step.address}/sriov_drivers_autoprobe"
        if step.autoprobe is not None and first == bool(step.after) and self.files.read_int(path) != step.autoprobe:
            self._write(path, f"{step.autoprobe:d}")

    def _write_numvfs(self, address: Address, count: int) -> None:
        """Write sriov_numvfs by a child: the kernel may hang in this write for as long as a VF is in use."""
        path = self.files.path(f"{DEVICES}/{address}/sriov_numvfs")
        done = self.processes.run(["tee", path], stdin=str(count), timeout=_NUMVFS_SECONDS)
        if done.exit_code != 0:
            raise StepError(
                _("The kernel did not make the VFs of {address} ({count}): {error}.").format(
                    count=count, address=address, error=done.error
                ),
                explain_refusal(done.error),
            )

    def _restore_vfs(self, step: SetNumvfs) -> None:
        """Set what the PF is to enforce on the VFs. A VF's driver learns its MAC when it is bound."""
        written, attempts = set_vfs(lambda: read_state(self.files, step.address), step, self.open_interface)
        pf = read_function(self.files, step.address)
        late = stale_vfs(self.files, step, read_state(self.files, step.address))  # a run that was cut off wrote its MAC
        indices = HostIndex(Host(pci=(pf,))).vf_indices
        vfs = [vf for vf, (_pf, number) in indices.items() if number in written or vf in late]
        vfs = [vf for vf in vfs if learns_at_binding(read_function(self.files, vf), step)]
        if rebind_vfs(self.files, step.address, vfs, self._bind_anew, attempts) or written:
            self.settle()
        try:
            attempts.raise_refusals()
        except NotSupportedError as error:
            with contextlib.suppress(OSError):  # it only spares the next one a try
                keep_unsupported(self.files, pf, error.settings)
            if not lacks_only_derived(step, attempts):
                raise

    def _bind_anew(self, vf: Address, driver: str) -> None:
        """Let a VF's driver find it again; a probe that fails is tried once more."""
        self._bind(vf, driver)

        def is_back() -> bool:
            return read_function(self.files, vf).driver == driver

        if not wait_until(is_back, _PROBE_SECONDS):
            self._write("/sys/bus/pci/drivers_probe", vf)
            if not wait_until(is_back, _BIND_SECONDS):
                raise StepError(_("{address} did not come back on {driver}.").format(address=vf, driver=driver))

    def verify_numvfs(self, step: SetNumvfs) -> None:
        function = read_function(self.files, step.address)
        count = function.numvfs
        if count != step.after or len(function.virtfns) != step.after:
            raise StepError(
                _("The number of VFs of {address} is {count} ({links} links), not {after}.").format(
                    address=step.address, count=count, links=len(function.virtfns), after=step.after
                )
            )
        verify_vfs(self.files, step, function, read_state(self.files, step.address))


def _is_another_card(state: NicState, link: Link, now: Link) -> bool:
    """Whether the card is another one, by its burnt-in MAC. A VF has none: its MAC is what the PF has given it last."""
    known_macs = None not in (link.permanent_mac, now.permanent_mac)
    return state.vf is None and known_macs and link.permanent_mac != now.permanent_mac


def _not_as_before(before: NicState, now: NicState, reason: str) -> NeedsPersonError:
    fields = differences(before, now)
    listing = "; ".join(
        _("{field} was {before}, is {after}").format(field=field.field, before=field.before, after=field.after)
        for field in fields
    ) or _("nothing more")
    hint = _(
        "What it was is kept in /var/lib/nicpass/nics/{address}.json; dmesg | grep {address}. To have the NIC as it is "
        "now: nicpass recover --abandon {address}"
    )
    if before.managers:
        hint = _(
            "Its network manager is asked by: {commands}. To have the NIC as it is now: "
            "nicpass recover --abandon {address}"
        )
    return NeedsPersonError(
        _("{address} is not what it was before: {listing}. {reason}")
        .format(address=before.address, listing=listing, reason=reason)
        .strip(),
        hint.format(address=before.address, commands=" && ".join(shell_lines(before))),
    )
