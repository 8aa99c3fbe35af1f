# SPDX-License-Identifier: Apache-2.0
"""What stands at the end of `nicpass --help`."""

from __future__ import annotations

from nicpass.model.language import _


def epilog() -> str:
    return _("""exit codes:
  0 done, or ready       1 failed and rolled back    2 bad usage or input
  3 not possible here    4 refused for safety        5 reboot needed first
  6 rolled back incompletely, needs a person   7 busy: another run is at work

A VM is a virtual machine that libvirt has; it is named by name or UUID.
A NIC is a network card's port as the host sees it, named by its address
(0000:01:00.0, or 01:00.0), its netdev (enp1s0), or its MAC. A PF is such a NIC
that can make VFs: NICs of their own that share its port, each for another VM.

for example:
  nicpass list                          which NICs there are, and which may go
  nicpass attach web01 enp1s0 --start   give enp1s0 to the VM web01; start it
  nicpass detach web01 enp1s0 --stop    shut it down, take the NIC back""")
