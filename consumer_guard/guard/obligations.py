# SPDX-License-Identifier: Apache-2.0
"""What an allowed write owes before and after it, as values and a protocol."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from consumer_guard.guard.decision import Decision
from consumer_guard.guard.model import Body
from consumer_guard.guard.request import GuardedRequest

#: Called when placement has answered a write with success; must not raise.
Afterwards = Callable[[], None]

#: Called with the HTTP status answered, None if there was none; must not raise.
Answered = Callable[[int | None], None]


class Fulfilment(NamedTuple):
    """What became of the obligations of one request.

    :ivar decision: the request's, or a refusal in its place
    :ivar body: the body, where it was read
    :ivar content: the body that the request must carry, because generations in
        it were moved
    :ivar afterwards: what is due when the write has succeeded
    """

    decision: Decision
    body: Body | None = None
    content: bytes | None = None
    afterwards: Afterwards | None = None


class Obligations(Protocol):
    """Fulfils what allowed writes owe."""

    def fulfil(self, request: GuardedRequest, decision: Decision) -> Fulfilment:
        """Fulfil what is due before the write. May update placement's database."""
