# SPDX-License-Identifier: Apache-2.0
"""`nicpass pool`, and `--from-pool`: what they show, what they would do, and what they answer to what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nicpass.cli.arguments.parser import build_parser
from nicpass.cli.arguments.requests import request_of, words_of
from nicpass.cli.main import main
from tests.support.pools import PLAIN, VFS, drawing_xml, with_pool
from tests.support.trees import Tree, network_file

MAC = "52:54:00:00:00:01"


class Ran:
    """A command on a tree: its exit code, and what it printed."""

    def __init__(self, root: Path, tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = tree.write(root), capsys

    def __call__(self, *words: str) -> tuple[int, str]:
        code = main([*words, "--root", str(self.root)])
        output, error = self.capsys.readouterr()
        return code, output + error


@pytest.fixture
def blue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    """A host with a pool of VFs 0 and 1, from which `web` draws."""
    return Ran(tmp_path, with_pool(*VFS[:2], web=drawing_xml(MAC), vlan=20), capsys)


@pytest.fixture
def bare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    return Ran(tmp_path, PLAIN, capsys)


class TestShown:
    """The pool is the owner of its VFs, wherever they are shown."""

    def test_the_list_of_pools(self, blue: Ran) -> None:
        code, told = blue("pool", "list")
        assert code == 0
        (line,) = [line for line in told.splitlines() if line.startswith("blue")]
        assert line.split() == ["blue", "eth1", "0-1", "20", "?", "1", "web"]

    def test_as_json(self, blue: Ran) -> None:
        document = json.loads(blue("pool", "list", "--json")[1])
        assert document["schema"] == "nicpass.pools/1"
        (pool,) = document["pools"]
        assert [vf["vf_index"] for vf in pool["vfs"]] == [0, 1]
        assert pool["takers"] == [{"vm": "web", "mac": MAC, "vf": None, "lasting": True}]
        assert (pool["free"], pool["vlans"], pool["whole_pf"]) == (1, [20], False)

    def test_a_host_without_any(self, bare: Ran) -> None:
        code, told = bare("pool", "list")
        assert (code, "nicpass pool create" in told) == (0, True)

    def test_a_pool_of_a_whole_pf(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        tree = PLAIN.but(files=network_file("all", "<forward mode='hostdev'><pf dev='eth1'/></forward>"))
        (pool,) = json.loads(Ran(tmp_path, tree, capsys)("pool", "list", "--json")[1])["pools"]
        assert (len(pool["vfs"]), pool["whole_pf"]) == (4, True)

    def test_its_vfs_elsewhere(self, blue: Ran) -> None:
        for words in (("list",), ("vf", "list")):
            lines = [line for line in blue(*words)[1].splitlines() if "pool blue" in line]
            assert len(lines) == 2, words
        assert "belongs to the network blue of libvirt" in blue("check", VFS[0])[1]


class TestPlanned:
    """What would be done, for people and for a shell."""

    def test_making_one(self, bare: Ran) -> None:
        words = ("pool", "create", "red", "--pf", "eth1", "--vfs", "2-3", "--vlan", "30", "--dry-run")
        code, told = bare(*words)
        assert code == 0
        assert "Make the pool red of VFs 2-3 of eth1 (0000:01:00.0):" in told
        assert "in VLAN 30" in told
        shell = bare(*words[:-1], "--dry-run=shell")[1]
        for line in ("virsh net-define", '<forward mode="hostdev" managed="yes">', '<tag id="30"', "net-autostart red"):
            assert line in shell
        assert "<pf " not in shell
        assert shell.splitlines()[-1] == "virsh net-start red"

    def test_draining_one_that_a_vm_counts_on(self, blue: Ran) -> None:
        code, told = blue("pool", "drain", "blue", "--vfs", "0-1", "--dry-run")
        assert (code, "not all of them can run at once" in " ".join(told.split())) == (0, True)
        assert "virsh net-undefine" not in blue("pool", "drain", "blue", "--dry-run=shell")[1]

    def test_taking_an_interface_out(self, blue: Ran) -> None:
        code, told = blue("detach", "web", "--from-pool", "blue", "--dry-run=shell")
        assert code == 0
        assert "virsh detach-device web /dev/stdin --config" in told
        assert MAC in told

    def test_giving_one_more(self, blue: Ran) -> None:
        """Whether the pool is started, files do not tell; so the plan goes by the rest."""
        code, told = blue("attach", "guest", "--from-pool", "blue", "--start", "--dry-run")
        assert code == 0
        assert "write an interface of the pool blue into the definition of guest" in told
        assert "libvirt picks a VF of the pool" in told
        assert '<source network="blue" />' in blue("attach", "guest", "--from-pool", "blue", "--dry-run=shell")[1]


BAD = {
    "a NIC beside the pool": (("attach", "web", "eth1", "--from-pool", "blue"), 2, "NIC does not go with --from-pool"),
    "a PF too": (("attach", "web", "--from", "eth1", "--from-pool", "blue"), 2, "--from does not go with"),
    "a VLAN": (("attach", "web", "--vlan", "5", "--from-pool", "blue"), 2, "The VLAN is the pool's"),
    "a reason allowed": (("attach", "web", "--allow", "X", "--from-pool", "blue"), 2, "--allow does not go"),
    "time to confirm": (("attach", "web", "--confirm-within", "0", "--from-pool", "blue"), 2, "--confirm-within does"),
    "detach of nothing": (("detach", "web"), 2, "Which NIC"),
    "no such pool": (("attach", "web", "--from-pool", "bleu"), 2, "Did you mean blue?"),
    "no such VM": (("attach", "wob", "--from-pool", "blue"), 2, "There is no VM 'wob'"),
    "none left": (("attach", "guest", "--from-pool", "empty"), 2, "There is no pool 'empty'"),
    "a name that is taken": (("pool", "create", "blue", "--pf", "eth1", "--vfs", "2"), 2, "network blue already"),
    "VFs of another": (("pool", "create", "red", "--pf", "eth1", "--vfs", "1-2"), 4, "belongs to the network blue"),
    "VFs that are not there": (("pool", "create", "red", "--pf", "eth1", "--vfs", "2-9"), 2, "--count 10"),
    "no VLAN": (("pool", "create", "red", "--pf", "eth1", "--vfs", "2", "--vlan", "4095"), 2, "not a VLAN"),
    "a pool that a VM draws from": (("pool", "remove", "blue"), 4, "nicpass detach web --from-pool blue"),
    "no action": (("pool",), 2, "ACTION"),
}


@pytest.mark.parametrize(("words", "code", "sentence"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_one_sentence_and_a_hint(words: tuple[str, ...], code: int, sentence: str, blue: Ran) -> None:
    answered, told = blue(*words, *(["--dry-run"] if words != ("pool",) else []))
    assert (answered, sentence in " ".join(told.split()), "Traceback" in told) == (code, True, False), told


@pytest.mark.parametrize(
    "line",
    [
        "pool create blue --pf eth1 --vfs 2-7 --vlan 20",
        "pool add blue --vfs 8",
        "pool drain blue --pf eth1",
        "pool remove blue",
        "attach web --from-pool blue --start --live --mac 52:54:00:00:00:01",
        "detach web --from-pool blue --stop --config",
    ],
)
def test_a_request_is_told_in_the_words_in_which_it_was_typed(line: str) -> None:
    words = line.split()
    assert words_of(request_of(build_parser().parse_args(words))) == words
