# SPDX-License-Identifier: Apache-2.0
"""What is asked of one interface alone: out of a tree of files, and out of messages laid out by hand."""

from __future__ import annotations

import array
import struct
from pathlib import Path

import msgspec
import pytest

from nicpass.host.doors.files import Files
from nicpass.host.network.ethtool import CHANNELS, PAUSE, RINGS, Group, settings_of
from nicpass.host.network.link_settings import (
    add_settings,
    port_path,
    port_vlans_of,
    read_port,
    read_sysctls,
    sysctl_path,
    with_settings,
)
from nicpass.host.network.rtnetlink import MalformedError
from nicpass.model.fact import Unknown
from nicpass.model.network import Link, LinkSettings, Network, Setting
from tests.support.hosts import ready_host


def write(root: Path, path: str, value: str, mode: int = 0o644) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value)
    file.chmod(mode)


class TestSysctls:
    """Below /proc/sys/net, an interface's own."""

    def test_those_that_can_be_written(self, tmp_path: Path) -> None:
        write(tmp_path, sysctl_path("eth1", "ipv4/conf/rp_filter"), "2\n")
        write(tmp_path, sysctl_path("eth1", "ipv4/conf/mc_forwarding"), "0\n", 0o444)
        write(tmp_path, sysctl_path("eth1", "ipv6/conf/mtu"), "1500\n")
        write(tmp_path, sysctl_path("eth1", "ipv6/neigh/unres_qlen_bytes"), "212992\n")
        write(tmp_path, sysctl_path("eth9", "ipv4/conf/rp_filter"), "1\n")
        assert read_sysctls(Files(str(tmp_path)), "eth1") == (
            Setting("ipv4/conf/rp_filter", "2"),
            Setting("ipv6/conf/mtu", "1500"),
            Setting("ipv6/neigh/unres_qlen_bytes", "212992"),
        )

    @pytest.mark.parametrize("name", ["retrans_time", "base_reachable_time", "unres_qlen"])
    def test_the_same_in_a_coarser_unit_is_left_out(self, name: str, tmp_path: Path) -> None:
        """Written after the fine one it would round it."""
        write(tmp_path, sysctl_path("eth1", f"ipv4/neigh/{name}"), "30\n")
        assert read_sysctls(Files(str(tmp_path)), "eth1") is None

    def test_none_are_none(self, tmp_path: Path) -> None:
        assert read_sysctls(Files(str(tmp_path)), "eth1") is None

    @pytest.mark.parametrize("name", ["..", "../../kernel", "a/b", "", "."])
    def test_what_is_no_name_leads_nowhere(self, name: str, tmp_path: Path) -> None:
        assert isinstance(read_sysctls(Files(str(tmp_path)), name), Unknown)
        assert isinstance(read_port(Files(str(tmp_path)), name), Unknown)

    def test_where_each_lies(self) -> None:
        assert sysctl_path("eth1.20", "ipv6/conf/mtu") == "/proc/sys/net/ipv6/conf/eth1.20/mtu"
        assert port_path("eth1", "isolated") == "/sys/class/net/eth1/brport/isolated"


class TestPort:
    """A bridge's port."""

    def test_its_files(self, tmp_path: Path) -> None:
        write(tmp_path, port_path("eth1", "isolated"), "1\n")
        write(tmp_path, port_path("eth1", "port_id"), "0x8001\n", 0o444)
        assert read_port(Files(str(tmp_path)), "eth1") == (Setting("isolated", "1"),)

    def test_what_is_no_port(self, tmp_path: Path) -> None:
        assert read_port(Files(str(tmp_path)), "eth1") is None

    @staticmethod
    def message(name: bytes, *vlans: tuple[int, int]) -> bytes:
        infos = b"".join(struct.pack("=HHHH", 8, 2, flags, number) for flags, number in vlans)
        label = struct.pack("=HH", 4 + len(name) + 1, 3) + name + b"\0"
        label += bytes(-len(label) % 4)
        return struct.pack("=BxHiII", 7, 1, 5, 0, 0) + label + struct.pack("=HH", 4 + len(infos), 0x8000 | 26) + infos

    def test_its_vlans(self) -> None:
        bodies = [self.message(b"eth9", (6, 1)), self.message(b"eth1", (6, 1), (0, 20), (4, 30))]
        assert port_vlans_of(bodies, "eth1") == (
            Setting("1", "pvid untagged"),
            Setting("20", ""),
            Setting("30", "untagged"),
        )
        assert port_vlans_of(bodies, "eth7") is None

    def test_a_length_that_lies(self) -> None:
        with pytest.raises(MalformedError):
            port_vlans_of([self.message(b"eth1", (6, 1))[:-2]], "eth1")


@pytest.mark.parametrize(
    ("group", "numbers", "settings"),
    [
        (PAUSE, [0x12, 0, 1, 0], {"autoneg": "0", "rx": "1", "tx": "0"}),
        (PAUSE, [0x12, 1, 1, 0], {"autoneg": "1"}),
        (RINGS, [0x10, 4096, 0, 0, 4096, 512, 0, 0, 256], {"rx": "512", "rx-mini": "0", "rx-jumbo": "0", "tx": "256"}),
        (CHANNELS, [0x3C, 8, 8, 1, 8, 0, 0, 1, 4], {"rx": "0", "tx": "0", "other": "1", "combined": "4"}),
    ],
)
def test_a_drivers_answer(group: Group, numbers: list[int], settings: dict[str, str]) -> None:
    """What came of negotiating with the other end is nobody's setting."""
    assert {s.name: s.value for s in settings_of(array.array("I", numbers), group)} == settings


class TestEnriching:
    """Only the one that was asked for, and of another root only what lies there."""

    def test_the_others_are_left_as_they_are(self, tmp_path: Path) -> None:
        for name in ("eth1", "eth2"):
            write(tmp_path, sysctl_path(name, "ipv4/conf/rp_filter"), "2\n")
        network = Network(links=(Link(name="eth1"), Link(name="eth2")))
        first, second = with_settings(network, Files(str(tmp_path)), ("eth2",)).links
        assert first.settings is None
        assert second.settings == LinkSettings(sysctls=(Setting("ipv4/conf/rp_filter", "2"),))

    def test_what_a_capture_has_of_the_driver_stays(self, tmp_path: Path) -> None:
        recorded = LinkSettings(rings=(Setting("rx", "512"),))
        network = Network(links=(Link(name="eth1", settings=recorded),))
        assert with_settings(network, Files(str(tmp_path)), ("eth1",)).links[0].settings == recorded

    def test_where_nothing_can_be_asked_nothing_is_recorded(self, tmp_path: Path) -> None:
        network = Network(links=(Link(name="eth1"),))
        for names in (("eth1",), (), None, Unknown("not captured")):
            assert with_settings(network, Files(str(tmp_path)), names) == network

    def test_a_host_with_one_nic_known_better(self, tmp_path: Path) -> None:
        host = ready_host().read(tmp_path)
        write(tmp_path, sysctl_path("eth1", "ipv4/conf/rp_filter"), "2\n")
        richer = add_settings(host, Files(str(tmp_path)), host.pci[1])
        assert richer.network.links[0].settings is not None
        assert msgspec.json.decode(msgspec.json.encode(richer), type=type(host)) == richer
