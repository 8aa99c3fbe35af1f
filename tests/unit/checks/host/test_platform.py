# SPDX-License-Identifier: Apache-2.0
"""IOMMU, interrupts, KVM, kernel and firmware: what the host is told of itself."""

from __future__ import annotations

import gzip
import struct
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nicpass.checks.host.firmware_menu import describe_menu, maker_of
from nicpass.checks.host.platform import check_platform
from nicpass.host.doors.files import Files
from nicpass.host.system.iommu import read_interrupt_chips
from nicpass.host.system.kvm import KvmAnswer, try_kvm
from nicpass.host.system.machine import (
    SECURE_BOOT,
    read_container,
    read_lockdown,
    read_secure_boot,
    read_sysfs_read_only,
)
from nicpass.host.system.modules import read_kernel_options
from nicpass.host.system.platform import read_platform
from nicpass.model.address import Address
from nicpass.model.fact import Unknown, known
from nicpass.model.groups import IommuGroup
from nicpass.model.host import Host
from nicpass.model.pci import PciFunction
from nicpass.model.platform import Dmi, IommuCapability, Module, Platform
from tests.support import acpi
from tests.support.hosts import nic, ready_host
from tests.support.provoking import CONFIG, CPUINFO, NIC, capability
from tests.support.reports import lay_out, run_on
from tests.support.strategies import values_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nicpass.model.finding import Finding

BROKEN_CONFIGS = (
    b"",
    b"no gzip",
    gzip.compress(b"CONFIG_KVM=y\n" * 99, mtime=0)[:-9],
    gzip.compress(b"CONFIG_KVM=y\n" + b"#" * (5 << 20), mtime=0),  # more than any kernel's
)
IN_GROUP = (PciFunction(address=Address(NIC), iommu_group=1),)


class _Live(Files):
    """A tree that claims to be the running machine."""

    @property
    def is_live(self) -> bool:
        return True


def told(host: Host) -> dict[str, Finding]:
    return {finding.code: finding for finding in check_platform(host)}


def host_of(*, groups: bool = True, **platform: object) -> Host:
    return Host(pci=IN_GROUP if groups else (), platform=Platform(**platform))  # type: ignore[arg-type]


class TestIommu:
    """The table tells what kind it is; the argument and the build tell why it is off."""

    @pytest.mark.parametrize(
        ("units", "tables", "kind"),
        [
            (("dmar0", "dmar1"), ("DMAR",), "Intel VT-d"),
            (("ivhd0",), ("IVRS",), "AMD-Vi"),
            (("smmu3.0x00000000eb000000",), ("IORT",), "Arm SMMUv3"),
            (("virtio0",), ("VIOT",), "virtio-iommu"),
            ((), ("DMAR",), "Intel VT-d"),
            (("odd",), (), "kind not shown"),
        ],
    )
    def test_its_kind_is_named(self, units: tuple[str, ...], tables: tuple[str, ...], kind: str) -> None:
        assert kind in told(host_of(iommu_units=units, iommu_tables=tables))["IOMMU_ON"].sentence

    def test_a_table_of_intel_beside_a_processor_of_amd_is_intel(self, tmp_path: Path) -> None:
        found = told(ready_host(cpu="amd", loaded=("kvm_amd", "vfio_pci")).read(tmp_path))
        assert "Intel VT-d" in found["IOMMU_ON"].sentence
        assert "IOMMU_ARGUMENT_WRONG_VENDOR" not in found

    def test_an_argument_is_asked_for_only_where_it_would_help(self) -> None:
        off = told(host_of(groups=False, iommu_tables=("DMAR",), cmdline="ro"))
        assert "intel_iommu=on" in off["IOMMU_OFF"].mend
        for tables in ((), ("IVRS",), ("IORT",)):
            found = told(host_of(groups=False, iommu_tables=tables, cmdline="ro"))
            assert not any("_iommu=on" in finding.mend for finding in found.values())

    @pytest.mark.parametrize(
        ("options", "missing"),
        [
            (("CONFIG_AMD_IOMMU=y",), True),
            (("CONFIG_INTEL_IOMMU=y",), False),
            (Unknown("no configuration"), False),
            (None, False),
        ],
    )
    def test_a_kernel_without_the_driver(self, options: tuple[str, ...] | Unknown | None, missing: bool) -> None:
        found = told(host_of(groups=False, iommu_tables=("DMAR",), kernel_options=options))
        assert ("IOMMU_NOT_BUILT" in found) is missing
        assert ("IOMMU_OFF" in found) is not missing

    def test_either_arm_driver_is_enough(self) -> None:
        found = told(host_of(groups=False, iommu_tables=("IORT",), kernel_options=("CONFIG_ARM_SMMU=y",)))
        assert "IOMMU_NOT_BUILT" not in found

    @pytest.mark.parametrize(
        ("path", "text", "words"),
        [
            ("/etc/default/grub", 'GRUB_CMDLINE_LINUX="intel_iommu=on"\n', "once grub.cfg is made of it"),
            ("/etc/kernel/cmdline", "root=/dev/a intel_iommu=on\n", "not by GRUB"),
            ("/etc/dracut.conf.d/i.conf", 'kernel_cmdline="intel_iommu=on"\n', "never to the kernel"),
        ],
    )
    def test_a_file_that_has_the_argument_is_named(self, path: str, text: str, words: str, tmp_path: Path) -> None:
        tree = ready_host(nic(NIC, "eth1", group=None), cmdline="ro quiet", iommu_units=(), files={path: text})
        off = told(tree.read(tmp_path / "off"))["IOMMU_OFF"]
        assert f"{path} has intel_iommu=on already" in off.mend
        assert words in off.mend
        given = tree.but(cmdline="ro intel_iommu=on").read(tmp_path / "given")
        assert path not in told(given)["IOMMU_OFF"].mend

    @pytest.mark.parametrize("groups", [None, Unknown("not captured: /sys/kernel")])
    def test_groups_that_were_not_captured_are_unknown(self, groups: Unknown | None) -> None:
        found = told(host_of(groups=False, iommu_units=("ivhd0",), iommu_groups=groups))
        assert "AMD-Vi: ivhd0" in found["IOMMU_GROUPS_UNKNOWN"].sentence
        assert "IOMMU_OFF" not in found
        off = told(host_of(groups=False, iommu_units=(), iommu_groups=groups, iommu_tables=("DMAR",)))["IOMMU_OFF"]
        assert "is not there to be read" in off.sentence
        seen = told(host_of(groups=False, iommu_units=("ivhd0",), iommu_groups=0, iommu_tables=("IVRS",)))
        assert "IOMMU_OFF" in seen

    @pytest.mark.parametrize("tree", ["tree", "full"])
    def test_the_report_of_a_capture_without_groups(self, tree: str, tmp_path: Path) -> None:
        name = f"h12-iommu-off-though-units-are-in-use-groups-not-captured/{tree}"
        answer = run_on(lay_out(name, tmp_path), "check")[1]
        assert "IOMMU_GROUPS_UNKNOWN" in answer
        assert "IOMMU_OFF" not in answer

    @pytest.mark.parametrize(
        ("cmdline", "units", "by_default"),
        [
            ("ro", ("dmar0",), True),
            ("ro intel_iommu=on", ("dmar0",), False),
            ("ro", ("ivhd0",), False),
            ("ro intel_iommu=sm_on", ("dmar0",), True),
        ],
    )
    def test_on_by_default(self, cmdline: str, units: tuple[str, ...], by_default: bool) -> None:
        assert ("IOMMU_ON_BY_DEFAULT" in told(host_of(cmdline=cmdline, iommu_units=units))) is by_default

    def test_with_an_unknown_command_line_nothing_is_said_of_arguments(self) -> None:
        found = told(host_of(cmdline=Unknown("permission denied"), iommu_units=("dmar0",), iommu_tables=("DMAR",)))
        assert set(found) <= {"IOMMU_ON", "INTERRUPT_REMAPPING_UNKNOWN"}

    def test_arguments_are_judged_by_the_table(self) -> None:
        found = told(host_of(cmdline="amd_iommu=pgtbl_v1", iommu_tables=("IVRS",), cpu_vendor="AuthenticAMD"))
        assert not {"IOMMU_ARGUMENT_WRONG_VENDOR", "IOMMU_ARGUMENT_UNKNOWN"} & set(found)
        found = told(host_of(cmdline="intel_iommu=on", iommu_tables=("IVRS",), cpu_vendor="GenuineIntel"))
        assert "IVRS" in found["IOMMU_ARGUMENT_WRONG_VENDOR"].sentence

    def test_amd_iommu_on_is_told_with_what_would_be_known(self) -> None:
        finding = told(host_of(cmdline="amd_iommu=on", iommu_tables=("IVRS",), cpu_vendor="AuthenticAMD"))
        assert "amd_iommu=on" in finding["IOMMU_ARGUMENT_UNKNOWN"].sentence
        assert "force_isolation" in finding["IOMMU_ARGUMENT_UNKNOWN"].mend

    @pytest.mark.parametrize(
        ("cmdline", "types", "reason"),
        [
            ("iommu=pt", ("identity", "DMA"), "iommu=pt"),
            ("iommu=pt", ("DMA",), None),  # the kernel was told, and did otherwise
            ("iommu=pt", (None,), "iommu=pt"),
            ("ro", ("identity", "DMA-FQ"), "1 of 2 groups"),
            ("ro", ("DMA-FQ",), None),
        ],
    )
    def test_unconfined_dma(self, cmdline: str, types: tuple[str | None, ...], reason: str | None) -> None:
        host = host_of(cmdline=cmdline)
        groups = tuple(IommuGroup(number=number, type=kind) for number, kind in enumerate(types))
        finding = told(msgspec.structs.replace(host, iommu_groups=groups)).get("IOMMU_PASSTHROUGH")
        assert (finding is None) == (reason is None)
        if finding is not None and reason is not None:
            assert reason in finding.sentence


class TestAddressWidth:
    """MGAW and SAGAW of the capability register against the processor."""

    @pytest.mark.parametrize(
        ("mgaw", "sagaw", "width"),
        [(39, (1,), 39), (39, (1, 2), 39), (48, (1, 2), 48), (57, (2, 3), 57), (57, (2,), 48)],
    )
    def test_the_register_is_decoded(self, mgaw: int, sagaw: tuple[int, ...], width: int) -> None:
        register = int(capability(mgaw, *sagaw), 16)
        assert IommuCapability(unit="dmar0", register=register).address_width == width

    def test_a_real_register(self) -> None:
        """As the kernel logs it on many client processors: `cap d2008c40660462`."""
        assert IommuCapability(unit="dmar0", register=0xD2008C40660462).address_width == 39

    @pytest.mark.parametrize(("bits", "narrow"), [(39, False), (40, True), (46, True)])
    def test_only_a_narrower_iommu_is_told(self, bits: int, narrow: bool, tmp_path: Path) -> None:
        tree = ready_host(
            files={
                "/proc/cpuinfo": CPUINFO.format(flags="vmx", bits=bits),
                "/sys/devices/virtual/iommu/dmar0/intel-iommu/cap": capability(39, 1, 2),
            }
        )
        assert ("IOMMU_ADDRESS_WIDTH" in told(tree.read(tmp_path))) is narrow

    @pytest.mark.parametrize("content", ["", "0x12", "nonsense", "-1", "12\n34", "f" * 17])
    def test_a_damaged_register_is_unknown(self, content: str, tmp_path: Path) -> None:
        tree = ready_host(files={"/sys/devices/virtual/iommu/dmar0/intel-iommu/cap": content})
        (read,) = tree.read(tmp_path).platform.iommu_capabilities
        assert isinstance(read.register, Unknown)
        assert read.address_width is None


class TestInterrupts:
    """In force, off, not to be had, or unknown."""

    @pytest.mark.parametrize(
        "chip", ["IR-IO-APIC", "IR-PCI-MSI", "IR-PCI-MSI-0000:00:1f.0", "IR-PCI-MSIX-10000:01:00.1", "ITS-PCI-MSI"]
    )
    def test_isolated_ones_need_no_word(self, chip: str, tmp_path: Path) -> None:
        found = told(ready_host(interrupts=chip).read(tmp_path))
        assert not any(code.startswith("INTERRUPT") for code in found)

    @pytest.mark.parametrize("chip", ["IO-APIC", "PCI-MSI", "PCI-MSIX-0000:01:00.0", "DMAR-MSI", "GICv2m"])
    def test_others_are_not_in_force(self, chip: str, tmp_path: Path) -> None:
        found = told(ready_host(interrupts=chip).read(tmp_path))
        assert "dmesg" in found["INTERRUPT_REMAPPING_OFF"].mend

    def test_the_argument_that_turns_it_off_is_to_be_taken_out(self, tmp_path: Path) -> None:
        found = told(ready_host(interrupts="PCI-MSI", cmdline="ro intel_iommu=on nointremap").read(tmp_path))
        assert "Take nointremap out" in found["INTERRUPT_REMAPPING_OFF"].mend

    def test_with_the_iommu_off_too_only_the_argument_is_told(self, tmp_path: Path) -> None:
        tree = ready_host(nic(NIC, "eth1", group=None), interrupts="PCI-MSI", iommu_units=())
        assert "INTERRUPT_REMAPPING_OFF" not in told(tree.but(cmdline="ro").read(tmp_path / "a"))
        assert "INTERRUPT_REMAPPING_OFF" in told(tree.but(cmdline="ro intremap=off").read(tmp_path / "b"))

    def test_virtio_iommu_has_none_on_x86(self, tmp_path: Path) -> None:
        tree = ready_host(interrupts="PCI-MSI", tables=("VIOT",), iommu_units=("virtio0",), cmdline="ro")
        found = told(tree.read(tmp_path))
        assert "virtio-iommu" in found["INTERRUPT_REMAPPING_ABSENT"].sentence
        assert "virtio-iommu" in found["IOMMU_ON"].sentence

    def test_who_allowed_unsafe_interrupts_gets_that_and_no_refusal(self, tmp_path: Path) -> None:
        files = {"/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts": "Y\n"}
        tree = ready_host(interrupts="PCI-MSI", firmware={"DMAR": acpi.dmar(flags=0)}, files=files)
        found = told(tree.read(tmp_path))
        assert "UNSAFE_INTERRUPTS" in found
        assert "INTERRUPT_REMAPPING_ABSENT" not in found

    @pytest.mark.parametrize(
        ("cmdline", "modprobe", "allowed"),
        [
            ("vfio_iommu_type1.allow_unsafe_interrupts=1", "", True),
            ("vfio-iommu-type1.allow_unsafe_interrupts", "", True),
            ("quiet", "options vfio_iommu_type1 allow_unsafe_interrupts=Y", True),
            ("quiet", "options vfio-iommu-type1 disable_hugepages=0 allow_unsafe_interrupts=1", True),
            ("vfio_iommu_type1.allow_unsafe_interrupts=0", "options vfio_iommu_type1 allow_unsafe_interrupts=1", False),
            ("quiet", "options vfio_iommu_type1 allow_unsafe_interrupts=N", False),
            ("quiet", "options vfio_pci allow_unsafe_interrupts=1", False),
        ],
    )
    def test_the_option_counts_before_the_module_is_loaded(
        self, cmdline: str, modprobe: str, allowed: bool, tmp_path: Path
    ) -> None:
        """Found on the virtio-iommu host: there is nothing in /sys until the first use of VFIO."""
        tree = ready_host(
            interrupts="PCI-MSI",
            firmware={"DMAR": acpi.dmar(flags=0)},
            cmdline=f"intel_iommu=on {cmdline}",
            files={"/etc/modprobe.d/vfio.conf": f"{modprobe}\n"},
            loaded=("kvm", "kvm_intel"),
        )
        found = told(tree.read(tmp_path))
        assert ("UNSAFE_INTERRUPTS" in found) is allowed
        assert ("INTERRUPT_REMAPPING_ABSENT" in found) is not allowed
        assert not allowed or found["UNSAFE_INTERRUPTS"].command == ""

    @pytest.mark.parametrize(
        "content", [b"", b"\n", b"CPU0\n", b"           CPU0\n NMI:  0  Non-maskable\n", bytes(range(256)), b"0:\n0:\n"]
    )
    def test_what_shows_no_controller_is_unknown(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc" / "interrupts").write_bytes(content)
        assert not known(read_interrupt_chips(Files(str(tmp_path))))


class TestKvm:
    """The flag first, then the module, then whether it works."""

    def test_a_kvm_that_answers_badly_is_told(self) -> None:
        host = host_of(
            cpu_vendor="GenuineIntel", virtualization="vmx", kvm_device=True, kvm_works=False, kvm_error="busy"
        )
        assert "busy" in told(host)["KVM_UNUSABLE"].sentence

    @pytest.mark.parametrize("works", [True, Unknown("permission denied: /dev/kvm"), None])
    def test_one_that_works_or_cannot_be_asked_is_not(self, works: bool | Unknown | None) -> None:
        host = host_of(cpu_vendor="GenuineIntel", virtualization="vmx", kvm_device=True, kvm_works=works)
        assert "KVM_UNUSABLE" not in told(host)

    @pytest.mark.parametrize(
        ("state", "code"),
        [
            ("loadable", "KVM_ABSENT"),
            ("absent", "KVM_MODULE_ABSENT"),
            ("loaded", "KVM_UNUSABLE"),
            ("builtin", "KVM_UNUSABLE"),
        ],
    )
    def test_a_node_without_its_module_is_no_kvm(self, state: str, code: str) -> None:
        host = host_of(
            cpu_vendor="AuthenticAMD",
            virtualization="svm",
            kvm_device=True,
            kvm_works=False,
            kvm_error="no such device",
            modules=(Module(name="kvm_amd", state=state),),  # type: ignore[arg-type]
        )
        assert {each for each in told(host) if each.startswith("KVM_")} == {code}

    def test_without_the_flag_a_device_that_opens_counts_for_nothing(self) -> None:
        host = host_of(cpu_vendor="GenuineIntel", virtualization=None, kvm_device=True, kvm_works=True)
        assert "CPU_NO_VIRTUALIZATION" in told(host)

    def test_the_module_to_load_is_that_of_the_processor(self, tmp_path: Path) -> None:
        found = told(ready_host(cpu="amd", kvm=False).read(tmp_path))
        assert found["KVM_ABSENT"].command == "modprobe kvm_amd"

    @pytest.mark.parametrize(
        ("make", "works", "error"),
        [
            (lambda path: path.write_text(""), False, "inappropriate ioctl for device"),
            (lambda path: path.mkdir(), False, "is a directory"),
            (lambda _path: None, None, None),
        ],
    )
    def test_what_answers_no_kvm_call_is_no_kvm(
        self, make: Callable[[Path], object], works: bool | None, error: str | None, tmp_path: Path
    ) -> None:
        (tmp_path / "dev").mkdir()
        make(tmp_path / "dev" / "kvm")
        assert try_kvm(_Live(str(tmp_path))) == KvmAnswer(works, error)

    def test_a_capture_is_never_asked(self, tmp_path: Path) -> None:
        assert isinstance(ready_host().read(tmp_path).platform.kvm_works, Unknown)


class TestModules:
    """Absent, loadable, loaded, built in."""

    @pytest.mark.parametrize(
        ("state", "code"),
        [("absent", "VFIO_ABSENT"), ("loadable", "VFIO_NOT_LOADED"), ("loaded", None), ("builtin", None)],
    )
    def test_each_state(self, state: str, code: str | None) -> None:
        modules = (Module(name="vfio_pci", state=state),)  # type: ignore[arg-type]
        found = {each for each in told(host_of(modules=modules)) if each.startswith("VFIO_")}
        assert found == ({code} if code else set())

    def test_unknown_is_no_finding(self) -> None:
        assert not [code for code in told(host_of(modules=Unknown("not captured"))) if code.startswith("VFIO_")]

    def test_built_in_is_read(self, tmp_path: Path) -> None:
        tree = ready_host(loaded=(), available=())
        listing = {f"/lib/modules/{tree.kernel}/modules.builtin": "kernel/drivers/vfio/pci/vfio-pci.ko\n"}
        assert tree.but(files=listing).read(tmp_path).platform.module_state("vfio_pci") == "builtin"

    def test_the_configuration_is_read_packed_too(self, tmp_path: Path) -> None:
        packed = gzip.compress(b"# CONFIG_VFIO is not set\nCONFIG_INTEL_IOMMU=y\nCONFIG_FOO=m\n")
        platform = ready_host(files={"/proc/config.gz": packed}).read(tmp_path).platform
        assert platform.kernel_options == ("CONFIG_INTEL_IOMMU=y",)

    @pytest.mark.parametrize("packed", BROKEN_CONFIGS, ids=range(len(BROKEN_CONFIGS)))
    def test_a_damaged_configuration_claims_nothing(self, packed: bytes, tmp_path: Path) -> None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc" / "config.gz").write_bytes(packed)
        assert isinstance(read_kernel_options(Files(str(tmp_path)), "6.1"), Unknown)

    @pytest.mark.parametrize("text", ["", "\n", "# nothing\n"])
    def test_an_empty_configuration_does_not_leave_options_out(self, text: str, tmp_path: Path) -> None:
        tree = ready_host(files={CONFIG: text}, loaded=("kvm",), available=("kvm",))
        assert "VFIO_ABSENT" in told(tree.read(tmp_path))


class TestMachine:
    """Container, guest, dom0; lockdown and Secure Boot."""

    @pytest.mark.parametrize(
        ("files", "kind"),
        [
            ({"/run/systemd/container": "docker\n"}, "docker"),
            ({"/run/.containerenv": ""}, "podman"),
            ({"/.dockerenv": ""}, "docker"),
            ({"/proc/1/environ": "HOME=/\0container=lxc\0"}, "lxc"),
            ({"/proc/1/environ": "container=\0"}, None),
            ({"/proc/1/environ": "mycontainer=lxc\0"}, None),
            ({}, None),
        ],
    )
    def test_containers(self, files: dict[str, str], kind: str | None, tmp_path: Path) -> None:
        assert read_container(Files(str(ready_host(files=files).write(tmp_path)))) == kind

    @pytest.mark.parametrize(
        ("options", "read_only"), [(["ro,nosuid"], True), (["rw,nosuid"], False), (["rw,nosuid", "ro,nosuid"], True)]
    )
    def test_a_read_only_sysfs_is_a_sandbox(self, options: list[str], read_only: bool, tmp_path: Path) -> None:
        lines = [f"22 1 0:21 / /sys {each},relatime shared:7 - sysfs sysfs rw\n" for each in options]
        tree = ready_host(files={"/proc/self/mountinfo": "".join(lines)})
        assert read_sysfs_read_only(Files(str(tree.write(tmp_path)))) is read_only
        assert ("HOST_IS_CONTAINER" in told(tree.read(tmp_path / "again"))) is read_only

    @pytest.mark.parametrize(("domain", "code"), [("control_d\n", "XEN_DOM0"), ("\n", "HOST_IS_VM")])
    def test_xen(self, domain: str, code: str, tmp_path: Path) -> None:
        tree = ready_host(files={"/sys/hypervisor/type": "xen\n", "/proc/xen/capabilities": domain})
        assert code in told(tree.read(tmp_path))

    def test_a_guest_is_named_by_its_maker(self, tmp_path: Path) -> None:
        files = {
            "/proc/cpuinfo": CPUINFO.format(flags="vmx hypervisor", bits=40),
            "/sys/class/dmi/id/sys_vendor": "QEMU\n",
            "/sys/class/dmi/id/product_name": "Standard PC (Q35 + ICH9, 2009)\n",
        }
        assert "(QEMU Standard PC" in told(ready_host(files=files).read(tmp_path))["HOST_IS_VM"].sentence

    @pytest.mark.parametrize(
        ("text", "mode"),
        [
            ("[none] integrity confidentiality", "none"),
            ("none [integrity] confidentiality", "integrity"),
            ("none integrity", None),
            ("[a] [b]", None),
            ("", None),
        ],
    )
    def test_lockdown(self, text: str, mode: str | None, tmp_path: Path) -> None:
        tree = ready_host(files={"/sys/kernel/security/lockdown": text})
        read = read_lockdown(Files(str(tree.write(tmp_path))))
        assert read == mode if mode else isinstance(read, Unknown)

    @pytest.mark.parametrize(
        ("content", "on"),
        [(struct.pack("<IB", 6, 1), True), (struct.pack("<IB", 6, 0), False), (b"", None), (b"\1\1\1\1\1\1", None)],
    )
    def test_secure_boot(self, content: bytes, on: bool | None, tmp_path: Path) -> None:
        read = read_secure_boot(Files(str(ready_host(files={SECURE_BOOT: content}).write(tmp_path))))
        assert read is on if on is not None else isinstance(read, Unknown)

    def test_neither_stands_in_the_way(self, tmp_path: Path) -> None:
        files = {"/sys/kernel/security/lockdown": "none integrity [confidentiality]\n", SECURE_BOOT: b"\6\0\0\0\1"}
        found = told(ready_host(files=files).read(tmp_path))
        assert {"LOCKDOWN", "SECURE_BOOT"} <= set(found)
        assert not any(finding.severity.blocks for finding in found.values())


class TestFirmwareMenu:
    """The words of the board's vendor where they are known."""

    @pytest.mark.parametrize(
        ("board", "system", "maker"),
        [
            ("Dell Inc.", None, "Dell"),
            ("HPE", "HPE", "HPE"),
            ("HP", None, "HPE"),
            ("Supermicro", None, "Supermicro"),
            ("Super Micro Computer, Inc.", None, "Supermicro"),
            ("ASUSTeK COMPUTER INC.", None, "ASUS"),
            ("Intel Corporation", None, "Intel"),
            (None, "LENOVO", "Lenovo"),
            ("QEMU", "QEMU", None),
            ("", "", None),
            (Unknown("permission denied"), None, None),
        ],
    )
    def test_makers(self, board: str | Unknown | None, system: str | None, maker: str | None) -> None:
        assert maker_of(Dmi(board_vendor=board, sys_vendor=system)) == maker

    def test_a_known_board_has_its_own_words_and_an_unknown_one_general_ones(self, tmp_path: Path) -> None:
        tree = ready_host(nic(NIC, "eth1", group=None), tables=("FACP",), iommu_units=())
        general = told(tree.read(tmp_path / "a"))["IOMMU_TABLE_ABSENT"].mend
        dell = tree.but(files={"/sys/class/dmi/id/board_vendor": "Dell Inc.\n"}).read(tmp_path / "b")
        assert "VT-d" in general
        assert ">" not in general
        assert "Processor Settings > Virtualization Technology" in told(dell)["IOMMU_TABLE_ABSENT"].mend

    @given(values_of(Dmi))
    def test_no_name_is_too_strange(self, dmi: Dmi) -> None:
        assert describe_menu(Platform(dmi=dmi), "acs")


@given(values_of(Platform))
def test_every_platform_can_be_judged(platform: Platform) -> None:
    for functions in ((), IN_GROUP):
        for finding in check_platform(Host(pci=functions, platform=platform)):
            assert finding.sentence


@settings(max_examples=10)
@given(st.binary(max_size=200))
def test_no_file_of_the_platform_is_too_strange(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    root = tmp_path_factory.mktemp("odd")
    paths = ("/proc/cpuinfo", "/proc/cmdline", "/proc/self/mountinfo", "/proc/interrupts", CONFIG, SECURE_BOOT)
    tree = ready_host(files=dict.fromkeys((*paths, "/proc/1/environ", "/sys/kernel/security/lockdown"), content))
    list(check_platform(Host(pci=(), platform=read_platform(Files(str(tree.write(root)))))))
