#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run in the image's root, on the building machine, after the packages and files are in place.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C

echo lab >/etc/hostname
echo '127.0.0.1 localhost lab' >/etc/hosts
# A machine id that is there already: without one, systemd takes the boot for the first and resets every unit.
echo 6e69637061737300000000006c616221 >/etc/machine-id

systemctl enable --quiet systemd-networkd lab-heartbeat
# The other two network managers wait for the tests that unmask them; nothing of them runs on any other host.
systemctl mask --quiet NetworkManager.service NetworkManager-dispatcher.service NetworkManager-wait-online.service \
    networking.service ifupdown-wait-online.service
# None of these is part of what is tested, and each costs seconds under emulation. A getty on the serial port
# would also mangle what others write there.
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer logrotate.timer man-db.timer systemd-tmpfiles-clean.timer dpdk.service \
    libvirt-guests.service getty@tty1.service serial-getty@ttyS0.service systemd-networkd-wait-online.service \
    systemd-pstore.service

# pipx makes this environment at its first use, from the network. Here it is made beforehand.
python3 -m venv /root/.local/share/pipx/shared
/root/.local/share/pipx/shared/bin/python -m compileall -q /root/.local/share/pipx/shared /opt 2>/dev/null || true

mkdir -p -m 700 /root/.ssh
ssh-keygen -q -t ed25519 -N '' -C nicpass-lab -f /root/.ssh/lab_key
mv /root/.ssh/lab_key.pub /root/.ssh/authorized_keys

# The packages' lists and archives are of no use to a host that is offline.
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /dev/* /run/*
