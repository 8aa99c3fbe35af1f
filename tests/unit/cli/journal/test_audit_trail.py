# SPDX-License-Identifier: Apache-2.0
"""The audit trail: all of the command stands in the journal, and every change in the system's log."""

from __future__ import annotations

import syslog
from typing import TYPE_CHECKING

import pytest

from nicpass.cli.arguments.parser import build_parser
from nicpass.cli.arguments.requests import prepare_request_of, request_of, words_of
from nicpass.cli.carry_out import carry_out
from nicpass.cli.source import Source
from nicpass.engine.nic.store import KeptNic, keep_nic
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.change import Actor
from nicpass.model.errors import StepError
from nicpass.model.host import Host
from nicpass.model.plan import NicOwner, NicState, Plan, SetTerms
from nicpass.model.request import AttachRequest

if TYPE_CHECKING:
    from pathlib import Path

NIC = Address("0000:01:00.0")
ME = Actor(user="alice", process=1, command=("attach", "my vm", "lan0", "--allow", "HAS_ADDRESS"))
BEFORE = NicOwner(domain="web", uuid="1")
AFTER = NicOwner(domain="web", uuid="1", allow=frozenset({"HAS_ADDRESS"}))
PLAN = Plan(
    summary="Allow more",
    request=AttachRequest(vm="web", nic="lan0"),
    steps=(SetTerms(address=NIC, before=BEFORE, after=AFTER),),
)


@pytest.mark.parametrize(
    "line",
    [
        "attach web lan0",
        "attach web lan0 --start --mac 52:54:00:00:00:07 --vlan 20 --confirm-within 60 --allow HAS_ADDRESS --allow X",
        "attach web lan0 --confirm-within 0",
        "detach web lan0 --stop",
        "vf create lan0 --count 4 --confirm-within 60",
        "vf remove lan0 --confirm-within 60",
        "vf create lan0 --count 4 --vlan 20 --qos 3 --proto 802.1ad --trust on --max-tx-rate 100 --state auto",
        "vf set lan0 0-3,7 --vlan 0 --spoofchk off --trust on --min-tx-rate 1 --max-tx-rate 0 --query-rss on",
        "vf set 0000:01:10.0 --mac 52:54:00:00:00:07 --node-guid 00:11:22:33:44:55:66:77 --confirm-within 0",
        "vf set lan0 all --port-guid 00:11:22:33:44:55:66:77 --state disable",
        "prepare lan0 lan1 --remove --iommu-pt --group kvm --confirm-within 60 --allow HAS_ADDRESS",
    ],
)
def test_all_of_the_command_is_kept(line: str) -> None:
    words = line.split()
    arguments = build_parser(words[0]).parse_args(words)
    request = prepare_request_of(arguments) if words[0] == "prepare" else request_of(arguments)
    kept = words_of(request)
    again = build_parser(kept[0]).parse_args(kept)
    assert (prepare_request_of(again) if words[0] == "prepare" else request_of(again)) == request
    assert sorted(kept) == sorted(words)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was told to the system's log, each with the name under which it was."""
    lines: list[str] = []
    names: list[str] = []
    monkeypatch.setattr(syslog, "openlog", lambda name, *_: names.append(name))
    monkeypatch.setattr(syslog, "syslog", lambda _priority, text: lines.append(f"{names[-1]}: {text}"))
    return lines


def source(root: Path, owner: NicOwner | None) -> Source:
    files = Files(str(root))
    if owner is not None:
        keep_nic(files, KeptNic(state=NicState(address=NIC, driver="igb"), owner=owner))
    return Source(files, Host(pci=()), is_live=False)


def test_a_change_goes_to_the_systems_log(logged: list[str], tmp_path: Path) -> None:
    carry_out(PLAN, source(tmp_path, BEFORE), ME, as_json=True)
    command = "nicpass: alice: nicpass attach 'my vm' lan0 --allow HAS_ADDRESS"
    assert logged[0] == f"{command}: begun: Allow more"
    assert logged[1].startswith(f"{command}: done: Allow more (change 2")
    assert len(logged) == 2


def test_a_change_that_fails_too(logged: list[str], tmp_path: Path) -> None:
    with pytest.raises(StepError):
        carry_out(PLAN, source(tmp_path, None), ME, as_json=True)
    assert "not done: Allow more: " in logged[-1]


def test_what_changes_nothing_is_not_logged(logged: list[str], tmp_path: Path) -> None:
    plan = Plan(summary="web has it already", request=AttachRequest(vm="web", nic="lan0"), steps=())
    carry_out(plan, source(tmp_path, None), ME, as_json=True)
    assert logged == []
