# SPDX-License-Identifier: Apache-2.0
"""What giving and taking back is for a VM that runs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import pytest

from nicpass.model.address import Address
from nicpass.model.domain import Definition, Domain, DomainDevice, GuestPlace, PciPlaces, guest_place
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.inverse import invert_step
from nicpass.model.plan import DefineDevice, DeviceSpec, PlugDevice
from nicpass.model.request import Where
from nicpass.planner.nic.running import Taking, put_in, spec_of, take_out

NIC = Address("0000:03:00.0")
SPEC = DeviceSpec(address=NIC, element="hostdev")
WHERE: tuple[Where, ...] = ("both", "live", "config")


def device(place: GuestPlace | None = None) -> DomainDevice:
    return DomainDevice(address=NIC, element="hostdev", managed=True, place=place, xml="<hostdev/>")


def places(*buses: int) -> Definition:
    free = tuple(guest_place(bus, 0) for bus in buses)
    return Definition(
        pci=PciPlaces(root_ports=9, free_root_ports=len(free), hotplug_slots=len(free), hotplug_places=free)
    )


def vm(
    *,
    live: tuple[DomainDevice, ...] = (),
    config: tuple[DomainDevice, ...] = (),
    running: bool = True,
    paused: bool = False,
) -> Domain:
    return Domain(
        name="web",
        uuid="11111111-1111-1111-1111-111111111111",
        running=running,
        paused=paused,
        live_devices=live,
        config_devices=config,
        live=places(5, 6, 7) if running else None,
        config=places(6, 7, 8),
    )


def in_order(taking: Taking) -> list[object]:
    return [*taking.stops, *taking.unplugs, *taking.undefines]


def kinds(steps: Sequence[object]) -> list[str]:
    return [type(step).__name__ for step in steps]


class TestPutIn:
    def test_a_running_vm_gets_it_in_both_definitions_at_one_place_that_is_free_in_both(self) -> None:
        define, plug = put_in(vm(), [SPEC], "both")
        assert isinstance(define, DefineDevice)
        assert isinstance(plug, PlugDevice)
        assert define.running
        assert define.device == plug.device == msgspec.structs.replace(SPEC, place=guest_place(6, 0))

    def test_each_of_several_has_a_place_of_its_own(self) -> None:
        other = msgspec.structs.replace(SPEC, address=Address("0000:03:00.1"))
        third = msgspec.structs.replace(SPEC, address=Address("0000:03:00.2"))
        steps = put_in(vm(), [SPEC, other, third], "both")
        assert kinds(steps) == ["DefineDevice"] * 3 + ["PlugDevice"] * 3
        plugged = [step.device.place for step in steps if isinstance(step, PlugDevice)]
        lasting = [step.device.place for step in steps if isinstance(step, DefineDevice)]
        assert plugged == [guest_place(6, 0), guest_place(7, 0), guest_place(5, 0)]
        assert lasting == [guest_place(6, 0), guest_place(7, 0), None]
        with pytest.raises(ImpossibleError, match="no free place"):
            put_in(vm(), [SPEC, other, third, msgspec.structs.replace(SPEC, address=Address("0000:03:00.3"))], "both")

    def test_where_no_place_is_free_in_both_the_running_machine_comes_first(self) -> None:
        domain = msgspec.structs.replace(vm(), config=places(9))
        define, plug = put_in(domain, [SPEC], "both")
        assert isinstance(define, DefineDevice)
        assert isinstance(plug, PlugDevice)
        assert (define.device.place, plug.device.place) == (None, guest_place(5, 0))

    def test_what_stands_in_the_definition_already_is_plugged_in_at_its_place_there(self) -> None:
        (plug,) = put_in(vm(config=(device(guest_place(7, 0)),)), [SPEC], "both")
        assert isinstance(plug, PlugDevice)
        assert plug.device.place == guest_place(7, 0)

    def test_only_the_one_that_was_asked_for(self) -> None:
        assert kinds(put_in(vm(), [SPEC], "live")) == ["PlugDevice"]
        assert kinds(put_in(vm(), [SPEC], "config")) == ["DefineDevice"]
        (define,) = put_in(vm(running=False), [SPEC], "both")
        assert isinstance(define, DefineDevice)
        assert not define.running
        assert define.device == SPEC

    def test_no_free_place_says_what_goes_instead(self) -> None:
        full = msgspec.structs.replace(vm(), live=places())
        with pytest.raises(ImpossibleError, match="no free place") as caught:
            put_in(full, [SPEC], "both")
        assert "--add-ports 2" in caught.value.hint
        assert kinds(put_in(full, [SPEC], "config")) == ["DefineDevice"]

    def test_a_stopped_vm_has_no_running_machine(self) -> None:
        with pytest.raises(BadInputError, match="does not run"):
            put_in(vm(running=False), [SPEC], "live")

    def test_a_definition_that_nobody_has_read_shows_no_place(self) -> None:
        unread = msgspec.structs.replace(vm(), live=None)
        with pytest.raises(ImpossibleError):
            put_in(unread, [SPEC], "both")


class TestTakeOut:
    @pytest.mark.parametrize(
        ("where", "stop", "expected"),
        [
            ("both", False, ["UnplugDevice", "UndefineDevice"]),
            ("live", False, ["UnplugDevice"]),
            ("config", False, ["UndefineDevice"]),
            ("both", True, ["StopDomain", "UndefineDevice"]),
        ],
    )
    def test_from_the_definitions_that_were_asked_for(self, where: Where, stop: bool, expected: list[str]) -> None:
        domain = vm(live=(device(),), config=(device(),))
        taking = take_out(domain, NIC, where, stop=stop)
        assert kinds(in_order(taking)) == expected
        assert [step.running for step in taking.undefines] in ([], [not stop])

    def test_a_paused_guest_cannot_let_go(self) -> None:
        domain = vm(live=(device(),), config=(device(),), paused=True)
        with pytest.raises(RefusedError, match="paused") as caught:
            take_out(domain, NIC, "both", stop=False)
        assert "--stop" in caught.value.hint
        assert kinds(in_order(take_out(domain, NIC, "both", stop=True))) == ["StopDomain", "UndefineDevice"]
        assert kinds(in_order(take_out(domain, NIC, "config", stop=False))) == ["UndefineDevice"]

    def test_what_runs_without_it_needs_no_guest(self) -> None:
        assert kinds(in_order(take_out(vm(config=(device(),), paused=True), NIC, "both", stop=False))) == [
            "UndefineDevice"
        ]
        assert kinds(in_order(take_out(vm(config=(device(),), running=False), NIC, "both", stop=False))) == [
            "UndefineDevice"
        ]

    def test_it_has_to_stand_where_it_is_to_be_taken_out(self) -> None:
        with pytest.raises(BadInputError, match="does not run with"):
            take_out(vm(config=(device(),)), NIC, "live", stop=False)
        with pytest.raises(BadInputError, match="lasting definition"):
            take_out(vm(live=(device(),)), NIC, "config", stop=False)


def test_taking_out_is_the_inverse_of_putting_in() -> None:
    """Of every state of a running VM: what `put_in` does, in reverse, is what `take_out` does to the VM that has it."""
    for where in WHERE:
        put = put_in(vm(), [SPEC], where)
        has = {type(step) for step in put}
        domain = vm(
            live=(device(),) if PlugDevice in has else (),
            config=(device(),) if DefineDevice in has else (),
        )
        taken = take_out(domain, NIC, where, stop=False)
        assert kinds([invert_step(step) for step in reversed(put)]) == kinds(in_order(taken))


def test_what_is_there_is_not_put_in_again() -> None:
    states = itertools.product(((), (device(),)), repeat=2)
    for (live, config), where in itertools.product(states, WHERE):
        steps = put_in(vm(live=live, config=config), [SPEC], where)
        assert ("PlugDevice" in kinds(steps)) == (not live and where != "config")
        assert ("DefineDevice" in kinds(steps)) == (not config and where != "live")


def test_a_device_is_put_back_as_it_stood() -> None:
    assert spec_of(device(guest_place(5, 0))).xml == "<hostdev/>"
    assert spec_of(device(guest_place(5, 0))).place == "05:00"
