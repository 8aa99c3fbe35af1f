# SPDX-License-Identifier: Apache-2.0
"""Fake hosts and fake kernels for the fast tests and the benchmarks."""
