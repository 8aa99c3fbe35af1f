# SPDX-License-Identifier: Apache-2.0
"""From a shape to QEMU's arguments, a pure function; and the process, which never outlives this one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lab.image import DOMAINS, Image
from lab.placement import nic_arguments
from lab.shape import MANAGEMENT_MAC, Firmware, Iommu, Shape

# Files in the run folder, which is QEMU's working folder: a relative path never exceeds a socket's 108 bytes.
OVERLAY = "overlay.qcow2"
VARIABLES = "variables.qcow2"  # the UEFI firmware's; the image's own, unwritten, is beside its disk
AGENT_SOCKET = "agent.sock"
MONITOR_SOCKET = "monitor.sock"
BOX_CONSOLE = "box.console"
QEMU_LOG = "qemu.log"
FIRMWARE = "firmware.fd"  # UEFI's code, beside the image's disk


def console_file(guest: str) -> str:
    """Where the console output of a nested guest goes."""
    return f"{guest}.console"


def console_input(guest: str) -> str:
    """The FIFO whose content a nested guest reads from its console."""
    return f"{guest}.input"


class Accelerator(StrEnum):
    """How QEMU runs the box's processors: KVM where the hardware really has it, else TCG, which emulates."""

    KVM = "kvm"
    TCG = "tcg"


def choose_accelerator(proc: Path = Path("/proc"), sys: Path = Path("/sys"), dev: Path = Path("/dev")) -> Accelerator:
    """KVM if the CPU has it, the device opens, and guests may have guests of their own.

    The CPU's flag comes first: /dev/kvm may open on machines where no guest ever runs.
    """
    flags = (proc / "cpuinfo").read_text().partition("\nflags")[2].partition("\n")[0].split()
    module = "kvm_intel" if "vmx" in flags else "kvm_amd" if "svm" in flags else None
    if module is None:
        return Accelerator.TCG
    try:
        nested = (sys / f"module/{module}/parameters/nested").read_text().strip()
        with (dev / "kvm").open("r+b", buffering=0):
            return Accelerator.KVM if nested in {"1", "Y"} else Accelerator.TCG
    except OSError:
        return Accelerator.TCG


@dataclass(frozen=True)
class Start:
    """The settings of QEMU that differ from one start of a shape to the next."""

    accelerator: Accelerator
    ssh_port: int | None = None  # on 127.0.0.1, by the management NIC; no ssh if None
    nic_ssh_port: int | None = None  # the same by the test NIC that has `ssh`
    snapshot: str | None = None  # resumed instead of booted
    processor: int | None = None  # of this machine, for all of QEMU's threads; any if None


def qemu_arguments(shape: Shape, image: Image, start: Start) -> list[str]:
    """The arguments of QEMU, without the program itself. Paths of the run folder are relative to it."""
    groups = (
        _machine(shape, start.accelerator),
        _iommu(shape),
        _boot(shape, image),
        _channels(),
        _management_nic(start.ssh_port),
        nic_arguments(shape.nics, start.nic_ssh_port),
        _more_devices(shape, image),
        ["-loadvm", start.snapshot] if start.snapshot else [],
    )
    return [argument for group in groups for argument in group]


def _machine(shape: Shape, accelerator: Accelerator) -> list[str]:
    emulated = accelerator is Accelerator.TCG
    # TCG emulates AMD's virtualization, not Intel's, so an emulated host that runs guests is an AMD one.
    cpu, accel = ("EPYC-v4,+svm", "tcg,thread=multi") if emulated else ("host", "kvm")
    return [
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "q35,kernel-irqchip=split", "-accel", accel, "-cpu", cpu),
        *("-smp", str(shape.processors), "-m", f"{shape.memory_mib}M", "-rtc", "base=utc"),
        *_numa(shape),
    ]


def _numa(shape: Shape) -> Iterator[str]:
    """Memory in equal parts and a processor for each node, if there are several."""
    for node in range(shape.numa_nodes if shape.numa_nodes > 1 else 0):
        yield from ("-object", f"memory-backend-ram,id=memory{node},size={shape.memory_mib // shape.numa_nodes}M")
        yield from ("-numa", f"node,nodeid={node},cpus={node},memdev=memory{node}")


def _iommu(shape: Shape) -> list[str]:
    # QEMU wants an IOMMU before the devices behind it.
    device = {
        Iommu.INTEL: "intel-iommu,intremap=on,caching-mode=on",
        Iommu.AMD: "amd-iommu,intremap=on,pt=off",
        Iommu.VIRTIO: "virtio-iommu-pci,bus=pcie.0,addr=0x2",
        Iommu.NONE: None,
    }[shape.iommu]
    options = f",{shape.iommu_options}" if shape.iommu_options else ""
    return ["-device", device + options] if device else []


def kernel_command_line(shape: Shape) -> str:
    """The box's kernel arguments.

    No AppArmor or SELinux: loading profiles takes seconds under emulation, and nothing here tests them.
    """
    own = ("root=/dev/vda", "rw", "fsck.mode=skip", "console=ttyS0", "quiet", "panic=-1")
    return " ".join((*own, "lsm=landlock,lockdown,yama,bpf", *shape.kernel_arguments))


def _boot(shape: Shape, image: Image) -> list[str]:
    return [
        *(_firmware(shape.boot.firmware, image) if shape.boot else ()),
        *(_kernel(shape, image) if shape.boot is None or shape.boot.loader is None else ()),
        *("-drive", f"file={OVERLAY},format=qcow2,if=none,id=disk,cache=unsafe,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=disk,bus=pcie.0,addr=0x3"),
    ]


def _kernel(shape: Shape, image: Image) -> Iterator[str]:
    yield from ("-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", kernel_command_line(shape))


def _firmware(firmware: Firmware, image: Image) -> Iterator[str]:
    """BIOS is QEMU's default. UEFI's variables are in qcow2, or a running host could not be saved."""
    if firmware is Firmware.UEFI:
        code = image.disk.with_name(FIRMWARE)
        yield from ("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}")
        yield from ("-drive", f"if=pflash,unit=1,format=qcow2,file={VARIABLES},cache=unsafe")


def _channels() -> list[str]:
    """The ways in that no change to the box's network can cut: QMP, the guest agent, and the consoles."""
    arguments = [
        *("-chardev", f"socket,id=qmp,path={MONITOR_SOCKET},server=on,wait=off", "-mon", "chardev=qmp,mode=control"),
        *("-device", "virtio-serial-pci,bus=pcie.0,addr=0x4", "-device", "virtio-rng-pci,bus=pcie.0,addr=0x5"),
        *("-chardev", f"socket,id=agent,path={AGENT_SOCKET},server=on,wait=off"),
        *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
        *("-chardev", f"file,id=box,path={BOX_CONSOLE}", "-serial", "chardev:box"),
    ]
    for guest in DOMAINS:
        files = f"path={console_file(guest)},input-path={console_input(guest)}"
        arguments += ["-chardev", f"file,id={guest},{files}", "-serial", f"chardev:{guest}"]
    return arguments


def _management_nic(ssh_port: int | None) -> list[str]:
    forward = f",hostfwd=tcp:127.0.0.1:{ssh_port}-10.9.0.15:22" if ssh_port else ""
    return [
        *("-netdev", f"user,id=management,net=10.9.0.0/24,host=10.9.0.2,dns=10.9.0.3,restrict=on{forward}"),
        *("-device", f"virtio-net-pci,netdev=management,mac={MANAGEMENT_MAC},bus=pcie.0,addr=0x6,romfile="),
    ]


def _more_devices(shape: Shape, image: Image) -> Iterator[str]:
    if any("drive=spare" in device for device in shape.devices):
        yield from ("-drive", f"file={image.disk},format=raw,if=none,id=spare,readonly=on")
    for device in shape.devices:
        yield from ("-device", device)


def qemu_program(base: Path, name: str = "qemu-system-x86_64") -> list[str]:
    """How to run a program of the Debian tree `base` on an older machine: through the tree's own loader."""
    libraries = base / "usr/lib/x86_64-linux-gnu"
    return [str(base / "lib64/ld-linux-x86-64.so.2"), "--library-path", str(libraries), str(base / "usr/bin" / name)]


def start_qemu(shape: Shape, image: Image, start: Start, folder: Path) -> subprocess.Popen[bytes]:
    """Start QEMU in `folder`. The kernel kills it when the thread that calls this is gone, for whatever reason."""
    shares = [share for path in ("qemu", "seabios") for share in ("-L", str(image.base / "usr/share" / path))]
    command = [*qemu_program(image.base), *shares, *qemu_arguments(shape, image, start)]
    if start.processor is not None:
        command = ["taskset", "--cpu-list", str(start.processor), *command]
    with (folder / QEMU_LOG).open("wb") as log:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": "/usr/bin:/bin", "QEMU_MODULE_DIR": str(image.base / "usr/lib/x86_64-linux-gnu/qemu")},
            # A Ctrl-C at the terminal is for the driver, which then stops QEMU in order.
            start_new_session=True,
        )
