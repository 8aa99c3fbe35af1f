# SPDX-License-Identifier: Apache-2.0
"""Codes about programs that use a NIC beside the network stack."""

from __future__ import annotations

from nicpass.checks.catalogue.entry import Entry
from nicpass.model.finding import Severity

ENTRIES: dict[str, Entry] = {
    "RDMA_DEVICE": Entry(
        severity=Severity.INFO,
        sentence="{nic} has the RDMA device {name}.",
        meaning="It goes to the VM together with the NIC; programs of the host that would use RDMA lose it.",
        background="An RDMA device stands on the same PCI function as the network interface. The kernel itself may use "
        "it too, for NFS, iSER or NVMe over RDMA; such storage is told by its server's address.",
    ),
    "RDMA_IN_USE": Entry(
        severity=Severity.UNSAFE,
        sentence="The RDMA device {name} of {nic} is open in {programs}.",
        meaning="The program has memory and queues in the card's hands and loses its connections.",
        background="A program that has /dev/infiniband/uverbsN open talks to the card directly: MPI, storage daemons, "
        "DPDK on cards of Mellanox. Unbinding the driver takes the device away under it, and may wait until the "
        "program closes it.",
        mend="Stop the program first: {programs}.",
    ),
    "PTP_IN_USE": Entry(
        severity=Severity.UNSAFE,
        sentence="The clock {name} of {nic} is open in {programs}.",
        meaning="The host's time, or that of others whom it serves, is kept by this clock.",
        background="A NIC with a hardware clock (PTP, IEEE 1588) is read by ptp4l, phc2sys, chronyd or ts2phc, which "
        "set the system's clock by it. When the NIC goes, the clock device goes, and the system's time drifts.",
        mend="Stop the program, or give it another clock; --allow PTP_IN_USE if the time may drift.",
    ),
    "XDP_ATTACHED": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} has an XDP program attached ({programs}).",
        meaning="Something of the host (a load balancer, a firewall, Cilium) handles packets on it before the kernel.",
        background="An XDP program sees each packet first and may drop, change or send it on, without any address "
        "or route on the interface. It is taken off when the interface goes, and nobody puts it back.",
        mend="Stop what attached it, or take it off; --allow XDP_ATTACHED if it may go.",
        command="ip link set dev {netdev} xdp off\nip link set dev {netdev} xdpgeneric off",
    ),
    "AF_XDP_IN_USE": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is used by AF_XDP sockets of {programs}.",
        meaning="The program takes packets straight from the card's queues and would get none any more.",
        background="AF_XDP sockets share memory with the driver of one queue, beside the network stack; Open vSwitch, "
        "DPDK and VPP use them. No address and no route shows it.",
        mend="Stop the program first: {programs}.",
    ),
    "AF_PACKET_IN_USE": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is used by packet sockets of {programs}.",
        meaning="A program that is no mere listener takes packets from the NIC and may send by it.",
        background="A packet socket sees an interface's frames beside the network stack. DHCP clients, LLDP daemons "
        "and tcpdump only serve the interface or look on, and are told as a note. Of all others it is not known: VPP, "
        "DPDK, an intrusion prevention, PPPoE in userspace or 802.1X may have no address and no route on the "
        "interface, and carry all that goes through it.",
        mend="Stop the program first: {programs}; --allow AF_PACKET_IN_USE if it only listens.",
    ),
    "HELD_BY_PROCESS": Entry(
        severity=Severity.UNSAFE,
        sentence="{nic} is held open by {programs}.",
        meaning="A program outside libvirt has the whole device: DPDK, or a VM that libvirt does not know.",
        background="A program that has /dev/vfio/GROUP, /dev/vfio/devices/vfioN, /dev/vhost-vdpa-N or /dev/uioN open "
        "drives the device itself. While it has it open, the kernel cannot unbind the driver: the attempt waits, and "
        "cannot be interrupted.",
        mend="Stop the program first: {programs}.",
        command="ps -fp {processes}",
    ),
    "CAPTURED_BY": Entry(
        severity=Severity.INFO,
        sentence="Programs listen to the packets of {netdev}, which stands on {nic}: {programs}.",
        meaning="A DHCP client, an LLDP daemon or a capture: it ends or goes on elsewhere when the NIC goes.",
        background="A packet socket sees an interface's frames beside the network stack. Most belong to daemons that "
        "serve the interface itself and lose nothing with it; a capture or an intrusion detection would see no more.",
    ),
}
