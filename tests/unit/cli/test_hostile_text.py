# SPDX-License-Identifier: Apache-2.0
"""Whatever stands in the fields of a host or of a journal: no terminal, no shell and no reader of JSON is harmed."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nicpass.cli.main import main
from nicpass.model.address import Address
from nicpass.model.change import Closed, Opened, Phase, Record, StepRecord
from nicpass.model.host import Host
from nicpass.model.plan import GiveBackNic, NicState, Plan
from nicpass.model.request import UndoRequest
from tests.support.hosts import address, link, network, nic, pf_with_vfs, ready_host, route
from tests.support.leaves import change_text
from tests.support.strategies import values_of
from tests.support.trees import Vm, hostdev_xml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NIC = "0000:01:00.0"
TEXTS = [
    "\x1b]0;owned\x07\x1b[1A\x1b[2K",
    "\x9b31m\x85\x7f",
    "\nnicpass: all is well\r\n",
    "\u202egnp\u2066\u2028\u200b\u2029",
    "'; CANARY; '",
    "$(CANARY)`CANARY`;CANARY\n",
    "\n--\nCANARY\nEND\nXML\nNICPASS_XML\nCANARY\n",
    "x" * 10_000,
    "{nic}{0}%s\\x1b\\xff\\",
]
PREFIXES = ["", "-"]
EXIT_CODES = set(range(8))


def busy_host(folder: Path) -> Host:
    """A host with something in most of its fields."""
    tree = ready_host(
        nic(NIC, "eth1"),
        *pf_with_vfs("0000:02:00.0", "eth2", 2),
        net=network(
            link("eth1"),
            link("eth1.5", lower="eth1", kind="vlan"),
            link("br0", kind="bridge"),
            link("eth2", master="br0", alias="uplink"),
            address("eth1", "10.0.0.5/24"),
            address("br0", "10.0.1.5/24"),
            route("eth1"),
            route("br0", "10.0.7.0/24", gateway="10.0.1.1"),
        ),
        vms=(Vm(name="guest"), Vm(name="other", devices=hostdev_xml("0000:02:00.0") + hostdev_xml("0000:09:00.0"))),
        cmdline="intel_iommu=on vfio-pci.ids=8086:10fb module_blacklist=ixgbe",
        files={
            "/etc/modprobe.d/a.conf": "options vfio-pci ids=8086:10fb\nblacklist ixgbe\n",
            "/etc/udev/rules.d/a.rules": 'ATTR{vendor}=="0x8086", ATTR{driver_override}="vfio-pci"\n',
            "/proc/self/mountinfo": "22 1 8:0 / / rw - ext4 /dev/sda rw\n"
            "99 22 0:77 / /srv rw - nfs4 10.0.7.9:/x rw,addr=10.0.7.9\n",
        },
    )
    return tree.read(folder)


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*argv: str) -> tuple[int, str, str]:
        code = main(list(argv))
        captured = capsys.readouterr()
        assert code in EXIT_CODES
        assert "mistake of nicpass" not in captured.out + captured.err
        for line in (captured.out + captured.err).split("\n"):
            assert line.isprintable(), (argv, line)
            assert not line.startswith(("nicpass: all", "CANARY"))
        return code, captured.out, captured.err

    return run


def poison(host: Host, places: tuple[str, ...], prefix: str, text: str) -> Host:
    """The host with hostile text around each text of these structs (`Link.`) or fields (`Link.name`)."""
    return change_text(host, lambda old, place: f"{prefix}{old}{text}" if place.startswith(places) else old)


def keep(folder: Path, host: Host) -> str:
    path = folder / "host.json"
    path.write_bytes(msgspec.json.encode(host))
    return str(path)


def assert_harmless(line: str) -> None:
    """The shell lines have no word of the text's own: all of it stands between quotes."""
    if "$'" in line:
        line = re.sub(r"\$'(?:[^'\\]|\\.)*'", "word", line)
    words = list(shlex.shlex(line, posix=True, punctuation_chars=True))
    assert "CANARY" not in words, line


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_in_every_field_of_a_host(
    prefix: str, text: str, tmp_path: Path, told: Callable[..., tuple[int, str, str]]
) -> None:
    whole = busy_host(tmp_path)
    # Each time all texts of one kind of struct, so that the rest of the host is still understood.
    places: set[str] = set()
    change_text(whole, lambda value, place: places.add(place.partition(".")[0]) or value)  # type: ignore[func-returns-value]
    for struct in sorted(places):
        host = poison(whole, (f"{struct}.",), prefix, text)
        snapshot = keep(tmp_path, host)
        vm = host.domains[0].uuid  # type: ignore[index]
        for argv in (
            ["list"],
            ["list", NIC],
            ["check"],
            ["check", "-v", "--vm", vm],
            ["check", "--security"],
            ["attach", "--dry-run", vm, NIC],
            ["attach", "--dry-run", vm, NIC, "--allow", "CARRIES_DEFAULT_ROUTE"],
            ["detach", "--dry-run", "other", "0000:02:00.0"],
            ["vf", "create", "0000:02:00.0", "--count", "3", "--dry-run"],
        ):
            told(*argv, "--snapshot", snapshot)
        for argv in (
            ["list"],
            ["check", "--vm", vm],
            ["attach", "--dry-run", vm, NIC],
            ["snapshot"],
            ["snapshot", "--redact"],
        ):
            _, output, _ = (
                told(*argv, "--json", "--snapshot", snapshot)
                if argv[0] != "snapshot"
                else told(*argv, "--snapshot", snapshot)
            )
            json.loads(output)
        assert_commands_harmless(told("check", "--json", "--vm", vm, "--snapshot", snapshot)[1])


def assert_commands_harmless(output: str) -> None:
    report: dict[str, Any] = json.loads(output)
    if "error" in report:
        return
    for finding in [*report["host"], *(finding for each in report["nics"] for finding in each["findings"])]:
        command = finding["command"]
        if "<<" not in command:
            assert all(line.isprintable() for line in command.split("\n")), command
            assert_harmless(command)


@pytest.mark.parametrize("text", TEXTS)
def test_json_is_the_exact_data(text: str, tmp_path: Path, told: Callable[..., tuple[int, str, str]]) -> None:
    host = change_text(busy_host(tmp_path), lambda value, _place: value + text)
    _, output, _ = told("snapshot", "--snapshot", keep(tmp_path, host))
    assert msgspec.json.decode(output, type=Host) == host


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_shell_lines(prefix: str, text: str, tmp_path: Path, told: Callable[..., tuple[int, str, str]]) -> None:
    whole = ready_host(nic(NIC, "eth1"), net=network(link("eth1")), vms=(Vm(name="guest"),)).read(tmp_path)
    for places in (("Domain.name",), ("Link.name", "PciFunction.netdevs"), ("PciFunction.driver",)):
        host = poison(whole, places, prefix, text)
        vm = host.domains[0].uuid  # type: ignore[index]
        code, output, error = told("attach", vm, NIC, "--start", "--dry-run=shell", "--snapshot", keep(tmp_path, host))
        assert (code, error) == (0, "")
        for line in output.split("\n"):
            if not line.startswith(("#", "<", " ")):
                assert_harmless(line)


@given(values_of(Host), st.sampled_from(TEXTS))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_any_host(tmp_path: Path, told: Callable[..., tuple[int, str, str]], host: Host, text: str) -> None:
    snapshot = keep(tmp_path, change_text(host, lambda value, _place: value + text))
    for argv in (["list"], ["check", "-v"], ["check", "--security", "-v"], ["list", "--json"], ["check", "--json"]):
        told(*argv, "--snapshot", snapshot)


@given(values_of(Plan), st.lists(values_of(StepRecord), max_size=2), st.sampled_from(TEXTS), st.booleans())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_any_journal(
    tmp_path: Path,
    told: Callable[..., tuple[int, str, str]],
    plan: Plan,
    steps: list[StepRecord],
    text: str,
    closed: bool,
) -> None:
    folder = tmp_path / "var/lib/nicpass/journal"
    folder.mkdir(parents=True, exist_ok=True)
    records: list[Record] = [Opened(time=1.0, boot_id="boot", plan=plan)]
    records += [msgspec.structs.replace(step, time=2.0) for step in steps]
    records += [Closed(time=3.0, exit_code=6, sentence="sentence")] if closed else []
    lines = [msgspec.json.encode(change_text(record, lambda value, _place: value + text)) for record in records]
    (folder / "20260101T000000Z-1.jsonl").write_bytes(b"\n".join([*lines, b""]))
    for argv in (["history"], ["show"], ["history", "--json"], ["show", "--json"]):
        told(*argv, "--root", str(tmp_path))


def test_an_error_that_is_nothing_but_a_line_of_ours(tmp_path: Path, told: Callable[..., tuple[int, str, str]]) -> None:
    state = NicState(address=Address("0000:01:00.0"), driver=None)
    step = GiveBackNic(address=state.address, state=state)
    folder = tmp_path / "var/lib/nicpass/journal"
    folder.mkdir(parents=True)
    opened = Opened(time=1.0, boot_id="boot", plan=Plan(summary="s", request=UndoRequest(change="c"), steps=(step,)))
    for text in TEXTS:
        record = StepRecord(time=2.0, number=0, phase=Phase.UNDO_FAILED, step=step, error=text)
        lines = [msgspec.json.encode(each) for each in (opened, record)]
        (folder / "20260101T000000Z-1.jsonl").write_bytes(b"\n".join([*lines, b""]))
        told("show", "--root", str(tmp_path))


@pytest.mark.parametrize("word", ["a\udcffb", "\ud800", *TEXTS])
def test_in_the_words_of_the_command(word: str, tmp_path: Path, told: Callable[..., tuple[int, str, str]]) -> None:
    snapshot = keep(tmp_path, busy_host(tmp_path))
    for argv in (
        ["list", word],
        ["check", word, "--vm", word],
        ["attach", word, word, "--dry-run"],
        ["explain", word],
        [word],
    ):
        told(*argv, *(["--snapshot", snapshot] if argv[0] in ("list", "check", "attach") else []))
        told(*argv, "--json", *(["--snapshot", snapshot] if argv[0] in ("list", "check", "attach") else []))
    told("list", "--snapshot", word.replace("\0", ""))
    told("list", "--json", "--root", word)
