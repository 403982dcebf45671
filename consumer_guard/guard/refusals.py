# SPDX-License-Identifier: Apache-2.0
"""What a refused client is told: the same for every owner but the caller.

Security: no text here carries another owner's ids or generations, nor tells
an unknown consumer from another owner's.
"""

from consumer_guard.guard import model
from consumer_guard.guard.decision import Decision, Reason
from consumer_guard.guard.errors import STATUS
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.guard.responses import CONCURRENT_UPDATE, Refusal

NO_IDENTITY = Refusal(401, 'No proven identity.')
UNAVAILABLE = Refusal(503, 'The request cannot be authorized now; try again.')
UNREADABLE_LIST = Refusal(502, 'The list of placement cannot be read.')

# Nova looks for "consumer generation conflict" and the code, and stops cleanly.
_CONFLICT = 'consumer generation conflict - '
_CONFLICTS = {
    Reason.GENERATION: (
        _CONFLICT + 'the generation given is not the current one; read the '
        'consumer again'
    ),
    Reason.LOST_ROLL: (_CONFLICT + 'another write came first; read the consumer again'),
    Reason.SPENT: (
        _CONFLICT + 'the generation of a consumer is spent; delete the allocations, '
        'or ask the operator to run: consumer-guard generation roll'
    ),
}

_WAYS = {
    Reason.NO_SEAL: (
        'Owners may only PUT or POST allocations with microversion 1.28 or later.'
    ),
    Reason.NEVER: 'It is for roles only, ownership never allows it.',
}
_WAY_OF_DELETING = (
    'To delete, owners may PUT empty allocations with microversion 1.28 or later.'
)


def may_conceal(request: GuardedRequest, decision: Decision) -> bool:
    """Whether ``denial = conceal`` hides this refusal behind a decoy."""
    return (
        decision.depends
        and request.operation is model.ALLOCATIONS_LIST
        and decision.reason in (Reason.ABSENT, Reason.UNOWNED, Reason.NOT_ALLOWED)
    )


def make_refusal(request: GuardedRequest, decision: Decision) -> Refusal:
    """The refusal of a decision whose outcome is REFUSE."""
    error = decision.error
    if error is not None:
        return Refusal(STATUS[type(error)], str(error) or UNAVAILABLE.text)
    if decision.reason in _CONFLICTS:
        return Refusal(409, _CONFLICTS[decision.reason], CONCURRENT_UPDATE)
    way = _WAYS.get(decision.reason, '')
    if decision.reason is Reason.NEVER and (
        request.operation is model.ALLOCATIONS_DELETE
    ):
        way = _WAY_OF_DELETING
    text = f'Policy does not allow {request.operation.rule} to be performed.'
    return Refusal(403, f'{text} {way}'.rstrip())
