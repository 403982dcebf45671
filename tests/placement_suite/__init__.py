# SPDX-License-Identifier: Apache-2.0
"""Placement's own functional tests, run through the guard.

``python -m tests.placement_suite`` runs the tests that ship with placement as
they are, then again with the guard in the application under test, and compares.
Nothing of placement is edited: ``inject`` stands on PYTHONPATH.
"""
