#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run on the host, as its administrator would: LOADER FIRMWARE INITRAMFS
set -eu
loader=$1 firmware=$2 initramfs=$3

if [ "$firmware" = uefi ]; then
    mkfs.vfat -F 32 -n ESP /dev/vda1
    mkdir -p /boot/efi
    echo "UUID=$(blkid -s UUID -o value /dev/vda1) /boot/efi vfat umask=0077 0 0" >>/etc/fstab
    systemctl daemon-reload
    mount /boot/efi
fi

case "$loader $firmware" in
'grub bios')
    grub-install --target=i386-pc /dev/vda
    update-grub
    ;;
'grub uefi')
    grub-install --target=x86_64-efi --efi-directory=/boot/efi --bootloader-id=debian
    update-grub
    ;;
'systemd-boot uefi')
    bootctl install --make-machine-id-directory=auto
    echo 'timeout 1' >>/boot/efi/loader/loader.conf
    kernel=$(uname -r)
    kernel-install add "$kernel" "/boot/vmlinuz-$kernel"
    bootctl list
    ;;
esac

# What is made on the building machine differs a little: there is no root file system and no udev to look at.
case $initramfs in
initramfs-tools) update-initramfs -u ;;
dracut) dracut --regenerate-all --force ;;
esac
sync
