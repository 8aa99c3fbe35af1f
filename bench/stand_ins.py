# SPDX-License-Identifier: Apache-2.0
"""`nicpass attach` on a tree, with stand-ins for libvirt and the kernel that tell how long they were at work.

The module runs in a process of its own. Beside what every interpreter has loaded it imports only nicpass: any other
module that it loaded, nicpass would find loaded, and the time of that loading would not be seen.
"""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable


class Meter:
    """Counts the seconds that passed in the hands of libvirt and the kernel."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def counting(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            begin = time.perf_counter()
            try:
                return work(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - begin

        return counted


def main() -> NoReturn:
    """`TREE VM UUID NIC ADDRESS REPORT`: attach, start, and write to REPORT the seconds that were not nicpass's own."""
    tree, vm, uuid, nic, address, report = sys.argv[1:]
    begin = time.perf_counter()
    meter = Meter()
    sys.modules["libvirt"] = _make_libvirt(_Domain(tree, vm, uuid, address), meter)
    setattr(os, "geteuid", lambda: 0)  # noqa: B010  only root may change a host, and this one is a folder
    meter.seconds += time.perf_counter() - begin
    from nicpass.cli.main import main as nicpass

    import_module("msgspec")  # now, as nicpass would: else the time of its loading counts as that of the stand-ins
    _stand_in_for_the_machine(tree, meter)
    leave = os._exit

    def tell_and_leave(exit_code: int) -> NoReturn:
        with open(report, "w") as stream:
            stream.write(str(meter.seconds))
        leave(exit_code)

    setattr(os, "_exit", tell_and_leave)  # noqa: B010
    sys.argv[1:] = ["attach", vm, nic, "--start"]
    nicpass()
    raise AssertionError("nicpass returned")


def _stand_in_for_the_machine(tree: str, meter: Meter) -> None:
    """Let nicpass take the tree for this machine, and count the time of writes to the kernel and of programs."""
    from nicpass.host.doors.files import Files
    from nicpass.host.doors.processes import Completed, Processes

    initialize = Files.__init__
    changes: dict[str, object] = {
        "__init__": lambda files, root="/": initialize(files, tree if root == "/" else root),
        "write_kernel": meter.counting(Files.write_kernel),
        # nicpass checks that no link leads out of the root only on a tree, not on a machine.
        "_locate": lambda files, path, **_: files.root + path,
    }
    for name, change in changes.items():
        setattr(Files, name, change)
    answer = Completed(None, "", "not here")
    setattr(Processes, "run", meter.counting(lambda *_, **__: answer))  # noqa: B010


class _Domain:
    """virDomain of the one VM: its definition is a file, and its start moves the links of the NIC."""

    def __init__(self, tree: str, vm: str, uuid: str, address: str) -> None:
        self.definition = f"{tree}/etc/libvirt/qemu/{vm}.xml"
        self.address, self.function = address, os.path.realpath(f"{tree}/sys/bus/pci/devices/{address}")
        self.started = f"{tree}/run/nicpass/started/{uuid}"
        self.active = False

    def XMLDesc(self, _flags: int = 0) -> str:  # noqa: N802
        with open(self.definition) as stream:
            return stream.read()

    def isActive(self) -> int:  # noqa: N802
        return int(self.active)

    def attachDeviceFlags(self, xml: str, _flags: int) -> int:  # noqa: N802
        changed = self.XMLDesc().replace("  </devices>", f"{xml}\n  </devices>")
        with open(self.definition, "w") as stream:
            stream.write(changed)
        return 0

    def create(self) -> int:
        """Start the VM: libvirt asks the guard, and takes the NIC from its driver; with that its interface goes."""
        os.makedirs(os.path.dirname(self.started), exist_ok=True)
        with open(self.started, "w") as stream:
            stream.write(f"{time.time()}\n{self.address}\n")
        os.unlink(f"{self.function}/driver")
        os.symlink("../../../../bus/pci/drivers/vfio-pci", f"{self.function}/driver")
        with open(f"{self.function}/uevent") as stream:
            lines = [line for line in stream if not line.startswith("DRIVER=")]
        with open(f"{self.function}/uevent", "w") as stream:
            stream.write("".join(["DRIVER=vfio-pci\n", *lines]))
        os.rename(f"{self.function}/net", f"{self.function}/gone")
        self.active = True
        return 0


def _make_libvirt(domain: _Domain, meter: Meter) -> Any:
    """A stand-in for libvirt's Python binding, with all that an attach calls."""
    for name in ("XMLDesc", "isActive", "attachDeviceFlags", "create"):
        setattr(domain, name, meter.counting(getattr(domain, name)))
    connection = type("Connection", (), {"lookupByUUIDString": lambda _, __: domain, "close": lambda _: 0})()
    module = type(sys)("libvirt")
    module.__dict__.update(
        open=lambda _uri: connection,
        libvirtError=type("libvirtError", (Exception,), {}),
        registerErrorHandler=lambda _handler, _context: None,
        VIR_DOMAIN_AFFECT_CONFIG=2,
        VIR_DOMAIN_XML_INACTIVE=2,
    )
    return module
