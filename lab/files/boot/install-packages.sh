#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run in the disk's root, on the building machine, with the packages in /debs: INITRAMFS ROOT_UUID ARGUMENTS
set -eu
initramfs=$1 root_uuid=$2 arguments=$3
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

# To be at work on every host: filesystem checks and security modules take seconds under emulation.
always="console=ttyS0 fsck.mode=skip lsm=landlock,lockdown,yama,bpf nohz=off highres=off"
echo "UUID=$root_uuid / ext4 errors=remount-ro 0 0" >/etc/fstab
# It loads the modules for sockets between virtual machines, which takes seconds.
mkdir -p /etc/systemd/system-generators
ln -s /dev/null /etc/systemd/system-generators/systemd-ssh-generator

echo 'grub-pc grub-pc/install_devices_empty boolean true' | debconf-set-selections
dpkg --install --auto-deconfigure /debs/*.deb

if [ -e /etc/default/grub ]; then
    sed -i \
        -e 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=1/' \
        -e "s/^GRUB_CMDLINE_LINUX_DEFAULT=.*/GRUB_CMDLINE_LINUX_DEFAULT=\"quiet $arguments\"/" \
        -e "s/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX=\"$always\"/" \
        -e 's/^#GRUB_TERMINAL=.*/GRUB_TERMINAL=serial\nGRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"/' \
        /etc/default/grub
    [ "$(grep -cE '^GRUB_(TIMEOUT=1|TERMINAL=serial|SERIAL_COMMAND=.*|CMDLINE_LINUX(_DEFAULT)?=".* .*")$' \
        /etc/default/grub)" = 5 ]
fi

case $initramfs in
initramfs-tools) update-initramfs -u -k all ;;
esac
