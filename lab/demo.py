# SPDX-License-Identifier: Apache-2.0
"""`make demo`: a NIC goes into a VM and comes back, on an emulated host, and each step is seen to be done.

nicpass is used as a user would use it. What is observed comes from the host's sysfs, read without nicpass, and from
the guest's own console. With `--sabotage` one step is broken on purpose, to see that the demo then fails.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

from lab.agent import Result
from lab.cache import Cache
from lab.errors import LabError
from lab.image import get_image
from lab.machine import Machine
from lab.prepare import install_wheel
from lab.shape import IGB0, IGB1, INTEL, SHAPES
from lab.signals import end_in_order
from lab.stages import cold_host, fresh_host
from lab.state import HostState, render_difference, state_difference
from lab.story import Story, require
from lab.wheel import build_wheel

GATEWAY, GUEST_ADDRESS = "10.0.2.2", "10.0.2.77/24"
# Documentation addresses (RFC 5737): an administrator's settings that must come back.
ADDRESS, ROUTE, NEXT_HOP, MTU = "192.0.2.5/24", "198.51.100.0/24", "192.0.2.1", "1400"
SABOTAGES = ("bind", "driver", "give-back")


@dataclass(frozen=True)
class Options:
    """The options of the demo: the kind of host, whether it is resumed, and the step to break."""

    shape: str = INTEL.name
    resume: bool = False
    sabotage: str | None = None


class Demo:
    """One run of the demo: the host, the story, and the host's state before its NICs left."""

    def __init__(self, story: Story, machine: Machine, sabotage: str | None) -> None:
        self.story = story
        self.machine = machine
        self.sabotage = sabotage
        self.before: HostState | None = None
        self.last: HostState | None = None  # the state that was read last, until something acts: reading takes seconds
        # Addresses differ from shape to shape; MACs are given.
        self.nic = self.find_nic(IGB0)
        self.second = self.find_nic(IGB1)

    def find_nic(self, mac: str) -> str:
        """The address of the function whose interface has this MAC."""
        folder = self.ask(f"dirname $(grep -l {mac} /sys/bus/pci/devices/*/net/*/address)")
        return folder.split("/")[5]

    def nicpass(self, *arguments: str, timeout: float = 180) -> Result:
        """Run nicpass on the host as a user would, and show what it says."""
        self.story.say(f"root@lab:~# nicpass {' '.join(arguments)}")
        columns = f"COLUMNS={max(shutil.get_terminal_size((160, 24)).columns - 4, 100)}"
        path = "PATH=/root/.local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        result = self.machine.execute(["env", path, columns, "nicpass", *arguments], timeout)
        self.story.quote(result.stdout + result.stderr)
        return result

    def read(self) -> HostState:
        """The whole state of the host, read without nicpass."""
        self.last = self.machine.read_state()
        return self.last

    def succeed(self, *arguments: str) -> Result:
        """Run nicpass, which must exit with 0; its result."""
        self.last = None
        result = self.nicpass(*arguments)
        require(
            result.exit_code == 0, f"nicpass {arguments[0]} exited with {result.exit_code}: {result.stderr.strip()}"
        )
        return result

    def refuse(self, reason: str, *arguments: str) -> str:
        """Run nicpass, which must refuse with exit code 4 and this reason, and change nothing."""
        before = self.last or self.read()
        result = self.nicpass(*arguments)
        sentence = result.stderr.splitlines()[0] if result.stderr else "nothing was said"
        require(result.exit_code == 4, f"exit code {result.exit_code}: {sentence}")
        require(re.search(reason, result.stderr), f"refused, but not for this reason: {sentence}")
        changed = state_difference(before, self.read())
        require(not changed, f"refused, but the host changed: {render_difference(changed)}")
        return f"exit 4, host unchanged: {sentence.removeprefix('nicpass: ')}"

    def ask(self, command: str) -> str:
        """The standard output of a command on the host, stripped; a command that fails is no error."""
        return self.machine.execute(command).stdout.strip()

    def driver(self, address: str) -> str:
        """The driver of a function, by the host's own sysfs."""
        return self.ask(f"basename $(readlink /sys/bus/pci/devices/{address}/driver)")

    def netdevs(self, address: str) -> str:
        return self.ask(f"ls /sys/bus/pci/devices/{address}/net")

    def changes(self) -> str:
        """The differences of the host from before, as text, without nicpass's journal, which is meant to stay."""
        assert self.before is not None
        found = state_difference(self.before, self.read())
        return render_difference([d for d in found if not d.path[-1].startswith("/var/lib/nicpass/journal/")])


def tell_host(demo: Demo) -> None:
    """The host comes up, and gets nicpass and an administrator's settings."""
    demo.story.step("set the NIC up", f"MTU {MTU}, address, route, link up", lambda: _set_up(demo))
    demo.story.step("nicpass list", "every NIC of sysfs", lambda: _see_list(demo))
    demo.story.step("nicpass check", f"{demo.second} is ready", lambda: _see_check(demo))


def _see_host(machine: Machine) -> str:
    kernel = machine.succeed("uname -r").strip()
    groups = machine.succeed("ls /sys/kernel/iommu_groups | wc -l").strip()
    version = machine.succeed("virsh version --daemon | sed -n 's/Running against daemon: //p'").strip()
    machine.succeed("test -c /dev/kvm")
    return require(int(groups) > 0, f"Linux {kernel}, {groups} IOMMU groups, /dev/kvm, libvirt {version}")


def _set_up(demo: Demo) -> str:
    name = demo.netdevs(demo.nic)
    machine = demo.machine
    machine.succeed(f"ip link set {name} mtu {MTU} up && ip link set {demo.netdevs(demo.second)} up")
    machine.succeed(f"ip address add {ADDRESS} dev {name} && ip route add {ROUTE} via {NEXT_HOP}")
    for netdev in (name, demo.netdevs(demo.second)):
        machine.wait_for_link(netdev)
    demo.before = demo.read()
    return " ".join(machine.succeed(f"ip -brief address show dev {name}; ip route show dev {name} proto boot").split())


def _see_list(demo: Demo) -> str:
    result = demo.nicpass("list")
    present = demo.machine.succeed("cd /sys/bus/pci/devices; grep -l ^0x02 */class | cut -d/ -f1").split()
    missing = [address for address in present if address not in result.stdout]
    return require(not missing, f"{len(present) - len(missing)} of {len(present)} NICs listed")


def _see_check(demo: Demo) -> str:
    result = demo.nicpass("check", demo.second)
    return require(result.exit_code == 0 and "ready" in result.stdout, f"exit {result.exit_code}")


def tell_whole_nic(demo: Demo) -> None:
    """A whole NIC goes and comes back."""
    step = demo.story.step
    name, mac = demo.netdevs(demo.nic), demo.ask(f"cat /sys/bus/pci/devices/{demo.nic}/net/*/address")
    allowed = ("--allow", "HAS_ADDRESS", "--allow", "CARRIES_ROUTE")
    step(
        "attach without an override",
        "refused: it carries an address",
        lambda: demo.refuse("HAS_ADDRESS|address", "attach", "web01", name, "--start"),
    )
    step("attach the whole NIC", "done and VM started", lambda: _attach(demo, "web01", name, "--start", *allowed))
    step("the host without it", "no netdev, on vfio-pci", lambda: _see_given(demo, demo.nic))
    step("the guest with it", f"igb, carrier, MAC {mac}", lambda: _see_guest(demo, "igb", mac))
    step("the guest's pings", "5 of 5", lambda: _see_pings(demo))
    step("a second VM asks", "refused: web01's", lambda: demo.refuse("web01", "attach", "db01", demo.nic, "--start"))
    management = demo.ask("ip route show default | grep -o 'dev [^ ]*' | cut -d' ' -f2")
    step(
        "the default route's NIC",
        "refused, with the chain",
        lambda: demo.refuse(f"{management} → .* → default via", "attach", "db01", management, "--start"),
    )
    step("shut the VM down", "off", lambda: _shut_down(demo))
    step("detach the whole NIC", "all as before", lambda: _detach(demo, name))
    step("the host again", "equal to before, whole host compared", lambda: _see_as_before(demo))


def tell_vf(demo: Demo) -> None:
    """A VF is made, goes, comes back, and is removed."""
    step = demo.story.step
    step("make VFs", "2 VFs in groups of their own", lambda: _make_vfs(demo))
    vf = demo.ask(f"basename $(readlink /sys/bus/pci/devices/{demo.second}/virtfn0)")
    step("attach a VF", "done and VM started", lambda: _attach(demo, "web01", vf, "--start"))
    step("the host without it", "no netdev, on vfio-pci, PF stays", lambda: _see_given(demo, vf, stays=demo.second))
    step("the guest with it", "igbvf, carrier, the VF's MAC", lambda: _see_guest(demo, "igbvf", _domain_mac(demo)))
    step("the guest's pings", "5 of 5", lambda: _see_pings(demo))
    step("remove VFs in use", "refused", lambda: demo.refuse("web01", "vf", "remove", demo.second))
    step("shut the VM down", "off", lambda: _shut_down(demo))
    step("detach the VF", "all as before", lambda: _detach(demo, vf))
    step("remove the VFs", "none left", lambda: _remove_vfs(demo))
    step("the host again", "equal to before, whole host compared", lambda: _see_as_before(demo))


def _attach(demo: Demo, *arguments: str) -> str:
    if demo.sabotage == "bind":
        demo.machine.succeed(
            "echo 'install vfio-pci /bin/false' >/etc/modprobe.d/sabotage.conf; modprobe -r vfio-pci || true"
        )
    if demo.sabotage == "driver":
        demo.machine.succeed(
            "virsh dumpxml web01 | sed 's/panic=-1/panic=-1 nodrivers/' >/run/web01.xml && virsh define /run/web01.xml"
        )
    demo.succeed("attach", *arguments)
    return require("running" in demo.machine.succeed("virsh domstate web01"), "web01 runs")


def _see_given(demo: Demo, address: str, stays: str | None = None) -> str:
    driver, netdevs = demo.driver(address), demo.netdevs(address)
    text = f"driver {driver}, netdev {netdevs or 'gone'}"
    if stays is not None:
        text += f", PF still {demo.netdevs(stays)}"
    return require(driver == "vfio-pci" and not netdevs and (stays is None or demo.netdevs(stays)), text)


def _guest_netdev(demo: Demo) -> str:
    guest = demo.machine.guest("web01")
    found = guest.execute("ls -d /sys/class/net/*/device | cut -d/ -f5").stdout.strip()
    return found.splitlines()[0] if found else require(found, "the guest has no interface: no driver drives its NIC")


def _see_guest(demo: Demo, driver: str, mac: str) -> str:
    guest = demo.machine.guest("web01")
    guest.wait_ready(150)
    name = _guest_netdev(demo)
    guest.succeed(f"ip link set {name} up")
    guest.wait_until_succeeds(f"grep -q 1 /sys/class/net/{name}/carrier")
    found = guest.succeed(f"cd /sys/class/net/{name}; basename $(readlink device/driver); cat carrier address").split()
    return require(found == [driver, "1", mac], f"{name}: driver {found[0]}, carrier {found[1]}, MAC {found[2]}")


def _see_pings(demo: Demo) -> str:
    guest, name = demo.machine.guest("web01"), _guest_netdev(demo)
    guest.succeed(f"ip address replace {GUEST_ADDRESS} dev {name}")
    output = guest.execute(f"ping -c 5 -W 5 -I {name} {GATEWAY}").stdout
    line = next((line for line in output.splitlines() if "received" in line), "no answer at all")
    return require(re.search(r"\b5 packets received", line), line)


def _shut_down(demo: Demo) -> str:
    demo.last = None
    demo.machine.succeed("virsh shutdown web01")
    demo.machine.wait_until_succeeds("virsh domstate web01 | grep -q 'shut off'", 90)
    if demo.sabotage == "give-back":
        demo.machine.succeed("echo 'install igb /bin/false' >/etc/modprobe.d/sabotage.conf; modprobe -r igb")
    return "web01 is shut off"


def _detach(demo: Demo, nic: str) -> str:
    result = demo.succeed("detach", "web01", nic)
    fields = [line for line in result.stdout.splitlines() if line.endswith("equal")]
    return require(fields and "DIFFERENT" not in result.stdout, f"{len(fields)} fields compared, all equal")


def _see_as_before(demo: Demo) -> str:
    changes = demo.changes()
    return require(not changes, changes or "no difference")


def _make_vfs(demo: Demo) -> str:
    demo.before = demo.last or demo.read()
    demo.succeed("vf", "create", demo.second, "--count", "2")
    links = demo.machine.succeed(f"cd /sys/bus/pci/devices/{demo.second}; readlink virtfn*/iommu_group virtfn*").split()
    return require(len(links) == len(set(links)) == 4, f"VFs {', '.join(Path(link).name for link in links[2:])}")


def _domain_mac(demo: Demo) -> str:
    xml = demo.machine.succeed("virsh dumpxml web01 --inactive")
    found = re.search(r"<mac address='([0-9a-f:]+)'", xml)
    return found[1] if found else "none"


def _remove_vfs(demo: Demo) -> str:
    demo.succeed("vf", "remove", demo.second)
    return require(
        demo.machine.succeed(f"cat /sys/bus/pci/devices/{demo.second}/sriov_numvfs").strip() == "0", "sriov_numvfs is 0"
    )


def run_demo(options: Options) -> bool:
    """Run the whole demo; True when every step was observed."""
    story = Story()
    cache = Cache()
    story.say("preparing the emulated host's disk (the first time it is built from Debian 13's packages) …")
    get_image(cache)
    machines: list[Machine] = []
    with ExitStack() as stack:

        def boot() -> str:
            machines.append(stack.enter_context(_open_host(cache, options)))
            return _see_host(machines[0])

        story.step("resume the host" if options.resume else "boot the host", "IOMMU groups, KVM, libvirt", boot)
        if machines:
            story.step("install nicpass", "pipx installs the wheel, offline", lambda: _install(machines[0], options))
            demo = Demo(story, machines[0], options.sabotage)
            for chapter in (tell_host, tell_whole_nic, tell_vf):
                chapter(demo)
    story.sum_up()
    return story.held


def _open_host(cache: Cache, options: Options) -> AbstractContextManager[Machine]:
    shape = SHAPES[options.shape]
    return fresh_host(cache, shape, build_wheel()) if options.resume else cold_host(cache, shape)


def _install(machine: Machine, options: Options) -> str:
    if not options.resume:
        install_wheel(machine, build_wheel())
    return machine.succeed(["/root/.local/bin/nicpass", "--version"]).strip()


def main(argv: list[str] | None = None) -> int:
    """Run the demo by its command line; the exit code, 0 when every step was observed."""
    parser = argparse.ArgumentParser(prog="python -m lab.demo", description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), default=INTEL.name, help="the kind of host")
    parser.add_argument("--resume", action="store_true", help="start from a kept state of the host, not from its boot")
    parser.add_argument("--sabotage", choices=SABOTAGES, help="break this step, to see that the demo fails")
    arguments = parser.parse_args(argv)
    end_in_order()
    try:
        return 0 if run_demo(Options(arguments.shape, arguments.resume, arguments.sabotage)) else 1
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("lab: interrupted; the emulated host is gone", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
