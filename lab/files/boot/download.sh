#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run in a copy of the base tree: download packages, and what they need that is not there, to /debs.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq -y --no-install-recommends --download-only install "$@"
mkdir /debs
mv /var/cache/apt/archives/*.deb /debs
