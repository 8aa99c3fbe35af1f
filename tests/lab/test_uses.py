# SPDX-License-Identifier: Apache-2.0
"""Uses of a NIC that neither an address nor a master shows, on the kernel of a real distribution."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lab.machine import Machine

pytestmark = pytest.mark.lab

NIC, ADDRESS, OTHER = "enp2s0", "0000:02:00.0", "enp1s0"


def sentences(machine: Machine) -> dict[str, list[str]]:
    """What `nicpass check` says of the NIC, by code."""
    result = machine.execute(["nicpass", "check", ADDRESS, "--json"], 120)
    assert result.exit_code in (0, 3, 4, 5), result.stdout + result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    found: dict[str, list[str]] = {}
    for nic in report["nics"]:
        for finding in nic["findings"]:
            found.setdefault(finding["code"], []).append(finding["sentence"])
    return found


@contextmanager
def scene(machine: Machine, *made: str, undo: str) -> Iterator[dict[str, list[str]]]:
    """What is said while this stands; skipped where the image's kernel lacks what it needs."""
    try:
        for command in made:
            result = machine.execute(["sh", "-c", command], 60)
            if result.exit_code != 0:
                pytest.skip(f"the lab cannot make it: {command}: {result.stderr.strip()}")
        yield sentences(machine)
    finally:
        machine.succeed(undo)


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("macvlan", f"ip link add up0 link {NIC} type macvlan mode bridge"),
        pytest.param("ipvlan", f"ip link add up0 link {NIC} type ipvlan", marks=pytest.mark.full),
        pytest.param("vlan", f"ip link add up0 link {NIC} type vlan id 20", marks=pytest.mark.full),
    ],
)
def test_what_a_container_has_of_it_stands_in_the_way(host: Machine, kind: str, made: str) -> None:
    undo = "ip -n c1 link del up0 || ip link del up0 || true; ip netns del c1"
    with scene(host, "ip netns add c1", made, "ip link set up0 netns c1", undo=undo) as found:
        assert f"{NIC} → up0 ({kind}) in the network namespace c1" in found["HAS_UPPER"][0]
    assert "HAS_UPPER" not in sentences(host)


def test_a_ring_of_hsr_is_named_to_its_route(host: Machine) -> None:
    made = (
        f"ip link add hsr0 type hsr slave1 {OTHER} slave2 {NIC}",
        "ip address add 198.51.100.5/24 dev hsr0; ip link set hsr0 up",
        "ip route add 203.0.113.0/24 via 198.51.100.1 dev hsr0",
    )
    with scene(
        host, *made, undo=f"ip link del hsr0 || true; ip link set {NIC} down; ip link set {OTHER} down"
    ) as found:
        assert f"{NIC} → hsr0 (hsr)" in found["HAS_UPPER"][0]
        assert f"{NIC} → hsr0 → 198.51.100.5/24" in found["HAS_ADDRESS"][0]
        assert f"{NIC} → hsr0 → 198.51.100.5/24 → 203.0.113.0/24 via 198.51.100.1" in found["CARRIES_ROUTE"][0]


def test_a_filter_of_tc_joins_both_ends(host: Machine) -> None:
    made = (
        "ip link add if9 type ifb; ip address add 198.51.100.9/24 dev if9",
        f"tc qdisc add dev {NIC} clsact",
        f"tc filter add dev {NIC} ingress matchall action mirred egress redirect dev if9",
    )
    with scene(host, *made, undo=f"tc qdisc del dev {NIC} clsact || true; ip link del if9 || true") as found:
        assert f"{NIC} → if9 (by a filter of tc)" in found["HAS_UPPER"][0]
        assert f"{NIC} → if9 → 198.51.100.9/24" in found["HAS_ADDRESS"][0]
