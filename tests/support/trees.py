# SPDX-License-Identifier: Apache-2.0
"""Builds fake hosts on disk: a `Tree` says in a few lines what host a test wants, `write` makes its files.

The files are those of a real kernel, named and linked as it does it (Documentation/ABI/testing/sysfs-bus-pci,
sysfs-class-net, sysfs-kernel-iommu_groups), so `lspci -O sysfs.path=TREE/sys/bus/pci` reads them too.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
from typing import TYPE_CHECKING, Self

import msgspec

from nicpass.host.doors.files import Files
from nicpass.host.read import read_host
from nicpass.hypervisor.libvirt.domains import read_machines
from nicpass.hypervisor.libvirt.guard_reading import read_guard
from nicpass.model.host import Host
from nicpass.model.network import Link, Network
from tests.support import acpi
from tests.support.config_space import Capabilities, Identity, Sriov, build_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ETHERNET, BRIDGE, NVME, BLOCK = 0x020000, 0x060400, 0x010802, 0x018000
CPUS = {
    "intel": "vendor_id\t: GenuineIntel\nflags\t\t: fpu vme msr pae vmx sse2",
    "amd": "vendor_id\t: AuthenticAMD\nflags\t\t: fpu vme msr pae svm sse2",
    "bare": "vendor_id\t: GenuineIntel\nflags\t\t: fpu vme msr pae sse2",
    "arm": "BogoMIPS\t: 50.00\nFeatures\t: fp asimd evtstrm",
}
_TABLES = {"DMAR": acpi.dmar(), "IVRS": acpi.ivrs()}
MSI_REGION = "0x00000000fee00000 0x00000000feefffff msi\n"
IDLE_ACTIVITY = {
    "/proc/net/tcp": "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n",
    "/proc/net/tcp6": "  sl  local_address                         remote_address                        st\n",
    "/proc/net/packet": "sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n",
    "/proc/net/protocols": "protocol  size sockets  memory press maxhdr\nXDP       1088      0      -1\n",
    "/proc/self/mountinfo": "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n",
    "/proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
    "/proc/1/comm": "systemd\n",
}
"""Nobody is logged in, nothing is mounted from elsewhere, one process runs."""
UUID = "c7a5fdbd-edaf-9455-926a-d65c16db18{:02x}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Function:
    """One PCI function; what is None or empty has no file."""

    address: str
    class_code: int = ETHERNET
    vendor_id: int = 0x8086
    device_id: int = 0x10FB
    subsystem: tuple[int, int] = (0x8086, 0x0003)
    driver: str | None = "ixgbe"
    driver_override: str | None = None
    under: str | None = None
    """The bridge above; None puts it on its root bus."""
    group: int | None = None
    numa_node: int = -1
    reset_methods: tuple[str, ...] = ("flr", "bus")
    totalvfs: int | None = None
    vfs: tuple[str, ...] = ()
    pf: str | None = None
    vf_index: int = 0
    netdevs: tuple[str, ...] = ()
    virtio: int | None = None
    """The number of its virtio device, under which its netdevs and disks then lie."""
    disks: tuple[str, ...] = ()
    config_size: int = 4096
    serial: int | None = None
    capabilities: Capabilities | None = None
    """The capabilities in its configuration space; None: those of an ordinary NIC or root port."""
    sriov: Sriov | None = None
    """Its SR-IOV capability; None: that of a PF which has `totalvfs`."""
    config: bytes | None = None
    """The configuration space itself, in place of a built one."""
    bars: tuple[tuple[int, int], ...] = ((0x100000, 0x14220C), (0, 0), (0, 0), (0x4000, 0x14220C))
    """Size and flags of each BAR; 0x14220c is memory, 64 bits wide and prefetchable (linux/ioport.h)."""
    vf_bar: tuple[int, int, int] = (0x2000_0000_0000, 0x10000, 0x14220C)
    """Address, size and flags of the VFs' first BAR; the size is that of all VFs together."""
    rom_size: int = 0
    files: tuple[tuple[str, str | None], ...] = ()
    """More attributes of the function by name, or other contents; None takes an attribute away."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vm:
    """A VM's definition; its devices are XML, as libvirt writes it."""

    name: str
    uuid: str = UUID.format(1)
    devices: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tree:
    """A host: ready for passthrough unless it says otherwise."""

    functions: tuple[Function, ...] = ()
    network: Network | None = None
    """What rtnetlink would say; None leaves `/netlink.json` out, so addresses and routes are unknown."""
    vms: tuple[Vm, ...] | None = ()
    cpu: str = "intel"
    cmdline: str = "BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro intel_iommu=on quiet"
    tables: tuple[str, ...] = ("APIC", "DMAR", "FACP")
    firmware: dict[str, bytes] = dataclasses.field(default_factory=dict)
    """ACPI tables by name, which then need not be in `tables`; a DMAR or IVRS not given covers all with one unit."""
    group_types: dict[int, str | None] = dataclasses.field(default_factory=dict)
    """Group to its domain type; DMA-FQ where not said, no file where None."""
    reserved_regions: dict[int, str | None] = dataclasses.field(default_factory=dict)
    """Group to its reserved_regions; those of the interrupts where not said, no file where None."""
    iommu_units: tuple[str, ...] = ("dmar0",)
    with_groups: bool = True
    """False for a capture without /sys/kernel/iommu_groups."""
    kvm: bool = True
    loaded: tuple[str, ...] = ("kvm", "kvm_intel", "vfio", "vfio_pci", "vfio_iommu_type1")
    available: tuple[str, ...] | None = ("vfio", "vfio_pci", "vfio_iommu_type1", "kvm", "kvm_intel", "kvm_amd")
    kernel: str = "6.1.0-28-amd64"
    interrupts: str | None = "IR-PCI-MSIX-0000:01:00.0"
    """The name of the interrupt controllers in /proc/interrupts; None leaves the file out."""
    files: Mapping[str, str | bytes] = dataclasses.field(default_factory=dict)
    """More files, by their absolute paths, or other ones in place of those above."""
    modes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """The permission bits of some of these."""
    links: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """More links, from path to target."""

    def but(self, **changes: object) -> Self:
        """The same host with these fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def write(self, root: Path) -> Path:
        """Make all files of the host below `root`."""
        writer = TreeWriter(str(root))
        writer.write_platform(self)
        paths = self.paths()
        writer.buses = {f.under: int(f.address.split(":")[1], 16) for f in self.functions if f.under is not None}
        for number, function in enumerate(self.functions):
            writer.write_function(self, function, paths, number)
        self._write_network(writer, paths)
        for vm in self.vms or ():
            writer.file(f"/etc/libvirt/qemu/{vm.name}.xml", domain_xml(vm))
        if self.vms is not None:
            writer.folder("/etc/libvirt/qemu")
        for path, content in (IDLE_ACTIVITY | dict(self.files)).items():
            writer.file(path, content)
        for path, mode in self.modes.items():
            (root / path[1:]).chmod(mode)
        for path in ("/run/systemd/sessions", "/proc/1/fd"):
            writer.folder(path)
        for path, target in self.links.items():
            writer.link(path, target)
        return root

    def read(self, root: Path) -> Host:
        """Write the tree, and read it as nicpass does."""
        files = Files(str(self.write(root)))
        machines = read_machines(files)
        return read_host(
            files,
            machines.domains,
            with_boot=True,
            with_cpus=True,
            networks=machines.networks,
            guard=read_guard(files),
        )

    def paths(self) -> dict[str, str]:
        """Address of each function to its folder in sysfs."""
        return {function.address: self._path(function) for function in self.functions}

    def _path(self, function: Function) -> str:
        above = {f.address: f.under for f in self.functions} if function.under else {}
        chain, bridge = [function.address], function.under
        while bridge is not None:
            chain.append(bridge)
            bridge = above[bridge]
        root_bus = ":".join(chain[-1].split(":")[:2])
        return "/".join(["/sys/devices", f"pci{root_bus}", *reversed(chain)])

    def _write_network(self, writer: TreeWriter, paths: dict[str, str]) -> None:
        links = {link.name: link for link in self.network.links} if self.network else {}
        homes = {name: _netdev_folder(f, paths[f.address], name) for f in self.functions for name in f.netdevs}
        if self.network is not None:
            writer.file("/netlink.json", msgspec.json.encode(self.network))
        for number, name in enumerate([*homes, *(name for name in links if name not in homes)], 2):
            home = homes.get(name, f"/sys/devices/virtual/net/{name}")
            writer.write_netdev(links.get(name, Link(name=name, mac=mac_of(number), mtu=1500)), home, number)


def mac_of(number: int) -> str:
    """A universally administered MAC of Intel's for the interface with this number."""
    return f"00:1b:21:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def domain_xml(vm: Vm) -> str:
    """A definition as it lies in /etc/libvirt/qemu, its warning included."""
    return f"""<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE
OVERWRITTEN AND LOST. Changes to this xml configuration should be made using:
  virsh edit {vm.name}
or other application using the libvirt API.
-->

<domain type='kvm'>
  <name>{vm.name}</name>
  <uuid>{vm.uuid}</uuid>
  <memory unit='KiB'>1048576</memory>
  <vcpu placement='static'>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
  </os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='network'>
      <mac address='52:54:00:11:22:33'/>
      <source network='default'/>
    </interface>
{vm.devices}  </devices>
</domain>
"""


def hostdev_xml(address: str, *, managed: str = "yes") -> str:
    """A whole NIC in a definition, as libvirt writes it."""
    domain, bus, slot, function = (int(part, 16) for part in address.replace(".", ":").split(":"))
    return f"""    <hostdev mode='subsystem' type='pci' managed='{managed}'>
      <source>
        <address domain='0x{domain:04x}' bus='0x{bus:02x}' slot='0x{slot:02x}' function='0x{function:x}'/>
      </source>
      <address type='pci' domain='0x0000' bus='0x06' slot='0x00' function='0x0'/>
    </hostdev>
"""


def direct_xml(netdev: str, *, mode: str = "bridge") -> str:
    """A macvtap on an interface of the host."""
    return f"<interface type='direct'><source dev='{netdev}' mode='{mode}'/><model type='virtio'/></interface>"


def network_interface_xml(name: str, *, portgroup: str = "") -> str:
    """An interface that a network of libvirt's provides."""
    group = f" portgroup='{portgroup}'" if portgroup else ""
    return f"<interface type='network'><source network='{name}'{group}/></interface>"


def network_file(name: str, forward: str) -> dict[str, str]:
    """The definition of a network of libvirt's, by its path."""
    text = f"<network><name>{name}</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db18aa</uuid>{forward}</network>"
    return {f"/etc/libvirt/qemu/networks/{name}.xml": text}


def vf_interface_xml(address: str, mac: str, vlan: int | None = None) -> str:
    """A VF in a definition, as libvirt writes it."""
    domain, bus, slot, function = (int(part, 16) for part in address.replace(".", ":").split(":"))
    tag = f"      <vlan>\n        <tag id='{vlan}'/>\n      </vlan>\n" if vlan is not None else ""
    return f"""    <interface type='hostdev' managed='yes'>
      <mac address='{mac}'/>
      <driver name='vfio'/>
      <source>
        <address type='pci' domain='0x{domain:04x}' bus='0x{bus:02x}' slot='0x{slot:02x}' function='0x{function:x}'/>
      </source>
{tag}      <address type='pci' domain='0x0000' bus='0x06' slot='0x00' function='0x0'/>
    </interface>
"""


def _interrupts(chip: str) -> str:
    """Two processors, the timer's interrupt, one of `chip`, and those without a number, as the kernel prints them."""
    return f"""            CPU0       CPU1
   0:         36          0   {chip}    2-edge      timer
  25:          0      18211   {chip}    0-edge      eth1-rx-0
 NMI:          0          0   Non-maskable interrupts
 ERR:          0
"""


def _netdev_folder(function: Function, path: str, name: str) -> str:
    below = f"/virtio{function.virtio}" if function.virtio is not None else ""
    return f"{path}{below}/net/{name}"


class TreeWriter:
    """Makes files and links below one root; thousands of them, so by os calls."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.made: set[str] = set()
        self.buses: dict[str, int] = {}
        """Address of each bridge to the number of the bus below it."""

    def folder(self, path: str) -> None:
        if path not in self.made:
            os.makedirs(self.root + path, exist_ok=True)  # noqa: PTH103
            self.made.add(path)

    def file(self, path: str, content: str | bytes) -> None:
        self.folder(posixpath.dirname(path))
        descriptor = os.open(self.root + path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(descriptor, content if isinstance(content, bytes) else content.encode())
        os.close(descriptor)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link; one to a place in the tree is written relative, as sysfs writes all of its own."""
        folder = posixpath.dirname(path)
        self.folder(folder)
        written = posixpath.relpath(target, folder) if target.startswith("/sys/") else target
        os.symlink(written, self.root + path)  # noqa: PTH211

    def write_platform(self, tree: Tree) -> None:
        self.file("/proc/cpuinfo", f"processor\t: 0\n{CPUS[tree.cpu]}\n\nprocessor\t: 1\n{CPUS[tree.cpu]}\n\n")
        self.file("/proc/cmdline", f"{tree.cmdline}\n")
        self.file("/proc/sys/kernel/osrelease", f"{tree.kernel}\n")
        self.file("/proc/sys/kernel/hostname", "host\n")
        self.file("/proc/sys/kernel/random/boot_id", "0e5f4e0c-38cf-4b1e-9a6c-3d8b8c1d4a55\n")
        if tree.interrupts is not None:
            self.file("/proc/interrupts", _interrupts(tree.interrupts))
        self.folder("/dev")
        if tree.kvm:
            self.file("/dev/kvm", "")
        contents = {table: _TABLES.get(table, f"{table}\0".encode()) for table in tree.tables} | tree.firmware
        for table, content in contents.items():
            self.file(f"/sys/firmware/acpi/tables/{table}", content)
        groups = ("/sys/kernel/iommu_groups",) if tree.with_groups else ()
        for empty in ("/sys/firmware/acpi/tables", "/sys/class/iommu", "/sys/class/net", *groups):
            self.folder(empty)
        for unit in tree.iommu_units:
            self.folder(f"/sys/devices/virtual/iommu/{unit}")
            self.link(f"/sys/class/iommu/{unit}", f"/sys/devices/virtual/iommu/{unit}")
        self.folder("/sys/bus/pci/devices")
        self.folder("/sys/module")
        for module in tree.loaded:
            self.folder(f"/sys/module/{module}")
        if "vfio_iommu_type1" in tree.loaded:
            self.file("/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts", "N\n")
        if tree.available is not None:
            lines = "".join(f"kernel/drivers/{name.replace('_', '-')}.ko.xz:\n" for name in tree.available)
            self.file(f"/lib/modules/{tree.kernel}/modules.dep", lines)
            self.file(f"/lib/modules/{tree.kernel}/modules.builtin", "kernel/drivers/pci/pci.ko\n")

    def write_group(self, folder: str, group: int, tree: Tree) -> None:
        if f"{folder}/devices" in self.made:
            return
        self.folder(f"{folder}/devices")
        kind, regions = tree.group_types.get(group, "DMA-FQ"), tree.reserved_regions.get(group, MSI_REGION)
        if kind is not None:
            self.file(f"{folder}/type", f"{kind}\n")
        if regions is not None:
            self.file(f"{folder}/reserved_regions", regions)

    def write_function(self, tree: Tree, function: Function, paths: dict[str, str], number: int) -> None:
        folder = paths[function.address]
        for name, content in function_attributes(function, number, self.buses.get(function.address, 0)).items():
            self.file(f"{folder}/{name}", content)
        self.link(f"/sys/bus/pci/devices/{function.address}", folder)
        self.link(f"{folder}/subsystem", "/sys/bus/pci")
        if function.driver is not None:
            driver = f"/sys/bus/pci/drivers/{function.driver}"
            self.link(f"{folder}/driver", driver)
            self.link(f"{driver}/{function.address}", folder)
            for name in ("bind", "unbind", "new_id"):
                self.file(f"{driver}/{name}", "")
        if function.group is not None:
            group = f"/sys/kernel/iommu_groups/{function.group}"
            self.write_group(group, function.group, tree)
            self.link(f"{folder}/iommu_group", group)
            self.link(f"{group}/devices/{function.address}", folder)
        for index, vf in enumerate(function.vfs):
            self.link(f"{folder}/virtfn{index}", paths[vf])
        if function.pf is not None:
            self.link(f"{folder}/physfn", paths[function.pf])
        self._write_disks(function, folder)

    def _write_disks(self, function: Function, folder: str) -> None:
        for disk in function.disks:
            if function.virtio is not None:
                self.file(f"{folder}/virtio{function.virtio}/block/{disk}/size", "1024\n")
            else:
                controller = disk.rsplit("n", 1)[0]
                self.file(f"{folder}/nvme/{controller}/{disk}/size", "1024\n")
                self.file(f"{folder}/nvme/{controller}/address", f"{function.address}\n")
        if function.virtio is not None:
            self.file(f"{folder}/virtio{function.virtio}/device", "0x0001\n")

    def write_netdev(self, link: Link, home: str, number: int) -> None:
        self.write_netdev_attributes(link, home, number)
        self.link(f"{home}/subsystem", "/sys/class/net")
        self.link(f"/sys/class/net/{link.name}", home)
        if "/virtual/" not in home:
            self.link(f"{home}/device", home.rsplit("/net/", 1)[0])
        if link.master is not None:
            self.link(f"{home}/master", f"/sys/devices/virtual/net/{link.master}")

    def write_netdev_attributes(self, link: Link, home: str, number: int) -> None:
        """Write the plain files of an interface; they may be there already."""
        attributes = {
            "address": link.mac or "",
            "mtu": str(link.mtu or 1500),
            "flags": "0x1003" if link.up else "0x1002",
            "operstate": link.operstate or ("up" if link.up else "down"),
            # The kernel answers EINVAL while the interface is down; a file can only be empty.
            "carrier": str(int(bool(link.carrier))) if link.up else "",
            "ifindex": str(number),
            "dev_port": "0",
            "uevent": f"INTERFACE={link.name}\nIFINDEX={number}",
        }
        for name, content in attributes.items():
            self.file(f"{home}/{name}", f"{content}\n")


def function_attributes(function: Function, number: int, bus_below: int) -> dict[str, str | bytes]:
    """The plain files of one function's folder."""
    vendor, device, (sub_vendor, sub_device) = function.vendor_id, function.device_id, function.subsystem
    class_code = function.class_code
    modalias = (
        f"pci:v{vendor:08X}d{device:08X}sv{sub_vendor:08X}sd{sub_device:08X}"
        f"bc{class_code >> 16:02X}sc{class_code >> 8 & 255:02X}i{class_code & 255:02X}"
    )
    driver = f"DRIVER={function.driver}\n" if function.driver else ""
    attributes: dict[str, str | bytes] = {
        "uevent": f"{driver}PCI_CLASS={class_code:04X}\nPCI_ID={vendor:04X}:{device:04X}\n"
        f"PCI_SUBSYS_ID={sub_vendor:04X}:{sub_device:04X}\nPCI_SLOT_NAME={function.address}\nMODALIAS={modalias}\n",
        "class": f"0x{class_code:06x}\n",
        "vendor": f"0x{vendor:04x}\n",
        "device": f"0x{device:04x}\n",
        "subsystem_vendor": f"0x{sub_vendor:04x}\n",
        "subsystem_device": f"0x{sub_device:04x}\n",
        "revision": "0x01\n",
        "irq": f"{16 + number}\n",
        "modalias": f"{modalias}\n",
        "resource": _resources(function, number),
        "config": _config(function, bus_below),
        "numa_node": f"{function.numa_node}\n",
        "driver_override": f"{function.driver_override or '(null)'}\n",
        "enable": "1\n",
        "local_cpulist": "0-3\n",
        "power_state": "D0\n",
        "power/control": "on\n",
        "power/runtime_status": "active\n",
    }
    if function.reset_methods:  # without one, the kernel hides both files
        attributes |= {"reset_method": f"{' '.join(function.reset_methods)}\n", "reset": ""}
    if function.totalvfs is not None:
        attributes |= {
            "sriov_totalvfs": f"{function.totalvfs}\n",
            "sriov_numvfs": f"{len(function.vfs)}\n",
            "sriov_drivers_autoprobe": "1\n",
        }
    for name, content in function.files:
        attributes.pop(name, None)
        if content is not None:
            attributes[name] = content
    return attributes


def _resources(function: Function, number: int) -> str:
    """Six BARs, the option ROM, six VF BARs, as `resource_show()` prints them."""
    lines = [
        (0xF000_0000 + (number << 24) + (bar << 21), size, flags) for bar, (size, flags) in enumerate(function.bars)
    ]
    lines += [(0, 0, 0)] * (6 - len(lines))
    lines.append((0xE000_0000, function.rom_size, 0x46200))
    lines += [function.vf_bar if function.totalvfs is not None else (0, 0, 0), *[(0, 0, 0)] * 5]
    return "".join(
        f"0x{start:016x} 0x{start + size - 1:016x} 0x{flags:016x}\n" if size else f"{' '.join(['0x' + '0' * 16] * 3)}\n"
        for start, size, flags in lines
    )


def _config(function: Function, bus_below: int) -> bytes:
    if function.config is not None:
        return function.config
    identity = Identity(function.vendor_id, function.device_id, *function.subsystem, function.class_code)
    sriov = function.sriov
    if function.totalvfs is not None and sriov is None:
        sriov = Sriov(function.totalvfs, len(function.vfs), 16, 1, function.device_id + 1)
    return build_config(
        identity,
        function.config_size,
        secondary_bus=bus_below if function.class_code == BRIDGE else None,
        is_vf=function.pf is not None,
        sriov=sriov,
        serial=function.serial,
        capabilities=function.capabilities,
    )
