# SPDX-License-Identifier: Apache-2.0
"""Files of others, edited and restored byte for byte; and files that are wholly ours."""
