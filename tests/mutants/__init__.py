# SPDX-License-Identifier: Apache-2.0
"""Mutants of what decides: each has to be noticed by a test that runs its line."""
