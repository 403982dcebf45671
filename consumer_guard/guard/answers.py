# SPDX-License-Identifier: Apache-2.0
"""Takes out of placement's answers to owners what would tell them of others.

A provider's generation moves with everybody's writes, and placement's 409 names the
generation of a consumer that may be another owner's by then.
"""

import json
import logging
import re
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

# Security: whether that was all is seen in what has come of it, see below.
_GENERATION = re.compile(rb'("generation"\s*:\s*)-?\d+')


def keep_private(
    application: Application, refuse: Callable[[Refusal], Application], *, hide: bool
) -> Application:
    """Wrap placement for a request that ownership allowed.

    :param hide: generations of providers in the answer to a read of one consumer
    """

    def private(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        # The library's Response would cost half of what is done here.
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
            body = _GENERATION.sub(rb'\1null', body)
            if status != 200 or not _is_private(body):
                LOG.error('An answer to an owner cannot be read and is withheld')
                return refuse(refusals.UNREADABLE)(environ, start_response)
            headers = describe_body(headers, body)
        start_response(line, headers)
        return [body]

    return private


def _is_private(body: bytes) -> bool:
    """Whether the allocations of one consumer name no generation of a provider."""
    try:
        allocations = json.loads(body)['allocations'].values()
        return all(each.get('generation') is None for each in allocations)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False
