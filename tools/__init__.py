# SPDX-License-Identifier: Apache-2.0
"""Commands for those who try or develop the guard."""
