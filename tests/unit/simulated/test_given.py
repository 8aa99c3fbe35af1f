# SPDX-License-Identifier: Apache-2.0
"""A NIC that was given away answers to the names that it had, also where it is gone itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nicpass.model.request import AttachRequest, DetachRequest, VfRequest
from tests.support.simulation.boot import reboot
from tests.support.simulation.hardware import NIC, PF, VFS
from tests.support.simulation.host import SimulatedHost, do
from tests.support.simulation.scenes import ALLOW, WEB

if TYPE_CHECKING:
    from tests.unit.simulated.conftest import Seen

pytestmark = pytest.mark.spawns

START = AttachRequest(vm="web", nic="lan0", allow=ALLOW, start=True)


def mac_of(seen: Seen, name: str) -> str:
    nic = json.loads(seen("list", name, "--json"))["nics"][0]
    return str(nic["netdevs"][0]["permanent_mac"])


class TestAway:
    """The VM runs, and has the NIC."""

    @pytest.mark.parametrize("command", ["list", "check"])
    def test_it_is_found_by_name_and_mac(self, command: str, host: SimulatedHost, seen: Seen) -> None:
        mac = mac_of(seen, "lan0")
        do(host, START)
        for name in ("lan0", "uplink-lan0", mac, mac.upper().replace(":", "-"), NIC):
            assert NIC in seen(command, name), seen.error

    def test_the_list_shows_its_name_in_brackets(self, host: SimulatedHost, seen: Seen) -> None:
        do(host, START)
        row = next(line for line in seen("list").splitlines() if NIC in line)
        assert "(lan0)" in row
        given = next(nic for nic in json.loads(seen("list", "--json"))["nics"] if nic["address"] == NIC)["given"]
        assert (given["vm"], given["names"], given["gone"]) == ("web", ["lan0"], None)

    def test_it_is_given_again_and_taken_back_by_its_name(self, host: SimulatedHost) -> None:
        do(host, START)
        do(host, START)
        do(host, DetachRequest(vm="web", nic="lan0", stop=True))

    def test_a_name_that_another_nic_has_by_now_means_that_one(self, host: SimulatedHost, seen: Seen) -> None:
        do(host, START)
        host.run(
            lambda machine: machine.kernel.interfaces.set_link(
                machine.kernel.interfaces.index_of("eth1") or 0, {"ifname": "lan0"}
            )
        )
        assert PF in seen("list", "lan0")


class TestGone:
    """The VF of a VM, after a boot that made none."""

    @pytest.fixture(autouse=True)
    def after_a_boot(self, host: SimulatedHost) -> None:
        do(host, VfRequest(pf="eth1", count=2, for_host=True, until_reboot=True))
        do(host, AttachRequest(vm="web", nic=VFS[1]))
        reboot(host, host.first, 1)

    def test_the_list_has_it_and_says_why(self, seen: Seen) -> None:
        output = seen("list")
        assert "RECORD_WITHOUT_NIC" in next(line for line in output.splitlines() if VFS[1] in line)
        assert f"its PF eth1 ({PF}) has no VFs now" in seen.error
        assert f"nicpass detach web {VFS[1]}" in seen.error

    @pytest.mark.parametrize("name", [VFS[1], "eth1v1"])
    def test_it_is_explained(self, name: str, seen: Seen) -> None:
        assert f"its PF eth1 ({PF}) has no VFs now" in seen("list", name)
        output = seen("check", name)
        assert seen.code == 3
        assert "is not there now" in output
        assert output.count("RECORD_WITHOUT_NIC") == 1
        assert f"nicpass vf create {PF} --count 2" in output
        assert f"nicpass detach web {VFS[1]}" in output

    def test_it_cannot_be_given(self, host: SimulatedHost) -> None:
        done = do(host, AttachRequest(vm="db", nic=VFS[1]), exit_code=2)
        assert "has no VFs now" in done.sentence
        assert f"nicpass vf create {PF} --count 2" in done.hint

    def test_it_is_detached_from_its_record(self, host: SimulatedHost, seen: Seen) -> None:
        do(host, DetachRequest(vm="web", nic=VFS[1]))
        assert VFS[1] not in seen("list")
        assert seen.error == ""

    def test_the_guard_says_what_became_of_it(self, host: SimulatedHost) -> None:
        done = host.run(lambda machine: machine.daemon.hooks.prepare(machine.daemon.definitions()[WEB].read_text()))
        assert "has no VFs now" in done.sentence + done.hint
        assert "taken out" not in done.sentence + done.hint
