# SPDX-License-Identifier: Apache-2.0
"""What is meant to be done with the host's NICs, by whoever configures networks (law 9)."""
