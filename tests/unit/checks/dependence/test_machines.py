# SPDX-License-Identifier: Apache-2.0
"""Uses by VMs and by networks of libvirt's: each way to name a NIC, and what is strange or unknown."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec
import pytest

from nicpass.checks.dependence.machines import uses_of
from nicpass.checks.lookup.index import HostIndex
from nicpass.checks.preflight import check_host, check_nic
from nicpass.model.activity import FunctionDevice
from nicpass.model.address import Address
from nicpass.model.domain import Definition, Domain, DomainInterface
from nicpass.model.fact import Unknown
from nicpass.model.finding import Finding
from nicpass.model.host import Host
from nicpass.model.libvirt_network import LibvirtNetwork
from nicpass.model.network import Network
from nicpass.model.pci import PciFunction
from tests.support.hosts import VM, link, network, nic, pf_with_vfs, ready_host
from tests.support.trees import Tree, Vm, direct_xml, domain_xml, hostdev_xml, network_file, network_interface_xml

NIC, VF0 = "0000:01:00.0", "0000:01:02.0"
WITH_VFS = pf_with_vfs(NIC, "eth1", 2)
OTHER = "0000:02:00.0"


def findings_of(host: Host, subject: str = NIC) -> dict[str, Finding]:
    index = HostIndex(host)
    return {finding.code: finding for finding in check_nic(index.functions[Address(subject)], index)}


def with_direct(netdev: str, net: Network | None = None, *, mode: str = "bridge") -> Tree:
    return ready_host(net=net, vms=(VM, Vm(name="other", uuid="2", devices=direct_xml(netdev, mode=mode))))


def with_network(forward: str, *functions: object, devices: str = "", net: Network | None = None) -> Tree:
    taker = Vm(name="taker", uuid="3", devices=devices)
    return ready_host(*functions, net=net, vms=(VM, taker), files=network_file("pool", forward))  # type: ignore[arg-type]


ABOVE = network(
    link("eth1", master="bond0", altnames=("enp1s0",)),
    link("bond0", kind="bond", altnames=("uplink",)),
    link("bond0.7", kind="vlan", lower="bond0"),
)


class TestDirect:
    """A macvtap of a VM that is off."""

    @pytest.mark.parametrize("mode", ["bridge", "vepa", "private", "passthrough"])
    def test_on_the_nic(self, mode: str, tmp_path: Path) -> None:
        found = findings_of(with_direct("eth1", mode=mode).read(tmp_path))["USED_BY_VM"]
        assert "used by the VM other" in found.sentence
        assert found.severity.blocks

    @pytest.mark.parametrize("netdev", ["enp1s0", "bond0", "uplink", "bond0.7"])
    def test_by_another_name_or_on_what_stands_on_it(self, netdev: str, tmp_path: Path) -> None:
        assert "USED_BY_VM" in findings_of(with_direct(netdev, ABOVE).read(tmp_path))

    @pytest.mark.parametrize("netdev", ["eth2", "eth", "eth11"])
    def test_on_another_interface(self, netdev: str, tmp_path: Path) -> None:
        assert "USED_BY_VM" not in findings_of(with_direct(netdev).read(tmp_path))

    def test_on_the_interface_of_a_vf(self, tmp_path: Path) -> None:
        vms = (VM, Vm(name="other", uuid="2", devices=direct_xml("eth1v0", mode="passthrough")))
        host = ready_host(*WITH_VFS, vms=vms).read(tmp_path)
        assert "USED_BY_VM" in findings_of(host, VF0)
        assert "USED_BY_VM" not in findings_of(host, "0000:01:02.1")
        assert "VM other by <interface type='direct'>" in findings_of(host)["PF_OF_USED_VFS"].sentence

    def test_only_in_the_running_machine(self) -> None:
        live = Definition(interfaces=(DomainInterface(type="direct", source="net", network="net", dev="eth1"),))
        domain = Domain(name="other", uuid="2", running=True, persistent=False, config=Definition(), live=live)
        index = HostIndex(msgspec.structs.replace(_bare(), domains=(domain,)))
        assert [use.name for use in uses_of(index.host.pci[0], index)] == ["other"]

    def test_passt_names_an_interface_too(self, tmp_path: Path) -> None:
        devices = "<interface type='user'><backend type='passt'/><source dev='eth1'/></interface>"
        host = ready_host(vms=(VM, Vm(name="other", uuid="2", devices=devices))).read(tmp_path)
        assert "USED_BY_VM" in findings_of(host)

    def test_the_file_of_a_vdpa_device(self, tmp_path: Path) -> None:
        devices = "<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>"
        host = ready_host(vms=(VM, Vm(name="other", uuid="2", devices=devices))).read(tmp_path)
        assert "USED_BY_VM" not in findings_of(host)
        # Of whichever kind: what counts is that the function has this file.
        made = FunctionDevice(kind="uio", name="vdpa0", address=Address(NIC), nodes=("/dev/vhost-vdpa-0",))
        activity = msgspec.structs.replace(host.activity, devices=(made,))
        assert "type='vdpa'" in findings_of(msgspec.structs.replace(host, activity=activity))["USED_BY_VM"].sentence

    @pytest.mark.parametrize(
        "value",
        [
            "vfio-pci,host=01:00.0,id=nic",
            "vfio-pci,id=nic,host=0000:01:00.0",
            '{"driver":"vfio-pci","host":"0000:01:00.0"}',
            "vfio-pci-nohotplug,sysfsdev=/sys/bus/pci/devices/0000:01:00.0",
        ],
    )
    def test_an_argument_for_qemu(self, value: str, tmp_path: Path) -> None:
        namespace = "xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
        arguments = f"<qemu:arg value='-device'/><qemu:arg value='{value}'/>"
        text = domain_xml(Vm(name="other", uuid="2"))
        text = text.replace("</domain>", f"<qemu:commandline {namespace}>{arguments}</qemu:commandline></domain>")
        host = ready_host(files={"/etc/libvirt/qemu/other.xml": text}).read(tmp_path)
        assert "host=0000:01:00.0" in findings_of(host)["USED_BY_VM"].sentence

    def test_its_name_is_no_shell_code(self, tmp_path: Path) -> None:
        host = with_direct("eth1").read(tmp_path)
        domains = tuple(msgspec.structs.replace(domain, name="a b;$(id)'") for domain in host.domains)  # type: ignore[union-attr]
        found = findings_of(msgspec.structs.replace(host, domains=domains))["USED_BY_VM"]
        assert shlex.split(found.command) == ["virsh", "edit", "a b;$(id)'"]

    @pytest.mark.parametrize("name", ["--help", "7", "a\nb"])
    def test_a_name_that_virsh_would_misread_is_not_pasted(self, name: str, tmp_path: Path) -> None:
        host = with_direct("eth1").read(tmp_path)
        uuid = "6d2f1a54-0c0e-4b55-9a6e-0d1f6a1f6a02"
        domains = tuple(msgspec.structs.replace(domain, name=name, uuid=uuid) for domain in host.domains)  # type: ignore[union-attr]
        found = findings_of(msgspec.structs.replace(host, domains=domains))["USED_BY_VM"]
        assert found.command == f"virsh edit {uuid}"


def _bare() -> Host:
    function = PciFunction(address=Address(NIC), class_code=0x020000, netdevs=("eth1",))
    return Host(pci=(function,), network=network(link("eth1")))


class TestNetworks:
    """Every forward mode that names a NIC."""

    @pytest.mark.parametrize(
        "forward",
        [
            "<forward mode='bridge'><interface dev='eth1'/></forward>",
            "<forward mode='private'><interface dev='eth2'/><interface dev='eth1'/></forward>",
            "<forward mode='vepa' dev='eth1'/>",
            "<forward mode='passthrough'><interface dev='eth1'/></forward>",
            "<forward mode='nat' dev='eth1'/>",
            "<forward mode='route'><interface dev='eth1'/></forward>",
            "<forward dev='eth1'/>",
            "<forward mode='hostdev'><address type='pci' domain='0' bus='1' slot='0' function='0'/></forward>",
            "<forward mode='hostdev'><pf dev='eth1'/></forward>",
            "<forward mode='passthrough'><pf dev='eth1'/></forward>",
        ],
    )
    def test_the_nic(self, forward: str, tmp_path: Path) -> None:
        found = findings_of(with_network(forward, devices=network_interface_xml("pool")).read(tmp_path))
        sentence = found["NAMED_BY_NETWORK"].sentence
        assert "the network pool of libvirt" in sentence
        assert "on it: taker" in sentence
        assert found["NAMED_BY_NETWORK"].severity.blocks

    @pytest.mark.parametrize(
        "forward",
        [
            "",
            "<forward mode='nat'/>",
            "<forward mode='open'/>",
            "<forward mode='bridge'/><bridge name='br0'/>",
            "<forward mode='bridge'><interface dev='eth2'/></forward>",
            "<forward mode='hostdev'><pf dev='eth2'/></forward>",
            "<forward mode='hostdev'><address type='pci' domain='0' bus='2' slot='0' function='0'/></forward>",
        ],
    )
    def test_another_one(self, forward: str, tmp_path: Path) -> None:
        found = findings_of(with_network(forward, devices=network_interface_xml("pool")).read(tmp_path))
        assert not {"NAMED_BY_NETWORK", "USE_UNKNOWN"} & set(found)

    @pytest.mark.parametrize("netdev", ["enp1s0", "bond0", "bond0.7"])
    def test_what_stands_on_the_nic(self, netdev: str, tmp_path: Path) -> None:
        forward = f"<forward mode='bridge'><interface dev='{netdev}'/></forward>"
        assert "NAMED_BY_NETWORK" in findings_of(with_network(forward, net=ABOVE).read(tmp_path))

    @pytest.mark.parametrize("name", ["eth1", "enp1s0"])
    @pytest.mark.parametrize("mode", ["hostdev", "passthrough"])
    def test_all_vfs_of_a_pf(self, mode: str, name: str, tmp_path: Path) -> None:
        net = network(link("eth1", altnames=("enp1s0",)), link("eth1v0"), link("eth1v1"))
        host = with_network(f"<forward mode='{mode}'><pf dev='{name}'/></forward>", *WITH_VFS, net=net).read(tmp_path)
        for function in WITH_VFS:
            assert "NAMED_BY_NETWORK" in findings_of(host, function.address)
        called = "pool pool" if mode == "hostdev" else "network pool"
        assert called in findings_of(host)["PF_OF_USED_VFS"].sentence

    def test_one_vf_by_its_address(self, tmp_path: Path) -> None:
        element = "<address type='pci' domain='0x0000' bus='0x01' slot='0x02' function='0x0'/>"
        host = with_network(f"<forward mode='hostdev'>{element}</forward>", *WITH_VFS).read(tmp_path)
        assert "NAMED_BY_NETWORK" in findings_of(host, VF0)
        assert "NAMED_BY_NETWORK" not in findings_of(host, "0000:01:02.1")

    def test_a_taker_of_a_portgroup_is_named(self, tmp_path: Path) -> None:
        forward = "<forward mode='bridge'><interface dev='eth1'/></forward><portgroup name='web' default='yes'/>"
        devices = network_interface_xml("pool", portgroup="web")
        assert (
            "taker" in findings_of(with_network(forward, devices=devices).read(tmp_path))["NAMED_BY_NETWORK"].sentence
        )

    def test_without_takers_it_counts_as_well(self, tmp_path: Path) -> None:
        forward = "<forward mode='bridge'><interface dev='eth1'/></forward>"
        assert "on it: none" in findings_of(with_network(forward).read(tmp_path))["NAMED_BY_NETWORK"].sentence

    def test_a_companion_in_a_pool_is_not_idle(self, tmp_path: Path) -> None:
        element = "<address type='pci' domain='0' bus='2' slot='0' function='0'/>"
        functions = (nic(NIC, "eth1"), nic(OTHER, driver="vfio-pci"))
        found = findings_of(with_network(f"<forward mode='hostdev'>{element}</forward>", *functions).read(tmp_path))
        assert "pool pool" in found["GROUP_SHARED"].sentence
        assert "GROUP_HAS_OTHER_VM" in found


class TestUnknown:
    """What is not understood counts as use, and is named."""

    @pytest.mark.parametrize(
        ("devices", "words"),
        [
            (
                "<interface type='direct'><source mode='bridge'/></interface>",
                "<interface type='direct'> without a source",
            ),
            ("<interface type='direct'/>", "<interface type='direct'> without a source"),
            ("<interface type='vdpa'/>", "<interface type='vdpa'> without a source"),
            ("<interface type='network'/>", "<interface type='network'> without a source"),
            ("<interface type='hostdev'><source/></interface>", "<interface type='hostdev'> names no PCI function"),
            ("<hostdev type='pci'><source><address bus='0x500'/></source></hostdev>", "names no PCI function"),
        ],
    )
    def test_an_element_that_does_not_say_which(self, devices: str, words: str, tmp_path: Path) -> None:
        host = ready_host(vms=(VM, Vm(name="other", uuid="2", devices=devices))).read(tmp_path)
        sentence = findings_of(host)["USE_UNKNOWN"].sentence
        assert "other: " in sentence
        assert words in sentence.replace(chr(34), "'")

    @pytest.mark.parametrize("child", ["<interface/>", "<pf/>", "<address type='pci' slot='0x99'/>"])
    def test_a_pool_that_does_not_say_which(self, child: str, tmp_path: Path) -> None:
        host = with_network(f"<forward mode='hostdev'>{child}</forward>").read(tmp_path)
        assert "pool: " in findings_of(host)["USE_UNKNOWN"].sentence

    def test_networks_that_cannot_be_read(self, tmp_path: Path) -> None:
        host = ready_host(files={"/etc/libvirt/qemu/networks/a.xml": "<network>"}).read(tmp_path)
        assert isinstance(host.libvirt_networks, Unknown)
        found = next(finding for finding in check_host(host) if finding.code == "HYPERVISOR_UNKNOWN")
        assert "a.xml" in found.sentence
        assert found.severity.blocks

    def test_a_snapshot_from_before_they_were_read(self, tmp_path: Path) -> None:
        written = msgspec.to_builtins(ready_host().read(tmp_path))
        del written["libvirt_networks"]
        host = msgspec.convert(written, Host)
        assert host.libvirt_networks is None
        assert "NAMED_BY_NETWORK" not in findings_of(host)

    def test_one_network_of_many_names_a_nic(self) -> None:
        networks = (LibvirtNetwork(name="default", forward="nat"), LibvirtNetwork(name="b", netdevs=("eth1",)))
        index = HostIndex(msgspec.structs.replace(_bare(), domains=(), libvirt_networks=networks))
        assert [use.name for use in uses_of(index.host.pci[0], index)] == ["b"]


def test_what_stands_there_as_a_device_is_an_owners(tmp_path: Path) -> None:
    host = ready_host(vms=(VM, Vm(name="other", uuid="2", devices=hostdev_xml(NIC)))).read(tmp_path)
    assert {"OWNED_BY_VM"} == {code for code, finding in findings_of(host).items() if finding.severity.blocks}
