# SPDX-License-Identifier: Apache-2.0
"""Refusals as a client sees them: the same for every owner but the caller.

Security: no text here carries another owner's ids or generations, nor tells
an unknown consumer from another owner's.
"""

from consumer_guard.guard import model
from consumer_guard.guard.decision import CONSEQUENCES, Decision, Reason
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.guard.responses import Refusal

NO_IDENTITY = Refusal(401, CONSEQUENCES[Reason.NO_IDENTITY].hint)
UNAVAILABLE = Refusal(503, CONSEQUENCES[Reason.FAULT].hint)
_LOST_SWAP = CONSEQUENCES[Reason.LOST_SWAP]
CONFLICT = Refusal(_LOST_SWAP.status, _LOST_SWAP.hint, _LOST_SWAP.code)
UNREADABLE = Refusal(502, 'The answer of placement cannot be read.')
TOO_MANY_LISTS = Refusal(429, 'Too many lists are being read; try again.')


def may_conceal(request: GuardedRequest, decision: Decision) -> bool:
    """Whether ``denial = conceal`` hides this refusal behind a decoy."""
    return (
        decision.depends
        and request.operation is model.ALLOCATIONS_LIST
        and CONSEQUENCES[decision.reason].may_conceal
    )


def make_refusal(request: GuardedRequest, decision: Decision) -> Refusal:
    """The refusal of a decision whose outcome is REFUSE."""
    consequence = CONSEQUENCES[decision.reason]
    text = consequence.hint
    if decision.error is not None:
        text = str(decision.error) or UNAVAILABLE.text
    elif consequence.status == 403:
        rule = request.operation.rule
        text = f'Policy does not allow {rule} to be performed. {text}'.rstrip()
    return Refusal(consequence.status, text, consequence.code)
