# SPDX-License-Identifier: Apache-2.0
"""The decision: brings caller, owners and rules together. No HTTP.

The rule is judged first with the owner unknown. Only where that leaves it open
are owners looked up, once, and the rule judged again on each of them.
"""

import logging
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from consumer_guard.guard import model
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.errors import (
    OwnersUnavailable,
    PolicyLocked,
    RequestError,
    TooLarge,
    Unreadable,
)
from consumer_guard.guard.groups import OwnerGroups
from consumer_guard.guard.model import Caller, Owner, OwnerStatus, Ruling, Truth
from consumer_guard.guard.ownership import Deadline, Deliberation, Rules
from consumer_guard.guard.request import GuardedRequest

LOG = logging.getLogger(__name__)

_REASON_OF_ERROR: dict[type[RequestError], Reason] = {
    Unreadable: Reason.UNREADABLE,
    TooLarge: Reason.TOO_LARGE,
    OwnersUnavailable: Reason.UNAVAILABLE,
    PolicyLocked: Reason.LOCKED,
}


#: What is decided when the rule allows whoever the owner is, for each rule.
_BY_ROLE = {
    operation.rule: Decision(
        Outcome.ROLE,
        Reason.ROLE,
        rulings=(Ruling(operation.rule, 'caller', Truth.YES),),
    )
    for operation in model.OPERATIONS
}


class RuleSource(Protocol):
    """Where the rules in force come from."""

    def current(self) -> Rules:
        """The rules in force.

        :raises consumer_guard.guard.errors.PolicyLocked: there were never any
        """


class Guard:
    """Decides; holds no state of its own.

    :param max_body_size: bytes
    :param patience: seconds that all rulings of one request may take, checks
        that ask elsewhere included
    """

    def __init__(
        self,
        rules: RuleSource,
        owners: model.OwnerLookup,
        *,
        max_body_size: int,
        patience: float,
    ) -> None:
        self._rules = rules
        self._owners = owners
        self._max_body_size = max_body_size
        self._patience = patience

    def _start(self) -> Deadline:
        return Deadline(time.monotonic() + self._patience)

    def decide(self, request: GuardedRequest, caller: Caller) -> Decision:
        """Decide one request; never raises a RequestError."""
        try:
            rules = self._rules.current()
        except PolicyLocked as exc:
            return _stopped(exc, depends=False, rulings=())
        rule = request.operation.rule
        truth = rules.judge(rule, caller, {}, final=False)
        if truth is Truth.YES:
            return _BY_ROLE[rule]
        rulings = (Ruling(rule, 'caller', truth),)
        if truth is Truth.NO:
            return Decision(Outcome.REFUSE, Reason.DENIED, rulings=rulings)
        try:
            decision = Deliberation(
                rules,
                self._owners,
                self._max_body_size,
                self._start(),
                request,
                caller,
            ).decide()
        except RequestError as exc:
            return _stopped(exc, depends=True, rulings=rulings)
        return decision

    def find_visible(
        self, request: GuardedRequest, caller: Caller, consumer_ids: Collection[str]
    ) -> frozenset[str]:
        """Which consumers of a list the caller may see.

        :raises consumer_guard.guard.errors.RequestError: it cannot be told
        """
        rules = self._rules.current()
        rule = request.operation.rule
        keys = sorted(rules.reads(rule))
        seen: dict[tuple[str | None, ...], bool] = {}
        deadline = self._start()
        visible: set[str] = set()
        for target, uuids in self._find_targets(consumer_ids, keys):
            # A rule that reads the project alone is judged once a project.
            facts = tuple([target.get(key) for key in keys])
            if facts not in seen:
                deadline.check()
                truth = rules.judge(rule, caller, target, final=True)
                seen[facts] = truth is Truth.YES
            if seen[facts]:
                visible.update(uuids)
        return frozenset(visible)

    def _find_targets(
        self, consumer_ids: Collection[str], keys: Collection[str]
    ) -> Iterable[tuple[Mapping[str, str], Collection[str]]]:
        """What the rule is judged on, and for which of the consumers."""
        owners = self._owners
        if isinstance(owners, OwnerGroups) and 'consumer_uuid' not in keys:
            yield from owners.find_groups(consumer_ids, keys)
            return
        for uuid, owner in owners.find(consumer_ids).items():
            if owner.status is OwnerStatus.RECORDED:
                yield owner.target(), (uuid,)

    def find_recreated(self, judged: Mapping[str, Owner]) -> tuple[str, ...]:
        """Which of the judged consumers are another row by now.

        :param judged: what was looked up before the write
        :returns: nothing also when it cannot be told; the write is done
        """
        try:
            now = self._owners.find(list(judged))
        except Exception:
            # The write is done; its answer goes out whatever happens here.
            LOG.warning('It cannot be told whether a consumer was re-created')
            return ()
        return tuple(
            [
                uuid
                for uuid, before in judged.items()
                if now[uuid].row_id not in (None, before.row_id)
            ]
        )


def _stopped(
    error: RequestError, *, depends: bool, rulings: tuple[Ruling, ...]
) -> Decision:
    return Decision(
        Outcome.REFUSE,
        _REASON_OF_ERROR[type(error)],
        depends=depends,
        rulings=rulings,
        error=error,
    )
