# SPDX-License-Identifier: Apache-2.0
"""The boot in a state file, on trees of hosts that boot by GRUB: it comes first, and until the reboot nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.source import Source
from nicpass.cli.state.planning import differ, plan_apply
from nicpass.host.doors.files import Files
from nicpass.model.boot import BootPurpose
from nicpass.model.errors import BadInputError, ImpossibleError, RefusedError
from nicpass.model.plan import ChangeBoot, DefineDevice
from nicpass.model.request import ApplyRequest
from nicpass.planner.state.aims import find_aims
from nicpass.planner.state.difference import find_differences
from nicpass.planner.state.export import export_state, render_state
from nicpass.planner.state.text import parse_state
from tests.support.boot import BootTree
from tests.support.boot_bindings import IDENTITY, bound
from tests.support.hosts import address, bridge, link, network, nic, ready_host, route
from tests.support.trees import Vm, hostdev_xml

if TYPE_CHECKING:
    from pathlib import Path

    from nicpass.cli.planning import Plans
    from nicpass.model.host import Host
    from tests.support.trees import Tree

NIC, OTHER = "0000:01:00.0", "0000:02:00.0"
HEAD = "schema: nicpass.state/1\n"
OFF = ready_host(nic(NIC, "eth1", group=None), cmdline="ro quiet intel_iommu=off", iommu_units=())
ON = ready_host(bridge("0000:00:01.0"), nic(NIC, "eth1", under="0000:00:01.0"), cmdline="ro quiet intel_iommu=on")
GRUB_ON = BootTree(files={"/etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet intel_iommu=on"\n'})
GRUB_OFF = BootTree(files={"/etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet intel_iommu=off"\n'})


def host_of(tree: Tree, folder: Path, boot: BootTree = GRUB_OFF) -> Host:
    """The host, whose entries give to the kernel what the running one was given."""
    host = tree.read(folder / "host")
    read = boot.read(folder / "boot")
    assert isinstance(read.entries, tuple)
    same = tuple(msgspec.structs.replace(entry, arguments=str(host.platform.cmdline)) for entry in read.entries)
    return msgspec.structs.replace(host, boot=msgspec.structs.replace(read, entries=same))


def planned(text: str, host: Host, folder: Path) -> Plans:
    file = parse_state("host.yaml", (HEAD + text).encode())
    source = Source(Files(str(folder)), host, is_live=False)
    request = ApplyRequest(file=file.name, state=file.state)
    return plan_apply(request, file, source, lambda: source)


def told(text: str, host: Host, folder: Path) -> list[tuple[str, str, str | None, str | None, int]]:
    file = parse_state("host.yaml", (HEAD + text).encode())
    source = Source(Files(str(folder)), host, is_live=False)
    return [(d.name, d.what, d.now, d.wanted, d.line) for d in differ(file, source) if d.kind == "boot"]


def test_the_boot_comes_first_and_all_else_after_the_reboot(tmp_path: Path) -> None:
    text = "boot:\n  nics: [eth1]\nvms: {guest: {nics: [eth1]}}\n"
    host = host_of(OFF, tmp_path)
    assert told(text, host, tmp_path) == [
        ("nics", "eth1", None, "present", 3),
        ("arguments", "intel_iommu=on", None, "present", 3),
    ]
    plans = planned(text, host, tmp_path)
    purposes = [step.purpose for step in plans.first.steps if isinstance(step, ChangeBoot)]
    assert purposes == [BootPurpose.FINISH, BootPurpose.BINDING, BootPurpose.RIGHTS, BootPurpose.TRIAL]
    assert len(purposes) == len(plans.first.steps)
    assert plans.is_reboot_due
    assert "once more" in plans.first.notes[-1]


def test_a_host_that_is_ready_goes_on_with_the_rest(tmp_path: Path) -> None:
    text = "boot: {iommu_pt: off}\nvms: {guest: {nics: [eth1]}}\n"
    host = host_of(ON, tmp_path, GRUB_ON)
    assert told(text, host, tmp_path) == []
    plans = planned(text, host, tmp_path)
    assert not plans.is_reboot_due
    assert [type(step) for step in plans.first.steps if not isinstance(step, ChangeBoot)][-1] is DefineDevice
    assert told("boot: {iommu_pt: on}", host, tmp_path) == [("arguments", "iommu=pt", None, "present", 2)]


@pytest.mark.parametrize(
    ("tree", "text", "error", "words"),
    [
        (OFF, "boot: {nics: [eth7]}", BadInputError, "line 2, column 15: There is no NIC 'eth7'"),
        (OFF, f"boot: {{nics: [eth1, '{NIC}']}}", BadInputError, "line 2, column 21: eth1 (0000:01:00.0) is there"),
        (
            ready_host(net=network(link("eth1", up=True), address("eth1", "10.0.0.5/24"), route("eth1"))),
            "boot: {nics: [eth1]}",
            RefusedError,
            "line 2, column 7: eth1 (0000:01:00.0) carries",
        ),
        (
            ready_host(vms=(Vm(name="web", devices=hostdev_xml(NIC)),)),
            "boot: {nics: [eth1]}",
            RefusedError,
            "belongs to the VM web",
        ),
        (
            ready_host(nic(NIC, "eth1", group=None), cmdline="ro iommu=off", iommu_units=()),
            "boot: {allow: []}",
            ImpossibleError,
            "iommu=off",
        ),
    ],
)
def test_what_cannot_be_prepared_is_told_with_its_place(
    tree: Tree, text: str, error: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        planned(text, host_of(tree, tmp_path), tmp_path)
    assert str(caught.value).startswith("host.yaml, line 2")
    assert words in str(caught.value)


@pytest.mark.parametrize("word", ["{nics: eth1}", "{nics: [[a]]}", "{nicz: []}", "{iommu_pt: maybe}"])
def test_a_mistake_in_it_is_told_with_its_place(word: str) -> None:
    with pytest.raises(BadInputError, match=r"host.yaml, line 2, column"):
        parse_state("host.yaml", f"{HEAD}boot: {word}".encode())


@pytest.mark.parametrize("cmdline", ["ro", "ro intel_iommu=on", "ro intel_iommu=on iommu=pt", "ro iommu=off"])
@pytest.mark.parametrize("driver", ["ixgbe", "vfio-pci"])
def test_a_host_that_was_prepared_is_as_what_was_written_of_it(cmdline: str, driver: str, tmp_path: Path) -> None:
    netdevs = ("eth1",) if driver == "ixgbe" else ()
    card = nic(NIC, *netdevs, under="0000:00:01.0", driver=driver)
    host = host_of(bound(ready_host(bridge("0000:00:01.0"), card, cmdline=cmdline), IDENTITY), tmp_path)
    index = HostIndex(host)
    assert index.boot_bindings
    text = render_state(export_state(index))
    assert ("boot:\n  nics: ['0000:01:00.0']" in text) is ("off" not in cmdline)
    file = parse_state("host.yaml", text.encode())
    assert find_differences(find_aims(file, index), index, lambda _key: 0) == ()
