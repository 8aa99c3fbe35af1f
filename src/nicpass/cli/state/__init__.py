# SPDX-License-Identifier: Apache-2.0
"""Commands about a host in one file."""
