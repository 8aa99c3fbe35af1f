# SPDX-License-Identifier: Apache-2.0
"""A NIC that another VM uses by an interface, or that a network of libvirt's lends: what the commands say of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nicpass.cli.main import main
from tests.support.hosts import ready_host
from tests.support.reports import lay_out
from tests.support.trees import Tree, Vm

DIRECT = "<interface type='direct'><source dev='eth1' mode='bridge'/></interface>"
STOPPED = ready_host(vms=(Vm(name="guest"), Vm(name="other", uuid="2", devices=DIRECT)))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("COLUMNS", raising=False)  # as in a pipe: whole lines

    def call(root: Path, *argv: str) -> tuple[int, str]:
        code = main([*argv, "--root", str(root)])
        told = capsys.readouterr()
        return code, told.out + told.err

    return call


class TestStoppedVm:
    """`<interface type='direct'>` on eth1, in the definition of a VM that is off."""

    TREE: Tree = STOPPED

    def test_attach_is_refused(self, run: Any, tmp_path: Path) -> None:
        code, told = run(self.TREE.write(tmp_path), "attach", "guest", "eth1", "--dry-run")
        assert code == 4
        assert "other" in told
        assert "<interface type='direct'>" in told

    def test_its_own_vm_is_told_too(self, run: Any, tmp_path: Path) -> None:
        code, told = run(self.TREE.write(tmp_path), "attach", "other", "eth1", "--dry-run")
        assert code == 4
        assert "VM other" in told

    def test_check_names_it(self, run: Any, tmp_path: Path) -> None:
        code, told = run(self.TREE.write(tmp_path), "check", "eth1")
        assert code == 4
        assert "USED_BY_VM" in told
        assert "virsh edit other" in told

    def test_list_shows_it(self, run: Any, tmp_path: Path) -> None:
        root = self.TREE.write(tmp_path)
        assert "VM other by <interface type='direct'>" in run(root, "list", "eth1")[1]
        (nic,) = json.loads(run(root, "list", "--json")[1])["nics"]
        assert nic["vms"] == []
        assert [(use["kind"], use["name"]) for use in nic["machine_uses"]] == [("vm", "other")]
        assert nic["why_not"] == ["USED_BY_VM"]

    @pytest.mark.parametrize("code", ["USED_BY_VM", "NAMED_BY_NETWORK"])
    def test_nobody_may_allow_it(self, code: str, run: Any, tmp_path: Path) -> None:
        answer, told = run(self.TREE.write(tmp_path), "attach", "guest", "eth1", "--dry-run", "--allow", code)
        assert answer == 2
        assert "cannot be overridden" in told


class TestPool:
    """The report of a network with `<pf dev='enp3s0f0'/>`, four VFs, and a VM that takes its NIC from it."""

    NAME = "03-hostdev-network-pool"
    VFS = tuple(f"enp3s0f0v{number}" for number in range(4))

    def test_removing_the_vfs_is_refused(self, run: Any, tmp_path: Path) -> None:
        code, told = run(lay_out(self.NAME, tmp_path), "vf", "remove", "enp3s0f0", "--dry-run")
        assert code == 4
        assert "sr-iov-net-1" in told

    @pytest.mark.parametrize("vm", ["free", "pooled"])
    @pytest.mark.parametrize("vf", VFS)
    def test_attaching_one_is_refused(self, vf: str, vm: str, run: Any, tmp_path: Path) -> None:
        code, told = run(lay_out(self.NAME, tmp_path), "attach", vm, vf, "--dry-run")
        assert code == 4
        assert "sr-iov-net-1" in told
        assert "pooled" in told

    def test_the_list_shows_the_pool(self, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "200")  # a narrow one has fewer columns
        root = lay_out(self.NAME, tmp_path)
        nics = {nic["address"]: nic for nic in json.loads(run(root, "list", "--json")[1])["nics"]}
        pooled = {address for address, nic in nics.items() if nic["machine_uses"]}
        assert pooled == {"0000:03:00.0", *(f"0000:04:10.{number}" for number in range(4))}
        assert nics["0000:04:10.0"]["machine_uses"][0]["takers"] == ["pooled"]
        assert run(root, "list")[1].count("pool sr-iov-net-1") == 5


class TestPlainHostdev:
    """The report of a VF that stands in a VM as `<hostdev>` while its PF has given it no MAC."""

    NAME = "10-vf-as-plain-hostdev"

    def test_check_says_that_its_mac_is_nobodys(self, run: Any, tmp_path: Path) -> None:
        told = run(lay_out(self.NAME, tmp_path), "check", "enp3s0f0v0", "--vm", "vnf", "-v")[1]
        assert "VF_MAC_UNPINNED" in told
        assert "<interface type='hostdev'> with a MAC" in told

    def test_the_audit_says_it_too(self, run: Any, tmp_path: Path) -> None:
        code, told = run(lay_out(self.NAME, tmp_path), "check", "--security", "--strict")
        assert code == 4
        assert "VF_MAC_UNPINNED" in told
