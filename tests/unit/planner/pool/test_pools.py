# SPDX-License-Identifier: Apache-2.0
"""VFs that a network of libvirt's lends, or a VM has by its interface, stay; making VFs for a pool is no fault."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nicpass.model.address import Address
from nicpass.model.domain import DomainDevice
from nicpass.model.errors import RefusedError
from nicpass.model.fact import Unknown
from nicpass.model.plan import SetNumvfs
from nicpass.model.request import AttachRequest, VfRequest
from nicpass.planner.nic.attach import plan_attach
from nicpass.planner.vf.count import plan_vf
from tests.support.hosts import VM, link, network, nic, pf_with_vfs, ready_host
from tests.support.trees import Tree, Vm, direct_xml, network_file, vf_interface_xml

PF, VF1 = "0000:01:00.0", "0000:01:02.1"
ALL = network(link("eth1"), link("eth1v0"), link("eth1v1"))
WITH_VFS = ready_host(*pf_with_vfs(PF, "eth1", 2), net=ALL)
ONE = "<address type='pci' domain='0' bus='1' slot='2' function='1'/>"
POOLS = {
    "all": "<forward mode='hostdev'><pf dev='eth1'/></forward>",
    "one": f"<forward mode='hostdev'>{ONE}</forward>",
    "macvtap of each": "<forward mode='passthrough'><pf dev='eth1'/></forward>",
    "an interface": "<forward mode='private'><interface dev='eth1v1'/></forward>",
}


def with_pool(forward: str) -> Tree:
    return WITH_VFS.but(files=network_file("pool", forward))


@pytest.mark.parametrize("count", [0, 1, 4])
@pytest.mark.parametrize("forward", POOLS.values(), ids=POOLS)
def test_vfs_of_a_pool_stay(forward: str, count: int, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="the network pool of libvirt"):
        plan_vf(with_pool(forward).read(tmp_path), VfRequest(pf=PF, count=count))


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        (direct_xml("eth1v1", mode="passthrough"), "used by the VM web"),
        (vf_interface_xml(VF1, "52:54:00:00:00:01"), "belongs to the VM web"),
        ("<interface type='direct'/>", "without a source"),
    ],
)
def test_vfs_of_a_vm_stay(devices: str, words: str, tmp_path: Path) -> None:
    tree = WITH_VFS.but(vms=(VM, Vm(name="web", uuid="2", devices=devices)))
    with pytest.raises(RefusedError, match=words):
        plan_vf(tree.read(tmp_path), VfRequest(pf=PF, count=0))


def test_a_vf_that_a_running_vm_has_from_a_pool_is_the_pools(tmp_path: Path) -> None:
    """`nicpass detach` could not take it from the VM, in whose lasting definition it does not stand."""
    host = with_pool(POOLS["all"]).read(tmp_path)
    device = DomainDevice(address=Address(VF1), element="interface", managed=True)
    (domain,) = host.domains  # type: ignore[misc]
    running = msgspec.structs.replace(domain, running=True, live_devices=(device,))
    with pytest.raises(RefusedError, match="the network pool of libvirt"):
        plan_vf(msgspec.structs.replace(host, domains=(running,)), VfRequest(pf=PF, count=0))


def test_while_the_networks_are_unknown_they_stay(tmp_path: Path) -> None:
    host = msgspec.structs.replace(WITH_VFS.read(tmp_path), libvirt_networks=Unknown("libvirt: broken pipe"))
    with pytest.raises(RefusedError, match="broken pipe"):
        plan_vf(host, VfRequest(pf=PF, count=0))
    with pytest.raises(RefusedError, match="broken pipe"):
        plan_attach(host, AttachRequest(vm="guest", nic="eth1v0"))


def test_a_macvtap_on_the_pf_does_not_hold_its_vfs(tmp_path: Path) -> None:
    tree = WITH_VFS.but(vms=(VM, Vm(name="web", uuid="2", devices=direct_xml("eth1"))))
    assert plan_vf(tree.read(tmp_path), VfRequest(pf=PF, count=0)).steps


@pytest.mark.parametrize("forward", [POOLS["all"], POOLS["macvtap of each"]])
def test_making_the_vfs_of_a_pool_is_noted(forward: str, tmp_path: Path) -> None:
    tree = ready_host(nic(PF, "eth1", totalvfs=8), files=network_file("pool", forward))
    plan = plan_vf(tree.read(tmp_path), VfRequest(pf=PF, count=4))
    (step,) = plan.steps
    assert isinstance(step, SetNumvfs)
    assert (step.address, step.before, step.after) == (PF, 0, 4)
    assert "The network pool of libvirt lends the VFs of eth1" in plan.notes[0]


def test_other_vfs_are_made_without_a_note(tmp_path: Path) -> None:
    forward = "<forward mode='hostdev'><pf dev='eth2'/></forward>"
    tree = ready_host(nic(PF, "eth1", totalvfs=8), files=network_file("pool", forward))
    assert plan_vf(tree.read(tmp_path), VfRequest(pf=PF, count=4)).notes == ()
