# SPDX-License-Identifier: Apache-2.0
"""Owners' writes beside everybody else's, at full speed, on three databases.

The database itself keeps the evidence: triggers log every change of a consumers
row in the order of its locks. Afterwards every write that a client was told has
landed is found there, and names its predecessor.
"""
