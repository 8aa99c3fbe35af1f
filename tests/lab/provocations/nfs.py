# SPDX-License-Identifier: Apache-2.0
"""An NFS server on the lab's host, without a package: the kernel's, told by its own files what it exports.

It lives in a network namespace with the second NIC, and the host mounts it over the first: the two are wired to each
other. What rpc.nfsd(8), rpc.mountd(8) and exportfs(8) do, is a few lines here: the export of one folder, as the root
of NFSv4, to one client. Flags 8194 are NFSEXP_FSID and NFSEXP_INSECURE_PORT (include/uapi/linux/nfsd/export.h);
each cache in /proc/net/rpc takes what mountd would answer.
"""

from __future__ import annotations

_FOREVER = 2147483647
_SERVER = "nsenter --net=/run/netns/peer sh -ec"

MOUNT = (
    "ip netns add peer; ip link set enp2s0 netns peer",
    "ip -n peer address add 198.18.0.2/24 dev enp2s0; ip -n peer link set enp2s0 up",
    "ip address add 198.18.0.1/24 dev enp1s0; ip link set enp1s0 up",
    "modprobe nfsd; mkdir -p /srv/export /run/nfsd; echo here >/srv/export/file",
    f"{_SERVER} 'mount -t nfsd nfsd /run/nfsd; echo -3 >/run/nfsd/versions; echo tcp 2049 >/run/nfsd/portlist'",
    f"{_SERVER} 'echo nfsd 198.18.0.1 {_FOREVER} clients >/proc/net/rpc/auth.unix.ip/channel'",
    f"{_SERVER} 'echo clients /srv/export {_FOREVER} 8194 -2 -2 0 >/proc/net/rpc/nfsd.export/channel'",
    f"{_SERVER} 'printf \"clients 1 \\\\\\\\x00000000 {_FOREVER} /srv/export\\n\" >/proc/net/rpc/nfsd.fh/channel'",
    f"{_SERVER} 'echo 1 >/run/nfsd/threads'",
    "timeout 20 sh -c 'until ping -c 1 -W 1 198.18.0.2 >/dev/null; do :; done'",
    "mount -i -t nfs4 -o vers=4.2,addr=198.18.0.2,clientaddr=198.18.0.1,soft,timeo=50 198.18.0.2:/ /mnt",
    "ls /mnt | grep -q file",  # to open it would have to wait for the end of the server's grace period
)
CLEAN_UP = (
    "umount /run/nfsd; ip -n peer link set enp2s0 netns 1; ip netns del peer; udevadm settle",
    "ip address flush dev enp1s0; ip link set enp1s0 down; ip link set enp2s0 down",
)
