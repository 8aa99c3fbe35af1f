# SPDX-License-Identifier: Apache-2.0
"""The steps that change the host, on a tree whose kernel is played: unbinding and probing move the links."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from pathlib import Path

import msgspec
import pytest

from nicpass.engine import host_steps
from nicpass.engine.handler import Handler
from nicpass.engine.host_steps import host_handlers, read_state
from nicpass.engine.nic import managers
from nicpass.engine.nic.store import KeptNic, keep_nic, keep_nic_state, read_kept_nic, read_nic_state
from nicpass.engine.nic.take import take_handlers
from nicpass.engine.vf import terms as vf_terms
from nicpass.engine.vf.unsupported import read_unsupported
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Completed, Processes
from nicpass.host.network.link_settings import sysctl_path
from nicpass.model.address import Address
from nicpass.model.errors import NeedsPersonError, NotSupportedError, StepError
from nicpass.model.fact import Unknown
from nicpass.model.inverse import invert_step
from nicpass.model.network import NO_MAC, IpAddress, Link, Network, Route, VfSettings
from nicpass.model.plan import GiveBackNic, NicOwner, NicState, SetNumvfs, TakeNic
from nicpass.model.vf import Unsupported
from tests.support.hosts import address, link, network, nic, pf_with_vfs, ready_host, route

NIC = Address("0000:01:00.0")
FOLDER = f"/sys/bus/pci/devices/{NIC}"


class FakeKernel(Files):
    """Answers writes to `unbind`, `drivers_probe` and `driver_override` as the PCI core does."""

    native = "ixgbe"
    last: FakeKernel
    """The one that a process of this test talks to."""

    def __init__(self, root: Path) -> None:
        FakeKernel.last = self
        super().__init__(str(root))
        self.folder = (root / FOLDER[1:]).resolve()
        self.writes: list[tuple[str, str]] = []
        self.answer: dict[str, OSError] = {}
        drivers = root / "sys/bus/pci/drivers"
        for driver in ("vfio-pci", self.native):
            (drivers / driver).mkdir(parents=True, exist_ok=True)

    def write_kernel(self, path: str, value: str) -> None:
        name = path.rsplit("/", 1)[-1]
        self.writes.append((name, value.strip()))
        if name in self.answer:
            raise self.answer[name]
        if name == "driver_override":
            (self.folder / name).write_text(value.strip() or "(null)")
        elif name == "unbind":
            self.bind(None)
        elif name == "drivers_probe":
            override = (self.folder / "driver_override").read_text().strip()
            self.bind(self.native if override == "(null)" else override)

    def bind(self, driver: str | None) -> None:
        (self.folder / "driver").unlink(missing_ok=True)
        uevent = self.folder / "uevent"
        lines = [line for line in uevent.read_text().splitlines() if not line.startswith("DRIVER=")]
        if driver is not None:
            (self.folder / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")
            lines.insert(0, f"DRIVER={driver}")
        uevent.write_text("\n".join(lines) + "\n")


class FakeProcesses(Processes):
    """Remembers what was run; `tee` makes VFs as the kernel would, unless it is to fail."""

    def __init__(self, error: str = "") -> None:
        self.ran: list[tuple[list[str], str]] = []
        self.error = error

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        assert timeout > 0
        self.ran.append((argv, stdin))
        if argv[0] == "tee" and argv[1].endswith(("/unbind", "/drivers_probe", "/driver_override")):
            return self._write(argv[1], stdin)
        if argv[0] == "tee" and not self.error:
            numvfs = Path(argv[1])
            numvfs.write_text(stdin)
            for old in numvfs.parent.glob("virtfn*"):
                old.unlink()
            for index in range(int(stdin)):
                (numvfs.parent / f"virtfn{index}").symlink_to(f"../0000:01:10.{index}")
        return Completed(1 if self.error else 0, "", self.error)

    def _write(self, path: str, value: str) -> Completed:
        kernel = FakeKernel.last
        try:
            kernel.write_kernel(path.removeprefix(kernel.root), value)
        except OSError as error:
            return Completed(1, "", str(error.strerror))
        return Completed(0, "", "")


class FakeInterface:
    """The interface's settings go into the tree's netlink.json, as the kernel's would into its tables."""

    root: Path

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = self.root / "netlink.json"

    def __enter__(self) -> FakeInterface:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _change(self, link: Link | None = None, more: tuple[IpAddress | Route, ...] = ()) -> None:
        old = msgspec.json.decode(self.path.read_bytes(), type=Network)
        links = tuple(link if link and each.name == link.name else each for each in old.links)
        items = (*links, *(old.addresses or ()), *(old.routes or ()), *more)  # type: ignore[misc]
        self.path.write_bytes(msgspec.json.encode(network(*items)))

    def restore(self, link: Link, now: Link) -> None:
        assert now.name
        self._change(link)

    def add_address(self, address: IpAddress) -> None:
        self._change(more=(address,))

    def add_route(self, route: Route) -> None:
        self._change(more=(route,))

    def set_vf(self, vf: VfSettings, now: VfSettings) -> None:
        """Of the PF whose interface this is."""
        assert vf.vf_index == now.vf_index
        FakeKernel.last.writes.append((f"vf {vf.vf_index}", vf.mac))
        old = msgspec.json.decode(self.path.read_bytes(), type=Network)
        links = (
            msgspec.structs.replace(
                each, vfs=tuple(vf if known.vf_index == vf.vf_index else known for known in each.vfs)
            )
            if each.name == self.name
            else each
            for each in old.links
        )
        self.path.write_bytes(msgspec.json.encode(network(*links, *(old.addresses or ()), *(old.routes or ()))))  # type: ignore[misc]


class Sysctls(FakeKernel):
    """Takes what is written below /proc/sys, of `eth1`."""

    def put(self, name: str, value: str) -> None:
        path = Path(self.path(sysctl_path("eth1", name)))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")

    def write_kernel(self, path: str, value: str) -> None:
        super().write_kernel(path, value)
        assert Path(self.path(path)).exists()
        Path(self.path(path)).write_text(f"{value}\n")


class VfKernel(FakeKernel):
    """A VF's side of the kernel."""

    native = "ixgbevf"

    def __init__(self, root: Path, address: Address) -> None:
        super().__init__(root)
        self.folder = (root / f"sys/bus/pci/devices/{address}").resolve()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("_BIND_SECONDS", "_PROBE_SECONDS", "_NETDEV_SECONDS", "_SETTLE_SECONDS"):
        monkeypatch.setattr(host_steps, name, 0.001)
    for name in ("_BUSY_SECONDS", "_LEARNING_SECONDS"):
        monkeypatch.setattr(vf_terms, name, 0.001)
    monkeypatch.setattr(FakeInterface, "root", tmp_path, raising=False)
    monkeypatch.setattr(host_steps, "Interface", FakeInterface)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """A NIC without an interface, on its driver."""
    ready_host(nic(NIC, totalvfs=8)).write(tmp_path)
    return FakeKernel(tmp_path)


def handler_of(kind: type, files: Files, processes: Processes | None = None) -> Handler:
    return {**take_handlers(files), **host_handlers(files, processes or FakeProcesses())}[kind]


def state_of(driver: str | None = "ixgbe") -> NicState:
    return NicState(address=NIC, driver=driver)


class TestTake:
    """The record that makes giving back possible."""

    def test_the_state_is_kept(self, kernel: FakeKernel) -> None:
        take = TakeNic(address=NIC, state=read_state(kernel, NIC))
        handler = handler_of(TakeNic, kernel)
        apply, verify = handler.apply, handler.verify
        apply(take)
        verify(take)
        assert read_nic_state(kernel, NIC) == take.state
        assert kernel.writes == []

    def test_a_record_that_is_not_what_was_written_is_seen(self, kernel: FakeKernel) -> None:
        keep_nic_state(kernel, state_of("igb"))
        with pytest.raises(StepError):
            handler_of(TakeNic, kernel).verify(TakeNic(address=NIC, state=state_of()))

    def test_what_the_guard_has_put_down_since_stays(self, kernel: FakeKernel) -> None:
        """Undoing a detach keeps it again, and the NIC may be out still: the guard owes it its state."""
        kept = KeptNic(state=state_of(), owner=NicOwner(domain="web", uuid="1"), away="boot", renewed=True)
        keep_nic(kernel, kept)
        handler_of(TakeNic, kernel).apply(TakeNic(address=NIC, state=kept.state, owner=kept.owner))
        assert read_kept_nic(kernel, NIC) == kept

    def test_a_damaged_record_is_written_anew(self, kernel: FakeKernel) -> None:
        kernel.write_atomic(f"/var/lib/nicpass/nics/{NIC}.json", b"{")
        handler = handler_of(TakeNic, kernel)
        apply, verify = handler.apply, handler.verify
        apply(TakeNic(address=NIC, state=state_of()))
        verify(TakeNic(address=NIC, state=state_of()))


class TestGiveBack:
    """The NIC is what it was, or the record stays and a person is told what differs."""

    def test_sysctls_are_put_back(self, tmp_path: Path) -> None:
        """By the name that the interface has; only those that differ, and no file is made that is not there."""
        ready_host(nic(NIC, "eth1")).write(tmp_path)
        kernel = Sysctls(tmp_path)
        for name, value in (("ipv4/conf/rp_filter", "2"), ("ipv6/conf/accept_ra", "0"), ("ipv4/conf/forwarding", "1")):
            kernel.put(name, value)
        step = GiveBackNic(address=NIC, state=read_state(kernel, NIC))
        kernel.put("ipv4/conf/rp_filter", "0")
        handler = handler_of(GiveBackNic, kernel)
        apply, verify = handler.apply, handler.verify
        with pytest.raises(NeedsPersonError, match=r"sysctls ipv4/conf/rp_filter was 2, is 0"):
            verify(step)
        apply(step)
        verify(step)
        assert kernel.writes == [("rp_filter", "2")]

    def test_a_sysctl_that_is_refused_keeps_nothing_else_back(self, tmp_path: Path) -> None:
        net = network(link("eth1"), address("eth1", "10.0.0.5/24"))
        ready_host(nic(NIC, "eth1"), net=net).write(tmp_path)
        kernel = Sysctls(tmp_path)
        kernel.put("ipv4/conf/rp_filter", "2")
        step = GiveBackNic(address=NIC, state=read_state(kernel, NIC))
        kernel.put("ipv4/conf/rp_filter", "0")
        (tmp_path / "netlink.json").write_bytes(msgspec.json.encode(network(link("eth1"))))
        kernel.answer["rp_filter"] = OSError(errno.EINVAL, "Invalid argument")
        with pytest.raises(NeedsPersonError, match="was 2, is 0") as caught:
            handler_of(GiveBackNic, kernel).apply(step)
        assert "Invalid argument" in caught.value.sentence
        assert read_state(kernel, NIC).addresses == step.state.addresses

    def test_what_the_pf_enforces_on_a_vf_comes_before_its_driver(self, tmp_path: Path) -> None:
        """Its driver asks for the MAC when it is bound."""
        pf, vf = pf_with_vfs("0000:01:00.0", "eth1", 1, totalvfs=8)
        vf_address = Address(vf.address)
        own = VfSettings(vf_index=0, mac="52:54:00:00:00:01", vlan=20, trust=True)
        net = network(link("eth1", vfs=(own,)), link("eth1v0"))
        ready_host(pf, vf, net=net).write(tmp_path)
        kernel = VfKernel(tmp_path, vf_address)
        step = GiveBackNic(address=vf_address, state=read_state(kernel, vf_address))
        assert step.state.vf == own
        changed = msgspec.structs.replace(own, mac="52:54:00:99:99:99", vlan=0)
        lost = network(link("eth1", vfs=(changed,)), link("eth1v0"))
        (tmp_path / "netlink.json").write_bytes(msgspec.json.encode(lost))
        handler = handler_of(GiveBackNic, kernel)
        apply, verify = handler.apply, handler.verify
        with pytest.raises(NeedsPersonError, match="VF was MAC 52:54:00:00:00:01, VLAN 20, trust on, is MAC"):
            verify(step)
        apply(step)
        verify(step)
        assert [name for name, _ in kernel.writes] == ["vf 0", "unbind", "drivers_probe"]

    @pytest.mark.parametrize("override", ["(null)", "vfio-pci"])
    def test_from_vfio_it_comes_back_to_its_driver(self, override: str, kernel: FakeKernel) -> None:
        kernel.bind("vfio-pci")
        (kernel.folder / "driver_override").write_text(override)
        keep_nic_state(kernel, state_of())
        step = GiveBackNic(address=NIC, state=state_of())
        handler = handler_of(GiveBackNic, kernel)
        apply, verify = handler.apply, handler.verify
        apply(step)
        verify(step)
        assert read_state(kernel, NIC).driver == "ixgbe"
        assert read_nic_state(kernel, NIC) is None
        names = [name for name, _ in kernel.writes]
        assert names == (["driver_override"] if override != "(null)" else []) + ["unbind", "drivers_probe"]
        assert {value for _, value in kernel.writes} <= {NIC, ""}, "law 1: this device alone, by its address"

    def test_a_nic_that_never_left_is_not_touched(self, kernel: FakeKernel) -> None:
        step = GiveBackNic(address=NIC, state=state_of())
        handler = handler_of(GiveBackNic, kernel)
        apply, verify = handler.apply, handler.verify
        for _ in range(2):
            apply(step)
            verify(step)
        assert kernel.writes == []

    def test_what_had_no_driver_has_none_again(self, kernel: FakeKernel) -> None:
        kernel.bind("vfio-pci")
        handler_of(GiveBackNic, kernel).apply(GiveBackNic(address=NIC, state=state_of(None)))
        assert read_state(kernel, NIC).driver is None

    def test_no_record_takes_a_driver_of_the_hosts_away(self, kernel: FakeKernel) -> None:
        """One that was made in the middle of a boot knows no driver; the host is not made worse, and it is said."""
        keep_nic_state(kernel, state_of(None))
        with pytest.raises(NeedsPersonError, match="ixgbe"):
            handler_of(GiveBackNic, kernel).apply(GiveBackNic(address=NIC, state=state_of(None)))
        assert kernel.writes == []
        assert read_state(kernel, NIC).driver == "ixgbe"

    def test_no_record_gives_a_name_back_that_udev_had_in_passing(self, tmp_path: Path) -> None:
        ready_host(nic(NIC, "eth1")).write(tmp_path)
        kernel = FakeKernel(tmp_path)
        state = NicState(address=NIC, driver="ixgbe", links=(link("rename3"),))
        with pytest.raises(StepError, match="rename3"):
            host_steps.HostSteps(kernel, FakeProcesses(), FakeInterface).restore(state)  # type: ignore[arg-type]
        assert [each.name for each in read_state(kernel, NIC).links] == ["eth1"]

    @pytest.mark.parametrize("where", ["unbind", "drivers_probe"])
    def test_when_the_kernel_refuses_the_record_stays(self, where: str, kernel: FakeKernel) -> None:
        kernel.bind("vfio-pci")
        keep_nic_state(kernel, state_of())
        kernel.answer[where] = OSError(errno.EBUSY, "Device or resource busy")
        with pytest.raises(NeedsPersonError) as caught:
            handler_of(GiveBackNic, kernel).apply(GiveBackNic(address=NIC, state=state_of()))
        assert "driver was ixgbe, is" in caught.value.sentence
        assert "Device or resource busy" in caught.value.sentence
        assert read_nic_state(kernel, NIC) == state_of()

    def test_when_another_driver_takes_it_the_record_stays(self, kernel: FakeKernel) -> None:
        kernel.bind("vfio-pci")
        kernel.native = "igb"
        keep_nic_state(kernel, state_of())
        with pytest.raises(NeedsPersonError, match="driver was ixgbe, is igb"):
            handler_of(GiveBackNic, kernel).apply(GiveBackNic(address=NIC, state=state_of()))
        assert read_nic_state(kernel, NIC) == state_of()

    @pytest.mark.parametrize("change", [{"after_boot": True}, {"gone": True}])
    def test_after_a_boot_or_without_its_card_only_the_record_is_let_go(
        self, change: dict[str, bool], kernel: FakeKernel
    ) -> None:
        kernel.bind("vfio-pci")
        keep_nic_state(kernel, state_of())
        step = msgspec.structs.replace(GiveBackNic(address=NIC, state=state_of()), **change)
        handler = handler_of(GiveBackNic, kernel)
        apply, verify = handler.apply, handler.verify
        with pytest.raises(StepError, match="is still there"):
            verify(step)
        apply(step)
        verify(step)
        assert kernel.writes == []
        assert read_nic_state(kernel, NIC) is None

    @pytest.mark.parametrize(
        ("holder", "words"),
        [
            (17, "vfio-pci, and process 17 has it open"),
            (Unknown("denied"), "whether a process has it open is not known"),
        ],
    )
    def test_a_device_that_a_program_has_open_is_not_taken_from_it(
        self, holder: object, words: str, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The kernel would wait for the program in that write."""
        kernel.bind("vfio-pci")
        monkeypatch.setattr(host_steps, "find_vfio_user", lambda *_: holder)
        with pytest.raises(NeedsPersonError, match=words):
            handler_of(GiveBackNic, kernel).apply(GiveBackNic(address=NIC, state=state_of()))
        assert "unbind" not in [name for name, _ in kernel.writes]

    def test_another_card_in_its_place_is_told_with_its_mac(self, tmp_path: Path) -> None:
        ready_host(nic(NIC, "eth1"), net=network(link("eth1", permanent_mac="52:54:00:00:00:09"))).write(tmp_path)
        kernel = FakeKernel(tmp_path)
        was = link("eth1", permanent_mac="52:54:00:00:00:01")
        words = f"Another card stands at {NIC} now: its MAC is 52:54:00:00:00:09"
        with pytest.raises(NeedsPersonError, match=words):
            handler_of(GiveBackNic, kernel).apply(
                GiveBackNic(address=NIC, state=msgspec.structs.replace(state_of(), links=(was,)))
            )

    def test_an_error_of_the_kernels_is_told_by_its_words(
        self, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(host_steps.HostSteps, "restore", fail)
        kernel.bind("vfio-pci")
        with pytest.raises(NeedsPersonError, match=r"is vfio-pci\. Input/output error\.$"):
            handler_of(GiveBackNic, kernel).apply(GiveBackNic(address=NIC, state=state_of()))

    def test_a_missing_driver_module_is_loaded(self, kernel: FakeKernel, tmp_path: Path) -> None:
        kernel.bind("vfio-pci")
        shutil.rmtree(tmp_path / "sys/bus/pci/drivers/ixgbe")
        processes = FakeProcesses()
        handler_of(GiveBackNic, kernel, processes).apply(GiveBackNic(address=NIC, state=state_of()))
        assert ["modprobe", "ixgbe"] in [argv for argv, _ in processes.ran]

    def test_addresses_and_routes_are_put_back_but_for_those_that_come_by_themselves(self, tmp_path: Path) -> None:
        items = (
            address("eth1", "10.0.0.5/24"),
            address("eth1", "fe80::1/64", scope="link"),
            route("eth1"),
            route("eth1", "10.0.0.0/24", None, protocol="kernel"),
        )
        before = link("eth1", mtu=9000)
        ready_host(nic(NIC, "eth1"), net=network(before, *items)).write(tmp_path)
        kernel = FakeKernel(tmp_path)
        step = GiveBackNic(address=NIC, state=read_state(kernel, NIC))
        by_itself = (items[1], items[3])
        lost = network(link("eth1", mtu=1500, up=False), *by_itself)
        (tmp_path / "netlink.json").write_bytes(msgspec.json.encode(lost))
        handler = handler_of(GiveBackNic, kernel)
        apply, verify = handler.apply, handler.verify
        apply(step)
        verify(step)
        assert read_state(kernel, NIC).links == (before,)

    def test_what_stays_different_is_told_and_the_record_kept(self, tmp_path: Path) -> None:
        """The hint says where the record is, so it has to be there."""
        ready_host(nic(NIC, "eth1"), net=network(link("eth1"))).write(tmp_path)
        kernel = FakeKernel(tmp_path)
        state = msgspec.structs.replace(
            read_state(kernel, NIC), addresses=(address("eth1", "10.0.0.9/24", dynamic=True),)
        )
        keep_nic_state(kernel, state)
        step = GiveBackNic(address=NIC, state=state)
        with pytest.raises(NeedsPersonError, match=r"addresses was 10\.0\.0\.9/24, is none"):
            handler_of(GiveBackNic, kernel).apply(step)
        assert read_nic_state(kernel, NIC) == state

    def test_an_interface_that_does_not_come_back_is_told(self, tmp_path: Path) -> None:
        ready_host(nic(NIC, "eth1")).write(tmp_path)
        kernel = FakeKernel(tmp_path)
        state = read_state(kernel, NIC)
        shutil.rmtree(kernel.folder / "net")
        with pytest.raises(NeedsPersonError, match="name was eth1, is none"):
            handler_of(GiveBackNic, kernel).apply(GiveBackNic(address=NIC, state=state))


class Networkctl(FakeProcesses):
    """systemd-networkd, asked to configure `eth1` anew: it gives it `items`."""

    def __init__(self, root: Path, *items: IpAddress | Route) -> None:
        super().__init__()
        self.path = root / "netlink.json"
        self.items = items

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        if argv[0] == "networkctl":
            old = msgspec.json.decode(self.path.read_bytes(), type=Network)
            self.path.write_bytes(msgspec.json.encode(network(*old.links, *self.items)))
        return super().run(argv, timeout=timeout, stdin=stdin)


class TestGiveBackToManager:
    """What a manager had configured is not written by us: it is asked, and what it does is compared."""

    ITEMS = (address("eth1", "10.0.0.5/24"), route("eth1", "10.9.0.0/16", protocol="static"))

    @pytest.fixture
    def state(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NicState:
        """Of an interface that systemd-networkd manages; on the host it has only its link yet, with another MTU."""
        monkeypatch.setattr(managers, "MANAGER_SECONDS", 1)
        monkeypatch.setattr(managers, "_LOOK_SECONDS", 0.001)
        ready_host(nic(NIC, "eth1"), net=network(link("eth1", mtu=9000), *self.ITEMS)).write(tmp_path)
        (tmp_path / "sys/class/net/eth1/ifindex").write_text("7\n")
        links = tmp_path / "run/systemd/netif/links"
        links.mkdir(parents=True)
        (links / "7").write_text("ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/a.network\n")
        state = read_state(FakeKernel(tmp_path), NIC)
        (tmp_path / "netlink.json").write_bytes(msgspec.json.encode(network(link("eth1"))))
        keep_nic_state(Files(str(tmp_path)), state)
        return state

    def test_it_is_asked_and_nothing_of_its_own_is_written(
        self, tmp_path: Path, state: NicState, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("add_address", "add_route"):
            monkeypatch.setattr(FakeInterface, name, lambda *_: pytest.fail("written by us"))
        kernel, networkctl = FakeKernel(tmp_path), Networkctl(tmp_path, *self.ITEMS)
        handler = handler_of(GiveBackNic, kernel, networkctl)
        apply, verify = handler.apply, handler.verify
        for _ in range(2):
            apply(GiveBackNic(address=NIC, state=state))
            verify(GiveBackNic(address=NIC, state=state))
        assert [argv for argv, _ in networkctl.ran if argv[0] == "networkctl"] == [
            ["networkctl", "reconfigure", "eth1"]
        ]
        assert read_state(kernel, NIC) == state

    def test_what_it_gives_instead_stays_and_is_told(
        self, tmp_path: Path, state: NicState, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(managers, "MANAGER_SECONDS", 0.05)
        kernel, networkctl = FakeKernel(tmp_path), Networkctl(tmp_path, address("eth1", "10.0.0.9/24"))
        with pytest.raises(NeedsPersonError, match=r"addresses was 10\.0\.0\.5/24, is 10\.0\.0\.9/24") as caught:
            handler_of(GiveBackNic, kernel, networkctl).apply(GiveBackNic(address=NIC, state=state))
        assert "networkctl reconfigure eth1" in caught.value.hint
        assert [each.text for each in read_state(kernel, NIC).addresses] == ["10.0.0.9/24"]
        assert read_nic_state(kernel, NIC) == state


class TestNumvfs:
    """Making and removing VFs, through none."""

    @staticmethod
    def counts(processes: FakeProcesses) -> list[str]:
        return [stdin for argv, stdin in processes.ran if argv[0] == "tee"]

    @pytest.mark.parametrize(
        ("present", "wanted", "written"),
        [(0, 4, ["4"]), (4, 0, ["0"]), (2, 4, ["0", "4"]), (4, 2, ["0", "2"]), (4, 4, []), (0, 0, [])],
    )
    def test_the_kernel_is_written_to_as_it_wants_it(
        self, present: int, wanted: int, written: list[str], kernel: FakeKernel
    ) -> None:
        """That are there already is nothing to do: writing 0 in between would destroy them."""
        FakeProcesses().run(["tee", kernel.path(f"{FOLDER}/sriov_numvfs")], timeout=1, stdin=str(present))
        processes = FakeProcesses()
        step = SetNumvfs(address=NIC, before=present, after=wanted)
        handler = handler_of(SetNumvfs, kernel, processes)
        apply, verify = handler.apply, handler.verify
        apply(step)
        verify(step)
        assert self.counts(processes) == written

    VFS = tuple(
        VfSettings(vf_index=number, mac=f"52:54:00:00:00:0{number}", vlan=number, trust=True) for number in range(2)
    )

    def test_what_the_first_ones_were_set_to_is_set_again(self, tmp_path: Path) -> None:
        """The kernel removes all on the way to another number; their drivers learn their MAC anew."""
        pf, *vfs = pf_with_vfs(NIC, "eth1", 2, totalvfs=8)
        bare = tuple(VfSettings(vf_index=number, mac="00:00:00:00:00:00", trust=False) for number in range(3))
        own = (link(vf.netdevs[0], mac=settings.mac) for vf, settings in zip(vfs, self.VFS, strict=True))
        ready_host(pf, *vfs, net=network(link("eth1", vfs=bare), *own)).write(tmp_path)
        kernel, processes = FakeKernel(tmp_path), FakeProcesses()
        FakeKernel.last = VfKernel(tmp_path, Address(vfs[0].address))
        step = SetNumvfs(address=NIC, before=2, after=2, after_vfs=self.VFS)
        handler = handler_of(SetNumvfs, kernel, processes)
        apply, verify = handler.apply, handler.verify
        with pytest.raises(
            StepError, match=r"VF 0 of 0000:01:00\.0 was MAC 52:54:00:00:00:00, VLAN none, trust on, is"
        ):
            verify(step)
        apply(step)
        verify(step)
        assert self.counts(processes) == [vf.address for vf in vfs for _ in ("unbind", "drivers_probe")], (
            "only their drivers were let go of, and bound again"
        )
        for _ in range(2):
            processes.ran.clear()
            apply(step)
            assert self.counts(processes) == [], "twice is once"

    def with_vfs(self, tmp_path: Path, *drivers: str) -> FakeKernel:
        pf, *vfs = pf_with_vfs(NIC, "eth1", len(drivers), totalvfs=8)
        vfs = [
            dataclasses.replace(vf, driver=driver, netdevs=vf.netdevs if driver == "ixgbevf" else ())
            for vf, driver in zip(vfs, drivers, strict=True)
        ]
        bare = tuple(VfSettings(vf_index=number, mac=NO_MAC, trust=False) for number in range(len(drivers)))
        own = ((name, self.VFS[number].mac) for number, vf in enumerate(vfs) for name in vf.netdevs)
        net = network(link("eth1", vfs=bare), *(link(name, mac=mac) for name, mac in own))
        files = {"/proc/sys/kernel/osrelease": "6.12.1\n"}
        ready_host(pf, *vfs, net=net, files=files).write(tmp_path)
        kernel = FakeKernel(tmp_path)
        FakeKernel.last = VfKernel(tmp_path, Address(vfs[0].address))
        return kernel

    def test_of_vfs_that_stay_only_those_that_change_are_set(self, tmp_path: Path) -> None:
        """What others have set meanwhile, as libvirt does at a start, is not set back."""
        kernel, processes = self.with_vfs(tmp_path, "ixgbevf", "ixgbevf"), FakeProcesses()
        old = tuple(VfSettings(vf_index=number, mac="52:54:00:00:00:77") for number in range(2))
        step = SetNumvfs(address=NIC, before=2, after=2, before_vfs=old, after_vfs=(old[0], self.VFS[1]))
        handler = handler_of(SetNumvfs, kernel, processes)
        apply, verify = handler.apply, handler.verify
        apply(step)
        verify(step)
        (pf,) = read_state(kernel, NIC).links
        assert [vf.mac for vf in pf.vfs] == [NO_MAC, self.VFS[1].mac]

    @pytest.mark.parametrize("driver", ["vfio-pci", "mlx5_vfio_pci", "igb_uio"])
    def test_a_vf_that_is_not_the_hosts_own_stays_bound(self, driver: str, tmp_path: Path) -> None:
        """A VM may be running with it; its guest learns the MAC by itself."""
        kernel, processes = self.with_vfs(tmp_path, driver), FakeProcesses()
        handler_of(SetNumvfs, kernel, processes).apply(
            SetNumvfs(address=NIC, before=1, after=1, after_vfs=self.VFS[:1])
        )
        assert self.counts(processes) == []
        assert FakeKernel.last.writes == [("vf 0", self.VFS[0].mac)]

    @pytest.mark.parametrize("back", [False, True])
    def test_an_interface_that_has_not_learned_its_mac_is_bound_anew(self, back: bool, tmp_path: Path) -> None:
        """A run that was cut off has written it, and bound nothing; or it has taken it away, and bound nothing."""
        kernel, processes = self.with_vfs(tmp_path, "ixgbevf"), FakeProcesses()
        mac = self.VFS[0].mac if back else "52:54:00:00:00:77"
        there = VfSettings(vf_index=0, mac=NO_MAC if back else mac)
        pf, vf = (link("eth1", vfs=(there,)), link("eth1v0", mac=self.VFS[0].mac))
        Path(kernel.path("/netlink.json")).write_bytes(msgspec.json.encode(network(pf, vf)))
        given, bare = (VfSettings(vf_index=0, mac=each) for each in (mac, NO_MAC))
        step = SetNumvfs(address=NIC, before=1, after=1, before_vfs=(bare,), after_vfs=(given,))
        handler = handler_of(SetNumvfs, kernel, processes)
        apply, verify = handler.apply, handler.verify
        with pytest.raises(StepError, match="does not have the MAC that its PF has given it"):
            verify(invert_step(step) if back else step)
        apply(invert_step(step) if back else step)
        assert self.counts(processes) == ["0000:01:02.0", "0000:01:02.0"], "let go of, and bound"

    def test_what_a_driver_does_not_know_is_put_down(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        kernel = self.with_vfs(tmp_path, "vfio-pci")

        def refuse(*_: object) -> None:
            raise NotSupportedError("No trust.", settings=("trust",))

        monkeypatch.setattr(FakeInterface, "set_vf", refuse)
        for _ in range(2):
            with pytest.raises(StepError, match="No trust"):
                handler_of(SetNumvfs, kernel).apply(SetNumvfs(address=NIC, before=1, after=1, after_vfs=self.VFS[:1]))
            assert read_unsupported(kernel) == (Unsupported(driver="ixgbe", setting="trust", release="6.12.1"),)

    def test_a_mac_that_this_change_gave_goes_with_it(self, tmp_path: Path) -> None:
        kernel = self.with_vfs(tmp_path, "vfio-pci")
        step = SetNumvfs(
            address=NIC,
            before=1,
            after=1,
            before_vfs=(VfSettings(vf_index=0, mac=NO_MAC),),
            after_vfs=(VfSettings(vf_index=0, mac=self.VFS[0].mac),),
        )
        handler = handler_of(SetNumvfs, kernel)
        apply, verify = handler.apply, handler.verify
        for change, mac in ((step, self.VFS[0].mac), (invert_step(step), NO_MAC)):
            apply(change)
            verify(change)
            assert read_state(kernel, NIC).links[0].vfs[0].mac == mac

    def test_the_kernels_refusal_is_told(self, kernel: FakeKernel) -> None:
        processes = FakeProcesses(error="tee: write error: Cannot allocate memory")
        with pytest.raises(StepError, match="Cannot allocate memory"):
            handler_of(SetNumvfs, kernel, processes).apply(SetNumvfs(address=NIC, before=0, after=4))

    @pytest.mark.parametrize(
        ("number", "reason"),
        [
            (errno.ENOENT, "a driver that makes no VFs in this way"),
            (errno.ENOSPC, "MSI-X"),
            (errno.ENOMEM, "no room for them in memory"),
            (errno.EBUSY, "are there already"),
            (errno.ERANGE, "more than its driver can make"),
            (errno.EINVAL, "does not take this number"),
            (errno.EACCES, ""),
        ],
    )
    def test_the_kernels_error_has_its_reason(self, number: int, reason: str, kernel: FakeKernel) -> None:
        processes = FakeProcesses(error=f"tee: write error: {os.strerror(number)}")
        with pytest.raises(StepError) as caught:
            handler_of(SetNumvfs, kernel, processes).apply(SetNumvfs(address=NIC, before=0, after=4))
        assert os.strerror(number) in str(caught.value)
        assert reason in caught.value.hint
        assert bool(caught.value.hint) is bool(reason)

    @pytest.mark.parametrize(("numvfs", "links"), [("4", 3), ("3", 4)])
    def test_the_number_and_the_links_are_both_seen(self, numvfs: str, links: int, kernel: FakeKernel) -> None:
        FakeProcesses().run(["tee", kernel.path(f"{FOLDER}/sriov_numvfs")], timeout=1, stdin=str(links))
        Path(kernel.path(f"{FOLDER}/sriov_numvfs")).write_text(numvfs)
        words = rf"is {numvfs} \({links} links\), not 4"
        with pytest.raises(StepError, match=words):
            handler_of(SetNumvfs, kernel).verify(SetNumvfs(address=NIC, before=0, after=4))

    def test_udev_has_named_what_was_made_before_it_is_set(self, kernel: FakeKernel) -> None:
        processes = FakeProcesses()
        handler_of(SetNumvfs, kernel, processes).apply(SetNumvfs(address=NIC, before=0, after=2))
        assert [argv for argv, _ in processes.ran if argv[0] != "tee"] == [["udevadm", "settle", "--timeout=20"]]

    def test_a_pf_gets_back_the_vfs_that_went_with_it(self, tmp_path: Path) -> None:
        """VFs that are there by now are somebody's, and stay."""
        ready_host(nic(NIC, "eth1", totalvfs=8), net=network(link("eth1"))).write(tmp_path)
        kernel = FakeKernel(tmp_path)
        state = msgspec.structs.replace(read_state(kernel, NIC), numvfs=2)
        for present, written in ((None, ["2"]), (2, []), (1, [])):
            if present is not None:
                FakeProcesses().run(["tee", kernel.path(f"{FOLDER}/sriov_numvfs")], timeout=1, stdin=str(present))
            processes = FakeProcesses()
            apply = handler_of(GiveBackNic, kernel, processes).apply
            if present == 1:
                with pytest.raises(NeedsPersonError, match="VFs was 2, is 1"):
                    apply(GiveBackNic(address=NIC, state=state))
            else:
                apply(GiveBackNic(address=NIC, state=state))
            assert self.counts(processes) == written

    def test_fewer_than_promised_is_seen(self, kernel: FakeKernel) -> None:
        with pytest.raises(StepError, match="is 0 "):
            handler_of(SetNumvfs, kernel).verify(SetNumvfs(address=NIC, before=0, after=4))


@pytest.mark.parametrize(("vf", "another"), [(None, True), (VfSettings(vf_index=0, mac="52:54:00:00:00:01"), False)])
def test_another_card_is_known_by_its_burnt_in_mac_and_a_vf_has_none(vf: VfSettings | None, another: bool) -> None:
    was, now = (Link(name="eth1", permanent_mac=f"52:54:00:00:00:0{digit}") for digit in (1, 2))
    state = NicState(address=NIC, driver="igb", vf=vf)
    assert host_steps._is_another_card(state, was, now) is another
    assert not host_steps._is_another_card(state, was, was)
