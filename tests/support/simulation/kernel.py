# SPDX-License-Identifier: Apache-2.0
"""The simulated kernel's PCI core: drivers bind and unbind, VFs come and go, by what is written to sysfs.

Source: Documentation/ABI/testing/sysfs-bus-pci, Documentation/PCI/pci-iov-howto.rst, drivers/base/bus.c.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import posixpath
import shutil
from typing import TYPE_CHECKING

import msgspec

from nicpass.model.network import VfSettings
from tests.support.simulation.hardware import CARDS, NUMBERS, PF, fresh_link, fresh_vf
from tests.support.simulation.interfaces import Interfaces, refuse
from tests.support.simulation.state import KernelState, Late
from tests.support.trees import Tree, TreeWriter, function_attributes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.simulation.clock import Clock
    from tests.support.simulation.effects import Effects
    from tests.support.trees import Function

LATE_BIND_SECONDS, NUMVFS_SECONDS = 5.0, 3.0
_PATHS = Tree(functions=tuple(CARDS.values())).paths()
_PCI = "sys/bus/pci"


class Kernel:
    """Acts on the tree below `base`/root; the rest of what it knows lies beside the tree."""

    def __init__(self, base: Path, clock: Clock, effects: Effects) -> None:
        self.root = base / "root"
        self.effects = effects
        self.state = KernelState(base, clock)
        self.interfaces = Interfaces(self.root, self.state)
        clock.on_tick = self.tick

    # What happens by itself.

    def tick(self) -> None:
        for late in self.state.take_due():
            self._happen(late)

    def settle_udev(self) -> None:
        """udevadm-settle(8): the events that are there are handled."""
        for late in self.state.take_due(everything=True, only="rename"):
            self._happen(late)

    def pass_time(self) -> None:
        """Let time pass until nothing is to come any more."""
        while due := self.state.take_due(everything=True):
            for late in due:
                self._happen(late)

    def _happen(self, late: Late) -> None:
        if late.kind == "bind":
            if not self._driver_of(late.subject):
                self._bind(late.subject, late.detail)
        elif late.kind == "rename":
            with contextlib.suppress(OSError):  # the name is taken: udev leaves it at the kernel's
                self.interfaces.rename(int(late.subject), late.detail)
        elif late.kind == "numvfs":
            self._remove_vfs(late.subject)
            self._make_vfs(late.subject, int(late.detail))
        elif late.kind == "carrier":
            self.interfaces.settle_carrier(int(late.subject))
        else:
            self.interfaces.settle_address(int(late.subject), late.detail)

    # What is written to the kernel's attributes.

    def write(self, path: str, value: str) -> None:
        """One write(2) to an attribute. Raises OSError with the kernel's answer."""
        value = value.strip()
        if not (self.root / path[1:]).exists():
            raise refuse(errno.ENOENT)
        folder, name = posixpath.split(path)
        if name == "drivers_probe":
            self._probe(value)
        elif name in ("bind", "unbind"):
            self._write_driver(folder, name, value)
        elif name == "driver_override":
            (self.root / path[1:]).write_text(f"{value or '(null)'}\n")
        elif name == "sriov_numvfs":
            self._set_numvfs(posixpath.basename(folder), int(value))
        else:
            (self.root / path[1:]).write_text(f"{value}\n")

    def _write_driver(self, folder: str, name: str, address: str) -> None:
        driver = (self.root / folder[1:]).resolve().name
        if address not in CARDS or not self._folder(address).exists():
            raise refuse(errno.ENODEV)
        if name == "unbind":
            if self._driver_of(address) != driver:
                raise refuse(errno.ENODEV)
            self.unbind(address)
        elif self._driver_of(address) or self._match(address) != driver:
            raise refuse(errno.ENODEV)
        else:
            self._attach(address)

    def load_module(self, name: str) -> None:
        """modprobe(8): the driver is there, and takes what no driver has."""
        folder = self.root / _PCI / "drivers" / name
        folder.mkdir(exist_ok=True)
        for attribute in ("bind", "unbind"):
            (folder / attribute).write_text("")
        for address in CARDS:
            if self._folder(address).exists() and not self._driver_of(address) and self._match(address) == name:
                self._attach(address)

    def _probe(self, address: str) -> None:
        if address not in CARDS or not self._folder(address).exists():
            raise refuse(errno.ENODEV)
        if not self._driver_of(address):
            self._attach(address)

    def _attach(self, address: str) -> None:
        """Bind a driver that matches, unless its probe fails: the write to sysfs is told nothing of that."""
        driver = self._match(address) if self._may_probe(address) else None
        fault = self.effects.probing
        if driver is None or (fault is not None and fault.kind == "probe fails"):
            return
        if fault is not None:
            self.state.later(LATE_BIND_SECONDS, "bind", address, driver)
        else:
            self._bind(address, driver)

    def _may_probe(self, address: str) -> bool:
        """pci_device_can_probe() in drivers/pci/pci-driver.c: an override wins over `sriov_drivers_autoprobe`."""
        pf = CARDS[address].pf
        overridden = (self._folder(address) / "driver_override").read_text().strip() != "(null)"
        autoprobe = self._folder(pf) / "sriov_drivers_autoprobe" if pf is not None else None
        return autoprobe is None or overridden or autoprobe.read_text().strip() != "0"

    def _match(self, address: str) -> str | None:
        override = (self._folder(address) / "driver_override").read_text().strip()
        wanted = CARDS[address].driver if override == "(null)" else override
        return wanted if wanted and (self.root / _PCI / "drivers" / wanted).is_dir() else None

    def _bind(self, address: str, driver: str) -> None:
        folder, card = self._folder(address), CARDS[address]
        home = f"/{_PCI}/drivers/{driver}"
        writer = TreeWriter(str(self.root))
        writer.link(f"{_PATHS[address]}/driver", home)
        writer.link(f"{home}/{address}", _PATHS[address])
        _write_driver_line(folder, driver)
        if driver == card.driver and card.netdevs:
            self._make_netdev(card)

    def _make_netdev(self, card: Function) -> None:
        link = fresh_link(card.address)
        if card.pf is not None:
            mac = self.vf_settings(card.address).mac
            link = msgspec.structs.replace(link, mac=mac if set(mac) - {"0", ":"} else link.mac)
        self.interfaces.make(link, _PATHS[card.address])

    def unbind(self, address: str) -> None:
        """The driver lets go, and its interface is gone with all that was on it; a PF's VFs go first."""
        folder, driver = self._folder(address), self._driver_of(address)
        if driver is None:
            return
        if CARDS[address].totalvfs and driver == CARDS[address].driver:
            self._remove_vfs(address)
        for name in self._netdevs(address):
            self.interfaces.drop(name)
        (folder / "driver").unlink()
        (self.root / _PCI / "drivers" / driver / address).unlink()
        _write_driver_line(folder, None)

    # SR-IOV.

    def _set_numvfs(self, pf: str, count: int) -> None:
        self.finish_numvfs()
        card, present = CARDS[pf], self.vfs_of(pf)
        if not 0 <= count <= (card.totalvfs or 0):
            raise refuse(errno.ERANGE)
        if self._driver_of(pf) != card.driver:
            raise refuse(errno.ENOENT)
        if count == len(present):
            return
        if count and present:
            raise refuse(errno.EBUSY)
        self._remove_vfs(pf)
        self._make_vfs(pf, count)

    def half_of_numvfs(self, pf: str, count: int) -> None:
        """The writer has died in the middle of its write(2): the kernel goes on, as nothing can stop it there."""
        if count and not self.vfs_of(pf):
            self._make_vfs(pf, count // 2, shown=0)
        elif not count:
            self._remove_vfs(pf, keep=len(self.vfs_of(pf)) // 2)
        else:
            return
        self.state.later(NUMVFS_SECONDS, "numvfs", pf, str(count))

    def finish_numvfs(self) -> None:
        """Finish a write of sriov_numvfs: readers and writers wait for the device's lock, so for an earlier writer."""
        for late in self.state.take_due(everything=True, only="numvfs"):
            self._happen(late)

    def _make_vfs(self, pf: str, count: int, *, shown: int | None = None) -> None:
        writer = TreeWriter(str(self.root))
        vfs = CARDS[pf].vfs[:count]
        for index, address in enumerate(vfs):
            card = dataclasses.replace(CARDS[address], driver=None)
            writer.write_function(Tree(), card, _PATHS, NUMBERS[address])
            writer.link(f"{_PATHS[pf]}/virtfn{index}", _PATHS[address])
        self._show_vfs(pf, len(vfs) if shown is None else shown, tuple(fresh_vf(index) for index in range(len(vfs))))
        for address in vfs:
            self._attach(address)

    def _remove_vfs(self, pf: str, keep: int = 0) -> None:
        present = self.vfs_of(pf)
        for index, address in reversed(list(enumerate(present))[keep:]):
            self.unbind(address)
            (self._folder(pf) / f"virtfn{index}").unlink()
            (self.root / _PCI / "devices" / address).unlink()
            group = self.root / f"sys/kernel/iommu_groups/{CARDS[address].group}"
            shutil.rmtree(group)
            shutil.rmtree(self._folder(address))
        settings = self.pf_settings(pf)[:keep]
        self._show_vfs(pf, len(present) if keep else 0, settings)

    def _show_vfs(self, pf: str, count: int, settings: tuple[VfSettings, ...]) -> None:
        card = dataclasses.replace(CARDS[pf], vfs=CARDS[pf].vfs[:count])
        attributes = function_attributes(card, NUMBERS[pf], 0)
        for name in ("sriov_numvfs", "config"):
            TreeWriter(str(self.root)).file(f"{_PATHS[pf]}/{name}", attributes[name])
        for name in self._netdevs(pf):
            self.interfaces.change(
                self.interfaces.index_of(name) or 0, lambda link: msgspec.structs.replace(link, vfs=settings)
            )

    def pf_settings(self, pf: str) -> tuple[VfSettings, ...]:
        links = [self.interfaces.find(name) for name in self._netdevs(pf)]
        return next((link.vfs for link in links if link is not None), ())

    def vf_settings(self, address: str) -> VfSettings:
        """The settings that its PF enforces on a VF."""
        pf = CARDS[address].pf or PF
        index = CARDS[pf].vfs.index(address)
        return next((vf for vf in self.pf_settings(pf) if vf.vf_index == index), fresh_vf(index))

    def set_vf(self, address: str, **changes: object) -> None:
        """IFLA_VF_MAC, IFLA_VF_VLAN ... through the PF."""
        pf = CARDS[address].pf
        assert pf is not None
        for name in self._netdevs(pf):
            index = self.interfaces.index_of(name) or 0
            self.interfaces.set_vf(index, vf=CARDS[pf].vfs.index(address), **changes)

    # What there is.

    def driver_of(self, address: str) -> str | None:
        return self._driver_of(address)

    def vfs_of(self, pf: str) -> tuple[str, ...]:
        """The VFs that are there, whatever sriov_numvfs says."""
        return tuple(vf for vf in CARDS[pf].vfs if (self.root / _PCI / "devices" / vf).exists())

    def _folder(self, address: str) -> Path:
        return self.root / _PATHS[address][1:]

    def _driver_of(self, address: str) -> str | None:
        link = self._folder(address) / "driver"
        return link.readlink().name if link.is_symlink() else None

    def _netdevs(self, address: str) -> list[str]:
        folder = self._folder(address) / "net"
        return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _write_driver_line(folder: Path, driver: str | None) -> None:
    uevent = folder / "uevent"
    lines = [line for line in uevent.read_text().splitlines() if not line.startswith("DRIVER=")]
    uevent.write_text("\n".join([*([f"DRIVER={driver}"] if driver else []), *lines]) + "\n")
