# SPDX-License-Identifier: Apache-2.0
"""What a decision will look like to the client, in words. Answers nothing."""

from consumer_guard.guard import refusals
from consumer_guard.guard.decision import Decision, Outcome
from consumer_guard.guard.request import GuardedRequest

#: Outcomes that hand the request on; placement's own rule decides then.
UNTOUCHED = 'forwarded untouched; the rule of placement decides'
WITH_PASSAGE = 'forwarded with the passage role; the rule of placement decides'
WITHOUT_PASSAGE = 'forwarded without a passage role; the rule of placement decides'
FILTERED = 'a filtered list; the rule of placement decides whether there is one'
LISTED = 'in the filtered list'
NOT_LISTED = 'not in the filtered list'
#: Stands before what would be.
SHADOWED = 'forwarded without a passage role (shadow); enforced it would be:'
CONCEALED = '200, as for an unknown consumer'
BAD_MICROVERSION = "400 or 406, placement's own for this microversion"


def predict(
    request: GuardedRequest,
    decision: Decision,
    *,
    conceal: bool,
    passage_role: str,
) -> str:
    """The answer that the client will get, in one line.

    :param conceal: ``denial = conceal``
    :param passage_role: '' when it is turned off
    """
    if request.microversion is None:
        return BAD_MICROVERSION
    if decision.outcome is Outcome.ROLE:
        return UNTOUCHED
    if decision.outcome is Outcome.FILTER:
        return FILTERED
    if decision.outcome is Outcome.PASSAGE:
        return WITH_PASSAGE if passage_role else WITHOUT_PASSAGE
    if conceal and refusals.may_conceal(request, decision):
        return CONCEALED
    return str(refusals.make_refusal(request, decision).status)
