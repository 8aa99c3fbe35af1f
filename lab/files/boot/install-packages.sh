#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run in the disk's root, on the building machine, with the packages in /debs: LOADER INITRAMFS ROOT_UUID ARGUMENTS
set -eu
loader=$1 initramfs=$2 root_uuid=$3 arguments=$4
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
mount -t proc proc /proc # seen by this script only: it runs in a mount namespace of its own

# As for the hosts that QEMU boots (lab/qemu.py). And no test of the timer, which on a busy machine finds now and then
# that "timer doesn't work through Interrupt-remapped IO-APIC", and panics.
always="console=ttyS0 fsck.mode=skip lsm=landlock,lockdown,yama,bpf no_timer_check"
echo "UUID=$root_uuid / ext4 errors=remount-ro 0 0" >/etc/fstab
# It loads the modules for sockets between virtual machines, which takes seconds.
mkdir -p /etc/systemd/system-generators
ln -s /dev/null /etc/systemd/system-generators/systemd-ssh-generator
# kernel-install(8) reads it, whoever calls it.
[ "$loader" != systemd-boot ] || echo "root=UUID=$root_uuid ro $always quiet $arguments" >/etc/kernel/cmdline

echo 'grub-pc grub-pc/install_devices_empty boolean true' | debconf-set-selections
if [ "$initramfs" = dracut ]; then
    dpkg --purge --force-depends initramfs-tools initramfs-tools-core
    rm -rf /etc/initramfs-tools
fi
dpkg --install /debs/lib*.deb # a package may want its libraries before it is unpacked
dpkg --install /debs/*.deb

if [ "$loader" = grub ]; then
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
dracut) for kernel in /usr/lib/modules/*; do dracut --force --kver "${kernel##*/}"; done ;;
esac
umount /proc
