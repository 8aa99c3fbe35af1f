# SPDX-License-Identifier: Apache-2.0
"""A VM's CPUs and memory, where its NIC is."""
