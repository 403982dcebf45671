# SPDX-License-Identifier: Apache-2.0
"""Filters placement's list of a provider's consumers to the visible ones."""

import json
import logging
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any

import webob

from consumer_guard.guard.identity import Environ
from consumer_guard.guard.responses import Application, StartResponse

LOG = logging.getLogger(__name__)

#: Headers that are about the whole body; placement itself sends none of them.
_DIGESTS = frozenset({'etag', 'content-md5', 'digest', 'content-digest', 'repr-digest'})


def keep_visible(
    application: Application,
    find_visible: Callable[[Collection[str]], Collection[str]],
    bad_gateway: Application,
) -> Application:
    """Wrap placement for a list of which the caller may see a part.

    :param find_visible: which of these consumer ids may be seen; its
        exceptions go through
    :param bad_gateway: answers when the list cannot be read
    """

    def filtered(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        response = webob.Request(environ).get_response(application)
        # 4xx: an unknown provider, an unacceptable Accept; no consumers in it.
        if not 400 <= response.status_code < 500:
            document, problem = None, ''
            try:
                document = _read_list(response)
            except ValueError as exc:
                problem = str(exc)
            if document is None:
                LOG.error(
                    'The list to filter cannot be read, nothing is shown: %s', problem
                )
                _close(response)
                return bad_gateway(environ, start_response)
            allocations = document['allocations']
            visible = find_visible(allocations.keys())
            document['allocations'] = {
                uuid: shown for uuid, shown in allocations.items() if uuid in visible
            }
            # Security: the provider's generation moves with everybody's writes.
            document['resource_provider_generation'] = None
            replace_body(response, json.dumps(document).encode())
        sent: Iterable[bytes] = response(environ, start_response)
        return sent

    return filtered


def _close(response: webob.Response) -> None:
    """Let placement go, as a server would (PEP 3333)."""
    close = getattr(response.app_iter, 'close', None)
    if close is not None:
        close()


def _read_list(response: webob.Response) -> dict[str, Any]:
    """Parse placement's list; anything but its known form is a ValueError."""
    if response.status_code != 200:
        raise ValueError(f'its status is {response.status_code}')
    if response.content_type != 'application/json' or response.content_encoding:
        raise ValueError(f'it is {response.content_type!r}')
    try:
        document = json.loads(response.body)
    except RecursionError:
        raise ValueError('it is nested too deeply') from None
    # Security: a key that is not known here could name other consumers.
    if (
        not isinstance(document, dict)
        or set(document) != {'allocations', 'resource_provider_generation'}
        or not isinstance(document['allocations'], dict)
    ):
        raise ValueError('it has an unknown form')
    return document


def replace_body(response: webob.Response, body: bytes) -> None:
    """Replace the body, and what the headers say of it.

    Security: the time of the newest allocation moves with everybody's writes.
    """
    changed = {
        'content-length': str(len(body)),
        'last-modified': format_datetime(datetime.now(timezone.utc), usegmt=True),
    }
    headers = [
        (name, changed.get(name.lower(), value))
        for name, value in response.headerlist
        if name.lower() not in _DIGESTS
    ]
    response.app_iter = [body]
    # Last, because webob would put a new Content-Length behind the others.
    response.headerlist = headers
