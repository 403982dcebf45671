# SPDX-License-Identifier: Apache-2.0
"""How long refusals take, for whose consumer: figures, not a test.

``python -m tests.functional.oracle_timing --denial forbid|conceal`` asks, as a reader and
member of another project, for another owner's, for nobody's and for unknown
consumers, one after the other in random order, and compares the times of each
two kinds by Mann and Whitney's test. What to look at is not that p is small,
which enough samples bring about for any difference, but how much is told:

* ``auc``: how often an answer about the one kind takes longer than an answer
  about the other one; 0.5 tells nothing, 1 tells everything at first sight;
* ``asks``: how many answers about each of two ids one would have to time, to
  tell their kinds apart with 95 % of certainty, here, without a network.

The bound that we hold ourselves to is ``BOUND`` on the first, which other work
on the machine does not move as it moves medians. Every second answer about
unknown consumers is compared with the others, to show what is chance. ``--cpu``
takes the time that the thread worked instead of the clock's.
"""

import argparse
import contextlib
import logging
import math
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import webob

from tests import servers
from tests.administrator import User
from tests.configuration import OWNER_RULES
from tests.deployment import Deployment, Tokens, make_request
from tests.scenery import Scene

#: How far from one half ``auc`` may be.
BOUND = 0.05

#: Consumers of each kind; asked for in turn, so that no cache knows one best.
CONSUMERS = 40

#: Requests before the first sample.
WARM_UP = 200

KINDS = ('foreign', 'ownerless', 'unknown')
OPERATIONS = ('GET', 'PUT', 'POST')


class Subjects(Scene):
    """A caller, and consumers of every kind but his own."""

    def __init__(self, deployed: Deployment, consumers: int) -> None:
        super().__init__(deployed)
        self.caller = self.alice
        makers: dict[str, Callable[[], str]] = {
            'foreign': lambda: deployed.add_consumer(self.provider, self.bob),
            'ownerless': lambda: deployed.add_ownerless(self.provider),
            'unknown': lambda: str(uuid.uuid4()),
        }
        self.consumers = {
            kind: [make() for _ in range(consumers)] for kind, make in makers.items()
        }

    def make_request(
        self, operation: str, consumer: str, caller: User | None = None
    ) -> webob.Request:
        """A request about a consumer, by the caller whose it is not."""
        claim = self.claim(self.caller)
        path, body = {
            'GET': (f'/allocations/{consumer}', None),
            'PUT': (f'/allocations/{consumer}', claim),
            'POST': ('/allocations', {consumer: claim}),
        }[operation]
        return make_request(operation, path, caller or self.caller, body=body)


@dataclass(frozen=True)
class Comparison:
    """Two kinds of consumers, by the seconds that their answers took."""

    one: Sequence[float]
    other: Sequence[float]

    @property
    def difference(self) -> float:
        """Of the medians, in seconds."""
        return statistics.median(self.one) - statistics.median(self.other)

    @property
    def part(self) -> float:
        """The difference as a part of the median answer."""
        return self.difference / statistics.median([*self.one, *self.other])

    def rank(self) -> tuple[float, float]:
        """Mann and Whitney: the area under the curve, and p of both sides.

        By the normal distribution; times are never equal, or hardly ever.
        """
        tagged = [(seconds, 1) for seconds in self.one]
        tagged += [(seconds, 0) for seconds in self.other]
        ranks = sum(rank for rank, (_, mark) in enumerate(sorted(tagged), 1) if mark)
        ones, others = len(self.one), len(self.other)
        u = ranks - ones * (ones + 1) / 2
        spread = math.sqrt(ones * others * (ones + others + 1) / 12)
        z = (u - ones * others / 2) / spread
        return u / (ones * others), math.erfc(abs(z) / math.sqrt(2))

    def asks(self) -> float:
        """About how many samples of each kind tell them apart (Noether)."""
        away = self.rank()[0] - 0.5
        needed = math.inf if not away else 3.8416 / (6 * away * away)
        return max(1.0, needed)


def sample(
    subjects: Subjects,
    operation: str,
    samples: int,
    chance: random.Random,
    clock: Callable[[], float] = time.perf_counter,
    warm_up: int = WARM_UP,
) -> dict[str, list[float]]:
    """Seconds of each answer, by kind; the kinds come in random order."""
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    application = subjects.deployed.application
    for number in range(-warm_up, samples):
        for kind in chance.sample(KINDS, len(KINDS)):
            consumer = chance.choice(subjects.consumers[kind])
            request = subjects.make_request(operation, consumer)
            started = clock()
            answer = request.get_response(application)
            took = clock() - started
            assert answer.status_int in (200, 403), answer.text
            if number >= 0:
                times[kind].append(took)
    return times


def _compare(times: dict[str, list[float]]) -> Iterator[tuple[str, Comparison]]:
    for one, other in (
        ('foreign', 'unknown'),
        ('ownerless', 'unknown'),
        ('foreign', 'ownerless'),
    ):
        yield f'{one} - {other}', Comparison(times[one], times[other])
    # What the machine makes of two equal kinds.
    equal = times['unknown']
    yield 'unknown - unknown', Comparison(equal[::2], equal[1::2])


def report(
    deployed: Deployment, denial: str, samples: int, clock: Callable[[], float]
) -> bool:
    """Print the figures of a denial; returns whether they are in bounds."""
    within = True
    subjects = Subjects(deployed, CONSUMERS)
    chance = random.Random(1)  # noqa: S311  # not a secret
    for operation in OPERATIONS:
        times = sample(subjects, operation, samples, chance, clock)
        for name, compared in _compare(times):
            auc, p = compared.rank()
            median = statistics.median(compared.other)
            print(
                f'{denial:8} {operation:4} {name:18} {median * 1e6:6.0f} us'
                f' {compared.difference * 1e6:+7.1f} us {compared.part:+7.2%}'
                f' auc {auc:.3f} p {p:7.1e} asks {compared.asks():6.0f}',
                flush=True,
            )
            within = within and abs(auc - 0.5) < BOUND
    return within


@contextlib.contextmanager
def _deploy(denial: str) -> Iterator[Deployment]:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        url = f'sqlite:///{folder}/placement.db'
        wanted = os.environ.get('CONSUMER_GUARD_TEST_DATABASES', 'sqlite')
        with contextlib.ExitStack() as stack:
            if wanted != 'sqlite':
                start = {'postgresql': servers.postgresql, 'mysql': servers.mariadb}
                running = stack.enter_context(start[wanted]())
                url = running.url(running.create_database())
            servers.create_schema(url)
            tokens = Tokens()
            stack.callback(tokens.close)
            yield Deployment(
                folder / 'etc',
                tokens,
                url,
                rules=OWNER_RULES,
                options={'denial': denial},
            )


def main() -> int:
    """Measure and print; returns 1 when an ``auc`` is out of bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--samples', type=int, default=1000)
    parser.add_argument('--denial', choices=('forbid', 'conceal'), required=True)
    parser.add_argument('--cpu', action='store_true')
    options = parser.parse_args()
    clock = time.thread_time if options.cpu else time.perf_counter
    # As a service that logs warnings: printing lines is not what is timed.
    logging.disable(logging.INFO)
    with _deploy(options.denial) as deployed:
        within = report(deployed, options.denial, options.samples, clock)
    print('all' if within else 'NOT all', f'within {BOUND} of one half')
    return int(not within)


if __name__ == '__main__':
    sys.exit(main())
