# SPDX-License-Identifier: Apache-2.0
"""Boot bindings as files: who is meant, what is written, and what the initramfs does with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.boot.binding.boot_d import parse_binding, parse_report, render_binding
from nicpass.boot.binding.identity import identity_of, match_identity
from nicpass.boot.binding.plan import plan_bindings
from nicpass.boot.initramfs import dracut, initramfs_tools, mkinitcpio
from nicpass.boot.initramfs.bind_script import SCRIPT, UNIT
from nicpass.engine.boot.file_changes import apply_changes, verify_changes
from nicpass.host.boot.bindings import read_boot_bindings
from nicpass.host.boot.places import read_places
from nicpass.host.doors.files import Files
from nicpass.model.address import Address
from nicpass.model.binding import FOLDER, REPORTS, BindingOutcome, BindingReport, BuiltinDriver, DamagedFile, path_of
from nicpass.model.boot import Boot, BootBinding, DeviceIdentity, InitramfsGenerator, Loader, invert_boot_change
from nicpass.model.config_space import ConfigSpace
from nicpass.model.fact import Unknown
from nicpass.model.pci import PciFunction
from tests.support.provoking import NIC
from tests.support.trees import Function, Tree

IDS = {"vendor_id": 0x8086, "device_id": 0x10FB, "subsystem_vendor_id": 0x8086, "subsystem_device_id": 3}
SERIAL = "a0-36-9f-ff-ff-12-34-56"
PORT = PciFunction(address=Address("0000:00:1c.4"))
CARD = PciFunction(
    address=Address("0000:02:00.0"),
    bridge=PORT.address,
    config=ConfigSpace(bytes_read=4096, serial_number=SERIAL),
    **IDS,  # type: ignore[arg-type]
)
IDENTITY = DeviceIdentity(
    slots=("pci0000:00", "1c.4", "00.0"),
    serial_number=SERIAL,
    **IDS,  # type: ignore[arg-type]
)
BINDING = BootBinding(name="0000:02:00.0", address=Address("0000:02:00.0"), identity=IDENTITY)


def functions(*given: PciFunction) -> dict[Address, PciFunction]:
    return {function.address: function for function in (PORT, *given)}


class TestIdentity:
    """What is recorded."""

    def test_of_a_card_with_a_serial_number(self) -> None:
        assert identity_of(CARD, functions(CARD)) == IDENTITY

    @pytest.mark.parametrize("serial", [None, "00-00-00-00-00-00-00-00", "ff-ff-ff-ff-ff-ff-ff-ff"])
    def test_a_number_that_is_none_is_not_recorded(self, serial: str | None) -> None:
        card = msgspec.structs.replace(CARD, config=ConfigSpace(bytes_read=4096, serial_number=serial))
        found = identity_of(card, functions(card), "00:1b:21:00:00:01")
        assert found == msgspec.structs.replace(IDENTITY, serial_number=None, permanent_mac="00:1b:21:00:00:01")

    @pytest.mark.parametrize(
        "changes",
        [
            {"config": Unknown("denied")},
            {"config": None},
            {"config": ConfigSpace(bytes_read=64, serial_number=Unknown("run as root"))},
            {"device_id": Unknown("denied")},
            {"subsystem_device_id": None},
            {"bridge": Address("0000:00:1d.0")},
        ],
    )
    def test_what_cannot_be_told_is_unknown(self, changes: dict[str, object]) -> None:
        card = msgspec.structs.replace(CARD, **changes)
        assert isinstance(identity_of(card, functions(card)), Unknown)

    def test_the_chain_begins_at_the_root_bus_nearest_to_it(self) -> None:
        """Behind VMD there is a domain of its own: its root has no bridge above in this."""
        port = PciFunction(address=Address("10000:e0:06.0"))
        card = msgspec.structs.replace(CARD, address=Address("10000:e1:00.0"), bridge=port.address)
        found = identity_of(card, {port.address: port})
        assert isinstance(found, DeviceIdentity)
        assert found.slots == ("pci10000:e0", "06.0", "00.0")

    def test_bridges_that_stand_on_each_other_end(self) -> None:
        loop = msgspec.structs.replace(PORT, bridge=CARD.address)
        assert isinstance(identity_of(CARD, {CARD.address: CARD, loop.address: loop}), Unknown)

    def test_vfs_do_not_answer(self) -> None:
        vf = msgspec.structs.replace(CARD, physfn=Address("0000:02:00.1"))
        assert match_identity(IDENTITY, (PORT, vf)).outcome == "absent"
        assert match_identity(IDENTITY, (PORT, CARD)).addresses == (CARD.address,)


HEX = st.integers(0, 0xFFFF)
SLOTS = st.builds(lambda d, f: f"{d:02x}.{f}", st.integers(0, 31), st.integers(0, 7))
BINDINGS = st.builds(
    lambda identity, address, driver: BootBinding(name=address, address=address, identity=identity, driver=driver),
    st.builds(
        DeviceIdentity,
        vendor_id=HEX,
        device_id=HEX,
        subsystem_vendor_id=HEX,
        subsystem_device_id=HEX,
        slots=st.builds(
            lambda domain, bus, slots: (f"pci{domain:04x}:{bus:02x}", *slots),
            st.integers(0, 0x1FFFF),
            st.integers(0, 255),
            st.lists(SLOTS, min_size=1, max_size=5),
        ),
        serial_number=st.none() | st.binary(min_size=8, max_size=8).map(lambda octets: octets.hex("-")),
        permanent_mac=st.none() | st.binary(min_size=6, max_size=6).map(lambda octets: octets.hex(":")),
    ),
    st.builds(lambda bus: Address(f"0000:{bus:02x}:00.0"), st.integers(0, 255)),
    st.sampled_from(["vfio-pci", "mlx5_vfio_pci"]),
)


class TestFiles:
    """What stands in boot.d."""

    @given(BINDINGS)
    def test_what_is_written_is_read_again(self, binding: BootBinding) -> None:
        assert parse_binding(f"{binding.name}.conf", render_binding(binding)) == binding

    def test_as_it_looks(self) -> None:
        assert render_binding(BINDING).decode() == (
            "# Put here by nicpass prepare; nicpass prepare --remove takes it away.\n"
            "driver=vfio-pci\nvendor=0x8086\ndevice=0x10fb\nsubsystem_vendor=0x8086\nsubsystem_device=0x0003\n"
            f"slots=pci0000:00/1c.4/00.0\nserial_number={SERIAL}\n"
        )

    @pytest.mark.parametrize("changes", [{"driver": "ixgbe"}, {"driver": "vfio-pci\nx"}, {"name": "../x"}])
    def test_what_no_file_may_hold(self, changes: dict[str, str]) -> None:
        with pytest.raises(ValueError, match="no boot binding"):
            render_binding(msgspec.structs.replace(BINDING, **changes))

    @given(st.binary(max_size=200))
    def test_garbage_is_damage(self, content: bytes) -> None:
        assert isinstance(parse_binding("0000:02:00.0.conf", content), DamagedFile)
        assert isinstance(parse_report("0000:02:00.0", content), DamagedFile)

    @pytest.mark.parametrize("content", [b"\0", b"#" * 70000])
    def test_what_is_no_text(self, content: bytes) -> None:
        assert isinstance(parse_binding("0000:02:00.0.conf", render_binding(BINDING) + content), DamagedFile)

    def test_reading(self, tmp_path: Path) -> None:
        report = "outcome=taken\npass=unit\nanswers=0000:02:00.0\ndriver=ixgbe\ndetail=\n"
        tree = Tree(
            functions=(
                Function(address=NIC, driver="vfio-pci"),
                Function(address="0000:03:00.0", driver="igb"),
                Function(address="0000:04:00.0", driver=None, device_id=0x1521),
            ),
            files={
                path_of(BINDING): render_binding(BINDING),
                f"{FOLDER}/0000:05:00.0.conf": "driver=vfio-pci\n",
                f"{FOLDER}/.0000:06:00.0.conf.new": "half",
                f"{FOLDER}/README": "x",
                f"{REPORTS}/0000:02:00.0": report,
                "/lib/modules/6.1/modules.builtin": "kernel/drivers/net/ethernet/intel/igb/igb.ko\nkernel/x.ko\n",
                "/lib/modules/6.1/modules.builtin.modinfo": b"igb.license=GPL\0i-x.alias=pci:v00008086d000010FBsv*sd*"
                b"bc*sc*i*\0x.alias=pci:v*d*sv*sd*bc02sc*i*\0",
            },
        )
        found = tree.but(kernel="6.1", available=None).read(tmp_path).boot_bindings
        assert found.bindings == (BINDING,)
        assert [damaged.path for damaged in found.damaged] == [f"{FOLDER}/0000:05:00.0.conf"]
        address = Address("0000:02:00.0")
        wanted = BindingReport(
            name=address, outcome=BindingOutcome.TAKEN, boot_pass="unit", addresses=(address,), driver="ixgbe"
        )
        assert found.reports == (wanted,)
        assert found.builtin_drivers == (
            BuiltinDriver(address=Address(NIC), module="i_x"),
            BuiltinDriver(address=Address("0000:03:00.0"), module="igb"),
        )

    def test_a_host_without_any(self, tmp_path: Path) -> None:
        found = read_boot_bindings(Files(str(tmp_path)), "6.1", ())
        assert (found.bindings, found.reports, found.damaged) == ((), None, ())

    def test_what_may_not_be_listed_is_unknown(self, tmp_path: Path) -> None:
        (tmp_path / "etc").symlink_to("etc")
        (tmp_path / "run").symlink_to("run")
        found = read_boot_bindings(Files(str(tmp_path)), "6.1", ())
        assert isinstance(found.bindings, Unknown)
        assert isinstance(found.reports, Unknown)


def everything(root: Path) -> dict[str, tuple[int, bytes | str | None]]:
    """Path to its mode and content."""
    found: dict[str, tuple[int, bytes | str | None]] = {}
    for path in sorted(root.rglob("*")):
        content = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = path.lstat().st_mode, content
    return found


OTHER = msgspec.structs.replace(BINDING, name="0000:03:00.0", address=Address("0000:03:00.0"))
IMAGES = ("/boot/initrd.img-6.1.0-18-amd64",)
BOOTS = [
    Boot(generators=(InitramfsGenerator.INITRAMFS_TOOLS,), initramfs=IMAGES),
    *(Boot(generators=(generator,)) for generator in InitramfsGenerator),
    Boot(generators=tuple(InitramfsGenerator)),
    Boot(),
]


@pytest.mark.parametrize("boot", BOOTS, ids=str)
class TestPlan:
    """From one set of bindings to another, on files."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> Files:
        for folder in ("etc/systemd/system", "etc/initramfs-tools/hooks", "etc/initramfs-tools/scripts/init-top"):
            (tmp_path / folder).mkdir(parents=True)
        (tmp_path / "usr/lib/dracut/modules.d").mkdir(parents=True)
        for folder in ("install", "hooks"):
            (tmp_path / "etc/initcpio" / folder).mkdir(parents=True)
        return Files(str(tmp_path))

    def test_writes_runs_and_is_done(self, boot: Boot, files: Files) -> None:
        change = plan_bindings(boot, read_places(files), [BINDING])
        apply_changes(files, change.files)
        verify_changes(files, change.files)
        assert len(change.generators) == len(boot.generators)
        assert all(tuple(made.path for made in run.makes) == boot.initramfs for run in change.generators)
        assert {SCRIPT, UNIT, path_of(BINDING)} < {file.path for file in change.files}
        assert read_boot_bindings(files, None, ()).bindings == (BINDING,)
        assert not plan_bindings(boot, read_places(files), [BINDING])

    def test_back_is_as_before(self, boot: Boot, files: Files, tmp_path: Path) -> None:
        before = everything(tmp_path)
        change = plan_bindings(boot, read_places(files), [BINDING])
        apply_changes(files, change.files)
        apply_changes(files, invert_boot_change(change).files)
        assert everything(tmp_path) == before

    def test_removal_leaves_nothing_of_ours(self, boot: Boot, files: Files, tmp_path: Path) -> None:
        for folder in ("systemd/system/sysinit.target.wants", "mkinitcpio.conf.d"):  # not ours: they would stay
            (tmp_path / "etc" / folder).mkdir()
        before = everything(tmp_path)
        apply_changes(files, plan_bindings(boot, read_places(files), [BINDING, OTHER]).files)
        removal = plan_bindings(boot, read_places(files), [])
        apply_changes(files, removal.files)
        assert everything(tmp_path) == before
        assert len(removal.generators) == len(boot.generators)
        assert not plan_bindings(boot, read_places(files), [])

    def test_one_of_two_goes(self, boot: Boot, files: Files) -> None:
        apply_changes(files, plan_bindings(boot, read_places(files), [BINDING, OTHER]).files)
        change = plan_bindings(boot, read_places(files), [OTHER])
        assert [(file.path, file.after) for file in change.files] == [(path_of(BINDING), None)]
        assert len(change.generators) == len(boot.generators)

    def test_a_damaged_file_stays_while_others_are_bound(self, boot: Boot, files: Files, tmp_path: Path) -> None:
        apply_changes(files, plan_bindings(boot, read_places(files), [BINDING]).files)
        (tmp_path / FOLDER[1:] / "0000:09:00.0.conf").write_text("half a l")
        assert not plan_bindings(boot, read_places(files), [BINDING])
        assert f"{FOLDER}/0000:09:00.0.conf" in {f.path for f in plan_bindings(boot, read_places(files), []).files}


def test_two_of_one_name_cannot_be() -> None:
    with pytest.raises(ValueError, match="two boot bindings"):
        plan_bindings(Boot(), {}, [BINDING, BINDING])


def test_rpm_ostree_has_only_the_unit() -> None:
    boot = Boot(loaders=(Loader.RPM_OSTREE,), generators=(InitramfsGenerator.DRACUT,))
    change = plan_bindings(boot, {}, [BINDING])
    assert change.generators == ()
    assert not [file.path for file in change.files if file.path.startswith("/usr")]


class TestInitramfsTools:
    """Its scripts, and the order in which a built image runs them."""

    OTHERS = ("all_generic_ide", "blacklist", "console_setup", "framebuffer", "keymap", "plymouth", "udev")

    @pytest.mark.spawns
    def test_sorted_as_mkinitramfs_does_ours_is_first(self) -> None:
        """get_prereq_pairs() writes each with itself, and each prerequisite before what needs it."""
        names = sorted([*self.OTHERS, initramfs_tools.NAME])
        pairs = [f"{name} {name}" for name in names] + ["udev framebuffer", "udev plymouth"]
        done = subprocess.run(["/usr/bin/tsort"], input="\n".join(pairs), capture_output=True, text=True, check=True)
        order = "".join(
            f'/scripts/init-top/{name} "$@"\n[ -e /conf/param.conf ] && . /conf/param.conf\n'
            for name in done.stdout.split()
        )
        assert initramfs_tools.runs_before_udev(order)

    @pytest.mark.parametrize("names", ["", "udev", "00-nicpass", "udev 00-nicpass", "x 00-nicpass udev"])
    def test_another_order_does_not_do(self, names: str) -> None:
        assert not initramfs_tools.runs_before_udev(
            "".join(f'/scripts/init-top/{name} "$@"\n' for name in names.split())
        )

    @pytest.mark.spawns
    @pytest.mark.parametrize("path", [initramfs_tools.HOOK, initramfs_tools.INIT_TOP])
    def test_asked_for_prerequisites_it_says_none(self, path: str, tmp_path: Path) -> None:
        """So does every one of its hooks and scripts before it is ever run."""
        script = tmp_path / "script"
        script.write_bytes(initramfs_tools.FILES[path].content)  # type: ignore[union-attr]
        done = subprocess.run(["/bin/sh", str(script), "prereqs"], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.spawns
@pytest.mark.parametrize(
    ("hooks", "wanted"),
    [
        ("(base udev autodetect block filesystems)", "base nicpass udev autodetect block filesystems"),
        ("(base systemd nicpass block)", "base nicpass systemd block"),
        ('"base udev block"', "base nicpass udev block"),
        ("(base udev block)\nHOOKS+=(resume)", "base nicpass udev block resume"),
        ("(base block)", "base block"),
        ("(systemd udev)", "nicpass systemd udev"),
    ],
)
def test_mkinitcpio_gets_the_hook_before_udev(hooks: str, wanted: str, tmp_path: Path) -> None:
    drop_in = mkinitcpio.FILES[mkinitcpio.DROP_IN]
    (tmp_path / "config").write_text(f"HOOKS={hooks}\n{drop_in.content.decode()}printf '%s ' \"${{HOOKS[@]}}\"\n")  # type: ignore[union-attr]
    done = subprocess.run(["/bin/bash", str(tmp_path / "config")], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == wanted


@pytest.mark.spawns
@pytest.mark.parametrize(
    ("shell", "path", "files"),
    [
        ("sh", initramfs_tools.HOOK, initramfs_tools.FILES),
        ("sh", initramfs_tools.INIT_TOP, initramfs_tools.FILES),
        ("bash", f"{dracut.MODULE}/module-setup.sh", dracut.FILES),
        ("sh", dracut.HOOK, dracut.FILES),
        ("bash", mkinitcpio.INSTALL, mkinitcpio.FILES),
        ("sh", mkinitcpio.HOOK, mkinitcpio.FILES),
        ("bash", mkinitcpio.DROP_IN, mkinitcpio.FILES),
    ],
)
def test_every_shell_script_can_be_read(shell: str, path: str, files: dict[str, object], tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(files[path].content)  # type: ignore[attr-defined]
    subprocess.run([shell, "-n", str(script)], check=True)
