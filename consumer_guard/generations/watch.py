# SPDX-License-Identifier: Apache-2.0
"""Moves generations before allowed writes, and watches how near their end they are.

A generation is moved by compare-and-swap, and the write carries the new one:

* the judged row of a write that ownership allowed, so that placement's compare is
  about this very row and this very judgement (the seal);
* a counter that is at its reserve, where the strategy is to roll.

A write at 1.28 or later carries the generation, so that watching costs nothing;
below it takes one look-up. What is stored is confirmed by one SELECT before
anything is refused or rolled.
"""

import contextlib
import functools
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from consumer_guard.generations.alarm import GenerationAlarm
from consumer_guard.generations.bodies import rewrite_body
from consumer_guard.generations.confirmation import Written, confirm
from consumer_guard.generations.store import GenerationStore, Judged, Swap
from consumer_guard.generations.thresholds import Step, Thresholds
from consumer_guard.generations.values import choose_value
from consumer_guard.guard import claims, model
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.errors import OwnersUnavailable, RequestError, Unreadable
from consumer_guard.guard.model import GENERATION_IN_BODY, Body, Claim, Owner
from consumer_guard.guard.obligations import Fulfilment
from consumer_guard.guard.request import GuardedRequest

LOG = logging.getLogger(__name__)

#: Writes that move a generation; DELETE removes it.
_WATCHED = (model.ALLOCATIONS_UPDATE, model.ALLOCATIONS_MANAGE, model.RESHAPE)

#: Consumer ids and generations.
Generations = tuple[tuple[str, float], ...]


class Inspection(NamedTuple):
    """The generations of one allowed write, before anything is changed.

    :ivar body: the body, where it could be read
    :ivar near: generations near their end, to be logged when the write succeeded
    :ivar due: what has to be moved for the write to go on
    """

    body: Body | None = None
    near: Generations = ()
    due: tuple[Swap, ...] = ()


def _expect(sealed: Inspection) -> Sequence[Written]:
    """What is stored once placement has taken a sealed write."""
    body = sealed.body
    assert body is not None  # noqa: S101  # it was sealed
    return [
        Written(
            swap.uuid,
            swap.judged.row_id if swap.judged else None,
            swap.new + 1,
            claim.project_id,
            claim.user_id,
        )
        for swap, claim in zip(sealed.due, body.claims, strict=True)
    ]


class GenerationWatch:
    """Fulfils the obligations of writes, see :mod:`consumer_guard.guard.obligations`.

    :param alarm: notified of writes that succeeded
    :param store: moves generations; without one no write by ownership goes on
    :param roll_to: where a counter at its reserve goes on; None refuses instead
    :param acts: False in shadow mode: only say what would be done
    """

    def __init__(
        self,
        thresholds: Thresholds,
        lookup: model.OwnerLookup,
        alarm: GenerationAlarm,
        *,
        store: GenerationStore | None,
        roll_to: int | None,
        acts: bool,
    ) -> None:
        self._thresholds = thresholds
        self._lookup = lookup
        self._store = store
        self._roll_to = roll_to
        self._acts = acts
        self._alarm = alarm

    def fulfil(self, request: GuardedRequest, decision: Decision) -> Fulfilment:
        """Let an allowed write go on, refuse it, or move its generations."""
        if decision.outcome is Outcome.REFUSE or request.operation not in _WATCHED:
            return Fulfilment(decision)
        if decision.outcome is Outcome.PASSAGE:
            inspection, obstacle = self._seal(decision), Reason.NO_SEAL_STORE
            possible = self._store is not None
        else:
            inspection, obstacle = self._inspect(request), Reason.SPENT
            possible = self._store is not None and self._roll_to is not None
        content, reason = None, None
        try:
            if inspection.due and not possible:
                self._log_obstacle(obstacle, inspection.due)
                reason = obstacle
            elif inspection.due and self._acts:
                content, reason = self._move(request, inspection)
        except OwnersUnavailable as exc:
            refused = decision._replace(
                outcome=Outcome.REFUSE, reason=Reason.UNAVAILABLE, error=exc
            )
            return Fulfilment(refused)
        if reason is not None:
            decision = decision._replace(outcome=Outcome.REFUSE, reason=reason)
        afterwards = None
        if inspection.near:
            afterwards = functools.partial(self._alarm.note, inspection.near)
        elif content is not None:  # a seal: what is rolled is near its end
            afterwards = functools.partial(confirm, self._lookup, _expect(inspection))
        return Fulfilment(decision, inspection.body, content, afterwards)

    def _seal(self, decision: Decision) -> Inspection:
        """Every judged row moves to a generation of its own."""
        body, owners = decision.body, decision.owners or {}
        claimed = body.claims if body else ()
        due = []
        for owner in [owners[claim.consumer_uuid] for claim in claimed]:
            stored = owner.generation
            assert stored is not None  # noqa: S101  # what was allowed has one
            # Security: on all that was judged. SQLite gives the ids of rows again.
            judged = Judged(owner.row_id, owner.project_id, owner.user_id)
            due.append(Swap(owner.consumer_uuid, stored, choose_value(stored), judged))
        return Inspection(body, due=tuple(due))

    def _inspect(self, request: GuardedRequest) -> Inspection:
        """Look at the generations of a role-holder's write; changes nothing."""
        version = request.microversion
        if version is None:
            return Inspection()
        try:
            body = claims.read_write_body(request)
        except RequestError as exc:
            # A role-holder's request is never worse off than without the guard.
            LOG.info('A write is forwarded without a generation check: %s', exc)
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
        owners: Mapping[str, Owner] | None = None
        with contextlib.suppress(OwnersUnavailable):
            owners = self._lookup.find(list(named))
        if owners is None:
            LOG.warning(
                'A write is forwarded without a generation check: '
                'the generation is unknown'
            )
            return Inspection(body)
        near = self._near((key, owner.generation) for key, owner in owners.items())
        return Inspection(body, near, self._find_due(named, owners, carried))

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
                due.append(Swap(key, stored, self._roll_to or 0))
        return tuple(due)

    def _log_obstacle(self, obstacle: Reason, due: tuple[Swap, ...]) -> None:
        if not self._acts:
            return
        if obstacle is Reason.NO_SEAL_STORE:
            LOG.error(
                'Writes by owners are refused: the driver set by owner_lookup cannot '
                'compare and swap generations'
            )
            return
        for swap in due:
            LOG.error(
                'The generation of consumer %s is %d and is at its limit: the write is '
                'refused. To reset it, run: consumer-guard generation roll --consumer '
                '%s',
                swap.uuid,
                swap.expected,
                swap.uuid,
            )

    def _move(
        self, request: GuardedRequest, inspection: Inspection
    ) -> tuple[bytes | None, Reason | None]:
        """Move what is due: the body to forward, or why the write is refused.

        :raises consumer_guard.guard.errors.OwnersUnavailable: it is not known
            whether the generations were moved
        """
        due, body = inspection.due, inspection.body
        assert body is not None  # noqa: S101  # nothing is due without one
        assert self._store is not None  # noqa: S101  # fulfil has looked
        sealed = due[0].judged is not None
        try:
            # First: what is moved has to go on.
            content = rewrite_body(request, body, {s.uuid: s.new for s in due})
        except Unreadable as exc:
            if sealed:
                # Security: without the seal it does not go on.
                return None, Reason.UNREADABLE
            LOG.info('A write is forwarded without a generation check: %s', exc)
            return None, None
        if not self._store.swap_generations(due):
            return None, Reason.LOST_SWAP
        for swap in () if sealed else due:
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
