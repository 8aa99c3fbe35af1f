# SPDX-License-Identifier: Apache-2.0
"""Short words for the hosts that tests want, and generated ones with thousands of functions."""

from __future__ import annotations

import dataclasses

from nicpass.model.network import Intents, IpAddress, Link, Network, Route
from tests.support.trees import BLOCK, BRIDGE, NVME, Function, Tree, Vm, mac_of

VM = Vm(name="guest")


def nic(address: str, *netdevs: str, group: int | None = 10, **more: object) -> Function:
    """An Ethernet controller."""
    return dataclasses.replace(
        Function(address=address, netdevs=netdevs, group=group),
        **more,  # type: ignore[arg-type]
    )


def bridge(address: str, group: int | None = 1, under: str | None = None) -> Function:
    """A root port or the port of a switch."""
    return Function(
        address=address, class_code=BRIDGE, device_id=0x1901, driver="pcieport", group=group, under=under, numa_node=0
    )


def pf_with_vfs(
    address: str, netdev: str, vfs: int, *, totalvfs: int = 63, group: int = 20, under: str | None = None
) -> tuple[Function, ...]:
    """A PF and its VFs, each with a driver, an interface and a group of its own; offset 16, stride 1."""
    prefix = address.rsplit(":", 1)[0]
    addresses = tuple(f"{prefix}:{rid >> 3:02x}.{rid & 7:x}" for rid in range(16, 16 + vfs))
    pf = nic(address, netdev, group=group, totalvfs=totalvfs, vfs=addresses, under=under, serial=0x1234)
    made = (
        nic(
            vf,
            f"{netdev}v{index}",
            group=group + 1 + index,
            device_id=0x10ED,
            driver="ixgbevf",
            pf=address,
            vf_index=index,
            under=under,
        )
        for index, vf in enumerate(addresses)
    )
    return pf, *made


def nvme(address: str, disk: str, group: int) -> Function:
    """An NVMe disk."""
    return Function(address=address, class_code=NVME, device_id=0x0A54, driver="nvme", disks=(disk,), group=group)


def virtio_nic(address: str, netdev: str, number: int, group: int | None = None) -> Function:
    return Function(
        address=address,
        vendor_id=0x1AF4,
        device_id=0x1041,
        driver="virtio-pci",
        virtio=number,
        netdevs=(netdev,),
        group=group,
        reset_methods=(),
    )


def virtio_disk(address: str, disk: str, number: int, group: int | None = None) -> Function:
    return Function(
        address=address,
        vendor_id=0x1AF4,
        device_id=0x1042,
        class_code=BLOCK,
        driver="virtio-pci",
        virtio=number,
        disks=(disk,),
        group=group,
        reset_methods=(),
    )


def link(name: str, **more: object) -> Link:
    """An interface that is up and has carrier."""
    fields: dict[str, object] = {
        "mac": mac_of(sum(name.encode())),
        "mtu": 1500,
        "up": True,
        "operstate": "up",
        "carrier": True,
    }
    return Link(name=name, **{**fields, **more})  # type: ignore[arg-type]


def address(netdev: str, text: str, **more: object) -> IpAddress:
    """An address of an interface: `address("eth0", "10.0.0.5/24")`."""
    host, _, length = text.partition("/")
    return IpAddress(netdev=netdev, address=host, prefix_length=int(length), **more)  # type: ignore[arg-type]


def route(netdev: str, destination: str = "default", gateway: str | None = "10.0.0.1", **more: object) -> Route:
    return Route(netdev=netdev, destination=destination, gateway=gateway, **more)  # type: ignore[arg-type]


def network(*items: Link | IpAddress | Route) -> Network:
    """The network made of a mixed list of links, addresses and routes; there is nothing else in it."""
    return Network(
        links=tuple(item for item in items if isinstance(item, Link)),
        addresses=tuple(item for item in items if isinstance(item, IpAddress)),
        routes=tuple(item for item in items if isinstance(item, Route)),
        intents=Intents(),
    )


def ready_host(*functions: Function, net: Network | None = None, **more: object) -> Tree:
    """A host on which nothing stands in the way: one idle NIC `eth1` at 0000:01:00.0, and a stopped VM."""
    chosen = functions or (bridge("0000:00:01.0"), nic("0000:01:00.0", "eth1", under="0000:00:01.0"))
    return Tree(functions=chosen, network=net or idle_network(chosen), vms=(VM,)).but(**more)


def idle_network(functions: tuple[Function, ...]) -> Network:
    """Every interface of these functions, up, with nothing on it."""
    return network(*(link(name) for function in functions for name in function.netdevs))


def generate_functions(count: int) -> tuple[Function, ...]:
    """`count` functions as big hosts have them: root ports, under each a PF with 63 VFs."""
    made: list[Function] = []
    for unit in range(count // 65 + 1):
        port = f"0000:00:{unit // 8 + 1:02x}.{unit % 8:x}"
        made.append(bridge(port, group=unit))
        pf = f"0000:{unit + 1:02x}:00.0"
        made += pf_with_vfs(pf, f"enp{unit + 1}s0", 63, group=1000 + 64 * unit, under=port)
    kept = made[:count]
    present = {function.address for function in kept}
    return tuple(dataclasses.replace(f, vfs=tuple(vf for vf in f.vfs if vf in present)) for f in kept)


def generated_host(count: int) -> Tree:
    """A host with so many functions, every interface up; the first PF carries the default route."""
    functions = generate_functions(count)
    names = [name for function in functions for name in function.netdevs]
    links = [link(name, mac=mac_of(number)) for number, name in enumerate(names)]
    used = (address(names[0], "10.0.0.5/24"), route(names[0]))
    return Tree(functions=functions, network=network(*links, *used), vms=(VM,))
