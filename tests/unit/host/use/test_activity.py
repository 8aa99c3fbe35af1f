# SPDX-License-Identifier: Apache-2.0
"""The readers of sessions, storage, holders, sockets and devices, on trees as the kernel and systemd write them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from nicpass.host.doors.files import Files
from nicpass.host.pci.function_devices import read_devices
from nicpass.host.system.mounts import read_mounts
from nicpass.host.use.activity import read_activity
from nicpass.host.use.connections import Connection, Connections, read_connections
from nicpass.host.use.holders import Descriptors, scan_descriptors
from nicpass.host.use.network_mounts import find_servers
from nicpass.host.use.packets import RawSocket, parse_xdp_sockets
from nicpass.host.use.sessions import read_sessions
from nicpass.model.activity import Activity, BoundSocket, FunctionDevice, Holder, NetworkStorage, Session
from nicpass.model.address import Address
from nicpass.model.fact import Unknown, known
from tests.support.activity import Parts, having, logind, mount, packet, process, swap, sysfs, tcp
from tests.support.dependence import NIC, SSH
from tests.support.hosts import ready_host

SSHD = Session(
    user="ada",
    program="sshd-session",
    local_address="10.0.0.5",
    local_port=22,
    peer_address="10.0.0.9",
    peer_port=51000,
    remote_host="10.0.0.9",
)


def activity_of(root: Path, *parts: Parts, **more: object) -> Activity:
    return having(ready_host(**more), *parts).read(root).activity  # type: ignore[arg-type]


def sessions_of(root: Path, *parts: Parts, number: int | None = None, ssh_connection: str | None = None) -> object:
    """As a process with this number in the tree would see them."""
    files = Files(str(having(ready_host(), *parts).write(root)))
    connections = read_connections(files)
    assert isinstance(connections, Connections)
    descriptors = scan_descriptors(files, {connection.inode for connection in connections.established})
    return read_sessions(files, connections, descriptors, process=number, ssh_connection=ssh_connection)


def test_on_an_idle_host_nothing_goes_on(tmp_path: Path) -> None:
    nothing = Activity(
        sessions=(), storage=(), devices=(), holders=(), packet_sockets=(), xdp_sockets=(), foreign_netdevs=()
    )
    assert activity_of(tmp_path) == nothing


def test_of_an_empty_root_everything_is_unknown(tmp_path: Path) -> None:
    activity = read_activity(Files(str(tmp_path)), ())
    facts = (activity.sessions, activity.storage, activity.devices, activity.holders, activity.packet_sockets)
    assert [fact for fact in (*facts, activity.xdp_sockets) if not isinstance(fact, Unknown)] == []


class TestConnections:
    """/proc/net/tcp and tcp6."""

    def read(self, root: Path, *parts: Parts) -> object:
        return read_connections(Files(str(having(ready_host(), *parts).write(root))))

    @pytest.mark.parametrize(
        ("local", "peer", "expected"),
        [
            ("10.0.0.5:22", "10.0.0.9:51000", ("10.0.0.5", 22, "10.0.0.9", 51000)),
            ("[2001:db8::5]:22", "[2001:db8::9]:51000", ("2001:db8::5", 22, "2001:db8::9", 51000)),
            ("[::ffff:10.0.0.5]:22", "[::ffff:10.0.0.9]:51000", ("10.0.0.5", 22, "10.0.0.9", 51000)),
        ],
    )
    def test_both_families(self, local: str, peer: str, expected: tuple[str, int, str, int], tmp_path: Path) -> None:
        assert self.read(tmp_path, tcp(local, peer, 7)) == Connections((Connection(*expected, 7),), frozenset())

    def test_the_bytes_of_a_real_line(self, tmp_path: Path) -> None:
        """From proc_net_tcp.rst, on a machine whose first byte is the lowest."""
        line = (
            "   46: 010310AC:9C4C 030310AC:1770 01 00000150:00000000 01:00000019 00000000  1000 0 54165785 4 cd1e6040\n"
        )
        found = self.read(tmp_path, Parts({"/proc/net/tcp": line}, {}))
        assert isinstance(found, Connections)
        assert found.established == (Connection("172.16.3.1", 40012, "172.16.3.3", 6000, 54165785),)

    def test_listening_is_no_connection(self, tmp_path: Path) -> None:
        found = self.read(tmp_path, tcp("0.0.0.0:22", "0.0.0.0:0", 7, state="0A"), tcp("[::]:80", "[::]:0", 8, "0A"))
        assert found == Connections((), frozenset({22, 80}))

    @pytest.mark.parametrize("end", ["zz:0016", "0100:0016", "0500000A", "0500000A:", "0500000A0500000A:0016"])
    def test_a_damaged_table_is_unknown(self, end: str, tmp_path: Path) -> None:
        line = f"   0: {end} 0900000A:C738 01 00000000:00000000 00:00000000 00000000 0 0 7 1\n"
        assert isinstance(self.read(tmp_path, Parts({"/proc/net/tcp": line}, {})), Unknown)


class TestSessions:
    """Who is logged in from elsewhere."""

    def test_one_that_logind_knows(self, tmp_path: Path) -> None:
        assert sessions_of(tmp_path, *SSH) == (SSHD,)

    def test_one_of_which_only_the_host_is_known(self, tmp_path: Path) -> None:
        found = sessions_of(tmp_path, logind("3", 800, "laptop.example"))
        assert found == (Session(user="ada", program="sshd", remote_host="laptop.example"),)

    def test_one_whose_host_is_an_address_has_a_peer(self, tmp_path: Path) -> None:
        (found,) = sessions_of(tmp_path, logind("3", 800))  # type: ignore[misc]
        assert (found.peer_address, found.local_address) == ("10.0.0.9", None)  # type: ignore[has-type]

    @pytest.mark.parametrize("change", [{"REMOTE": "0"}, {"STATE": "closing"}, {"REMOTE_HOST": "127.0.0.1"}])
    def test_one_that_is_local_or_over_is_none(self, change: dict[str, str], tmp_path: Path) -> None:
        assert sessions_of(tmp_path, logind("3", 800, **change)) == ()

    def test_a_reference_beside_a_session_is_none(self, tmp_path: Path) -> None:
        assert sessions_of(tmp_path, logind("3.ref", 800)) == ()

    def test_our_own_is_found_above_us_without_logind(self, tmp_path: Path) -> None:
        found = sessions_of(
            tmp_path,
            SSH[0],
            SSH[1],
            process(801, "bash", parent=800),
            process(802, "a) name (with) S 1 brackets", parent=801),
            process(803, "nicpass", parent=802),
            number=803,
        )
        assert isinstance(found, tuple)
        assert [(session.own, session.peer_address) for session in found] == [(True, "10.0.0.9")]

    def test_in_tmux_the_control_group_tells(self, tmp_path: Path) -> None:
        """The server of tmux is a child of the first process; its control group is still that of the session."""
        found = sessions_of(
            tmp_path,
            *SSH,
            process(900, "tmux: server", parent=1),
            process(901, "nicpass", parent=900, cgroup="/user.slice/user-1000.slice/session-3.scope"),
            number=901,
        )
        assert isinstance(found, tuple)
        assert [(session.own, session.user) for session in found] == [(True, "ada")]

    def test_a_circle_of_parents_ends(self, tmp_path: Path) -> None:
        assert sessions_of(tmp_path, process(5, "a", parent=6), process(6, "b", parent=5), number=5) == ()

    def test_the_environment_only_adds(self, tmp_path: Path) -> None:
        found = sessions_of(tmp_path, *SSH, ssh_connection="10.0.0.9 51000 10.0.0.5 22")
        assert isinstance(found, tuple)
        assert [(session.own, session.user) for session in found] == [(True, "ada")]
        lone = sessions_of(tmp_path / "b", ssh_connection="10.0.0.9 51000 10.0.0.5 22")
        assert isinstance(lone, tuple)
        assert lone[0].own

    @pytest.mark.parametrize(
        "text", ["", "x", "10.0.0.9 51000 10.0.0.5", "a b c d", "127.0.0.1 5 127.0.0.1 22", "h 1 i 2"]
    )
    def test_an_environment_that_says_nothing_adds_nothing(self, text: str, tmp_path: Path) -> None:
        assert sessions_of(tmp_path, ssh_connection=text) == ()

    def test_a_session_that_somebody_forwards_is_traced_to_where_he_comes_from(self, tmp_path: Path) -> None:
        """A program of ours that was reached over the loopback, by the port that an ssh server forwards."""
        found = sessions_of(
            tmp_path,
            tcp("127.0.0.1:8080", "127.0.0.1:40000", 701),
            tcp("127.0.0.1:40000", "127.0.0.1:8080", 702),
            tcp("10.0.0.5:22", "10.0.0.9:51000", 703),
            process(810, "code-server", "socket:[701]"),
            process(811, "forwarder", "socket:[702]", "socket:[703]"),
            process(812, "nicpass", parent=810),
            number=812,
        )
        assert isinstance(found, tuple)
        assert [(session.program, session.peer_address) for session in found] == [("forwarder", "10.0.0.9")]

    def test_ssh_servers_tell_also_where_logind_is_told_nothing(self, tmp_path: Path) -> None:
        listening = tcp("0.0.0.0:22", "0.0.0.0:0", 1, state="0A")
        outgoing = (tcp("10.0.0.5:40000", "10.0.0.8:443", 720), process(820, "sshd", "socket:[720]"))
        found = sessions_of(tmp_path, SSH[0], SSH[1], listening, *outgoing)
        assert isinstance(found, tuple)
        assert [session.peer_address for session in found] == ["10.0.0.9"]

    def test_an_unreadable_folder_is_unknown(self, tmp_path: Path) -> None:
        files = Files(str(having(ready_host()).write(tmp_path)))
        (tmp_path / "run/systemd/sessions").rmdir()
        (tmp_path / "run/systemd/sessions").symlink_to("sessions")
        nothing = Descriptors((), None, {}, {})
        assert isinstance(read_sessions(files, Connections((), frozenset()), nothing, process=None), Unknown)


class TestStorage:
    """Mounts, disks and swap space elsewhere."""

    @pytest.mark.parametrize(
        ("kind", "source", "options", "servers"),
        [
            ("nfs4", "files:/srv", "rw,vers=4.2,clientaddr=10.0.0.5,local_lock=none,addr=10.0.0.20", ("10.0.0.20",)),
            ("nfs", "files:/srv", "rw,mountaddr=10.0.0.21,addr=10.0.0.20", ("10.0.0.20",)),
            ("nfs", "[fd00::20]:/srv", "rw,addr=fd00::20", ("fd00::20",)),
            ("cifs", "//files/share", "rw,addr=10.0.0.20", ("10.0.0.20",)),
            ("ceph", "10.0.0.1:6789,[fd00::2]:6789:/", "rw", ("10.0.0.1", "fd00::2")),
            ("ceph", "admin@b3acfc0d.cephfs=/", "rw,mon_addr=10.0.0.1:6789/10.0.0.2:6789", ("10.0.0.1", "10.0.0.2")),
            ("sshfs", "ada@files:/home", "rw", ()),
            ("sshfs", "ada@10.0.0.20:/home", "rw", ("10.0.0.20",)),
            ("glusterfs", "10.0.0.20:/vol", "rw", ("10.0.0.20",)),
            ("9p", "10.0.0.20", "rw,trans=tcp", ("10.0.0.20",)),
            ("lustre", "10.0.0.20@tcp:/fs", "rw", ("10.0.0.20",)),
        ],
    )
    def test_servers(self, kind: str, source: str, options: str, servers: tuple[str, ...]) -> None:
        assert find_servers(kind, source, options) == servers

    def test_a_mount_and_where_else_it_is_mounted(self, tmp_path: Path) -> None:
        options = "rw,clientaddr=10.0.0.5,addr=10.0.0.20"
        parts = [mount("nfs4", "files:/srv", path, options) for path in ("/mnt", "/with\\040blank")]
        expected = NetworkStorage(
            kind="nfs4",
            source="files:/srv",
            servers=("10.0.0.20",),
            local_address="10.0.0.5",
            mounts=("/mnt", "/with blank"),
        )
        assert activity_of(tmp_path, *parts).storage == (expected,)

    @pytest.mark.parametrize(
        ("kind", "source", "options"),
        [
            ("ext4", "/dev/sdb1", "rw"),
            ("fuse.portal", "portal", "rw"),
            ("autofs", "systemd-1", "rw,fd=59"),
            ("9p", "hostshare", "rw,trans=virtio"),
            ("nfs", "127.0.0.1:/", "rw,addr=127.0.0.1"),
        ],
    )
    def test_what_needs_no_network_is_none(self, kind: str, source: str, options: str, tmp_path: Path) -> None:
        assert activity_of(tmp_path, mount(kind, source, "/mnt", options)).storage == ()

    def test_a_line_that_is_no_mount_makes_it_unknown(self, tmp_path: Path) -> None:
        tree = having(ready_host(), Parts({"/proc/self/mountinfo": "nonsense\n"}, {}))
        assert isinstance(read_mounts(Files(str(tree.write(tmp_path)))), Unknown)

    def test_a_root_by_nfs_and_a_swap_file_on_it(self, tmp_path: Path) -> None:
        nfs = mount("nfs", "10.0.0.20:/root", "/", "rw,addr=10.0.0.20")
        (root,) = activity_of(tmp_path, nfs).storage  # type: ignore[misc]
        assert root.root
        parts = (mount("nfs", "10.0.0.20:/x", "/x", "rw,addr=10.0.0.20"), swap("/x/swapfile"))
        (swapped,) = activity_of(tmp_path / "b", *parts).storage  # type: ignore[misc]
        assert (swapped.swap, swapped.root) == (True, False)

    @pytest.mark.parametrize(
        ("cmdline", "kind", "servers"),
        [
            ("root=/dev/nfs nfsroot=10.0.0.20:/root,vers=4 ip=dhcp", "nfs", ("10.0.0.20",)),
            ("root=nfs:10.0.0.20:/root", "nfs", ("10.0.0.20",)),
            ("netroot=iscsi:10.0.0.20::3260::iqn.2000-01.org:disk root=/dev/sda1", "iscsi", ("10.0.0.20",)),
            ("netroot=iscsi:ada:secret@10.0.0.20::::iqn.2000-01.org:disk", "iscsi", ("10.0.0.20",)),
        ],
    )
    def test_a_root_that_only_the_command_line_tells(
        self, cmdline: str, kind: str, servers: tuple[str, ...], tmp_path: Path
    ) -> None:
        found = activity_of(tmp_path, cmdline=cmdline).storage
        assert known(found)
        assert {(storage.kind, storage.root) for storage in found} == {(kind, True)}
        assert servers in {storage.servers for storage in found}
        assert "secret" not in str(found)

    def test_iscsi_with_a_partition_on_device_mapper_as_root(self, tmp_path: Path) -> None:
        session = "/sys/devices/platform/host3/session1"
        disk = f"{session}/target3:0:0/3:0:0:1/block/sdb"
        files = {
            "/sys/class/iscsi_connection/connection1:0/address": "10.0.0.20\n",
            "/sys/class/iscsi_connection/connection1:0/persistent_address": "10.0.0.20\n",
            f"{disk}/size": "2048\n",
            f"{disk}/sdb1/partition": "1\n",
            "/sys/devices/virtual/block/dm-0/size": "2048\n",
            "/proc/self/mountinfo": "90 22 253:0 / /srv rw - ext4 /dev/mapper/x rw\n",
        }
        links = {
            "/sys/class/iscsi_session/session1/device": "../../../devices/platform/host3/session1",
            "/sys/class/block/sdb": f"../..{disk[4:]}",
            "/sys/class/block/sdb1": f"../..{disk[4:]}/sdb1",
            "/sys/class/block/dm-0": "../../devices/virtual/block/dm-0",
            "/sys/devices/virtual/block/dm-0/slaves/sdb1": f"../../../../..{disk[4:]}/sdb1",
            "/sys/dev/block/253:0": "../../devices/virtual/block/dm-0",
        }
        expected = NetworkStorage(kind="iscsi", source="sdb", servers=("10.0.0.20",), mounts=("/srv",))
        assert activity_of(tmp_path, Parts(files, links)).storage == (expected,)

    def test_nvme_over_tcp_and_its_namespaces_below_the_subsystem(self, tmp_path: Path) -> None:
        files = {
            "/sys/class/nvme/nvme1/transport": "tcp\n",
            "/sys/class/nvme/nvme1/address": "traddr=10.0.0.20,trsvcid=4420,src_addr=10.0.0.5\n",
            "/sys/class/nvme/nvme0/transport": "pcie\n",
            "/sys/class/nvme/nvme0/address": "0000:02:00.0\n",
            "/sys/class/nvme-subsystem/nvme-subsys1/nvme1n1/size": "1\n",
            "/sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1/size": "1\n",
            "/proc/self/mountinfo": "90 22 259:1 / /srv rw - ext4 /dev/nvme1n1 rw\n",
        }
        links = {
            "/sys/class/nvme-subsystem/nvme-subsys1/nvme1": "../nvme1",
            "/sys/class/block/nvme1n1": "../../devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1",
            "/sys/dev/block/259:1": "../../devices/virtual/nvme-subsystem/nvme-subsys1/nvme1n1",
        }
        found = activity_of(tmp_path, Parts(files, links)).storage
        assert known(found)
        assert {(s.kind, s.servers) for s in found} == {("nvme-tcp", ("10.0.0.20",))}
        assert [s.mounts for s in found if s.mounts] == [("/srv",)]

    def test_nbd_by_its_processs_connection(self, tmp_path: Path) -> None:
        client = (tcp("10.0.0.5:40000", "10.0.0.20:7777", 730), process(830, "nbd-client", "socket:[730]"))
        files = {"/sys/block/nbd0/pid": "830\n", "/sys/block/nbd1/size": "0\n", "/sys/block/sda/size": "1\n"}
        found = activity_of(tmp_path, *client, Parts(files, {})).storage
        assert found == (NetworkStorage(kind="nbd", source="nbd0", servers=("10.0.0.20",)),)

    def test_nbd_whose_socket_only_the_kernel_has(self, tmp_path: Path) -> None:
        parts = (tcp("10.0.0.5:40000", "10.0.0.20:10809", 730), Parts({"/sys/block/nbd0/pid": "830\n"}, {}))
        found = activity_of(tmp_path, *parts).storage
        assert found == (NetworkStorage(kind="nbd", source="nbd0", servers=("10.0.0.20",)),)

    def test_rbd_and_ata_over_ethernet(self, tmp_path: Path) -> None:
        files = {
            "/sys/bus/rbd/devices/0/config_info": "10.0.0.1:6789,10.0.0.2:6789 name=admin rbd image -\n",
            "/sys/block/etherd!e0.0/netif": "eth1\n",
        }
        found = activity_of(tmp_path, Parts(files, {})).storage
        assert found == (
            NetworkStorage(kind="rbd", source="rbd0", servers=("10.0.0.1", "10.0.0.2")),
            NetworkStorage(kind="aoe", source="etherd!e0.0", netdev="eth1"),
        )

    def test_device_mapper_in_a_circle_ends(self, tmp_path: Path) -> None:
        files = {
            "/sys/class/iscsi_connection/connection1:0/address": "10.0.0.20\n",
            "/sys/class/block/dm-0/slaves/dm-0/x": "",
            "/proc/self/mountinfo": "90 22 253:0 / /srv rw - ext4 /dev/mapper/x rw\n",
        }
        links = {"/sys/dev/block/253:0": "../../class/block/dm-0"}
        assert known(activity_of(tmp_path, Parts(files, links)).storage)


class TestDevices:
    """What else a function offers, and who has it."""

    def test_each_belongs_to_the_last_address_of_its_path(self, tmp_path: Path) -> None:
        virtual = {"/sys/class/ptp/ptp0": "../../devices/virtual/ptp/ptp0"}
        parts = (
            sysfs("infiniband", "mlx5_0", NIC),
            sysfs("infiniband_verbs", "uverbs0", NIC, ibdev="mlx5_0"),
            sysfs("ptp", "ptp1", NIC),
            sysfs("uio", "uio0", "0000:02:00.0"),
            Parts({"/sys/devices/virtual/ptp/ptp0/clock_name": "KVM\n"}, virtual),
        )
        files = Files(str(having(ready_host(), *parts).write(tmp_path)))
        assert read_devices(files) == (
            FunctionDevice(kind="rdma", name="mlx5_0", address=Address(NIC), nodes=("/dev/infiniband/uverbs0",)),
            FunctionDevice(kind="ptp", name="ptp1", address=Address(NIC), nodes=("/dev/ptp1",)),
            FunctionDevice(kind="uio", name="uio0", address=Address("0000:02:00.0"), nodes=("/dev/uio0",)),
        )

    def test_rdma_in_software_belongs_to_the_interface_below(self, tmp_path: Path) -> None:
        links = {"/sys/class/infiniband/rxe0": "../../devices/virtual/infiniband/rxe0"}
        parts = Parts({"/sys/devices/virtual/infiniband/rxe0/parent": "eth1\n"}, links)
        found = read_devices(Files(str(having(ready_host(), parts).write(tmp_path))))
        assert found == (FunctionDevice(kind="rdma", name="rxe0", address=Address(NIC)),)

    def test_holders(self, tmp_path: Path) -> None:
        parts = (process(900, "qemu", "/dev/null", "/dev/vfio/vfio", "/dev/vfio/10", "/dev/uio0", "/dev/ptp0"),)
        nodes = ("/dev/vfio/10", "/dev/uio0", "/dev/ptp0")
        expected = {Holder(process=900, program="qemu", node=node) for node in nodes}
        found = activity_of(tmp_path, *parts).holders
        assert known(found)
        assert set(found) == expected

    def test_a_process_that_may_not_be_looked_into_makes_them_unknown(self, tmp_path: Path) -> None:
        tree = having(ready_host()).write(tmp_path)
        (tree / "proc/7").mkdir()
        (tree / "proc/7/fd").symlink_to("fd")
        assert isinstance(read_activity(Files(str(tree)), ()).holders, Unknown)


class TestPacketSockets:
    """packet(7) and AF_XDP."""

    def test_those_bound_to_an_interface_are_named(self, tmp_path: Path) -> None:
        parts = (packet(2, 710), packet(0, 711), packet(99, 712), process(903, "tcpdump", "socket:[710]"))
        found = activity_of(tmp_path, *parts).packet_sockets
        assert found == (BoundSocket(netdev="eth1", process=903, program="tcpdump"),)

    def test_a_damaged_table_is_unknown(self, tmp_path: Path) -> None:
        assert isinstance(activity_of(tmp_path, Parts({"/proc/net/packet": "x y\n"}, {})).packet_sockets, Unknown)

    def test_sockets_of_af_xdp_that_a_capture_cannot_name_are_unknown(self, tmp_path: Path) -> None:
        tree = ready_host().but(files={"/proc/net/protocols": "XDP       1088      2      -1   NI\n"})
        assert isinstance(tree.read(tmp_path).activity.xdp_sockets, Unknown)

    def test_what_sock_diag_answers(self) -> None:
        bound = struct.pack("=BBHIII", 44, 3, 0, 740, 0, 0) + struct.pack("=HHII", 12, 1, 2, 5)
        unbound = struct.pack("=BBHIII", 44, 3, 0, 741, 0, 0)
        assert list(parse_xdp_sockets([bound, unbound])) == [RawSocket(2, 740, 5)]
