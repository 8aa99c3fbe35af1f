# SPDX-License-Identifier: Apache-2.0
"""Pools of VFs, and the VMs that draw from them."""
