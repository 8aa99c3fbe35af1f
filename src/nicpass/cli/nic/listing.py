# SPDX-License-Identifier: Apache-2.0
"""`nicpass list` and `nicpass snapshot`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.dependence.machines import tell_use
from nicpass.checks.dependence.usage import tell_usage
from nicpass.checks.host.given import check_given
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.lookup.nics import list_nics
from nicpass.cli.journal.guard_mend import tell_guard
from nicpass.cli.journal.unsettled import owed_nics, tell_findings
from nicpass.cli.nic.views import GivenView, NetdevView, NicList, NicView, view_gone, view_nics
from nicpass.cli.render.output import say, say_json, say_table, show
from nicpass.cli.source import read_source
from nicpass.host.doors.files import Files
from nicpass.host.network.stacking import CLASS_NET
from nicpass.host.pci.ids import PciIds
from nicpass.model.errors import ExitCode
from nicpass.model.language import _
from nicpass.planner.select import find_given, select_nic

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from nicpass.cli.source import Source


def _columns() -> tuple[str, ...]:
    return (
        _("ADDRESS"),
        _("NETDEV"),
        _("KIND"),
        _("DEVICE"),
        _("DRIVER"),
        _("GROUP"),
        _("NODE"),
        _("LINK"),
        _("USED FOR"),
        _("VM"),
        _("MAY GO"),
    )


def list_nics_command(arguments: argparse.Namespace) -> int:
    source = read_source(arguments)
    index = HostIndex(source.host)
    nics = _view(arguments.nic, index, _speeds_of(source, arguments))
    meant = {nic.address for nic in nics}
    about_given = tuple(finding for finding in check_given(index) if not arguments.nic or finding.subject in meant)
    if arguments.json:
        owed = owed_nics(arguments, lambda: index.host.domains)
        say_json(NicList(nics=nics, owed=tuple(nic.state.address for nic in owed), findings=about_given))
    elif arguments.nic:
        say_table((), _details(nics[0]))
    elif nics:
        # A terminal shows the columns that decide; `nicpass list NIC` and --json have the rest.
        spare = (_("NODE"), _("LINK"), _("GROUP"), _("DEVICE"), _("DRIVER"), _("KIND"))
        say_table(_columns(), (_row(nic) for nic in nics), spare=spare, whole_words=(_("MAY GO"),))
    else:
        say(_("No network controller was seen on the PCI bus of this host."))
    if not arguments.json:
        tell_findings(about_given)
    tell_guard(source)
    return ExitCode.DONE


def _speeds_of(source: Source, arguments: argparse.Namespace) -> Callable[[str], int | None]:
    """The way to an interface's speed in Mbit/s (sysfs-class-net); only a program is told of it.

    A driver that does not know it answers -1.
    """
    if not arguments.json or arguments.snapshot is not None:
        return lambda _netdev: None

    def read(netdev: str) -> int | None:
        speed = source.files.read_int(f"{CLASS_NET}/{netdev}/speed")
        return speed if isinstance(speed, int) and speed > 0 else None

    return read


def _view(name: str | None, index: HostIndex, speed_of: Callable[[str], int | None]) -> tuple[NicView, ...]:
    """The NICs that the command line means, those among them that a VM was given and that are gone."""
    names, gone = PciIds(Files()), view_gone(index)
    if name is None:
        views = (*view_nics(list_nics(index.host), index, names, speed_of), *gone)
        return tuple(sorted(views, key=lambda nic: nic.address)) if gone else views
    if gone and (given := find_given(index, name)) is not None:
        for view in gone:
            if view.address == given.address:
                return (view,)
    return view_nics([select_nic(index, name)], index, names, speed_of)


def snapshot_command(arguments: argparse.Namespace) -> int:
    host = read_source(arguments, with_boot=True, with_cpus=True).host
    if arguments.redact:
        import secrets

        from nicpass.host.redaction import redact

        host = redact(host, secrets.token_bytes(32))
    say_json(host)
    return ExitCode.DONE


def _row(nic: NicView) -> tuple[str, ...]:
    return (
        nic.address,
        _describe_netdevs(nic),
        _describe_kind(nic),
        _describe_device(nic),
        show(nic.driver),
        _describe_group(nic),
        show(nic.numa_node),
        "; ".join(_describe_link(netdev) for netdev in nic.netdevs) or "-",
        tell_usage(show(nic.used_for)),
        _describe_vms(nic),
        _("yes") if nic.may_go else _describe_refusal(nic.why_not),
    )


def _describe_netdevs(nic: NicView) -> str:
    """The interfaces' names; in brackets those that a NIC has on the host, while it is away."""
    if not nic.netdevs and nic.given is not None and nic.given.names:
        return f"({', '.join(nic.given.names)})"
    return ", ".join(netdev.name for netdev in nic.netdevs) or "-"


def _describe_link(netdev: NetdevView) -> str:
    """The state of its link in the language chosen; the view's own is data, and English."""
    match netdev.link, netdev.link_state:
        case "unknown", _state:
            return _("unknown")
        case _link, "up":
            return _("up, carrier")
        case "down", _state:
            return _("down")
    return _("up, no carrier")


def _describe_refusal(codes: tuple[str, ...]) -> str:
    """The word for a NIC that may not go: the gravest finding's code, and how many more there are."""
    if len(codes) == 1:
        return _("no: {code}").format(code=codes[0])
    return _("no: {code}, {count} more").format(code=codes[0], count=len(codes) - 1)


def _details(nic: NicView) -> list[tuple[str, str]]:
    rows = [
        (_("address"), nic.address),
        (_("device"), _describe_device(nic) + (f" [{nic.vendor_id}:{nic.device_id}]" if nic.vendor_id else "")),
        (_("kind"), _describe_kind(nic)),
        (_("driver"), show(nic.driver)),
        (_("IOMMU group"), _describe_group(nic)),
        (_("NUMA node"), show(nic.numa_node)),
    ]
    for netdev in nic.netdevs:
        rows += [
            (_("netdev"), f"{netdev.name}, {_describe_link(netdev)}, MTU {show(netdev.mtu)}"),
            (
                "MAC",
                _("{mac} (permanent {permanent})").format(mac=show(netdev.mac), permanent=show(netdev.permanent_mac)),
            ),
            (_("driver version"), show(netdev.driver_version)),
            (_("firmware version"), show(netdev.firmware_version)),
        ]
    return [
        *rows,
        *(_given_details(nic.given) if nic.given is not None else ()),
        (_("used for"), tell_usage(show(nic.used_for))),
        (_("VM"), _describe_vms(nic)),
        (
            _("may go"),
            _("yes")
            if nic.may_go
            else _("no: {names}; see nicpass check {address}").format(
                names=", ".join(nic.why_not), address=nic.address
            ),
        ),
    ]


def _given_details(given: GivenView) -> list[tuple[str, str]]:
    """What the record tells of a NIC that was given to a VM."""
    rows = [(_("given to"), given.vm or "?")]
    if given.names:
        rows.append((_("on the host"), f"({', '.join(given.names)})"))
    if given.macs:
        rows.append((_("MAC then"), ", ".join(given.macs)))
    if given.gone is not None:
        rows.append((_("is gone"), given.gone))
    return rows


def _describe_vms(nic: NicView) -> str:
    """Those that have it, and who uses it in another way."""
    if not isinstance(nic.vms, tuple):
        return show(nic.vms)
    uses = [tell_use(use) for use in nic.machine_uses] if isinstance(nic.machine_uses, tuple) else []
    return ", ".join((*nic.vms, *dict.fromkeys(uses))) or "-"


def _describe_kind(nic: NicView) -> str:
    if nic.kind == "pf":
        return _("pf, {numvfs}/{totalvfs} VFs").format(numvfs=show(nic.numvfs), totalvfs=show(nic.totalvfs))
    if nic.kind == "vf" and nic.pf is not None:
        return _("vf {vf_index} of {pf}").format(vf_index=show(nic.vf_index), pf=nic.pf)
    return nic.kind


def _describe_device(nic: NicView) -> str:
    if nic.vendor_id is None:
        return "-"
    if nic.vendor is None:
        return f"{nic.vendor_id}:{nic.device_id}"
    return f"{nic.vendor} {nic.device or nic.device_id}"


def _describe_group(nic: NicView) -> str:
    group = show(nic.iommu_group)
    if not nic.group_members:
        return group
    return _("{group} with {count} more").format(group=group, count=len(nic.group_members))
