# SPDX-License-Identifier: Apache-2.0
"""The guard as it is found: what of it is told, and what is no matter."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nicpass.checks.host.guard import check_guard
from nicpass.host.doors.files import Files
from nicpass.host.redaction import redact
from nicpass.host.system.given import EVENTS, EVENTS_OF_BOOT
from nicpass.hypervisor.libvirt.guard_reading import read_guard
from nicpass.model.fact import Fact, Unknown
from nicpass.model.given import GivenNic
from nicpass.model.guard import HOOK, Guard
from nicpass.model.host import Host
from tests.support.guards import HAVING, NIC, PYTHON, REASON, event, guarded
from tests.support.hosts import VM, ready_host
from tests.support.trees import Tree

GIVEN = (GivenNic(address=NIC),)


def codes(tree: Tree, root: Path) -> list[str]:
    return [finding.code for finding in check_guard(tree.read(root))]


def codes_of(guard: Guard, given: Fact[tuple[GivenNic, ...]] = GIVEN) -> list[str]:
    return [finding.code for finding in check_guard(Host(pci=(), guard=guard, given=given))]


@pytest.mark.parametrize("code", HAVING)
def test_each_is_told_alone(code: str, tmp_path: Path) -> None:
    assert codes(HAVING[code], tmp_path) == [code]


@pytest.mark.parametrize("code", HAVING)
def test_strangers_are_told_the_same(code: str, tmp_path: Path) -> None:
    host = HAVING[code].read(tmp_path)
    redacted = redact(host, bytes(32))
    assert [finding.code for finding in check_guard(redacted)] == [code]
    assert "web01" not in msgspec.json.encode(redacted).decode()


def test_a_guard_in_order_is_no_finding(tmp_path: Path) -> None:
    assert codes(guarded(), tmp_path) == []


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (guarded(python="/usr/bin/python3.13"), f"{PYTHON} is Python 3.13 by now, and nicpass was installed for 3.11"),
        (guarded(python=None), f"{PYTHON} is not there, or may not be run"),
        (guarded(package=False), "site-packages/nicpass is not there"),
    ],
)
def test_why_it_cannot_run(tree: Tree, words: str, tmp_path: Path) -> None:
    (finding,) = check_guard(tree.read(tmp_path))
    assert finding.code == "GUARD_BROKEN"
    assert words in finding.sentence
    assert finding.command == "nicpass recover"


def test_a_nic_that_libvirt_does_not_take_needs_none(tmp_path: Path) -> None:
    assert codes(guarded(managed=False, mode=0o644), tmp_path) == []


def test_of_this_machine_it_is_seen_whether_it_is_ours() -> None:
    facts = Guard(hook_mode=0o755, python="/usr/bin/python3", python_is_there=True, package="/x/nicpass")
    assert codes_of(msgspec.structs.replace(facts, package_is_there=True, is_ours=False)) == ["GUARD_CHANGED"]
    assert codes_of(msgspec.structs.replace(facts, package_is_there=True, is_ours=True)) == []
    # What runs this check is what it names.
    assert codes_of(msgspec.structs.replace(facts, python_version="3.13", package_version="3.11", is_ours=True)) == []


def test_what_may_not_be_read_is_unknown_and_no_guess() -> None:
    denied = Unknown("permission denied: /var/lib/nicpass")
    assert codes_of(Guard(hook_mode=None, unguarded=denied), denied) == []
    assert codes_of(Guard(hook_mode=0o600), denied) == ["GUARD_NOT_EXECUTABLE"]
    assert codes_of(Guard(hook_mode=denied)) == []


def test_selinux_without_the_boolean_confines_nothing(tmp_path: Path) -> None:
    assert codes(ready_host(files={"/sys/fs/selinux/enforce": "1"}), tmp_path) == []
    lax = {"/sys/fs/selinux/enforce": "0", "/sys/fs/selinux/booleans/virt_hooks_unconfined": "0 0"}
    assert codes(ready_host(files=lax), tmp_path / "lax") == []
    on = {"/sys/fs/selinux/enforce": "1", "/sys/fs/selinux/booleans/virt_hooks_unconfined": "1 1"}
    assert codes(ready_host(files=on), tmp_path / "on") == []


def test_what_was_missed_is_read_from_both_folders(tmp_path: Path) -> None:
    files = event("started") | event("stopped", folder=EVENTS_OF_BOOT, name="a\nb")
    host = ready_host(files=files).read(tmp_path)
    assert isinstance(host.guard.unguarded, tuple)
    second, first = host.guard.unguarded  # as old as each other: by their paths
    assert (first.what, first.vm, first.uuid, first.nics) == ("started", "web01", VM.uuid, (NIC,))
    assert (first.when, first.reason, first.loss) == ("2026-01-31 23:59:59 UTC", REASON, "")
    assert first.path == f"{EVENTS}/{VM.uuid}.started"
    assert (second.what, second.vm) == ("stopped", "a\nb")
    assert "a\\nb was stopped" in next(finding.sentence for finding in check_guard(host))


@pytest.mark.parametrize("content", ["", "\n\n", "x", "\x00" * 30_000])
def test_a_damaged_one_is_told_all_the_same(content: str, tmp_path: Path) -> None:
    tree = ready_host(files={f"{EVENTS}/{VM.uuid}.started": content, f"{EVENTS}/.{VM.uuid}.started.new": "half"})
    (finding,) = check_guard(tree.read(tmp_path))
    assert finding.code == "STARTED_UNGUARDED"
    assert VM.uuid in finding.sentence or content.startswith("\x00")


def test_links_that_lead_round_end(tmp_path: Path) -> None:
    tree = guarded(python=None).but(links={PYTHON: PYTHON})
    guard = read_guard(Files(str(tree.write(tmp_path))))
    assert not isinstance(guard.python_version, str)


@pytest.mark.parametrize("text", ["", "python=\npackage='", "python=/p\npackage=/q\n", "\xff\xfe", "#!/bin/sh\n"])
def test_a_script_of_somebody_else_names_nothing_or_words(text: str, tmp_path: Path) -> None:
    tree = guarded().but(files={HOOK: text, **HAVING["GUARD_MISSING"].files}, modes={})
    guard = read_guard(Files(str(tree.write(tmp_path))))
    assert guard.python in (None, "/p")
