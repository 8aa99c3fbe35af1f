# SPDX-License-Identifier: Apache-2.0
"""libvirt's hook: before a start law 3 once more, after a stop the NIC as it was; and the script that calls it."""

from __future__ import annotations

import errno
import fcntl
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from nicpass import __version__
from nicpass.cli import hook as hook_command
from nicpass.engine import admission
from nicpass.engine.admission import announce, forget_start, note_start, read_start
from nicpass.engine.host_steps import read_state
from nicpass.engine.lock import PATH
from nicpass.engine.nic import arrival
from nicpass.engine.nic.store import BOOT_ID, NICS, KeptNic, keep_nic
from nicpass.host.doors.files import Files
from nicpass.hypervisor.libvirt import hook as hook_module
from nicpass.hypervisor.libvirt.guard_files import hook_script
from nicpass.hypervisor.libvirt.hook import OutOfTimeError
from nicpass.model.address import Address
from nicpass.model.errors import BusyError, ExitCode, NicpassError, RefusedError, StepError
from nicpass.model.plan import NicOwner, NicState
from tests.support.guarded import BOOT, NIC, OWNER, SECOND, USED, VM, Host, at_work, host_with
from tests.support.hosts import address, link, network, nic, ready_host, route
from tests.support.trees import UUID, Vm, domain_xml, hostdev_xml


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_module, "_PATIENCE", 0)
    monkeypatch.setattr(arrival, "BOOT_SECONDS", 0)


def full_disk(*_: object) -> NoReturn:
    raise OSError(errno.ENOSPC, "No space left on device", "/var/lib/nicpass")


class TestPrepare:
    """Before libvirt takes the NIC."""

    def test_a_nic_that_the_host_does_not_use_may_go(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        host.give()
        host.hook.prepare(domain_xml(VM))
        assert host.kept().away == BOOT
        assert read_start(host.files, VM.uuid) == (NIC,)

    @pytest.mark.parametrize(
        ("items", "code"),
        [
            ((link("eth1"), address("eth1", "10.0.0.5/24")), "HAS_ADDRESS"),
            ((link("eth1"), route("eth1")), "CARRIES_DEFAULT_ROUTE"),
            ((link("eth1", master="br0"), link("br0", kind="bridge")), "HAS_UPPER"),
        ],
    )
    def test_one_that_came_into_use_stays(self, items: tuple[object, ...], code: str, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        before = host.give()
        host.put(*items)
        with pytest.raises(RefusedError, match=r"^guest is not started: ") as refused:
            host.hook.prepare(domain_xml(VM))
        assert refused.value.findings[0].code == code
        assert f"nicpass detach guest {NIC}" in refused.value.hint
        assert host.kept() == before
        assert read_start(host.files, VM.uuid) == ()

    def test_what_was_allowed_when_it_was_given_still_is_and_nothing_else(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with(*USED))
        host.give(allow=frozenset({"HAS_ADDRESS", "CARRIES_ROUTE"}))
        host.hook.prepare(domain_xml(VM))
        host.put(*USED, route("eth1"))
        with pytest.raises(RefusedError) as refused:
            host.hook.prepare(domain_xml(VM))
        assert [finding.code for finding in refused.value.findings] == ["CARRIES_DEFAULT_ROUTE"]

    def test_what_cannot_be_learned_stays(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        host.give()
        (tmp_path / "netlink.json").unlink()
        with pytest.raises(RefusedError) as refused:
            host.hook.prepare(domain_xml(VM))
        assert refused.value.findings[0].code == "USE_UNKNOWN"

    def test_what_it_is_when_it_leaves_is_what_comes_back(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        host.give(allow=frozenset({"HAS_ADDRESS", "CARRIES_ROUTE"}))
        host.put(*USED)
        host.hook.prepare(domain_xml(VM))
        kept = host.kept()
        assert [a.text for a in kept.state.addresses] == ["10.0.0.5/24"]
        assert kept.renewed
        assert kept.owner is not None
        assert kept.owner.allow == {"HAS_ADDRESS", "CARRIES_ROUTE"}

    def test_what_is_still_owed_from_the_last_time_is_not_written_over(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with(*USED))
        owed = msgspec.structs.replace(host.give(), away=BOOT)
        keep_nic(host.files, owed)
        host.put(link("eth1"))
        host.hook.prepare(domain_xml(VM))
        assert host.kept() == owed

    def test_another_boot_has_settled_what_was_owed(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with(*USED))
        keep_nic(host.files, msgspec.structs.replace(host.give(), away="an earlier boot"))
        host.put(link("eth1"))
        host.hook.prepare(domain_xml(VM))
        assert (host.kept().state.addresses, host.kept().away) == ((), BOOT)

    def test_one_on_vfio_already_keeps_its_record(self, tmp_path: Path) -> None:
        function = nic(NIC, driver="vfio-pci", driver_override="vfio-pci")
        host = Host(tmp_path, ready_host(function, net=network(), vms=(VM,), files={BOOT_ID: BOOT}))
        state = NicState(address=NIC, driver="ixgbe", links=(link("eth1"),))
        keep_nic(host.files, KeptNic(state=state, owner=OWNER))
        host.hook.prepare(domain_xml(VM))
        assert (host.kept().state, host.kept().renewed) == (state, False)

    def test_another_card_in_its_place_stays(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with(link("eth1", permanent_mac="00:1b:21:00:00:01")))
        host.give()
        host.put(link("eth1", permanent_mac="00:1b:21:00:00:02"))
        with pytest.raises(RefusedError, match="another card"):
            host.hook.prepare(domain_xml(VM))

    def test_a_card_that_was_taken_out_is_said(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        state = NicState(address=Address("0000:77:00.0"), driver="ixgbe")
        keep_nic(host.files, KeptNic(state=state, owner=OWNER))
        with pytest.raises(StepError, match=r"there is no 0000:77:00\.0 on this host any more"):
            host.hook.prepare(domain_xml(Vm(name="guest", devices=hostdev_xml("0000:77:00.0"))))

    def test_of_two_nics_one_in_use_keeps_both(self, tmp_path: Path) -> None:
        both = Vm(name="guest", devices=hostdev_xml(NIC) + hostdev_xml(SECOND))
        functions = (nic(NIC, "eth1"), nic(SECOND, "eth2", group=11))
        tree = ready_host(*functions, net=network(link("eth1"), link("eth2")), vms=(both,), files={BOOT_ID: BOOT})
        host = Host(tmp_path, tree)
        before = host.give(), host.give(SECOND)
        host.put(link("eth1"), link("eth2"), address("eth2", "10.0.0.5/24"))
        with pytest.raises(RefusedError, match="eth2"):
            host.hook.prepare(domain_xml(both))
        assert (host.kept(), host.kept(SECOND)) == before
        host.put(link("eth1"), link("eth2"))
        host.hook.prepare(domain_xml(both))
        assert read_start(host.files, both.uuid) == (NIC, SECOND)

    @pytest.mark.parametrize(("group", "veto"), [(10, False), (11, True)])
    def test_both_ports_of_a_group_go_to_the_vm_that_has_both(self, group: int, veto: bool, tmp_path: Path) -> None:
        """Each is on the host's driver yet; a third one, which nobody gave, keeps the group from every VM."""
        both = Vm(name="guest", devices=hostdev_xml(NIC) + hostdev_xml(SECOND))
        third = nic("0000:03:00.0", "eth3", group=group if veto else 12)
        functions = (nic(NIC, "eth1", group=group), nic(SECOND, "eth2", group=group), third)
        links = (link("eth1"), link("eth2"), link("eth3"))
        host = Host(tmp_path, ready_host(*functions, net=network(*links), vms=(both,), files={BOOT_ID: BOOT}))
        host.give()
        host.give(SECOND)
        if veto:
            with pytest.raises(
                RefusedError, match="that nobody uses, and that have a driver of the host: 0000:03"
            ) as vetoed:
                host.hook.prepare(domain_xml(both))
            assert f"Give all of it to this VM ({NIC}, {SECOND}, 0000:03:00.0): nicpass attach" in vetoed.value.hint
        else:
            host.hook.prepare(domain_xml(both))
            assert read_start(host.files, both.uuid) == (NIC, SECOND)

    @pytest.mark.parametrize(("allow", "veto"), [(frozenset({"HAS_ADDRESS"}), False), (frozenset(), True)])
    def test_of_a_group_each_is_held_to_its_own_terms(self, allow: frozenset[str], veto: bool, tmp_path: Path) -> None:
        """What the second was given with does not stand in the first one's way."""
        both = Vm(name="guest", devices=hostdev_xml(NIC) + hostdev_xml(SECOND))
        net = network(link("eth1"), link("eth2"), address("eth2", "10.0.0.5/24"))
        tree = ready_host(nic(NIC, "eth1"), nic(SECOND, "eth2"), net=net, vms=(both,), files={BOOT_ID: BOOT})
        host = Host(tmp_path, tree)
        host.give()
        host.give(SECOND, allow=allow)
        if veto:
            with pytest.raises(RefusedError, match="eth2"):
                host.hook.prepare(domain_xml(both))
        else:
            host.hook.prepare(domain_xml(both))
            assert read_start(host.files, both.uuid) == (NIC, SECOND)

    @pytest.mark.parametrize(
        ("vm", "owner"),
        [
            (Vm(name="guest"), OWNER),
            (Vm(name="other", uuid=UUID.format(2), devices=hostdev_xml(NIC)), OWNER),
            (Vm(name="guest", devices=hostdev_xml(NIC, managed="no")), OWNER),
            (VM, None),
        ],
        ids=["not in the definition", "another VM", "not taken by libvirt", "kept by an older nicpass"],
    )
    def test_what_is_not_this_vms_affair_is_left_alone(self, vm: Vm, owner: NicOwner | None, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with(*USED, vm=vm))
        before = KeptNic(state=read_state(host.files, NIC), owner=owner)
        keep_nic(host.files, before)
        host.hook.prepare(domain_xml(vm))
        assert host.kept() == before
        assert host.hook.release(domain_xml(vm)) == []

    def test_a_damaged_record_vetoes(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        host.files.write_atomic(f"{NICS}/{NIC}.json", b'{"state":')
        with pytest.raises(StepError, match="damaged"):
            host.hook.prepare(domain_xml(VM))

    def test_a_definition_that_is_none_vetoes(self, tmp_path: Path) -> None:
        with pytest.raises(NicpassError, match="cannot be read"):
            Host(tmp_path, host_with()).hook.prepare("<domain")


class TestAdmission:
    """Starts and runs of nicpass keep out of each other's way."""

    def test_while_another_run_is_at_work_the_vm_does_not_start(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        before = host.give()
        with at_work(host.files), pytest.raises(BusyError, match="nicpass attach web eth1"):
            host.hook.prepare(domain_xml(VM))
        assert host.kept() == before

    def test_a_start_that_this_run_announced_is_its_own(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        host.give()
        with at_work(host.files), announce(host.files, VM.uuid):
            host.hook.prepare(domain_xml(VM))
        assert read_start(host.files, VM.uuid) == (NIC,)

    def test_the_announcement_of_another_vm_does_not_help(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        host.give()
        with at_work(host.files), announce(host.files, UUID.format(2)), pytest.raises(BusyError):
            host.hook.prepare(domain_xml(VM))

    def test_what_a_dead_run_announced_does_not_count(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        host.give()
        host.files.write_atomic(f"/run/nicpass/announced/{VM.uuid}", b"")
        with at_work(host.files), pytest.raises(BusyError):
            host.hook.prepare(domain_xml(VM))

    def test_an_announcement_ends_with_its_block_also_by_an_error(self, tmp_path: Path) -> None:
        files = Files(str(tmp_path))
        with pytest.raises(StepError), announce(files, VM.uuid):
            raise StepError("x")
        assert list((tmp_path / "run/nicpass/announced").iterdir()) == []

    def test_two_vms_may_start_at_once(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        host.give()
        with admission.admit(host.files, UUID.format(2), "other"):
            host.hook.prepare(domain_xml(VM))
            with host.files.open_for_lock(PATH) as descriptor, pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    @pytest.mark.parametrize("uuid", ["", "../../etc/passwd", VM.uuid + "\n", VM.uuid.upper()])
    def test_no_path_is_made_of_what_is_no_uuid(self, uuid: str, tmp_path: Path) -> None:
        files = Files(str(tmp_path))
        with pytest.raises(StepError):
            note_start(files, uuid, ())
        with pytest.raises(StepError):
            forget_start(files, uuid)


class TestRelease:
    """After libvirt has given the NIC back to its driver."""

    def test_all_that_it_was_comes_back_and_the_record_stays(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with(*USED))
        kept = host.give(allow=frozenset({"HAS_ADDRESS", "CARRIES_ROUTE"}))
        host.hook.prepare(domain_xml(VM))
        assert host.hook.release(domain_xml(VM)) == []
        # The start has looked at the whole host, and so has seen which card it is.
        assert host.restored == [msgspec.structs.replace(kept.state, identity=host.kept().state.identity)]
        assert host.kept().away is None
        assert read_start(host.files, VM.uuid) == ()

    def test_after_a_veto_there_is_nothing_to_restore(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with(*USED))
        host.give()
        with pytest.raises(RefusedError):
            host.hook.prepare(domain_xml(VM))
        assert host.hook.release(domain_xml(VM)) == []
        assert host.restored == []

    @pytest.mark.parametrize("error", [StepError("No carrier."), OSError(5, "Input/output error")])
    def test_what_could_not_be_restored_is_told_and_stays_owed(
        self, error: NicpassError | OSError, tmp_path: Path
    ) -> None:
        host = Host(tmp_path, host_with())
        host.give()
        host.hook.prepare(domain_xml(VM))
        host.failure = error
        (told,) = host.hook.release(domain_xml(VM))
        assert NIC in told.sentence
        assert ("No carrier." in told.sentence) == isinstance(error, NicpassError)
        assert host.kept().away == BOOT

    def test_out_of_time_it_does_not_go_on_to_the_next(self, tmp_path: Path) -> None:
        both = Vm(name="guest", devices=hostdev_xml(NIC) + hostdev_xml(SECOND))
        functions = (nic(NIC, "eth1"), nic(SECOND, "eth2", group=11))
        tree = ready_host(*functions, net=network(link("eth1"), link("eth2")), vms=(both,), files={BOOT_ID: BOOT})
        host = Host(tmp_path, tree)
        host.give(), host.give(SECOND)
        host.hook.prepare(domain_xml(both))
        host.failure = OutOfTimeError()
        assert len(host.hook.release(domain_xml(both))) == len(host.restored) == 1
        assert (host.kept().away, host.kept(SECOND).away) == (BOOT, BOOT)

    def test_it_restores_on_behalf_of_the_run_that_stops_the_vm(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        host.give()
        host.hook.prepare(domain_xml(VM))
        with at_work(host.files), announce(host.files, VM.uuid):
            assert host.hook.release(domain_xml(VM)) == []
        assert len(host.restored) == 1
        host.hook.prepare(domain_xml(VM))
        with at_work(host.files), pytest.raises(BusyError):
            host.hook.release(domain_xml(VM))
        assert (len(host.restored), host.kept().away) == (1, BOOT)


class TestCommand:
    """What libvirt gets to see: an exit code, and words on standard error."""

    @pytest.fixture
    def host(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
        host = Host(tmp_path, host_with())
        monkeypatch.setattr("nicpass.host.doors.files.Files", lambda: host.files)
        monkeypatch.setattr(hook_command, "_restore", host._restore)
        return host

    def call(self, operation: str, definition: str = "") -> int:
        return hook_command.work(["guest", operation, "begin", "-"], (definition or domain_xml(VM)).encode())

    def test_a_start_that_may_be(self, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
        host.give()
        assert self.call("prepare") == ExitCode.DONE
        assert self.call("release") == ExitCode.DONE
        assert capsys.readouterr().err == ""

    def test_a_veto_is_one_line_with_what_to_do(self, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
        host.give()
        host.put(link("eth1"), address("eth1", "10.0.0.5/24"))
        assert self.call("prepare") == ExitCode.REFUSED
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("nicpass: guest is not started: eth1 (0000:01:00.0) carries an address of the host")
        assert "nicpass detach guest" in line

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (ZeroDivisionError("division"), "A mistake of nicpass itself: ZeroDivisionError: division."),
            (ImportError("No module named pyroute2"), "A mistake of nicpass itself: ImportError"),
            (OSError(28, "No space left on device", "/run/x"), "/run/x: No space left on device."),
        ],
    )
    def test_a_mistake_of_ours_is_told_and_left_to_the_script(
        self,
        error: Exception,
        words: str,
        host: Host,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise error

        host.give()
        monkeypatch.setattr(hook_module, "read_host", fail)
        assert self.call("prepare") == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("nicpass: The NICs of guest were not looked at.")
        assert words in line
        assert ("mistake" in line) == ("Please report it." in line)

    def test_a_full_disk_is_no_veto_and_the_nic_comes_back(
        self, host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        logged: list[str] = []
        monkeypatch.setattr(hook_command, "_log", lambda _priority, text: logged.append(text))
        before = host.give()
        with monkeypatch.context() as full:
            full.setattr(hook_module, "keep_nic", refuse)
            assert self.call("prepare") == ExitCode.DONE
        assert "what it is now cannot be put down (No space left on device)" in logged[0]
        assert host.kept() == before
        assert self.call("release") == ExitCode.DONE
        assert host.restored == [before.state]
        assert read_start(host.files, VM.uuid) == ()

    def test_a_stop_that_only_could_not_be_noted_does_not_say_that_the_nic_is_worse(
        self, host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        host.give()
        assert self.call("prepare") == ExitCode.DONE
        monkeypatch.setattr("nicpass.engine.nic.owed.keep_nic", full_disk)
        assert self.call("release") == ExitCode.NEEDS_PERSON
        assert len(host.restored) == 1
        told = capsys.readouterr().err
        assert "0000:01:00.0 is what it was again" in told
        assert "No space left on device" in told
        assert "not as it was" not in told

    def test_what_is_not_restored_is_said(self, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
        host.give()
        assert self.call("prepare") == ExitCode.DONE
        host.failure = StepError("No carrier.")
        assert self.call("release") == ExitCode.NEEDS_PERSON
        assert "No carrier." in capsys.readouterr().err

    def test_its_time_is_limited(
        self, host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        host.give()
        monkeypatch.setattr(hook_module, "read_host", lambda *_, **__: signal.raise_signal(signal.SIGALRM))
        assert self.call("prepare") == ExitCode.REFUSED
        assert "took too long" in capsys.readouterr().err
        assert signal.alarm(0) == 0

    def test_other_calls_are_nobodys_affair(self, host: Host) -> None:
        for operation in ("started", ""):
            assert hook_command.main(["guest", operation, "begin", "-"], b"<") == ExitCode.DONE

    def test_it_says_whether_it_could_run(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert hook_command.main(["-", "self-test", "-", "-"], b"") == ExitCode.DONE
        assert capsys.readouterr().out == f"nicpass {__version__}\n"


@pytest.mark.spawns
class TestScript:
    """The shell's part, with a Python that only tells that it was called."""

    @pytest.fixture
    def run(self, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
        package = tmp_path / "it's a folder/nicpass"
        (package / "cli").mkdir(parents=True)
        (package / "cli/hook.py").touch()
        self.nics = tmp_path / "nics"
        self.nics.mkdir()
        self.package = package
        self.python = tmp_path / "python"
        self.answer(0)
        script = tmp_path / "hook"
        script.write_text(hook_script(str(self.python), str(package), str(self.nics), str(tmp_path)))

        def call(*words: str, definition: str = domain_xml(VM)) -> subprocess.CompletedProcess[str]:
            command = ["sh", str(script), *words]
            return subprocess.run(command, input=definition, capture_output=True, text=True, check=False)

        return call

    def answer(self, code: int, words: str = "called") -> None:
        self.python.write_text(f'#!/bin/sh\necho "{words} $*"; cat; exit {code}\n')
        self.python.chmod(0o755)

    def keep(self, uuid: str) -> None:
        (self.nics / "0000:01:00.0.json").write_text(f'{{"owner":{{"uuid":"{uuid}"}}}}')

    def test_python_is_asked_about_a_vm_with_our_nics(
        self, run: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        self.keep(VM.uuid)
        for words in (("guest", "prepare", "begin", "-"), ("a b", "release", "end", "destroyed")):
            done = run(*words)
            assert done.returncode == 0
            assert done.stdout == f"called -I -m nicpass.cli.hook {' '.join(words)}\n{domain_xml(VM)}"

    @pytest.mark.parametrize(
        "words", [("guest", "started", "begin", "-"), ("guest", "prepare", "end", "-"), ("guest", "stopped", "end"), ()]
    )
    def test_at_other_times_it_is_not(
        self, words: tuple[str, ...], run: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        self.keep(VM.uuid)
        assert (run(*words).stdout, run(*words).returncode) == ("", 0)

    @pytest.mark.parametrize("uuid", [None, UUID.format(7)])
    def test_nor_about_a_vm_without(
        self, uuid: str | None, run: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        if uuid is not None:
            self.keep(uuid)
        done = run("guest", "prepare", "begin", "-")
        assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)

    def test_a_definition_without_a_uuid_is_pythons_affair(
        self, run: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        self.keep(VM.uuid)
        assert "called" in run("guest", "prepare", "begin", "-", definition=f"a\n{VM.uuid}\n").stdout

    @pytest.mark.parametrize("code", [3, 4, 5, 6, 7])
    def test_a_veto_passes_through(self, code: int, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        self.keep(VM.uuid)
        self.answer(code)
        done = run("guest", "prepare", "begin", "-")
        assert (done.stderr, done.returncode) == ("", code)

    def test_the_self_test_is_pythons_answer(self, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
        assert run("-", "self-test", "-", "-").stdout.startswith("called -I -m nicpass.cli.hook - self-test")


@pytest.mark.spawns
def test_the_real_one_loads_little() -> None:
    """Every start of a VM waits for it."""
    code = "import sys, nicpass.cli.hook, nicpass.hypervisor.libvirt.hook; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"pyroute2", "libvirt", "subprocess", "rich", "argparse", "asyncio"}
