# SPDX-License-Identifier: Apache-2.0
"""Refusals in placement's own form, and the decoy.

A refusal is raised beneath microversion_parse's MicroversionMiddleware, as
placement raises its own: the bytes are the same, and a bad microversion gets
placement's 400 or 406 before anything else.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import webob
import webob.dec
import webob.exc
from microversion_parse import middleware as microversion_middleware
from webob.exc import strip_tags  # type: ignore[attr-defined]  # not in the stubs

from consumer_guard.guard.decision import UNDEFINED_CODE
from consumer_guard.guard.identity import ENV_REQUEST_ID, Environ

StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_ENV_MICROVERSION = 'placement.microversion'
_REQUEST_ID_HEADER = 'x-openstack-request-id'

#: placement.util.ERROR_CODE_MICROVERSION: error codes from 1.23.
_CODE_FROM = (1, 23)

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
        """An application that refuses every request.

        :param show_request_id: nothing in front will add the header
        """

        def answer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            # Clients read errors[0]; a refusal is JSON whatever they accept.
            environ['HTTP_ACCEPT'] = 'application/json'
            headers = {}
            if show_request_id:
                headers[_REQUEST_ID_HEADER] = environ[ENV_REQUEST_ID]
            if refusal.status in (429, 503):
                headers['Retry-After'] = '1'  # second
            if refusal.status == 401:
                headers['WWW-Authenticate'] = 'Keystone'
            error = webob.exc.status_map[refusal.status](
                refusal.text,
                headers=headers,
                json_formatter=functools.partial(_format_error, code=refusal.code),
            )
            if refusal.status == 401:
                return error(environ, start_response)
            raise error

        if refusal.status == 401:
            # Placement refuses missing identities before it reads microversions.
            return answer

        def format_microversion(
            body: str, status: str, title: str, environ: Environ
        ) -> dict[str, Any]:
            formatted = _format_error(body, status, title, environ, code=UNDEFINED_CODE)
            if status.startswith('406'):
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


def _format_error(
    body: str, status: str, title: str, environ: Environ, *, code: str
) -> dict[str, Any]:
    """placement.util.json_error_formatter, for when placement is elsewhere."""
    error: dict[str, Any] = {
        'status': int(status.split()[0]),
        'title': title,
        'detail': strip_tags(body),
    }
    version = environ.get(_ENV_MICROVERSION)
    if version and version.matches(_CODE_FROM):
        error['code'] = code
    error['request_id'] = environ[ENV_REQUEST_ID]
    return {'errors': [error]}


def put_decoy(environ: Environ) -> None:
    """Ask placement about a consumer that cannot exist instead."""
    environ['PATH_INFO'] = f'/allocations/{DECOY}'
