# SPDX-License-Identifier: Apache-2.0
"""oslo.policy rules: compiled, evaluated with three values, reloaded."""
