# SPDX-License-Identifier: Apache-2.0
"""Codes about what a NIC is meant for (law 9), whether or not anything has come of it yet."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "TO_BE_CONFIGURED": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is to be configured by {manager}: {source} says {text}.",
        meaning="It has no address now, and may get one at any minute or at the next boot: it only looks free.",
        background="A network manager gives a NIC its address when there is a cable and an answer, and again at each "
        "boot. Until then the NIC has none, which is not the same as being free: the host's own way to the world may "
        "look like this during a boot, or while a DHCP server does not answer. What systemd-networkd, NetworkManager, "
        "netplan, ifupdown, initscripts, wicked, dhcpcd, the kernel's arguments, the initramfs and systemd's units say "
        "of a NIC is read, by its names, its MACs, its driver and its path, also where a pattern means it with many "
        "others. So is a DHCP client that runs for it. One that they are told to leave alone is free. --allow "
        "HAS_ADDRESS includes this.",
        mend="{advice} Or --allow TO_BE_CONFIGURED, if the host can do without.",
        command="{undo}",
    ),
    "TO_BE_PART": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is to be part of another interface, {target}: {source} says {text} ({manager}).",
        meaning="At the next boot, or when that is brought up, it would be missed there.",
        background="A file names the NIC as a port of a bridge, bond or team, or as what a VLAN, a macvlan or a PPPoE "
        "session stands on. It is not so at this minute, else HAS_UPPER would say it. After a boot the manager would "
        "wait for the NIC, or make the other interface without it.",
        mend="{advice} Or --allow TO_BE_PART, if {target} may be without it.",
        command="{undo}",
    ),
    "WAITED_FOR": Entry(
        severity=Severity.UNSAFE,
        sentence="The boot waits for {nic}: {source} says {text} ({manager}).",
        meaning="Without it the next boot stands still until a time limit, and what needs the network may fail.",
        background="Units of systemd can wait for one interface by name: systemd-networkd-wait-online with "
        "--interface, or a device unit of the interface. What is ordered after them starts late, or not at all.",
        mend="{advice} Or --allow WAITED_FOR, if the boot may wait in vain.",
        command="{undo}",
    ),
    "NAMED_UNCLEARLY": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} may be meant by a configuration that was not understood: {source} ({manager}): {text}.",
        meaning="Unknown counts as in use: the NIC may be about to get an address.",
        background="The file names the NIC, or matches NICs by something, and is written in a way that is not read "
        "further here; or its manager has not said yet what it will do. Look at it, and decide.",
        mend="{advice} Or --allow NAMED_UNCLEARLY, after a look at it.",
        command="{undo}",
    ),
    "CONFIGURED_BY": Entry(
        severity=Severity.INFO,
        sentence="{nic} has what stands on it from {manager}: {source} says {text}.",
        meaning="What is taken off it by hand comes back from there, at the latest with the next boot.",
        background="Another finding says what stands on the NIC now, and that is what has to be allowed; this one "
        "says where it comes from, and so where to change it for good.",
    ),
}
