# SPDX-License-Identifier: Apache-2.0
"""Before a VM starts that draws from a pool, the guard looks at every VF that libvirt may pick for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest

from nicpass.engine.nic import arrival
from nicpass.engine.nic.store import BOOT_ID
from nicpass.host.system.given import read_vetoes
from nicpass.hypervisor.libvirt.guard_files import hook_script
from nicpass.hypervisor.libvirt.guard_pools import interfaces_of_pools
from nicpass.model.errors import RefusedError
from nicpass.model.fact import value_or
from nicpass.model.network import IpAddress
from tests.support.guarded import BOOT, Host
from tests.support.hosts import link, network
from tests.support.pools import NETDEVS, PLAIN, VFS, WEB, drawing_xml, pool_file
from tests.support.trees import Tree, Vm, domain_xml, network_file

MAC = "52:54:00:00:00:01"
DRAWING = domain_xml(Vm(name="web", uuid=WEB.uuid, devices=drawing_xml(MAC)))
IN_USE = msgspec.structs.replace(
    network(*map(link, NETDEVS)), addresses=(IpAddress(netdev="eth1v1", address="10.0.0.5", prefix_length=24),)
)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrival, "BOOT_SECONDS", 0)


def host_with(folder: Path, *vfs: str, tree: Tree = PLAIN) -> Host:
    web = Vm(name="web", uuid=WEB.uuid, devices=drawing_xml(MAC))
    return Host(folder, tree.but(vms=(web,), files=pool_file(*vfs) | {BOOT_ID: f"{BOOT}\n"}))


def test_vfs_that_nobody_uses_may_be_picked(tmp_path: Path) -> None:
    assert host_with(tmp_path, *VFS[:2]).hook.prepare(DRAWING) == ()


def test_one_that_the_host_uses_keeps_the_vm_from_its_start(tmp_path: Path) -> None:
    host = host_with(tmp_path, *VFS[:2], tree=PLAIN.but(network=IN_USE))
    with pytest.raises(RefusedError, match=r"may pick 0000:01:02\.1 for it from the pool blue") as caught:
        host.hook.prepare(DRAWING)
    assert "nicpass detach web --from-pool blue" in caught.value.hint
    (veto,) = value_or(read_vetoes(host.files), ())
    assert veto.vm == "web"
    assert veto.vetoes[0].command == "nicpass detach web --from-pool blue"


def test_one_that_is_in_no_pool_of_the_vms_is_not_its_affair(tmp_path: Path) -> None:
    tree = PLAIN.but(network=IN_USE)
    assert host_with(tmp_path / "one", VFS[0], tree=tree).hook.prepare(DRAWING) == ()
    other = domain_xml(Vm(name="web", uuid=WEB.uuid, devices=drawing_xml(MAC, "lan")))
    assert host_with(tmp_path / "two", *VFS[:2], tree=tree).hook.prepare(other) == ()


def test_what_a_network_lends_is_as_it_was_started(tmp_path: Path) -> None:
    """`virsh net-edit` has taken a VF out since, or it was never defined: libvirt lends that VF all the same."""
    running = "/run/libvirt/network/blue.xml"
    text = pool_file(*VFS[:2])["/etc/libvirt/qemu/networks/blue.xml"]
    status = f"<!--\nWARNING\n-->\n\n<networkstatus>\n<class_id bitmap='0-2'/>{text}</networkstatus>\n"
    for number, files in enumerate((pool_file(VFS[0]) | {running: status}, {running: status})):
        host = host_with(tmp_path / str(number), VFS[0], tree=PLAIN.but(network=IN_USE))
        (tmp_path / f"{number}/etc/libvirt/qemu/networks/blue.xml").unlink()
        for path, content in files.items():
            (tmp_path / f"{number}{path}").parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / f"{number}{path}").write_text(content)
        with pytest.raises(RefusedError, match=r"may pick 0000:01:02\.1"):
            host.hook.prepare(DRAWING)


def test_a_network_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    host = host_with(tmp_path, *VFS[:2], tree=PLAIN.but(network=IN_USE))
    (tmp_path / "etc/libvirt/qemu/networks/a.xml").write_text("<network>")
    with pytest.raises(RefusedError, match="may pick"):
        host.hook.prepare(DRAWING)
    assert interfaces_of_pools(host.files) == [(WEB.uuid, MAC)]


def test_one_that_is_gone_or_that_a_vm_has_is_libvirts_affair(tmp_path: Path) -> None:
    tree = PLAIN.but(network=IN_USE)
    assert host_with(tmp_path / "gone", VFS[0], "0000:01:03.7", tree=tree).hook.prepare(DRAWING) == ()
    assert host_with(tmp_path / "ended", VFS[0]).hook.release(DRAWING) == []


def test_the_guard_stays_for_as_long_as_a_vm_draws_from_a_pool(tmp_path: Path) -> None:
    host = host_with(tmp_path / "draws", *VFS[:2])
    assert interfaces_of_pools(host.files) == [(WEB.uuid, MAC)]
    files = network_file("blue", "<forward mode='nat'/>") | {BOOT_ID: f"{BOOT}\n"}
    assert interfaces_of_pools(Host(tmp_path / "lan", PLAIN.but(files=files)).files) == []


@pytest.mark.spawns
class TestScript:
    """Python is asked about a VM that draws from a pool; others are not kept waiting."""

    def run(self, folder: Path, definition: str, network: dict[str, str]) -> str:
        package, python = folder / "nicpass", folder / "python"
        (package / "cli").mkdir(parents=True)
        (package / "cli/hook.py").touch()
        python.write_text('#!/bin/sh\necho "called"; cat; exit 0\n')
        python.chmod(0o755)
        for path, text in network.items():
            (folder / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            (folder / path[1:]).write_text(text)
        script = folder / "hook"
        script.write_text(hook_script(str(python), str(package), str(folder / "nics"), str(folder)))
        command = ["sh", str(script), "web", "prepare", "begin", "-"]
        done = subprocess.run(command, input=definition, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout

    def test_who_draws_is_looked_at(self, tmp_path: Path) -> None:
        assert self.run(tmp_path, DRAWING, pool_file(*VFS)) == f"called\n{DRAWING}"

    def test_as_libvirt_writes_it(self, tmp_path: Path) -> None:
        text = "<!--\nWARNING\n-->\n\n<network>\n  <name>blue</name>\n  <uuid>u</uuid>\n"
        text += "  <forward mode='hostdev' managed='yes'>\n    <address type='pci'/>\n  </forward>\n</network>\n"
        assert "called" in self.run(tmp_path, DRAWING, {"/etc/libvirt/qemu/networks/blue.xml": text})

    def test_who_draws_from_one_that_only_runs(self, tmp_path: Path) -> None:
        text = "<networkstatus>\n  <class_id bitmap='0-2'/>\n  <network>\n    <name>blue</name>\n"
        text += "    <forward mode='hostdev' managed='yes'>\n    </forward>\n  </network>\n</networkstatus>\n"
        assert "called" in self.run(tmp_path, DRAWING, {"/run/libvirt/network/blue.xml": text})

    @pytest.mark.parametrize("forward", [None, "<forward mode='nat'/>"])
    def test_who_does_not_is_not_kept_waiting(self, forward: str | None, tmp_path: Path) -> None:
        files = network_file("blue", forward) if forward is not None else {}
        assert self.run(tmp_path, DRAWING, files | pool_file(*VFS, name="red")) == ""
