# SPDX-License-Identifier: Apache-2.0
"""What happens in the middle of a morning, and how long it is felt."""

import contextlib
import http.client
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import psutil
import sqlalchemy as sa

from bench.morning.cloud import Cloud
from bench.morning.databases import Database
from bench.morning.stage import RULES, Placement

#: Where in a turn each of them is: its part of the seconds.
MOMENTS = {
    'policy reload': 0.15,
    'worker killed': 0.35,
    'fail-over': 0.55,
    'generation at its end': 0.85,
}
#: A second is as before when its p99 is at most so many times that before, or below
#: the milliseconds.
_AS_BEFORE, _FAST = 3.0, 100.0
#: Seconds in a row that are as before; a slow one later has another cause.
_CALM = 5
_LAST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Trouble:
    """All that happens to one server.

    :ivar rolled: statuses of the writes on a consumer whose generation came to its
        end
    :ivar happened: by name, seconds from the beginning, when it was over
    """

    placement: Placement
    database: Database
    url: str
    cloud: Cloud
    rolled: list[int] = field(default_factory=list)
    happened: dict[str, tuple[float, float]] = field(default_factory=dict)

    @contextlib.contextmanager
    def run(self, begin: float, seconds: float) -> Iterator[None]:
        """Let it happen in the background.

        :param begin: of :func:`time.monotonic`
        """
        doings: Mapping[str, Callable[[], object]] = {
            'policy reload': self._reload,
            'worker killed': self._kill,
            'fail-over': self._fail_over,
            'generation at its end': self._come_to_the_end,
        }
        errors: list[BaseException] = []

        def act() -> None:
            try:
                for name, part in MOMENTS.items():
                    time.sleep(max(0.0, begin + part * seconds - time.monotonic()))
                    started = time.monotonic() - begin
                    doings[name]()
                    self.happened[name] = started, time.monotonic() - begin
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=act)
        thread.start()
        try:
            yield
        finally:
            thread.join()
        if errors:
            raise errors[0]

    def _reload(self) -> None:
        """Edit the guard's policy file, by a thousand rules, and placement's."""
        configuration = self.placement.configuration
        others = {f'other:rule{number}': 'role:other' for number in range(1000)}
        configuration.write_rules(RULES | others)
        policy = configuration.placement / 'policy.yaml'
        policy.write_text(policy.read_text() + '# edited\n')

    def _kill(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            self.placement.workers()[0].send_signal(signal.SIGKILL)

    def _fail_over(self) -> None:
        self.database.stop()
        self.database.start()

    def _come_to_the_end(self) -> None:
        """A consumer at the last generation, written as nova writes."""
        consumer = '00000000-0000-4000-8000-00000000ffff'
        claim = {
            'allocations': {self.cloud.provider(1): {'resources': {'VCPU': 1}}},
            'project_id': self.cloud.project(0),
            'user_id': self.cloud.user(0),
            'consumer_generation': None,
        }
        self._send('PUT', consumer, claim)
        engine = sa.create_engine(self.url, poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            connection.execute(
                sa.text('UPDATE consumers SET generation = :last WHERE uuid = :uuid'),
                {'last': _LAST - 1, 'uuid': consumer},
            )
        for _ in range(4):
            _, shown = self._send('GET', consumer)
            claim['consumer_generation'] = json.loads(shown)['consumer_generation']
            self.rolled.append(self._send('PUT', consumer, claim)[0])
        with engine.begin() as connection:
            for statement in (
                'DELETE FROM allocations WHERE consumer_id = :uuid',
                'DELETE FROM consumers WHERE uuid = :uuid',
            ):
                connection.execute(sa.text(statement), {'uuid': consumer})

    def _send(
        self, method: str, consumer: str, body: object = None
    ) -> tuple[int, bytes]:
        link = http.client.HTTPConnection('127.0.0.1', self.placement.port, timeout=30)
        headers = {
            'X-Auth-Token': f'nova:{"0" * 32}',
            'X-Roles': 'service',
            'OpenStack-API-Version': 'placement 1.36',
            'Content-Type': 'application/json',
        }
        content = None if body is None else json.dumps(body)
        with contextlib.closing(link):
            link.request(method, f'/allocations/{consumer}', content, headers)
            answer = link.getresponse()
            return answer.status, answer.read()


def measure_recovery(
    happened: tuple[float, float],
    until: float,
    p99: Mapping[int, float],
    failed: Mapping[int, int],
    before: float,
) -> float:
    """Seconds from the beginning of an event until five in a row are as before.

    :param happened: seconds of its beginning and its end
    :param until: the next event's
    :param p99: milliseconds, by second
    :param failed: failed requests, by second
    :param before: p99 of the seconds before the first event, milliseconds
    """
    bound = max(_AS_BEFORE * before, _FAST)
    first = last = int(happened[0])
    for second in range(first, int(until)):
        if failed.get(second, 0) or p99.get(second, 0.0) > bound:
            last = second + 1
        elif second - last + 1 == _CALM:
            break
    return last - happened[0] if last > first else 0.0
