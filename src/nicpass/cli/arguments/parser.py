# SPDX-License-Identifier: Apache-2.0
"""The command line, as `nicpass --help` shows it."""

from __future__ import annotations

import argparse
import functools
from typing import TYPE_CHECKING

from nicpass import __version__
from nicpass.cli.arguments.common import (
    add_command,
    add_confirm_within,
    add_dry_run,
    add_example,
    add_full,
    add_json,
    add_language,
    add_live_command,
    add_root,
    add_stop,
    add_where,
)
from nicpass.cli.arguments.epilog import epilog
from nicpass.cli.arguments.parsing import AsWritten, Parser, as_sentence
from nicpass.model.language import _

if TYPE_CHECKING:
    from collections.abc import Callable


def build_parser(command: str | None = None) -> Parser:
    """The parser, built once a run in that run's language; for `command` alone, where that is the name of a command."""
    # argparse has its own words ("usage", "options"), marked for gettext, and no way to tell it where to look.
    setattr(argparse, "_", _)  # noqa: B010
    parser = Parser(
        prog="nicpass",
        description=_("Hand a physical NIC to a virtual machine, exclusively, and get it back."),
        epilog=epilog(),
        formatter_class=AsWritten,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"nicpass {__version__}",
        help=_("show program's version number and exit"),
    )
    add_language(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, add in _COMMANDS.items():
        if command not in _COMMANDS or name == command:
            add(commands)
    return parser


def _add_list(commands: argparse._SubParsersAction[Parser]) -> None:
    listing = add_command(commands, "list", _("show every NIC: what it is, who uses it, whether it may go"))
    listing.add_argument("nic", metavar="NIC", nargs="?", help=_("only this one, with all that is known of it"))


def _add_check(commands: argparse._SubParsersAction[Parser]) -> None:
    check = add_command(commands, "check", _("say what stands in the way, and what mends it"))
    check.add_argument("nic", metavar="NIC", nargs="?", help=_("only this one"))
    check.add_argument("--vm", metavar="VM", help=_("look at this VM too: ports, memory, processors"))
    check.add_argument("-v", "--verbose", action="store_true", help=_("show the evidence, and notes too"))
    check.add_argument("--security", action="store_true", help=_("see the host as an auditor would"))
    check.add_argument("--strict", action="store_true", help=_("with --security: a warning fails too"))


def _add_explain(commands: argparse._SubParsersAction[Parser]) -> None:
    text = _("say more about a finding's code")
    explain = commands.add_parser("explain", help=text, description=as_sentence(text))
    explain.add_argument("code", metavar="CODE", nargs="?", help=_("such as GROUP_SHARED; without it, all codes"))
    add_json(explain)
    add_language(explain)


def _add_snapshot(commands: argparse._SubParsersAction[Parser]) -> None:
    snapshot = add_command(commands, "snapshot", _("print all that was observed of the host, as JSON"))
    snapshot.add_argument(
        "--redact", action="store_true", help=_("leave out addresses, serial numbers and names of hosts")
    )


def _add_schema(commands: argparse._SubParsersAction[Parser]) -> None:
    text = _("print the JSON Schema of what a command prints with --json")
    schema = commands.add_parser("schema", help=text, description=as_sentence(text))
    schema.add_argument("what", choices=_DOCUMENTS, metavar="WHAT", help=", ".join(_DOCUMENTS))
    add_language(schema)


def _add_completion(commands: argparse._SubParsersAction[Parser]) -> None:
    text = _('print what completes these words in a shell: eval "$(nicpass completion bash)"')
    completion = commands.add_parser("completion", help=text, description=as_sentence(text))
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh, fish")
    add_language(completion)


def _add_prepare(commands: argparse._SubParsersAction[Parser]) -> None:
    text = _("make the host ready for passthrough at every boot: IOMMU, kernel arguments, NICs on vfio-pci")
    prepare = add_command(commands, "prepare", text)
    prepare.add_argument("nic", metavar="NIC", nargs="*", help=_("vfio-pci's at every boot, before its own driver"))
    prepare.add_argument("--remove", action="store_true", help=_("take out what was written; with NIC, only for that"))
    prepare.add_argument("--reboot", action="store_true", help=_("reboot at once where a reboot is needed"))
    prepare.add_argument(
        "--iommu-pt", action="store_true", help=_("let the host's own devices do DMA without translation")
    )
    prepare.add_argument("--group", metavar="GROUP", help=_("who may open VFIO devices without being root"))
    prepare.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="CODE",
        help=_("bind it although the host would lose this, such as HAS_ADDRESS; once for each reason"),
    )
    prepare.add_argument("--finish", action="store_true", help=argparse.SUPPRESS)  # as the unit of systemd runs it
    add_confirm_within(prepare)
    add_dry_run(prepare)


def _add_attach(commands: argparse._SubParsersAction[Parser]) -> None:
    attach = add_command(commands, "attach", _("give NICs to a VM, all of them or none"))
    attach.add_argument("vm", metavar="VM", help=_("the VM that shall have it: name or UUID"))
    attach.add_argument("nic", metavar="NIC", nargs="*", help=_("a NIC: address, netdev or MAC; or several"))
    attach.add_argument(
        "--with-group", action="store_true", help=_("what is idle in the same IOMMU group goes along, bridges stay")
    )
    attach.add_argument("--from", dest="from_pf", metavar="PF", help=_("in place of NIC: a free VF of this PF"))
    attach.add_argument(
        "--from-pool", metavar="POOL", help=_("in place of NIC: a VF of this pool, which libvirt picks at each start")
    )
    attach.add_argument("--start", action="store_true", help=_("start the VM with it"))
    attach.add_argument("--mac", help=_("the VF's MAC in the guest (default: the VF's own, or one from its PF's)"))
    attach.add_argument("--vlan", type=int, metavar="ID", help=_("the VLAN that the PF puts the VF into"))
    attach.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="CODE",
        help=_("give it away although the host would lose this, such as HAS_ADDRESS; once for each reason"),
    )
    add_where(attach)
    attach.add_argument(
        "--add-ports",
        type=int,
        default=0,
        metavar="N",
        help=_("N more places to plug NICs in, from the VM's next start on; where none is free, it waits for that too"),
    )
    add_confirm_within(attach)
    add_full(attach)
    add_dry_run(attach)
    add_example(
        attach,
        _("""for example:
  nicpass attach web01 enp3s0f0 enp3s0f1    both ports, or neither
  nicpass attach web01 enp3s0f0 --with-group --start
  nicpass attach web01 --from enp3s0f0      a VF that nobody uses
  nicpass attach web01 --from-pool blue     one of a pool's, picked at each start"""),
    )


def _add_detach(commands: argparse._SubParsersAction[Parser]) -> None:
    detach = add_command(commands, "detach", _("take NICs back from a VM, and prove that they are what they were"))
    detach.add_argument("vm", metavar="VM", help=_("the VM that has it: name or UUID"))
    detach.add_argument(
        "nic", metavar="NIC", nargs="*", help=_("a NIC: address, MAC or netdev, also the one that it had; or several")
    )
    detach.add_argument("--from-pool", metavar="POOL", help=_("in place of NIC: its interface of this pool"))
    detach.add_argument("--mac", help=_("with --from-pool: which interface, where there are several"))
    add_stop(detach)
    add_where(detach)
    add_full(detach)
    add_dry_run(detach)
    add_example(
        detach,
        _("""for example:
  nicpass detach web01 enp3s0f0 enp3s0f1 --stop"""),
    )


def _add_vf(commands: argparse._SubParsersAction[Parser]) -> None:
    text = _("make, set, show or remove the VFs of a PF")
    from nicpass.cli.arguments.vf_options import add_vf_settings  # late: for this command alone

    vf = commands.add_parser("vf", help=text, description=as_sentence(text))
    actions = vf.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = add_command(actions, "create", _("make VFs"))
    create.add_argument("pf", metavar="PF", help=_("the NIC that makes them: address, netdev or MAC"))
    create.add_argument("--count", type=int, required=True, metavar="N", help=_("how many there shall be"))
    add_vf_settings(create)
    create.add_argument("--host", action="store_true", help=_("let the host's own drivers have them, not only VMs"))
    create.add_argument("--until-reboot", action="store_true", help=_("do not make them again at the next boot"))
    create.add_argument(
        "--in-steps", action="store_true", help=_("have VMs that run let go of VFs of it meanwhile, and get them again")
    )
    add_confirm_within(create)
    add_dry_run(create)
    setting = add_command(actions, "set", _("set what a PF enforces on VFs of its"))
    setting.add_argument("pf", metavar="PF", help=_("the NIC that has made them; or one VF itself, without VFS"))
    setting.add_argument("vfs", metavar="VFS", nargs="?", help=_("which VFs: 3, 0-3, 0,2,5-6 or all"))
    add_vf_settings(setting)
    setting.add_argument("--until-reboot", action="store_true", help=_("do not set them so at the next boot"))
    add_confirm_within(setting)
    add_dry_run(setting)
    listing = add_command(actions, "list", _("show VFs: what each is set to, and who has it"))
    listing.add_argument("pf", metavar="PF", nargs="?", help=_("only those of this NIC; or one VF itself"))
    remove = add_command(actions, "remove", _("remove all VFs"))
    remove.add_argument("pf", metavar="PF", help=_("the NIC that has made them: address, netdev or MAC"))
    remove.add_argument("--until-reboot", action="store_true", help=_("have the next boot make them again"))
    add_confirm_within(remove)
    add_dry_run(remove)
    add_live_command(actions, "restore", _("make the VFs again that were asked for, as every boot does"))


def _add_state(commands: argparse._SubParsersAction[Parser], name: str) -> None:
    from nicpass.cli.arguments.state_options import add_state_options, text_of_state  # late: for these commands alone

    command = add_command(commands, name, text_of_state(name))
    if name == "export":
        return
    add_state_options(command)
    if name == "apply":
        add_confirm_within(command)
        add_full(command)
        add_dry_run(command)
        add_example(
            command,
            _("""for example:
  nicpass export > host.yaml
  nicpass plan host.yaml
  nicpass apply host.yaml"""),
        )


def _add_pool(commands: argparse._SubParsersAction[Parser]) -> None:
    from nicpass.cli.arguments.pool_options import TEXTS, add_pool_options, text_of_pool  # late: for this command alone

    text = text_of_pool()
    pool = commands.add_parser("pool", help=text, description=as_sentence(text))
    actions = pool.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, tell in TEXTS.items():
        command = add_command(actions, action, tell())
        if action != "list":
            add_pool_options(command, action)
            add_dry_run(command)


def _add_tune(commands: argparse._SubParsersAction[Parser]) -> None:
    tune = add_command(commands, "tune", _("put a VM on the CPUs and the memory that its NIC is near to"))
    tune.add_argument("vm", metavar="VM", help=_("the VM that has the NIC: name or UUID"))
    tune.add_argument(
        "--cpus", metavar="LIST", help=_("pin it to these and no others, such as 4-7; also isolated ones")
    )
    tune.add_argument("--hugepages", action="store_true", help=_("with huge pages, or not at all"))
    add_dry_run(tune)


def _add_undo(commands: argparse._SubParsersAction[Parser]) -> None:
    undo = add_live_command(commands, "undo", _("take back a change that was done"))
    undo.add_argument("change", metavar="CHANGE", nargs="?", help=_("its name in nicpass history (default: the last)"))
    add_stop(undo)
    undo.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="CODE",
        help=_("give a NIC away again although the host would lose this; once for each reason"),
    )
    add_full(undo)
    add_dry_run(undo)


def _add_confirm(commands: argparse._SubParsersAction[Parser]) -> None:
    confirm = add_live_command(commands, "confirm", _("keep a change that would be taken back by itself"))
    confirm.add_argument(
        "change", metavar="CHANGE", nargs="?", help=_("its name in nicpass history (default: the last)")
    )


def _add_recover(commands: argparse._SubParsersAction[Parser]) -> None:
    recover = add_live_command(commands, "recover", _("finish or take back what was cut off"))
    recover.add_argument(
        "--abandon", metavar="CHANGE", help=_("leave the host as it is, and forget this change, or what this NIC was")
    )
    recover.add_argument("--boot", action="store_true", help=_("as the unit of systemd runs it: wait for other runs"))
    recover.add_argument(
        "--unconfirmed", action="store_true", help=_("as the timer runs it: take back what nobody confirmed")
    )


def _add_history(commands: argparse._SubParsersAction[Parser]) -> None:
    history = add_live_command(commands, "history", _("show who changed what, when, and what became of it"))
    add_root(history)
    history.add_argument("--last", type=_positive, default=20, metavar="N", help=_("only the last N (default: 20)"))


def _add_show(commands: argparse._SubParsersAction[Parser]) -> None:
    show = add_live_command(commands, "show", _("show one change, step by step"))
    add_root(show)
    add_full(show)
    show.add_argument("change", metavar="CHANGE", nargs="?", help=_("its name in nicpass history (default: the last)"))


_COMMANDS: dict[str, Callable[[argparse._SubParsersAction[Parser]], None]] = {
    "list": _add_list,
    "check": _add_check,
    "explain": _add_explain,
    "snapshot": _add_snapshot,
    "schema": _add_schema,
    "prepare": _add_prepare,
    "attach": _add_attach,
    "detach": _add_detach,
    "vf": _add_vf,
    **{name: functools.partial(_add_state, name=name) for name in ("export", "plan", "apply")},
    "pool": _add_pool,
    "tune": _add_tune,
    "undo": _add_undo,
    "confirm": _add_confirm,
    "recover": _add_recover,
    "history": _add_history,
    "show": _add_show,
    "completion": _add_completion,
}


_DOCUMENTS = (
    "check",
    "security",
    "list",
    "vfs",
    "pools",
    "restored-vfs",
    "explain",
    "snapshot",
    "plan",
    "outcome",
    "recover",
    "confirm",
    "history",
    "change",
    "state",
    "difference",
    "error",
)
"""What `nicpass schema` knows; a test sees to it that these are all that are printed."""


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(_("{text} is not a number above 0").format(text=text))
    return number
