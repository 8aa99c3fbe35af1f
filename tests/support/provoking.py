# SPDX-License-Identifier: Apache-2.0
"""Hosts that have each of the findings about the platform, what earlier hands left, and groups."""

from __future__ import annotations

import struct

from tests.support import acpi
from tests.support.hosts import VM, bridge, nic, nvme, ready_host
from tests.support.trees import Function, Tree, Vm, hostdev_xml

NIC = "0000:01:00.0"
ETH1 = nic(NIC, "eth1")
NO_GROUP = nic(NIC, "eth1", group=None)
CPUINFO = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu {flags}\naddress sizes\t: {bits} bits physical\n\n"
DRM, AHCI, USB = 0x030000, 0x010601, 0x0C0330
KEYBOARD = """I: Bus=0003 Vendor=413c Product=2113 Version=0110
N: Name="Dell KB216"
P: Phys=usb-0000:00:14.0-1/input0
S: Sysfs=/devices/pci0000:00/{address}/usb1/1-1/1-1:1.0/0003:413C:2113.0001/input/input3
U: Uniq=
H: Handlers=sysrq kbd event3 leds
B: EV=120013

"""
POWER_BUTTON = """I: Bus=0019 Vendor=0000 Product=0001 Version=0000
N: Name="Power Button"
S: Sysfs=/devices/LNXSYSTM:00/LNXPWRBN:00/input/input0
H: Handlers=kbd event0

"""


def controller(address: str, class_code: int, driver: str | None, group: int = 10) -> Function:
    """A function that is no NIC."""
    return Function(address=address, class_code=class_code, device_id=0xA352, driver=driver, group=group)


def with_disk(tree: Tree, address: str, mount: str = "/") -> Tree:
    """An AHCI controller's disk `sda` with a partition that is mounted."""
    disk = f"/sys/devices/pci0000:00/{address}/ata1/host0/target0:0:0/0:0:0:0/block/sda"
    return tree.but(
        files={
            **tree.files,
            f"{disk}/dev": "8:0\n",
            f"{disk}/sda1/dev": "8:1\n",
            "/proc/self/mountinfo": f"22 1 8:1 / {mount} rw,relatime shared:1 - ext4 /dev/sda1 rw\n",
        },
        links={**tree.links, "/sys/class/block/sda": disk, "/sys/class/block/sda1": f"{disk}/sda1"},
    )


def capability(mgaw: int, *sagaw: int) -> str:
    """A VT-d capability register, as the kernel writes it: MGAW in bits 21:16, SAGAW in 12:8."""
    return f"{(mgaw - 1) << 16 | sum(1 << 8 + bit for bit in sagaw):x}\n"


def _with_file(path: str, content: str | bytes, *functions: Function, **more: object) -> Tree:
    return ready_host(*functions).but(files={path: content}, **more)


CONFIG = "/boot/config-6.1.0-28-amd64"
SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

PLATFORM: dict[str, Tree] = {
    "IOMMU_ON_BY_DEFAULT": ready_host(cmdline="ro quiet"),
    "IOMMU_NOT_FOR_PCI": ready_host(
        NO_GROUP,
        cpu="arm",
        tables=("IORT",),
        iommu_units=("smmu3.0x000000002b400000",),
        files={"/sys/kernel/iommu_groups/0/type": "DMA\n"},
        interrupts="ITS-MSI",
    ),
    "IOMMU_NOT_BUILT": _with_file(CONFIG, "# CONFIG_INTEL_IOMMU is not set\n", NO_GROUP, iommu_units=()),
    "IOMMU_ARGUMENT_WRONG_VENDOR": ready_host(cmdline="ro intel_iommu=on amd_iommu=force_enable"),
    "IOMMU_ARGUMENT_UNKNOWN": ready_host(cmdline="ro intel_iommu=on iommu=on"),
    "IOMMU_GROUPS_UNKNOWN": ready_host(NO_GROUP, with_groups=False),
    "RMRR_RELAXED": ready_host(cmdline="ro intel_iommu=on,relax_rmrr"),
    "IOMMU_PASSTHROUGH": ready_host(cmdline="ro intel_iommu=on iommu=pt", group_types={1: "identity", 10: "identity"}),
    "IOMMU_ADDRESS_WIDTH": ready_host(
        files={
            "/proc/cpuinfo": CPUINFO.format(flags="vmx", bits=46),
            "/sys/devices/virtual/iommu/dmar0/intel-iommu/cap": capability(39, 1, 2),
        }
    ),
    "DMA_OPT_IN": ready_host(firmware={"DMAR": acpi.dmar(flags=acpi.INTR_REMAP | acpi.DMA_OPT_IN)}),
    "NOIOMMU_MODE": _with_file("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n"),
    "ACS_OVERRIDE": ready_host(cmdline="ro intel_iommu=on pcie_acs_override=downstream,multifunction"),
    "INTERRUPT_REMAPPING_ABSENT": ready_host(interrupts="PCI-MSI", firmware={"DMAR": acpi.dmar(flags=0)}),
    "INTERRUPT_REMAPPING_OFF": ready_host(interrupts="PCI-MSI", cmdline="ro intel_iommu=on intremap=off"),
    "INTERRUPT_REMAPPING_UNKNOWN": ready_host(interrupts=None),
    "UNSAFE_INTERRUPTS": _with_file("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "Y\n"),
    "KVM_MODULE_ABSENT": ready_host(kvm=False, loaded=("vfio_pci",), available=("vfio_pci",)),
    "VFIO_NOT_BUILT": _with_file(
        CONFIG, "CONFIG_INTEL_IOMMU=y\n# CONFIG_VFIO_PCI is not set\n", loaded=("kvm",), available=("kvm",)
    ),
    "LOCKDOWN": _with_file("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
    "SECURE_BOOT": _with_file(SECURE_BOOT, struct.pack("<IB", 6, 1)),
    "HOST_IS_CONTAINER": _with_file("/run/systemd/container", "lxc\n"),
    "HOST_IS_VM": _with_file("/proc/cpuinfo", CPUINFO.format(flags="vmx hypervisor", bits=40)),
    "XEN_DOM0": ready_host(files={"/sys/hypervisor/type": "xen\n", "/proc/xen/capabilities": "control_d\n"}),
}

LEFTOVERS: dict[str, Tree] = {
    "VFIO_IDS": _with_file("/etc/modprobe.d/vfio.conf", "options vfio-pci ids=8086:10fb\n"),
    "BOUND_BY_NEW_ID": ready_host(nic(NIC, driver="vfio-pci")),
    "DRIVERCTL_OVERRIDE": _with_file(
        f"/etc/driverctl.d/pci-{NIC}", "vfio-pci\n", nic(NIC, driver="vfio-pci", driver_override="vfio-pci")
    ),
    "CLAIMED_BY_DRIVERCTL": _with_file(f"/etc/driverctl.d/pci-{NIC}", "uio_pci_generic\n"),
    "CLAIMED_BY_PROXMOX": _with_file("/etc/pve/qemu-server/100.conf", f"memory: 2048\nhostpci0: {NIC},pcie=1\n"),
    "CLAIMED_BY_OPERATOR": _with_file(f"/etc/sriov-operator/pci/{NIC}", '{"pciAddress":"' + NIC + '","numVfs":4}'),
    "DRIVER_BLACKLISTED": _with_file("/etc/modprobe.d/passthrough.conf", "blacklist ixgbe\n"),
    "HOSTDEV_STALE": ready_host(vms=(Vm(name="web", devices=hostdev_xml("0000:09:00.0")),)),
    "UDEV_BINDING": _with_file(
        "/etc/udev/rules.d/10-vfio.rules",
        'ACTION=="add", KERNEL=="0000:05:00.0", RUN+="/bin/sh -c \'echo vfio-pci > /sys%p/driver_override\'"\n',
    ),
    "LEFTOVERS_UNREAD": _with_file("/etc/udev/rules.d/99-odd.rules/a-folder", ""),
}

GROUP: dict[str, Tree] = {
    "GROUP_SHARED": ready_host(ETH1, nvme("0000:02:00.0", "nvme0n1", 10)),
    "GROUP_SHARED_BOUND": ready_host(ETH1, nic("0000:02:00.0", "eth2")),
    "GROUP_SHARED_IDLE": ready_host(ETH1, nic("0000:02:00.0", driver=None)),
    "GROUP_ABSENT": ready_host(bridge("0000:00:01.0"), NO_GROUP),
    "GROUP_HAS_STORAGE": with_disk(ready_host(ETH1, controller("0000:00:17.0", AHCI, "ahci")), "0000:00:17.0"),
    "GROUP_HAS_CONSOLE": _with_file(
        "/proc/bus/input/devices",
        POWER_BUTTON + KEYBOARD.format(address="0000:00:14.0"),
        ETH1,
        controller("0000:00:14.0", USB, "xhci_hcd"),
    ),
    "GROUP_HAS_OTHER_VM": ready_host(
        ETH1,
        nic("0000:01:00.1", driver="vfio-pci"),
        vms=(Vm(name="web", uuid="2", devices=hostdev_xml("0000:01:00.1")), VM),
    ),
    "VF_GROUP_HAS_PF": ready_host(
        nic("0000:02:00.0", "eth2", group=10, totalvfs=8, vfs=(NIC,)), nic(NIC, "eth1", pf="0000:02:00.0")
    ),
}

HAVING: dict[str, Tree] = {**PLATFORM, **LEFTOVERS, **GROUP}
