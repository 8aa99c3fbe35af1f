# SPDX-License-Identifier: Apache-2.0
"""The doors that nicpass is given on a simulated host: files, processes, and the netlink socket for writing."""

from __future__ import annotations

import errno
import posixpath
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyroute2 import NetlinkError

from nicpass import __version__
from nicpass.engine.nic.interface import Interface
from nicpass.host.doors.files import Files
from nicpass.host.doors.processes import Completed, Processes
from nicpass.model.errors import StepError
from nicpass.model.network import IpAddress, Route
from tests.support.simulation.effects import Effect, Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicpass.model.fact import Fact
    from nicpass.model.network import Setting
    from tests.support.simulation.effects import Effects
    from tests.support.simulation.kernel import Kernel
    from tests.support.simulation.systemd import Systemd

_SCOPES = {0: "global", 200: "site", 253: "link", 254: "host"}
_PROTOCOLS = {1: "redirect", 2: "kernel", 3: "boot", 4: "static", 9: "ra", 16: "dhcp"}
_BY_ITSELF = ("/sys/", "/proc/")
_PROBING = ("drivers_probe", "bind")


class SimulatedFiles(Files):
    """The door to the tree's files; a write to an attribute of the kernel is answered by the simulated kernel."""

    def __init__(self, kernel: Kernel, effects: Effects) -> None:
        super().__init__(str(kernel.root))
        self.kernel, self.effects = kernel, effects

    def read_int(self, path: str) -> Fact[int]:
        if path.endswith("/sriov_numvfs"):
            self.kernel.finish_numvfs()
        return super().read_int(path)

    def write_atomic(self, path: str, content: bytes, mode: int = 0o600) -> None:
        def half() -> None:
            target = Path(self.root + path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.with_name(f".{target.name}.new").write_bytes(content)

        self._perform("write", path, lambda: super(SimulatedFiles, self).write_atomic(path, content, mode), half)

    def append_line(self, path: str, line: bytes) -> None:
        def half() -> None:
            target = Path(self.root + path)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("ab") as stream:
                stream.write(line[: len(line) // 2])

        # Every change has a journal of its own name: the subject is the folder, so that faults may last.
        subject = posixpath.dirname(path) if path.endswith(".jsonl") else path
        self._perform("append", subject, lambda: super(SimulatedFiles, self).append_line(path, line), half)

    def remove(self, path: str) -> None:
        self._perform("remove", path, lambda: super(SimulatedFiles, self).remove(path))

    def link_atomic(self, path: str, target: str) -> None:
        def half() -> None:
            place = Path(self.root + path)
            place.with_name(f".{place.name}.new").symlink_to(target)

        self._perform("link", path, lambda: super(SimulatedFiles, self).link_atomic(path, target), half)

    def make_folder(self, path: str, mode: int = 0o755) -> None:
        self._perform("folder", path, lambda: super(SimulatedFiles, self).make_folder(path, mode))

    def remove_folder(self, path: str) -> None:
        self._perform("remove folder", path, lambda: super(SimulatedFiles, self).remove_folder(path))

    def write_kernel(self, path: str, value: str) -> None:
        self._perform("kernel", path, lambda: self.kernel.write(path, value))

    def _perform(self, door: str, path: str, act: Callable[[], None], half: Callable[[], None] | None = None) -> None:
        effect = Effect(door, path, probes=posixpath.basename(path) in _PROBING)
        try:
            self.effects.perform(effect, act, half)
        except Failed as failed:
            raise OSError(failed.number or errno.EIO, failed.reason, path) from None


class SimulatedProcesses(Processes):
    """The few programs that nicpass calls; any other is not installed."""

    def __init__(self, kernel: Kernel, effects: Effects, systemd: Systemd) -> None:
        self.kernel, self.effects, self.systemd = kernel, effects, systemd

    def run(self, argv: list[str], *, timeout: float, stdin: str = "") -> Completed:
        assert timeout > 0
        act = self._program(argv, stdin)
        if act is None:
            return Completed(None, "", f"{argv[0]}: not installed")
        if argv[:2] == ["systemctl", "is-active"] or argv[2:3] == ["self-test"]:  # questions are no effects
            return act()
        half = None
        if argv[0] == "tee" and argv[1].endswith("/sriov_numvfs"):
            pf = posixpath.basename(posixpath.dirname(argv[1]))
            half = lambda: self.kernel.half_of_numvfs(pf, int(stdin))  # noqa: E731
        words = [word.removeprefix(str(self.kernel.root)) for word in argv]
        probes = posixpath.basename(words[-1]) in _PROBING or argv[0] == "modprobe"
        try:
            return self.effects.perform(Effect("process", " ".join(words), probes=probes), act, half)
        except Failed as failed:
            if failed.number is None:
                return Completed(None, "", f"{argv[0]}: no answer within {timeout:g} s")
            return Completed(1, "", f"{argv[0]}: {failed.reason}")

    def _program(self, argv: list[str], stdin: str) -> Callable[[], Completed] | None:
        match argv:
            case ["tee", path]:
                return lambda: self._tee(path.removeprefix(str(self.kernel.root)), stdin)
            case ["udevadm", "settle", *_]:
                return lambda: self._done(self.kernel.settle_udev)
            case ["udevadm", "control", "--reload"]:
                return lambda: Completed(0, "", "")
            case ["modprobe", *_, name]:
                return lambda: self._done(lambda: self.kernel.load_module(name))
            case [program, "-", "self-test", "-", "-"] if Path(program).exists():
                return lambda: Completed(0, f"nicpass {__version__}\n", "")
            case ["systemctl" | "systemd-run", *_]:
                return lambda: self.systemd.answer(argv)
            case _:
                return None

    def _tee(self, path: str, value: str) -> Completed:
        try:
            self.kernel.write(path, value)
        except OSError as error:
            return Completed(1, "", f"tee: {path}: {error.strerror}")
        return Completed(0, value, "")

    def _done(self, act: Callable[[], None]) -> Completed:
        act()
        return Completed(0, "", "")


class SimulatedInterface(Interface):
    """nicpass's own writer on a socket that the simulated kernel answers, in a process with `install_names`."""

    def __init__(self, name: str, kernel: Kernel, effects: Effects) -> None:
        super().__init__(name, SimulatedSocket(kernel, effects))
        self.kernel, self.effects = kernel, effects

    def set_driver(self, group: str, wanted: tuple[Setting, ...]) -> None:
        interfaces = self.kernel.interfaces
        try:
            self.effects.perform(
                Effect("ethtool", f"{group} {self.name}"), lambda: interfaces.set_driver(self._index(), group, wanted)
            )
        except Failed as failed:
            raise StepError(f"The kernel does not take {group} on {self.name}: {failed.reason}.") from None


def install_names(kernel: Kernel) -> None:
    """From here on an interface's index is the simulated kernel's; only for a process of its own."""

    def find(name: str) -> int:
        index = kernel.interfaces.index_of(name)
        if index is None:
            raise OSError(errno.ENODEV, "no interface with this name")
        return index

    setattr(socket, "if_nametoindex", find)  # noqa: B010


class SimulatedSocket:
    """pyroute2's IPRoute, as far as nicpass writes by it."""

    def __init__(self, kernel: Kernel, effects: Effects) -> None:
        self.kernel, self.effects = kernel, effects

    def close(self) -> None:
        pass

    def link(self, verb: str, *, index: int, **settings: Any) -> None:
        interfaces = self.kernel.interfaces
        if verb.startswith("property"):
            self._request(f"{verb} {settings}", lambda: interfaces.set_altnames(index, verb, settings["altname"]))
            return
        assert verb == "set", verb
        what = [f"vf {key}" for key in settings["vf"]] if "vf" in settings else sorted(settings)
        self._request(f"link {what}", lambda: interfaces.set_link(index, settings))

    def addr(self, verb: str, *, index: int, address: str, prefixlen: int, scope: int = 0, **more: Any) -> None:
        name = self.kernel.interfaces.name_of(index)
        made = IpAddress(
            netdev=name or "",
            address=more.get("local", address),
            peer=address if "local" in more else None,
            prefix_length=prefixlen,
            scope=_SCOPES[scope],
            broadcast=more.get("broadcast"),
            label=more.get("label"),
        )
        interfaces = self.kernel.interfaces
        if verb == "delete":
            self._request(f"address {made.text} goes", lambda: interfaces.remove_address(index, made.address))
            return
        assert verb == "replace", verb
        self._request(f"address {made.text}", lambda: interfaces.add_address(index, made))

    def route(self, verb: str, *, dst: str, family: int, oif: int, table: int, proto: int, **more: Any) -> None:
        assert verb in ("add", "replace")
        made = Route(
            netdev=self.kernel.interfaces.name_of(oif) or "",
            destination=dst,
            table=table,
            gateway=more.get("gateway"),
            protocol=_PROTOCOLS.get(proto) or str(proto),
            metric=more.get("priority"),
            scope=_SCOPES[more.get("scope", 0)],
            source=more.get("prefsrc"),
            family="inet6" if family == socket.AF_INET6 else "inet",
        )
        self._request(f"route {dst}", lambda: self.kernel.interfaces.add_route(made, replace=verb == "replace"))

    def _request(self, what: str, act: Callable[[], None]) -> None:
        try:
            self.effects.perform(Effect("netlink", what), act)
        except Failed as failed:
            raise NetlinkError(failed.number or errno.EIO, failed.reason) from None
        except OSError as error:
            raise NetlinkError(error.errno or errno.EIO, error.strerror) from None
