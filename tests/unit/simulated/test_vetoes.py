# SPDX-License-Identifier: Apache-2.0
"""A veto says the whole way out, that way is one, and whoever looks at the host later sees that there was a veto."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.cli.arguments.parser import build_parser
from nicpass.cli.arguments.requests import request_of
from nicpass.engine.nic.store import read_kept_nic
from nicpass.model.address import Address
from nicpass.model.network import IpAddress
from nicpass.model.request import AttachRequest, DetachRequest, UndoRequest
from tests.support.simulation.hardware import NIC
from tests.support.simulation.host import LAST, SimulatedHost, do
from tests.support.simulation.scenes import ALLOW, WEB

if TYPE_CHECKING:
    from nicpass.model.request import Request
    from tests.support.simulation.host import Machine, Outcome
    from tests.unit.simulated.conftest import Seen

pytestmark = pytest.mark.spawns

BEFORE = frozenset({"CARRIES_ROUTE"})


def set_address(host: SimulatedHost, there: bool) -> None:
    def act(machine: Machine) -> None:
        interfaces = machine.kernel.interfaces
        index = interfaces.index_of("lan0")
        assert index is not None
        if there:
            interfaces.add_address(index, IpAddress(netdev="lan0", address="10.3.0.5", prefix_length=24))
        else:
            for address in ("10.3.0.5", "2001:db8:3::5"):
                with contextlib.suppress(OSError):  # it is gone already
                    interfaces.remove_address(index, address)

    assert host.run(act).exit_code == 0


def start_web(machine: Machine) -> None:
    """As an administrator does by virsh; the guard's own words are its error."""
    machine.daemon.hooks.prepare(machine.daemon.definitions()[WEB].read_text())
    machine.daemon.start(WEB)


def given_without_address(host: SimulatedHost) -> None:
    set_address(host, False)
    do(host, AttachRequest(vm="web", nic="lan0", allow=BEFORE))
    set_address(host, True)


def veto(host: SimulatedHost) -> Outcome:
    done = host.run(start_web)
    assert "is not started" in done.sentence
    return done


def typed(line: str) -> Request:
    """The request that a command line stands for."""
    words = shlex.split(line)
    assert words[0] == "nicpass"
    return request_of(build_parser(words[1]).parse_args(words[1:]))


def test_the_command_that_a_veto_prints_works(host: SimulatedHost) -> None:
    given_without_address(host)
    told = veto(host).hint
    command = re.search(r"nicpass attach [^.]*--start", told.replace(NIC, NIC.replace(".", "@")))
    assert command is not None, told
    request = typed(command[0].replace("@", "."))
    assert isinstance(request, AttachRequest)
    assert request.start
    do(host, request)
    assert f"nicpass detach web {NIC}" in told


def test_what_is_allowed_later_is_added_to_the_record_and_taken_out_by_undo(host: SimulatedHost) -> None:
    given_without_address(host)
    veto(host)
    do(host, AttachRequest(vm="web", nic=NIC, allow=ALLOW))
    assert terms(host) == ALLOW
    do(host, UndoRequest(change=LAST))
    assert terms(host) == BEFORE
    veto(host)


def terms(host: SimulatedHost) -> frozenset[str]:
    content = (host.base / f"root/var/lib/nicpass/nics/{NIC}.json").read_bytes()
    return frozenset(json.loads(content)["owner"]["allow"])


def test_what_was_allowed_first_needs_no_second_word(host: SimulatedHost) -> None:
    do(host, AttachRequest(vm="web", nic=NIC, allow=ALLOW))
    do(host, AttachRequest(vm="web", nic=NIC, start=True))
    assert terms(host) == ALLOW


def test_what_another_vm_may_is_not_allowed_to_this_one(host: SimulatedHost) -> None:
    do(host, AttachRequest(vm="web", nic=NIC, allow=ALLOW))
    do(host, AttachRequest(vm="db", nic=NIC, start=True), exit_code=4)


def test_an_undone_start_with_more_allowed_takes_both_back(host: SimulatedHost) -> None:
    given_without_address(host)
    do(host, AttachRequest(vm="web", nic=NIC, allow=ALLOW, start=True))
    do(host, UndoRequest(change=LAST, stop=True))
    assert terms(host) == BEFORE


def test_terms_that_somebody_changed_since_are_not_undone(host: SimulatedHost) -> None:
    given_without_address(host)
    do(host, AttachRequest(vm="web", nic=NIC, allow=ALLOW))
    path = host.base / f"root/var/lib/nicpass/nics/{NIC}.json"

    def act(machine: Machine) -> None:
        kept = read_kept_nic(machine.files, Address(NIC))
        assert kept is not None
        assert kept.owner is not None
        owner = msgspec.structs.replace(kept.owner, allow=BEFORE)
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(kept, owner=owner)))

    host.run(act)
    assert "other terms" in do(host, UndoRequest(change=LAST), exit_code=4).sentence


class TestTold:
    """Whoever looks at the host after a veto."""

    def test_list_check_and_history(self, host: SimulatedHost, seen: Seen) -> None:
        given_without_address(host)
        veto(host)
        seen("list")
        assert "A start of the VM web was vetoed" in seen.error
        assert "carries an address of the host" in seen.error
        assert "--start" in seen.error
        told = seen("check")
        assert "START_VETOED" in told
        assert f"       nicpass attach web {NIC} --allow HAS_ADDRESS --start\n" in told
        rows = [line for line in seen("history").splitlines() if "vetoed" in line]
        assert len(rows) == 1
        assert "web" in rows[0]
        (told,) = json.loads(seen("history", "--json"))["vetoes"]
        assert (told["vm"], told["codes"]) == ("web", ["HAS_ADDRESS"])

    def test_a_start_that_goes_on_ends_it_and_history_knows_it_still(self, host: SimulatedHost, seen: Seen) -> None:
        given_without_address(host)
        veto(host)
        set_address(host, False)
        assert host.run(start_web).exit_code == 0
        seen("list")
        assert "vetoed" not in seen.error
        assert "vetoed" in seen("history")

    def test_a_nic_that_was_taken_back_ends_it(self, host: SimulatedHost, seen: Seen) -> None:
        given_without_address(host)
        veto(host)
        do(host, DetachRequest(vm="web", nic=NIC))
        seen("list")
        assert "vetoed" not in seen.error

    def test_the_last_ten_stay(self, host: SimulatedHost, seen: Seen) -> None:
        given_without_address(host)
        for _ in range(12):
            veto(host)
        assert len(json.loads(seen("history", "--json"))["vetoes"]) == 10

    def test_a_veto_that_cannot_be_put_down_is_a_veto(self, host: SimulatedHost) -> None:
        given_without_address(host)
        (host.base / "root/var/lib/nicpass/vetoes").write_text("in the way")
        veto(host)
