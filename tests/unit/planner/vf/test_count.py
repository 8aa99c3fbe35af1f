# SPDX-License-Identifier: Apache-2.0
"""The step to another number of VFs knows what they were set to; where somebody may have one, they stay."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nicpass.model.activity import Activity
from nicpass.model.address import Address, derive_vf_mac
from nicpass.model.domain import Domain, DomainDevice
from nicpass.model.errors import ImpossibleError, RefusedError
from nicpass.model.fact import Unknown
from nicpass.model.host import Host
from nicpass.model.network import IpAddress, Link, VfSettings
from nicpass.model.pci import PciFunction
from nicpass.model.plan import Plan, SetNumvfs
from nicpass.model.request import VfRequest
from nicpass.planner.vf.count import plan_vf
from tests.support.hosts import address, link, network

PF, VF0, VF1 = Address("0000:01:00.0"), Address("0000:01:10.0"), Address("0000:01:10.1")
SET = tuple(VfSettings(vf_index=number, mac=f"52:54:00:00:00:0{number}") for number in range(2))
NIC = PciFunction(
    address=PF, class_code=0x020000, driver="igb", netdevs=("eth1",), totalvfs=4, numvfs=2, virtfns=(VF0, VF1)
)
IDLE = Activity(sessions=(), storage=(), devices=(), holders=(), packet_sockets=(), xdp_sockets=(), foreign_netdevs=())


def vf(where: Address, netdev: str, **more: Any) -> PciFunction:
    one = PciFunction(address=where, class_code=0x020000, driver="igbvf", netdevs=(netdev,), physfn=PF, totalvfs=None)
    return msgspec.structs.replace(one, **more)


def host(*items: Link | IpAddress, pf: PciFunction = NIC, first: Any = None, **more: Any) -> Host:
    # The PF tells them out of order, as a driver may.
    net = network(link("eth1", vfs=SET[::-1]), link("v0"), link("v1"), *items)
    pci = (pf, vf(VF0, "v0", **(first or {})), vf(VF1, "v1"))
    made = Host(pci=pci, network=net, activity=IDLE, domains=(), libvirt_networks=())
    return msgspec.structs.replace(made, **more)


def plan(where: Host, count: int) -> Plan:
    return plan_vf(where, VfRequest(pf="eth1", count=count))


NEW = VfSettings(vf_index=2, mac=derive_vf_mac(link("eth1").mac or "", 2))


@pytest.mark.parametrize(("count", "stay"), [(0, ()), (1, SET[:1]), (3, (*SET, NEW))])
def test_what_they_were_set_to_is_in_the_step(count: int, stay: tuple[VfSettings, ...]) -> None:
    (step,) = plan(host(), count).steps
    derived = (2,) if NEW in stay else ()
    assert step == SetNumvfs(address=PF, before=2, after=count, before_vfs=SET, after_vfs=stay, derived=derived)


@pytest.mark.parametrize(
    ("count", "summary"),
    [(0, "Remove the 2 VFs of eth1"), (3, "Make 3 VFs of eth1"), (2, "eth1 (0000:01:00.0) has 2 VFs already")],
)
def test_it_says_what_it_does(count: int, summary: str) -> None:
    assert plan(host(), count).summary.startswith(summary)


@pytest.mark.parametrize(
    ("where", "words", "hint"),
    [
        (host(domains=None), "Whether a VM has one of the VFs of eth1 .*: libvirt is absent", "libvirtd"),
        (host(domains=Unknown("no answer")), "could not be learned: no answer", "libvirtd"),
        (host(libvirt_networks=Unknown("denied")), "could not be learned: denied", "libvirtd"),
        (host(first={"driver": "vfio-pci", "netdevs": ()}), "is on vfio-pci, so a program may be using it", "Unbind"),
        (
            host(
                domains=(
                    Domain(
                        name="web",
                        uuid="1",
                        config_devices=(DomainDevice(address=VF0, element="hostdev", managed=True),),
                    ),
                )
            ),
            "belongs to the VM web",
            f"nicpass detach web {VF0}",
        ),
    ],
)
def test_who_may_have_one(where: Host, words: str, hint: str) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        plan(where, 0)
    assert hint in caught.value.hint


def test_what_stands_on_one_is_told_with_its_findings() -> None:
    with pytest.raises(RefusedError, match=r"v0 .* 10\.0\.0\.5/24") as caught:
        plan(host(address("v0", "10.0.0.5/24")), 0)
    (found,) = caught.value.findings
    assert (found.code, found.subject) == ("HAS_ADDRESS", VF0)
    assert caught.value.hint == found.mend


def test_one_that_only_its_pf_names_is_looked_at_too() -> None:
    """And one that only names its PF."""
    used = address("v0", "10.0.0.5/24")
    by_pf = host(used, first={"physfn": None})
    by_itself = host(used, pf=msgspec.structs.replace(NIC, virtfns=(VF1,)))
    for where in (by_pf, by_itself):
        with pytest.raises(RefusedError):
            plan(where, 0)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"totalvfs": Unknown("denied")}, RefusedError, "Whether eth1 .* has SR-IOV could not be learned: denied"),
        ({"numvfs": Unknown("denied")}, RefusedError, "could not be learned: denied"),
        ({"totalvfs": None}, ImpossibleError, "cannot make VFs"),
        ({"totalvfs": 0}, ImpossibleError, "cannot make VFs"),
    ],
)
def test_without_sriov(change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        plan(host(pf=msgspec.structs.replace(NIC, **change)), 1)
