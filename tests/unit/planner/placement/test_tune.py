# SPDX-License-Identifier: Apache-2.0
"""A VM is put where its NIC is, onto CPUs that are nobody else's; or it is said in one sentence why not."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nicpass.model.change import Change, Closed, Opened
from nicpass.model.cpus import Cpus, Interrupt
from nicpass.model.domain import Domain
from nicpass.model.errors import BadInputError, ImpossibleError, NicpassError, RefusedError
from nicpass.model.fact import Unknown
from nicpass.model.host import Host
from nicpass.model.inverse import invert_step
from nicpass.model.memory import format_cpulist, parse_cpulist
from nicpass.model.plan import PlaceDomain, Plan, SteerInterrupts
from nicpass.model.request import TuneRequest, UndoRequest
from nicpass.planner.placement.cpu_claims import numbers_of
from nicpass.planner.placement.tune import plan_tune, plan_untune
from tests.support.placed import (
    GIB,
    MIB,
    NIC,
    OTHER_NIC,
    after,
    claim,
    domain,
    host,
    interrupts,
    nic,
    other,
    pinned,
    place_of,
    running,
)

TUNE = TuneRequest(vm="web")


def pins_of(plan: Plan) -> list[str]:
    return [pin.cpus for pin in place_of(plan).after.pins]


def change_of(plan: Plan) -> Change:
    opened = Opened(time=1.0, boot_id="b", plan=plan)
    return Change(identity="20261130T0000", opened=opened, closed=Closed(time=2.0, exit_code=0))


class TestTheNode:
    def test_cpus_memory_and_emulator_are_those_of_the_nic_s_node(self) -> None:
        placed = place_of(plan_tune(host(), TUNE)).after
        assert [pin.cpus for pin in placed.pins] == ["5", "6"]
        assert (placed.emulator, placed.mode, placed.nodes) == ("4,7", "strict", "1")

    def test_a_second_time_there_is_nothing_to_do(self) -> None:
        before = host(pages={2 * MIB: 4096})
        plan = plan_tune(after(before, plan_tune(before, TUNE)), TUNE)
        assert plan.steps == ()
        assert "already" in plan.summary

    def test_on_one_node_the_nic_need_not_tell_and_memory_is_left_alone(self) -> None:
        plan = plan_tune(host(nics=(nic(node=-1),), nodes=1), TUNE)
        assert place_of(plan).after.mode is None
        assert pins_of(plan) == ["1", "2"]
        assert "one NUMA node" in plan.notes[0]

    def test_a_nic_without_a_node_needs_named_cpus(self) -> None:
        there = host(nics=(nic(node=-1),))
        with pytest.raises(ImpossibleError, match="firmware does not tell") as raised:
            plan_tune(there, TUNE)
        assert "--cpus" in raised.value.hint
        assert place_of(plan_tune(there, TuneRequest(vm="web", cpus="1-2"))).after.nodes == "0"
        with pytest.raises(BadInputError, match="several NUMA nodes"):
            plan_tune(there, TuneRequest(vm="web", cpus="3-4"))

    def test_nics_on_two_nodes_need_named_cpus(self) -> None:
        there = host(domain(nics=(NIC, OTHER_NIC)), nics=(nic(), nic(OTHER_NIC, 0)))
        with pytest.raises(ImpossibleError, match="several NUMA nodes: 0, 1"):
            plan_tune(there, TUNE)
        assert place_of(plan_tune(there, TuneRequest(vm="web", cpus="6-7"))).after.nodes == "1"

    def test_named_cpus_are_those_of_the_node(self) -> None:
        with pytest.raises(BadInputError, match="CPUs 0 are not on NUMA node 1"):
            plan_tune(host(), TuneRequest(vm="web", cpus="0,4"))

    @pytest.mark.parametrize("cpus", ["", "x", "7-4", "^1", "4-99999"])
    def test_a_wrong_list_is_bad_usage(self, cpus: str) -> None:
        with pytest.raises(BadInputError):
            plan_tune(host(), TuneRequest(vm="web", cpus=cpus))

    def test_a_node_without_cpus(self) -> None:
        there = host(nics=(nic(node=1),))
        assert isinstance(there.memory.nodes, tuple)
        bare = msgspec.structs.replace(there.memory.nodes[1], cpus=None)
        changed = msgspec.structs.replace(there.memory, nodes=(there.memory.nodes[0], bare))
        with pytest.raises(ImpossibleError, match="has no CPUs"):
            plan_tune(msgspec.structs.replace(there, memory=changed), TUNE)

    def test_nodes_that_cannot_be_read(self) -> None:
        there = host()
        changed = msgspec.structs.replace(there.memory, nodes=Unknown("denied"))
        with pytest.raises(ImpossibleError, match="denied"):
            plan_tune(msgspec.structs.replace(there, memory=changed), TUNE)


class TestTheVm:
    def test_one_without_a_nic(self) -> None:
        with pytest.raises(BadInputError, match="has no NIC") as raised:
            plan_tune(host(domain(nics=())), TUNE)
        assert "nicpass attach web" in raised.value.hint

    def test_one_with_more_virtual_cpus_than_the_node_has(self) -> None:
        with pytest.raises(ImpossibleError, match="5 virtual CPUs, and NUMA node 1 has 4 CPUs"):
            plan_tune(host(domain(vcpus=5)), TUNE)

    def test_one_with_as_many_sends_qemu_s_threads_to_another_node(self) -> None:
        placed = place_of(plan_tune(host(domain(vcpus=4)), TUNE)).after
        assert placed.emulator == "0-3"
        with pytest.raises(ImpossibleError, match="leave no CPU"):
            plan_tune(host(domain(vcpus=4), nodes=1), TUNE)

    def test_one_without_a_lasting_definition(self) -> None:
        transient = msgspec.structs.replace(running(domain()), persistent=False)
        with pytest.raises(ImpossibleError, match="no lasting definition"):
            plan_tune(host(transient), TUNE)

    def test_one_whose_pins_cannot_be_read(self) -> None:
        with pytest.raises(ImpossibleError, match="what"):
            plan_tune(host(domain(vcpu_pins=Unknown("what"))), TUNE)

    def test_one_that_runs_gets_it_at_its_next_start(self) -> None:
        plan = plan_tune(host(running(domain())), TUNE)
        assert any("next start" in note for note in plan.notes)

    def test_one_with_a_saved_state(self) -> None:
        saved = msgspec.structs.replace(domain(), saved_image=True)
        assert any("saved state" in note for note in plan_tune(host(saved), TUNE).notes)

    def test_placement_by_a_daemon_ends(self) -> None:
        step = place_of(plan_tune(host(domain(placement="auto", memory_mode="strict")), TUNE))
        assert (step.before.by_hand, step.after.by_hand) == (False, True)

    def test_a_snapshot_that_tells_no_cpus(self) -> None:
        there = msgspec.structs.replace(host(), cpus=Cpus(unread="not asked for"))
        with pytest.raises(BadInputError, match="snapshot"):
            plan_tune(there, TUNE)


class TestCpusOfOthers:
    def test_what_another_vm_is_pinned_to_is_left_to_it(self) -> None:
        assert pins_of(plan_tune(host(domain(), other("5", "6")), TUNE)) == ["7", "4"]

    def test_too_few_are_left(self) -> None:
        with pytest.raises(RefusedError, match="CPUs 5-7: pinned by db"):
            plan_tune(host(domain(), other("5", "6-7")), TUNE)

    def test_named_ones_too(self) -> None:
        with pytest.raises(RefusedError, match="CPUs 5: pinned by db"):
            plan_tune(host(domain(), other("5")), TuneRequest(vm="web", cpus="5-7"))

    def test_a_pin_to_the_whole_host_is_none(self) -> None:
        assert len(pins_of(plan_tune(host(domain(), other("0-7", "0-7")), TUNE))) == 2

    def test_virtual_cpus_without_a_pin_are_where_the_definition_says(self) -> None:
        there = host(domain(), domain("db", 2, nics=(), vcpus=2, vcpu_pins=pinned("7"), cpuset="4-5"))
        with pytest.raises(RefusedError, match="CPUs 4-5,7: pinned by db"):
            plan_tune(there, TUNE)

    def test_the_running_machine_counts_beside_the_definition(self) -> None:
        both = msgspec.structs.replace(running(other("5")), config=other("6").config)
        assert pins_of(plan_tune(host(domain(), both), TUNE)) == ["7", "4"]

    def test_each_keeps_a_cpu_for_qemu_s_own_threads(self) -> None:
        there = host(domain(), other("0", emulator_pin="6"))
        assert pins_of(plan_tune(there, TUNE)) == ["5", "7"]
        floating = host(domain(vcpus=3), other("0", emulator_pin="5-7"))
        assert sorted(pins_of(plan_tune(floating, TUNE))) == ["4", "5", "6"]

    def test_pins_that_cannot_be_read_are_unsafe(self) -> None:
        with pytest.raises(RefusedError, match="odd"):
            plan_tune(host(domain(), domain("db", 2, nics=(), vcpu_pins=Unknown("odd"))), TUNE)

    @pytest.mark.parametrize("field", ["online", "isolated", "nohz_full", "claims"])
    def test_what_cannot_be_read_is_unsafe(self, field: str) -> None:
        with pytest.raises(RefusedError, match="denied"):
            plan_tune(host(**{field: Unknown("denied")}), TUNE)  # type: ignore[arg-type]

    def test_services_keep_theirs(self) -> None:
        assert pins_of(plan_tune(host(claims=(claim("5-6"),)), TUNE)) == ["7", "4"]
        with pytest.raises(RefusedError, match=r"bound by /etc/systemd/system/dpdk\.service"):
            plan_tune(host(claims=(claim("5-7"),)), TUNE)
        assert len(pins_of(plan_tune(host(claims=(claim("0-7"),)), TUNE))) == 2

    @pytest.mark.parametrize("field", ["isolated", "nohz_full"])
    def test_isolated_ones_are_for_whoever_names_them(self, field: str) -> None:
        there = host(**{field: "5-7"})  # type: ignore[arg-type]
        with pytest.raises(RefusedError, match="CPUs 5-7: isolated") as raised:
            plan_tune(there, TUNE)
        assert "nicpass tune web --cpus 5-7" in raised.value.hint
        placed = place_of(plan_tune(there, TuneRequest(vm="web", cpus="5-6"))).after
        assert [pin.cpus for pin in placed.pins] == ["5", "6"]
        assert placed.emulator == "4"

    def test_a_vm_that_was_pinned_there_by_hand_stays(self) -> None:
        own = domain(vcpu_pins=pinned("6", "7"))
        assert pins_of(plan_tune(host(own, isolated="6-7"), TUNE)) == ["6", "7"]

    def test_more_named_than_needed_are_for_qemu(self) -> None:
        assert place_of(plan_tune(host(), TuneRequest(vm="web", cpus="4-6"))).after.emulator == "6"
        with pytest.raises(BadInputError, match="names 1 CPUs, and web has 2"):
            plan_tune(host(), TuneRequest(vm="web", cpus="4"))


class TestThreads:
    def test_both_threads_of_a_core_go_to_one_vm(self) -> None:
        assert pins_of(plan_tune(host(per_node=8, threads=2), TUNE)) == ["10", "11"]

    def test_a_core_on_which_another_vm_is_comes_last(self) -> None:
        there = host(domain(vcpus=4), other("10"), per_node=8, threads=2)
        assert pins_of(plan_tune(there, TUNE)) == ["12", "13", "14", "15"]


class TestMemory:
    def test_too_little_is_preferred_and_told(self) -> None:
        plan = plan_tune(host(free=GIB), TUNE)
        assert place_of(plan).after.mode == "preferred"
        assert "1 GiB free, and web needs 4 GiB" in plan.notes[0]

    def test_free_huge_pages_are_taken_the_largest_first(self) -> None:
        placed = place_of(plan_tune(host(pages={2 * MIB: 4096, GIB: 4}), TUNE)).after
        assert (placed.hugepages, placed.page_size, placed.mode) == (True, GIB, "strict")

    def test_not_those_of_a_vm_that_is_off(self) -> None:
        there = host(domain(), other("0", hugepages=True, hugepage_sizes=(GIB,)), pages={GIB: 7})
        assert place_of(plan_tune(there, TUNE)).after.hugepages is False
        with pytest.raises(ImpossibleError, match="needs 4 huge pages of 1 GiB of node 1, and 3 are free") as raised:
            plan_tune(there, TuneRequest(vm="web", hugepages=True))
        assert "echo 8 > /sys/devices/system/node/node1/hugepages/hugepages-1048576kB" in raised.value.hint

    @pytest.mark.parametrize(("mounts", "size"), [((2 * MIB,), 2 * MIB), ((0,), 2 * MIB), ((), None)])
    def test_only_those_that_libvirt_can_get_at(self, mounts: tuple[int, ...], size: int | None) -> None:
        there = host(pages={2 * MIB: 4096, GIB: 4}, hugepage_mounts=mounts)
        assert place_of(plan_tune(there, TUNE)).after.page_size == size
        if size is None:
            with pytest.raises(ImpossibleError, match="no hugetlbfs") as raised:
                plan_tune(there, TuneRequest(vm="web", hugepages=True))
            assert "mount -t hugetlbfs -o pagesize=1048576K" in raised.value.hint

    def test_sizes_that_do_not_divide_it_are_none(self) -> None:
        odd = domain(memory=3 * GIB + MIB)
        with pytest.raises(ImpossibleError, match="divides"):
            plan_tune(host(odd, pages={2 * MIB: 9999}), TuneRequest(vm="web", hugepages=True))

    def test_those_that_it_has_already_are_left_as_they_are(self) -> None:
        has = domain(hugepages=True, hugepages_xml="<hugepages/>")
        placed = place_of(plan_tune(host(has, pages={2 * MIB: 4096, GIB: 4}), TUNE)).after
        assert (placed.hugepages_xml, placed.page_size, placed.mode) == ("<hugepages/>", None, "strict")
        plan = plan_tune(host(has, pages={2 * MIB: 1, GIB: 4}), TUNE)
        assert place_of(plan).after.mode == "preferred"
        assert "not enough free huge pages" in plan.notes[0]

    def test_one_that_runs_on_them_has_them(self) -> None:
        has = running(domain(hugepages=True, hugepage_sizes=(GIB,)))
        plan = plan_tune(host(has, pages={GIB: 0}), TuneRequest(vm="web", hugepages=True))
        assert place_of(plan).after.hugepages

    def test_free_memory_that_cannot_be_read_is_not_counted_on(self) -> None:
        there = host()
        assert isinstance(there.memory.nodes, tuple)
        nodes = tuple(msgspec.structs.replace(node, free=Unknown("no")) for node in there.memory.nodes)
        plan = plan_tune(
            msgspec.structs.replace(there, memory=msgspec.structs.replace(there.memory, nodes=nodes)), TUNE
        )
        assert place_of(plan).after.mode == "preferred"

    def test_memory_of_unknown_size_is_left_alone(self) -> None:
        plan = plan_tune(host(domain(memory=None)), TUNE)
        assert place_of(plan).after.mode is None
        assert "left alone" in plan.notes[0]


class TestInterrupts:
    def test_of_a_running_vm_they_go_to_qemu_s_cpus(self) -> None:
        plan = plan_tune(host(running(domain()), interrupts=interrupts("0-7", "4"), balancer="irqbalance"), TUNE)
        (step,) = (step for step in plan.steps if isinstance(step, SteerInterrupts))
        assert step.before == (Interrupt(number=60, cpus="0-7"),)
        assert step.after == (Interrupt(number=60, cpus="4,7"),)
        assert any("irqbalance" in note for note in plan.notes)

    def test_of_one_that_is_off_there_are_none(self) -> None:
        plan = plan_tune(host(interrupts=interrupts("0-7")), TUNE)
        assert not any(isinstance(step, SteerInterrupts) for step in plan.steps)
        assert any("only while web runs" in note for note in plan.notes)


class TestUndo:
    def undo(self, there: Host, plan: Plan) -> Plan:
        return plan_untune(there, change_of(plan), UndoRequest(change="20261130T0000"))

    def test_it_says_again_what_it_said(self) -> None:
        before = host()
        plan = plan_tune(before, TUNE)
        (step,) = self.undo(after(before, plan), plan).steps
        assert isinstance(step, PlaceDomain)
        assert (step.before, step.after) == (place_of(plan).after, place_of(plan).before)
        assert step.back is False

    def test_refused_where_it_says_something_else_by_now(self) -> None:
        plan = plan_tune(host(), TUNE)
        with pytest.raises(RefusedError, match="something else by now"):
            self.undo(host(), plan)

    def test_interrupts_that_are_there_still_come_back(self) -> None:
        before = host(running(domain()), interrupts=interrupts("0-7", "0-3"))
        plan = plan_tune(before, TUNE)
        left = msgspec.structs.replace(before.cpus, interrupts=interrupts("4,7", "2"))  # one was moved since
        now = msgspec.structs.replace(after(before, plan), cpus=left)
        steps = [step for step in self.undo(now, plan).steps if isinstance(step, SteerInterrupts)]
        assert [step.after for step in steps] == [(Interrupt(number=60, cpus="0-7"),)]
        off = msgspec.structs.replace(after(before, plan), cpus=host().cpus)
        assert len(self.undo(off, plan).steps) == 1

    def test_nothing_is_left_of_interrupts_alone(self) -> None:
        there = after(host(running(domain())), plan_tune(host(running(domain())), TUNE))
        steered = msgspec.structs.replace(there.cpus, interrupts=interrupts("0-7"))
        plan = plan_tune(msgspec.structs.replace(there, cpus=steered), TUNE)
        assert [type(step) for step in plan.steps] == [SteerInterrupts]
        with pytest.raises(BadInputError, match="nothing that could be undone"):
            self.undo(there, plan)

    def test_the_step_that_takes_back_leaves_alone_what_others_wrote(self) -> None:
        step = place_of(plan_tune(host(), TUNE))
        inverse = invert_step(step)
        assert isinstance(inverse, PlaceDomain)
        assert inverse.back is True
        assert invert_step(inverse) == step


def plan_or_error(there: Host, request: TuneRequest) -> Plan | NicpassError:
    try:
        return plan_tune(there, request)
    except NicpassError as error:
        return error


@st.composite
def crowded(draw: st.DrawFn) -> tuple[Host, TuneRequest, frozenset[int], frozenset[int]]:
    """(A host with other VMs, services and isolated CPUs, what is asked for, others' CPUs, isolated ones not named)."""
    per_node, nodes = draw(st.integers(1, 8)), draw(st.integers(1, 3))
    count = per_node * nodes
    some = st.frozensets(st.integers(0, count - 1), max_size=4)
    lists = draw(st.lists(st.frozensets(st.integers(0, count - 1), min_size=1, max_size=3), max_size=3))
    emulator = draw(some)
    isolated, bound = draw(some), draw(some)
    named = draw(st.none() | some)
    others: list[Domain] = []
    if lists:
        others = [other(*map(format_cpulist, lists), emulator_pin=format_cpulist(emulator) or None)]
    own = domain(vcpus=draw(st.integers(1, 6)))
    there = host(
        own,
        *others,
        nics=(nic(node=draw(st.integers(-1, nodes - 1))),),
        per_node=per_node,
        nodes=nodes,
        threads=draw(st.sampled_from([1, 2])),
        isolated=format_cpulist(isolated) or None,
        claims=(claim(format_cpulist(bound)),) if bound else (),
    )
    everything = frozenset(range(count))
    taken = frozenset().union(*(each for each in lists if each != everything))
    taken |= bound if bound != everything else frozenset()
    request = TuneRequest(vm="web", cpus=format_cpulist(named) if named else None)
    return there, request, taken, isolated - (named or frozenset())


@settings(max_examples=500)
@given(crowded())
def test_each_virtual_cpu_has_one_of_its_own_or_there_is_a_sentence(
    case: tuple[Host, TuneRequest, frozenset[int], frozenset[int]],
) -> None:
    there, request, taken, isolated = case
    plan = plan_or_error(there, request)
    if isinstance(plan, NicpassError):
        assert plan.exit_code in (2, 3, 4)
        assert plan.sentence
        assert plan.hint
        return
    placed = place_of(plan).after
    cpus = [parse_cpulist(pin.cpus) or frozenset() for pin in placed.pins]
    chosen = frozenset().union(*cpus)
    assert all(len(each) == 1 for each in cpus)
    assert [pin.vcpu for pin in placed.pins] == list(range(placed.vcpus))
    assert len(chosen) == placed.vcpus
    assert not chosen & (taken | isolated)
    assert numbers_of(placed.emulator)
    assert not numbers_of(placed.emulator) & chosen
    assert plan_tune(after(there, plan), request).steps == ()
