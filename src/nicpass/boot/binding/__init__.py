# SPDX-License-Identifier: Apache-2.0
"""NICs that get their driver at every boot: who is meant, what is written for it, and who may use them."""
