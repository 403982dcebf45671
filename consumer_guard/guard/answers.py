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
from consumer_guard.guard.listing import replace_body
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
        response = webob.Request(environ).get_response(application, True)
        respond: Application = response
        if response.status_code == 409:
            if not any(text in response.body for text in _HARMLESS):
                respond = refuse(refusals.CONFLICT)
        elif hide and response.status_code < 400:
            body = _hide_generations(response)
            if body is None:
                LOG.error('An answer to an owner cannot be parsed and is withheld')
                respond = refuse(refusals.UNREADABLE)
            else:
                replace_body(response, body)
        return respond(environ, start_response)

    return private


def _hide_generations(response: webob.Response) -> bytes | None:
    """The body without generations of providers, None where it cannot be read."""
    body = response.body
    if response.status_code != 200:
        return None
    try:
        document = json.loads(body)
        for allocation in document['allocations'].values():
            allocation['generation'] = None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    return json.dumps(document).encode()
