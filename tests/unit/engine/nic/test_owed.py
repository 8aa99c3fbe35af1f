# SPDX-License-Identifier: Apache-2.0
"""What a stop of a VM did not come to: it is known, told, and made up for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from nicpass.cli.journal import unsettled
from nicpass.cli.run import run
from nicpass.engine import host_steps, installation
from nicpass.engine.admission import note_start
from nicpass.engine.host_steps import read_state
from nicpass.engine.nic import owed
from nicpass.engine.nic.owed import find_owed, settle_owed
from nicpass.engine.nic.store import KeptNic, keep_nic
from nicpass.engine.retry import arrange_retry
from nicpass.host.doors.processes import Completed, Processes
from nicpass.hypervisor.libvirt import hook as hook_module
from nicpass.model.domain import Domain, DomainDevice
from nicpass.model.errors import BusyError, ExitCode, StepError
from nicpass.model.fact import Unknown
from nicpass.model.plan import NicState
from tests.support.guarded import BOOT, NIC, OWNER, SECOND, VM, Host, at_work, host_with
from tests.support.hosts import address, link, nic
from tests.support.trees import domain_xml

if TYPE_CHECKING:
    from pathlib import Path

DEVICE = DomainDevice(address=NIC, element="hostdev", managed=True)
OFF = Domain(name="guest", uuid=VM.uuid, config_devices=(DEVICE,))
RUNNING = msgspec.structs.replace(OFF, running=True, live_devices=(DEVICE,))
WITHOUT = msgspec.structs.replace(OFF, running=True)
MUTE = Unknown("libvirt does not answer")


def out_host(root: Path, *, driver: str = "ixgbe", marked: bool = False, **record: object) -> Host:
    """A host whose NIC has left in this boot by its record."""
    names = ("eth1",) if driver == "ixgbe" else ()
    host = Host(root, host_with().but(functions=(nic(NIC, *names, driver=driver),)))
    state = NicState(address=NIC, driver="ixgbe", links=(link("eth1"),))
    keep_nic(host.files, msgspec.structs.replace(KeptNic(state=state, owner=OWNER, away=BOOT), **record))
    if marked:
        note_start(host.files, VM.uuid, (NIC,))
    return host


class TestWhatIsOwed:
    """By the record, the mark of the start, the driver; and by libvirt where these do not tell."""

    @pytest.mark.parametrize(
        ("driver", "marked", "domains", "is_owed"),
        [
            ("ixgbe", False, None, True),
            ("vfio-pci", True, None, False),
            ("ixgbe", True, (OFF,), True),
            ("ixgbe", True, (RUNNING,), False),
            ("ixgbe", True, (WITHOUT,), True),
            ("ixgbe", True, (), True),
            ("ixgbe", True, MUTE, False),
            ("vfio-pci", False, (OFF,), True),
            ("vfio-pci", False, (RUNNING,), False),
            ("vfio-pci", False, MUTE, True),
        ],
    )
    def test_it(self, driver: str, marked: bool, domains: Any, is_owed: bool, tmp_path: Path) -> None:
        host = out_host(tmp_path, driver=driver, marked=marked)
        found = find_owed(host.files, lambda: domains if domains is not None else pytest.fail("libvirt was asked"))
        assert bool(found) == is_owed

    @pytest.mark.parametrize("uuid", ["", "../../../etc/passwd"])
    def test_a_record_whose_uuid_is_damaged_keeps_nobody_from_the_others(self, uuid: str, tmp_path: Path) -> None:
        host = out_host(tmp_path)
        keep_nic(host.files, KeptNic(state=NicState(address=SECOND, driver="ixgbe"), owner=OWNER, away=BOOT))
        keep_nic(host.files, msgspec.structs.replace(host.kept(), owner=msgspec.structs.replace(OWNER, uuid=uuid)))
        assert [kept.state.address for kept in find_owed(host.files, lambda: ())] == [SECOND]

    @pytest.mark.parametrize("away", [None, "an earlier boot"])
    def test_what_is_back_or_of_another_boot_is_not(self, away: str | None, tmp_path: Path) -> None:
        assert find_owed(out_host(tmp_path, away=away).files, lambda: ()) == ()

    def test_a_damaged_record_hides_no_other(self, tmp_path: Path) -> None:
        host = out_host(tmp_path)
        host.files.write_atomic(f"/var/lib/nicpass/nics/{SECOND}.json", b'{"state":')
        assert len(find_owed(host.files, lambda: ())) == 1

    def test_a_stop_that_did_not_get_the_lock(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hook_module, "_PATIENCE", 0)
        host = Host(tmp_path, host_with())
        host.give()
        host.hook.prepare(domain_xml(VM))
        assert find_owed(host.files, lambda: (RUNNING,)) == (), "it is the VM's"
        with at_work(host.files), pytest.raises(BusyError):
            host.hook.release(domain_xml(VM))
        assert [kept.state.address for kept in find_owed(host.files, lambda: (OFF,))] == [NIC]

    def test_one_that_failed(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        host.give()
        host.hook.prepare(domain_xml(VM))
        host.failure = StepError("No carrier.")
        host.hook.release(domain_xml(VM))
        assert len(find_owed(host.files, lambda: (OFF,))) == 1


class TestSettling:
    """Each by itself; what the host uses by now stays."""

    def settle(self, host: Host) -> tuple[owed.Restored, ...]:
        found = find_owed(host.files, lambda: ())
        return settle_owed(host.files, found, host._restore, lambda nic: read_state(host.files, nic))

    def test_it_is_restored_and_owed_no_more(self, tmp_path: Path) -> None:
        host = out_host(tmp_path)
        (restored,) = self.settle(host)
        assert (restored.address, restored.domain, restored.exit_code) == (NIC, "guest", ExitCode.DONE)
        assert [state.address for state in host.restored] == [NIC]
        assert self.settle(host) == ()

    def test_what_fails_stays_owed_and_keeps_no_other(self, tmp_path: Path) -> None:
        functions = (nic(NIC, "eth1"), nic(SECOND, "eth2", group=11))
        host = Host(tmp_path, host_with(link("eth1"), link("eth2")).but(functions=functions))
        for each in (NIC, SECOND):
            keep_nic(host.files, msgspec.structs.replace(host.give(each), away=BOOT))
        host.failure = OSError(5, "Input/output error")
        restored = self.settle(host)
        assert [each.exit_code for each in restored] == [ExitCode.NEEDS_PERSON] * 2
        assert "Input/output error" in restored[0].sentence
        assert len(self.settle(host)) == 2

    def test_what_the_host_has_come_to_use_is_not_cut_off(self, tmp_path: Path) -> None:
        host = out_host(tmp_path)
        host.put(link("eth1"), address("eth1", "10.7.7.7/24"))
        (restored,) = self.settle(host)
        assert restored.exit_code == ExitCode.DONE
        assert "10.7.7.7/24" in restored.sentence
        assert host.restored == []
        assert self.settle(host) == ()

    def test_a_record_that_is_none_to_go_by_is_told_once(self, tmp_path: Path) -> None:
        host = out_host(tmp_path, state=NicState(address=NIC, driver=None))
        (restored,) = self.settle(host)
        assert restored.exit_code == ExitCode.NEEDS_PERSON
        assert "ixgbe" in restored.sentence
        assert host.restored == []
        assert self.settle(host) == ()


class TestCommands:
    """`list` and `check` tell it, `recover` settles it."""

    @pytest.fixture
    def host(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
        """This machine is that tree, and we are root there."""
        host = out_host(tmp_path)
        monkeypatch.setattr("nicpass.host.doors.files.Files", lambda *_: host.files)
        for module in ("source", "nic.listing", "journal.settling"):
            monkeypatch.setattr(f"nicpass.cli.{module}.Files", lambda *_: host.files)
        monkeypatch.setattr("os.geteuid", lambda: 0)
        # The guard, which this tree lacks, is put in order by tests of its own.
        monkeypatch.setattr("nicpass.cli.journal.settling.mend_guard", lambda *_, **__: (False, 0))
        monkeypatch.setattr(host_steps.HostSteps, "restore", lambda _self, state: host._restore(state))
        return host

    @pytest.mark.parametrize("command", ["list", "check"])
    def test_whoever_looks_is_told(self, command: str, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
        run([command])
        (line,) = capsys.readouterr().err.splitlines()
        assert line == f"nicpass: {NIC} has come back from guest and is not what it was; nicpass recover restores it"

    @pytest.mark.parametrize("command", ["list", "check"])
    def test_so_is_a_program(self, command: str, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
        run([command, "--json"])
        assert msgspec.json.decode(capsys.readouterr().out)["owed"] == [NIC]

    @pytest.mark.parametrize("words", [["recover"], ["recover", "--boot"]])
    def test_recover_restores(self, words: list[str], host: Host, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(words) == ExitCode.DONE
        assert capsys.readouterr().out == f"{NIC}, back from guest: It was restored.\n"
        assert host.kept().away is None
        run(["list"])
        assert capsys.readouterr().err == ""

    def test_recover_says_when_it_cannot(self, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
        host.failure = StepError("No carrier.")
        assert run(["recover", "--json"]) == ExitCode.NEEDS_PERSON
        (restored,) = msgspec.json.decode(capsys.readouterr().out)["restored"]
        assert (restored["address"], restored["sentence"]) == (NIC, "No carrier.")
        assert host.kept().away == BOOT

    def test_while_another_run_is_at_work_it_says_so(self, host: Host) -> None:
        with at_work(host.files):
            assert run(["recover"]) == ExitCode.BUSY

    def test_of_a_tree_nobody_knows(self, host: Host) -> None:
        arguments = type("Arguments", (), {"snapshot": None, "root": "/tree"})()
        assert unsettled.owed_nics(arguments) == ()


class Asked(Processes):
    """Remembers what was run, and answers with this."""

    def __init__(self, exit_code: int | None = 0, error: str = "") -> None:
        self.ran: list[list[str]] = []
        self.answer = Completed(exit_code, "", error)

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        assert 0 < timeout <= 5
        self.ran.append(argv)
        return self.answer


class TestRetry:
    """A unit of systemd's that comes by itself."""

    def test_it_is_asked_for(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with(links={"/run/systemd/system": "."}))
        asked = Asked()
        unit = arrange_retry(host.files, asked)
        (argv,) = asked.ran
        assert argv[0] == "systemd-run"
        assert f"--unit={unit}" in argv
        assert argv[-6:] == [installation.PYTHON, "-I", "-m", "nicpass", "recover", "--boot"]
        assert "--property=RestartPreventExitStatus=0 1 2 3 4 5 6 10" in argv

    def test_where_it_cannot_be_that_is_said(self, tmp_path: Path) -> None:
        host = Host(tmp_path / "a", host_with())
        with pytest.raises(StepError, match="Without systemd"):
            arrange_retry(host.files, Asked())
        host = Host(tmp_path / "b", host_with(links={"/run/systemd/system": "."}))
        with pytest.raises(StepError, match="no answer"):
            arrange_retry(host.files, Asked(None, "systemd-run: no answer within 5 s"))
