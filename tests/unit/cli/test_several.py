# SPDX-License-Identifier: Apache-2.0
"""Several NICs on the command line: what it takes and refuses, and that each is told of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.cli.arguments.parser import build_parser
from nicpass.cli.arguments.requests import request_of, words_of
from nicpass.cli.main import main
from nicpass.cli.render.aftermath import way_back, what_is_so_now
from nicpass.cli.render.documents import PlanDocument
from nicpass.cli.render.plan_text import describe_step
from nicpass.model.address import Address
from nicpass.model.boot import BootChange, BootPurpose
from nicpass.model.change import Record
from nicpass.model.plan import (
    ChangeBoot,
    GiveBackNic,
    NicOwner,
    NicState,
    Plan,
    StartDomain,
)
from nicpass.model.request import AttachRequest, DetachRequest, VfRequest
from tests.support.hosts import address, bridge, link, network, nic, pf_with_vfs, ready_host
from tests.support.trees import UUID, Vm, hostdev_xml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.trees import Tree

ONE, TWO = Address("0000:01:00.0"), Address("0000:01:00.1")
CARDS = (bridge("0000:00:01.0"), *(nic(at, name, under="0000:00:01.0") for at, name in ((ONE, "eth1"), (TWO, "eth2"))))
HAVING = Vm(name="guest", devices=hostdev_xml(ONE) + hostdev_xml(TWO))
Told = tuple[int, str, str]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    def told(*argv: str, on: Tree | None = None) -> Told:
        code = main([*argv, "--root", str((on or ready_host(*CARDS)).write(tmp_path))])
        return (code, *capsys.readouterr())

    return told


class TestDryRun:
    @pytest.mark.parametrize("words", [("eth1", "eth2"), ("eth1", "--with-group")])
    def test_the_plan_tells_each(self, words: tuple[str, ...], run: Callable[..., Told]) -> None:
        code, output, _error = run("attach", "guest", *words, "--start", "--dry-run")
        assert code == 0
        assert f"Give eth1 ({ONE}), eth2 ({TWO}) to guest:" in output
        assert all(f"write {at} into the definition" in output for at in (ONE, TWO))
        assert f"libvirt binds {ONE}, {TWO} to vfio-pci" in output

    def test_the_shell_lines_too(self, run: Callable[..., Told]) -> None:
        _code, output, _error = run("attach", "guest", "eth1", "eth2", "--start", "--dry-run=shell")
        assert output.count("virsh attach-device guest") == 2
        assert output.count("virsh start guest") == 1
        assert all(f"readlink /sys/bus/pci/devices/{at}/driver" in output for at in (ONE, TWO))

    def test_the_document_has_them_all(self, run: Callable[..., Told]) -> None:
        _code, output, _error = run("attach", "guest", "eth1", "eth2", "--dry-run", "--json")
        document = msgspec.json.decode(output, type=PlanDocument)
        assert document.request == AttachRequest(vm="guest", nic="eth1", more=("eth2",))
        assert len(document.steps) == 4

    def test_a_detach(self, run: Callable[..., Told]) -> None:
        _code, output, _error = run(
            "detach", "guest", "eth1", "eth2", "--dry-run", on=ready_host(*CARDS, vms=(HAVING,))
        )
        assert f"Take eth1 ({ONE}), eth2 ({TWO}) back from guest:" in output
        assert output.index(f"take {TWO} out") < output.index(f"take {ONE} out")

    def test_a_free_vf_is_explained(self, run: Callable[..., Told]) -> None:
        names = ("eth5", "eth5v0", "eth5v1")
        tree = ready_host(*pf_with_vfs("0000:05:00.0", "eth5", 2), net=network(*map(link, names)))
        code, output, _error = run("attach", "guest", "--from", "eth5", "--dry-run", on=tree)
        assert code == 0
        assert "note: eth5v0 (0000:05:02.0), VF 0 of eth5 (0000:05:00.0), is the first that nobody uses." in output


class TestBadInput:
    @pytest.mark.parametrize(
        ("words", "sentence", "hint"),
        [
            (("guest",), "Which NIC?", "nicpass attach guest NIC"),
            (("guest", "eth1", "eth1"), "is named twice", "Name each NIC once."),
            (("guest", "eth1", ONE), "is named twice", "Name each NIC once."),
            (("guest", "eth1", "--from", "eth2"), "--from chooses the NIC", "nicpass attach guest --from eth2"),
            (("guest", "eth1", "eth2", "--vlan", "7"), "are for one VF", "by a command of its own"),
            (("guest", "eth1", "eth9"), "There is no NIC 'eth9'", "eth"),
            (("eth1", "eth2", "guest"), "the VM comes first", "nicpass attach guest eth1 eth2"),
        ],
    )
    def test_it_is_said_in_a_sentence(
        self, words: tuple[str, ...], sentence: str, hint: str, run: Callable[..., Told]
    ) -> None:
        code, _output, error = run("attach", *words, "--dry-run")
        assert code == 2
        assert sentence in error
        assert hint in error

    def test_a_member_that_the_host_uses(self, run: Callable[..., Told]) -> None:
        net = network(link("eth1"), link("eth2"), address("eth2", "10.1.2.3/24"))
        code, output, _error = run(
            "attach", "guest", "eth1", "--with-group", "--dry-run", "--json", on=ready_host(*CARDS, net=net)
        )
        assert code == 4
        told = json.loads(output)["error"]
        assert f"eth2 ({TWO})" in told["sentence"]
        assert "10.1.2.3" in told["sentence"]

    def test_no_vf_is_free(self, run: Callable[..., Told]) -> None:
        other = Vm(name="other", uuid=UUID.format(2), devices=hostdev_xml("0000:05:02.0"))
        tree = ready_host(
            *pf_with_vfs("0000:05:00.0", "eth5", 1),
            net=network(link("eth5"), link("eth5v0")),
            vms=(Vm(name="guest"), other),
        )
        code, _output, error = run("attach", "guest", "--from", "eth5", "--dry-run", on=tree)
        assert code == 3
        assert "No VF of eth5 (0000:05:00.0) is free: eth5v0 (0000:05:02.0): VM other" in error

    def test_what_is_no_pf_has_no_vf(self, run: Callable[..., Told]) -> None:
        code, _output, error = run("attach", "guest", "--from", "eth1", "--dry-run")
        assert code == 3
        assert "cannot make VFs" in error


def parse(words: list[str]) -> Any:
    return request_of(build_parser(words[0]).parse_args(words))


_NICS = st.lists(st.sampled_from(["eth1", "eth2", ONE, TWO]), min_size=1, max_size=3)


class TestRequests:
    @given(_NICS, st.booleans(), st.booleans(), st.booleans())
    def test_its_words_are_the_request(self, nics: list[str], group: bool, from_pf: bool, start: bool) -> None:
        nics = nics[:1] if from_pf else nics
        request = AttachRequest(
            vm="web", nic=nics[0], more=tuple(nics[1:]), with_group=group, from_pf=from_pf, start=start
        )
        assert parse(words_of(request)) == request
        detach = DetachRequest(vm="web", nic=nics[0], more=tuple(nics[1:]), stop=start)
        assert parse(words_of(detach)) == detach

    def test_a_journal_from_before_there_were_several(self) -> None:
        start = {"type": "start_domain", "address": ONE, "domain": "web", "uuid": "1", "guarded": True}
        request = {"type": "attach", "vm": "web", "nic": "eth1", "start": True}
        plan = {"summary": "Give eth1 to web", "request": request, "steps": [start]}
        line = json.dumps({"type": "opened", "time": 1.0, "boot_id": "b", "plan": plan})
        opened: Any = msgspec.json.decode(line, type=Record)
        assert opened.plan.request == AttachRequest(vm="web", nic="eth1", start=True)
        assert opened.plan.steps == (StartDomain(address=ONE, domain="web", uuid="1", guarded=True),)


def test_what_is_so_now_names_each() -> None:
    request = AttachRequest(vm="web", nic=ONE, more=(TWO,), start=True)
    start = StartDomain(address=ONE, domain="web", uuid="1", more=(TWO,))
    plan = Plan(summary="", request=request, steps=(start,))
    assert what_is_so_now(plan) == f"web runs, and has {ONE}, {TWO}."
    assert way_back(plan, "7") == "nicpass undo 7 --stop"
    assert describe_step(start) == f"start web; libvirt binds {ONE}, {TWO} to vfio-pci"
    backs = tuple(GiveBackNic(address=at, state=NicState(address=at, driver=None)) for at in (TWO, ONE))
    assert what_is_so_now(Plan(summary="", request=request, steps=backs)) == f"{TWO}, {ONE} is the host's again."


@pytest.mark.parametrize(
    ("removes", "sentence"),
    [(False, "Every boot makes these VFs again, and sets them so."), (True, "No boot makes these VFs again.")],
)
def test_what_is_so_now_of_vfs_that_the_boot_alone_is_told_of(removes: bool, sentence: str) -> None:
    step = ChangeBoot(purpose=BootPurpose.VFS, change=BootChange(), removes=removes)
    plan = Plan(summary="", request=VfRequest(pf=ONE, count=0), steps=(step,))
    assert what_is_so_now(plan) == sentence


def test_what_is_so_now_of_a_nic_that_its_vm_has_again_at_its_next_start() -> None:
    state, owner = NicState(address=ONE, driver="igb"), NicOwner(domain="web", uuid=UUID.format(1))
    back = GiveBackNic(address=ONE, state=state, owner=owner, keeps=True)
    plan = Plan(summary="", request=DetachRequest(vm="web", nic=ONE, where="live"), steps=(back,))
    assert what_is_so_now(plan) == f"{ONE} is the host's again, until web is started."
