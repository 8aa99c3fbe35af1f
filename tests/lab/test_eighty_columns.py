# SPDX-License-Identifier: Apache-2.0
"""What a person sees on a terminal of 80 columns, in both languages: of a journey, and of what newcomers ran into."""

from __future__ import annotations

import json
import re

import pytest
from rich.cells import cell_len

from lab.machine import Machine
from tests.lab.deaths import Death, held_at

pytestmark = [pytest.mark.lab, pytest.mark.full]

PF, NIC = "enp1s0", "enp2s0"
MAC, ADDRESS = "52:54:00:aa:00:02", "0000:02:00.0"
DEVICE = f"/sys/class/net/{PF}/device"
TWICE, OTHER, THIRD = "52:54:00:00:20:01", "52:54:00:00:20:02", "52:54:00:00:20:03"
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
LOCALES = {"en": "C.UTF-8", "zh": "zh_CN.UTF-8"}
_COPIED = ("nicpass ", "ip ", "virsh ", "echo ", "# ", "printf ")
_OF_OTHERS = "error: "  # virsh's own lines, in which it quotes the guard
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def seen(host: Machine, command: str, language: str) -> str:
    """What the command leaves on the terminal; what it draws over itself on the way is cut out."""
    words = f"stty cols 80 rows 40; export LANG=C.UTF-8 LC_MESSAGES={LOCALES[language]}; {command}"
    output = host.execute(["script", "--quiet", "--return", "--command", words, "/dev/null"], LONG).stdout
    lines = [line.rpartition("\r")[2] for line in output.replace("\r\n", "\n").split("\n")]
    return "\n".join(_ESCAPES.sub("", line) for line in lines)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_journey_fits_into_eighty_columns(fresh_host: Machine, language: str) -> None:
    fresh_host.succeed(f"ip link set {PF} up")
    shown = {f"{number}: {command}": seen(fresh_host, command, language) for number, command in enumerate(JOURNEY)}
    look_at(shown)


def look_at(shown: dict[str, str]) -> None:
    """Print what was shown, for people, and see that it is whole and fits."""
    print(*(f"$ {command}\n{text}" for command, text in shown.items()), sep="\n")
    assert all(shown.values())
    assert not [text for text in shown.values() if "Traceback" in text or "\x1b" in text]
    wide = [line for text in shown.values() for line in text.splitlines() if cell_len(line) > 80]
    assert [line for line in wide if not is_to_be_copied(line)] == []


class Screen:
    """Sees commands in one language, and keeps what they showed."""

    def __init__(self, host: Machine, language: str) -> None:
        self.host, self.language = host, language
        self.shown: dict[str, str] = {}
        self.lacks: list[str] = []

    def see(self, command: str, *words: str) -> str:
        """What the command shows, in which these words must stand: what is the same in every language, or English."""
        text = seen(self.host, command, self.language)
        self.shown[f"{len(self.shown)}: {command}"] = text
        plain = " ".join(text.split())
        absent = [word for word in words if word not in plain and (self.language == "en" or is_name(word))]
        if absent:
            self.lacks.append(f"{command}: no {absent} in:\n{text}")
        return text


def is_name(word: str) -> bool:
    """Whether the word is a name or a command, which no language translates."""
    return word.isupper() or " " not in word or word.startswith("nicpass ")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_newcomers_met(fresh_host: Machine, language: str) -> None:
    """Each point once more, as a person would see it; that each holds is tested by itself elsewhere."""
    screen = Screen(fresh_host, language)
    try:
        see_words(screen)
        see_a_nic_that_was_given_away(screen)
        see_a_run_at_work(screen)
        see_a_veto_and_its_way_out(screen)
        see_an_intention(screen)
        see_one_mac_twice(screen)
        see_an_orphan_and_a_nic_that_is_gone(screen)
        see_the_trail(screen)
    finally:
        look_at(screen.shown)
    assert not screen.lacks, "\n".join(screen.lacks)


def see_words(screen: Screen) -> None:
    """Help, and what a wrong word is answered with."""
    screen.see("nicpass --help", "A VM is a virtual machine", "A PF is such a NIC")
    screen.see("nicpass attach --help", "VM", "NIC")
    screen.see("nicpass recover --dry-run", "--dry-run")
    screen.see(f"nicpass attach web01 {NIC} --strat", "--start")
    screen.see(f"nicpass attach {NIC} web01", "web01", NIC)
    screen.see(f"nicpass attach web1 {NIC}", "web01")
    screen.see("nicpass list enp2s", NIC)
    screen.see("nicpass explain GROUP_SHRED", "GROUP_SHARED")
    screen.see("nicpass explain HAS_ADDRESS", "HAS_ADDRESS")
    screen.host.succeed(f"ip address add 192.0.2.8/24 dev {PF} && ip link set {PF} up")
    screen.see(f"nicpass attach web01 {PF}", "HAS_ADDRESS", "ip address del 192.0.2.8/24")
    screen.host.succeed(f"ip address del 192.0.2.8/24 dev {PF}; ip link set {PF} down")
    screen.see(f"nicpass vf create {PF} --count 1 --dry-run", PF)
    screen.see("nicpass snapshot | nicpass list --snapshot -", NIC)
    screen.see(f"nicpass list {NIC} --json", '"schema":')


def see_a_nic_that_was_given_away(screen: Screen) -> None:
    """It is found by the names that it had, and shown with them."""
    screen.see(f"nicpass attach web01 {NIC} --start", "web01")
    screen.see("nicpass list", f"({NIC})", "web01")
    screen.see(f"nicpass list {MAC}", ADDRESS, "web01")
    screen.see(f"nicpass check {NIC}", "web01")
    screen.see(f"nicpass detach web01 {MAC} --dry-run", ADDRESS)


def see_a_run_at_work(screen: Screen) -> None:
    """Nobody is told to recover from it; who comes second is told who is first."""
    with held_at(screen.host, Death("after", 2), f"detach web01 {NIC} --stop"):
        assert "nicpass recover" not in screen.see("nicpass list", "at work")
        assert "nicpass recover" not in screen.see("nicpass history", "at work")
        screen.see(f"nicpass attach db01 {NIC}", "Another run is at work", "nicpass detach")
    screen.see(f"nicpass list {NIC}", NIC)


def see_a_veto_and_its_way_out(screen: Screen) -> None:
    """What printed command ends it, and where it can be read afterwards."""
    host = screen.host
    screen.see(f"nicpass attach web01 {NIC}", "web01")
    host.succeed(f"ip address add 192.0.2.9/24 dev {NIC} && ip link set {NIC} up")
    screen.see("virsh start web01", "HAS_ADDRESS")
    for command in ("nicpass list", f"nicpass check {NIC}", "nicpass history"):
        screen.see(command, "web01")
    screen.see(f"nicpass attach web01 {NIC} --allow HAS_ADDRESS", "web01")
    host.succeed("virsh start web01", 240)
    screen.see(f"nicpass detach web01 {NIC} --stop", NIC)
    host.succeed(f"ip address del 192.0.2.9/24 dev {NIC}; ip link set {NIC} down")


def see_an_intention(screen: Screen) -> None:
    """A file that is going to configure the NIC stands in the way now, with the lasting mend."""
    path = "/etc/systemd/network/20-lan.network"
    screen.host.put_file(path, f"[Match]\nName={NIC}\n[Network]\nAddress=192.0.2.9/24\n")
    screen.see(f"nicpass attach web01 {NIC}", path)
    screen.host.succeed(["rm", path])


def see_one_mac_twice(screen: Screen) -> None:
    """A PF can serve one of two VFs that have the same MAC in the same VLAN."""
    screen.host.succeed(f"ip link set {PF} up")
    screen.see(f"nicpass vf create {PF} --count 2", f"{PF} ")
    first, second = (screen.host.succeed(f"basename $(readlink {DEVICE}/virtfn{n})").strip() for n in range(2))
    screen.see(f"nicpass attach db01 {first} --mac {TWICE} --vlan 20", "db01")
    screen.see(f"nicpass attach web01 {second} --mac {TWICE} --vlan 20", TWICE)
    screen.host.succeed(f"ip link set {PF} vf 0 mac {TWICE} vlan 20; ip link set {PF} vf 1 mac {TWICE} vlan 20")
    screen.see("nicpass check --security", TWICE)
    screen.host.succeed(f"ip link set {PF} vf 0 mac {OTHER} vlan 0; ip link set {PF} vf 1 mac {THIRD} vlan 0")


def see_an_orphan_and_a_nic_that_is_gone(screen: Screen) -> None:
    """A VM undefined with its VF, and a VF that is no more: told, settled, given back from the record."""
    host = screen.host
    first, second = (host.succeed(f"basename $(readlink {DEVICE}/virtfn{n})").strip() for n in range(2))
    screen.see(f"nicpass attach web01 {second}", "web01")
    host.succeed("virsh dumpxml db01 --inactive > /root/db01.xml && virsh undefine db01 --keep-nvram")
    screen.see("nicpass list", "db01")
    screen.see("nicpass check", "db01")
    screen.see("nicpass recover", "db01")
    host.succeed(f"echo 0 > {DEVICE}/sriov_numvfs")
    screen.see("nicpass list", second)
    screen.see(f"nicpass check {second}", second)
    screen.see("virsh start web01", second, "has no VFs")
    screen.see(f"nicpass detach web01 {second}", second)
    screen.see(f"nicpass vf remove {PF}", PF)
    host.succeed("sed -i '/<interface type=.hostdev/,/<.interface>/d' /root/db01.xml && virsh define /root/db01.xml")
    assert first


def see_the_trail(screen: Screen) -> None:
    """What was changed, with all the words of each command."""
    changes = json.loads(screen.host.succeed("nicpass history --json"))["changes"]
    number = next(change["id"] for change in changes if "db01" in change["summary"])
    screen.see(f"nicpass show {number}", f"--mac {TWICE}", "--vlan 20")
    screen.see("nicpass history", "db01")
    log = "journalctl --boot --identifier nicpass --output cat --no-pager | tail -n 12 | fold -s -w 80"
    screen.see(log, "attach db01")


def is_to_be_copied(line: str) -> bool:
    """Whether the line is another program's, or a command or path, which nobody could copy if it were folded."""
    return line.startswith(_OF_OTHERS) or len(line.split()) == 1 or line.lstrip().startswith(_COPIED)
