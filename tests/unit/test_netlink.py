# SPDX-License-Identifier: Apache-2.0
"""What rtnetlink's messages become, on messages that the library itself has encoded and decoded again."""

from __future__ import annotations

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

from nicpass.host.netlink import _address_of, _vfs_of
from nicpass.host.rtnetlink import Kind, Message, dump
from nicpass.model.network import VfSettings

UNSUPPORTED = 0xFFFFFFFF
"""What a driver says of a switch that it does not have."""


def recode(message: Message) -> Message:
    """As it would come from the kernel."""
    message.encode()
    decoded = type(message)(message.data)
    decoded.decode()
    return decoded


def vf_info(**switches: int) -> Message:
    attributes: list[object] = [("IFLA_VF_MAC", {"vf": 3, "mac": "52:54:00:12:34:56"})]
    attributes += [("IFLA_VF_VLAN", {"vf": 3, "vlan": 20, "qos": 0})]
    attributes += [(f"IFLA_VF_{name.upper()}", {"vf": 3, name: value}) for name, value in switches.items()]
    message = ifinfmsg()
    message["attrs"] = [("IFLA_VFINFO_LIST", {"attrs": [("IFLA_VF_INFO", {"attrs": attributes})]})]
    return recode(message)


@pytest.mark.parametrize(("value", "meant"), [(0, False), (1, True), (UNSUPPORTED, None)])
def test_a_vf_and_its_switches(value: int, meant: bool | None) -> None:
    found = list(_vfs_of(vf_info(spoofchk=value, trust=value)))
    assert found == [VfSettings(vf_index=3, mac="52:54:00:12:34:56", vlan=20, spoofchk=meant, trust=meant)]


def test_a_driver_that_tells_no_switch() -> None:
    (found,) = _vfs_of(vf_info())
    assert found.spoofchk is None
    assert found.trust is None


def test_the_two_ends_of_a_point_to_point_address() -> None:
    message = ifaddrmsg()
    message.update({"family": 2, "prefixlen": 32, "flags": 0x80, "scope": 0, "index": 7})
    message["attrs"] = [("IFA_ADDRESS", "192.0.2.2"), ("IFA_LOCAL", "192.0.2.1"), ("IFA_FLAGS", 0x80)]
    address = _address_of(recode(message), {7: "eth7"})
    assert (address.netdev, address.text, address.peer, address.dynamic) == ("eth7", "192.0.2.1/32", "192.0.2.2", False)


def test_a_dump_is_what_the_whole_library_says() -> None:
    from nicpass.host.netlink import dump_network

    ours = dump_network()
    from pyroute2 import IPRoute  # whole, also after its decoders were loaded alone

    with IPRoute() as kernel:
        assert [link.name for link in ours.links] == [m.get_attr("IFLA_IFNAME") for m in kernel.link("dump")]
        assert isinstance(ours.addresses, tuple)
        assert len(ours.addresses) == len(list(kernel.get_addr()))


def test_what_the_kernel_refuses_is_its_own_errno() -> None:
    with pytest.raises(OSError, match="not supported"):
        dump(Kind(request=255, body=bytes(16), decoder="ifinfmsg"))
