# SPDX-License-Identifier: Apache-2.0
"""What a program reads beside the prose: the link, the use, and what of a NIC's state is left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from nicpass.cli.boot import preparing
from nicpass.cli.boot.planning import Work
from nicpass.cli.main import main
from nicpass.cli.render.documents import without_sysctls
from nicpass.cli.source import Source
from nicpass.engine.journal import Journal
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.change import Phase
from nicpass.model.errors import RebootNeededError
from nicpass.model.host import Host
from nicpass.model.network import Link, LinkSettings, Setting
from nicpass.model.plan import NicState, Plan, TakeNic
from nicpass.model.request import AttachRequest, PrepareRequest
from tests.support.hosts import address, link, network, nic, ready_host, route

if TYPE_CHECKING:
    from pathlib import Path

NIC = "0000:01:00.0"
SPEED = "/sys/class/net/eth1/speed"
SYSCTLS = (Setting("ipv4/conf/rp_filter", "1"), Setting("ipv6/conf/mtu", "1500"))
STATE = NicState(
    address=Address(NIC),
    driver="igb",
    links=(Link(name="eth1", settings=LinkSettings(rings=(Setting("rx", "256"),), sysctls=SYSCTLS)),),
)
TAKE = TakeNic(address=Address(NIC), state=STATE)
PLAN = Plan(summary="Give it", request=AttachRequest(vm="web", nic="eth1"), steps=(TAKE,))


class Listed:
    """`nicpass list --json` of a host with one NIC."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def __call__(self, **more: Any) -> Any:
        main(["list", "--json", "--root", str(ready_host(nic(NIC, "eth1"), **more).write(self.folder))])
        (view,) = json.loads(self.capsys.readouterr().out)["nics"]
        return view


@pytest.fixture
def listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Listed:
    return Listed(tmp_path, capsys)


@pytest.mark.parametrize(
    ("of_link", "speed", "state", "told"),
    [
        ({"carrier": True}, "10000\n", "up", 10000),
        ({"carrier": True}, "-1\n", "up", None),
        ({"carrier": False}, "10000\n", "down", None),
        ({"carrier": None}, "10000\n", "unknown", None),
        ({"carrier": None, "up": False}, "10000\n", "down", None),
    ],
)
def test_the_link(of_link: dict[str, Any], speed: str, state: str, told: int | None, listed: Listed) -> None:
    found = msgspec.structs.replace(link("eth1"), **of_link)
    (netdev,) = listed(net=network(found), files={SPEED: speed})["netdevs"]
    assert (netdev["link_state"], netdev["link_speed"]) == (state, told)


def test_an_interface_that_nobody_shows(listed: Listed) -> None:
    (netdev,) = listed(net=network())["netdevs"]
    assert (netdev["link"], netdev["link_state"], netdev["link_speed"]) == ("unknown", "unknown", None)


def test_the_use(listed: Listed) -> None:
    above = link("br0", kind="bridge")
    net = network(
        link("eth1", master="br0"), above, address("br0", "10.0.0.5/24"), route("br0"), route("br0", "10.9.0.0/24")
    )
    view = listed(net=net)
    assert view["use"] == [
        {"kind": "default_route", "netdev": "br0", "value": "default route"},
        {"kind": "address", "netdev": "br0", "value": "10.0.0.5/24"},
        {"kind": "upper", "netdev": "br0", "value": "br0"},
    ]
    assert view["used_for"] == "default route, 10.0.0.5/24, br0"


def test_no_use(listed: Listed) -> None:
    assert listed(net=network(link("eth1")))["use"] == []


def test_a_use_that_cannot_be_seen(listed: Listed) -> None:
    assert "unknown" in listed(network=None)["use"]


def test_sysctls_are_left_out_wherever_they_stand() -> None:
    assert without_sysctls(PLAN).steps == (
        msgspec.structs.replace(TAKE, state=msgspec.structs.replace(STATE, links=(without_sysctls(STATE.links[0]),))),
    )
    told = msgspec.json.encode(without_sysctls((PLAN, {"a": 1})))
    assert b"rp_filter" not in told
    assert b"rings" in told


@pytest.mark.parametrize(("words", "full"), [((), False), (("--full",), True)])
def test_a_change_is_told_with_them_only_where_they_are_asked_for(
    words: tuple[str, ...], full: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Journal.open(Files(str(tmp_path)), PLAN).record(0, Phase.DOING, TAKE)
    assert main(["show", "--json", *words, "--root", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert json.loads(told)["full"] is full
    assert told.count("rp_filter") == 2 * full


class TestPrepare:
    """One document, whatever a run of prepare comes to do."""

    @pytest.fixture
    def prepare(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
        files = Files(str(tmp_path))
        plan = Plan(summary="This host is prepared already", request=PrepareRequest(), steps=())
        work = Work(Source(files, Host(pci=()), is_live=False), plan, is_reboot_due=True)
        monkeypatch.setattr(preparing, "Files", lambda *_: files)
        monkeypatch.setattr("nicpass.cli.journal.settling.Files", lambda *_: files)
        monkeypatch.setattr("nicpass.cli.journal.settling.owed_nics", lambda *_: ())
        monkeypatch.setattr(preparing, "plan_work", lambda *_: work)
        monkeypatch.setattr("os.geteuid", lambda: 0)
        monkeypatch.setattr(preparing, "outlive_session", lambda: None)

        def run(*words: str) -> tuple[int, Any]:
            code = main(["prepare", "--json", *words])
            return code, json.loads(capsys.readouterr().out)

        return run

    def test_a_reboot_is_to_come(self, prepare: Any) -> None:
        code, told = prepare()
        assert (code, told["schema"], told["reboot_needed"]) == (5, "nicpass.outcome/1", True)

    def test_a_reboot_that_does_not_begin(self, prepare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_arguments: object) -> int:
            raise RebootNeededError("The host does not reboot: no.", "systemctl reboot")

        monkeypatch.setattr(preparing, "_reboot", fail)
        code, told = prepare("--reboot")
        assert (code, told["error"]["code"]) == (5, "REBOOT_NEEDED")
        assert told["summary"] == "This host is prepared already"

    def test_the_look_after_it(self, prepare: Any) -> None:
        code, told = prepare("--finish")
        assert (code, told["schema"], told["settled"]) == (0, "nicpass.recover/1", [])
