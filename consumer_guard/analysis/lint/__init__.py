# SPDX-License-Identifier: Apache-2.0
"""Mistakes in policy files."""
