# SPDX-License-Identifier: Apache-2.0
"""A plan as the shell lines that an expert would type, with the tools of every host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.dependence.usage import describe_route
from nicpass.cli.render.vf_words import lines_of_step, words_of_vf
from nicpass.engine.deadman import GUARD_UNIT, UNIT
from nicpass.engine.nic.managers import is_managed, shell_lines
from nicpass.host.pci.functions import DEVICES
from nicpass.hypervisor.libvirt.hostdevs import build_device
from nicpass.hypervisor.libvirt.ports import build_port
from nicpass.model.fact import known
from nicpass.model.file_image import Folder, RegularFile, SymbolicLink
from nicpass.model.language import _
from nicpass.model.network import LinkSettings
from nicpass.model.plan import (
    AddPorts,
    ArmTimer,
    ChangeBoot,
    DefineDevice,
    DisarmTimer,
    GiveBackNic,
    InstallGuard,
    JoinPool,
    LeavePool,
    NicState,
    PlaceDomain,
    PlugDevice,
    RemoveGuard,
    RemovePorts,
    SetNumvfs,
    SetPool,
    SetTerms,
    StartDomain,
    StartWindow,
    SteerInterrupts,
    Step,
    StopDomain,
    TakeNic,
    UndefineDevice,
    UnplugDevice,
)
from nicpass.model.text import quote, shell_line, vm_word

if TYPE_CHECKING:
    from nicpass.model.file_image import FileChange
    from nicpass.model.network import IpAddress, Link, Route, VfSettings

_NOT_CHOSEN = frozenset({"secondary", "temporary", "deprecated"})
"""Flags of an address that are no words of `ip address`."""


def render_shell(step: Step) -> list[str]:  # noqa: C901 - a case for each kind, so that mypy sees that none is missing
    """The shell lines that do a step by hand."""
    match step:
        case TakeNic():
            return [
                _("# note what the NIC is to the host; it is lost when the driver lets go"),
                *_shell_notes(step.state),
            ]
        case SetTerms():
            return []  # nothing of the host, nor of the VM
        case GiveBackNic(gone=True):
            return [f"rm /var/lib/nicpass/nics/{step.address}.json"]
        case GiveBackNic():
            return _shell_give_back(step.state)
        case DefineDevice():
            return _shell_device("attach-device", step)
        case UndefineDevice():
            return _shell_device("detach-device", step)
        case AddPorts() | RemovePorts():
            verb = "attach-device" if isinstance(step, AddPorts) else "detach-device"
            virsh = f"virsh {verb} {vm_word(step.domain, step.uuid)} /dev/stdin --config"
            return [line for index in step.indices for line in (f"{virsh} <<'XML'", build_port(index), "XML")]
        case PlugDevice():
            return _shell_device("attach-device", step, "--live")
        case UnplugDevice():
            return [
                *_shell_device("detach-device", step, "--live"),
                f"virsh dumpxml {vm_word(step.domain, step.uuid)}"
                + _("  # it is in there until the guest has let go; so wait"),
            ]
        case StartDomain():
            return [
                f"virsh start {vm_word(step.domain, step.uuid)}",
                *(f"readlink {DEVICES}/{address}/driver  # vfio-pci" for address in step.addresses),
            ]
        case StopDomain():
            if step.for_all:
                return [f"virsh shutdown {vm_word(step.domain, step.uuid)}  # and wait until it is off"]
            return [f"virsh destroy {vm_word(step.domain, step.uuid)}"]
        case SetNumvfs():
            path = f"{DEVICES}/{step.address}/sriov_numvfs"
            counts = [0] if step.before and step.before != step.after else []
            counts += [step.after] if step.after and step.before != step.after else []
            pf = f'"$(ls {DEVICES}/{step.address}/net | head -n 1)"'
            lines = _shell_autoprobe(step) + [f"echo {count} > {path}" for count in counts]
            return lines + [_shell_vf(pf, vf, words) for vf, words in lines_of_step(step)]
        case SetPool():
            return _shell_pool(step)
        case JoinPool() | LeavePool():
            return _shell_pool_member(step)
        case ArmTimer():
            return [_shell_timer(GUARD_UNIT if step.allowance else UNIT, step.seconds + step.allowance)]
        case StartWindow():
            return [_shell_timer(UNIT, step.seconds), f"systemctl stop {GUARD_UNIT}.timer"]
        case DisarmTimer():
            return [f"systemctl stop {UNIT}.timer {GUARD_UNIT}.timer"]
        case InstallGuard():
            lines = [line for change in step.files for line in _shell_change(change)]
            return [*lines, "systemctl daemon-reload", "systemctl reload libvirtd"]
        case RemoveGuard():
            lines = [line for change in step.files for line in _shell_change(change)]
            return [*lines, "systemctl daemon-reload"]
        case PlaceDomain():
            from nicpass.cli.render.placement import placement_lines  # late: most changes place no VM

            return placement_lines(step)
        case SteerInterrupts():
            return [f"echo {each.cpus} > /proc/irq/{each.number}/smp_affinity_list" for each in step.after]
        case ChangeBoot():
            lines = [line for change in step.change.files for line in _shell_change(change)]
            return [*lines, *(shell_line(generator.argv) for generator in step.change.generators)]


def _shell_autoprobe(step: SetNumvfs) -> list[str]:
    if step.autoprobe in (None, step.before_autoprobe):
        return []
    return [f"echo {step.autoprobe:d} > {DEVICES}/{step.address}/sriov_drivers_autoprobe"]


def _shell_timer(unit: str, seconds: int) -> str:
    return f"systemd-run --unit={unit} --on-active={seconds}s -- nicpass recover --unconfirmed"


def _shell_notes(state: NicState) -> list[str]:
    names = [quote(link.name) for link in state.links]
    # Not every NIC has rings or channels to show, and that is no failure.
    look = "ip -d address show dev {name}; ip route show table all dev {name}"
    sizes = "ethtool -g {name} || true; ethtool -l {name} || true; sysctl -a | grep -F .{name}."
    return [line.format(name=name) for name in names for line in (look, sizes)]


def _shell_give_back(state: NicState) -> list[str]:
    folder = f"{DEVICES}/{state.address}"
    vf = (
        [_shell_vf(f'"$(ls {folder}/physfn/net | head -n 1)"', state.vf, words_of_vf(state.vf))]
        if state.vf is not None
        else []
    )
    lines = [
        *vf,
        f'if [ "$(basename "$(readlink {folder}/driver)")" != {quote(state.driver or "")} ]; then',
        f"  echo > {folder}/driver_override",
        f"  echo {state.address} > {folder}/driver/unbind",
        *([f"  echo {state.address} > /sys/bus/pci/drivers_probe"] if state.driver else []),
        "fi",
        "udevadm settle",
    ]
    for link in state.links:
        lines += _shell_link(link, state)
    return lines + shell_lines(state)


def _shell_link(link: Link, state: NicState) -> list[str]:
    name = quote(link.name)
    lines = [f"ip link set dev {name} master {quote(link.master)}"] if link.master else []
    lines.append(f"ip link set dev {name} mtu {link.mtu} {'up' if link.up else 'down'}")
    lines += _shell_driver(link)
    return lines if is_managed(state, link.name) else [*lines, *_shell_addresses(link, state)]


def _shell_addresses(link: Link, state: NicState) -> list[str]:
    name = quote(link.name)
    lines = [
        f"ip address replace {shell_line(_address_words(address))} dev {name}"
        for address in state.addresses
        if address.netdev == link.name and not address.comes_with_link
    ]
    lines += [
        f"ip route replace {shell_line(_route_words(route))}"
        for route in state.routes
        if route.netdev == link.name and route.protocol != "kernel" and not route.multipath
    ]
    return lines


def _shell_driver(link: Link) -> list[str]:
    """Lines that set channels and rings; where they are so already, ethtool does nothing, and older ones fail then."""
    lines: list[str] = []
    settings = link.settings or LinkSettings()
    for option, group in (("-L", settings.channels), ("-G", settings.rings)):
        wanted = [s for s in (group if known(group) else ()) if s.value != "0"]
        words = [word for setting in wanted for word in (setting.name, setting.value)]
        lines += [f"{shell_line(['ethtool', option, link.name, *words])} || true"] if words else []
    return lines


def _address_words(address: IpAddress) -> list[str]:
    words = [address.text, *(["brd", address.broadcast] if address.broadcast else [])]
    words += ["metric", str(address.metric)] if address.metric else []
    return words + [flag for flag in address.flags or () if flag not in _NOT_CHOSEN]


def _route_words(route: Route) -> list[str]:
    words = describe_route(route).split()
    words += ["src", route.source] if route.source else []
    words += ["scope", route.scope] if route.scope != "global" and route.family == "inet" else []
    for metric in route.metrics:
        words += [metric.name, metric.value] if metric.name != "lock" else []
    return words + (["onlink"] if route.onlink else [])


def _shell_vf(pf: str, vf: VfSettings, words: list[str]) -> str:
    """The line that sets what a PF enforces on a VF; `pf` is the word of the shell that names the PF's interface."""
    return f"ip link set dev {pf} vf {vf.vf_index} {shell_line(words)}"


def _shell_device(
    verb: str, step: DefineDevice | UndefineDevice | PlugDevice | UnplugDevice, where: str = "--config"
) -> list[str]:
    virsh = f"virsh {verb} {vm_word(step.domain, step.uuid)} /dev/stdin {where}"
    return _shell_xml(virsh, build_device(step.device))


def _shell_pool(step: SetPool) -> list[str]:
    from nicpass.hypervisor.libvirt.pools import build_pool  # late: few changes are of a pool

    before, after = step.before, step.after
    if after is None:
        return [f"virsh net-undefine {quote(before.name)}"] if before is not None else []
    if before is None or (before.addresses, before.vlan) != (after.addresses, after.vlan):
        return _shell_xml("virsh net-define /dev/stdin", build_pool(after))
    if before.autostart != after.autostart:
        return [f"virsh net-autostart {quote(after.name)}{'' if after.autostart else ' --disable'}"]
    return [f"virsh {'net-start' if after.active else 'net-destroy'} {quote(after.name)}"]


def _shell_pool_member(step: JoinPool | LeavePool) -> list[str]:
    from nicpass.hypervisor.libvirt.pools import build_pool_interface

    verb = "attach-device" if isinstance(step, JoinPool) else "detach-device"
    where = "--live" if step.live else "--config"
    return _shell_xml(f"virsh {verb} {vm_word(step.domain, step.uuid)} /dev/stdin {where}", build_pool_interface(step))


def _shell_xml(virsh: str, xml: str) -> list[str]:
    """A call of virsh that reads XML: as it is where it is plain text."""
    lines = xml.strip().split("\n")
    if _is_plain([*lines, ""], "XML"):
        return [f"{virsh} <<'XML'", *lines, "XML"]
    return ["base64 -d <<'XML' | " + virsh, *_base64_lines("\n".join(lines).encode()), "XML"]


def _shell_change(change: FileChange) -> list[str]:
    path = quote(change.path)
    match change.after:
        case Folder(mode=mode):
            return [f"mkdir -p -m {mode:o} {path}"]
        case SymbolicLink(target=target):
            return [f"ln -sfn {quote(target)} {path}"]
        case RegularFile(content=content, mode=mode):
            return [*_shell_content(path, content), f"chmod {mode:o} {path}"]
        case None:
            is_folder = isinstance(change.before, Folder)
            return [f"rmdir --ignore-fail-on-non-empty {path}"] if is_folder else [f"rm -f {path}"]


def _shell_content(path: str, content: bytes) -> list[str]:
    """Lines that write a file: its content as it is where it is plain text; else in base64, which nothing escapes."""
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    if _is_plain(lines, "END"):
        return [f"cat > {path} <<'END'", *lines[:-1], "END"]
    return [f"base64 -d > {path} <<'END'", *_base64_lines(content), "END"]


def _is_plain(lines: list[str], end: str) -> bool:
    """Whether text is a here-document just as it is: whole lines that a terminal shows, none of which is its end."""
    return lines[-1] == "" and end not in lines and all(map(str.isprintable, lines))


def _base64_lines(content: bytes) -> list[str]:
    import base64  # late: only lines to paste need them
    import textwrap

    return textwrap.wrap(base64.b64encode(content).decode(), 100)
