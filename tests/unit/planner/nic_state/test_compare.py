# SPDX-License-Identifier: Apache-2.0
"""Law 4, field by field: what was recorded is compared, what was not is left out, and no difference is lost."""

from __future__ import annotations

import json
import shlex
from typing import ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nicpass.checks.lookup.index import HostIndex
from nicpass.cli.render.plan_shell import render_shell
from nicpass.engine.attempts import Attempts
from nicpass.engine.nic.give_back import restore_vfs
from nicpass.model.address import Address
from nicpass.model.fact import Unknown
from nicpass.model.host import Host
from nicpass.model.inverse import invert_step
from nicpass.model.network import IpAddress, Link, LinkSettings, Route, Setting, VfSettings
from nicpass.model.pci import PciFunction
from nicpass.model.plan import GiveBackNic, NicState, SetNumvfs
from nicpass.planner.nic_state.compare import compare_states, differences
from nicpass.planner.nic_state.observe import observe_state
from tests.support.hosts import address, link, network, route

NIC = Address("0000:01:00.0")
VF = VfSettings(
    vf_index=0,
    mac="52:54:00:00:00:01",
    vlan=20,
    qos=3,
    vlan_protocol="802.1Q",
    spoofchk=True,
    trust=False,
    link_state="auto",
    min_tx_rate=0,
    max_tx_rate=100,
    query_rss=False,
)
SETTINGS = LinkSettings(
    rings=(Setting("rx", "512"), Setting("tx", "256")),
    channels=(Setting("combined", "4"),),
    coalescing=(Setting("rx-usecs", "3"),),
    pause=(Setting("rx", "1"),),
    features=(Setting("rx-gro", "on"),),
    sysctls=(Setting("ipv4/conf/rp_filter", "2"), Setting("ipv6/conf/accept_ra", "0")),
    port=(Setting("isolated", "1"),),
    port_vlans=(Setting("20", "pvid untagged"),),
)
LINK = link(
    "eth1",
    permanent_mac="52:54:00:00:00:10",
    altnames=("a", "b"),
    txqueuelen=1000,
    promisc=False,
    allmulticast=False,
    alias="uplink",
    qdisc="mq",
    xdp_programs=(7,),
    vfs=(VF,),
    settings=SETTINGS,
)
VLAN = link("eth1.20", kind="vlan", lower="eth1", vlan_id=20, vlan_protocol="802.1Q")
STATE = NicState(
    address=NIC,
    driver="igb",
    links=(LINK,),
    addresses=(
        address("eth1", "10.0.0.5/24", flags=("noprefixroute",), metric=7, broadcast="10.0.0.255", label="eth1"),
        address("eth1.20", "10.20.0.5/24", flags=()),
    ),
    routes=(route("eth1", onlink=True, source="10.0.0.5", metrics=(Setting("mtu", "1300"),)),),
    vf=VF,
    numvfs=1,
    uppers=(VLAN,),
)


def with_link(**change: object) -> NicState:
    return msgspec.structs.replace(STATE, links=(msgspec.structs.replace(LINK, **change),))


def with_settings(**change: object) -> NicState:
    return with_link(settings=msgspec.structs.replace(SETTINGS, **change))


def fields(before: NicState, after: NicState) -> list[str]:
    return [field.field for field in differences(before, after)]


def test_nothing_differs_from_itself() -> None:
    assert differences(STATE, STATE) == ()
    told = [field.field for field in compare_states(STATE, STATE)]
    assert len(told) == len(set(told))
    assert {"rings", "channels", "sysctls", "offloads", "VF", "VF 0", "VFs", "uppers", "other names"} <= set(told)


@pytest.mark.parametrize(
    ("after", "field"),
    [
        (with_link(permanent_mac="52:54:00:00:00:11"), []),  # of a VF it is what its PF has given it last
        (with_link(altnames=("a",)), ["other names"]),
        (with_link(altnames=("b", "a")), []),
        (with_link(txqueuelen=500), ["txqueuelen"]),
        (with_link(promisc=True), ["promisc"]),
        (with_link(allmulticast=True), ["allmulticast"]),
        (with_link(alias=None), ["alias"]),
        (with_link(qdisc="noqueue"), ["qdisc"]),
        (with_link(xdp_programs=()), ["XDP"]),
        (with_link(xdp_programs=(8,)), []),
        (with_settings(rings=(Setting("rx", "256"), Setting("tx", "256"))), ["rings rx"]),
        (with_settings(rings=None), ["rings rx", "rings tx"]),
        (with_settings(rings=Unknown("not permitted")), ["rings rx", "rings tx"]),
        (with_settings(channels=(Setting("combined", "2"),)), ["channels combined"]),
        (with_settings(coalescing=(Setting("rx-usecs", "30"),)), ["coalescing rx-usecs"]),
        (with_settings(pause=(Setting("rx", "0"),)), ["pause rx"]),
        (with_settings(features=(Setting("rx-gro", "off"), Setting("new", "on"))), ["offloads rx-gro"]),
        (with_settings(sysctls=SETTINGS.sysctls[:1]), ["sysctls ipv6/conf/accept_ra"]),  # type: ignore[index]
        (with_settings(port=()), ["bridge port isolated"]),
        (with_settings(port_vlans=(Setting("20", ""),)), ["bridge VLANs 20"]),
        (
            with_link(settings=None),
            [
                *("rings rx", "rings tx", "channels combined", "coalescing rx-usecs", "pause rx", "offloads rx-gro"),
                *("sysctls ipv4/conf/rp_filter", "sysctls ipv6/conf/accept_ra"),
                *("bridge port isolated", "bridge VLANs 20"),
            ],
        ),
        (msgspec.structs.replace(STATE, numvfs=0), ["VFs"]),
        (with_link(vfs=()), ["VF 0"]),
        (msgspec.structs.replace(STATE, vf=None), ["VF"]),
        (msgspec.structs.replace(STATE, uppers=()), ["uppers"]),
        (msgspec.structs.replace(STATE, uppers=(msgspec.structs.replace(VLAN, mtu=9000),)), ["uppers"]),
    ],
)
def test_each_field(after: NicState, field: list[str]) -> None:
    assert fields(STATE, after) == field


def test_the_permanent_mac_of_what_is_no_vf() -> None:
    before = msgspec.structs.replace(STATE, vf=None)
    after = msgspec.structs.replace(with_link(permanent_mac="52:54:00:00:00:11"), vf=None)
    assert fields(before, after) == ["permanent MAC"]


@pytest.mark.parametrize(
    "change",
    [
        {"mac": "52:54:00:00:00:02"},
        {"vlan": 0},
        {"qos": 0},
        {"vlan_protocol": "802.1ad"},
        {"spoofchk": False},
        {"trust": True},
        {"link_state": "disable"},
        {"min_tx_rate": 10},
        {"max_tx_rate": 0},
        {"query_rss": True},
    ],
)
def test_each_setting_of_a_vf(change: dict[str, object]) -> None:
    assert fields(STATE, msgspec.structs.replace(STATE, vf=msgspec.structs.replace(VF, **change))) == ["VF"]


def test_the_mac_that_a_vf_chooses_for_itself_is_no_difference() -> None:
    """Where the PF had given it none, many drivers show that of the VF's own driver, by chance each time."""
    given_none = msgspec.structs.replace(VF, mac="00:00:00:00:00:00")
    before = msgspec.structs.replace(STATE, vf=given_none)
    assert fields(before, STATE) == []
    assert fields(before, msgspec.structs.replace(STATE, vf=msgspec.structs.replace(VF, vlan=0))) == ["VF"]


OWN = "02:00:00:00:00:07"


@pytest.mark.parametrize(
    ("recorded", "now", "own", "written"),
    [
        ("00:00:00:00:00:00", "12:00:00:00:00:01", None, None),
        ("00:00:00:00:00:00", OWN, OWN, None),
        ("00:00:00:00:00:00", "52:54:00:99:99:99", OWN, "00:00:00:00:00:00"),
        ("00:00:00:00:00:00", "00:00:00:00:00:00", OWN, None),
        ("52:54:00:00:00:01", "00:00:00:00:00:00", OWN, "52:54:00:00:00:01"),
        ("52:54:00:00:00:01", "52:54:00:00:00:01", OWN, None),
    ],
)
def test_which_mac_a_pf_is_told(recorded: str, now: str, own: str | None, written: str | None) -> None:
    told: list[tuple[VfSettings, VfSettings]] = []

    class Writer:
        def __init__(self, name: str) -> None:
            assert name == "eth1"

        def __enter__(self) -> Writer:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def set_vf(self, vf: VfSettings, is_so: VfSettings) -> None:
            told.append((vf, is_so))

    pf = NicState(address=NIC, driver="igb", links=(link("eth1", vfs=(msgspec.structs.replace(VF, mac=now),)),))
    wanted = msgspec.structs.replace(VF, mac=recorded)
    attempts = Attempts()
    indices = restore_vfs(pf, (wanted,), Writer, attempts, own)  # type: ignore[arg-type]
    attempts.raise_refusals()
    assert [vf.mac for vf, _ in told] == ([written] if written else [])
    assert indices == ((0,) if written else ())


def test_what_a_driver_does_not_tell_of_a_vf_is_not_compared() -> None:
    bare = msgspec.structs.replace(STATE, vf=VfSettings(vf_index=0, mac=VF.mac, vlan=20))
    assert fields(bare, STATE) == []


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"flags": ()}, True),
        ({"metric": 8}, True),
        ({"broadcast": None}, True),
        ({"label": "eth1:1"}, True),
        ({"peer": "10.0.0.9"}, True),
        ({"scope": "link"}, True),
        ({"tentative": True}, True),
        ({"flags": ("noprefixroute", "secondary")}, True),
        ({"dynamic": True}, False),
    ],
)
def test_each_field_of_an_address(change: dict[str, object], *, differs: bool) -> None:
    first, second = STATE.addresses
    after = msgspec.structs.replace(STATE, addresses=(msgspec.structs.replace(first, **change), second))
    assert fields(STATE, after) == (["addresses"] if differs else [])


@pytest.mark.parametrize(
    "change",
    [
        {"onlink": False},
        {"source": None},
        {"scope": "link"},
        {"tos": 16},
        {"metrics": ()},
        {"realm": 5},
        {"preference": "high"},
        {"from_prefix": "fd00::/8"},
        {"nexthop_id": 3},
        {"encapsulation": 1},
        {"weight": 2},
        {"gateway": "10.0.0.2"},
        {"protocol": "static"},
        {"metric": 5},
    ],
)
def test_each_field_of_a_route(change: dict[str, object]) -> None:
    after = msgspec.structs.replace(STATE, routes=(msgspec.structs.replace(STATE.routes[0], **change),))
    assert fields(STATE, after) == ["routes"]


def test_an_address_that_is_never_the_same_is_left_out() -> None:
    """IPv6 makes temporary ones by chance (RFC 8981)."""
    random = address("eth1", "fd00::1234:5678/64", dynamic=True, flags=("temporary",))
    assert fields(STATE, msgspec.structs.replace(STATE, addresses=(*STATE.addresses, random))) == []


def test_a_bridge_that_keeps_its_own_word_is_no_upper() -> None:
    links = (link("eth1", master="br0"), link("br0", kind="bridge"), VLAN, link("m0", kind="macvlan", lower="eth1.20"))
    addresses = (address("br0", "10.1.0.1/24"), address("eth1.20", "10.20.0.5/24"), address("m0", "10.30.0.1/24"))
    function = PciFunction(address=NIC, driver="igb", netdevs=("eth1",))
    state = observe_state(function, HostIndex(Host(pci=(function,), network=network(*links, *addresses))))
    assert [upper.name for upper in state.uppers or ()] == ["eth1.20", "m0"]
    assert [a.netdev for a in state.addresses] == ["eth1.20"]


class TestOldRecords:
    """A record of before these fields were known decodes, and speaks of what it knew only."""

    RECORD: ClassVar[dict[str, object]] = {
        "address": NIC,
        "driver": "igb",
        "links": [{"name": "eth1", "mac": LINK.mac, "mtu": 1500, "up": True, "operstate": "up", "carrier": True}],
        "addresses": [
            {"netdev": "eth1", "address": "10.0.0.5", "prefix_length": 24, "broadcast": "10.0.0.255", "label": "eth1"}
        ],
        "routes": [{"netdev": "eth1", "destination": "default", "gateway": "10.0.0.1", "source": "10.0.0.5"}],
        "vf": {"vf_index": 0, "mac": VF.mac, "vlan": 20, "spoofchk": True, "trust": False},
    }

    def test_it_decodes(self) -> None:
        old = msgspec.json.decode(json.dumps(self.RECORD), type=NicState)
        now = msgspec.structs.replace(with_link(altnames=()), addresses=STATE.addresses[:1])
        assert fields(old, now) == []
        assert fields(old, msgspec.structs.replace(now, addresses=())) == ["addresses"]
        assert fields(old, msgspec.structs.replace(now, routes=())) == ["routes"]
        assert fields(old, msgspec.structs.replace(now, vf=None)) == ["VF"]

    def test_a_step_of_then(self) -> None:
        old = msgspec.json.decode(
            json.dumps({"type": "set_numvfs", "address": NIC, "before": 0, "after": 4}), type=SetNumvfs
        )
        assert (old.before_vfs, old.after_vfs) == ((), ())


def test_undoing_vfs_brings_back_what_they_were_set_to() -> None:
    step = SetNumvfs(address=NIC, before=1, after=0, before_vfs=(VF,))
    back = invert_step(step)
    assert isinstance(back, SetNumvfs)
    assert (back.before, back.after, back.after_vfs, back.before_vfs) == (0, 1, (VF,), ())
    assert invert_step(back) == step


_WORD = st.sampled_from(["a", "b", "eth1", "10.0.0.5"])
_SETTINGS = st.one_of(
    st.none(), st.builds(Unknown, _WORD), st.lists(st.builds(Setting, _WORD, _WORD), max_size=3).map(tuple)
)
_STATES = st.builds(
    NicState,
    address=st.just(NIC),
    driver=st.one_of(st.none(), _WORD),
    links=st.lists(
        st.builds(
            Link,
            name=_WORD,
            altnames=st.lists(_WORD, max_size=2).map(tuple),
            txqueuelen=st.one_of(st.none(), st.integers(0, 2)),
            promisc=st.one_of(st.none(), st.booleans()),
            settings=st.one_of(st.none(), st.builds(LinkSettings, rings=_SETTINGS, sysctls=_SETTINGS)),
            vfs=st.lists(st.builds(VfSettings, vf_index=st.integers(0, 2), mac=_WORD), max_size=2).map(tuple),
        ),
        max_size=2,
    ).map(tuple),
    addresses=st.lists(
        st.builds(
            IpAddress,
            netdev=_WORD,
            address=_WORD,
            prefix_length=st.integers(0, 2),
            flags=st.one_of(st.none(), st.lists(_WORD, max_size=2).map(tuple)),
        ),
        max_size=2,
    ).map(tuple),
    routes=st.lists(
        st.builds(Route, netdev=_WORD, destination=_WORD, onlink=st.one_of(st.none(), st.booleans())), max_size=2
    ).map(tuple),
    vf=st.one_of(st.none(), st.builds(VfSettings, vf_index=st.integers(0, 2), mac=_WORD)),
    numvfs=st.one_of(st.none(), st.integers(0, 2)),
    uppers=st.one_of(st.none(), st.just(()), st.just((VLAN,))),
)


@given(_STATES, _STATES)
def test_of_any_two_states(before: NicState, after: NicState) -> None:
    """None differs from itself; the words do not change by going to disk and back; what differs is told by name."""
    assert differences(before, before) == ()
    again = msgspec.json.decode(msgspec.json.encode(before), type=NicState)
    assert compare_states(again, after) == compare_states(before, after)
    assert all(field.field and field.before != field.after for field in differences(before, after))


_PRINTABLE = st.characters(exclude_categories=("C", "Z"), include_characters=" ")
"""What shlex reads as a shell does; quoting all else is tested with a shell."""


class TestShellLines:
    """The same by hand."""

    def test_giving_back_a_vf_with_what_was_on_it(self) -> None:
        lines = render_shell(GiveBackNic(address=NIC, state=STATE))
        pf = f'"$(ls /sys/bus/pci/devices/{NIC}/physfn/net | head -n 1)"'
        assert lines[0] == (
            f"ip link set dev {pf} vf 0 mac 52:54:00:00:00:01 vlan 20 qos 3 spoofchk on trust off query_rss off "
            "max_tx_rate 100"
        )
        assert "ip address replace 10.0.0.5/24 brd 10.0.0.255 metric 7 noprefixroute dev eth1" in lines
        assert "ip route replace default via 10.0.0.1 dev eth1 src 10.0.0.5 mtu 1300 onlink" in lines
        assert lines.index("ethtool -L eth1 combined 4 || true") < lines.index("ethtool -G eth1 rx 512 tx 256 || true")

    def test_more_vfs(self) -> None:
        lines = render_shell(SetNumvfs(address=NIC, before=1, after=2, before_vfs=(VF,), after_vfs=(VF,)))
        assert [line.split(" ", 1)[0] for line in lines] == ["echo", "echo", "ip"]

    def test_one_way_of_several_is_not_written(self) -> None:
        hop = msgspec.structs.replace(STATE.routes[0], multipath=True)
        lines = render_shell(GiveBackNic(address=NIC, state=msgspec.structs.replace(STATE, routes=(hop,))))
        assert not any(line.startswith("ip route") for line in lines)

    @given(st.text(_PRINTABLE, max_size=20), st.text(_PRINTABLE, max_size=20).filter(lambda value: value != "0"))
    def test_names_that_lie_stay_one_word(self, name: str, value: str) -> None:
        """A snapshot from elsewhere may have any; the lines are to be pasted."""
        settings = LinkSettings(rings=(Setting(name, value),))
        links = (msgspec.structs.replace(LINK, name=name, master=name, settings=settings),)
        lines = render_shell(GiveBackNic(address=NIC, state=NicState(address=NIC, driver="igb", links=links)))
        words = shlex.split(next(line for line in lines if line.startswith("ethtool")))
        assert words == ["ethtool", "-G", name, name, value, "||", "true"]
