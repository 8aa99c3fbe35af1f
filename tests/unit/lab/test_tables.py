# SPDX-License-Identifier: Apache-2.0
"""Where NICs sit, and what a shape's own DMAR says of it."""

from __future__ import annotations

import struct

import pytest

from lab.dmar import add_rmrr, pack_scope, seal_table
from lab.guest_image import Entry, cpio
from lab.placement import nic_arguments, pci_path
from lab.shape import TANGLED, Nic, NicModel, Place, Shape
from lab.tables import change_dmar, prepend_table

MAC = "52:54:00:00:00:0{}"


def nics(*places: Place) -> tuple[Nic, ...]:
    return tuple(Nic(NicModel.E1000E, MAC.format(number), place) for number, place in enumerate(places))


def devices(*places: Place) -> list[str]:
    return [argument for argument in nic_arguments(nics(*places)) if "," in argument]


def dmar(*ports: int) -> bytes:
    """A table as QEMU makes it: one unit, and a scope for each port of bus 0."""
    scopes = b"".join(pack_scope(((port, 0),), kind=2) for port in ports)
    unit = struct.pack("<HHBBHQ", 0, 16 + len(scopes), 0, 0, 0, 0xFED90000) + scopes
    return seal_table(b"DMAR" + bytes(44) + unit)


def test_functions_of_one_card_share_its_slot() -> None:
    found = devices(Place.ROOT_PORT, Place.SIBLING, Place.ROOT_PORT)
    assert any(device.endswith("bus=nic0-port,addr=0x0.0x0,multifunction=on") for device in found)
    assert any(device.endswith("bus=nic0-port,addr=0x0.0x1") for device in found)
    assert any(device.endswith("bus=nic2-port,addr=0x0") for device in found)
    assert len([device for device in found if device.startswith("pcie-root-port")]) == 2


def test_a_switch_has_a_port_for_each_nic() -> None:
    found = devices(Place.SWITCH, Place.SWITCH)
    assert len([device for device in found if device.startswith("x3130-upstream")]) == 1
    assert [device for device in found if device.startswith("xio3130-downstream")] == [
        "xio3130-downstream,id=nic0-port,bus=switch,addr=0x0,chassis=64",
        "xio3130-downstream,id=nic1-port,bus=switch,addr=0x1,chassis=65",
    ]


def test_a_cable_wires_two_nics_and_nothing_else() -> None:
    wired = [Nic(NicModel.IGB, MAC.format(number), cable=7) for number in (1, 2)]
    networks = [argument for argument in nic_arguments([*wired, *nics(Place.ROOT_PORT)]) if ",id=net" in argument]
    assert networks == ["hubport,id=net0,hubid=7", "hubport,id=net1,hubid=7", "user,id=net2,restrict=on,ipv6=off"]


@pytest.mark.parametrize(("ssh", "forwards"), [(True, 1), (False, 0)])
def test_ssh_goes_to_the_nic_that_has_it(ssh: bool, forwards: int) -> None:
    chosen = Nic(NicModel.IGB, MAC.format(1), ssh=ssh)
    arguments = list(nic_arguments([chosen, *nics(Place.ROOT_PORT)], ssh_port=2022))
    assert len([a for a in arguments if "hostfwd=tcp:127.0.0.1:2022-10.0.2.15:22" in a]) == forwards


@pytest.mark.parametrize(
    ("places", "path"),
    [
        ((Place.ROOT_PORT,), ((0x10, 0), (0, 0))),
        ((Place.ROOT_PORT, Place.SIBLING, Place.SIBLING), ((0x10, 0), (0, 2))),
        ((Place.ROOT_PORT, Place.SWITCH, Place.SWITCH), ((0x1D, 0), (0, 0), (1, 0), (0, 0))),
        ((Place.ROOT_PORT, Place.BRIDGE), ((0x1E, 0), (0, 0), (2, 0))),
        ((Place.ROOT_BUS, Place.ROOT_BUS), ((9, 0),)),
    ],
)
def test_the_path_of_a_nic(places: tuple[Place, ...], path: tuple[tuple[int, int], ...]) -> None:
    assert pci_path(nics(*places), len(places) - 1) == path


def test_a_table_of_its_own_names_every_port_but_one() -> None:
    changed = change_dmar(dmar(0x10, 0x1F), TANGLED)
    ports = [changed[at + 6] for at in range(64, 48 + struct.unpack_from("<H", changed, 50)[0], 8)]
    assert ports == [0x10, 0x1F, 0x11, 0x12, 0x1D, 0x1E]
    assert sum(changed) % 256 == 0


def test_a_table_of_its_own_reserves_memory_for_the_nic() -> None:
    shape = Shape("one", TANGLED.iommu, TANGLED.nics[:2], dmar_flags=5, reserved=TANGLED.reserved)
    region = TANGLED.reserved[0]
    changed = change_dmar(dmar(0x10, 0x11), shape)
    assert changed[37] == 5
    flagless = seal_table(changed[:37] + b"\0" + changed[38:])
    assert flagless == add_rmrr(dmar(0x10, 0x11), region.base, region.end, ((0x11, 0), (0, 0)))


def test_a_table_stands_before_the_initrd_as_the_kernel_wants_it() -> None:
    changed = prepend_table(b"INITRD", "dmar", b"TABLE")
    archive = changed.removesuffix(b"INITRD")
    assert archive.rstrip(b"\0").endswith(b"TRAILER!!!")
    assert b"kernel/firmware/acpi/dmar.aml\0" in archive
    assert archive.startswith(cpio([Entry("kernel", 0o040755)])[:110])
    assert len(archive) % 4 == 0
