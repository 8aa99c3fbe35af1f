# SPDX-License-Identifier: Apache-2.0
"""Random sequences of commands, deaths, failures, power cuts and other people's hands at the VMs.

After each, once what was cut off is recovered: every NIC that is there has an owner and only one, the host or one VM;
what is the host's is as it was in the beginning; no change is left unfinished.
"""

from __future__ import annotations

import collections
import functools
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from nicpass.engine.journal import read_changes, unsettled
from nicpass.engine.nic.store import NICS
from nicpass.host.doors.files import Files
from nicpass.hypervisor.libvirt.guard import RECORD
from nicpass.hypervisor.libvirt.hostdevs import parse_devices
from nicpass.model.address import derive_vf_mac
from nicpass.model.errors import ExitCode
from nicpass.model.guard import HOOK
from nicpass.model.request import AttachRequest, DetachRequest, UndoRequest, VfRequest
from tests.support.simulation.boot import reboot
from tests.support.simulation.clock import Clock
from tests.support.simulation.effects import Death, Effects, Fault
from tests.support.simulation.hardware import CARDS, GUESTS, NIC, PF, VFS, fresh_link, fresh_vf, simulated_tree
from tests.support.simulation.host import LAST, SimulatedHost, change, recover_all
from tests.support.simulation.kernel import Kernel
from tests.support.simulation.libvirt import Daemon, SimulatedLibvirtError
from tests.support.simulation.scenes import ALLOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.model.network import IpAddress, Link, Route
    from nicpass.model.request import Request
    from tests.support.simulation.contents import Raw
    from tests.support.simulation.host import Machine, Outcome

pytestmark = pytest.mark.spawns

VMS = tuple(guest.name for guest in GUESTS)
UUIDS = {guest.name: guest.uuid for guest in GUESTS}
PF_MAC = fresh_link(PF).mac or ""
ERRORS = ("EBUSY", "EIO", "ENODEV", "ENOSPC", "hangs", "late", "probe fails")

deaths = st.builds(Death, st.integers(0, 20), st.sampled_from(("before", "middle", "after")))
faults = st.builds(Fault, st.integers(0, 20), st.sampled_from(ERRORS), st.booleans(), st.booleans())
fates: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.builds(lambda death: {"death": death}, deaths),
    st.builds(lambda fault: {"faults": (fault,)}, faults),
)


class Hosts(RuleBasedStateMachine):
    """One host, which every sequence begins anew."""

    seen: ClassVar[collections.Counter[str]]
    folder: ClassVar[Path]
    first: ClassVar[Raw]
    """The host before anything was done to it."""

    @initialize()
    def begin(self) -> None:
        self.host = SimulatedHost(self.folder, simulated_tree())
        self.host.put_back(self.first)
        self.boots = 0
        self.owners: dict[str, list[str]] = {NIC: [], PF: []}
        links, addresses, routes = Kernel(self.host.base, Clock(), Effects()).interfaces.tables()
        self.network = _of_lan0(*links, *addresses, *routes)

    @rule(data=st.data(), vm=st.sampled_from(VMS), start=st.booleans(), fate=fates, wait=st.booleans())
    def attach(self, data: st.DataObject, vm: str, start: bool, fate: dict[str, Any], wait: bool) -> None:
        nic = data.draw(st.sampled_from([address for address in self.owners if address != PF]))
        request = AttachRequest(vm=vm, nic=nic, start=start, allow=ALLOW)
        self.run(functools.partial(change, request=request), fate, wait=wait)

    @precondition(lambda self: any(self.owners.values()))
    @rule(data=st.data(), stop=st.booleans(), fate=fates, wait=st.booleans())
    def detach(self, data: st.DataObject, stop: bool, fate: dict[str, Any], wait: bool) -> None:
        nic = data.draw(st.sampled_from([address for address, owners in self.owners.items() if owners]))
        request = DetachRequest(vm=self.owners[nic][0], nic=nic, stop=stop)
        self.run(functools.partial(change, request=request), fate, wait=wait)

    @rule(count=st.sampled_from((0, 2, 4)), fate=fates, wait=st.booleans())
    def vf(self, count: int, fate: dict[str, Any], wait: bool) -> None:
        self.run(functools.partial(change, request=VfRequest(pf=PF, count=count)), fate, wait=wait)

    @rule(vm=st.sampled_from(VMS), nic=st.sampled_from((PF, VFS[3], "eth9")), give=st.booleans())
    def ask_what_cannot_be(self, vm: str, nic: str, give: bool) -> None:
        """A PF with VFs, a VF that may not be there, what is not this VM's: whatever is answered, nothing is broken."""
        request: Request = AttachRequest(vm=vm, nic=nic) if give else DetachRequest(vm=vm, nic=nic)
        self.run(functools.partial(change, request=request), {}, wait=True)

    @rule(stop=st.booleans(), fate=fates, wait=st.booleans())
    def undo(self, stop: bool, fate: dict[str, Any], wait: bool) -> None:
        request = UndoRequest(change=LAST, stop=stop, allow=ALLOW)
        self.run(functools.partial(change, request=request), fate, wait=wait)

    @rule(vm=st.sampled_from(VMS))
    def somebody_starts(self, vm: str) -> None:
        self.other_hands(lambda machine: machine.daemon.start(UUIDS[vm]))

    @rule(vm=st.sampled_from(VMS))
    def somebody_stops(self, vm: str) -> None:
        self.other_hands(lambda machine: machine.daemon.stop(UUIDS[vm]))

    @rule(data=st.data(), vm=st.sampled_from(VMS), death=deaths)
    def power_cut(self, data: st.DataObject, vm: str, death: Death) -> None:
        """In the middle of giving a NIC, or of taking it back."""
        nic = data.draw(st.sampled_from(list(self.owners)))
        request: Request = AttachRequest(vm=vm, nic=nic, start=True, allow=ALLOW)
        if self.owners[nic]:
            request = DetachRequest(vm=self.owners[nic][0], nic=nic, stop=True)
        self.host.run(functools.partial(change, request=request), death=death)
        self.seen["power cut"] += 1
        self.boots += 1
        reboot(self.host, self.first, self.boots)
        self.recover()
        self.check()

    def other_hands(self, act: Callable[[Machine], None]) -> None:
        def try_to(machine: Machine) -> None:
            try:
                act(machine)
            except SimulatedLibvirtError:  # libvirt or the guard says no
                self.seen["no by libvirt"] += 1

        assert self.host.run(try_to).exit_code == ExitCode.DONE
        self.host.settle()
        self.recover()
        self.check()

    def run(self, act: Callable[[Machine], None], fate: dict[str, Any], *, wait: bool) -> None:
        outcome = self.host.run(act, **fate)
        self.seen[f"{'killed' if outcome.exit_code is None else f'exit code {outcome.exit_code}'}"] += 1
        if outcome.exit_code == ExitCode.NEEDS_PERSON:
            (fault,) = fate["faults"]
            assert fault.lasting, f"a person is needed, though it had passed: {outcome}"
        if wait:
            self.host.settle()
        self.recover()
        self.check()

    def recover(self) -> None:
        """What is left then waits for a VM to be stopped that somebody has started."""
        outcome = self.host.run(recover_all)
        assert outcome.exit_code == ExitCode.DONE, outcome
        for settled in outcome.settled:
            self.seen[f"recovered: {settled.direction}"] += 1
            assert settled.exit_code == ExitCode.DONE or self.waits_for_vm(outcome), outcome
        self.host.settle()

    def waits_for_vm(self, outcome: Outcome) -> bool:
        return bool(self.daemon().running) and all("start" in settled.sentence for settled in outcome.settled)

    def daemon(self) -> Daemon:
        kernel = Kernel(self.host.base, Clock(), Effects())
        return Daemon(self.host.base, kernel, Effects(), None)  # type: ignore[arg-type]  # nothing is started by it

    def check(self) -> None:
        files = Files(str(self.host.base / "root"))
        if left := unsettled(read_changes(files)):
            assert self.daemon().running, f"nothing is in the way of recovering {left}"
            return
        defined = {
            path.stem: [device.address for device in parse_devices(path.read_text())]
            for path in self.daemon().definitions().values()
        }
        running = {uuid: parse_devices(machine.xml) for uuid, machine in self.daemon().running.items()}
        kept = {name.removesuffix(".json") for name in files.list_directory(NICS) or () if name.endswith(".json")}  # type: ignore[union-attr]
        assert (files.exists(RECORD), files.exists(HOOK)) == (bool(kept), bool(kept)), f"the guard of {kept}"
        kernel = Kernel(self.host.base, Clock(), Effects())
        present = (NIC, PF, *kernel.vfs_of(PF))
        self.owners = {nic: [name for name, nics in defined.items() if nic in nics] for nic in present}
        for address, owners in self.owners.items():
            holders = [uuid for uuid, devices in running.items() if address in {device.address for device in devices}]
            assert len(owners) <= 1, f"{address} has {owners}"
            assert len(holders) <= 1, f"{address} is in {holders}"
            assert (address in kept) == bool(owners), f"{address}: {owners}, and kept is {kept}"
            if holders:
                assert owners, f"{address} is in a VM that runs and in no definition"
                assert kernel.driver_of(address) == "vfio-pci"
                continue
            # VFs are made for VMs: no driver of the host has them.
            driver = CARDS[address].driver if address not in VFS else None
            assert kernel.driver_of(address) == driver, f"{address} is nobody's"
            assert (kernel.interfaces.find(CARDS[address].netdevs[0]) is None) == (driver is None)
            if address in VFS and not owners:
                settings, fresh = kernel.vf_settings(address), fresh_vf(VFS.index(address))
                assert settings.mac in (fresh.mac, derive_vf_mac(PF_MAC, fresh.vf_index))
                assert msgspec.structs.replace(settings, mac=fresh.mac) == fresh
        if not self.owners[NIC]:
            self.check_network(kernel)

    def check_network(self, kernel: Kernel) -> None:
        """All that the host had on `lan0` in the beginning, and nothing else."""
        links, addresses, routes = kernel.interfaces.tables()
        assert _of_lan0(*links, *addresses, *routes) == self.network


def _of_lan0(*items: Link | IpAddress | Route) -> list[str]:
    return sorted(str(item) for item in items if "lan0" in (getattr(item, "netdev", ""), getattr(item, "name", "")))


def run_sequences(examples: int, steps: int) -> None:
    """Random sequences, and what was seen in them."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    Hosts.seen, Hosts.folder = collections.Counter(), folder
    Hosts.first = SimulatedHost(folder, simulated_tree()).raw()
    try:
        chosen = settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=(Phase.explicit, Phase.generate),  # a failing sequence is told as it was: shrinking takes minutes
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(Hosts, settings=chosen)
    finally:
        shutil.rmtree(folder)
        print(f"{examples} sequences of up to {steps}: {dict(Hosts.seen)}")
    assert Hosts.seen["killed"]
    assert Hosts.seen["power cut"]


def test_sequences() -> None:
    run_sequences(40, 12)


@pytest.mark.full
def test_many_long_sequences() -> None:
    run_sequences(400, 25)
