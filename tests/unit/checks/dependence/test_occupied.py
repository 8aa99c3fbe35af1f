# SPDX-License-Identifier: Apache-2.0
"""A NIC on which nothing stands is looked at less closely: nothing may be missed by that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nicpass.checks.dependence.usage import list_uses
from nicpass.checks.dependence.vfs import describe_use
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_nic
from tests.support.dependence import DEPENDENT
from tests.support.hosts import address, idle_network, link, network, pf_with_vfs, ready_host, route

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.model.host import Host
    from nicpass.model.network import IpAddress, Link, Route
    from nicpass.model.pci import PciFunction

NIC = "0000:01:00.0"


class Closer(HostIndex):
    """Looks at every NIC as closely as at one that is in use."""

    def is_occupied(self, function: object) -> bool:
        return True


def seen(host: Host, index: HostIndex) -> list[object]:
    return [(check_nic(nic, index), list_uses(nic, index), describe_use(nic, index)) for nic in host.pci]


@pytest.mark.parametrize("code", DEPENDENT)
def test_a_closer_look_finds_no_more(code: str, tmp_path: Path) -> None:
    host = DEPENDENT[code].read(tmp_path)
    assert seen(host, HostIndex(host)) == seen(host, Closer(host))


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (link("eth1.7", kind="vlan", lower="eth1"), True),
        (address("eth1", "10.0.0.5/24"), True),
        (address("eth1", "fe80::5/64", scope="link"), False),
        (route("eth1", "10.9.0.0/16"), True),
        (route("eth1", "fe80::/64", None, protocol="kernel"), False),
        (route("eth1", "default", protocol="kernel"), True),
        (route("eth1", "default", table=300), True),
        (address("eth9", "10.0.0.5/24"), False),
    ],
    ids=str,
)
def test_what_occupies_an_interface(item: Link | IpAddress | Route, expected: bool, tmp_path: Path) -> None:
    host = ready_host(net=network(link("eth1"), item)).read(tmp_path)
    index = HostIndex(host)
    assert [index.is_occupied(nic) for nic in host.pci if nic.address == NIC] == [expected]


def test_of_many_vfs_only_those_in_use_are_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    functions = pf_with_vfs(NIC, "eth1", 8)
    net = network(*idle_network(functions).links, address("eth1v3", "10.0.0.5/24"))
    host = ready_host(*functions, net=net).read(tmp_path)
    walked: set[object] = set()
    walk = HostIndex.chains

    def chains(index: HostIndex, nic: PciFunction) -> list[list[Link]]:
        walked.add(nic.netdevs)
        return walk(index, nic)

    monkeypatch.setattr(HostIndex, "chains", chains)
    index = HostIndex(host)
    for nic in host.pci:
        check_nic(nic, index)
    assert walked == {("eth1v3",)}
