# SPDX-License-Identifier: Apache-2.0
"""What other VMs and libvirt's networks have of a NIC without having it as a device, by a real libvirt."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lab.machine import Machine

pytestmark = pytest.mark.lab

PF, PF_ADDRESS, VF_ADDRESS = "enp1s0", "0000:01:00.0", "0000:01:10.0"
NIC = "enp2s0"
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly
POOL = (
    f"<network><name>lab-pool</name><forward mode='hostdev' managed='yes'><pf dev='{PF}'/></forward></network>",
    "<network><name>lab-pool</name><forward mode='hostdev' managed='yes'>"
    "<address type='pci' domain='0x0000' bus='0x01' slot='0x10' function='0x0'/></forward></network>",
)
DIRECT = f"<interface type='direct'><source dev='{NIC}' mode='bridge'/><model type='virtio'/></interface>"
_SAVED = "/run/db01.xml"


@pytest.fixture
def with_vfs(host: Machine) -> Iterator[Machine]:
    host.succeed(f"ip link set {PF} up")  # a VF of a PF that is down is of no use, and refused for that
    host.succeed(["nicpass", "vf", "create", PF, "--count", "2"], LONG)
    yield host
    host.succeed(["nicpass", "vf", "remove", PF], LONG)
    host.execute(f"ip link set {PF} down")


def uses(host: Machine) -> dict[str, list[tuple[str, str]]]:
    nics = json.loads(host.succeed(["nicpass", "list", "--json"], LONG))["nics"]
    return {nic["address"]: [(use["kind"], use["name"]) for use in nic["machine_uses"]] for nic in nics}


@pytest.mark.parametrize(
    "started", [pytest.param(False, id="defined", marks=pytest.mark.full), pytest.param(True, id="active")]
)
@pytest.mark.parametrize("definition", POOL, ids=["by its PF", "by its address"])
def test_a_pool_keeps_its_vfs(with_vfs: Machine, definition: str, started: bool) -> None:
    with_vfs.put_file("/run/lab-pool.xml", definition.encode())
    with_vfs.succeed("virsh net-define /run/lab-pool.xml; rm /run/lab-pool.xml")
    try:
        if started:
            with_vfs.succeed("virsh net-start lab-pool", LONG)
        # An active one names the PF, and by libvirt's own hand each of its VFs too.
        assert set(uses(with_vfs)[VF_ADDRESS]) == {("network", "lab-pool")}
        for words in (["attach", "web01", VF_ADDRESS], ["vf", "remove", PF], ["vf", "create", PF, "--count", "1"]):
            refused = with_vfs.fail(["nicpass", *words], timeout=LONG)
            assert refused.exit_code == 4
            assert "lab-pool" in refused.stderr
    finally:
        with_vfs.execute("virsh net-destroy lab-pool")
        with_vfs.succeed("virsh net-undefine lab-pool")
    assert uses(with_vfs)[VF_ADDRESS] == []


def test_a_macvtap_of_a_vm_that_is_off_keeps_its_nic(host: Machine) -> None:
    host.succeed(f"virsh dumpxml db01 --inactive >{_SAVED}")
    host.put_file("/run/direct.xml", DIRECT.encode())
    host.succeed("virsh attach-device db01 /run/direct.xml --config; rm /run/direct.xml")
    try:
        assert [each for each in uses(host).values() if each] == [[("vm", "db01")]]
        for vm in ("web01", "db01"):
            refused = host.fail(["nicpass", "attach", vm, NIC], timeout=LONG)
            assert refused.exit_code == 4
            assert "VM db01" in refused.stderr
    finally:
        host.succeed(f"virsh define {_SAVED}; rm {_SAVED}")
    assert not any(uses(host).values())
