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
        if response.status_code != 200:
            if 400 <= response.status_code < 500:
                # An unknown provider, an unacceptable Accept: no consumers in it.
                return _send(response, environ, start_response)
            LOG.error(
                'The list to filter was answered with status %d; nothing is shown',
                response.status_code,
            )
            _close(response)
            return bad_gateway(environ, start_response)
        try:
            document = _read_list(response)
        except ValueError as exc:
            LOG.error('The list to filter cannot be read, nothing is shown: %s', exc)
            _close(response)
            return bad_gateway(environ, start_response)
        allocations = document['allocations']
        visible = find_visible(allocations.keys())
        _rewrite(
            response,
            {uuid: shown for uuid, shown in allocations.items() if uuid in visible},
        )
        return _send(response, environ, start_response)

    return filtered


def _close(response: webob.Response) -> None:
    """Let placement go, as a server would (PEP 3333)."""
    close = getattr(response.app_iter, 'close', None)
    if close is not None:
        close()


def _read_list(response: webob.Response) -> dict[str, Any]:
    """Parse placement's list; anything but its known form is a ValueError."""
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


def _rewrite(response: webob.Response, allocations: dict[str, Any]) -> None:
    # Security: the provider's generation and the time of the newest allocation
    # move with everybody's writes.
    body = json.dumps(
        {'allocations': allocations, 'resource_provider_generation': None}
    ).encode()
    changed = {
        'content-length': str(len(body)),
        'last-modified': format_datetime(datetime.now(timezone.utc), usegmt=True),
    }
    headers = [
        (name, changed.get(name.lower(), value)) for name, value in response.headerlist
    ]
    response.app_iter = [body]
    # Last, because webob would put a new Content-Length behind the others.
    response.headerlist = headers


def _send(
    response: webob.Response, environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    sent: Iterable[bytes] = response(environ, start_response)
    return sent
