# SPDX-License-Identifier: Apache-2.0
"""Who means to do what with a NIC, by files as distributions, installers and administrators write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nicpass.host.doors.files import Files
from nicpass.host.intent.read import read_intents
from nicpass.model.network import IFUPDOWN, NETWORK_MANAGER, NETWORKD, Link, LinkManager, Network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAC, PERMANENT = "52:54:00:aa:00:02", "00:1b:21:00:00:02"
ETH1 = Link(name="eth1", mac=MAC, permanent_mac=PERMANENT, altnames=("enp1s0",), parent_device="0000:01:00.0")
OTHER = Link(name="eth2", mac="52:54:00:aa:00:03", parent_device="0000:02:00.0")
NETWORKD_ON = {"/etc/systemd/system/multi-user.target.wants/systemd-networkd.service": None}
NM_ON = {
    "/etc/systemd/system/multi-user.target.wants/NetworkManager.service": None,
    "/etc/NetworkManager/NetworkManager.conf": "[main]\nplugins=ifupdown,keyfile\n\n[ifupdown]\nmanaged=false\n",
}
NO_AUTO = NM_ON | {"/etc/NetworkManager/conf.d/10-server.conf": "[main]\nno-auto-default=*\n"}


def write(root: Path, files: Mapping[str, str | None]) -> Files:
    """A tree of these files; None is a link to /dev/null or, of a unit, to its file."""
    for path, content in ({"/etc/hostname": "host\n"} | dict(files)).items():
        place = root / path.removeprefix("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            units = place.parent.name.endswith(".wants")
            place.symlink_to(f"/usr/lib/systemd/system/{place.name}" if units else "/dev/null")
        else:
            place.write_text(content)
    driver = root / "sys/class/net/eth1/device/driver"
    driver.parent.mkdir(parents=True, exist_ok=True)
    driver.symlink_to("../../../bus/pci/drivers/igb")
    return Files(str(root))


def told(root: Path, files: Mapping[str, str | None], netdev: str = "eth1", **more: object) -> list[str]:
    """`manager purpose target` of each intent about the NIC, in order."""
    found = read_intents(write(root, files), Network(links=(ETH1, OTHER), **more))  # type: ignore[arg-type]
    assert not found.unread
    return [f"{i.manager} {i.purpose} {i.target or '-'}" for i in found.found if i.netdev == netdev]


NETWORK = "/etc/systemd/network/10-lan.network"


def network_file(match: str, rest: str = "[Network]\nDHCP=yes\n") -> dict[str, str | None]:
    return {NETWORK: f"[Match]\n{match}\n\n{rest}"}


CONFIGURED = [f"{NETWORKD} configure -"]


@pytest.mark.parametrize(
    ("match", "meant"),
    [
        ("Name=eth1", True),
        ("Name=en*", True),  # by its other name
        ("Name=eth0 eth1", True),
        ("Name=eth2", False),
        ("Name=!eth2", True),
        ("Name=!eth1 enp1s0", False),
        ("Name=!eth*", True),  # its other name is not among these
        ("Name=*", True),
        (f"MACAddress={MAC.upper()}", True),
        (f"MACAddress=02:00:00:00:00:01 {MAC.replace(':', '-')}", True),
        ("MACAddress=5254.00aa.0002", True),
        (f"PermanentMACAddress={PERMANENT}", True),
        ("MACAddress=02:00:00:00:00:01", False),
        ("Driver=igb", True),
        ("Driver=ixgbe i40e", False),
        ("Driver=!veth", True),
        ("Path=pci-0000:01:00.*", True),
        ("Path=pci-0000:02:00.0", False),
        ("Type=ether", True),
        ("Type=ether\nKind=!*", True),  # as systemd ships it in 89-ethernet.network
        ("Type=wlan", False),
        ("Type=!ether", False),
        ("Kind=bridge", False),
        ("Type=ether\nName=eth2", False),
        ("Name=eth2\nName=eth1", True),
        ("Name=eth1\nName=", True),  # nothing is asked any more: an old systemd matches all
        ("Host=elsewhere\nName=eth1", True),  # not asked here: unknown is use
        ("Virtualization=container\nName=host0", False),
        ("Type=wlan\nWLANInterfaceType=ad-hoc", False),
        ("Name=eth\\\n  eth1", True),  # a line that goes on
        ('Name="eth1"', True),
        ("# Name=eth2\nName=eth1", True),
    ],
)
def test_whom_a_network_file_means(tmp_path: Path, match: str, meant: bool) -> None:
    assert told(tmp_path, network_file(match)) == (CONFIGURED if meant else [])


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/etc/systemd/network/05-first.network": "[Match]\nName=eth1\n[Link]\nUnmanaged=yes\n"}, []),
        ({"/etc/systemd/network/05-first.network": "[Match]\nName=eth2\n[Link]\nUnmanaged=yes\n"}, CONFIGURED),
        # One whose conditions are not asked does not hide those behind it.
        ({"/etc/systemd/network/05-first.network": "[Match]\nHost=x\nName=*\n[Link]\nUnmanaged=yes\n"}, CONFIGURED),
        ({"/run/systemd/network/10-lan.network": "[Match]\nName=eth9\n"}, []),
        ({"/etc/systemd/network/10-lan.network": None}, []),
        ({"/etc/systemd/network/10-lan.network": ""}, []),
        ({"/etc/systemd/network/10-lan.network.d/a.conf": "[Link]\nUnmanaged=yes\n"}, []),
        ({"/etc/systemd/network/10-lan.network.d/a.conf": "[Match]\nName=\nName=eth7\n"}, []),
        ({"/run/systemd/network/10-lan.network.d/a.conf": "[Network]\nBridge=br0\n"}, [f"{NETWORKD} port br0"]),
        (
            {
                "/run/systemd/network/10-lan.network.d/a.conf": "[Network]\nBridge=br0\n",
                "/etc/systemd/network/10-lan.network.d/a.conf": None,
            },
            CONFIGURED,
        ),
    ],
)
def test_the_first_file_counts_with_its_drop_ins(
    tmp_path: Path, files: dict[str, str | None], expected: list[str]
) -> None:
    assert told(tmp_path, {"/usr/lib/systemd/network/10-lan.network": "[Match]\nName=eth*\n", **files}) == expected


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("[Network]\nBridge=br0\n", [f"{NETWORKD} port br0"]),
        ("[Network]\nBond=bond0\n", [f"{NETWORKD} port bond0"]),
        (
            "[Network]\nVLAN=vlan20\nVLAN=vlan30\n",
            [f"{NETWORKD} parent vlan20", f"{NETWORKD} parent vlan30", *CONFIGURED],
        ),
        ("[Network]\nMACVLAN=mv0\nIPVLAN=iv0\n", [f"{NETWORKD} parent mv0", f"{NETWORKD} parent iv0", *CONFIGURED]),
        ("[Address]\nAddress=192.0.2.5/24\n", CONFIGURED),
        ("[Link]\nRequiredForOnline=no\n[Network]\nLinkLocalAddressing=no\n", CONFIGURED),
    ],
)
def test_what_a_network_file_wants(tmp_path: Path, rest: str, expected: list[str]) -> None:
    assert told(tmp_path, network_file("Name=eth1", rest)) == expected


def test_files_of_a_systemd_networkd_that_never_runs_say_nothing(tmp_path: Path) -> None:
    assert not told(tmp_path / "nm", network_file("Name=eth1") | NO_AUTO)
    assert told(tmp_path / "on", network_file("Name=eth1") | NETWORKD_ON) == CONFIGURED
    runs = {"/sys/fs/cgroup/system.slice/systemd-networkd.service/cgroup.procs": "1\n"}
    assert told(tmp_path / "runs", network_file("Name=eth1") | NO_AUTO | runs) == CONFIGURED
    masked = NETWORKD_ON | {"/etc/systemd/system/systemd-networkd.service": None}
    assert not told(tmp_path / "masked", network_file("Name=eth1") | masked)
    by_netplan = NO_AUTO | {"/run/systemd/generator.late/multi-user.target.wants/systemd-networkd.service": None}
    assert told(tmp_path / "netplan", network_file("Name=eth1") | by_netplan) == CONFIGURED


def test_a_name_of_the_next_boot_is_its_own(tmp_path: Path) -> None:
    renamed = {"/etc/systemd/network/10-wan.link": f"[Match]\nPermanentMACAddress={PERMANENT}\n[Link]\nName=wan0\n"}
    shipped = {"/usr/lib/systemd/network/99-default.link": "[Match]\nOriginalName=*\n[Link]\nNamePolicy=keep kernel\n"}
    assert told(tmp_path / "link", network_file("Name=wan0") | renamed | shipped) == CONFIGURED
    cmdline = {"/proc/cmdline": f"root=/dev/sda1 ifname=wan0:{MAC}\n"}
    assert told(tmp_path / "ifname", network_file("Name=wan0") | cmdline) == CONFIGURED
    assert not told(tmp_path / "neither", network_file("Name=wan0") | shipped)


SHIPPED = {
    "/usr/lib/systemd/network/80-6rd-tunnel.network": "[Match]\nName=6rd-*\n",
    "/usr/lib/systemd/network/80-container-host0.network": "[Match]\nVirtualization=container\nName=host0\n"
    "[Network]\nDHCP=yes\n",
    "/usr/lib/systemd/network/80-container-vb.network": "[Match]\nName=vb-*\nDriver=veth\nKind=veth\n",
    "/usr/lib/systemd/network/80-container-ve.network": "[Match]\nName=ve-*\nDriver=veth\nKind=veth\n",
    "/usr/lib/systemd/network/80-vm-vt.network": "[Match]\nName=vt-*\nDriver=tun\n",
    "/usr/lib/systemd/network/80-wifi-adhoc.network": "[Match]\nType=wlan\nWLANInterfaceType=ad-hoc\n",
    "/usr/lib/systemd/network/89-ethernet.network.example": "[Match]\nType=ether\nName=!veth*\n[Network]\nDHCP=yes\n",
    "/usr/lib/systemd/network/99-default.link": "[Match]\nOriginalName=*\n[Link]\nNamePolicy=keep kernel database\n",
    "/etc/network/interfaces": "source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n",
    "/etc/initramfs-tools/initramfs.conf": "MODULES=most\nBUSYBOX=auto\nDEVICE=\nNFSROOT=auto\nRUNSIZE=10%\n",
    "/proc/cmdline": "BOOT_IMAGE=/vmlinuz root=UUID=0b ro quiet intel_iommu=on\n",
}


def test_what_distributions_ship_means_no_nic(tmp_path: Path) -> None:
    assert not told(tmp_path, SHIPPED)


KEYFILE = "/etc/NetworkManager/system-connections/office.nmconnection"


def profile(lines: str, kind: str = "ethernet") -> dict[str, str | None]:
    uuid = "2815492f-7e56-435e-b2e9-246bd7cdc664"
    return {KEYFILE: f"[connection]\nid=office\nuuid={uuid}\ntype={kind}\n{lines}\n[ipv4]\nmethod=auto\n"}


BY_NM = [f"{NETWORK_MANAGER} configure -"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (profile("interface-name=eth1"), BY_NM),
        (profile("interface-name=eth2"), []),
        (profile(""), BY_NM),  # for any ethernet device
        (profile("", "wifi"), []),
        (profile(f"[ethernet]\nmac-address={PERMANENT.upper()}"), BY_NM),
        (profile("[ethernet]\nmac-address=02:00:00:00:00:01"), []),
        (profile(f"[ethernet]\nmac-address-denylist={PERMANENT};"), []),
        (profile(f"[ethernet]\nmac-address-blacklist={PERMANENT};"), []),
        (profile("interface-name=eth1\nautoconnect=false"), []),
        (profile("interface-name=eth1\nautoconnect=false\nwait-device-timeout=20000"), [f"{NETWORK_MANAGER} wait -"]),
        (profile("[match]\ninterface-name=enp*;"), BY_NM),
        (profile("[match]\ninterface-name=!eth1;"), []),
        (profile("[match]\ndriver=igb;"), BY_NM),
        (profile("[match]\ndriver=e1000e;"), []),
        (profile("[match]\npath=pci-0000:01:00.0;"), BY_NM),
        (profile("[match]\npath=pci-0000:07:00.0;"), []),
        (profile("interface-name=eth1\nmaster=br0\nslave-type=bridge"), [f"{NETWORK_MANAGER} port br0"]),
        (profile("interface-name=eth1\ncontroller=bond0\nport-type=bond"), [f"{NETWORK_MANAGER} port bond0"]),
        (
            profile("interface-name=eth1.20\n[vlan]\nid=20\nparent=eth1", "vlan"),
            [f"{NETWORK_MANAGER} parent eth1.20"],
        ),
        (profile("interface-name=mv0\n[macvlan]\nmode=2\nparent=eth1", "macvlan"), [f"{NETWORK_MANAGER} parent mv0"]),
        (profile("interface-name=hsr0\n[hsr]\nport1=eth1\nport2=eth2", "hsr"), [f"{NETWORK_MANAGER} parent hsr0"]),
        (profile("interface-name=br0", "bridge"), []),
        (profile("interface-name=eth1", "802-3-ethernet"), BY_NM),
    ],
)
def test_whom_a_profile_of_networkmanager_means(
    tmp_path: Path, files: dict[str, str | None], expected: list[str]
) -> None:
    assert told(tmp_path, NO_AUTO | files) == expected


def test_a_port_is_called_by_the_name_of_its_bridge(tmp_path: Path) -> None:
    uuid = "11111111-7e56-435e-b2e9-246bd7cdc664"
    bridge = {KEYFILE.replace("office", "br0"): f"[connection]\nid=b\nuuid={uuid}\ntype=bridge\ninterface-name=br7\n"}
    files = NO_AUTO | bridge | profile(f"interface-name=eth1\nmaster={uuid}\nslave-type=bridge")
    assert told(tmp_path, files) == [f"{NETWORK_MANAGER} port br7"]


@pytest.mark.parametrize(
    ("configuration", "left_alone"),
    [
        ("[keyfile]\nunmanaged-devices=interface-name:eth1\n", True),
        ("[keyfile]\nunmanaged-devices=interface-name:=eth1\n", True),
        ("[keyfile]\nunmanaged-devices=interface-name:eth*;interface-name:wl*\n", True),
        ("[keyfile]\nunmanaged-devices=interface-name:eth2\n", False),
        (f"[keyfile]\nunmanaged-devices=mac:{PERMANENT}\n", True),
        ("[keyfile]\nunmanaged-devices=*,except:interface-name:eth2\n", True),
        ("[keyfile]\nunmanaged-devices=*,except:type:ethernet\n", False),
        ("[keyfile]\nunmanaged-devices=except:interface-name:eth2\n", True),
        ("[keyfile]\nunmanaged-devices=driver:igb\n", True),
        ("[keyfile]\nunmanaged-devices=type:wifi\n", False),
        ("[keyfile]\nunmanaged-devices+=interface-name:eth1\n", True),
        ("[device-lan]\nmatch-device=interface-name:eth1\nmanaged=0\n", True),
        ("[device-lan]\nmatch-device=interface-name:eth2\nmanaged=0\n", False),
        ("[device]\nmanaged=false\n", True),
        ("[device-a]\nmatch-device=driver:igb\nmanaged=1\n[device]\nmanaged=0\n", False),
        ("[main]\nno-auto-default=eth2\n", False),
        ("[main]\nno-auto-default=eth1\n", True),
        ("[main]\nno-auto-default=type:ethernet\n", True),
    ],
)
def test_whom_networkmanager_leaves_alone(tmp_path: Path, configuration: str, left_alone: bool) -> None:
    """Where it is not told to, it makes a profile of its own for every ethernet device."""
    files = NM_ON | {"/etc/NetworkManager/conf.d/50-site.conf": configuration}
    assert told(tmp_path, files) == ([] if left_alone else BY_NM)


def test_the_last_word_of_networkmanagers_configuration_counts(tmp_path: Path) -> None:
    vendor = {"/usr/lib/NetworkManager/conf.d/10-globally-managed.conf": "[keyfile]\nunmanaged-devices=*\n"}
    assert not told(tmp_path / "vendor", NM_ON | vendor)
    hidden = {"/etc/NetworkManager/conf.d/10-globally-managed.conf": ""}
    assert told(tmp_path / "hidden", NM_ON | vendor | hidden) == BY_NM
    later = {"/etc/NetworkManager/conf.d/50-site.conf": "[keyfile]\nunmanaged-devices=none\n"}
    assert told(tmp_path / "later", NM_ON | vendor | later) == BY_NM


def test_networkmanager_makes_no_profile_where_there_is_one(tmp_path: Path) -> None:
    assert not told(tmp_path / "profile", NM_ON | profile("interface-name=eth1\nautoconnect=no"))
    ifcfg = {"/etc/sysconfig/network-scripts/ifcfg-eth1": "DEVICE=eth1\nONBOOT=no\nTYPE=Ethernet\n"}
    assert not told(tmp_path / "ifcfg", NM_ON | ifcfg)
    denied = {"/var/lib/NetworkManager/no-auto-default.state": f"[main]\nno-auto-default={PERMANENT}\n"}
    assert not told(tmp_path / "denied", NM_ON | denied)
    stanza = {"/etc/network/interfaces": "iface eth1 inet manual\n"}
    assert not told(tmp_path / "stanza", NM_ON | stanza)
    off = {"/etc/systemd/system/multi-user.target.wants/ssh.service": None}
    conf = {"/etc/NetworkManager/NetworkManager.conf": "[main]\n"}
    assert not told(tmp_path / "off", conf | off | profile("interface-name=eth1"))


def test_udev_may_tell_networkmanager_to_leave_it(tmp_path: Path) -> None:
    rule = {"/etc/udev/rules.d/90-vm.rules": 'SUBSYSTEM=="net", KERNEL=="eth1", ENV{NM_UNMANAGED}="1"\n'}
    data = {"/sys/class/net/eth1/ifindex": "5\n", "/run/udev/data/n5": "I:123\nE:NM_UNMANAGED=1\n"}
    assert not told(tmp_path / "left", NM_ON | rule | data)
    assert told(tmp_path / "not", NM_ON | rule) == BY_NM


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto eth1\niface eth1 inet dhcp\n", ["ifupdown configure -"]),
        ("allow-hotplug enp1s0\niface enp1s0 inet dhcp\n", ["ifupdown configure -"]),
        ("allow-ovs eth1\n", ["ifupdown configure -"]),
        ("auto lo /eth*\n", ["ifupdown configure -"]),
        ("auto /eth*/1\n", ["ifupdown configure -"]),
        ("auto eth1=office\n", ["ifupdown configure -"]),
        ("auto eth1:0\n", ["ifupdown configure -"]),
        ("auto lo \\\n  eth1\n", ["ifupdown configure -"]),
        ("iface eth1 inet manual\n", []),  # as Proxmox VE writes for every NIC that it has seen
        ("auto eth10 eth2\n", []),
        ("# auto eth1\n", []),
        ("auto br0\niface br0 inet static\n\tbridge_ports eth0 eth1\n\tbridge_stp off\n", ["ifupdown port br0"]),
        ("auto vmbr0\niface vmbr0 inet static\n\tbridge-ports enp1s0\n", ["ifupdown port vmbr0"]),
        ("iface br0 inet manual\n bridge_ports regex (eth|em).*\n", ["ifupdown port br0"]),
        ("iface br0 inet manual\n bridge_ports all\n", ["ifupdown port br0"]),
        ("iface br0\n bridge-ports glob eth0-4\n", ["ifupdown port br0"]),
        ("iface br0 inet manual\n bridge_ports none\n", []),
        ("iface bond0 inet dhcp\n bond-slaves eth1 eth2\n", ["ifupdown port bond0"]),
        (
            "iface bond0 inet dhcp\n bond-slaves none\niface eth1 inet manual\n bond-master bond0\n",
            ["ifupdown port bond0"],
        ),
        ("auto vlan20\niface vlan20 inet static\n vlan-raw-device eth1\n", ["ifupdown parent vlan20"]),
        ("auto eth1.20\n", ["ifupdown parent eth1.20"]),
        ("iface eth1.20 inet dhcp\n", ["ifupdown parent eth1.20"]),
        ("iface br0 inet manual\n bridge_ports eth1.20\n", ["ifupdown parent eth1.20"]),
        ("source /etc/network/interfaces.d/*\n", ["ifupdown configure -"]),
        ("source interfaces.d/lan\n", ["ifupdown configure -"]),
        ("source-directory interfaces.d\n", ["ifupdown configure -"]),
        ("source /etc/network/interfaces.d/x*\n", []),
        ("source /etc/network/interfaces\n", []),  # itself: it ends
        ("source /etc/net*/interfaces.d/l*\n", ["ifupdown configure -"]),
        ("source /etc/net*/interfaces.?\n", ["ifupdown configure -"]),
        ("source-directory /etc/*/interfaces.d\n", ["ifupdown configure -"]),
        ("source /etc/*/none/*\n", []),
        (f"auto mac/{MAC}=lan\niface lan inet dhcp\n", ["ifupdown configure -"]),
        (f"auto mac/{PERMANENT.upper()}/=lan\niface lan inet dhcp\n", ["ifupdown configure -"]),
        ("allow-hotplug address/52:54:00:*/2=lan\n", ["ifupdown configure -"]),
        ("auto mac/52:54:00:aa:00:03/=lan\n", []),
        ("auto type/1/1=lan\n", ["ifupdown configure -"]),
        ("auto type/32/1=lan\n", []),
        ("auto wireless/*/1=lan\n", []),
        ("auto device/*/1=lan\n", ["ifupdown configure -"]),  # a folder
    ],
)
def test_what_ifupdown_says(tmp_path: Path, text: str, expected: list[str]) -> None:
    files = {"/etc/network/interfaces": text, "/etc/network/interfaces.d/lan": "auto eth1\niface eth1 inet dhcp\n"}
    files["/sys/class/net/eth1/type"] = "1\n"
    assert told(tmp_path, files) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DEVICE=eth1\nONBOOT=yes\nBOOTPROTO=dhcp\n", ["initscripts configure -"]),
        (f'TYPE="Ethernet"\nNAME=x\nHWADDR={PERMANENT.upper()}\nONBOOT="yes"\n', ["initscripts configure -"]),
        ("DEVICE=eth1\n", ["initscripts configure -"]),
        ("DEVICE=eth1\nONBOOT=no\n", []),
        ("DEVICE=eth1\nONBOOT=no\nBRIDGE=br0\n", ["initscripts port br0"]),
        ("DEVICE=eth1\nMASTER=bond0\nSLAVE=yes\n", ["initscripts port bond0"]),
        ("DEVICE=eth1\nTEAM_MASTER=team0\nDEVICETYPE=TeamPort\n", ["initscripts port team0"]),
        ("DEVICE=eth1.20\nVLAN=yes\n", ["initscripts parent eth1.20"]),
        ("DEVICE=vlan20\nVLAN=yes\nPHYSDEV=eth1\nTYPE=Vlan\n", ["initscripts parent vlan20"]),
        ("DEVICE=eth1\nHWADDR=02:00:00:00:00:01\n", []),  # of another card
    ],
)
def test_what_ifcfg_files_of_red_hat_say(tmp_path: Path, text: str, expected: list[str]) -> None:
    files: dict[str, str | None] = {"/etc/sysconfig/network-scripts/ifcfg-office": text}
    files |= {"/etc/sysconfig/network-scripts/ifcfg-old.rpmsave": "DEVICE=eth1\n"}
    assert told(tmp_path, files) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("eth1", "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n", ["wicked configure -"]),
        ("eth1", "BOOTPROTO='dhcp'\nSTARTMODE='hotplug'\n", ["wicked configure -"]),
        ("eth1", "BOOTPROTO='dhcp'\nSTARTMODE='off'\n", []),
        ("eth1", "BOOTPROTO='none'\n", []),  # by hand, where it does not say
        ("br0", "BRIDGE='yes'\nBRIDGE_PORTS='eth0 eth1'\nSTARTMODE='auto'\n", ["wicked port br0"]),
        ("bond0", "BONDING_MASTER='yes'\nBONDING_SLAVE_0='eth1'\n", ["wicked port bond0"]),
        ("vlan20", "ETHERDEVICE='eth1'\nVLAN_ID='20'\n", ["wicked parent vlan20"]),
        ("eth1.20", "STARTMODE=auto\n", ["wicked parent eth1.20"]),
        ("eth2", "STARTMODE=auto\n", []),
    ],
)
def test_what_wicked_is_told(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    assert told(tmp_path, {f"/etc/sysconfig/network/ifcfg-{name}": text}) == expected


NETPLAN = "/etc/netplan/50-cloud-init.yaml"
CLOUD_INIT = f"""# This file is generated from information provided by the datasource.  Changes
# to it will not persist across an instance reboot.
network:
    ethernets:
        eth1:
            dhcp4: true
            match:
                macaddress: {MAC}
            set-name: eth1
    version: 2
"""
INSTALLER = """# This is the network config written by 'subiquity'
network:
  ethernets:
    enp1s0:
      dhcp4: true
    enp2s0:
      addresses:
      - 192.0.2.5/24
      nameservers:
        addresses: [192.0.2.1, "2001:db8::1"]
        search: []
      routes:
      - to: default
        via: 192.0.2.1
  version: 2
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CLOUD_INIT, ["netplan configure -"]),
        (INSTALLER, ["netplan configure -"]),
        ("network: {version: 2, ethernets: {eth1: {dhcp4: true}}}\n", ["netplan configure -"]),
        ("network:\n  ethernets:\n    all:\n      match: {name: 'en*'}\n      dhcp4: yes\n", ["netplan configure -"]),
        ("network:\n  ethernets:\n    all:\n      match:\n        driver: igb\n", ["netplan configure -"]),
        ("network:\n  ethernets:\n    all:\n      match:\n        driver: [bnx2x, ixgbe]\n", []),
        ("network:\n  ethernets:\n    eth2:\n      dhcp4: true\n", []),
        ("network:\n  ethernets:\n    eth1:\n      activation-mode: manual\n", []),
        (
            "network:\n  ethernets:\n    eth1: {}\n  bridges:\n    br0:\n      interfaces: [eth1]\n      dhcp4: true\n",
            ["netplan port br0"],
        ),
        (
            f"network:\n  ethernets:\n    lan:\n      match: {{macaddress: '{PERMANENT}'}}\n"
            "  bonds:\n    bond0:\n      interfaces:\n      - lan\n      - eth2\n",
            ["netplan port bond0"],
        ),
        (
            "network:\n  ethernets:\n    eth1: {}\n  vlans:\n    vlan20:\n      id: 20\n      link: eth1\n",
            ["netplan parent vlan20", "netplan configure -"],
        ),
        ("network:\n  version: 2\n  renderer: NetworkManager\n", []),
        ("", []),
        ("# nothing\n", []),
        # Not understood, and it names the NIC, or may mean it by what it matches.
        ("network: &net\n  ethernets:\n    eth1: {dhcp4: true}\n", ["netplan unclear -"]),
        ("network: !x\n  ethernets:\n    enp1s0:\n      dhcp4: true\n", ["netplan unclear -"]),
        ("network:\n  ethernets:\n    a:\n      match: *all\n", ["netplan unclear -"]),
        (f"network: |\n  {PERMANENT.upper()}\n", ["netplan unclear -"]),
        ("network: |\n  ethernets:\n    eth2:\n      dhcp4: true\n", []),
    ],
)
def test_what_netplan_says(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert told(tmp_path, {NETPLAN: text}) == expected


def test_what_netplan_has_made_is_told_by_its_own_file(tmp_path: Path) -> None:
    made = {"/run/systemd/network/10-netplan-eth1.network": "[Match]\nName=eth1\n[Network]\nDHCP=ipv4\n"}
    assert told(tmp_path / "both", {NETPLAN: CLOUD_INIT} | made) == ["netplan configure -"]
    assert told(tmp_path / "gone", made) == CONFIGURED


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("ip=192.0.2.5::192.0.2.1:255.255.255.0:host:eth1:none", ["kernel configure -"]),
        ("ip=:::::eth1:dhcp", ["kernel configure -"]),
        ("ip=eth1:dhcp", ["kernel configure -"]),
        ("ip=[2001:db8::5]::[2001:db8::1]:64::enp1s0:none", ["kernel configure -"]),
        ("ip=eth2:dhcp", []),
        ("ip=:::::eth2:dhcp", []),
        ("ip=dhcp", ["kernel configure -"]),  # of any NIC that answers
        ("ip=off", []),
        ("ip=none", []),
        ("ip=ibft", []),
        (f"BOOTIF=01-{MAC.replace(':', '-')}", ["kernel configure -"]),
        ("BOOTIF=01-02-00-00-00-00-01", []),
        ("bootdev=eth1", ["kernel configure -"]),
        ("bond=bond0:eth1,eth2:mode=active-backup", ["kernel port bond0"]),
        ("bridge=br0:eth1", ["kernel port br0"]),
        ("team=team0:eth2,eth1", ["kernel port team0"]),
        ("vlan=eth1.20:eth1", ["kernel parent eth1.20"]),
        ("vlan=vlan20:eth2", []),
    ],
)
@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/proc/cmdline", "BOOT_IMAGE=/vmlinuz ro {} quiet\n"),
        ("/etc/kernel/cmdline", "root=UUID=1 {}\n"),
        ("/etc/default/grub", 'GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX="quiet {}"\n'),
        ("/etc/default/grub.d/50-cloudimg-settings.cfg", 'GRUB_CMDLINE_LINUX_DEFAULT="{} console=ttyS0"\n'),
        ("/etc/dracut.conf.d/net.conf", 'kernel_cmdline+=" {} "\n'),
    ],
)
def test_what_the_kernels_arguments_say(
    tmp_path: Path, path: str, template: str, word: str, expected: list[str]
) -> None:
    assert told(tmp_path, {path: template.format(word)}) == expected


def test_what_an_initramfs_configures(tmp_path: Path) -> None:
    conf = "/etc/initramfs-tools/initramfs.conf"
    assert told(tmp_path / "device", {conf: "DEVICE=eth1\n"}) == ["initramfs configure -"]
    dropbear = {"/etc/initramfs-tools/conf.d/ip": 'IP="192.0.2.5::192.0.2.1:255.255.255.0:host:eth1:off"\n'}
    assert told(tmp_path / "dropbear", dropbear) == ["initramfs configure -"]
    assert not told(tmp_path / "none", {conf: "DEVICE=\nIP=off\n"})


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (
            "systemd-networkd-wait-online.service.d/o.conf",
            "[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-networkd-wait-online -i eth1 -i eth2:degraded\n",
            ["systemd wait -"],
        ),
        (
            "systemd-networkd-wait-online.service.d/o.conf",
            "[Service]\nExecStart=/x/systemd-networkd-wait-online --any\n",
            [],
        ),
        ("app.service", "[Unit]\nRequires=sys-subsystem-net-devices-eth1.device\n", ["systemd wait -"]),
        ("app.service", "[Unit]\nWants=sys-subsystem-net-devices-eth2.device\n", []),
        ("dhcp.service", "[Service]\nExecStart=/sbin/dhclient -d eth1\n", ["systemd configure -"]),
        ("addr.service", "[Service]\nExecStart=/sbin/ip addr add 192.0.2.5/24 dev eth1\n", ["systemd configure -"]),
        ("vfs.service", "[Service]\nExecStart=/bin/sh -c 'echo 4 >/sys/class/net/eth1/device/sriov_numvfs'\n", []),
        ("network-online.target.wants/systemd-networkd-wait-online@eth1.service", None, ["systemd wait -"]),
        ("multi-user.target.wants/dhcpcd@eth1.service", None, ["systemd configure -"]),
        ("multi-user.target.wants/dhcpcd@eth2.service", None, []),
    ],
)
def test_which_units_name_it(tmp_path: Path, path: str, text: str | None, expected: list[str]) -> None:
    assert told(tmp_path, {f"/etc/systemd/system/{path}": text}) == expected


def test_what_a_manager_has_in_hand_is_told_by_its_state(tmp_path: Path) -> None:
    managers = (LinkManager(netdev="eth1", manager=IFUPDOWN, profile="office"),)
    assert told(tmp_path / "up", {}, managers=managers) == ["ifupdown configure -"]
    hand = profile("interface-name=eth1\nautoconnect=false") | NO_AUTO
    uuid = "2815492f-7e56-435e-b2e9-246bd7cdc664"
    active = (LinkManager(netdev="eth1", manager=NETWORK_MANAGER, profile=uuid),)
    found = read_intents(write(tmp_path / "by-hand", hand), Network(links=(ETH1,), managers=active))
    assert [(intent.source, intent.text) for intent in found.found] == [(KEYFILE, f"uuid={uuid}")]


def test_an_interface_without_a_device_is_none_of_this(tmp_path: Path) -> None:
    files = write(tmp_path, network_file("Name=*"))
    links = (Link(name="lo"), Link(name="br0", kind="bridge"), ETH1)
    assert {intent.netdev for intent in read_intents(files, Network(links=links)).found} == {"eth1"}


def test_a_capture_without_configuration_does_not_say_that_there_is_none(tmp_path: Path) -> None:
    found = read_intents(Files(str(tmp_path)), Network(links=(ETH1,)))
    assert found.unread == ("not captured: /etc",)


def test_files_that_are_noise_say_nothing_and_break_nothing(tmp_path: Path) -> None:
    noise = "\0[[[[=\\\n[Match\n= = =\n\x1b[31m: - {\n" * 3
    paths = (
        *(NETWORK, KEYFILE, "/etc/netplan/x.yaml", "/etc/network/interfaces", "/proc/cmdline"),
        *("/etc/sysconfig/network/ifcfg-x", "/etc/sysconfig/network-scripts/ifcfg-x", "/etc/default/grub"),
        *("/etc/NetworkManager/conf.d/x.conf", "/etc/systemd/system/x.service"),
    )
    for number, path in enumerate(paths):
        read_intents(write(tmp_path / str(number), {path: noise}), Network(links=(ETH1,)))


def test_of_some_nics_only(tmp_path: Path) -> None:
    """A pattern that means all is told of those that were asked for, as it is when all are."""
    files = write(tmp_path, network_file("Name=*") | NETWORKD_ON)
    everything = read_intents(files, Network(links=(ETH1, OTHER))).found
    assert {intent.netdev for intent in everything} == {"eth1", "eth2"}
    some = read_intents(files, Network(links=(ETH1, OTHER)), {"eth1"}).found
    assert some == tuple(intent for intent in everything if intent.netdev == "eth1")


DHCPCD_ON = {"/etc/systemd/system/multi-user.target.wants/dhcpcd.service": None}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hostname\nduid\n", True),
        ("denyinterfaces eth0 eth2\n", True),
        ("denyinterfaces eth0,eth1\n", False),
        ("denyinterfaces veth*\ndenyinterfaces eth*\n", False),
        ("#denyinterfaces eth1\n", True),
        ("allowinterfaces eth0\n", False),
        ("allowinterfaces eth0 en*\n", True),  # by its other name
        ("allowinterfaces *\ndenyinterfaces eth1\n", False),
        ("allowinterfaces\n", True),
    ],
)
def test_dhcpcd_has_every_interface_that_it_is_not_told_to_leave(tmp_path: Path, text: str, meant: bool) -> None:
    assert told(tmp_path, DHCPCD_ON | {"/etc/dhcpcd.conf": text}) == ["dhcpcd configure -"] * meant


@pytest.mark.parametrize(
    ("files", "meant"),
    [
        ({"/etc/dhcpcd.conf": ""}, False),  # the package alone
        (NETWORKD_ON | {"/etc/dhcpcd.conf": ""}, False),
        ({"/run/dhcpcd.pid": "700\n"}, True),
        ({"/run/dhcpcd/pid": "700\n"}, True),
        ({"/run/dhcpcd/eth2.pid": "700\n", "/etc/dhcpcd.conf": ""}, False),
    ],
)
def test_dhcpcd_that_does_not_run_configures_nothing(
    tmp_path: Path, files: Mapping[str, str | None], meant: bool
) -> None:
    assert told(tmp_path, files) == ["dhcpcd configure -"] * meant


@pytest.mark.parametrize(
    ("path", "text", "meant"),
    [
        ("/boot/loader/entries/a-6.12.conf", "title A\noptions root=/dev/sda1 ip=eth1:dhcp\n", True),
        ("/boot/efi/loader/entries/a.conf", "title A\noptions root=/dev/sda1\noptions ip=enp1s0:dhcp\n", True),
        ("/boot/loader/entries/a-6.12.conf", "title ip=eth1:dhcp\noptions $kernelopts\n", False),
        ("/boot/loader/entries/a-6.12.conf.bak", "options ip=eth1:dhcp\n", False),
        ("/boot/grub2/grubenv", "# GRUB Environment Block\nkernelopts=root=/dev/sda1 ip=eth1:dhcp \n####", True),
        ("/boot/grub2/grubenv", "# GRUB Environment Block\nsaved_entry=ip=eth1:dhcp\n####", False),
    ],
)
def test_what_the_next_boots_entry_says(tmp_path: Path, path: str, text: str, meant: bool) -> None:
    """`grubby --args=ip=eth1:dhcp` writes there, and nothing of it is in this boot's arguments."""
    assert told(tmp_path, {path: text}) == ["kernel configure -"] * meant
