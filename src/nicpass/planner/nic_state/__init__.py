# SPDX-License-Identifier: Apache-2.0
"""What a NIC is to the host: seen, compared, and judged for a record."""
