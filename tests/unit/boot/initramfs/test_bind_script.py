# SPDX-License-Identifier: Apache-2.0
"""The boot's script finds the device that the Python function finds, under every shell, and binds only that."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nicpass.boot.binding.boot_d import parse_binding, render_binding
from nicpass.boot.binding.identity import identity_of, match_identity
from nicpass.host.doors.files import Files
from nicpass.host.pci.functions import read_pci
from nicpass.model.address import Address
from nicpass.model.binding import BindingOutcome
from nicpass.model.boot import BootBinding, DeviceIdentity
from tests.support.boot_script import PRESENT, install, overrides_of, reports_of, run_script
from tests.support.trees import BRIDGE, Function, Tree

NIC = "0000:01:00.0"
SERIAL = 0xA0369FFFFF123456
PORTS = ("0000:00:1c.0", "0000:00:1c.4")


@contextlib.contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder in memory where there is one: many trees are written."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        yield Path(name)


def card(bus: int, under: str, *, function: int = 0, serial: int | None = SERIAL, **more: object) -> Function:
    more = {"driver": None, "serial": serial, "group": bus} | more
    return Function(address=f"0000:{bus:02x}:00.{function}", under=under, **more)  # type: ignore[arg-type]


def ports(*used: str) -> tuple[Function, ...]:
    return tuple(
        Function(address=port, class_code=BRIDGE, device_id=0x9D10, driver="pcieport") for port in used or PORTS
    )


def binding_of(tree: Tree, address: str = NIC, **changes: object) -> BootBinding:
    """As it would be recorded on this host."""
    with memory_folder() as root:
        functions = {f.address: f for f in read_pci(Files(str(tree.write(root))))}
    identity = identity_of(functions[Address(address)], functions)
    assert isinstance(identity, DeviceIdentity)
    identity = msgspec.structs.replace(identity, **changes)
    return BootBinding(name=address, address=Address(address), identity=identity)


def boot(root: Path, tree: Tree, *bindings: BootBinding, shell: str = "dash", **environment: str) -> None:
    """The host as `tree` says, and the pass of its initramfs."""
    tree.write(root)
    install(root, {f"{binding.name}.conf": render_binding(binding) for binding in bindings})
    run_script(root, shell, **environment)


ONE = Tree(functions=(*ports(), card(1, PORTS[0])))
TWO = Tree(functions=(*ports(), card(1, PORTS[0]), card(2, PORTS[1], serial=SERIAL + 1)))
WITHOUT = Tree(functions=(*ports(), card(1, PORTS[0], serial=None), card(2, PORTS[1], serial=None)))

pytestmark = pytest.mark.spawns


@pytest.mark.parametrize("shell", PRESENT)
class TestBinding:
    """One pass on one host."""

    def test_the_device_gets_its_driver_and_no_other_does(self, shell: str, tmp_path: Path) -> None:
        boot(tmp_path, TWO, binding_of(TWO), shell=shell)
        (report,) = reports_of(tmp_path).values()
        assert (report.outcome, report.boot_pass, report.addresses) == (BindingOutcome.BOUND, "initramfs", (NIC,))
        assert overrides_of(tmp_path) == {NIC: "vfio-pci"}
        assert (tmp_path / "dev/kmsg").read_text() == (
            f"<6>nicpass: boot binding {NIC} (initramfs): bound {NIC} vfio-pci\n"
        )

    def test_without_an_iommu_it_stays_its_own_drivers(self, shell: str, tmp_path: Path) -> None:
        off = Tree(functions=(*ports(), card(1, PORTS[0], group=None)))
        boot(tmp_path, off, binding_of(ONE), shell=shell)
        (report,) = reports_of(tmp_path).values()
        assert (report.outcome, report.detail) == (BindingOutcome.FAILED, "no IOMMU is on")
        assert overrides_of(tmp_path) == {}
        assert not (tmp_path / "modprobe.log").exists()

    def test_a_card_that_moved_is_still_the_one(self, shell: str, tmp_path: Path) -> None:
        moved = Tree(functions=(*ports(), card(1, PORTS[0], serial=SERIAL + 1), card(2, PORTS[1])))
        boot(tmp_path, moved, binding_of(TWO), shell=shell)
        assert overrides_of(tmp_path) == {"0000:02:00.0": "vfio-pci"}

    def test_bus_numbers_may_change(self, shell: str, tmp_path: Path) -> None:
        shifted = Tree(functions=(*ports(), card(5, PORTS[0], serial=None), card(7, PORTS[1], serial=None)))
        boot(tmp_path, shifted, binding_of(WITHOUT), shell=shell)
        assert overrides_of(tmp_path) == {"0000:05:00.0": "vfio-pci"}

    def test_without_a_serial_number_another_slot_is_another_card(self, shell: str, tmp_path: Path) -> None:
        boot(
            tmp_path,
            Tree(functions=(*ports(), card(2, PORTS[1], serial=None))),
            binding_of(WITHOUT),
            shell=shell,
        )
        (report,) = reports_of(tmp_path).values()
        assert (report.outcome, overrides_of(tmp_path)) == (BindingOutcome.ABSENT, {})

    def test_ports_of_one_card_are_told_apart(self, shell: str, tmp_path: Path) -> None:
        two_ports = Tree(functions=(*ports(), card(1, PORTS[0]), card(1, PORTS[0], function=1)))
        moved = Tree(functions=(*ports(), card(2, PORTS[1]), card(2, PORTS[1], function=1)))
        boot(tmp_path, moved, binding_of(two_ports, "0000:01:00.1"), shell=shell)
        assert overrides_of(tmp_path) == {"0000:02:00.1": "vfio-pci"}

    def test_another_card_in_the_slot_is_named_and_left(self, shell: str, tmp_path: Path) -> None:
        other = Tree(functions=(*ports(), card(1, PORTS[0], device_id=0x1521)))
        boot(tmp_path, other, binding_of(ONE), shell=shell)
        (report,) = reports_of(tmp_path).values()
        assert (report.outcome, report.addresses) == (BindingOutcome.OTHER, (NIC,))
        assert overrides_of(tmp_path) == {}

    def test_two_that_answer_are_both_left(self, shell: str, tmp_path: Path) -> None:
        third = "0000:00:1d.0"
        two = Tree(functions=(*ports(*PORTS, third), card(2, PORTS[1]), card(3, third)))
        boot(tmp_path, two, binding_of(ONE), shell=shell)
        (report,) = reports_of(tmp_path).values()
        assert (report.outcome, report.addresses) == (BindingOutcome.AMBIGUOUS, ("0000:02:00.0", "0000:03:00.0"))
        assert overrides_of(tmp_path) == {}

    def test_what_has_a_driver_already_keeps_it(self, shell: str, tmp_path: Path) -> None:
        taken = Tree(functions=(*ports(), card(1, PORTS[0], driver="ixgbe")))
        boot(tmp_path, taken, binding_of(ONE), shell=shell)
        (report,) = reports_of(tmp_path).values()
        assert (report.outcome, report.driver) == (BindingOutcome.TAKEN, "ixgbe")
        assert overrides_of(tmp_path) == {}

    def test_a_driver_that_was_there_before_is_told_of_this_device_only(self, shell: str, tmp_path: Path) -> None:
        boot(tmp_path, ONE, binding_of(ONE), shell=shell, LOADED="1")
        assert (tmp_path / "sys/bus/pci/drivers_probe").read_text() == f"{NIC}\n"

    def test_a_driver_that_does_not_come_is_told(self, shell: str, tmp_path: Path) -> None:
        boot(tmp_path, ONE, binding_of(ONE), shell=shell, FAIL="1")
        (report,) = reports_of(tmp_path).values()
        assert report.outcome == BindingOutcome.FAILED
        assert "Module vfio-pci not found" in report.detail
        assert overrides_of(tmp_path) == {NIC: "vfio-pci"}

    def test_the_second_pass_leaves_what_the_first_has_said(self, shell: str, tmp_path: Path) -> None:
        boot(tmp_path, ONE, binding_of(ONE), shell=shell)
        run_script(tmp_path, shell, "unit")
        (report,) = reports_of(tmp_path).values()
        assert (report.outcome, report.boot_pass) == (BindingOutcome.BOUND, "initramfs")
        assert (tmp_path / "modprobe.log").read_text() == "vfio-pci\nvfio_iommu_type1\n"

    def test_the_second_pass_mends_what_the_first_could_not(self, shell: str, tmp_path: Path) -> None:
        boot(tmp_path, ONE, binding_of(ONE), shell=shell, FAIL="1")
        run_script(tmp_path, shell, "unit")
        (report,) = reports_of(tmp_path).values()
        assert (report.outcome, report.boot_pass) == (BindingOutcome.BOUND, "unit")

    def test_it_can_be_switched_off_for_one_boot(self, shell: str, tmp_path: Path) -> None:
        boot(tmp_path, ONE.but(cmdline="root=/dev/sda1 nicpass.bind=off quiet"), binding_of(ONE), shell=shell)
        assert (reports_of(tmp_path), overrides_of(tmp_path)) == ({}, {})

    def test_a_serial_number_that_cannot_be_read_binds_nothing(self, shell: str, tmp_path: Path) -> None:
        few = tmp_path / "few"
        few.mkdir()
        for program in ("mkdir", "cat"):
            (few / program).symlink_to(shutil.which(program) or "")
        boot(tmp_path, ONE, binding_of(ONE), shell=shell, PATH=f"{tmp_path}/programs:{few}")
        (report,) = reports_of(tmp_path).values()
        assert (report.outcome, report.addresses) == (BindingOutcome.UNREAD, (NIC,))
        assert overrides_of(tmp_path) == {}


def test_no_bindings_leave_no_trace(tmp_path: Path) -> None:
    boot(tmp_path, ONE)
    assert not (tmp_path / "run/nicpass").exists()
    assert not (tmp_path / "modprobe.log").exists()


# Two ids, two serial numbers and three places make every kind of answer frequent.
@st.composite
def hosts(draw: st.DrawFn) -> Tree:
    used = ("0000:00:1c.0", "0000:00:1c.4", "0000:00:1d.0")
    slots = enumerate(draw(st.lists(st.sampled_from(used), unique=True, max_size=3)), draw(st.integers(1, 3)))
    functions = [
        card(
            bus,
            port,
            function=number,
            device_id=draw(st.sampled_from([0x10FB, 0x1521])),
            serial=draw(st.sampled_from([None, 0, SERIAL, SERIAL + 1])),
            config_size=draw(st.sampled_from([64, 256, 4096, 4096, 4096])),
            driver=draw(st.sampled_from([None, None, "ixgbe", "vfio-pci"])),
        )
        for bus, port in slots
        for number in range(draw(st.integers(1, 2)))
    ]
    return Tree(functions=(*ports(*used), *functions))


identities = st.builds(
    DeviceIdentity,
    vendor_id=st.just(0x8086),
    device_id=st.sampled_from([0x10FB, 0x1521]),
    subsystem_vendor_id=st.just(0x8086),
    subsystem_device_id=st.just(0x0003),
    slots=st.tuples(
        st.just("pci0000:00"), st.sampled_from(["1c.0", "1c.4", "1d.0"]), st.sampled_from(["00.0", "00.1"])
    ),
    serial_number=st.sampled_from([None, "a0-36-9f-ff-ff-12-34-56", "a0-36-9f-ff-ff-12-34-57"]),
)


@pytest.mark.parametrize("shell", PRESENT)
@settings(max_examples=10)
@given(tree=hosts(), meant=st.lists(identities, min_size=1, max_size=6))
def test_script_and_function_decide_alike(shell: str, tree: Tree, meant: list[DeviceIdentity]) -> None:
    bindings = [
        BootBinding(name=f"0000:{n:02x}:00.0", address=Address(f"0000:{n:02x}:00.0"), identity=identity)
        for n, identity in enumerate(meant)
    ]
    with memory_folder() as root:
        boot(root, tree, *bindings, shell=shell)
        functions = read_pci(Files(str(root)))
        reports = reports_of(root)
        overridden: dict[str, str] = {}
        for binding in bindings:
            match, report = match_identity(binding.identity, functions), reports[binding.name]
            assert report.addresses == match.addresses
            if match.outcome != "found":
                assert report.outcome.value == match.outcome
                continue
            had = next(function.driver for function in tree.functions if function.address == match.addresses[0])
            assert report.outcome == (BindingOutcome.TAKEN if had == "ixgbe" else BindingOutcome.BOUND)
            overridden |= {match.addresses[0]: "vfio-pci"} if had is None else {}
        assert overrides_of(root) == overridden


GOOD = render_binding(binding_of(ONE)).decode()
LINES = st.lists(
    st.sampled_from(
        [
            *GOOD.splitlines(),
            *(line.rpartition("=")[0] + "=" for line in GOOD.splitlines()),
            *(f"{line} " for line in GOOD.splitlines()),
            *(f" {line}" for line in GOOD.splitlines()),
            *("driver=ixgbe", "driver=mlx5_vfio_pci", "driver=_vfio_pci", "driver=vfio-pci;reboot", "driver=$(reboot)"),
            *("slots=pci0000:00", "slots=pci0000:00/", "slots=pci0000:00//00.0", "slots=pci0000:00/3c.0/00.0"),
            *("slots=pci10000:e0/06.0/00.0", "slots=pci000:00/00.0", "slots=pci0000:00/../00.0", "vendor=0x80860"),
            *("device=0x10FB", "=", "x", "x=y", "", "#", "permanent_mac=52:54:00:12:34:56", "a=b=c", "\t", "\\", "é"),
            "driver=vfio-pci\r",
        ]
    ),
    max_size=3,
)


NAMES = st.sampled_from(
    [NIC, NIC, NIC, "10000:01:00.0", "01:00.0", "0000:01:00.8", "0000:01:20.0", "card", "000A:01:00.0", "0000:01:00.0 "]
)
FILES = st.dictionaries(
    NAMES, st.tuples(LINES, st.sets(st.integers(0, 8), max_size=1), st.sampled_from(["", "\n"])), min_size=3
)


@pytest.mark.parametrize("shell", PRESENT)
@settings(max_examples=10)
@given(files=FILES)
def test_script_and_parser_read_the_same(shell: str, files: dict[str, tuple[list[str], set[int], str]]) -> None:
    contents = {}
    for name, (more, left_out, end) in files.items():
        lines = [line for number, line in enumerate(GOOD.splitlines()) if number not in left_out]
        contents[f"{name}.conf"] = ("\n".join([*lines, *more]) + end).encode()
    with memory_folder() as root:
        (root / "sys/bus/pci/devices").mkdir(parents=True)
        install(root, contents)
        run_script(root, shell)
        for name, report in reports_of(root).items():
            parsed = parse_binding(f"{name}.conf", contents[f"{name}.conf"])
            assert (report.outcome == BindingOutcome.DAMAGED) is not isinstance(parsed, BootBinding)
