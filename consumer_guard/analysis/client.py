# SPDX-License-Identifier: Apache-2.0
"""What the client gets from the guard and placement together.

Placement's rules are executed by oslo.policy's own checks, on the target that
placement uses: the caller's own project and user, and the project of the query for
``GET /usages`` (source: ``placement.context.RequestContext.can`` of placement 16).
"""

import enum
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from consumer_guard.analysis.lint.linter import Policies, make_rule_sets
from consumer_guard.analysis.lint.permissions import name_placement_rule
from consumer_guard.analysis.proof.domain import Example
from consumer_guard.analysis.proof.execution import execute
from consumer_guard.analysis.proof.installed import ServiceRule
from consumer_guard.analysis.proof.services import ServicePolicy
from consumer_guard.analysis.terms import list_leaves
from consumer_guard.guard.decision import Outcome
from consumer_guard.guard.errors import RequestError
from consumer_guard.guard.model import (
    OPERATIONS,
    Caller,
    Operation,
    Ownership,
    Truth,
)
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.rules.nodes import Node
from consumer_guard.rules.remote import Remote

#: Remote checks of one rule whose answers are all tried.
_MAX_REMOTE = 6


class Decider(enum.Enum):
    """Which of the two decided."""

    GUARD = 'consumer_guard'
    PLACEMENT = 'placement'
    BOTH = 'consumer_guard and placement'  #: both allow it
    #: The guard allows it, and what placement does is not known.
    GUARD_ALONE = "consumer_guard alone; placement's rule is not known"


@dataclass(frozen=True, slots=True)
class PlacementRules:
    """Placement's rules of the guarded operations.

    :ivar nodes: by name of the operation; None for what cannot be evaluated
    :ivar passage_role: '' when it is turned off
    """

    nodes: Mapping[str, Node | None]
    passage_role: str

    @classmethod
    def build(cls, policies: Policies) -> 'PlacementRules | None':
        """The rules in force; None where placement is not installed.

        :raises consumer_guard.guard.errors.PolicyFileError: a file is not YAML, or not
            a mapping of names
        """
        if policies.registered is None:
            return None
        _, rules = make_rule_sets(policies)
        service = ServicePolicy(
            tuple(
                ServiceRule(name, check, None, None)
                for name, check in rules.defaults.items()
            ),
            {name: rule.value for name, rule in rules.written.items()},
        )
        compiled = service.compile()
        names = {each: name_placement_rule(each) for each in OPERATIONS}
        return cls(
            {
                each.name: compiled[name].node if name in compiled else None
                for each, name in names.items()
            },
            policies.passage_role.strip(),
        )

    def judge(
        self, operation: Operation, caller: Caller, target: Mapping[str, Any]
    ) -> Truth:
        """Placement's own answer; unknown where the rule asks elsewhere.

        :param caller: with the passage role, where the guard gives it
        """
        node = self.nodes.get(operation.name)
        if node is None:
            return Truth.UNKNOWN
        # Security: remote checks are never called from here.
        truths = {
            execute(node, Example(caller.credentials, {}, answers), target)
            for answers in list_answers(node)
        }
        return truths.pop() if len(truths) == 1 else Truth.UNKNOWN

    def add_passage(self, caller: Caller) -> Caller:
        """The caller as the guard forwards it after it allowed it by ownership."""
        if not self.passage_role:
            return caller
        roles = [*caller.credentials['roles'], self.passage_role]
        return caller._replace(
            credentials={**caller.credentials, 'roles': roles},
            roles=caller.roles | {self.passage_role.lower()},
        )


def list_answers(node: Node) -> Iterator[dict[str, Truth]]:
    """All answers of a rule's remote checks; none where these are too many."""
    names = [name for name, leaf in list_leaves(node).items() if _is_remote(leaf)]
    if len(names) <= _MAX_REMOTE:
        for truths in itertools.product((Truth.NO, Truth.YES), repeat=len(names)):
            yield dict(zip(names, truths, strict=True))


def _is_remote(leaf: Node) -> bool:
    return isinstance(leaf, Remote)


def make_placement_target(
    operation: Operation, caller: Caller, asked: str | None
) -> dict[str, Any]:
    """The target on which placement evaluates its rule.

    :param asked: the project of ``GET /usages``
    """
    if operation.ownership is Ownership.SUMS:
        return {'project_id': asked}
    return {key: caller.credentials.get(key) for key in ('project_id', 'user_id')}


class ClientAnswer(NamedTuple):
    """What the client gets.

    :ivar allowed: whether neither is known to refuse it
    :ivar answer: in one line
    """

    allowed: bool
    decider: Decider
    answer: str

    @property
    def short(self) -> str:
        """The answer without who decides, where that is shown beside it."""
        return self.answer.partition(';')[0]


def judge_placement(
    rules: PlacementRules, request: GuardedRequest, caller: Caller, outcome: Outcome
) -> Truth:
    """Placement's answer to a request that the guard forwards."""
    asked = None
    if request.operation.ownership is Ownership.SUMS:
        try:
            asked = request.payload.read_usages_target().get('project_id')
        except RequestError:
            return Truth.UNKNOWN  # a role-holder's, with a query of its own
    target = make_placement_target(request.operation, caller, asked)
    if outcome is not Outcome.ROLE:
        caller = rules.add_passage(caller)
    return rules.judge(request.operation, caller, target)


def combine(
    rules: PlacementRules | None,
    request: GuardedRequest,
    caller: Caller,
    outcome: Outcome,
    answer: str,
) -> ClientAnswer:
    """The answer of both.

    :param outcome: the guard's
    :param answer: the guard's, see :func:`consumer_guard.analysis.prediction.predict`
    """
    if outcome is Outcome.REFUSE:
        return ClientAnswer(False, Decider.GUARD, answer)
    truth = Truth.UNKNOWN
    if rules is not None:
        truth = judge_placement(rules, request, caller, outcome)
    if truth is Truth.UNKNOWN:
        return ClientAnswer(True, Decider.GUARD_ALONE, answer)
    if truth is Truth.YES:
        return ClientAnswer(True, Decider.BOTH, answer)
    name = name_placement_rule(request.operation)
    return ClientAnswer(
        False,
        Decider.PLACEMENT,
        f'403 from placement: its rule {name} refuses',
    )
