# SPDX-License-Identifier: Apache-2.0
"""What two sets of oslo.policy rules differ in, proven by z3; for any service."""
