# SPDX-License-Identifier: Apache-2.0
"""What the application under test has around it: a clock, and a patch of oslo.policy."""

import functools
import inspect
import os
import time
from collections.abc import Iterable
from typing import Any

from bench.morning.client import SPENT
from consumer_guard.guard.responses import Application, StartResponse

#: Which worker has answered.
WORKER = 'X-Worker'
#: The environment variable that patches oslo.policy.
REMEMBER = 'BENCH_REMEMBER_SIGNATURES'


class Clock:
    """Adds the CPU time of the thread to each answer; the outermost middleware."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(
        self, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer when all of the answer is there."""
        started = time.thread_time_ns()
        kept: list[Any] = []

        def keep(*arguments: Any) -> None:
            kept[:] = arguments

        chunks = self._application(environ, keep)
        body = b''.join(chunks)
        if hasattr(chunks, 'close'):
            chunks.close()
        spent = time.thread_time_ns() - started
        status, headers, *rest = kept
        told = [(SPENT, str(spent)), (WORKER, str(os.getpid()))]
        start_response(status, [*headers, *told], *rest)
        return [body]


def remember_signatures() -> None:
    """Patch oslo.policy: a check's signature is inspected once per class.

    oslo.policy 4 to 6 inspect it at each node of each check; see the page
    "Neighbours' faults" of the documentation.
    """
    from oslo_policy import _checks

    @functools.cache
    def takes_rule_name(kind: Any) -> bool:
        return len(inspect.getfullargspec(kind.__call__).args) > 4

    def check(
        rule: Any, target: Any, creds: Any, enforcer: Any, current_rule: Any
    ) -> Any:
        kind: Any = type(rule)
        if takes_rule_name(kind):
            return rule(target, creds, enforcer, current_rule)
        return rule(target, creds, enforcer)

    _checks._check = check
