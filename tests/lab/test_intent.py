# SPDX-License-Identifier: Apache-2.0
"""Law 9 on a real kernel: a NIC that waits for a DHCP server which does not answer is not free, for anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.machine import Machine

pytestmark = pytest.mark.lab

NIC, ADDRESS = "enp1s0", "0000:01:00.0"
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly
PROFILE = "/etc/systemd/network/20-lan.network"
# Its own requests come back to nobody: what leaves the NIC for a DHCP server is dropped on its way out.
SILENCE = f"tc qdisc add dev {NIC} clsact && tc filter add dev {NIC} egress matchall action drop"
REFUSED = 4


@pytest.fixture
def waiting(host: Machine) -> Iterator[Machine]:
    """systemd-networkd asks for an address by the NIC, and gets no answer."""
    host.succeed(SILENCE)
    host.put_file(PROFILE, f"[Match]\nName={NIC}\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n")
    host.succeed("networkctl reload")
    host.wait_until_succeeds(f'networkctl --json=short status {NIC} | grep \'"AdministrativeState":"configuring"\'')
    assert not host.succeed(f"ip -4 address show dev {NIC}")
    yield host
    host.execute("virsh destroy web01", LONG)
    host.succeed(f"rm -f {PROFILE}; networkctl reload")
    host.wait_until_succeeds(f'networkctl --json=short status {NIC} | grep \'"AdministrativeState":"unmanaged"\'')
    # Only a new interface is one that was never up.
    host.succeed(f"cd /sys/bus/pci/drivers/igb; echo {ADDRESS} >unbind; echo {ADDRESS} >bind; udevadm settle")


def findings(host: Machine) -> dict[str, Any]:
    report = json.loads(host.execute(["nicpass", "check", NIC, "--json"], LONG).stdout)
    return {finding["code"]: finding for finding in report["nics"][0]["findings"]}


def test_who_waits_for_an_answer_is_not_free(waiting: Machine) -> None:
    found = findings(waiting)["TO_BE_CONFIGURED"]
    assert found["evidence"][0] == {"source": PROFILE, "value": f"Name={NIC}: DHCP=ipv4 IPv6AcceptRA=no"}
    refused = waiting.execute(["nicpass", "attach", "web01", NIC], LONG)
    assert refused.exit_code == REFUSED, refused.stdout + refused.stderr
    assert PROFILE in refused.stderr
    assert waiting.succeed(f"basename $(readlink /sys/bus/pci/devices/{ADDRESS}/driver)").strip() == "igb"


def test_the_guard_vetoes_a_start_until_it_was_allowed_by_name(host: Machine, request: pytest.FixtureRequest) -> None:
    host.succeed(["nicpass", "attach", "web01", NIC], LONG)
    try:
        waiting: Machine = request.getfixturevalue("waiting")
        refused = waiting.fail(["virsh", "start", "web01"], timeout=LONG)
        assert "web01 is not started" in refused.stderr
        assert PROFILE in refused.stderr
        waiting.succeed(["nicpass", "detach", "web01", ADDRESS], LONG)
        waiting.succeed(["nicpass", "attach", "web01", NIC, "--start", "--allow", "TO_BE_CONFIGURED"], LONG)
        assert waiting.succeed(f"basename $(readlink /sys/bus/pci/devices/{ADDRESS}/driver)").strip() == "vfio-pci"
        waiting.succeed("virsh destroy web01", LONG)
        waiting.wait_until_succeeds("virsh domstate web01 | grep -q 'shut off'", 60)
    finally:
        host.execute(["nicpass", "detach", "web01", ADDRESS], LONG)
