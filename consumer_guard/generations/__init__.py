# SPDX-License-Identifier: Apache-2.0
"""Generation counters: their thresholds, the watch over them, compare-and-swap."""
