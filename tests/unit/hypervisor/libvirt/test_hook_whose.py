# SPDX-License-Identifier: Apache-2.0
"""Which NICs a start takes and a stop gives back, by what is on disk; and for whom either waits."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, NoReturn

import msgspec
import pytest

from nicpass.engine import admission
from nicpass.engine.admission import note_start, read_start
from nicpass.engine.handler import wait_until
from nicpass.engine.nic import arrival
from nicpass.engine.nic.owed import settle_nic
from nicpass.engine.nic.store import BOOT_ID, NICS, KeptNic, keep_nic
from nicpass.host.system.given import read_vetoes
from nicpass.hypervisor.libvirt import hook as hook_module
from nicpass.model.address import Address
from nicpass.model.errors import ExitCode, RefusedError, StepError
from nicpass.model.network import VfSettings
from nicpass.model.plan import NicState
from tests.support.guarded import BOOT, NIC, OWNER, SECOND, VM, Host, at_work, host_with
from tests.support.hosts import address, link, network, nic, pf_with_vfs, ready_host
from tests.support.trees import Vm, domain_xml, hostdev_xml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nicpass.model.given import VetoedVm

BOTH = Vm(name="guest", devices=hostdev_xml(NIC) + hostdev_xml(SECOND))
LONG = 60.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_module, "_PATIENCE", 0)
    monkeypatch.setattr(arrival, "BOOT_SECONDS", 0)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path, host_with())


def two_nics(root: Path, third_group: int = 12) -> Host:
    """Two NICs of one VM, each in its group, and a third one that nobody uses; each on a bus of its own."""
    functions = (nic(NIC, "eth1"), nic(SECOND, "eth2", group=11), nic("0000:03:00.0", "eth3", group=third_group))
    net = network(link("eth1"), link("eth2"), link("eth3"))
    host = Host(root, ready_host(*functions, net=net, vms=(BOTH,), files={BOOT_ID: f"{BOOT}\n"}))
    host.give(), host.give(SECOND)
    return host


def is_away(host: Host, boot: str | None, address: str = NIC) -> None:
    kept = next(kept for kept in (host.kept(), host.kept(SECOND)) if kept.state.address == address)
    keep_nic(host.files, msgspec.structs.replace(kept, away=boot))


class TestLooking:
    """Before a start."""

    def test_a_vm_without_a_nic_of_ours_starts_with_nothing_told(self, host: Host) -> None:
        assert host.hook.prepare(domain_xml(VM)) == ()

    def test_a_start_of_which_the_boot_cannot_be_told_is_vetoed(self, host: Host) -> None:
        """What leaves in a boot that has no name would never be owed."""
        before = host.give()
        (host.root / BOOT_ID[1:]).unlink()
        with pytest.raises(StepError, match=f"Which boot this is cannot be read: {BOOT_ID}"):
            host.hook.prepare(domain_xml(VM))
        assert (host.kept(), read_start(host.files, VM.uuid)) == (before, ())

    def test_of_each_of_two_nics_the_whole_group_is_looked_at(self, tmp_path: Path) -> None:
        """Also of the second, whose group is far from the first."""
        host = two_nics(tmp_path, third_group=11)
        with pytest.raises(RefusedError, match="0000:03") as refused:
            host.hook.prepare(domain_xml(BOTH))
        assert [finding.subject for finding in refused.value.findings] == [SECOND]
        assert read_start(host.files, BOTH.uuid) == ()

    def test_for_one_nic_no_host_of_a_thousand_functions_is_read(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host.give()
        monkeypatch.setattr("nicpass.host.read.read_pci", lambda *_: pytest.fail("all were read"))
        host.hook.prepare(domain_xml(VM))
        assert host.kept().away == BOOT

    def test_one_that_is_not_there_is_none_also_where_others_cannot_be_read(
        self, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What became of it cannot be told then; that it is not there can."""
        state = NicState(address=Address("0000:77:00.0"), driver="ixgbe")
        keep_nic(host.files, KeptNic(state=state, owner=OWNER))
        monkeypatch.setattr("nicpass.host.read.why_pci_unread", lambda *_: "Permission denied")
        with pytest.raises(StepError, match=r"is not there: there is no 0000:77:00\.0 on this host any more"):
            host.hook.prepare(domain_xml(Vm(name="guest", devices=hostdev_xml("0000:77:00.0"))))

    def test_a_vf_that_is_gone_with_its_pfs_vfs_says_so(self, tmp_path: Path) -> None:
        vf = Address("0000:01:10.0")
        vm = Vm(name="guest", devices=hostdev_xml(vf))
        pf = nic(NIC, "eth1", totalvfs=8)
        host = Host(tmp_path, ready_host(pf, net=network(link("eth1")), vms=(vm,), files={BOOT_ID: f"{BOOT}\n"}))
        state = NicState(address=vf, driver="ixgbevf", pf=NIC, vf=VfSettings(vf_index=0, mac="52:54:00:00:00:01"))
        keep_nic(host.files, KeptNic(state=state, owner=OWNER))
        with pytest.raises(StepError, match="has no VFs now"):
            host.hook.prepare(domain_xml(vm))

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
            (OSError("no more of it"), "no more of it"),
        ],
    )
    def test_why_it_could_not_be_put_down_is_told(
        self, error: OSError, words: str, host: Host, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> NoReturn:
            raise error

        host.give()
        monkeypatch.setattr(hook_module, "keep_nic", refuse)
        (told,) = host.hook.prepare(domain_xml(VM))
        assert f"cannot be put down ({words}" in told

    def test_a_card_whose_own_mac_was_never_seen_is_no_other(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with())
        host.give()
        host.put(link("eth1", permanent_mac="00:1b:21:00:00:02"))
        host.hook.prepare(domain_xml(VM))
        assert host.kept().away == BOOT

    def test_nor_is_one_of_which_it_cannot_be_seen_now(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with(link("eth1", permanent_mac="00:1b:21:00:00:02")))
        host.give()
        host.put(link("eth1"))
        host.hook.prepare(domain_xml(VM))
        assert host.kept().away == BOOT

    def test_a_vf_has_another_mac_after_every_boot(self, tmp_path: Path) -> None:
        """Many drivers draw it by lot."""
        functions = pf_with_vfs("0000:03:00.0", "eth3", 1)
        vf = Address(functions[1].address)
        vm = Vm(name="guest", devices=hostdev_xml(vf))
        shown = link("eth3v0", permanent_mac="52:54:00:00:00:02")
        tree = ready_host(*functions, net=network(link("eth3"), shown), vms=(vm,), files={BOOT_ID: f"{BOOT}\n"})
        host = Host(tmp_path, tree)
        before = link("eth3v0", permanent_mac="52:54:00:00:00:01")
        state = NicState(
            address=vf, driver="ixgbevf", links=(before,), vf=VfSettings(vf_index=0, mac="52:54:00:00:00:01")
        )
        keep_nic(host.files, KeptNic(state=state, owner=OWNER))
        host.hook.prepare(domain_xml(vm))
        assert host.kept(vf).away == BOOT

    def test_another_card_is_named_with_what_to_do(self, tmp_path: Path) -> None:
        host = Host(tmp_path, host_with(link("eth1", permanent_mac="00:1b:21:00:00:01")))
        before = host.give()
        host.put(link("eth1", permanent_mac="00:1b:21:00:00:02"))
        with pytest.raises(RefusedError) as refused:
            host.hook.prepare(domain_xml(VM))
        assert refused.value.hint.startswith(f"nicpass detach guest {NIC}")
        assert host.kept() == before


class TestVetoes:
    """Nobody sees a veto at a boot, so it is put down."""

    def vetoed(self, host: Host) -> VetoedVm:
        found = read_vetoes(host.files)
        assert isinstance(found, tuple)
        (vm,) = found
        return vm

    def test_a_veto_stands_until_a_start_goes_through(self, host: Host) -> None:
        host.give()
        host.put(link("eth1"), address("eth1", "10.0.0.5/24"))
        with pytest.raises(RefusedError) as refused:
            host.hook.prepare(domain_xml(VM))
        vm = self.vetoed(host)
        assert (vm.vm, vm.uuid) == ("guest", VM.uuid)
        veto = vm.standing
        assert veto is not None
        assert (veto.sentence, veto.codes) == (refused.value.sentence, ("HAS_ADDRESS",))
        assert veto.command == f"nicpass attach guest {NIC} --allow HAS_ADDRESS --start"
        assert veto.command in refused.value.hint
        host.put(link("eth1"))
        host.hook.prepare(domain_xml(VM))
        assert self.vetoed(host).standing is None

    def test_one_that_nobody_may_allow_is_ended_by_taking_the_nic_back(self, tmp_path: Path) -> None:
        host = two_nics(tmp_path, third_group=11)
        with pytest.raises(RefusedError) as refused:
            host.hook.prepare(domain_xml(BOTH))
        veto = self.vetoed(host).standing
        assert veto is not None
        assert veto.command == f"nicpass detach guest {SECOND}"
        assert "--allow" not in refused.value.hint
        assert f"Or take it back: {veto.command}" in refused.value.hint

    def test_one_that_no_command_ends_has_none(self, host: Host) -> None:
        state = NicState(address=Address("0000:77:00.0"), driver="ixgbe")
        keep_nic(host.files, KeptNic(state=state, owner=OWNER))
        with pytest.raises(StepError):
            host.hook.prepare(domain_xml(Vm(name="guest", devices=hostdev_xml("0000:77:00.0"))))
        veto = self.vetoed(host).standing
        assert veto is not None
        assert (veto.command, veto.mend, veto.codes) == ("", "", ())

    def test_one_from_outside_is_put_down_too(self, host: Host) -> None:
        host.hook.note_veto(domain_xml(VM), StepError("It took too long."))
        veto = self.vetoed(host).standing
        assert veto is not None
        assert (veto.sentence, veto.command) == ("It took too long.", "")

    def test_but_none_of_a_definition_that_is_none(self, host: Host) -> None:
        host.hook.note_veto("<domain", StepError("It took too long."))
        assert read_vetoes(host.files) in {(), None}


class TestStopping:
    """After libvirt has given the NICs back."""

    def test_only_what_left_in_this_boot_is_restored(self, tmp_path: Path) -> None:
        host = two_nics(tmp_path)
        is_away(host, BOOT)
        is_away(host, "an earlier boot", SECOND)
        assert host.hook.release(domain_xml(BOTH)) == []
        assert [state.address for state in host.restored] == [NIC]
        assert host.kept(SECOND).away == "an earlier boot"

    def test_what_only_the_mark_of_the_start_tells_of_is_restored_too(self, tmp_path: Path) -> None:
        """Its record could not be written when it left; the script may stand alone too."""
        host = two_nics(tmp_path)
        note_start(host.files, BOTH.uuid, (SECOND,))
        assert host.hook.release(domain_xml(BOTH)) == []
        assert [state.address for state in host.restored] == [SECOND]
        assert read_start(host.files, BOTH.uuid) == ()

    def test_a_mark_that_alone_tells_of_a_nic_outlives_a_failure(self, tmp_path: Path) -> None:
        host = two_nics(tmp_path)
        note_start(host.files, BOTH.uuid, (SECOND,))
        host.failure = StepError("No carrier.")
        assert len(host.hook.release(domain_xml(BOTH))) == 1
        assert read_start(host.files, BOTH.uuid) == (SECOND,)
        host.failure = None
        assert host.hook.release(domain_xml(BOTH)) == []
        assert len(host.restored) == 2

    def test_one_that_the_records_tell_of_all_does_not(self, tmp_path: Path) -> None:
        """The VM has stopped, so no start of it stands any more."""
        host = two_nics(tmp_path)
        host.hook.prepare(domain_xml(BOTH))
        host.failure = StepError("No carrier.")
        assert len(host.hook.release(domain_xml(BOTH))) == 2
        assert read_start(host.files, BOTH.uuid) == ()

    def test_a_mark_without_a_nic_goes_with_the_stop(self, host: Host) -> None:
        host.give()
        note_start(host.files, VM.uuid, ())
        assert host.hook.release(domain_xml(VM)) == []
        assert not (host.root / admission.STARTED[1:] / VM.uuid).exists()

    def test_a_damaged_record_is_told_once(self, tmp_path: Path) -> None:
        host = two_nics(tmp_path)
        host.hook.prepare(domain_xml(BOTH))
        host.files.write_atomic(f"{NICS}/{NIC}.json", b'{"state":')
        (told,) = host.hook.release(domain_xml(BOTH))
        assert "damaged" in told.sentence
        assert [state.address for state in host.restored] == [SECOND]

    def test_also_where_no_other_is_out(self, host: Host) -> None:
        host.files.write_atomic(f"{NICS}/{NIC}.json", b'{"state":')
        (told,) = host.hook.release(domain_xml(VM))
        assert "damaged" in told.sentence
        assert told.exit_code == ExitCode.ROLLED_BACK

    def test_a_mark_that_cannot_be_taken_away_is_told(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> NoReturn:
            raise OSError(errno.EROFS, "Read-only file system")

        host.give()
        host.hook.prepare(domain_xml(VM))
        monkeypatch.setattr(hook_module, "forget_start", refuse)
        (told,) = host.hook.release(domain_xml(VM))
        assert "Read-only file system" in told.sentence
        assert len(host.restored) == 1

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (ZeroDivisionError("division"), "ZeroDivisionError: division."),
            (OSError(errno.EIO, "Input/output error"), "Input/output error."),
            (StepError("No carrier."), "No carrier."),
        ],
    )
    def test_a_failure_says_which_nic_and_that_it_is_tried_again(
        self, error: Exception, words: str, host: Host
    ) -> None:
        host.give()
        host.hook.prepare(domain_xml(VM))
        host.failure = error
        (told,) = host.hook.release(domain_xml(VM))
        assert told.sentence == f"{NIC} came back, but not as it was: {words}"
        assert "nicpass recover" in told.hint


class TestWaiting:
    """A run that is about to end is waited for, at a start as at a stop."""

    @pytest.fixture
    def waited(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[float]]]:
        """Has another run at work, which ends as soon as somebody waits for it; answers how long they would have."""
        patience: list[float] = []
        with contextlib.ExitStack() as other:

            def wait(is_true: Callable[[], bool], timeout: float, interval: float) -> bool:
                assert not is_true()
                assert 0 < interval <= 0.05, "libvirt waits"
                patience.append(timeout)
                other.close()
                return wait_until(is_true, timeout, interval)

            def begin() -> list[float]:
                other.enter_context(at_work(host.files))
                monkeypatch.setattr(hook_module, "_PATIENCE", LONG)
                monkeypatch.setattr(admission, "wait_until", wait)
                return patience

            yield begin

    def test_a_start(self, host: Host, waited: Callable[[], list[float]]) -> None:
        host.give()
        patience = waited()
        host.hook.prepare(domain_xml(VM))
        assert (patience, host.kept().away) == ([LONG], BOOT)

    def test_a_stop(self, host: Host, waited: Callable[[], list[float]]) -> None:
        host.give()
        host.hook.prepare(domain_xml(VM))
        patience = waited()
        assert host.hook.release(domain_xml(VM)) == []
        assert (patience, len(host.restored)) == ([LONG], 1)

    def test_what_came_back_meanwhile_is_not_restored_again(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        """The run that had the lock was `nicpass recover`."""
        host.give()
        host.hook.prepare(domain_xml(VM))

        @contextlib.contextmanager
        def admit(*_: object, **__: object) -> Iterator[None]:
            settle_nic(host.files, host.kept())
            yield

        monkeypatch.setattr(hook_module, "admit", admit)
        host.hook.release(domain_xml(VM))
        assert host.restored == []
