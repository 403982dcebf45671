# SPDX-License-Identifier: Apache-2.0
"""One decision explained: the guard's own, and what it looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import webob

from consumer_guard.analysis import prediction, trace
from consumer_guard.analysis.simulation import OneOwner
from consumer_guard.analysis.trace import Trace
from consumer_guard.config.settings import Settings
from consumer_guard.generations.watch import GenerationWatch
from consumer_guard.guard import refusals, responses
from consumer_guard.guard.authorizer import Guard
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.model import Caller, Owner, OwnerLookup, Truth
from consumer_guard.guard.obligations import Writes
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.rules.rulebook import Rulebook

#: Look-up time-outs that all the rulings may take, as in the middleware.
_PATIENCE = 5

#: Reasons that a ruling on one owner gave; others are of the owner unknown.
_RULED = (Reason.NOT_ALLOWED, Reason.NOT_THE_CLAIMED)


@dataclass(frozen=True, slots=True)
class _Judgement:
    rule: str
    target: Mapping[str, str]
    final: bool
    truth: Truth


@dataclass(frozen=True, slots=True)
class _Witness:
    """A rule source whose rules remember what they were asked."""

    rulebook: Rulebook
    judgements: list[_Judgement] = field(default_factory=list)

    def current(self) -> '_Witness':
        return self

    def judge(
        self, rule: str, caller: Caller, target: Mapping[str, str], *, final: bool
    ) -> Truth:
        truth = self.rulebook.judge(rule, caller, target, final=final)
        self.judgements.append(_Judgement(rule, target, final, truth))
        return truth

    def reads(self, rule: str) -> frozenset[str]:
        return self.rulebook.reads(rule)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of one request, and why.

    :ivar trace: of the rule on the target that decided
    :ivar answer: what the client gets, in one line
    :ivar document: the JSON of a refusal; None when placement answers
    :ivar owners: the recorded owners, as far as they were looked up
    :ivar listed: whether a filtered list shows consumers of the one owner that
        the look-up knows; None where it knows others, or nothing is filtered
    """

    decision: Decision
    trace: Trace
    answer: str
    document: Any
    owners: Mapping[str, Owner]
    listed: bool | None

    @property
    def allowed(self) -> bool:
        """Whether the guard lets the request through."""
        return self.decision.outcome is not Outcome.REFUSE


def explain(
    request: GuardedRequest,
    caller: Caller,
    *,
    rulebook: Rulebook,
    lookup: OwnerLookup,
    watch: GenerationWatch | None,
    settings: Settings,
    versions: Sequence[str],
    show_owner: bool,
) -> Explanation:
    """Decide a request as the middleware does, and tell how.

    :param watch: one that does not act; None where generations are not known
    :param show_owner: look up the owner also where the decision does without
    :raises consumer_guard.guard.errors.OwnersUnavailable: only with ``show_owner``
    """
    witness = _Witness(rulebook)
    guard = Guard(
        witness,
        lookup,
        max_body_size=settings.max_body_size,
        patience=_PATIENCE * settings.lookup_timeout,
    )
    decision = guard.decide(request, caller)
    if watch is not None:
        decision, _ = Writes(watch, guard).prepare(request, decision)
    owners = decision.owners or {}
    if show_owner and not owners and request.consumer_uuid is not None:
        owners = lookup.find((request.consumer_uuid,))
    listed = None
    if decision.outcome is Outcome.FILTER and isinstance(lookup, OneOwner):
        listed = bool(guard.find_visible(request, caller, (request.operation.name,)))
    deciding = _find_deciding(witness.judgements, decision)
    return Explanation(
        decision,
        trace.explain(
            rulebook, deciding.rule, caller, deciding.target, final=deciding.final
        ),
        prediction.predict(
            request,
            decision,
            conceal=settings.conceal,
            passage_role=settings.passage_role,
        ),
        _make_document(request, decision, settings, versions),
        owners,
        listed,
    )


def _find_deciding(judgements: Sequence[_Judgement], decision: Decision) -> _Judgement:
    """The judgement that made the decision; the first is of the owner unknown."""
    final = [one for one in judgements if one.final]
    if decision.reason in _RULED:
        # All are judged; the first that was not passed is the reason.
        return next(one for one in final if one.truth is not Truth.YES)
    if decision.reason is Reason.OWNER and final:
        return final[-1]
    return judgements[0]


def _make_document(
    request: GuardedRequest,
    decision: Decision,
    settings: Settings,
    versions: Sequence[str],
) -> Any:
    """The JSON of a refusal, made by what makes it for clients."""
    if decision.outcome is not Outcome.REFUSE or (
        settings.conceal and refusals.may_conceal(request, decision)
    ):
        return None
    refuser = responses.Refuser(versions)
    refusal = refusals.make_refusal(request, decision)
    asked = webob.Request(dict(request.environ))
    answer = asked.get_response(refuser.refuse(refusal, show_request_id=False))
    return answer.json
