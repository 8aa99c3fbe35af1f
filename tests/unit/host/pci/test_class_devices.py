# SPDX-License-Identifier: Apache-2.0
"""Which disks, keyboards and screens hang on which PCI function, and what stands on them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nicpass.host.doors.files import Files
from nicpass.host.pci.class_devices import read_class_devices
from nicpass.host.pci.functions import read_pci
from nicpass.model.address import last_address
from nicpass.model.class_devices import ClassDevice
from nicpass.model.fact import Fact, Unknown
from tests.support.hosts import bridge, generated_host, nic, ready_host
from tests.support.provoking import KEYBOARD, POWER_BUTTON, USB, controller

AHCI = "/sys/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda"
NVME = "/sys/devices/pci0000:00/0000:00:01.0/0000:02:00.0/nvme/nvme0/nvme0n1"
VIRTUAL = "/sys/devices/virtual/block"


def read(
    root: Path, disks: dict[str, tuple[str, str]], files: dict[str, str], slaves: dict[str, str] | None = None
) -> dict[str, ClassDevice]:
    """Devices by name, of a host with `disks` (name to folder and number) and `slaves` (upper to lower)."""
    tree = ready_host(
        files={f"{folder}/dev": f"{number}\n" for folder, number in disks.values()} | files,
        links={f"/sys/class/block/{name}": folder for name, (folder, _) in disks.items()}
        | {f"{disks[upper][0]}/slaves/{lower}": disks[lower][0] for upper, lower in (slaves or {}).items()},
    )
    found = read_class_devices(Files(str(tree.write(root))), ())
    assert isinstance(found, tuple)
    return {device.name: device for device in found}


@pytest.mark.parametrize(
    ("path", "address"),
    [
        (f"{AHCI}/sda1", "0000:00:17.0"),
        (NVME, "0000:02:00.0"),
        ("/sys/devices/pci10000:00/10000:00:01.0/10000:01:00.7", "10000:01:00.7"),
        ("/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/input/input3", "0000:00:14.0"),
        (f"{VIRTUAL}/dm-0", None),
        ("/sys/devices/platform/i8042/serio0/input/input1", None),
        ("", None),
    ],
)
def test_the_last_address_on_the_way_counts(path: str, address: str | None) -> None:
    assert last_address(path) == address


class TestBlock:
    """Mounts and swap reach down to the disk."""

    DISKS = {  # noqa: RUF012
        "sda": (AHCI, "8:0"),
        "sda1": (f"{AHCI}/sda1", "8:1"),
        "sda2": (f"{AHCI}/sda2", "8:2"),
        "nvme0n1": (NVME, "259:0"),
        "dm-0": (f"{VIRTUAL}/dm-0", "253:0"),
        "dm-1": (f"{VIRTUAL}/dm-1", "253:1"),
        "md0": (f"{VIRTUAL}/md0", "9:0"),
    }

    def test_a_partition(self, tmp_path: Path) -> None:
        mounts = "22 1 8:1 / /boot\\040efi rw - vfat /dev/sda1 rw\n23 1 0:5 / /proc rw - proc proc rw\n"
        found = read(tmp_path, self.DISKS, {"/proc/self/mountinfo": mounts})
        assert found["sda1"].mounts == ("/boot efi",)
        assert found["sda"].mounts == ()
        assert found["sda1"].addresses == ("0000:00:17.0",)
        assert "dm-0" not in found

    def test_lvm_on_raid_on_a_partition(self, tmp_path: Path) -> None:
        mounts = "22 1 253:0 / / rw - ext4 /dev/mapper/vg-root rw\n"
        swaps = "Filename\tType\tSize\n/dev/dm-1 partition 999 0 -2\n"
        found = read(
            tmp_path,
            self.DISKS,
            {"/proc/self/mountinfo": mounts, "/proc/swaps": swaps},
            {"dm-0": "md0", "md0": "sda2", "dm-1": "nvme0n1"},
        )
        assert found["sda2"].mounts == ("/",)
        assert not found["sda2"].swap
        assert found["nvme0n1"].swap

    def test_mounted_by_the_mappers_name(self, tmp_path: Path) -> None:
        """A btrfs shows a number of its own and the path of its device."""
        files = {
            "/proc/self/mountinfo": "22 1 0:33 /@ /home rw - btrfs /dev/mapper/vg-home rw\n",
            f"{VIRTUAL}/dm-0/dm/name": "vg-home\n",
        }
        assert read(tmp_path, self.DISKS, files, {"dm-0": "sda2"})["sda2"].mounts == ("/home",)

    def test_every_disk_of_a_btrfs(self, tmp_path: Path) -> None:
        files = {
            "/proc/self/mountinfo": "22 1 0:33 / /srv rw - btrfs /dev/sda1 rw\n",
            "/sys/fs/btrfs/5d1f/devices/sda1": "",
            "/sys/fs/btrfs/5d1f/devices/nvme0n1": "",
        }
        assert read(tmp_path, self.DISKS, files)["nvme0n1"].mounts == ("/srv",)

    def test_an_nvme_disk_with_several_paths(self, tmp_path: Path) -> None:
        subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0"
        tree = ready_host(
            files={f"{subsystem}/nvme0n1/dev": "259:0\n", "/proc/self/mountinfo": "1 1 259:0 / / rw - xfs /dev/x rw\n"},
            links={
                "/sys/class/block/nvme0n1": f"{subsystem}/nvme0n1",
                f"{subsystem}/nvme0": "/sys/devices/pci0000:00/0000:02:00.0/nvme/nvme0",
                f"{subsystem}/nvme1": "/sys/devices/pci0000:80/0000:82:00.0/nvme/nvme1",
            },
        )
        found = read_class_devices(Files(str(tree.write(tmp_path))), ())
        assert isinstance(found, tuple)
        (disk,) = [device for device in found if device.name == "nvme0n1"]
        assert disk.addresses == ("0000:02:00.0", "0000:82:00.0")
        assert disk.mounts == ("/",)

    def test_a_ring_of_slaves_ends(self, tmp_path: Path) -> None:
        mounts = "22 1 253:0 / / rw - ext4 /dev/dm-0 rw\n23 1 253:1 / /a rw - ext4 /dev/dm-1 rw\n"
        found = read(
            tmp_path, self.DISKS, {"/proc/self/mountinfo": mounts}, {"dm-0": "dm-1", "dm-1": "md0", "md0": "dm-0"}
        )
        assert found["sda"].mounts == ()

    @settings(max_examples=10)
    @given(st.binary(max_size=200))
    def test_binary_garbage(self, tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
        tree = ready_host(
            files=dict.fromkeys(("/proc/self/mountinfo", "/proc/swaps", "/proc/bus/input/devices"), content)
            | {f"{AHCI}/dev": content},
            links={"/sys/class/block/sda": AHCI},
        )
        found = read_class_devices(Files(str(tree.write(tmp_path_factory.mktemp("odd")))), ())
        assert isinstance(found, tuple)
        assert "sda" in {device.name for device in found}


class TestInput:
    """Keyboards and mice."""

    def test_a_keyboard_is_told_from_a_button(self, tmp_path: Path) -> None:
        files = {"/proc/bus/input/devices": POWER_BUTTON + KEYBOARD.format(address="0000:00:14.0")}
        (device,) = read(tmp_path, {}, files).values()
        assert (device.label, device.keyboard, device.addresses) == ("Dell KB216", True, ("0000:00:14.0",))

    def test_one_without_pci_is_kept(self, tmp_path: Path) -> None:
        block = KEYBOARD.replace("/devices/pci0000:00/{address}/usb1", "/devices/platform/i8042/serio0")
        (device,) = read(tmp_path, {}, {"/proc/bus/input/devices": block}).values()
        assert device.keyboard
        assert device.addresses == ()


class TestScreens:
    """What with the console."""

    CARD = "/sys/devices/pci0000:00/0000:00:02.0"

    @pytest.mark.parametrize(("state", "screen"), [("enabled", True), ("disabled", False)])
    def test_a_connector(self, state: str, screen: bool, tmp_path: Path) -> None:
        connector = f"{self.CARD}/drm/card0/card0-HDMI-A-1"
        tree = ready_host(
            files={f"{connector}/enabled": f"{state}\n"},
            links={"/sys/class/drm/card0": f"{self.CARD}/drm/card0", "/sys/class/drm/card0-HDMI-A-1": connector},
        )
        found = read_class_devices(Files(str(tree.write(tmp_path))), ())
        assert isinstance(found, tuple)
        assert {device.name: device.console for device in found} == {"card0": False, "card0-HDMI-A-1": screen}

    @pytest.mark.parametrize(("bound", "screen"), [("1", True), ("0", False)])
    def test_a_framebuffer_shows_when_the_console_is_on_it(self, bound: str, screen: bool, tmp_path: Path) -> None:
        tree = ready_host(
            files={
                f"{self.CARD}/graphics/fb0/name": "astdrmfb\n",
                "/sys/class/vtconsole/vtcon1/bind": f"{bound}\n",
                "/sys/class/vtconsole/vtcon1/name": "(M) frame buffer device\n",
            },
            links={"/sys/class/graphics/fb0": f"{self.CARD}/graphics/fb0"},
        )
        found = read_class_devices(Files(str(tree.write(tmp_path))), ())
        assert isinstance(found, tuple)
        assert [device.console for device in found] == [screen]


@pytest.mark.parametrize(("active", "console"), [("tty0 ttyS4", True), ("tty0", False), ("", False)])
def test_a_serial_card_with_the_console(active: str, console: bool, tmp_path: Path) -> None:
    port = "/sys/devices/pci0000:00/0000:05:00.0/tty/ttyS4"
    tree = ready_host(files={"/sys/class/tty/console/active": f"{active}\n"}, links={"/sys/class/tty/ttyS4": port})
    found = read_class_devices(Files(str(tree.write(tmp_path))), ())
    assert isinstance(found, tuple)
    assert [(device.name, device.console) for device in found] == [("ttyS4", console)]


def test_without_classes_it_is_absent_and_unreadable_is_unknown(tmp_path: Path) -> None:
    assert read_class_devices(Files(str(tmp_path)), ()) is None
    (tmp_path / "sys").mkdir()
    (tmp_path / "sys" / "class").symlink_to("class")
    assert isinstance(read_class_devices(Files(str(tmp_path)), ()), Unknown)


def test_a_device_that_has_just_gone_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "sys/class/block").mkdir(parents=True)
    (tmp_path / "sys/class/block/sda").symlink_to("../../devices/pci0000:00/0000:00:17.0/block/sda")
    (tmp_path / "sys/class/block/sdb").write_text("no link")
    found = read_class_devices(Files(str(tmp_path)), ())
    assert isinstance(found, tuple)
    assert [device.name for device in found] == ["sda"]


PORT, NIC, XHCI = "0000:00:01.0", "0000:01:00.0", "0000:00:14.0"


class _CountingFiles(Files):
    """Notes which links were read."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.links: list[str] = []

    def read_link(self, path: str) -> Fact[str]:
        self.links.append(path)
        return super().read_link(path)


class TestInterfacesOfOthers:
    """Those that hang on no NIC; a NIC's own are told with it."""

    def test_a_usb_adapter_is_found_and_the_links_of_nics_are_not_read(self, tmp_path: Path) -> None:
        usb = f"/sys/devices/pci0000:00/{XHCI}/usb1/1-1/1-1:1.0/net/enx1"
        tree = ready_host(bridge(PORT), nic(NIC, "eth1", under=PORT), controller(XHCI, USB, "xhci_hcd"))
        files = _CountingFiles(str(tree.but(links={**tree.links, "/sys/class/net/enx1": usb}).write(tmp_path)))
        pci = read_pci(files)
        files.links.clear()
        found = read_class_devices(files, pci)
        assert isinstance(found, tuple)
        assert [(each.name, each.addresses) for each in found if each.subsystem == "net"] == [("enx1", (XHCI,))]
        assert [path for path in files.links if "/net/" in path] == ["/sys/class/net/enx1"]

    @pytest.mark.parametrize(("group", "names"), [(10, ["lan0"]), (1, [])])
    def test_below_a_bridge_only_where_a_nic_is_in_its_group(
        self, group: int, names: list[str], tmp_path: Path
    ) -> None:
        below = f"/sys/devices/pci0000:00/{PORT}/platform/net/lan0"
        tree = ready_host(bridge(PORT, group=group), nic(NIC, "eth1", under=PORT))
        files = Files(str(tree.but(links={**tree.links, "/sys/class/net/lan0": below}).write(tmp_path)))
        found = read_class_devices(files, read_pci(files))
        assert isinstance(found, tuple)
        assert [each.name for each in found if each.subsystem == "net"] == names

    def test_of_unknown_class_a_function_may_have_some(self, tmp_path: Path) -> None:
        files = Files(str(ready_host(bridge(PORT), nic(NIC, "eth1", under=PORT)).write(tmp_path)))
        links = {f"/sys/class/net/{name}": f"../../devices/pci0000:00/{at}" for name, at in _PLACES.items()}
        for path, target in links.items():
            (tmp_path / path[1:]).unlink(missing_ok=True)
            (tmp_path / path[1:]).symlink_to(target)
        odd = msgspec.structs.replace(read_pci(files)[1], address=XHCI, class_code=Unknown("EIO"), netdevs=None)
        found = read_class_devices(files, (odd,))
        assert isinstance(found, tuple)
        assert [each.name for each in found if each.subsystem == "net"] == ["enx1", "wwan0"]

    def test_a_thousand_nics_have_no_link_read(self, tmp_path: Path) -> None:
        files = _CountingFiles(str(generated_host(130).write(tmp_path)))
        pci = read_pci(files)
        files.links.clear()
        read_class_devices(files, pci)
        assert not [path for path in files.links if "/net/" in path]


_PLACES = {
    "eth1": f"{PORT}/{NIC}/net/eth1",
    "eth2": f"{PORT}/{NIC}/virtio0/net/eth2",
    "enx1": f"{XHCI}/usb1/1-1/1-1:1.0/net/enx1",
    "wwan0": f"{PORT}/{NIC}/wwan/wwan0/net/wwan0",
}
