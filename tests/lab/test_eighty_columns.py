# SPDX-License-Identifier: Apache-2.0
"""What a person sees on a terminal of 80 columns, in both languages, of a journey with a NIC, VFs and a refusal."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from lab.machine import Machine

pytestmark = [pytest.mark.lab, pytest.mark.full]

PF, NIC = "enp1s0", "enp2s0"
LONG = 400  # seconds; the host is emulated, and a busy machine emulates it slowly
JOURNEY = (
    "nicpass list",
    f"nicpass check {NIC}",
    "nicpass check --security",
    f"nicpass attach web01 {NIC} --start --dry-run",
    f"nicpass attach web01 {NIC} --start",
    "nicpass list",
    f"nicpass attach db01 {NIC}",
    f"nicpass detach web01 {NIC}",
    f"nicpass detach web01 {NIC} --stop",
    f"nicpass vf create {PF} --count 3 --vlan 20",
    f"nicpass vf list {PF}",
    f"nicpass vf set {PF} 0 --state enable",
    f"nicpass vf set {PF} 9 --vlan 5",
    "nicpass list",
    f"nicpass vf remove {PF}",
    "nicpass history",
    "nicpass show",
    "nicpass undo --dry-run",
    "nicpass recover",
    "nicpass explain GROUP_SHARED",
    "nicpass prepare --dry-run",
    "nicpass attch web01",
)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def seen(host: Machine, command: str, language: str) -> str:
    """What the command leaves on the terminal; what it draws over itself on the way is cut out."""
    words = f"stty cols 80 rows 40; LANG=C.UTF-8 {command} --lang {language}"
    output = host.execute(["script", "--quiet", "--return", "--command", words, "/dev/null"], LONG).stdout
    lines = [line.rpartition("\r")[2] for line in output.replace("\r\n", "\n").split("\n")]
    return "\n".join(_ESCAPES.sub("", line) for line in lines)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_journey_fits_into_eighty_columns(fresh_host: Machine, language: str) -> None:
    fresh_host.succeed(f"ip link set {PF} up")
    shown = {f"{number}: {command}": seen(fresh_host, command, language) for number, command in enumerate(JOURNEY)}
    print(*(f"$ {command}\n{text}" for command, text in shown.items()), sep="\n")
    assert all(shown.values())
    assert not [text for text in shown.values() if "Traceback" in text or "\x1b" in text]
    wide = [line for text in shown.values() for line in text.splitlines() if cell_len(line) > 80]
    assert [line for line in wide if not is_to_be_copied(line)] == []


def is_to_be_copied(line: str) -> bool:
    """Whether the line is a command or a path in one piece, which nobody could copy if it were folded."""
    return len(line.split()) == 1 or line.lstrip().startswith(("nicpass ", "ip ", "virsh ", "echo ", "# "))
