# SPDX-License-Identifier: Apache-2.0
"""How long things may take: a run past its time, a NIC that is on its way, a try that comes later, managers."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from nicpass.engine import overdue
from nicpass.engine.journal import Journal
from nicpass.engine.nic import arrival
from nicpass.engine.nic.arrival import await_arrival
from nicpass.engine.nic.managers import commands_for, shell_lines, without_managed
from nicpass.engine.overdue import OverdueRun
from nicpass.engine.retry import arrange_retry
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Completed, Processes
from nicpass.host.doors.running import Running
from nicpass.model.address import Address
from nicpass.model.change import Actor
from nicpass.model.errors import ExitCode, StepError
from nicpass.model.fact import Unknown
from nicpass.model.network import LinkManager
from nicpass.model.plan import ArmTimer, NicState, Plan, SetNumvfs
from nicpass.model.request import VfRequest
from tests.support.hosts import address, link, network, nic, ready_host, route

if TYPE_CHECKING:
    from pathlib import Path

NIC = Address("0000:01:00.0")
VFS = SetNumvfs(address=NIC, before=0, after=1)
HOLDER = Running(17, 5)


class TestOverdue:
    """Who holds the lock is ended only when its own change is past its time."""

    @pytest.fixture
    def files(self, quick_path: Path) -> Files:
        self.boot(quick_path, "b")
        return Files(str(quick_path))

    def boot(self, root: Path, name: str) -> None:
        (root / "proc/sys/kernel/random").mkdir(parents=True, exist_ok=True)
        (root / "proc/sys/kernel/random/boot_id").write_text(f"{name}\n")

    @pytest.fixture(autouse=True)
    def _world(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.age, self.ended = 100.0, 150.0, [(HOLDER, 120.0, 10.0)][:0]
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(overdue, "age_of", lambda _: self.age)

        def end(holder: Running, *, gently: float, by_force: float) -> bool:
            self.ended.append((holder, gently, by_force))
            return True

        monkeypatch.setattr(overdue, "end_process", end)

    def begin(self, files: Files, *, allowance: int = 90, process: int = 17, closed: int | None = None) -> None:
        arm = ArmTimer(address=NIC, seconds=60, allowance=allowance)
        steps = (arm, VFS) if allowance >= 0 else (VFS,)
        plan = Plan(summary="", request=VfRequest(pf=NIC, count=1), steps=steps)
        journal = Journal.open(files, plan, Actor(process=process))
        if closed is not None:
            journal.close(closed)

    @pytest.mark.parametrize(("age", "over"), [(149.9, False), (150.0, True), (500.0, True)])
    def test_one_that_is_past_its_time(self, age: float, over: bool, files: Files) -> None:
        self.begin(files)
        self.age = age
        assert OverdueRun(files).end(HOLDER) is over
        assert self.ended == ([(HOLDER, 120.0, 10.0)] if over else [])

    def test_of_one_that_is_made_only_the_time_to_confirm_counts(self, files: Files) -> None:
        self.begin(files, closed=ExitCode.DONE)
        self.age = 60.0
        assert OverdueRun(files).end(HOLDER)

    @pytest.mark.parametrize(
        "more", [{"process": 18}, {"allowance": -1}, {"closed": ExitCode.ROLLED_BACK}], ids=["other", "none", "ended"]
    )
    def test_one_that_has_no_such_change(self, more: dict[str, int], files: Files) -> None:
        self.begin(files, **more)
        self.age = 9e9
        assert OverdueRun(files).end(HOLDER) is False
        assert self.ended == []

    def test_a_number_of_another_boot_is_another_process(self, files: Files, quick_path: Path) -> None:
        self.begin(files)
        self.boot(quick_path, "c")
        self.age = 9e9
        assert not OverdueRun(files).end(HOLDER)

    def test_its_newest_change_counts(self, files: Files) -> None:
        self.begin(files, allowance=9000)
        self.begin(files)
        assert OverdueRun(files).end(HOLDER)

    def test_it_is_looked_for_now_and_then(self, files: Files) -> None:
        run = OverdueRun(files)
        assert run.end(HOLDER) is False
        self.begin(files)
        for later, over in ((104.9, False), (105.0, True)):
            self.now = later
            assert run.end(HOLDER) is over


class TestArrival:
    """A NIC that a boot brings by and by."""

    STATE = NicState(address=NIC, driver="ixgbe", links=(link("eth1"),))

    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waited: list[float] = []

        def wait(is_true: Any, seconds: float) -> bool:
            self.waited.append(seconds)
            return bool(is_true())

        monkeypatch.setattr(arrival, "wait_until", wait)
        monkeypatch.setattr(arrival, "why_unsettled", lambda _files, names, recorded: None if names else recorded)

    def arrived(self, root: Path, *functions: Any, states: tuple[NicState, ...] = (STATE,), **files: str) -> bool:
        tree = ready_host(*functions, net=network(link("eth1")), files={"/proc/uptime": files.get("uptime", "5.5 9\n")})
        return await_arrival(Files(str(tree.write(root))), states)

    @pytest.mark.parametrize(
        ("function", "arrived"),
        [
            (nic(NIC, "eth1", driver="ixgbe"), True),
            (nic(NIC, driver="vfio-pci"), True),
            (nic(NIC, driver="ixgbe"), False),
            (nic(NIC, driver=None), False),
            (nic("0000:02:00.0", "eth1"), False),
        ],
    )
    def test_driver_and_interfaces(self, function: Any, arrived: bool, tmp_path: Path) -> None:
        assert self.arrived(tmp_path, function) is arrived

    def test_what_had_neither_is_there_at_once(self, tmp_path: Path) -> None:
        bare = msgspec.structs.replace(self.STATE, driver=None, links=())
        assert self.arrived(tmp_path, nic(NIC, driver=None), states=(bare,))

    def test_all_of_them(self, tmp_path: Path) -> None:
        other = msgspec.structs.replace(self.STATE, address=Address("0000:02:00.0"))
        assert not self.arrived(tmp_path, nic(NIC, "eth1", driver="ixgbe"), states=(self.STATE, other))

    def test_more_interfaces_than_there_were_are_enough(self, tmp_path: Path) -> None:
        assert self.arrived(tmp_path, nic(NIC, "eth1", "eth2", driver="ixgbe"))
        two = msgspec.structs.replace(self.STATE, links=(link("eth1"), link("eth2")))
        assert not self.arrived(tmp_path / "b", nic(NIC, "eth1", driver="ixgbe"), states=(two,))

    @pytest.mark.parametrize(
        ("uptime", "seconds"),
        [
            ("5.55 9\n", 25.0),
            ("900.9 9\n", 25.0),
            ("901.0 9\n", 2.0),
            ("", 25.0),
            ("odd 9\n", 25.0),
            ("99999 1\n", 2.0),
        ],
    )
    def test_how_long_it_is_waited_for(self, uptime: str, seconds: float, tmp_path: Path) -> None:
        self.arrived(tmp_path, uptime=uptime)
        assert self.waited == [seconds]


class Noted(Processes):
    """Remembers what was run."""

    def __init__(self, answer: Completed) -> None:
        self.answer = answer
        self.ran: list[list[str]] = []

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        assert timeout > 0
        self.ran.append(argv)
        return self.answer


class TestRetry:
    """systemd tries it again, for nobody is there who would."""

    def arrange(self, root: Path, answer: Completed) -> tuple[str, list[list[str]]]:
        (root / "run/systemd/system").mkdir(parents=True)
        processes = Noted(answer)
        return arrange_retry(Files(str(root)), processes), processes.ran

    def test_it_comes_again_only_while_another_run_has_the_lock(self, tmp_path: Path) -> None:
        unit, (argv,) = self.arrange(tmp_path, Completed(0, "", ""))
        assert unit == f"nicpass-restore-{os.getpid()}"
        assert argv[:9] == [
            "systemd-run",
            f"--unit={unit}",
            "--on-active=15s",
            "--timer-property=AccuracySec=1s",
            "--property=Restart=on-failure",
            "--property=RestartSec=20",
            "--property=RestartPreventExitStatus=0 1 2 3 4 5 6 10",
            "--collect",
            "--quiet",
        ]
        assert argv[9] == "--"
        assert argv[10].startswith("/")
        assert argv[11:] == ["-I", "-m", "nicpass", "recover", "--boot"]

    @pytest.mark.parametrize("answer", [Completed(1, "", "No"), Completed(1, "No", "")])
    def test_a_systemd_that_does_not(self, answer: Completed, tmp_path: Path) -> None:
        with pytest.raises(StepError, match=r"systemd does not try it again by itself: No\.") as caught:
            self.arrange(tmp_path, answer)
        assert caught.value.hint == "nicpass recover"

    def test_without_systemd(self, tmp_path: Path) -> None:
        with pytest.raises(StepError, match="Without systemd") as caught:
            arrange_retry(Files(str(tmp_path)), Noted(Completed(0, "", "")))
        assert caught.value.hint == "nicpass recover"


class TestManagers:
    """The lines that an administrator would type, and what is not ours to write."""

    @pytest.mark.parametrize(
        ("manager", "profile", "commands"),
        [
            (
                "NetworkManager",
                "u-1",
                (["nmcli", "--wait", "60", "connection", "up", "uuid", "u-1", "ifname", "eth1"],),
            ),
            ("systemd-networkd", "lan", (["networkctl", "reconfigure", "eth1"],)),
            ("ifupdown", "eth1", (["ifdown", "--force", "eth1"], ["ifup", "eth1"])),
            ("ifupdown", "lan", (["ifdown", "--force", "eth1"], ["ifup", "eth1=lan"])),
            ("ifupdown", Unknown("x"), (["ifdown", "--force", "eth1"], ["ifup", "eth1"])),
        ],
    )
    def test_commands(self, manager: Any, profile: Any, commands: tuple[list[str], ...]) -> None:
        one = LinkManager(netdev="eth1", manager=manager, profile=profile)
        assert commands_for(one) == commands
        state = NicState(address=NIC, driver=None, managers=(one,))
        assert shell_lines(state) == [" ".join(command) for command in commands]

    def test_what_a_manager_owns_is_not_written(self) -> None:
        state = NicState(
            address=NIC,
            driver=None,
            managers=(LinkManager(netdev="eth1", manager="ifupdown", profile="eth1"),),
            addresses=(address("eth1", "10.0.0.5/24"), address("eth2", "10.0.0.6/24")),
            routes=(route("eth1"), route("eth2")),
        )
        own = without_managed(state)
        assert ([a.netdev for a in own.addresses], [r.netdev for r in own.routes]) == (["eth2"], ["eth2"])
