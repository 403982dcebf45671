# SPDX-License-Identifier: Apache-2.0
"""P5 and P6: lists of a provider's consumers, filtered or not."""

import tracemalloc
from typing import Any

from oslo_context import context

from bench import machine, results, scene, stores, timing
from bench.results import Chapter, Curve, Finding, Row, Table
from bench.scene import Environ
from bench.statistics import Estimate
from bench.stores import Store
from bench.straightforward import StraightforwardGuard
from tests.configuration import OWNER_RULES

ALONE = 'the answer alone'
FILTERED = 'the guard, filtered'
WHOLE = 'the guard, a role-holder'
STRAIGHT = 'a straightforward guard'
#: In the same rounds: the speed of the machine changes within a run.
REFERENCE = 'RequestContext.from_environ, a thousand times'
#: Milliseconds for a list of 10 000 consumers, where the reference is
#: :data:`bench.machine.FROM_ENVIRON`.
LIMITS = {'SQLite': 45.0, 'PostgreSQL': 30.0, 'MariaDB': 30.0}
_LARGEST = stores.LISTS[3]


class Canned:
    """Placement's own answer to one request, again and again."""

    def __init__(self, application: Any, environ: Environ) -> None:
        answer = scene.Answer()
        chunks = application(environ.copy(), answer.start)
        self.body = b''.join(chunks)
        self._status = answer.status
        self._headers = answer.headers

    def __call__(self, _environ: Environ, start_response: Any) -> list[bytes]:
        start_response(self._status, list(self._headers))
        return [self.body]


def filter_list(
    store: Store, number: int, effort: timing.Effort
) -> tuple[Table, Finding]:
    """One list: what the guard adds to placement's answer, and its heap.

    :param number: of the provider, see :data:`bench.stores.LISTS`
    """
    count = stores.LISTS[number]
    path = f'/resource_providers/{stores.provider(number)}/allocations'
    with scene.make_scene(store.url) as place:
        requests = scene.Requests()
        passing = requests.make(scene.OWNER, path, roles=scene.PASSAGE)
        owner, service = (
            requests.make(user, path) for user in (scene.OWNER, scene.SERVICE)
        )
        canned = Canned(place.placement(), passing)
        guard = place.guard(canned)
        straight = StraightforwardGuard(canned, store.url, OWNER_RULES)
        variants = {
            ALONE: lambda: scene.call(canned, passing.copy()),
            FILTERED: lambda: scene.call(guard, owner.copy()),
            WHOLE: lambda: scene.call(guard, service.copy()),
            REFERENCE: lambda: _make_contexts(service),
        }
        if scene.call(guard, service.copy()) != canned.body:
            raise RuntimeError('a role-holder gets another list')
        mine = scene.call(guard, owner.copy())
        if len(mine) >= len(canned.body) / 10:
            raise RuntimeError('the list is not filtered')
        samples = timing.measure(variants, effort, control=FILTERED)
        # So slow that it would take all the time: a few rounds of its own.
        slow: timing.Samples = {}
        # At 100 000 it would take all the patience, too.
        if count <= stores.LISTS[3]:
            slow[STRAIGHT] = [
                timing.once(lambda: scene.call(straight, passing.copy()))
                for _ in range(max(1, effort.rounds // 10))
            ]
        heap = _measure_heap(variants[FILTERED]) / len(canned.body)
    table = results.make_table(
        f'A list of {count} consumers, {store.words}',
        samples,
        ours=[FILTERED, WHOLE],
        base=ALONE,
        unit='ms',
        conditions=f"placement's answer kept ({len(canned.body)} bytes), 0.1 % of"
        ' the consumers are visible; CPU of the client',
    )
    times = results.make_table('', slow, ours=[], unit='ms').rows
    table = Table(
        table.title, 'ms', (*table.rows, *times), table.base, table.conditions
    )
    found = Finding(
        f'heap in bodies, {count} consumers, {store.engine}',
        heap,
        3.0 if count >= _LARGEST else None,
        '',
    )
    return table, found


def _make_contexts(environ: Environ) -> None:
    for _ in range(1000):
        context.RequestContext.from_environ(environ.copy(), overwrite=False)


def _measure_heap(call: timing.Call) -> float:
    """The most bytes that a call holds beyond what was there before."""
    call()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    call()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak - before


def make_chapters(
    measured: list[tuple[Store, int, Table, Finding]],
) -> tuple[Chapter, Chapter]:
    """P5 and P6 of all lists."""
    findings, whole, tables = [], [], []
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for store, number, table, heap in measured:
        count = stores.LISTS[number]
        tables.append(table)
        # Milliseconds of a thousand are microseconds of one.
        slower = results.find(table, REFERENCE).cost.median / machine.FROM_ENVIRON
        series = curves.setdefault(store.engine, {})
        for row in table.rows:
            if row.what in (FILTERED, STRAIGHT):
                series.setdefault(row.what, []).append((count, row.cost.median))
        if count == _LARGEST:
            findings.append(
                Finding(
                    f'a list of {count}, {store.words}, scaled to'
                    f' RequestContext.from_environ at {machine.FROM_ENVIRON} µs',
                    results.over(table, FILTERED) / slower,
                    LIMITS[store.engine],
                    'ms',
                )
            )
        findings.append(heap)
        whole.append(
            Row(
                f'{count} consumers, {store.engine}',
                results.Role.OURS,
                _more(table, WHOLE),
            )
        )
    ceiling = max(row.cost.median for row in whole)
    return (
        Chapter(
            'P5',
            'Filtered lists',
            tuple(findings),
            tuple(tables),
            tuple(
                Curve(
                    f'lists-{engine.lower()}',
                    f'A filtered list, {engine}',
                    'consumers in the list',
                    'ms of CPU',
                    series,
                    y_logarithmic=True,
                )
                for engine, series in curves.items()
            ),
        ),
        Chapter(
            'P6',
            "A role-holder's list",
            (Finding('whatever the size of the list', ceiling, 60, 'µs'),),
            (
                Table(
                    'What the guard adds to the list of a role-holder, its bytes'
                    ' untouched',
                    'µs',
                    tuple(whole),
                ),
            ),
        ),
    )


def _more(table: Table, what: str) -> Estimate:
    more = results.find(table, what).over
    if more is None:
        raise KeyError(what)
    return more.scaled(1000)
