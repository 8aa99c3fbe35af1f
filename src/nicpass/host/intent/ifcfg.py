# SPDX-License-Identifier: Apache-2.0
"""Files called ifcfg-*, of a shell's variables: Red Hat's (initscripts, NetworkManager) and SUSE's (wicked).

Sources: initscripts, sysconfig.txt; nm-settings-ifcfg-rh(5); ifcfg(5), ifcfg-bridge(5), ifcfg-bonding(5), ifcfg-vlan(5)
of wicked.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from nicpass.host.intent.nic import Nic
    from nicpass.host.intent.reading import Reading

REDHAT, SUSE = "/etc/sysconfig/network-scripts", "/etc/sysconfig/network"
INITSCRIPTS, WICKED = "initscripts", "wicked"
_WICKED_XML = "/etc/wicked/ifconfig"
_IGNORED = (".bak", ".orig", ".rpmnew", ".rpmorig", ".rpmsave", ".swp", "~", ".old", ".template")
_BY_HAND = ("off", "manual")
_MASTERS = ("BRIDGE", "MASTER", "TEAM_MASTER", "BRIDGE_UUID", "MASTER_UUID", "TEAM_MASTER_UUID", "OVS_BRIDGE")
_PORTS = r"BRIDGE_PORTS|BONDING_SLAVE_?\d+|TEAM_PORT_DEVICE_?\d+|OVS_BRIDGE_PORT_DEVICE_?\d+"
_PARENTS = ("ETHERDEVICE", "MACVLAN_DEVICE", "TUNNEL_DEVICE", "VXLAN_DEVICE", "PHYSDEV", "VLAN_PHYSDEV")

Variables: TypeAlias = "dict[str, str]"


_VFS = "SRIOV_TOTAL_VFS"


def read_intents(reading: Reading) -> set[str]:
    """The NICs that have a file of Red Hat's kind of their own; NetworkManager then makes no profile for them."""
    provided: set[str] = set()
    for folder, manager in ((REDHAT, INITSCRIPTS), (SUSE, WICKED)):
        names = [n for n in reading.names(folder) if n.startswith("ifcfg-") and not n.endswith((*_IGNORED, "-lo"))]
        for path, text in reading.texts(f"{folder}/{name}" for name in names):
            variables = parse_variables(text)
            for nic in reading.nics:
                if _tell(reading, nic, path, variables, manager) and manager == INITSCRIPTS:
                    provided.add(nic.name)
    _read_wicked_xml(reading)
    return provided


def parse_variables(text: str) -> Variables:
    """`NAME=value` as a shell reads it; a line that is not understood is kept as it stands after its `=`."""
    found: Variables = {}
    for line in map(str.strip, text.splitlines()):
        name, equals, value = line.removeprefix("export ").partition("=")
        if equals and name.isidentifier():
            try:
                found[name] = " ".join(shlex.split(value, comments=True))
            except ValueError:
                found[name] = value
    return found


def _tell(reading: Reading, nic: Nic, path: str, variables: Variables, manager: str) -> bool:
    """Whether the file is this NIC's own, after what it says has been kept."""
    own = path.rpartition("/ifcfg-")[2]
    device = variables.get("DEVICE") or (own if manager == WICKED or "HWADDR" not in variables else "")
    for key, value in variables.items():
        if re.fullmatch(_PORTS, key) and any(nic.is_meant(word) for word in value.split()):
            reading.add(nic, manager, "port", path, f"{key}={value}", device)
        elif key in _PARENTS and nic.is_meant(value):
            reading.add(nic, manager, "parent", path, f"{key}={value}", device)
    if re.sub(r"\.\d+$", "", device) in nic.names and device not in nic.names:
        reading.add(nic, manager, "parent", path, f"DEVICE={device}", device)
    is_own = _is_own(nic, device.split(":")[0], variables, manager)
    if is_own:
        _tell_own(reading, nic, path, variables, manager)
    return is_own


def _is_own(nic: Nic, device: str, variables: Variables, manager: str) -> bool:
    mac = variables.get("HWADDR" if manager == INITSCRIPTS else "LLADDR_MATCH", "")
    if variables.get("TYPE", "Ethernet").lower() not in ("ethernet", "infiniband", "ovsport"):
        return False
    if mac and nic.has_mac([mac]):
        return True
    return device in nic.names and not (mac and nic.macs)


def _tell_own(reading: Reading, nic: Nic, path: str, variables: Variables, manager: str) -> None:
    total = variables.get(_VFS)
    reading.add_count(nic, path, f"{_VFS}={total}", total)
    master = next((key for key in _MASTERS if variables.get(key)), None)
    if master is not None and manager == INITSCRIPTS:
        reading.add(nic, manager, "port", path, f"{master}={variables[master]}", variables[master])
        return
    key, default = ("ONBOOT", "yes") if manager == INITSCRIPTS else ("STARTMODE", "manual")
    value = variables.get(key, default)
    if value.lower() in (*_BY_HAND, "no", "false", "0"):
        return
    reading.add(nic, manager, "configure", path, f"{key}={value} BOOTPROTO={variables.get('BOOTPROTO', 'none')}")


def _read_wicked_xml(reading: Reading) -> None:
    """wicked's own format, which is not read further: what it names it means."""
    names = [name for name in reading.names(_WICKED_XML) if name.endswith(".xml")]
    for path, text in reading.texts(f"{_WICKED_XML}/{name}" for name in names):
        words = set(re.findall(r"[^\s<>\"']+", text))
        for nic in reading.nics:
            if (found := next(filter(nic.is_meant, sorted(words)), None)) is not None:
                reading.add(nic, WICKED, "unclear", path, found)
