# SPDX-License-Identifier: Apache-2.0
"""Takes out of placement's answers to owners what would tell them of others.

A provider's generation moves with everybody's writes, and placement's 409 names the
generation of a consumer that may be another owner's by then.
"""

import json
import logging
from collections.abc import Callable, Iterable

import webob

from consumer_guard.guard import refusals
from consumer_guard.guard.identity import Environ
from consumer_guard.guard.listing import describe_body
from consumer_guard.guard.responses import Application, Refusal, StartResponse

LOG = logging.getLogger(__name__)

# Placement's other 409s for PUT and POST /allocations (handlers/allocation.py).
# Security: what is not known to name no generation is replaced.
_HARMLESS = (b'Unable to allocate inventory: ', b'Inventory and/or allocations changed')


def keep_private(
    application: Application, refuse: Callable[[Refusal], Application], *, hide: bool
) -> Application:
    """Wrap placement for a request that ownership allowed.

    :param hide: generations of providers in the answer to a read of one consumer
    """

    def private(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        # A webob.Response would cost half of what is done here.
        ask = webob.Request(environ).call_application
        line, headers, chunks, _ = ask(application, True)
        status = int(line[:3])
        if status != 409 and not (hide and status < 400):
            start_response(line, headers)
            return chunks
        try:
            body = b''.join(chunks)
        finally:
            getattr(chunks, 'close', lambda: None)()
        if status == 409:
            if not any(text in body for text in _HARMLESS):
                return refuse(refusals.CONFLICT)(environ, start_response)
        else:
            hidden = _hide_generations(body) if status == 200 else None
            if hidden is None:
                LOG.error('An answer to an owner cannot be read and is withheld')
                return refuse(refusals.UNREADABLE)(environ, start_response)
            body, headers = hidden, describe_body(headers, hidden)
        start_response(line, headers)
        return [body]

    return private


def _hide_generations(body: bytes) -> bytes | None:
    """The body without generations of providers, None where it cannot be read."""
    try:
        document = json.loads(body)
        for allocation in document['allocations'].values():
            allocation['generation'] = None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    # Security: written anew, so that nothing is sent that was not read: a text may have
    # a key twice, of which only the last one is read.
    return json.dumps(document).encode()
