# SPDX-License-Identifier: Apache-2.0
"""Rules executed by oslo.policy's own checks, for one caller and one target."""

from collections.abc import Mapping
from typing import Any, cast

from oslo_policy import policy

from consumer_guard.analysis.proof.domain import Example
from consumer_guard.analysis.proof.scopes import TokenScope
from consumer_guard.guard.model import Truth
from consumer_guard.rules.nodes import AllOf, AnyOf, Facts, Node, Not, Reference
from consumer_guard.rules.remote import Remote


class _Fixed(policy.Check):
    """A check whose answer is known; in the place of a call to another server."""

    def __init__(self, text: str, *, answer: bool) -> None:
        super().__init__('fixed', text)
        self._answer = answer

    def __call__(self, *_: Any, **__: Any) -> bool:
        """The answer."""
        return self._answer


def execute(
    node: Node, example: Example, target: Mapping[str, Any] | None = None
) -> Truth:
    """What oslo.policy answers; unknown where it raises.

    :param target: in the place of the example's
    """
    try:
        credentials = make_credentials(example)
        check = _Tree(credentials, example).build(node)
        given = dict(example.target if target is None else target)
        # No check that is called here looks at the enforcer.
        answer = check(given, credentials, cast(policy.Enforcer, None), None)
    except Exception:
        return Truth.UNKNOWN
    return Truth.YES if answer else Truth.NO


def make_credentials(example: Example) -> dict[str, Any]:
    """The credentials as a service has them: dotted names are dictionaries.

    :raises TypeError: a name is both a value and a path
    """
    credentials: dict[str, Any] = {}
    for name, value in example.credentials.items():
        *path, last = name.split('.')
        place = credentials
        for step in path:
            place = place.setdefault(step, {})
        if last in place:
            raise TypeError(name)
        place[last] = value
    if credentials.get('system_scope'):
        credentials['system'] = credentials['system_scope']
    return credentials


class _Tree:
    """oslo.policy's check tree of a rule; references are in it."""

    def __init__(self, credentials: Mapping[str, Any], example: Example) -> None:
        self._facts = Facts(credentials, frozenset(), {})
        self._example = example
        self._built: dict[int, Any] = {}

    def build(self, node: Node) -> Any:
        known = self._built.get(id(node))
        if known is None:
            known = self._built[id(node)] = self._build(node)
        return known

    def _build(self, node: Node) -> Any:
        if isinstance(node, Reference):
            return self.build(node.node)
        if isinstance(node, Not):
            return policy.NotCheck(self.build(node.node))
        if isinstance(node, AllOf):
            return policy.AndCheck([self.build(one) for one in node.nodes])
        if isinstance(node, AnyOf):
            return policy.OrCheck([self.build(one) for one in node.nodes])
        if isinstance(node, TokenScope):
            return _Fixed(str(node), answer=node.evaluate(self._facts) is Truth.YES)
        if isinstance(node, Remote):
            answer = self._example.answers.get(str(node))
            return _Fixed(str(node), answer=answer is Truth.YES)
        return policy.RuleDefault('rule', str(node)).check
