# SPDX-License-Identifier: Apache-2.0
"""What of a request's CPU is spent in the guard, clocked inside the request.

A piece that is called again and again runs out of the processor's caches; one
that is called once a request, between two of placement's, does not. Here each
piece runs right after a whole request of placement, and only its own time counts,
so that the noise of placement's own milliseconds is left out.
"""

import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from bench import scene, stores, timing, whole
from bench.results import Role, Row, Table
from bench.statistics import estimate
from bench.stores import Store
from bench.straightforward import StraightforwardGuard
from consumer_guard.guard import identity

CONTEXT = 'of that: the RequestContext'
LOOK_UP = 'of that: the look-up'
POOL = "of the look-up: SQLAlchemy's pool, a connection out and back"
RAW = "of the look-up: the driver's own question and answer"

#: Calls in a row of one piece, as a worker makes them, and the first of them that
#: are left out: after another piece they run colder than in any worker.
_CALLS, _COLD = 20, 5


class Clocked:
    """An application that knows the CPU time of its last call.

    :ivar spent: nanoseconds
    """

    def __init__(self, application: scene.Application) -> None:
        self._application = application
        self.spent = 0

    def __call__(self, environ: scene.Environ, start_response: Any) -> Iterable[bytes]:
        started = time.thread_time_ns()
        chunks = self._application(environ, start_response)
        self.spent = time.thread_time_ns() - started
        return chunks


def measure(store: Store, effort: timing.Effort) -> Table:
    """The guard's own CPU time in GET /allocations/{c}, and its pieces', in µs.

    The intervals are those of independent samples; calls in a row are not quite.
    """
    uuids = stores.read_consumers(store, 1000)
    ids = itertools.cycle(uuids)
    lookup = whole.make_lookup(store)
    with (
        scene.make_scene(store.url) as place,
        whole.raw_cursor(store, prepared=True) as raw,
    ):
        requests = scene.Requests()
        placement = Clocked(place.placement())
        guard = place.guard(placement)
        straight = StraightforwardGuard(placement, store.url)

        def arrive(user: Any, roles: str = '') -> Callable[[], scene.Environ]:
            made = itertools.cycle(
                [
                    requests.make(user, f'/allocations/{uuid}', roles=roles)
                    for uuid in uuids
                ]
            )
            return lambda: next(made).copy()

        passing = arrive(scene.OWNER, scene.PASSAGE)
        owner, service = arrive(scene.OWNER), arrive(scene.SERVICE)
        samples = interleave(
            {
                whole.GUARD: lambda: own(guard, owner(), placement),
                CONTEXT: lambda: after(placement, passing(), _make_context, passing()),
                LOOK_UP: lambda: after(placement, passing(), lookup.find, (next(ids),)),
                POOL: lambda: after(placement, passing(), _borrow, lookup.engine),
                RAW: lambda: after(placement, passing(), raw, next(ids)),
                whole.PRIVILEGED: lambda: own(guard, service(), placement),
                whole.STRAIGHT: lambda: own(straight, passing(), placement),
                whole.BARE: lambda: alone(placement, passing()),
            },
            effort.scaled(rounds=0.4).rounds,
        )
    lookup.close()
    return _tabulate(store, samples)


def own(middleware: Any, environ: scene.Environ, placement: Clocked) -> int:
    """What a middleware spends besides the application behind it."""
    started = time.thread_time_ns()
    scene.call(middleware, environ)
    return time.thread_time_ns() - started - placement.spent


def after(
    placement: Clocked, environ: scene.Environ, piece: Callable[..., object], asked: Any
) -> int:
    """What a piece spends right after a request of placement."""
    scene.call(placement, environ)
    started = time.thread_time_ns()
    piece(asked)
    return time.thread_time_ns() - started


def alone(placement: Clocked, environ: scene.Environ) -> int:
    scene.call(placement, environ)
    return placement.spent


def _make_context(environ: scene.Environ) -> object:
    return identity.make_context(environ, believe_headers=False)


def _borrow(engine: sa.Engine) -> None:
    engine.raw_connection().close()


def interleave(pieces: Mapping[str, Callable[[], int]], rounds: int) -> timing.Samples:
    """Seconds of one call each; in each round the pieces in random order."""
    samples: timing.Samples = {name: [] for name in pieces}
    order = list(pieces)
    # Not for secrets: the order of the pieces.
    shuffle = random.Random(1).shuffle  # noqa: S311
    with timing.steady_collector():
        for _ in range(rounds):
            shuffle(order)
            for name in order:
                spent = [pieces[name]() / 1e9 for _ in range(_CALLS)]
                samples[name] += spent[_COLD:]
    return samples


def _tabulate(store: Store, samples: timing.Samples) -> Table:
    bare = statistics.median(samples[whole.BARE])
    rows = []
    for name, times in samples.items():
        ours = name in (whole.GUARD, whole.PRIVILEGED)
        share = None
        if name != whole.BARE:
            share = estimate([one / bare for one in times]).scaled(100)
        rows.append(
            Row(
                name,
                Role.OURS if ours else Role.REFERENCE,
                estimate(times).scaled(1e6),
                share=share,
            )
        )
    return Table(
        f'Inside GET /allocations/{{c}}, {store.words}',
        'µs',
        tuple(rows),
        whole.BARE,
        'each call right after a request of placement, the first ones left out; its'
        ' own CPU time, in percent of the median of bare placement',
    )
