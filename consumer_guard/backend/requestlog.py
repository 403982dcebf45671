# SPDX-License-Identifier: Apache-2.0
"""Placement's own request log, whose lines name nobody who is not proven."""

from collections.abc import Iterable

from oslo_context.context import get_current

from consumer_guard.guard import identity
from consumer_guard.guard.identity import Environ
from consumer_guard.guard.responses import Application, StartResponse

#: Holds the headers that are hidden from the request log, in the environ.
_HIDDEN = 'consumer_guard.hidden_headers'

#: The one header that begins with X and that oslo.context takes no identity from.
_ENV_REQUEST_ID_HEADER = 'HTTP_X_OPENSTACK_REQUEST_ID'


def remove_identity(environ: Environ) -> Environ:
    """Remove all headers from which oslo.context takes an identity.

    :returns: the headers removed
    """
    removed = [
        key
        for key in environ
        if key.startswith(('HTTP_X_', 'HTTP_OPENSTACK_SYSTEM_SCOPE'))
        and key != _ENV_REQUEST_ID_HEADER
    ]
    return {key: environ.pop(key) for key in removed}


class RequestLog:
    """``placement.requestlog.RequestLog`` and the thread's context around it.

    Placement's takes the context from the headers of the client, before auth_token
    has replaced them. What is behind sees all headers as they came.

    :param application: what is logged
    """

    def __init__(self, application: Application) -> None:
        from placement import requestlog

        self.application = application
        self._log: Application = requestlog.RequestLog(self._forward)

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer with a request id and a log line; leave no context behind."""
        before = get_current()
        if not identity.is_proven(environ):
            environ[_HIDDEN] = remove_identity(environ)
        try:
            return self._log(environ, start_response)
        finally:
            identity.set_context(before)

    def _forward(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        environ.update(environ.pop(_HIDDEN, {}))
        return self.application(environ, start_response)
