# SPDX-License-Identifier: Apache-2.0
"""Floor 1: frozen types. Nothing here reads, decides or acts."""
