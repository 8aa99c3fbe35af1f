# SPDX-License-Identifier: Apache-2.0
"""Who uses what of the host: sessions, storage on other machines, open devices, sockets, network namespaces."""
