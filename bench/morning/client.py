# SPDX-License-Identifier: Apache-2.0
"""One process of clients, which keeps to a schedule.

A few threads take what is due next, one after the other. Whatever is late counts from
when it was due, so a server that stands still is seen by all that should have come
meanwhile (no coordinated omission).
"""

import collections
import http.client
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hdrh.histogram import HdrHistogram

from bench.morning.actions import Actions, Answer, Wrong
from bench.morning.cloud import Cloud
from bench.morning.ledger import Ledger
from bench.morning.model import Arrival, Share, schedule

#: Microseconds: from one to two minutes, three digits.
_LONGEST = 120_000_000
#: Seconds after which a client gives up, as a load balancer in front does.
PATIENCE = 30
#: Who serves tells by it what a request has cost: nanoseconds.
SPENT = 'X-Spent'
#: Instances that each process boots first, so that there is something to move.
WARM_UP = 25


def make_histogram() -> HdrHistogram:
    """An empty one, in microseconds."""
    return HdrHistogram(1, _LONGEST, 3)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process has to do.

    :ivar prefix: 12 hexadecimal digits, of no other process
    :ivar give_up: seconds of delay at which the rest is left undone
    """

    port: int
    cloud: Cloud
    share: Share
    prefix: str
    guarded: bool
    threads: int = 8
    give_up: float = float('inf')


Encoded = dict[str, bytes]


class Gate(Protocol):
    """A barrier at which all processes wait until the last one is ready."""

    def wait(self) -> object:
        """Wait for the others."""


@dataclass(slots=True)
class Outcome:
    """What one process has seen.

    :ivar latency: histograms by the name of the request, encoded
    :ivar spent: of the processor of the server, the same
    :ivar by_second: latencies by the second in which it was due
    :ivar failures: by the second of the answer, name and status; 0: no answer
    """

    latency: Encoded = field(default_factory=dict)
    spent: Encoded = field(default_factory=dict)
    by_second: dict[int, bytes] = field(default_factory=dict)
    failures: collections.Counter[tuple[int, str, int]] = field(
        default_factory=collections.Counter
    )
    wrong: list[str] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)


#: Answers that are in order, beside those of the 2xx.
_REFUSED = {("another's consumer", 403)}


class Book:
    """Keeps the histograms of all threads of a process."""

    def __init__(self, begin: float) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._latency: dict[str, HdrHistogram] = {}
        self._spent: dict[str, HdrHistogram] = {}
        self._by_second: dict[int, HdrHistogram] = {}
        self.failures: collections.Counter[tuple[int, str, int]] = collections.Counter()
        self.wrong: list[str] = []

    def record(
        self, name: str, due: float, ended: float, status: int, spent: int | None
    ) -> None:
        """Record an answer.

        :param spent: nanoseconds
        """
        second = int(due - self._begin)
        took = min(_LONGEST, max(1, round((ended - due) * 1e6)))
        with self._lock:
            _of(self._latency, name).record_value(took)
            _of(self._by_second, second).record_value(took)
            if spent is not None:
                _of(self._spent, name).record_value(max(1, spent // 1000))
            if not 200 <= status < 300 and (name, status) not in _REFUSED:
                self.failures[int(ended - self._begin), name, status] += 1

    def blame(self, what: str) -> None:
        """Note a wrong answer."""
        with self._lock:
            self.wrong.append(what)

    def close(self, ledger: Ledger) -> Outcome:
        """All of it, to be sent to another process."""
        return Outcome(
            {name: each.encode() for name, each in self._latency.items()},
            {name: each.encode() for name, each in self._spent.items()},
            {second: each.encode() for second, each in self._by_second.items()},
            self.failures,
            self.wrong,
            ledger,
        )


def _of(histograms: dict[Any, HdrHistogram], key: str | int) -> HdrHistogram:
    if key not in histograms:
        histograms[key] = make_histogram()
    return histograms[key]


class Sender:
    """Sends for one thread, see :class:`bench.morning.actions.Send`."""

    def __init__(self, port: int, book: Book | None) -> None:
        self._book = book
        self._link = http.client.HTTPConnection('127.0.0.1', port, timeout=PATIENCE)
        self.due = 0.0

    def __call__(
        self,
        name: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: object = None,
    ) -> Answer:
        """Send a request; what comes next is due when it is answered."""
        # gunicorn's sync workers and uwsgi close it anyway, uwsgi without saying so.
        content, sent = None, {**headers, 'Connection': 'close'}
        if body is not None:
            content = json.dumps(body).encode()
            sent['Content-Type'] = 'application/json'
        spent = None
        try:
            self._link.request(method, path, content, sent)
            response = self._link.getresponse()
            answer = Answer(response.status, response.read())
            spent = response.getheader(SPENT)
        except (OSError, http.client.HTTPException):
            answer = Answer(0, b'')
        self._link.close()
        ended = time.monotonic()
        if self._book is not None:
            cost = None if spent is None else int(spent)
            self._book.record(name, self.due, ended, answer.status, cost)
        self.due = ended
        return answer


def drive(plan: Plan, gate: Gate) -> Outcome:
    """Do all of a plan; for a process of its own."""
    actions = Actions(plan.cloud, plan.prefix, guarded=plan.guarded)
    _warm_up(plan, actions)
    gate.wait()
    begin = time.monotonic()
    book = Book(begin)
    due = collections.deque(schedule(plan.share))

    def work() -> None:
        send = Sender(plan.port, book)
        while True:
            try:
                arrival = due.popleft()
            except IndexError:
                break
            send.due = begin + arrival.due
            early = send.due - time.monotonic()
            if -early > plan.give_up:
                due.clear()
            time.sleep(max(0.0, early))
            try:
                actions.perform(send, arrival)
            except Wrong as error:
                book.blame(str(error))

    threads = [threading.Thread(target=work) for _ in range(plan.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return book.close(actions.ledger)


def _warm_up(plan: Plan, actions: Actions) -> None:
    send = Sender(plan.port, None)
    for number in range(WARM_UP):
        actions.perform(send, Arrival(0.0, 'boot', number * 97 + 1))
    for number in range(plan.share.index, 200, plan.share.count):
        actions.perform(send, Arrival(0.0, 'compute', number))
