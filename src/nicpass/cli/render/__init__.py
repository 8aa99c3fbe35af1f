# SPDX-License-Identifier: Apache-2.0
"""Plans, outcomes and errors, for people and for programs."""
