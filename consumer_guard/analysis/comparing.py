# SPDX-License-Identifier: Apache-2.0
"""Two rules compared by the best means there are: by proof where z3 is installed.

z3 is an extra, and half a second to import.
"""

import importlib

from consumer_guard.analysis.equivalence import Comparison, compare, compare_rules
from consumer_guard.analysis.scenarios import Shape
from consumer_guard.guard.model import Operation
from consumer_guard.rules.nodes import Node


def can_prove() -> bool:
    """Whether z3 (extra ``proof``) is installed and works."""
    try:
        importlib.import_module('z3')
    except Exception:  # its own type, when its library cannot be loaded
        return False
    return True


def compare_operation(old: Node, new: Node, operation: Operation) -> Comparison:
    """Compare two rules on all that the guard judges an operation's rule on."""
    if not can_prove():
        return compare_rules(old, new, operation)
    from consumer_guard.analysis.proving import prove_rules

    return prove_rules(old, new, operation)


def find_gains(old: Node, new: Node, shape: Shape) -> Comparison:
    """Who gains on targets of one shape; without z3 also who loses."""
    if not can_prove():
        return compare(old, new, [shape])
    from consumer_guard.analysis.proving import prove_gains

    return prove_gains(old, new, shape)
