#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run in a copy of the base tree: download packages, and what they need that is not there, to /debs; UEFI's firmware
# for QEMU, which no host has installed, to /firmware; and another kernel, for a host to be updated to, to /kernel.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
mkdir /debs /firmware /kernel /ovmf
apt-get -qq update
apt-get -qq -y --no-install-recommends --download-only install "$@"
mv /var/cache/apt/archives/*.deb /debs
cd /ovmf
apt-get -qq download ovmf
dpkg-deb --extract ovmf_*.deb .
mv usr/share/OVMF/OVMF_CODE_4M.fd usr/share/OVMF/OVMF_VARS_4M.fd /firmware
cd /kernel
kernel=$(apt-cache depends --important linux-image-rt-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p')
apt-get -qq download "$kernel"
