#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run on the host, as its administrator would: LOADER FIRMWARE
set -eu
case "$1 $2" in
'grub bios')
    grub-install --target=i386-pc /dev/vda
    update-grub
    ;;
esac
sync
