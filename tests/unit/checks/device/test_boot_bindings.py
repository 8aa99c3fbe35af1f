# SPDX-License-Identifier: Apache-2.0
"""What is said of NICs that are bound at boot, and how they are given to a VM and taken back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given

from nicpass.checks.device.boot_bindings import check_boot_bindings, check_builtin, check_nic_boot_binding
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import list_nics
from nicpass.checks.preflight import check_host, check_nic
from nicpass.model.address import Address
from nicpass.model.binding import BootBindings
from nicpass.model.errors import RebootNeededError
from nicpass.model.finding import Finding
from nicpass.model.host import Host
from nicpass.model.plan import DefineDevice, GiveBackNic, InstallGuard, TakeNic
from nicpass.model.request import AttachRequest, DetachRequest
from nicpass.planner.nic.attach import plan_attach
from nicpass.planner.nic.detach import plan_detach
from tests.support.boot_bindings import (
    ETH1,
    HAVING,
    IDENTITY,
    NIC,
    NUMBER,
    ON_VFIO,
    OTHER_PORT,
    PORT,
    WITH_SERIAL,
    bound,
)
from tests.support.hosts import nic, ready_host
from tests.support.strategies import values_of
from tests.support.trees import Tree, Vm, hostdev_xml


def told(tree: Tree, root: Path) -> dict[str, Finding]:
    """Code to finding, of the host and of all its NICs."""
    index = HostIndex(tree.read(root))
    found = [*check_host(index.host, index), *(f for nic in list_nics(index.host) for f in check_nic(nic, index))]
    return {finding.code: finding for finding in found}


class TestWhatIsSaid:
    """Each case in its words."""

    def test_what_we_have_bound_is_nobody_elses_leftover(self, tmp_path: Path) -> None:
        found = told(HAVING["BOUND_AT_BOOT"], tmp_path)
        assert not {"ON_VFIO", "OVERRIDE_LEFT", "BOUND_BY_NEW_ID", "BOOT_BINDING_ABSENT"} & set(found)
        assert f"nicpass binds {NIC} to vfio-pci at every boot" in found["BOUND_AT_BOOT"].sentence

    def test_an_override_that_waits_for_its_driver_is_ours_too(self, tmp_path: Path) -> None:
        waiting = nic(NIC, driver=None, driver_override="vfio-pci", under=PORT.address)
        tree = bound(ready_host(PORT, waiting), outcome="failed", answers=NIC, detail="no module vfio-pci")
        found = told(tree, tmp_path)
        assert "OVERRIDE_LEFT" not in found
        assert "is not: no module vfio-pci" in found["BOOT_BINDING_FAILED"].sentence

    def test_an_override_of_another_hand_is_told(self, tmp_path: Path) -> None:
        tree = bound(ready_host(PORT, nic(NIC, driver_override="uio_pci_generic", under=PORT.address)))
        assert "OVERRIDE_LEFT" in told(tree, tmp_path)

    def test_who_had_it_first(self, tmp_path: Path) -> None:
        assert "ixgbe had it first" in told(HAVING["BOOT_BINDING_FAILED"], tmp_path)["BOOT_BINDING_FAILED"].sentence

    @pytest.mark.parametrize(
        ("report", "words"),
        [
            ({"outcome": "bound", "answers": NIC}, "somebody has bound it to ixgbe since"),
            ({"outcome": "failed"}, "did not take it"),
            ({"outcome": "unread"}, "serial number could not be read"),
            ({"outcome": "damaged", "detail": "x=y"}, "damaged at boot: x=y"),
            ({"outcome": "other", "answers": NIC}, "not found at boot"),
        ],
    )
    def test_why_it_failed(self, report: dict[str, Any], words: str, tmp_path: Path) -> None:
        assert words in told(bound(ready_host(), **report), tmp_path)["BOOT_BINDING_FAILED"].sentence

    def test_switched_off_for_this_boot(self, tmp_path: Path) -> None:
        tree = bound(ready_host(cmdline="ro intel_iommu=on nicpass.bind=off"))
        assert "nicpass.bind=off" in told(tree, tmp_path)["BOOT_BINDING_PENDING"].sentence

    def test_what_stands_in_its_place(self, tmp_path: Path) -> None:
        sentence = told(HAVING["BOOT_BINDING_ABSENT"], tmp_path)["BOOT_BINDING_ABSENT"].sentence
        assert f"prepared as {NIC} (8086:1521) is not there: in its place is eth1 ({NIC})" in sentence

    def test_its_like_that_stands_elsewhere(self, tmp_path: Path) -> None:
        moved = nic("0000:02:00.0", "eth2", under=OTHER_PORT.address)
        sentence = told(bound(ready_host(OTHER_PORT, moved)), tmp_path)["BOOT_BINDING_ABSENT"].sentence
        assert "nothing is in its place; of the same kind are there eth2 (0000:02:00.0)" in sentence

    def test_one_with_a_serial_number_is_found_where_it_is_now(self, tmp_path: Path) -> None:
        moved = nic("0000:02:00.0", under=OTHER_PORT.address, serial=NUMBER, driver="vfio-pci")
        found = told(bound(ready_host(OTHER_PORT, moved), WITH_SERIAL), tmp_path)
        assert found["BOUND_AT_BOOT"].subject == "0000:02:00.0"
        assert found["BOUND_AT_BOOT"].mend.endswith(f"nicpass prepare --remove {NIC}")
        assert "BOOT_BINDING_ABSENT" not in found

    def test_without_root_the_script_is_believed(self, tmp_path: Path) -> None:
        """Its serial number cannot be read, and the script could."""
        card = nic(NIC, under=PORT.address, serial=NUMBER, config_size=64, driver="vfio-pci")
        found = told(bound(ready_host(PORT, card), WITH_SERIAL, outcome="bound", answers=NIC), tmp_path)
        assert "BOUND_AT_BOOT" in found
        assert not {"ON_VFIO", "BOUND_BY_NEW_ID", "BOOT_BINDINGS_UNREAD"} & set(found)

    def test_without_root_and_script_it_is_not_known(self, tmp_path: Path) -> None:
        card = nic(NIC, under=PORT.address, serial=NUMBER, config_size=64)
        found = told(bound(ready_host(PORT, card), WITH_SERIAL), tmp_path)
        assert f"whether {NIC} is the card that was prepared" in found["BOOT_BINDINGS_UNREAD"].sentence
        assert not {"BOOT_BINDING_PENDING", "BOOT_BINDING_ABSENT"} & set(found)

    def test_where_only_a_part_was_read_no_card_is_missed(self, tmp_path: Path) -> None:
        host = HAVING["BOOT_BINDING_ABSENT"].read(tmp_path)
        host = msgspec.structs.replace(host, pci_unread="only what eth1 depends on was asked for")
        assert "BOOT_BINDING_ABSENT" not in {finding.code for finding in check_boot_bindings(HostIndex(host))}

    def test_a_driver_that_is_built_in_is_told_of_a_nic_that_is_to_be_bound(self, tmp_path: Path) -> None:
        builtin = HAVING["DRIVER_BUILT_IN"].files
        tree = ready_host().but(files={path: text for path, text in builtin.items() if "modules" in path})
        index = HostIndex(tree.read(tmp_path))
        function = index.functions[Address(NIC)]
        assert list(check_nic_boot_binding(function, index)) == []
        (finding,) = check_builtin(function, index)
        assert (finding.code, finding.subject) == ("DRIVER_BUILT_IN", NIC)

    @given(values_of(BootBindings))
    def test_every_value_can_be_judged(self, found: BootBindings) -> None:
        index = HostIndex(Host(pci=(), boot_bindings=found))
        list(check_boot_bindings(index))


VMS = (Vm(name="guest", devices=hostdev_xml(NIC, managed="no")),)


class TestAttach:
    """Law 5: libvirt does not bind what is bound at boot."""

    def test_libvirt_leaves_the_binding_to_us(self, tmp_path: Path) -> None:
        host = HAVING["BOUND_AT_BOOT"].read(tmp_path)
        plan = plan_attach(host, AttachRequest(vm="guest", nic=NIC))
        take, define = plan.steps
        assert isinstance(take, TakeNic)
        assert isinstance(define, DefineDevice)
        assert take.owner is not None
        assert (define.device.managed, take.owner.managed) == (False, False)
        assert not any(isinstance(step, InstallGuard) for step in plan.steps)

    def test_also_where_somebody_has_cleared_the_override(self, tmp_path: Path) -> None:
        tree = bound(ready_host(PORT, nic(NIC, driver="vfio-pci", under=PORT.address)), outcome="bound", answers=NIC)
        plan = plan_attach(tree.read(tmp_path), AttachRequest(vm="guest", nic=NIC))
        assert [s.device.managed for s in plan.steps if isinstance(s, DefineDevice)] == [False]

    @pytest.mark.parametrize("code", ["BOOT_BINDING_PENDING", "BOOT_BINDING_FAILED"])
    def test_before_it_is_bound_it_is_not_given(self, code: str, tmp_path: Path) -> None:
        with pytest.raises(RebootNeededError):
            plan_attach(HAVING[code].read(tmp_path), AttachRequest(vm="guest", nic="eth1"))

    def test_detached_it_stays_on_vfio_and_that_is_said(self, tmp_path: Path) -> None:
        tree = bound(ready_host(PORT, ON_VFIO, vms=VMS), outcome="bound", answers=NIC)
        host = tree.read(tmp_path)
        plan = plan_detach(host, DetachRequest(vm="guest", nic=NIC), None)
        assert not [step for step in plan.steps if isinstance(step, GiveBackNic)]
        assert "stays on vfio-pci, which has it at every boot" in plan.notes[0]
        assert f"nicpass prepare --remove {NIC}" in plan.notes[0]

    def test_what_was_kept_of_it_is_let_go(self, tmp_path: Path) -> None:
        host = bound(ready_host(PORT, ON_VFIO, vms=VMS), outcome="bound", answers=NIC).read(tmp_path)
        before = HAVING["BOUND_AT_BOOT"].read(tmp_path / "before")
        take = plan_attach(before, AttachRequest(vm="guest", nic=NIC)).steps[0]
        assert isinstance(take, TakeNic)
        plan = plan_detach(host, DetachRequest(vm="guest", nic=NIC), take.state)
        (back,) = [step for step in plan.steps if isinstance(step, GiveBackNic)]
        assert (back.state.driver, len(plan.notes)) == ("vfio-pci", 1)


def test_the_identity_of_these_hosts_is_that_of_their_nic(tmp_path: Path) -> None:
    """Else all of the above would be about nothing."""
    index = HostIndex(bound(ready_host(PORT, ETH1)).read(tmp_path))
    assert index.boot_bindings[Address(NIC)].identity == IDENTITY
