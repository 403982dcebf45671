# SPDX-License-Identifier: Apache-2.0
"""Decides requests: the rule on the caller, then on the owners.

::

    preliminary  the rule with the owner unknown                      pure
    obstacle     what no owner can overcome                           pure
    gather       recorded owners, and the body of a write             the only I/O
    conclude     the rule on every recorded and claimed owner, seal   pure

Every tool that says what would be decided calls this with values of its own.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol

from consumer_guard.guard import claims, model, ownership
from consumer_guard.guard.decision import Decision, Outcome, Reason, find_reason
from consumer_guard.guard.errors import OwnersUnavailable, RequestError
from consumer_guard.guard.model import (
    Body,
    Caller,
    ConsumerTypes,
    OwnerGroups,
    Ownership,
    OwnerStatus,
    Ruling,
    Truth,
)
from consumer_guard.guard.ownership import Judge
from consumer_guard.guard.request import GuardedRequest

#: Rulings of a list that are kept; they take more memory than its text.
_KEPT = 2048


class Rules(Protocol):
    """What the decision needs of a rulebook."""

    def judge(
        self, rule: str, caller: Caller, target: Mapping[str, str], *, final: bool
    ) -> Truth:
        """Judge a registered rule; not ``final`` calls no remote check."""

    def reads(self, rule: str) -> frozenset[str]:
        """The target keys that the rule looks at."""


class RuleSource(Protocol):
    """Where the rules in force come from."""

    def current(self) -> Rules:
        """The rules in force.

        :raises consumer_guard.guard.errors.PolicyLocked: there were never any
        """


class Authorizer:
    """Decides; keeps nothing of a request.

    :param patience: seconds that all rulings of one request may take, remote
        checks included
    :param clock: seconds, monotonic
    """

    def __init__(
        self,
        rules: RuleSource,
        owners: model.OwnerLookup,
        *,
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._owners = owners
        self._patience = patience
        self._clock = clock
        # Equal for all requests; most requests get one of these.
        self._by_role: dict[str, Decision] = {}

    def authorize(self, request: GuardedRequest, caller: Caller) -> Decision:
        """Decide one request; never raises a RequestError."""
        depends = False
        rulings: tuple[Ruling, ...] = ()
        rules = None
        try:
            rules = self._rules.current()
            rule = request.operation.rule
            truth = rules.judge(rule, caller, {}, final=False)
            if truth is Truth.YES:
                return self._decide_by_role(rules, rule)
            rulings = (Ruling(rule, 'caller', truth, {}),)
            if truth is Truth.NO:
                return Decision(
                    Outcome.REFUSE, Reason.DENIED, rulings=rulings, rules=rules
                )
            depends = True
            obstacle = ownership.find_obstacle(request)
            if obstacle is not None:
                return Decision(Outcome.REFUSE, obstacle, depends, rules=rules)
            judge = self._make_judge(rules, request, caller)
            decision = self._conclude(request, caller, judge)
            return decision._replace(rules=rules)
        except RequestError as error:
            return Decision(
                Outcome.REFUSE,
                find_reason(error),
                depends,
                rulings,
                error=error,
                rules=rules,
            )

    def _decide_by_role(self, rules: Rules, rule: str) -> Decision:
        """The decision where the rule allows whoever the owner is."""
        decision = self._by_role.get(rule)
        if decision is None or decision.rules is not rules:
            rulings = (Ruling(rule, 'caller', Truth.YES, {}),)
            decision = Decision(Outcome.ROLE, Reason.ROLE, rulings=rulings, rules=rules)
            self._by_role[rule] = decision
        return decision

    def make_filter(
        self, request: GuardedRequest, caller: Caller
    ) -> Callable[[Collection[str]], set[str]]:
        """Which consumers of a list the caller may see, some of them at a time.

        The result raises :class:`consumer_guard.guard.errors.RequestError` where it
        cannot be decided; all its calls together have the time of one request.
        """
        rules = self._rules.current()
        keys = sorted(rules.reads(request.operation.rule))
        deadline = self._clock() + self._patience
        judge = self._make_judge(rules, request, caller)
        allowed: dict[tuple[str | None, ...], bool] = {}

        def find_visible(consumer_ids: Collection[str]) -> set[str]:
            visible: set[str] = set()
            if self._clock() > deadline:  # of nobody's consumers nothing is judged
                raise OwnersUnavailable('The list takes too long to be filtered.')
            for target, uuids in self._find_targets(consumer_ids, keys):
                if self._clock() > deadline:
                    raise OwnersUnavailable('The list takes too long to be filtered.')
                if len(allowed) > _KEPT:
                    allowed.clear()
                # A rule that reads the project alone is judged once per project.
                facts = tuple(map(target.get, keys))
                if facts not in allowed:
                    allowed[facts] = judge(target, 'recorded owner').truth is Truth.YES
                if allowed[facts]:
                    visible.update(uuids)
            return visible

        return find_visible

    def _make_judge(
        self, rules: Rules, request: GuardedRequest, caller: Caller
    ) -> Judge:
        """The operation's rule on one target after the other, for a limited time."""
        rule = request.operation.rule
        deadline = self._clock() + self._patience

        def judge(target: Mapping[str, str], about: str) -> Ruling:
            if self._clock() > deadline:
                raise OwnersUnavailable('The request takes too long to be authorized.')
            truth = rules.judge(rule, caller, target, final=True)
            return Ruling(rule, about, truth, target)

        return judge

    def _conclude(
        self, request: GuardedRequest, caller: Caller, judge: Judge
    ) -> Decision:
        """Gather what is needed, and decide by it.

        :raises consumer_guard.guard.errors.RequestError: it cannot be decided
        """
        kind = request.operation.ownership
        if kind is Ownership.FILTER:
            return Decision(Outcome.FILTER, Reason.OWNER, depends=True)
        if kind is Ownership.SUMS:
            target = request.payload.read_usages_target()
            return ownership.conclude_sums(target, judge)
        if request.consumer_uuid is None:
            return self._conclude_many(request, caller, judge)
        owners = self._owners.find((request.consumer_uuid,))
        recorded = ownership.conclude_recorded(owners, judge)
        if kind is Ownership.READ or recorded.outcome is Outcome.REFUSE:
            # Security: a body is not read for whoever does not own the consumer.
            return recorded
        body = self._read_body(request)
        empties = ownership.find_empties(body)
        if empties is not None:
            return recorded._replace(outcome=Outcome.REFUSE, reason=empties)
        return self._conclude_write(body, recorded, caller, judge)

    def _conclude_many(
        self, request: GuardedRequest, caller: Caller, judge: Judge
    ) -> Decision:
        """Decide on the consumers that a body names: all or nothing."""
        body = self._read_body(request)
        empties = ownership.find_empties(body)
        if empties is not None:
            return Decision(Outcome.REFUSE, empties, depends=True)
        owners = self._owners.find([claim.consumer_uuid for claim in body.claims])
        recorded = ownership.conclude_recorded(owners, judge)
        return self._conclude_write(body, recorded, caller, judge)

    def _conclude_write(
        self, body: Body, recorded: Decision, caller: Caller, judge: Judge
    ) -> Decision:
        """Decide on the claims, of which types may have to be looked up."""
        owners, types = recorded.owners or {}, self._owners
        claimed = [(claim.consumer_uuid, claim.consumer_type) for claim in body.claims]
        new = {k for uuid, k in claimed if k and k != owners[uuid].consumer_type}
        names: dict[str, Collection[str | None]] = {
            key: (caller.credentials.get(key),) for key in ('project_id', 'user_id')
        }
        # Security: not before the recorded owners have passed, so that the time of
        # this look-up tells no type of others' consumers.
        passed = recorded.outcome is not Outcome.REFUSE
        if passed and new and isinstance(types, ConsumerTypes):
            names['consumer_type'] = types.find_types(new)
        return ownership.conclude_write(body, recorded, names, judge)

    @staticmethod
    def _read_body(request: GuardedRequest) -> Body:
        body = claims.read_write_body(request)
        for claim in body.claims:
            claims.demand_canonical_claim(claim)
        return body

    def _find_targets(
        self, consumer_ids: Collection[str], keys: Collection[str]
    ) -> Iterable[tuple[Mapping[str, str], Collection[str]]]:
        """What the rule is judged on, and for which of the consumers."""
        owners = self._owners
        if isinstance(owners, OwnerGroups) and 'consumer_uuid' not in keys:
            return owners.find_groups(consumer_ids, keys)
        return (
            (owner.target(), (uuid,))
            for uuid, owner in owners.find(consumer_ids).items()
            # Security: nobody's are for role-holders, whatever the rule says.
            if owner.status is OwnerStatus.RECORDED and owner.project_id
        )
