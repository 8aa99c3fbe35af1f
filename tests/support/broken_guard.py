# SPDX-License-Identifier: Apache-2.0
"""A tree in which the guard's script finds no nicpass that runs: what it decides then, it sees in these files."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from nicpass.host.system.given import EVENTS, EVENTS_OF_BOOT
from nicpass.hypervisor.libvirt.guard_files import hook_script
from tests.support.trees import Vm, domain_xml, hostdev_xml

if TYPE_CHECKING:
    from pathlib import Path

NIC = "0000:01:00.0"
VM = Vm(name="web01", devices=hostdev_xml(NIC))
ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
ROUTES_6 = (
    "{destination} {length} 00000000000000000000000000000000 00 {zero} 00000400 00000001 00000000 00000001 {dev}\n"
)
SESSIONS = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ZERO = "0" * 32


class BrokenHost:
    """The script with its root; `python` is what it calls."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.nics = root / "var/lib/nicpass/nics"
        self.nics.mkdir(parents=True)
        self.package = root / "v/lib/python3.11/site-packages/nicpass"
        (self.package / "cli").mkdir(parents=True)
        (self.package / "cli/hook.py").touch()
        self.python = root / "v/bin/python"
        self.python.parent.mkdir()
        self.answer(1)
        self.hook = root / "hook"
        self.hook.write_text(hook_script(str(self.python), str(self.package), str(self.nics), str(root)))
        self.log = root / "log"
        self.tools = root / "tools"
        self.tools.mkdir()
        self.put("tools/logger", f'#!/bin/sh\necho "$*" >>{self.log}\n', 0o755)
        self.keep(NIC)
        self.netdev("eth1", NIC)

    def answer(self, code: int) -> None:
        """The Python there is one that ends so."""
        self.python.write_text(f'#!/bin/sh\ncat >/dev/null; echo "No module named nicpass" >&2; exit {code}\n')
        self.python.chmod(0o755)

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def keep(self, address: str, uuid: str = VM.uuid) -> None:
        (self.nics / f"{address}.json").write_text(f'{{"owner":{{"uuid":"{uuid}"}}}}')

    def netdev(self, name: str, address: str | None = None, *above: str) -> None:
        """An interface, of a PCI device or of none, with others above it."""
        folder = self.root / f"sys/class/net/{name}"
        folder.mkdir(parents=True, exist_ok=True)
        if address is not None:
            (self.root / f"sys/bus/pci/devices/{address}/net/{name}").mkdir(parents=True)
            (folder / "device").symlink_to(f"../../../bus/pci/devices/{address}")
        for upper in above:
            (folder / f"upper_{upper}").symlink_to(f"../{upper}")
            (self.root / f"sys/class/net/{upper}").mkdir(exist_ok=True)
            (self.root / f"sys/class/net/{upper}/lower_{name}").symlink_to(f"../{name}")

    def set_up(self, lines: tuple[str, ...]) -> None:
        """What the host has, a line each: `above LOWER UPPER`, `route NETDEV DESTINATION MASK`, ..."""
        for line in lines:
            verb, *words = line.split()
            (getattr(self, f"_{verb}", None) or getattr(self, verb))(*words)

    def _above(self, lower: str, upper: str) -> None:
        self.netdev(lower, None, upper)

    def _virtio(self, name: str) -> None:
        self._gone(name)
        (self.root / f"sys/bus/pci/devices/{NIC}/virtio0/net/{name}").mkdir(parents=True)

    def _gone(self, name: str) -> None:
        (self.root / f"sys/bus/pci/devices/{NIC}/net/{name}").rmdir()

    def _port(self, number: str) -> None:
        self.put("etc/ssh/sshd_config.d/port.conf", f"# Port 99\nport {number}\n")

    def _local6(self, name: str) -> None:
        self.put("proc/net/if_inet6", f"20010db8000000000000000000000005 02 40 00 80     {name}\n")

    def _session(self, local: str, remote: str, file: str = "tcp", state: str = "01", port: str = "22") -> None:
        line = f"   0: {local}:{int(port):04X} {remote}:C350 {state} 00000000:00000000 00:00000000 00000000     0\n"
        self._append(f"proc/net/{file}", SESSIONS, line)

    def route(self, netdev: str, destination: str = "00000000", mask: str = "00000000") -> None:
        """One of IPv4's main table, in the kernel's hexadecimal."""
        line = f"{netdev}\t{destination}\t0202000A\t0003\t0\t0\t0\t{mask}\t0\t0\t0\n"
        self._append("proc/net/route", ROUTES, line)

    def route6(self, netdev: str, destination: str = ZERO, length: str = "00") -> None:
        line = ROUTES_6.format(destination=destination, length=length, zero=ZERO, dev=netdev)
        self._append("proc/net/ipv6_route", "", line)

    def _append(self, path: str, head: str, line: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text((target.read_text() if target.exists() else head) + line)

    def call(self, operation: str = "prepare", vm: Vm = VM, name: str = "") -> subprocess.CompletedProcess[str]:
        argv = [
            "/bin/sh",
            str(self.hook),
            name or vm.name,
            operation,
            "begin" if operation == "prepare" else "end",
            "-",
        ]
        path = f"{self.tools}:/usr/sbin:/usr/bin:/sbin:/bin"
        return subprocess.run(
            argv, input=domain_xml(vm), capture_output=True, text=True, check=False, env={"PATH": path}
        )

    def events(self, folder: str = EVENTS) -> dict[str, list[str]]:
        """File name to its lines, without the time."""
        place = self.root / folder[1:]
        return {p.name: p.read_text().splitlines()[1:] for p in sorted(place.iterdir())} if place.is_dir() else {}

    def events_of_boot(self) -> dict[str, list[str]]:
        return self.events(EVENTS_OF_BOOT)
