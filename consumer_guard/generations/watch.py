# SPDX-License-Identifier: Apache-2.0
"""Keeps consumer generations from running out: watches, refuses, rolls.

A write at 1.28 or later carries the generation, so that watching costs
nothing; below it takes one look-up. What is stored is confirmed by one SELECT
before anything is refused or rolled.
"""

import functools
import logging
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

from consumer_guard.generations.alarm import GenerationAlarm
from consumer_guard.generations.thresholds import Step, Swap, Thresholds
from consumer_guard.guard import claims, model
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.errors import OwnersUnavailable, RequestError, Unreadable
from consumer_guard.guard.model import GENERATION_IN_BODY, Body, Claim, Owner
from consumer_guard.guard.obligations import Afterwards, Fulfilment
from consumer_guard.guard.request import GuardedRequest

LOG = logging.getLogger(__name__)

#: Writes that move a generation; DELETE removes it.
_WATCHED = (model.ALLOCATIONS_UPDATE, model.ALLOCATIONS_MANAGE, model.RESHAPE)

#: Consumer ids and generations.
Generations = tuple[tuple[str, float], ...]


@runtime_checkable
class GenerationStore(Protocol):
    """A driver that can compare and swap; ``roll`` needs one."""

    def swap_generations(self, swaps: Iterable[Swap]) -> bool:
        """Swap all in one transaction, or none.

        :returns: False when a race was lost, a deadlock included
        :raises consumer_guard.guard.errors.OwnersUnavailable: the store did not
            answer; nothing was swapped as far as can be told
        """


class Inspection(NamedTuple):
    """The generations of one allowed write, before anything is changed.

    :ivar body: the body, where it could be read
    :ivar near: generations near their end, to be logged when the write succeeded
    :ivar due: what has to be rolled for the write to go on
    """

    body: Body | None = None
    near: Generations = ()
    due: tuple[Swap, ...] = ()


class GenerationWatch:
    """Fulfils the obligations of writes, see :mod:`consumer_guard.guard.obligations`.

    :ivar alarm: notified of writes that succeeded
    :param store: rolls; None refuses instead
    :param acts: False in shadow mode: only say what would be done
    """

    def __init__(
        self,
        thresholds: Thresholds,
        lookup: model.OwnerLookup,
        alarm: GenerationAlarm,
        *,
        store: GenerationStore | None,
        roll_to: int,
        acts: bool,
    ) -> None:
        self._thresholds = thresholds
        self._lookup = lookup
        self._store = store
        self._roll_to = roll_to
        self._acts = acts
        self.alarm = alarm

    def fulfil(
        self, request: GuardedRequest, decision: Decision, request_id: str
    ) -> Fulfilment:
        """Let an allowed write go on, refuse it, or roll its generations."""
        if decision.outcome is Outcome.REFUSE or request.operation not in _WATCHED:
            return Fulfilment(decision)
        inspection = self._inspect(request, decision)
        content, reason = None, None
        if inspection.due:
            try:
                content, reason = self._settle(request, inspection)
            except OwnersUnavailable as exc:
                refused = decision._replace(
                    outcome=Outcome.REFUSE, reason=Reason.UNAVAILABLE, error=exc
                )
                return Fulfilment(refused)
        afterwards = self._plan_afterwards(decision, inspection.near, request_id)
        if reason is not None:
            decision = decision._replace(outcome=Outcome.REFUSE, reason=reason)
        return Fulfilment(decision, inspection.body, content, afterwards)

    def _inspect(self, request: GuardedRequest, decision: Decision) -> Inspection:
        """Look at the generations of an allowed write; changes nothing."""
        body, version = decision.body, request.microversion
        if version is None:
            return Inspection()
        try:
            if body is None:
                body = claims.read_body(request)
        except RequestError as exc:
            # A role-holder's request is never worse off than without the guard.
            LOG.info('A write is forwarded unwatched: %s', exc)
            return Inspection()
        named = {
            claims.normalize_id(request, claim.consumer_uuid): claim
            for claim in body.claims
        }
        carried = version >= GENERATION_IN_BODY
        if carried and not any(
            claim.generation is not None
            and self._thresholds.must_act(claim.generation, empties=claim.empties)
            for claim in named.values()
        ):
            near = self._near((key, claim.generation) for key, claim in named.items())
            return Inspection(body, near)
        owners = decision.owners or self._look_up(named)
        if owners is None:
            return Inspection(body)
        near = self._near((key, owner.generation) for key, owner in owners.items())
        return Inspection(body, near, self._find_due(named, owners, carried))

    def _look_up(self, named: Iterable[str]) -> Mapping[str, Owner] | None:
        try:
            return self._lookup.find(list(named))
        except OwnersUnavailable:
            LOG.warning('A write is forwarded unwatched: its generation is not known')
            return None

    def _find_due(
        self, named: Mapping[str, Claim], owners: Mapping[str, Owner], carried: bool
    ) -> tuple[Swap, ...]:
        due = []
        for key, claim in named.items():
            stored = owners[key].generation
            if stored is None or (carried and stored != claim.generation):
                # A new consumer, or a stale client: placement's own 409.
                continue
            if self._thresholds.must_act(stored, empties=claim.empties):
                due.append(Swap(key, stored, self._roll_to))
        return tuple(due)

    def _settle(
        self, request: GuardedRequest, inspection: Inspection
    ) -> tuple[bytes | None, Reason | None]:
        """Roll what is due: the body to forward, or why the write is refused.

        :raises consumer_guard.guard.errors.OwnersUnavailable: it is not known
            whether the generations were rolled
        """
        due, body = inspection.due, inspection.body
        if self._store is None:
            for swap in due if self._acts else ():
                LOG.error(
                    'The generation of consumer %s is %d and must not grow; cure: '
                    'consumer-guard generation roll --consumer %s',
                    swap.uuid,
                    swap.expected,
                    swap.uuid,
                )
            return None, Reason.SPENT
        if not self._acts or body is None:
            return None, None
        try:
            # First: what is swapped has to go on.
            content = claims.rewrite(request, body, {s.uuid: s.new for s in due})
        except Unreadable as exc:
            LOG.info('A write is forwarded unwatched: %s', exc)
            return None, None
        if not self._store.swap_generations(due):
            return None, Reason.LOST_ROLL
        for swap in due:
            LOG.warning(
                'The generation of consumer %s was rolled from %d to %d',
                swap.uuid,
                swap.expected,
                swap.new,
            )
        return content, None

    def _near(self, generations: Iterable[tuple[str, float | None]]) -> Generations:
        return tuple(
            [
                (key, generation)
                for key, generation in generations
                if generation is not None
                and self._thresholds.step_of(generation) is not Step.FINE
            ]
        )

    def _plan_afterwards(
        self, decision: Decision, near: Generations, request_id: str
    ) -> Afterwards | None:
        sealed = self._acts and decision.outcome is Outcome.PASSAGE
        judged = decision.owners if sealed else None
        if not near and not judged:
            return None
        return functools.partial(self._look_after, near, judged or {}, request_id)

    def _look_after(
        self, near: Generations, judged: Mapping[str, Owner], request_id: str
    ) -> None:
        """Alarm about generations near their end, and re-created consumers."""
        self.alarm.note(near)
        for uuid in self._find_recreated(judged) if judged else ():
            LOG.error(
                'Request %s wrote consumer %s by ownership, but it was deleted and '
                're-created after it was judged: see to whom it belongs',
                request_id,
                uuid,
            )

    def _find_recreated(self, judged: Mapping[str, Owner]) -> tuple[str, ...]:
        """The judged consumers that are another row by now.

        Detects the one write that the seal does not: a consumer that was deleted
        and re-created up to the same generation between the judgement and
        placement's compare.
        """
        try:
            now = self._lookup.find(list(judged))
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
