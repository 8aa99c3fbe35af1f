# SPDX-License-Identifier: Apache-2.0
"""The command line, as `nicpass --help` shows it."""

from __future__ import annotations

import argparse
from typing import NoReturn

from nicpass import __version__
from nicpass.model.errors import BadInputError

_EPILOG = """exit codes:
  0 done, or ready        1 failed and rolled back       2 bad usage or input
  3 not possible here     4 refused for safety           5 a reboot is needed first
  6 rolled back incompletely, needs a person             7 busy: another run is at work

A NIC is named by its address (0000:01:00.0, or 01:00.0), its netdev, or its MAC; a VM by name or UUID."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises where argparse would print and exit."""

    def error(self, message: str) -> NoReturn:
        raise BadInputError(f"{message[:1].upper()}{message[1:]}.", f"{self.prog} --help")


def build_parser() -> Parser:
    parser = Parser(
        prog="nicpass",
        description="Hand a physical NIC to a virtual machine, exclusively, and get it back.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"nicpass {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_reading(commands)
    _add_attach(commands)
    _add_detach(commands)
    _add_vf(commands)
    return parser


def _add_reading(commands: argparse._SubParsersAction[Parser]) -> None:
    listing = _add_command(commands, "list", "show every NIC: what it is, who uses it, whether it may go")
    listing.add_argument("nic", metavar="NIC", nargs="?", help="only this one, with all that is known of it")
    check = _add_command(commands, "check", "say what stands in the way, and what mends it")
    check.add_argument("nic", metavar="NIC", nargs="?", help="only this one")
    check.add_argument("-v", "--verbose", action="store_true", help="show the evidence, and notes too")
    explain = commands.add_parser("explain", help="say more about a finding's code")
    explain.add_argument("code", metavar="CODE", nargs="?", help="such as GROUP_SHARED; without it, all codes")
    explain.add_argument("--json", action="store_true", help="machine-readable output")
    _add_command(commands, "snapshot", "print all that was observed of the host, as JSON")


def _add_attach(commands: argparse._SubParsersAction[Parser]) -> None:
    attach = _add_command(commands, "attach", "give a NIC to a VM")
    attach.add_argument("vm", metavar="VM")
    attach.add_argument("nic", metavar="NIC")
    attach.add_argument("--start", action="store_true", help="start the VM with it")
    attach.add_argument("--mac", help="the VF's MAC in the guest (default: the VF's own, or one from its PF's)")
    attach.add_argument("--vlan", type=int, metavar="ID", help="the VLAN that the PF puts the VF into")
    attach.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="CODE",
        help="give it away although the host would lose this, such as HAS_ADDRESS; once for each reason",
    )
    _add_dry_run(attach)


def _add_detach(commands: argparse._SubParsersAction[Parser]) -> None:
    detach = _add_command(commands, "detach", "take a NIC back from a VM, and prove that it is what it was")
    detach.add_argument("vm", metavar="VM")
    detach.add_argument("nic", metavar="NIC")
    _add_dry_run(detach)


def _add_vf(commands: argparse._SubParsersAction[Parser]) -> None:
    vf = commands.add_parser("vf", help="make or remove the VFs of a PF")
    actions = vf.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = _add_command(actions, "create", "make VFs")
    create.add_argument("pf", metavar="PF")
    create.add_argument("--count", type=int, required=True, metavar="N", help="how many there shall be")
    _add_dry_run(create)
    remove = _add_command(actions, "remove", "remove all VFs")
    remove.add_argument("pf", metavar="PF")
    _add_dry_run(remove)


def _add_command(commands: argparse._SubParsersAction[Parser], name: str, text: str) -> Parser:
    """A command with what all of them take."""
    parser: Parser = commands.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--snapshot", metavar="FILE", help="read the host from what `nicpass snapshot` wrote")
    source.add_argument("--root", metavar="DIR", help="read DIR/sys, DIR/proc, DIR/etc in place of /")
    return parser


def _add_dry_run(parser: Parser) -> None:
    parser.add_argument(
        "--dry-run",
        nargs="?",
        const="plan",
        choices=("plan", "shell"),
        help="change nothing: print the plan, or the shell lines that an expert would type",
    )
