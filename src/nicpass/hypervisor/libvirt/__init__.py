# SPDX-License-Identifier: Apache-2.0
"""KVM by libvirt: its VMs, the steps that change them, and the guard that stands in libvirt's hooks."""
