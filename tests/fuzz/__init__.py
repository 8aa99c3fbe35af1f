# SPDX-License-Identifier: Apache-2.0
"""Mutated input against the decoders: `python -m tests.fuzz tables --count 500000 --seed 1`."""
