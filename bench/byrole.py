# SPDX-License-Identifier: Apache-2.0
"""A role-holder's list in place: what the guard adds, and which piece of it.

As in :mod:`bench.inside`, each piece runs right after a whole request of placement,
with the processor's caches as that leaves them, not in a warm loop.
"""

import itertools
from collections.abc import Callable
from typing import Any

from bench import inside, results, scene, stores, timing, whole
from bench.inside import Clocked
from bench.results import Chapter, Finding, Role, Row, Table
from bench.statistics import estimate
from bench.stores import Store
from consumer_guard.guard import identity, request
from consumer_guard.guard.identity import Environ

GUARD = 'the whole guard'
#: Microseconds, the goal of a role-holder's list in place.
LIMIT = 60.0
_VERSIONS = request.KNOWN_MICROVERSIONS


def _strip(environ: Environ) -> None:
    identity.strip_role(environ, scene.PASSAGE)


def _match(environ: Environ) -> object:
    return request.match_operation(environ['REQUEST_METHOD'], environ['PATH_INFO'])


def _make_context(environ: Environ) -> Any:
    return identity.make_context(environ, believe_headers=False)


def _make_bare_context(_environ: Environ) -> object:
    return identity.GuardContext(request_id='x', overwrite=False)


def _make_caller(environ: Environ) -> object:
    return identity.make_caller(_make_context(environ))


def _read_version(environ: Environ) -> object:
    return request.read_microversion(environ['HTTP_OPENSTACK_API_VERSION'], _VERSIONS)


PIECES: dict[str, Callable[[Environ], object]] = {
    'of that: strip the passage role': _strip,
    'of that: match the route': _match,
    'of that: prove the identity': identity.is_proven,
    'of that: prove it, read all headers, make a RequestContext': _make_context,
    'of that: the RequestContext alone': _make_bare_context,
    'of that: all headers, the RequestContext and the caller': _make_caller,
    'of that: read the microversion': _read_version,
}


def measure(store: Store, effort: timing.Effort) -> Chapter:
    """The guard's own CPU time in a list of a service, and its pieces', in µs."""
    path = (
        f'/resource_providers/{stores.provider(next(iter(stores.LISTS)))}/allocations'
    )
    with scene.make_scene(store.url) as place:
        requests = scene.Requests()
        placement = Clocked(place.placement())
        guard = place.guard(placement)
        made = itertools.repeat(requests.make(scene.SERVICE, path))

        def arrive() -> Environ:
            return next(made).copy()

        def after(piece: Callable[[Environ], object]) -> Callable[[], int]:
            return lambda: inside.after(placement, arrive(), piece, arrive())

        samples = inside.interleave(
            {
                GUARD: lambda: inside.own(guard, arrive(), placement),
                **{name: after(piece) for name, piece in PIECES.items()},
                'nothing: the clock': after(lambda _environ: None),
                whole.BARE: lambda: inside.alone(placement, arrive()),
            },
            effort.scaled(rounds=0.4).rounds,
        )
    rows = [
        Row(
            name,
            Role.OURS if name == GUARD else Role.REFERENCE,
            estimate(times).scaled(1e6),
        )
        for name, times in samples.items()
    ]
    table = Table(f"A role-holder's list in place, {store.words}", 'µs', tuple(rows))
    cost = results.find(table, GUARD).cost.median
    return Chapter(
        'M3',
        "A role-holder's list in place",
        (Finding(f'the whole guard, {store.words}', cost, LIMIT, 'µs'),),
        (table,),
    )
