# SPDX-License-Identifier: Apache-2.0
"""The VM that shall have the NIC, held against the NIC and the host."""
