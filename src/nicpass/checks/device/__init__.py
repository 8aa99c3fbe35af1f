# SPDX-License-Identifier: Apache-2.0
"""One NIC as a device: whose it is, its reset, its way to the root complex, what its model is known for."""
