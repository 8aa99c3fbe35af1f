# SPDX-License-Identifier: Apache-2.0
"""The options that say what VFs shall be set to, in the words of `ip link set DEV vf N`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicpass.model.language import _

if TYPE_CHECKING:
    import argparse


def add_vf_settings(parser: argparse.ArgumentParser) -> None:
    """Add what a PF can enforce on its VFs, in the words of `ip link set DEV vf N`."""
    group = parser.add_argument_group(_("settings of VFs"))
    group.add_argument("--mac", help=_("the MAC, of one VF alone (default: one that stays, from its PF's)"))
    group.add_argument("--vlan", type=int, metavar="ID", help=_("the VLAN that the VF is put into; 0 takes it away"))
    group.add_argument("--qos", type=int, metavar="N", help=_("the priority in that VLAN, 0 to 7"))
    group.add_argument("--proto", dest="vlan_protocol", choices=("802.1Q", "802.1ad"), help=_("the VLAN's protocol"))
    on_off = ("on", "off")
    group.add_argument("--spoofchk", choices=on_off, help=_("let nothing out that has another MAC"))
    group.add_argument("--trust", choices=on_off, help=_("let the VF be promiscuous, and choose its MAC"))
    group.add_argument("--min-tx-rate", type=int, metavar="MBIT", help=_("the least rate of sending, in Mbit/s"))
    group.add_argument("--max-tx-rate", type=int, metavar="MBIT", help=_("the greatest; 0 is no limit"))
    states = ("auto", "enable", "disable")
    group.add_argument("--state", dest="link_state", choices=states, help=_("the VF's link: auto is as the PF's own"))
    group.add_argument("--query-rss", choices=on_off, help=_("let the VF ask for the PF's RSS key and table"))
    group.add_argument("--node-guid", metavar="GUID", help=_("of one InfiniBand VF"))
    group.add_argument("--port-guid", metavar="GUID", help=_("of one InfiniBand VF"))
