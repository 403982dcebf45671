# SPDX-License-Identifier: Apache-2.0
"""One decision explained: the guard's own, and the checks behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import webob

from consumer_guard import assembly
from consumer_guard.analysis import prediction
from consumer_guard.analysis.simulation import REQUEST_ID, KnownOwners
from consumer_guard.analysis.trace import Trace, trace_rule
from consumer_guard.config.settings import Settings
from consumer_guard.guard import refusals, responses
from consumer_guard.guard.decision import CONSEQUENCES, Decision, Outcome
from consumer_guard.guard.identity import ENV_REQUEST_ID
from consumer_guard.guard.model import Caller, Owner, OwnerLookup, Ruling, Truth
from consumer_guard.guard.obligations import Obligations
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.rules.rulebook import Rulebook


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer to one request, and why.

    :ivar trace: of the rule on the target that decided
    :ivar answer: what the client gets, in one line
    :ivar document: the JSON of a refusal; None when placement answers
    :ivar owners: the recorded owners, as far as they were looked up
    :ivar listed: whether a filtered list shows consumers of the supposed owner;
        None where none is supposed, or nothing is filtered
    """

    decision: Decision
    trace: Trace
    answer: str
    document: Any
    owners: Mapping[str, Owner]
    listed: bool | None


def explain(
    request: GuardedRequest,
    caller: Caller,
    *,
    rulebook: Rulebook,
    lookup: OwnerLookup,
    obligations: Obligations | None,
    settings: Settings,
    versions: Sequence[str],
    show_owner: bool,
) -> Explanation:
    """Decide a request as the middleware does, and explain the decision.

    :param obligations: that do not act; None where generations are not known
    :param show_owner: look up the owner also where the decision does without
    :raises consumer_guard.guard.errors.OwnersUnavailable: only with ``show_owner``
    """
    authorizer = assembly.make_authorizer(settings, rulebook, lookup)
    decision = authorizer.authorize(request, caller)
    if obligations is not None:
        decision = obligations.fulfil(request, decision).decision
    owners = decision.owners or {}
    if show_owner and not owners and request.consumer_uuid is not None:
        owners = lookup.find((request.consumer_uuid,))
    listed = None
    if decision.outcome is Outcome.FILTER and isinstance(lookup, KnownOwners):
        listed = bool(authorizer.make_filter(request, caller)(('any consumer',)))
    deciding = _find_deciding(decision)
    return Explanation(
        decision,
        trace_rule(
            rulebook,
            request.operation.rule,
            caller,
            deciding.target if deciding else {},
            final=deciding is not None,
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


def _find_deciding(decision: Decision) -> Ruling | None:
    """The ruling that made the decision, None where the owner was unknown."""
    consequence = CONSEQUENCES[decision.reason]
    final = [each for each in decision.rulings if each.about != 'caller']
    if not consequence.by_rule:
        return None
    if consequence.status == 200:
        return final[-1] if final else None
    # All are judged; the first that was not passed is the reason.
    return next((each for each in final if each.truth is not Truth.YES), None)


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
    version = '.'.join(map(str, request.microversion or ()))
    headers = {'OpenStack-API-Version': f'placement {version}'}
    sent = webob.Request.blank('/', headers=headers)
    sent.environ[ENV_REQUEST_ID] = REQUEST_ID
    return sent.get_response(refuser.refuse(refusal, show_request_id=False)).json
