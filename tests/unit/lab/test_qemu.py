# SPDX-License-Identifier: Apache-2.0
"""From a shape to QEMU's arguments."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from lab.image import Image
from lab.qemu import Accelerator, Start, choose_accelerator, kernel_command_line, qemu_arguments, qemu_program
from lab.shape import AMD, GRUB_BIOS, GRUB_UEFI, INTEL, NONE, SHAPES, VIRTIO, Nic, NicModel, Shape

IMAGE = Image("key", Path("/c/disk"), Path("/c/vmlinuz"), Path("/c/initrd"), Path("/c/key"), Path("/c/root"))
EMULATED = Start(Accelerator.TCG)


def arguments(shape: Shape, start: Start = EMULATED) -> list[str]:
    return qemu_arguments(shape, IMAGE, start)


def devices(shape: Shape) -> list[str]:
    return [value for name, value in pairwise(arguments(shape)) if name == "-device"]


def test_an_emulated_host_has_a_processor_that_runs_guests() -> None:
    argv = arguments(INTEL)
    assert argv[argv.index("-accel") + 1] == "tcg,thread=multi"
    assert argv[argv.index("-cpu") + 1] == "EPYC-v4,+svm"


def test_with_kvm_the_host_has_the_processor_that_is_there() -> None:
    argv = arguments(INTEL, Start(Accelerator.KVM))
    assert argv[argv.index("-accel") + 1] == "kvm"
    assert argv[argv.index("-cpu") + 1] == "host"


@pytest.mark.parametrize(
    ("shape", "model"),
    [(INTEL, "intel-iommu"), (AMD, "amd-iommu"), (VIRTIO, "virtio-iommu-pci")],
    ids=str,
)
def test_the_iommu_comes_before_the_devices_behind_it(shape: Shape, model: str) -> None:
    assert devices(shape)[0].startswith(model)


def test_a_host_without_iommu_has_none() -> None:
    assert not [device for device in devices(NONE) if "iommu" in device]


def test_each_nic_has_a_root_port_and_a_network_of_its_own() -> None:
    found = devices(INTEL)
    assert "igb,id=nic0,netdev=net0,mac=52:54:00:aa:00:01,romfile=,bus=nic0-port,addr=0x0" in found
    assert "igb,id=nic1,netdev=net1,mac=52:54:00:aa:00:02,romfile=,bus=nic1-port,addr=0x0" in found
    assert "pcie-root-port,id=nic1-port,bus=pcie.0,addr=0x11,chassis=17,slot=17" in found
    assert "user,id=net1,restrict=on,ipv6=off" in arguments(INTEL)


def test_conventional_nics_share_one_bridge() -> None:
    found = devices(INTEL)
    assert len([device for device in found if device.startswith("pcie-pci-bridge")]) == 1
    assert len([device for device in found if "bus=bridge," in device]) == 2


@pytest.mark.parametrize("shape", SHAPES.values(), ids=lambda shape: shape.name)
def test_no_two_devices_have_one_address(shape: Shape) -> None:
    places = [
        tuple(part for part in device.split(",") if part.startswith(("bus=", "addr=")))
        for device in devices(shape)
        if "addr=" in device
    ]
    assert len(places) == len(set(places))


def test_an_igb_on_the_root_bus_leaves_room_for_its_functions() -> None:
    slots = [int(device.rpartition("=")[2], 16) for device in devices(AMD) if device.startswith("igb")]
    taken = {slot + offset for slot in slots for offset in (16, 17)}
    assert max(taken) < 0x1F
    assert len(taken) == 4


def test_ssh_is_forwarded_from_the_loopback_only() -> None:
    argv = arguments(INTEL, Start(Accelerator.TCG, ssh_port=2022))
    assert any("hostfwd=tcp:127.0.0.1:2022-10.9.0.15:22" in argument for argument in argv)
    assert not any("hostfwd" in argument for argument in arguments(INTEL))


def test_a_resume_differs_from_a_boot_in_nothing_else() -> None:
    assert arguments(INTEL, Start(Accelerator.TCG, snapshot="stage")) == [*arguments(INTEL), "-loadvm", "stage"]


def test_the_kernel_arguments_of_the_shape_come_last() -> None:
    shape = replace(INTEL, kernel_arguments=("intel_iommu=off",))
    assert kernel_command_line(shape).endswith(" intel_iommu=off")
    assert "panic=-1" in kernel_command_line(shape)


def test_a_shape_of_ones_own() -> None:
    shape = Shape("small", INTEL.iommu, (Nic(NicModel.IGB, "52:54:00:00:00:01"),), memory_mib=2048)
    assert arguments(shape)[arguments(shape).index("-m") + 1] == "2048M"
    assert not any("bridge" in device for device in devices(shape))


def test_a_host_with_a_boot_loader_is_given_no_kernel() -> None:
    argv = arguments(GRUB_BIOS)
    assert "-kernel" not in argv
    assert "-append" not in argv


def test_uefi_writes_its_variables_where_a_running_host_can_be_saved() -> None:
    drives = [value for name, value in pairwise(arguments(GRUB_UEFI)) if name == "-drive"]
    assert "if=pflash,unit=0,format=raw,readonly=on,file=/c/firmware.fd" in drives
    assert "if=pflash,unit=1,format=qcow2,file=variables.qcow2,cache=unsafe" in drives
    assert not any("pflash" in argument for argument in arguments(GRUB_BIOS))


def test_a_card_in_front_stands_before_all_other_nics_and_moves_none() -> None:
    found = devices(GRUB_BIOS.with_card_in_front("52:54:00:00:00:01"))
    assert set(devices(GRUB_BIOS)) < set(found)
    slots = [int(device.partition(",addr=")[2].partition(",")[0], 16) for device in found if "root-port" in device]
    assert min(slots) == slots[-1]


def test_the_recipe_of_a_host_that_qemu_boots_does_not_know_of_boot_loaders() -> None:
    assert "boot" not in INTEL.to_recipe()
    assert GRUB_BIOS.to_recipe()["boot"] is not None


def test_a_program_of_the_image_is_run_by_its_own_loader() -> None:
    program = qemu_program(Path("/c/root"), "qemu-img")
    assert program[0] == "/c/root/lib64/ld-linux-x86-64.so.2"
    assert program[-1] == "/c/root/usr/bin/qemu-img"


@pytest.mark.parametrize(
    ("flags", "nested", "device", "chosen"),
    [
        ("fpu vmx sse", "Y", True, Accelerator.KVM),
        ("fpu svm sse", "1", True, Accelerator.KVM),
        ("fpu svm sse", "0", True, Accelerator.TCG),
        ("fpu svm sse", None, True, Accelerator.TCG),
        ("fpu vmx sse", "Y", False, Accelerator.TCG),
        # Seen on a real machine: /dev/kvm opens, but the CPU cannot do it.
        ("fpu sse", "1", True, Accelerator.TCG),
    ],
)
def test_kvm_is_only_trusted_where_all_of_it_is_there(
    tmp_path: Path, flags: str, nested: str | None, device: bool, chosen: Accelerator
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: vmx svm\n")
    if nested is not None:
        parameters = tmp_path / ("module/kvm_intel" if "vmx" in flags else "module/kvm_amd") / "parameters"
        parameters.mkdir(parents=True)
        (parameters / "nested").write_text(f"{nested}\n")
    if device:
        (tmp_path / "kvm").touch()
    assert choose_accelerator(tmp_path, tmp_path, tmp_path) is chosen
