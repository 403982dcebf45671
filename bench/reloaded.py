# SPDX-License-Identifier: Apache-2.0
"""A guard over an application that does nothing, for gunicorn's workers.

Every answer names its worker. Made when a worker loads it, of the file that
CONSUMER_GUARD_BENCH names.
"""

import os
from collections.abc import Iterable
from typing import Any

from consumer_guard.middleware import filter_factory


class Named:
    """Adds the worker to every answer."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            named = [*headers, ('X-Worker', str(os.getpid()))]
            return start_response(status, named, *rest)

        answer: Iterable[bytes] = self._application(environ, start)
        return answer


def _answer(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response('200 OK', [('Content-Length', '0')])
    return ()


def __getattr__(name: str) -> Named:
    if name != 'application':
        raise AttributeError(name)
    path = os.environ['CONSUMER_GUARD_BENCH']
    return Named(filter_factory({}, oslo_config_file=path)(_answer))
