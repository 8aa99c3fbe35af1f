# SPDX-License-Identifier: Apache-2.0
"""`nicpass vf`: what it prints, and what it answers to bad input."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shlex
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from nicpass.cli.main import main
from nicpass.engine.vf.unsupported import RELEASE, UNSUPPORTED
from nicpass.model.address import derive_vf_mac
from nicpass.model.network import VfSettings
from tests.support.hosts import bridge, link, network, nic, pf_with_vfs, ready_host
from tests.support.trees import Tree, Vm, hostdev_xml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]

PF, NETDEV, PF_MAC = "0000:03:00.0", "enp3s0f0", "00:1b:21:aa:bb:02"
SET = tuple(
    VfSettings(
        vf_index=number,
        mac=derive_vf_mac(PF_MAC, number),
        vlan=20 if number == 1 else 0,
        qos=3 if number == 1 else 0,
        vlan_protocol="802.1Q",
        spoofchk=number != 2,
        trust=number == 2,
        link_state="auto",
        min_tx_rate=0,
        max_tx_rate=1000 if number == 2 else 0,
    )
    for number in range(4)
)
_FUNCTIONS = pf_with_vfs(PF, NETDEV, 4, totalvfs=8, under="0000:00:01.0")
VFS = _FUNCTIONS[0].vfs
SPEED = {f"/sys/class/net/{NETDEV}/speed": "10000\n"}


def tree(**more: object) -> Tree:
    functions = tuple(
        dataclasses.replace(f, driver="vfio-pci", netdevs=()) if f.address == VFS[1] else f for f in _FUNCTIONS
    )
    pf_link = link(NETDEV, mac=PF_MAC, permanent_mac=PF_MAC, vfs=SET)
    net = network(pf_link, *(link(name) for f in functions[1:] for name in f.netdevs))
    vms = (Vm(name="web01", devices=hostdev_xml(VFS[1])),)
    return ready_host(bridge("0000:00:01.0"), *functions, net=net).but(**{"vms": vms, **more})


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("COLUMNS", raising=False)
    numbers = itertools.count()

    def call(line: str, on: Tree | None = None) -> tuple[int, str, str]:
        root = (on or tree()).write(tmp_path / str(next(numbers)))
        code = main([*shlex.split(line), "--root", str(root)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


class TestList:
    """Which VFs there are, what each is set to, whose it is."""

    def test_in_a_table(self, run: Run) -> None:
        code, output, _ = run("vf list")
        lines = [line.split() for line in output.splitlines()]
        assert (code, lines[0]) == (0, ["PF", "VF", "ADDRESS", "NETDEV", "MAC", "VLAN", "SETTINGS", "VM"])
        assert lines[2] == [NETDEV, "1", VFS[1], "vfio-pci", SET[1].mac, "20", "qos", "3", "-", "web01"]
        assert " spoofchk off, trust on, max_tx_rate 1000 " in output
        assert len(lines) == 5

    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_in_eighty_columns(self, language: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        _, output, _ = run(f"vf list --lang {language}")
        assert [line for line in output.splitlines() if cell_len(line) > 80] == []
        for vf, settings in zip(VFS, SET, strict=True):
            (line,) = (line for line in output.splitlines() if vf in line)
            assert settings.mac in line, "what is to be copied is in one piece"

    @pytest.mark.parametrize("name", [VFS[2], f"{NETDEV}v2"])
    def test_one_vf(self, name: str, run: Run) -> None:
        _, output, _ = run(f"vf list {name} --json")
        (vf,) = json.loads(output)["vfs"]
        told = {"pf": PF, "vf_index": 2, "address": VFS[2], "trust": True, "spoofchk": False, "max_tx_rate": 1000}
        assert told.items() <= vf.items()

    def test_as_json(self, run: Run) -> None:
        code, output, _ = run(f"vf list {NETDEV} --json")
        told = json.loads(output)
        assert (code, told["schema"], [vf["vf_index"] for vf in told["vfs"]]) == (0, "nicpass.vfs/1", [0, 1, 2, 3])
        assert told["vfs"][1]["vms"] == ["web01"]
        assert {*VfSettings.__struct_fields__} <= {*told["vfs"][0]}

    def test_the_other_end_in_switchdev_mode(self, run: Run) -> None:
        end = {
            f"/sys/class/net/{NETDEV}_0/phys_port_name": "pf0vf0\n",
            f"/sys/class/net/{NETDEV}_0/phys_switch_id": "01\n",
        }
        functions = tree().functions
        functions = tuple(
            dataclasses.replace(f, netdevs=(*f.netdevs, f"{NETDEV}_0")) if f.address == PF else f for f in functions
        )
        old = tree().network
        assert old is not None
        net = network(*old.links, link(f"{NETDEV}_0", master="br9"), link("br9", kind="bridge"))
        _, output, _ = run("vf list --json", tree(functions=functions, network=net, files=end))
        assert json.loads(output)["vfs"][0]["representor"] == {"netdev": f"{NETDEV}_0", "master": "br9"}

    def test_of_a_pf_that_tells_nothing(self, run: Run) -> None:
        """Nothing is not known to be nothing."""
        silent = network(*(link(name) for f in _FUNCTIONS for name in f.netdevs))
        _, output, _ = run("vf list", tree(network=silent))
        assert output.splitlines()[1].split()[-3:] == ["?", "?", "-"]

    @pytest.mark.parametrize(
        ("line", "functions", "words"),
        [
            ("vf list", (nic(PF, NETDEV, totalvfs=8),), "No NIC of this host has VFs. To make some:"),
            (f"vf list {NETDEV}", (nic(PF, NETDEV, totalvfs=8),), "has no VFs, and can make 8: nicpass vf create"),
            (f"vf list {NETDEV}", (nic(PF, NETDEV),), "has no VFs, and the kernel shows no SR-IOV for it."),
        ],
    )
    def test_none(self, line: str, functions: tuple[object, ...], words: str, run: Run) -> None:
        code, output, _ = run(line, ready_host(*functions))  # type: ignore[arg-type]
        assert (code, words in output) == (0, True), output
        assert json.loads(run(f"{line} --json", ready_host(*functions))[1])["vfs"] == []  # type: ignore[arg-type]


class TestPlan:
    """--dry-run."""

    def test_in_words_and_in_shell(self, run: Run) -> None:
        line = f"vf set {NETDEV} 0,2-3 --state disable --trust on"
        _, output, _ = run(f"{line} --dry-run")
        assert "Set VFs 0,2-3 of enp3s0f0" in output
        assert f"set VFs of {PF} (0,3: trust on state disable; 2: state disable)" in output
        _, output, _ = run(f"{line} --dry-run=shell")
        words = [shlex.split(line)[4:] for line in output.splitlines() if line.startswith("ip ")]
        assert words == [
            ["$(ls /sys/bus/pci/devices/0000:03:00.0/net | head -n 1)", "vf", *vf]
            for vf in (
                ["0", "trust", "on", "state", "disable"],
                ["2", "state", "disable"],
                ["3", "trust", "on", "state", "disable"],
            )
        ]

    def test_making_and_setting(self, run: Run) -> None:
        bare = ready_host(nic(PF, NETDEV, totalvfs=8), net=network(link(NETDEV, mac=PF_MAC)))
        _, output, _ = run(f"vf create {NETDEV} --count 2 --vlan 20 --trust on --dry-run", bare)
        assert "set the number of VFs of 0000:03:00.0 from 0 to 2, and VFs (0-1: vlan 20 trust on)" in output
        _, output, _ = run(f"vf create {NETDEV} --count 2 --until-reboot --dry-run=shell", bare)
        assert [line.rpartition(" vf ")[2] for line in output.splitlines()[1:]] == [
            "echo 0 > /sys/bus/pci/devices/0000:03:00.0/sriov_drivers_autoprobe",
            "echo 2 > /sys/bus/pci/devices/0000:03:00.0/sriov_numvfs",
            f"0 mac {derive_vf_mac(PF_MAC, 0)}",
            f"1 mac {derive_vf_mac(PF_MAC, 1)}",
        ]

    def test_a_pattern_of_words_in_another_order(self, run: Run) -> None:
        assert run(f"vf set --trust on {NETDEV} 0 --dry-run")[0] == 0


BAD = [
    (f"vf create {NETDEV} --count 9", 2, "can make 0 to 8 VFs, not 9"),
    (f"vf create {NETDEV} --count 0 --vlan 20", 2, "--count 0"),
    (f"vf create {NETDEV} --count 3 --mac 52:54:00:00:00:09", 2, "--mac is for one VF, not for 3"),
    (f"vf set {NETDEV} 0 --vlan 4095", 2, "4095 is not a VLAN"),
    (f"vf set {NETDEV} 0 --vlan -1", 2, "-1 is not a VLAN"),
    (f"vf set {NETDEV} 0 --vlan office", 2, "office"),
    (f"vf set {NETDEV} 0 --qos 3", 2, "--qos is about a VLAN"),
    (f"vf set {NETDEV} 1 --qos 8", 2, "8 is no priority"),
    (f"vf set {NETDEV} 0 --proto 802.1ad", 2, "--proto is about a VLAN"),
    (f"vf set {NETDEV} 0 --proto 802.1x", 2, "802.1x"),
    (f"vf set {NETDEV} 0 --mac 01:00:5e:00:00:01", 2, "is not the MAC of one station"),
    (f"vf set {NETDEV} 0 --mac 00:00:00:00:00:00", 2, "is not the MAC of one station"),
    (f"vf set {NETDEV} 0 --mac {PF_MAC}", 2, "is the MAC of"),
    (f"vf set {NETDEV} 0 --mac {SET[2].mac}", 4, "already, and the PF can serve only one"),
    (f"vf set {NETDEV} 0,2 --mac 52:54:00:00:00:09", 2, "--mac is for one VF, not for 2"),
    (f"vf set {NETDEV} 0 --max-tx-rate 10001", 2, "more than the link"),
    (f"vf set {NETDEV} 0 --min-tx-rate 200 --max-tx-rate 100", 2, "at least 200 and at most 100"),
    (f"vf set {NETDEV} 0 --max-tx-rate 99999999999999999999", 2, "is no rate"),
    (f"vf set {NETDEV} 9 --trust on", 2, "has no VF 9: its VFs are 0-3"),
    (f"vf set {NETDEV} 0-99999999999 --trust on", 2, "has no VF 0-99999999999"),
    (f"vf set {NETDEV} some --trust on", 2, "'some' does not say which VFs"),
    (f"vf set {NETDEV} --trust on", 2, "Which VFs of"),
    (f"vf set {NETDEV} 0", 2, "There is nothing to set"),
    (f"vf set {NETDEV} 0 --trust yes", 2, "yes"),
    (f"vf set {NETDEV} 0 --node-guid 00:11", 2, "is no GUID"),
    (f"vf set {NETDEV} 0 --node-guid 00:11:22:33:44:55:66:77", 2, "is for InfiniBand"),
    (f"vf set {NETDEV} 1 --vlan 30", 4, "stands in the definition of the VM web01"),
    ("vf set eth77 0 --trust on", 2, "There is no NIC 'eth77'"),
    ("vf set", 2, "PF"),
]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("line", "code", "words"), BAD)
def test_bad_input_is_one_sentence_and_a_hint(line: str, code: int, words: str, language: str, run: Run) -> None:
    told, output, error = run(f"{line} --dry-run --lang {language}", tree(files=SPEED))
    assert (told, output) == (code, "")
    first, *more = error.splitlines()
    assert first.startswith("nicpass: ")
    assert [line.startswith(("  hint: ", "  建议：", "  also", "    ")) for line in more] == [True] * len(more)
    assert more
    assert language == "zh" or words in error, error


def test_what_was_not_supported_is_said_with_the_kernel(run: Run) -> None:
    known = '{"unsupported":[{"driver":"ixgbe","setting":"trust","release":"%s"}]}'
    line = f"vf set {NETDEV} 0 --trust on --dry-run"
    for release, code in (("6.12.1", 3), ("6.11.0", 0)):
        files = {UNSUPPORTED: known % release, RELEASE: "6.12.1\n"}
        told, _, error = run(line, tree(files=files))
        assert told == code, error
        assert ("ixgbe of the kernel 6.12.1 does not know --trust" in error) is bool(code)


def test_a_snapshot_is_of_another_machine(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, output, _ = run("snapshot")
    (tmp_path / "host.json").write_text(output)
    assert main(["vf", "list", "--snapshot", str(tmp_path / "host.json"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["vfs"]) == 4
    words = ["vf", "set", NETDEV, "0", "--trust", "on", "--dry-run", "--snapshot", str(tmp_path / "host.json")]
    assert main(words) == 0
