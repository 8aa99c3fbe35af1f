# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: ratios against peers, from interleaved runs on one machine."""
