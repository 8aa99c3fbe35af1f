# SPDX-License-Identifier: Apache-2.0
"""The VFs of a PF: how many, and what they are set to."""
