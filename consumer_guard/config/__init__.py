# SPDX-License-Identifier: Apache-2.0
"""The options, and the frozen settings made from them."""
