# SPDX-License-Identifier: Apache-2.0
"""`nicpass list` and `nicpass snapshot`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.checks.index import HostIndex
from nicpass.checks.nics import list_nics
from nicpass.cli.output import say, say_json, say_table, show
from nicpass.cli.source import read_source
from nicpass.cli.views import NicList, NicView, view_nics
from nicpass.host.files import Files
from nicpass.host.pci_ids import PciIds
from nicpass.model.errors import ExitCode
from nicpass.planner.select import select_nic

if TYPE_CHECKING:
    import argparse

_COLUMNS = ("ADDRESS", "NETDEV", "KIND", "DEVICE", "DRIVER", "GROUP", "NODE", "LINK", "USED FOR", "VM", "MAY GO")


def list_nics_command(arguments: argparse.Namespace) -> int:
    index = HostIndex(read_source(arguments).host)
    functions = [select_nic(index, arguments.nic)] if arguments.nic else list_nics(index.host)
    nics = view_nics(functions, index, PciIds(Files()))
    if arguments.json:
        say_json(NicList(nics))
    elif arguments.nic:
        say_table((), _details(nics[0]))
    elif nics:
        say_table(_COLUMNS, (_row(nic) for nic in nics))
    else:
        say("There is no network controller on the PCI bus of this host.")
    return ExitCode.DONE


def snapshot_command(arguments: argparse.Namespace) -> int:
    say_json(read_source(arguments).host)
    return ExitCode.DONE


def _row(nic: NicView) -> tuple[str, ...]:
    return (
        nic.address,
        ", ".join(netdev.name for netdev in nic.netdevs) or "-",
        _describe_kind(nic),
        _describe_device(nic),
        show(nic.driver),
        _describe_group(nic),
        show(nic.numa_node),
        "; ".join(netdev.link for netdev in nic.netdevs) or "-",
        show(nic.used_for),
        _describe_vms(nic),
        "yes" if nic.may_go else f"no: {', '.join(nic.why_not)}",
    )


def _details(nic: NicView) -> list[tuple[str, str]]:
    rows = [
        ("address", nic.address),
        ("device", f"{_describe_device(nic)} [{nic.vendor_id}:{nic.device_id}]"),
        ("kind", _describe_kind(nic)),
        ("driver", show(nic.driver)),
        ("IOMMU group", _describe_group(nic)),
        ("NUMA node", show(nic.numa_node)),
    ]
    for netdev in nic.netdevs:
        rows += [
            ("netdev", f"{netdev.name}, {netdev.link}, MTU {show(netdev.mtu)}"),
            ("MAC", f"{show(netdev.mac)} (permanent {show(netdev.permanent_mac)})"),
            ("driver version", show(netdev.driver_version)),
            ("firmware version", show(netdev.firmware_version)),
        ]
    return [
        *rows,
        ("used for", show(nic.used_for)),
        ("VM", _describe_vms(nic)),
        ("may go", "yes" if nic.may_go else f"no: {', '.join(nic.why_not)}; see nicpass check {nic.address}"),
    ]


def _describe_vms(nic: NicView) -> str:
    return ", ".join(nic.vms) or "-" if isinstance(nic.vms, tuple) else show(nic.vms)


def _describe_kind(nic: NicView) -> str:
    if nic.kind == "pf":
        return f"pf, {show(nic.numvfs)}/{show(nic.totalvfs)} VFs"
    if nic.kind == "vf" and nic.pf is not None:
        return f"vf {show(nic.vf_index)} of {nic.pf}"
    return nic.kind


def _describe_device(nic: NicView) -> str:
    if nic.vendor is None:
        return f"{nic.vendor_id}:{nic.device_id}"
    return f"{nic.vendor} {nic.device or nic.device_id}"


def _describe_group(nic: NicView) -> str:
    return f"{show(nic.iommu_group)}{f' with {len(nic.group_members)} more' if nic.group_members else ''}"
