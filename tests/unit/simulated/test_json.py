# SPDX-License-Identifier: Apache-2.0
"""Every command with --json prints one document, which names its schema and is of it: the commands that change a host.

Those that only look, and refusals, are in `tests/unit/cli/render/test_documents.py`.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from nicpass.cli.schemas import build_schema
from tests.support.simulation.commands import Told, run_command
from tests.support.simulation.effects import Death
from tests.support.simulation.hardware import NIC, VFS
from tests.support.simulation.host import change
from tests.support.simulation.scenes import SCENES, make_ready

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.simulation.host import SimulatedHost

pytestmark = pytest.mark.spawns

ALLOWED = ("--allow", "HAS_ADDRESS", "--allow", "CARRIES_ROUTE")
ATTACH = ("attach", "web", NIC, "--start", *ALLOWED)


def document_of(told: Told) -> Any:
    """The one document that was printed, which is of the schema that it names."""
    document = json.loads(told.output)
    name = document["schema"].removeprefix("nicpass.").removesuffix("/1")
    jsonschema.Draft202012Validator(build_schema(name)).validate(document)
    return document


@pytest.fixture
def nicpass(host: SimulatedHost, tmp_path: Path) -> Callable[..., Any]:
    """Runs a command with --json: its document."""

    def call(*argv: str, exit_code: int = 0) -> Any:
        told = run_command(host, *argv, "--json", report=tmp_path / "report")
        assert told.exit_code == exit_code, told
        return document_of(told)

    return call


def test_a_nics_way_into_a_vm_and_back(nicpass: Callable[..., Any]) -> None:
    plan = nicpass(*ATTACH, "--dry-run")
    assert plan["schema"] == "nicpass.plan/1"
    given = nicpass(*ATTACH)
    assert given["schema"] == "nicpass.outcome/1"
    assert given["way_back"] == f"nicpass undo {given['change']} --stop"
    assert given["now"] == f"web runs, and has {NIC}."
    assert nicpass(*ATTACH)["change"] is None
    back = nicpass("detach", "web", NIC, "--stop")
    assert [field for field in back["compared"] if not field["equal"]] == []
    assert back["now"] == f"web is off, and {NIC} is the host's again."
    assert nicpass("undo", exit_code=4)["schema"] == "nicpass.error/1"
    assert nicpass("undo", *ALLOWED)["way_back"] is not None
    assert nicpass("undo", "nosuch", exit_code=2)["schema"] == "nicpass.error/1"


def test_vfs_that_are_confirmed(nicpass: Callable[..., Any]) -> None:
    made = nicpass("vf", "create", "eth1", "--count", "2", "--confirm-within", "60")
    assert (made["confirm_within"], [vf["address"] for vf in made["vfs"]]) == (60, list(VFS[:2]))
    confirmed = nicpass("confirm")
    assert confirmed["schema"] == "nicpass.confirm/1"
    assert confirmed["confirmed"][0]["way_back"] == f"nicpass undo {made['change']}"
    assert nicpass("confirm", exit_code=2)["error"]["code"] == "BAD_INPUT"
    assert nicpass("vf", "remove", "eth1")["now"].endswith("has no VFs now.")


def test_what_nobody_confirmed(nicpass: Callable[..., Any]) -> None:
    nicpass("vf", "create", "eth1", "--count", "2", "--confirm-within", "60")
    taken = nicpass("recover", "--unconfirmed")
    assert taken["schema"] == "nicpass.recover/1"
    assert [each["vfs"] for each in taken["carried"]] == [[]]
    assert taken["carried"][0]["now"].endswith("has no VFs now.")
    assert taken["errors"] == []


def test_what_was_cut_off(tmp_path: Path, quick_path: Path) -> None:
    host = make_ready(SCENES["attach and start"], quick_path)
    host.run(functools.partial(change, request=SCENES["attach and start"].request), death=Death(8, "after"))
    report = tmp_path / "report"
    document = document_of(run_command(host, "recover", "--json", report=report))
    assert document["schema"] == "nicpass.recover/1"
    assert len(document["settled"]) == 1
    assert document_of(run_command(host, "recover", "--json", report=report))["settled"] == []
    refused = run_command(host, "recover", "--abandon", document["settled"][0]["change"], "--json", report=report)
    assert document_of(refused)["errors"][0]["code"] == "REFUSED"
    assert refused.exit_code == 4
