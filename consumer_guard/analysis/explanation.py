# SPDX-License-Identifier: Apache-2.0
"""One decision explained: the guard's own, and what it looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import webob

from consumer_guard import assembly
from consumer_guard.analysis import prediction, trace
from consumer_guard.analysis.simulation import REQUEST_ID, OneOwner
from consumer_guard.analysis.trace import Trace
from consumer_guard.config.settings import Settings
from consumer_guard.guard import refusals, responses
from consumer_guard.guard.decision import Decision, Outcome, Reason
from consumer_guard.guard.identity import ENV_REQUEST_ID
from consumer_guard.guard.model import Caller, Owner, OwnerLookup, Ruling, Truth
from consumer_guard.guard.obligations import Obligations
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.rules.rulebook import Rulebook

#: Reasons that a ruling on one owner gave; others are of the owner unknown.
_RULED = (Reason.NOT_ALLOWED, Reason.NOT_THE_CLAIMED)


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
    obligations: Obligations | None,
    settings: Settings,
    versions: Sequence[str],
    show_owner: bool,
) -> Explanation:
    """Decide a request as the middleware does, and tell how.

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
    if decision.outcome is Outcome.FILTER and isinstance(lookup, OneOwner):
        listed = bool(
            authorizer.find_visible(request, caller, (request.operation.name,))
        )
    deciding = _find_deciding(decision)
    target = deciding.target if deciding else {}
    return Explanation(
        decision,
        trace.explain(
            rulebook,
            request.operation.rule,
            caller,
            target,
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
    final = [one for one in decision.rulings if one.about != 'caller']
    if decision.reason in _RULED:
        # All are judged; the first that was not passed is the reason.
        return next((one for one in final if one.truth is not Truth.YES), None)
    if decision.reason is Reason.OWNER and final:
        return final[-1]
    return None


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
    asked = webob.Request.blank(
        '/', headers={'OpenStack-API-Version': f'placement {version}'}
    )
    asked.environ[ENV_REQUEST_ID] = REQUEST_ID
    answer = asked.get_response(refuser.refuse(refusal, show_request_id=False))
    return answer.json
