# SPDX-License-Identifier: Apache-2.0
"""What clients get instead of, or out of, placement's answers.

A refusal is raised beneath microversion_parse's MicroversionMiddleware, as
placement raises its own: the bytes are the same, and a bad microversion gets
placement's 400 or 406 before anything else.
"""

import json
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import webob
import webob.exc
from microversion_parse import middleware as microversion_middleware
from webob.exc import strip_tags  # type: ignore[attr-defined]  # not in the stubs

from consumer_guard.guard.identity import ENV_REQUEST_ID

LOG = logging.getLogger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_ENV_MICROVERSION = 'placement.microversion'
_REQUEST_ID_HEADER = 'x-openstack-request-id'

#: placement/errors.py, DEFAULT and CONCURRENT_UPDATE.
UNDEFINED_CODE = 'placement.undefined_code'
CONCURRENT_UPDATE = 'placement.concurrent_update'
#: placement.util.ERROR_CODE_MICROVERSION: error codes from 1.23.
_CODE_FROM = (1, 23)

#: Seconds; what a client waits after a 503.
_RETRY_AFTER = '1'

#: As long as a uuid, with characters that no uuid has: placement refuses to
#: write such a consumer (PUT: is_uuid_like, POST: [0-9a-fA-F-]{36}).
DECOY = 'consumer-guard-decoy-nobody-has-this'


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal as the client sees it.

    :ivar status: HTTP status
    :ivar text: the last and useful line of the error's detail
    :ivar code: the error's code (1.23 and later)
    """

    status: int
    text: str
    code: str = UNDEFINED_CODE


class Refuser:
    """Makes WSGI applications that answer refusals in placement's form.

    :param versions: placement's microversions, oldest first
    """

    def __init__(self, versions: Sequence[str]) -> None:
        self._versions = list(versions)

    def refuse(self, refusal: Refusal, *, show_request_id: bool) -> Application:
        """An application that refuses whatever it is asked.

        :param show_request_id: nothing in front will add the header
        """

        def format_error(
            body: str, status: str, title: str, environ: Environ
        ) -> dict[str, Any]:
            return _format_error(body, status, title, environ, refusal.code)

        def answer(environ: Environ, _start_response: StartResponse) -> Iterable[bytes]:
            # Clients read errors[0]; a refusal is JSON whatever they accept.
            environ['HTTP_ACCEPT'] = 'application/json'
            headers = {}
            if show_request_id:
                headers[_REQUEST_ID_HEADER] = environ[ENV_REQUEST_ID]
            if refusal.status == 503:
                headers['Retry-After'] = _RETRY_AFTER
            if refusal.status == 401:
                headers['WWW-Authenticate'] = 'Keystone'
            raise webob.exc.status_map[refusal.status](
                refusal.text, headers=headers, json_formatter=format_error
            )

        if refusal.status == 401:
            # Placement refuses missing identities before it reads microversions.
            return _without_microversion(answer)

        def format_microversion(
            body: str, status: str, title: str, environ: Environ
        ) -> dict[str, Any]:
            formatted = _format_error(body, status, title, environ, UNDEFINED_CODE)
            if status.startswith('406') and _ENV_MICROVERSION not in environ:
                formatted['errors'][0]['max_version'] = self._versions[-1]
                formatted['errors'][0]['min_version'] = self._versions[0]
            return formatted

        middleware: Application = microversion_middleware.MicroversionMiddleware(
            answer,
            'placement',
            self._versions,
            json_error_formatter=format_microversion,
        )
        return middleware


def _without_microversion(answer: Application) -> Application:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return answer(environ, start_response)
        except webob.exc.HTTPException as exc:
            response: Iterable[bytes] = exc(environ, start_response)
            return response

    return application


def _format_error(
    body: str, status: str, title: str, environ: Environ, code: str
) -> dict[str, Any]:
    """placement.util.json_error_formatter, for when placement is elsewhere."""
    error: dict[str, Any] = {
        'status': int(status.split(None, 1)[0]),
        'title': title,
        'detail': strip_tags(body),
    }
    version = environ.get(_ENV_MICROVERSION)
    if version and version.matches(_CODE_FROM):
        error['code'] = code
    if ENV_REQUEST_ID in environ:
        error['request_id'] = environ[ENV_REQUEST_ID]
    return {'errors': [error]}


def put_decoy(environ: Environ) -> None:
    """Ask placement about a consumer that cannot exist instead."""
    environ['PATH_INFO'] = f'/allocations/{DECOY}'


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
        'last-modified': format_datetime(datetime.now(UTC), usegmt=True),
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
