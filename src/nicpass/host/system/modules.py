# SPDX-License-Identifier: Apache-2.0
"""Reads which of the kernel's modules are there, and how the kernel was built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.fact import Fact, Unknown, known
from nicpass.model.platform import Module, ModuleState

if TYPE_CHECKING:
    from nicpass.host.doors.files import Files

MODULES = ("vfio", "vfio_pci", "vfio_iommu_type1", "kvm", "kvm_intel", "kvm_amd")

OPTIONS = frozenset(
    f"CONFIG_{name}"
    for name in (
        "IOMMU_SUPPORT",
        "IOMMU_DEFAULT_PASSTHROUGH",
        "INTEL_IOMMU",
        "INTEL_IOMMU_DEFAULT_ON",
        "AMD_IOMMU",
        "ARM_SMMU",
        "ARM_SMMU_V3",
        "VIRTIO_IOMMU",
        "IRQ_REMAP",
        "VFIO",
        "VFIO_PCI",
        "VFIO_NOIOMMU",
        "KVM",
    )
)
"""Build options that decide what passthrough can do (Kconfig of drivers/iommu, drivers/vfio, arch/x86/kvm)."""

_LARGEST_CONFIG = 4 << 20  # a distribution's is 280 KiB; what unpacks to more is no kernel's configuration


def read_modules(files: Files, kernel: Fact[str]) -> Fact[tuple[Module, ...]]:
    """The state of each of `MODULES`, from /sys/module and the listings of the running kernel."""
    in_use = files.list_directory("/sys/module")
    builtin = _read_listing(files, kernel, "modules.builtin")
    loadable = _read_listing(files, kernel, "modules.dep")
    unseen = in_use if isinstance(in_use, Unknown) else Unknown("not captured: /sys/module")
    if in_use is None and builtin is None and loadable is None:
        return unseen
    found = []
    for name in MODULES:
        if builtin is not None and name in builtin:
            state: ModuleState | Unknown = "builtin"
        elif not isinstance(in_use, tuple):
            state = unseen
        else:
            state = "loaded" if name in in_use else _find_module(name, loadable)
        found.append(Module(name=name, state=state))
    return tuple(found)


def _find_module(name: str, loadable: frozenset[str] | None) -> ModuleState | Unknown:
    """The state of a module not in use: could it be loaded? `loadable` is None where the listing could not be read."""
    if loadable is not None:
        return "loadable" if name in loadable else "absent"
    return Unknown("cannot be read: modules.dep of the running kernel")


def _read_listing(files: Files, kernel: Fact[str], name: str) -> frozenset[str] | None:
    if not isinstance(kernel, str):
        return None
    text = files.read_text(f"/lib/modules/{kernel}/{name}")
    if not isinstance(text, str):
        return None
    paths = (line.split(":", 1)[0] for line in text.splitlines())
    return frozenset(path.rsplit("/", 1)[-1].split(".ko", 1)[0].replace("-", "_") for path in paths)


def read_kernel_options(files: Files, kernel: Fact[str]) -> Fact[tuple[str, ...]]:
    """The lines of the running kernel's configuration that set one of `OPTIONS`."""
    text = _read_config(files, kernel)
    if not isinstance(text, str):
        return text
    if "CONFIG_" not in text:  # or all options would seem to be unset
        return Unknown("the kernel's configuration sets and leaves out nothing")
    return tuple(line for line in text.splitlines() if line.partition("=")[0] in OPTIONS)


def _read_config(files: Files, kernel: Fact[str]) -> str | Unknown:
    places = (f"/boot/config-{kernel}", f"/lib/modules/{kernel}/config", f"/lib/modules/{kernel}/build/.config")
    for place in places if isinstance(kernel, str) else ():
        text = files.read_text(place)
        if isinstance(text, str):
            return text
    packed = files.read_bytes("/proc/config.gz")
    if isinstance(packed, bytes):
        return _unpack(packed)
    return Unknown(f"the kernel's configuration is neither in /boot/config-{kernel} nor in /proc/config.gz")


def _unpack(packed: bytes) -> str | Unknown:
    """A gzip file's whole content. One that was cut short would seem to leave options out."""
    import zlib  # late: where the configuration is a file in /boot, nothing is to be unpacked

    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        content = unpacking.decompress(packed, _LARGEST_CONFIG)
    except zlib.error as error:
        return Unknown(f"damaged: /proc/config.gz: {error}")
    if not unpacking.eof:
        return Unknown("cut short, or too large: /proc/config.gz")
    return content.decode("utf-8", "backslashreplace")


def read_parameter(files: Files, module: str, parameter: str) -> Fact[bool]:
    """A module's switch, which the kernel writes as Y or N; None where it has no such parameter."""
    path = f"/sys/module/{module}/parameters/{parameter}"
    text = files.read_attribute(path)
    if not known(text) or text in ("Y", "N"):
        return text == "Y" if isinstance(text, str) else text
    return Unknown(f"neither Y nor N: {path}")
