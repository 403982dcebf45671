# SPDX-License-Identifier: Apache-2.0
"""Keeps consumer generations from running out: watches, refuses, rolls.

A write at 1.28 or later carries the generation, so that watching costs
nothing; below it takes one look-up. What is stored is confirmed by one SELECT
before anything is refused or rolled.
"""

import enum
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from consumer_guard.generations.alarm import GenerationAlarm
from consumer_guard.generations.store import GenerationStore, Swap
from consumer_guard.generations.thresholds import Step, Thresholds
from consumer_guard.guard import claims as body_claims
from consumer_guard.guard import model
from consumer_guard.guard.claims import Body
from consumer_guard.guard.errors import OwnersUnavailable, RequestError, Unreadable
from consumer_guard.guard.model import Claim, Owner
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.telemetry.metrics import Metrics

LOG = logging.getLogger(__name__)


class Verdict(enum.Enum):
    """What becomes of an allowed write."""

    GO = 'go'
    REFUSE = 'refuse'  #: spent; 409 with the cure
    LOST = 'lost'  #: another roll won; 409, re-read


@dataclass(frozen=True, slots=True)
class Plan:
    """What the watch found about one allowed write.

    :ivar near: consumer ids and the generations near their end, to be logged
        when the write succeeded
    :ivar content: the body that the request must carry, because generations
        in it were rolled
    :ivar body: the parsed body, when it was read
    """

    verdict: Verdict = Verdict.GO
    near: tuple[tuple[str, float], ...] = ()
    content: bytes | None = None
    body: Body | None = None


class GenerationWatch:
    """One a guard.

    :ivar alarm: to be told of writes that succeeded
    :param store: rolls; None refuses instead
    :param max_body_size: bytes; a larger body goes on unwatched
    :param acts: False in shadow mode: tell what would be done only
    """

    def __init__(
        self,
        thresholds: Thresholds,
        lookup: model.OwnerLookup,
        *,
        store: GenerationStore | None,
        roll_to: int,
        max_body_size: int,
        acts: bool,
        metrics: Metrics,
    ) -> None:
        self._thresholds = thresholds
        self._lookup = lookup
        self._store = store
        self._roll_to = roll_to
        self._max_body_size = max_body_size
        self._acts = acts
        self.alarm = GenerationAlarm(thresholds, metrics)

    def plan(
        self,
        request: GuardedRequest,
        body: Body | None,
        owners: Mapping[str, Owner] | None,
    ) -> Plan:
        """Look at the generations of an allowed write.

        :param body: what the decision read already
        :param owners: what the decision looked up already
        :raises consumer_guard.guard.errors.OwnersUnavailable: a roll could not be
            told to have happened or not
        """
        if request.microversion is None:
            return Plan()
        try:
            if body is None:
                body = body_claims.take_body(request, self._max_body_size)
        except RequestError as exc:
            # A role-holder's request is never worse off than without the guard.
            LOG.info('A write is forwarded unwatched: %s', exc)
            return Plan()
        sealed = request.microversion >= body_claims.GENERATION_IN_BODY
        claims = {
            body_claims.normalize_id(request, claim.consumer_uuid): claim
            for claim in body.claims
        }
        if sealed:
            near = self._near((key, claim.generation) for key, claim in claims.items())
            if not any(
                claim.generation is not None
                and self._thresholds.must_act(claim.generation, empties=claim.empties)
                for claim in claims.values()
            ):
                return Plan(near=near, body=body)
        owners = self._confirm(claims, owners)
        if owners is None:
            return Plan(body=body)
        near = self._near((key, owner.generation) for key, owner in owners.items())
        acting = self._acting(claims, owners, sealed)
        if not acting:
            return Plan(near=near, body=body)
        if not self._acts:
            verdict = Verdict.REFUSE if self._store is None else Verdict.GO
            return Plan(verdict, near, body=body)
        return self._act(request, acting, near, body)

    def _confirm(
        self, claims: Mapping[str, Claim], owners: Mapping[str, Owner] | None
    ) -> Mapping[str, Owner] | None:
        if owners is not None:
            return owners
        try:
            return self._lookup.find(list(claims))
        except OwnersUnavailable:
            LOG.warning('A write is forwarded unwatched: its generation is not known')
            return None

    def _acting(
        self,
        claims: Mapping[str, Claim],
        owners: Mapping[str, Owner],
        sealed: bool,
    ) -> list[Swap]:
        """What would have to be rolled for the write to go on."""
        acting = []
        for key, claim in claims.items():
            stored = owners[key].generation
            if stored is None or (sealed and stored != claim.generation):
                # A new consumer, or a stale client: placement's own 409.
                continue
            if self._thresholds.must_act(stored, empties=claim.empties):
                acting.append(Swap(key, stored, self._roll_to))
        return acting

    def _act(
        self,
        request: GuardedRequest,
        acting: list[Swap],
        near: tuple[tuple[str, float], ...],
        body: Body,
    ) -> Plan:
        if self._store is None:
            for swap in acting:
                LOG.error(
                    'The generation of consumer %s is %d and must not grow; cure: '
                    'consumer-guard generation roll --consumer %s',
                    swap.uuid,
                    swap.expected,
                    swap.uuid,
                )
            return Plan(Verdict.REFUSE, near, body=body)
        rolled = {swap.uuid: swap.new for swap in acting}
        try:
            # First: what is swapped has to go on.
            content = body_claims.rewrite(request, body, rolled)
        except Unreadable as exc:
            LOG.info('A write is forwarded unwatched: %s', exc)
            return Plan(near=near, body=body)
        if not self._store.swap_generations(acting):
            return Plan(Verdict.LOST, near, body=body)
        for swap in acting:
            LOG.warning(
                'The generation of consumer %s was rolled from %d to %d',
                swap.uuid,
                swap.expected,
                swap.new,
            )
        return Plan(near=near, content=content, body=body)

    def _near(
        self, generations: Iterable[tuple[str, float | None]]
    ) -> tuple[tuple[str, float], ...]:
        return tuple(
            [
                (key, generation)
                for key, generation in generations
                if generation is not None
                and self._thresholds.step_of(generation) is not Step.FINE
            ]
        )
