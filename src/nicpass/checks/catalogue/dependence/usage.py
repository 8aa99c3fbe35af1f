# SPDX-License-Identifier: Apache-2.0
"""Codes about what the host would lose with a NIC."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "CARRIES_DEFAULT_ROUTE": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} carries the host's default route: {chain}.",
        meaning="Without it the host, and whoever administers it from afar, loses the network.",
        background="A default route takes everything for which there is no narrower one. Every routing table is "
        "looked at, of IPv4 and IPv6, since rules may send traffic to any of them. When the interface goes, the "
        "kernel removes its routes at once, and nothing puts them on another interface by itself.",
        mend="Move the default route to another NIC first; if this one can make VFs, give away one of them instead.",
        command="ip {family}route del {route}",
    ),
    "CARRIES_ROUTE": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} carries a route of the host: {chain}.",
        meaning="What the host reaches by that route it would no longer reach.",
        background="Somebody, or a daemon, has made this route; the ones that the kernel makes for each address are "
        "not told. When the interface goes, its routes go too, also when the interface comes back later.",
        mend="Remove the route, or give away another NIC; --allow CARRIES_ROUTE if it may go.",
        command="ip {family}route del {route}",
    ),
    "HAS_ADDRESS": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} carries an address of the host: {chain}.",
        meaning="Whoever talks to the host by that address would be cut off.",
        background="The address stands on the NIC's own interface, or on a bond, bridge, VLAN or tunnel above it. "
        "Link-local addresses of IPv6 are not counted: every interface that is up has one.",
        mend="Remove the address, or give away another NIC; --allow HAS_ADDRESS if it may go.",
        command="ip address del {text} dev {netdev}",
    ),
    "RULE_NAMES_NIC": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is named by a routing rule of the host: {chain}: {rule}.",
        meaning="Somebody routes by this interface on purpose; without it the rule never matches.",
        background="A rule with `iif` or `oif` chooses a routing table by the interface that a packet came in by or "
        "goes out by. When the interface goes, the rule stays, detached, and takes hold of the next interface of "
        "that name. A host that only forwards may have no address on the NIC and such a rule.",
        mend="Remove the rule, or give away another NIC; --allow RULE_NAMES_NIC if it may stay.",
        command="ip {family}rule del {words}",
    ),
    "HAS_UPPER": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is part of another interface: {chain}.",
        meaning="A bond, team, bridge, VLAN or macvlan of the host or of a container stands on it and would lose it.",
        background="Interfaces stand on each other: a port belongs to a bond, bridge, team, HSR ring, VRF or Open "
        "vSwitch, a VLAN, macvlan or macvtap (a VM's, perhaps) names the interface below it, PPPoE goes by it, and a "
        "filter of tc sends packets from one to another. What stands on it in another network namespace, as a "
        "container's macvlan does, shows only there, and is looked for there. When the lower one goes, ports "
        "drop out, and VLANs and macvlans are deleted together with their addresses.",
        mend="Take it out first; what stands on it then goes without this NIC.",
        command="{undo}",
    ),
    "CARRIES_TUNNEL": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} carries a tunnel of the host: {chain}.",
        meaning="What goes through the tunnel would stop, although the tunnel's own interface stays.",
        background="A tunnel (VXLAN, Geneve, GRE, IPIP, WireGuard) is no part of the NIC; it needs a route to its "
        "other end, or its own address, and those are on this NIC. Every table's best route to the other end counts, "
        "so more than one NIC may be told for one tunnel.",
        mend="Take the tunnel down, or lead its other end over another NIC; --allow CARRIES_TUNNEL if it may go.",
        command="ip link delete {tunnel}",
    ),
    "BOND_LAST_PORT": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is the last port of {upper} that has a carrier.",
        meaning="Without it the bond or team is down, with all that stands on it.",
        background="A bond or team is up as long as one of its ports is. The others are down, have no carrier, or "
        "there are none, so it has no redundancy now.",
        mend="Bring another port of {upper} up first (ip link show master {upper}), then take this one out.",
    ),
    "BOND_STAYS_UP": Entry(
        severity=Severity.INFO,
        sentence="{nic} is one of several ports of {upper}, which would stay up without it by {others}.",
        meaning="Taking it out of there first costs redundancy and bandwidth, not the connection.",
        background="A bond or team goes on with the ports that are left. It is refused all the same while the NIC is "
        "a port: take it out of the bond on purpose, and see that the bond still works, before it is given away.",
    ),
    "USE_UNKNOWN": Entry(
        severity=Severity.UNSAFE,
        sentence="What the host uses {nic} for could not be learned: {reason}.",
        meaning="Unknown counts as in use: the NIC might carry the network of the host.",
        background="Every way by which the host depends on a NIC is looked at before it may go. One of them could not "
        "be read: a capture lacks it, the rights do not suffice, or the kernel does not tell. That nothing was seen "
        "is then no proof that there is nothing.",
        mend="Run it as root on the machine itself.",
    ),
    "NETDEV_ELSEWHERE": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is on its network driver {driver} and shows no interface here: {place}.",
        meaning="A container or another network namespace may be using it, or its driver failed to make an interface.",
        background="An interface is visible in one network namespace only. Container runtimes move whole NICs into "
        "a container's, and there it may carry anything; this host's routes and addresses say nothing of it. "
        "Namespaces with a name are in /run/netns, the others are those of running processes.",
        mend="Bring the interface back from there, or see why there is none.",
        command="{undo}",
    ),
    "PF_HAS_VFS": Entry(
        severity=Severity.UNSAFE,
        sentence="The VFs of {nic} ({count}) would vanish with it.",
        meaning="A PF is not given away while it has VFs: somebody may be using them.",
        background="VFs exist by grace of their PF's driver. When the PF leaves its driver, the VFs disappear from the "
        "bus, or stay without anybody who sets their MACs and VLANs; and a guest that has the PF rules all its VFs.",
        mend="{mend}",
        command="nicpass vf remove {address}",
    ),
    "PF_OF_USED_VFS": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is the PF of VFs that are in use: {vfs}.",
        meaning="VMs or the host would lose these VFs in the midst of their work.",
        background="A VF that a VM has cannot simply vanish: the kernel waits for the VM to let it go, in a way that "
        "cannot be interrupted. A VF that the host uses takes its addresses and routes along.",
        mend="Take the VFs back from the VMs, and free those that the host uses, before anything is done to the PF.",
    ),
    "HAS_SUBDEVICES": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} has devices below it, which would vanish with it: {devices}.",
        meaning="A container, a VM or the host itself may be using them.",
        background="Subfunctions (devlink port add ... flavour pcisf) and vDPA devices are made out of a NIC as VFs "
        "are, and have no PCI address. A subfunction brings an interface and an RDMA device of its own, often in a "
        "container; a vDPA device is a VM's by /dev/vhost-vdpa-N, or the host's by virtio_vdpa. They go with the NIC's "
        "driver.",
        mend="Take them away first: vdpa dev del NAME; devlink port show tells the ports of subfunctions, and "
        "devlink port del PORT removes one.",
        command="{undo}",
    ),
    "BMC_MAY_SHARE": Entry(
        severity=Severity.INFO,
        sentence="{nic} is on the board ({port}) of a machine with a management controller, which may share it.",
        meaning="Whether it does cannot be learned from here; if so, remote management by that port may stop.",
        background="By NC-SI (DMTF DSP0222) a management controller (iDRAC, iLO, XCC, IPMI) talks through a port of "
        "the host's network card, a shared LOM. That is wired on the board and set in the controller: no file, table "
        "or driver of the host tells. A reset of the card, or a guest that sets it up anew, can cut the controller "
        "off.",
        mend="See the controller's own network settings: dedicated, or shared with which port "
        "(ipmitool lan print; the vendor's racadm, hponcfg or OneCLI).",
    ),
    "PF_DOWN": Entry(
        severity=Severity.IMPOSSIBLE,
        sentence="{nic} is a VF of {pf}, which is down.",
        meaning="libvirt sets the VF's MAC and VLAN when the VM starts, and does so only by a PF that is up.",
        background="A VF's MAC and VLAN are set by its PF's driver. libvirt refuses to while the PF's interface is "
        "administratively down ('because the PF is not online'), and many drivers let a VF have a link only while its "
        "PF is up. It needs no address for that. To last over reboots it must also be told to the host's network "
        "manager.",
        mend="Bring the PF up; in the configuration of the host's network manager too, so that it lasts.",
        command="ip link set dev {netdev} up",
    ),
    "VFS_NEARBY": Entry(
        severity=Severity.WARNING,
        sentence="{nic} may be the PF of VFs beside it that show no PF: {vfs}.",
        meaning="They are bound to a driver of VFs. If they are its own, they vanish with it.",
        background="The kernel links each VF with its PF (physfn, virtfn0 ...). These links are missing here, as in a "
        "capture that was made without them, or in a VM that was given VFs only. What remains is a driver that binds "
        "nothing but VFs, on the same bus and of the same vendor.",
        mend="See whose they are.",
        command="ls -l /sys/bus/pci/devices/{address}/virtfn*",
    ),
    "OWNED_BY_VM": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} belongs to the VM {owners} already.",
        meaning="It stands in that VM's definition, running or not.",
        background="A device can be in one running VM only, and libvirt takes it from the host at each start of a VM "
        "that has it in its definition. Two VMs with the same device cannot run at the same time.",
        mend="Take it out of that VM first.",
        command="nicpass detach {owner} {address}",
    ),
}
