# SPDX-License-Identifier: Apache-2.0
"""A guard whose nicpass is gone: no VM is kept from its start for that, unless the host would be lost; all is told."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

import msgspec
import pytest

from nicpass.engine.admission import forget_nic_of_start, note_start, read_start
from nicpass.engine.nic.owed import find_owed, settle_owed
from nicpass.engine.nic.store import BOOT_ID, KeptNic, keep_nic
from nicpass.engine.nic.take import take_handlers
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Processes
from nicpass.hypervisor.libvirt.hook import Hook
from nicpass.model.address import Address
from nicpass.model.domain import Domain, DomainDevice
from nicpass.model.plan import NicOwner, NicState, TakeNic
from tests.support.broken_guard import NIC, SESSIONS, VM, BrokenHost
from tests.support.trees import UUID, domain_xml, hostdev_xml

pytestmark = pytest.mark.spawns

OTHER = "0000:02:00.0"
MAPPED = "0000000000000000FFFF0000"
LOCAL_6 = "B80D0120000000000000000005000000"  # 2001:db8::5, as a machine of little endian has it
PEER_6 = "B80D0120000000000000000009000000"
ON_LINK = "route eth1 0005000A 00FFFFFF"


@pytest.fixture
def host(tmp_path: Path) -> BrokenHost:
    return BrokenHost(tmp_path)


class TestStart:
    """What is decided without Python."""

    @pytest.mark.parametrize("code", [1, 2, 9, 126, 127, 137, 139])
    def test_a_start_goes_on_and_is_told_at_once(self, code: int, host: BrokenHost) -> None:
        host.answer(code)
        host.netdev("eth0", OTHER)
        host.route("eth0")
        done = host.call()
        assert done.returncode == 0
        assert f"nicpass: web01 starts and its NICs ( {NIC} ) were not looked at: nicpass is broken" in done.stderr
        assert f"could not run it (exit code {code})" in done.stderr
        assert "Install nicpass anew, then: nicpass recover" in done.stderr
        log = host.log.read_text()
        assert log.startswith("-t nicpass -p daemon.err -- web01 starts and its NICs")
        why = f"{host.python} could not run it (exit code {code})"
        assert host.events() == {f"{VM.uuid}.started": ["started", NIC, why, "", "web01"]}

    def test_an_upgrade_of_python_as_it_was_reported(self, host: BrokenHost) -> None:
        """Debian 12 to 13: the venv's python is a link to one of another minor version, which has no nicpass."""
        host.python.unlink()
        host.python.symlink_to(sys.executable)
        done = host.call()
        assert done.returncode == 0
        assert "No module named" in done.stderr
        assert list(host.events()) == [f"{VM.uuid}.started"]
        assert host.call("release").returncode == 0
        assert sorted(host.events()) == [f"{VM.uuid}.started", f"{VM.uuid}.stopped"]

    @pytest.mark.parametrize(
        ("what", "words"), [("python", "python is not there"), ("package", "nicpass is not there")]
    )
    def test_a_removal_is_told_too(self, what: str, words: str, host: BrokenHost) -> None:
        (host.python if what == "python" else host.package / "cli/hook.py").unlink()
        done = host.call()
        assert done.returncode == 0
        assert words in done.stderr
        assert words in host.log.read_text()

    def test_the_start_is_noted_as_the_guard_does_it(self, host: BrokenHost) -> None:
        host.call()
        lines = (host.root / f"run/nicpass/started/{VM.uuid}").read_text().splitlines()
        assert abs(float(lines[0]) - time.time()) < 60
        assert lines[1:] == [NIC]
        assert (host.root / "run/nicpass").stat().st_mode & 0o777 == 0o700
        assert not list((host.root / "run/nicpass/started").glob(".*"))

    def test_a_vm_without_our_nics_is_let_through_in_silence(self, host: BrokenHost) -> None:
        done = host.call(vm=dataclasses.replace(VM, uuid=UUID.format(7)))
        assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
        assert not host.log.exists()

    def test_so_is_one_whose_definition_has_the_nic_no_more(self, host: BrokenHost) -> None:
        """Its record has outlived it; the host uses the NIC by now."""
        host.route("eth1")
        done = host.call(vm=dataclasses.replace(VM, devices=hostdev_xml(OTHER)))
        assert (done.returncode, host.events()) == (0, {})

    def test_a_veto_says_what_would_be_lost_and_the_way_out(self, host: BrokenHost) -> None:
        host.route("eth1")
        done = host.call()
        assert done.returncode == 4
        assert "web01 is not started: nicpass is broken" in done.stderr
        assert "a default route of the host leads over eth1" in done.stderr
        assert f"rm {host.hook}" in done.stderr
        assert "is not started" in host.log.read_text()
        ((name, lines),) = host.events().items()
        assert name == f"{VM.uuid}.vetoed"
        assert lines[3] == "a default route of the host leads over eth1"
        assert not (host.root / "run/nicpass/started").exists()

    def test_a_name_writes_no_line_of_its_own(self, host: BrokenHost) -> None:
        done = host.call(name="web\nnicpass: all is well")
        assert len([line for line in done.stderr.splitlines() if line.startswith("nicpass: ")]) == 1
        assert host.events()[f"{VM.uuid}.started"][-1] == "web nicpass: all is well"

    def test_a_full_disk_is_no_veto_and_is_said(self, host: BrokenHost) -> None:
        """For root no folder is closed: a file in the place of one is as good."""
        host.put("var/lib/nicpass/unguarded", "in the way")
        done = host.call()
        assert done.returncode == 0
        assert "It cannot be put down in /var/lib/nicpass/unguarded: is the disk full?" in done.stderr
        assert list(host.events_of_boot()) == [f"{VM.uuid}.started"]

    def test_nothing_that_can_be_written_is_no_veto_either(self, host: BrokenHost) -> None:
        host.put("var/lib/nicpass/unguarded", "in the way")
        host.put("run", "in the way")
        assert host.call().returncode == 0
        assert "is the disk full?" in host.log.read_text()

    def test_nor_is_a_host_without_the_helpers(self, host: BrokenHost) -> None:
        for tool in ("awk", "ip", "logger", "timeout"):
            host.put(f"tools/{tool}", "#!/bin/sh\nexit 127\n", 0o755)
        done = host.call()
        assert done.returncode == 0
        assert "were not looked at" in done.stderr


LOST: dict[str, tuple[str, ...]] = {
    "a default route": ("route eth1",),
    "one of IPv6": ("route6 eth1",),
    "over a bridge": ("above eth1 br0", "route br0"),
    "over a VLAN on a bond in a bridge": (
        "above eth1 bond0",
        "above bond0 bond0.7",
        "above bond0.7 br0",
        "route br0",
    ),
    "Open vSwitch": ("above eth1 ovs-system", "netdev br-ex", "route br-ex"),
    "virtio": ("virtio eth1", "route eth1"),
    "a session": (ON_LINK, "session 0105000A 0905000A"),
    "a session of both families": (ON_LINK, f"session {MAPPED}0105000A {MAPPED}0905000A tcp6"),
    "a session at another port": (ON_LINK, "port 2222", "session 0105000A 0905000A tcp 01 2222"),
    "a session by IPv6": ("local6 eth1", f"session {LOCAL_6} {PEER_6} tcp6"),
    "a loop of uppers": ("above eth1 a", "above a b", "above b a", "route b"),
}
SPARED: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "another NIC's route": ("netdev eth0", "route eth0", "route6 eth0"),
    "a name that begins alike": ("netdev eth11", "route eth11"),
    "a route to somewhere": (ON_LINK,),
    "a session elsewhere": (ON_LINK, "session 0106000A 0906000A"),
    "a session of another program": (ON_LINK, "session 0105000A 0905000A tcp 01 80"),
    "a port to listen at": (ON_LINK, "session 0105000A 0905000A tcp 0A"),
    "a session that has ended": (ON_LINK, "session 0105000A 0905000A tcp 06"),
    "a session by IPv6 elsewhere": ("local6 eth0", f"session {LOCAL_6} {PEER_6} tcp6"),
    "Open vSwitch beside a bridge with the route": ("above eth1 ovs-system", "above eth0 br0", "route br0"),
    "already without an interface": ("gone eth1", "route eth1"),
}


class TestLoss:
    """What the administrator would lose, by sysfs and /proc alone."""

    @pytest.mark.parametrize("case", LOST)
    def test_is_seen(self, case: str, host: BrokenHost) -> None:
        host.set_up(LOST[case])
        done = host.call()
        assert done.returncode == 4, done.stderr

    @pytest.mark.parametrize("case", SPARED)
    def test_is_not_imagined(self, case: str, host: BrokenHost) -> None:
        host.set_up(SPARED[case])
        done = host.call()
        assert done.returncode == 0, done.stderr

    def test_every_nic_of_the_vm_is_looked_at(self, host: BrokenHost) -> None:
        host.keep(OTHER)
        host.netdev("eth2", OTHER)
        host.route("eth2")
        both = dataclasses.replace(VM, devices=hostdev_xml(NIC) + hostdev_xml(OTHER))
        assert host.call(vm=both).returncode == 4
        assert host.call(vm=VM).returncode == 0


class TestStop:
    """What was not restored stays owed."""

    def test_it_is_told_and_put_down(self, host: BrokenHost) -> None:
        host.call()
        done = host.call("release")
        assert done.returncode == 0
        assert f"The NICs of web01 ( {NIC} ) came back and were not restored" in done.stderr
        assert "were not restored" in host.log.read_text()
        assert (host.root / f"run/nicpass/started/{VM.uuid}").exists()
        assert host.events()[f"{VM.uuid}.stopped"][:2] == ["stopped", NIC]


class TestOwed:
    """What the script let start, and its stop, is settled by nicpass once it runs again."""

    def given(self, root: Path) -> tuple[BrokenHost, Files]:
        script = BrokenHost(root)
        files = Files(str(root))
        state = NicState(address=Address(NIC), driver="igb")
        keep_nic(files, KeptNic(state=state, owner=NicOwner(domain=VM.name, uuid=VM.uuid)))
        return script, files

    def test_it_is_owed_once_the_vm_is_off_and_no_more_once_it_is_back(self, tmp_path: Path) -> None:
        script, files = self.given(tmp_path)
        device = DomainDevice(address=Address(NIC), element="hostdev", managed=True)
        off = Domain(name=VM.name, uuid=VM.uuid, config_devices=(device,))
        running = msgspec.structs.replace(off, running=True, live_devices=(device,))
        assert find_owed(files, lambda: (off,)) == ()
        script.call()
        assert find_owed(files, lambda: (running,)) == ()
        script.call("release")
        (owed,) = find_owed(files, lambda: (off,))
        restored: list[NicState] = []
        (told,) = settle_owed(files, (owed,), restored.append, lambda _: owed.state)
        assert (told.sentence, restored) == ("It was restored.", [owed.state])
        assert find_owed(files, lambda: (off,)) == ()

    def test_a_stop_after_the_mend_restores_what_the_script_let_start(self, tmp_path: Path) -> None:
        script, files = self.given(tmp_path)
        files.write_atomic(BOOT_ID, b"0f2a1f4e-0000-4000-8000-000000000001\n")
        script.call()
        restored: list[NicState] = []
        assert Hook(files, Processes, restored.append).release(domain_xml(VM)) == []
        assert [state.address for state in restored] == [NIC]
        assert read_start(files, VM.uuid) == ()

    def test_of_two_each_is_settled_by_itself(self, tmp_path: Path) -> None:
        _script, files = self.given(tmp_path)
        note_start(files, VM.uuid, (Address(NIC), Address(OTHER)))
        forget_nic_of_start(files, VM.uuid, Address(NIC))
        assert read_start(files, VM.uuid) == (OTHER,)
        forget_nic_of_start(files, VM.uuid, Address(NIC))
        forget_nic_of_start(files, VM.uuid, Address(OTHER))
        assert read_start(files, VM.uuid) == ()

    def test_a_nic_that_is_given_anew_owes_nothing_of_before(self, tmp_path: Path) -> None:
        script, files = self.given(tmp_path)
        script.call()
        script.call("release")
        state = NicState(address=Address(NIC), driver="other")
        take = TakeNic(address=Address(NIC), state=state, owner=NicOwner(domain=VM.name, uuid=VM.uuid))
        take_handlers(files)[TakeNic].apply(take)
        assert find_owed(files, lambda: ()) == ()


class TestProof:
    """A VM of nicpass's own name."""

    NAMED = dataclasses.replace(VM, name="nicpass-proof", uuid=UUID.format(9), devices="")

    def test_it_is_never_let_through_and_its_uuid_is_put_down(self, host: BrokenHost) -> None:
        host.put("run/nicpass/proof", "")
        assert host.call(vm=self.NAMED).returncode == 4
        assert (host.root / "run/nicpass/proof").read_text() == f"{self.NAMED.uuid}\n"

    def test_where_nobody_asked_for_it_it_is_a_vm_like_any(self, host: BrokenHost) -> None:
        assert host.call(vm=self.NAMED).returncode == 0
        assert not (host.root / "run/nicpass").exists()


@pytest.mark.parametrize("peer", ["0100007F", "0906000A"])  # the loopback; one other host, again and again
def test_connections_by_the_thousand_hide_no_session(peer: str, host: BrokenHost) -> None:
    """Any user can hold that many to the port of sshd."""
    lines = "".join(f"   0: {peer}:0016 {peer}:{port:04X} 01 0:0 00:0 0     0\n" for port in range(20_000, 21_500))
    host.put("proc/net/tcp", SESSIONS + lines)
    host.set_up((ON_LINK, "session 0105000A 0905000A"))
    done = host.call()
    assert done.returncode == 4
    assert "somebody is here by ssh over it" in done.stderr
