# SPDX-License-Identifier: Apache-2.0
"""How the host boots is changed, and seen after the reboot."""
