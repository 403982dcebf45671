# SPDX-License-Identifier: Apache-2.0
"""A step between the guard's decision and placement's handler."""

import concurrent.futures
from collections.abc import Callable, Iterable
from typing import Any

import webtest
from paste import deploy as paste_deploy

from tests.deployment import Deployment

Application = Callable[..., Iterable[bytes]]

#: Seconds that a step may take; longer means that somebody waits for a lock.
PATIENCE = 600


class Steps:
    """Stands between the guard and placement.

    :ivar calls: method and path of every request that came through
    :ivar guard: what they came through
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.guard: Any = None
        self._next: Callable[[], object] | None = None

    def before_the_next(self, step: Callable[[], object]) -> None:
        """Do this when the next request has passed the guard, once."""
        self._next = step

    def take(self) -> None:
        """Take the step, in a thread of its own as another request would be."""
        step, self._next = self._next, None
        if step is not None:
            with concurrent.futures.ThreadPoolExecutor(1) as other:
                other.submit(step).result(PATIENCE)

    @property
    def lookup(self) -> Any:
        """The guard's driver of owners."""
        return self.guard._authorizer._owners

    @property
    def taken(self) -> bool:
        """Whether no step is left to take."""
        return self._next is None

    def around(self, application: Application) -> Application:
        """The application behind this."""

        def stepping(
            environ: dict[str, Any], start_response: Callable[..., Any]
        ) -> Iterable[bytes]:
            self.calls.append((environ['REQUEST_METHOD'], environ['PATH_INFO']))
            self.take()
            return application(environ, start_response)

        return stepping


def step_into(deployed: Deployment) -> Steps:
    """Load the sample's pipeline anew, with steps right before placement."""
    ini = f'config:{deployed.directory / "api-paste.ini"}'
    steps = Steps()
    application = steps.around(paste_deploy.loadapp(ini, name='placement'))
    for name in ('consumer_guard', 'authtoken', 'request_log'):
        application = paste_deploy.loadfilter(ini, name=name)(application)
        if name == 'consumer_guard':
            steps.guard = application
    deployed.application = application
    deployed.client = webtest.TestApp(application)
    return steps
