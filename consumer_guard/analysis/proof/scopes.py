# SPDX-License-Identifier: Apache-2.0
"""The scope of a token as a check, since oslo.policy refuses by it as well."""

from collections.abc import Collection
from dataclasses import dataclass

from consumer_guard.guard.model import Truth
from consumer_guard.rules.leaves import NOTHING
from consumer_guard.rules.nodes import AnyOf, Facts, Leaf, Node

#: In the order in which oslo.policy decides (``Enforcer._enforce_scope``).
SCOPES = ('system', 'domain', 'project')


@dataclass(frozen=True, slots=True)
class TokenScope(Leaf):
    """Whether the token is of one scope."""

    scope: str

    def evaluate(self, facts: Facts) -> Truth:
        """As oslo.policy decides; a token without a scope is one of a project."""
        found = 'project'
        if facts.credentials.get('system'):
            found = 'system'
        elif facts.credentials.get('domain_id'):
            found = 'domain'
        return Truth.YES if found == self.scope else Truth.NO


def make_scope_check(scopes: Collection[str] | None) -> Node | None:
    """One of some scopes; None for all of them."""
    if scopes is None or {*SCOPES} <= {*scopes}:
        return None
    known = [scope for scope in SCOPES if scope in scopes]
    return AnyOf(tuple(TokenScope(f'a {one} token', NOTHING, one) for one in known))
