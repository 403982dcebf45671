# SPDX-License-Identifier: Apache-2.0
"""P8: what grows with what, and what must not: cost, memory, connections."""

import itertools
import resource
from pathlib import Path

from scipy import stats

from bench import results, scene, stores, timing, whole
from bench.results import Chapter, Curve, Finding, Table
from bench.scene import NoAllocations
from bench.stores import Store
from consumer_guard.guard import model
from consumer_guard.rules.rulebook import PolicyText, Rulebook

#: Rules of others in the policy file.
RULES = (0, 10, 100, 1000, 10_000)
#: Kilobytes that a million requests may add: an allocator breathes.
_BREATH = 1024.0


def judge_among(effort: timing.Effort) -> Table:
    """One ruling, with ever more rules in the file that nobody asks."""
    caller = model.Caller({'project_id': 'a'}, frozenset({'reader'}), 'project', 'r')
    target = {'project_id': 'a'}
    variants: dict[str, timing.Call] = {}
    for count in RULES:
        text = '\n'.join(
            f'"other:rule{number}": "role:r{number} or project_id:%(project_id)s"'
            for number in range(count)
        )
        book = Rulebook.build([PolicyText('policy.yaml', text)])
        variants[f'{count} other rules'] = _ask(book, caller, target)
    samples = timing.measure(variants, effort, control='0 other rules')
    return results.make_table(
        'One decision, and rules in the file that are not asked',
        samples,
        ours=list(variants),
        base='0 other rules',
    )


def _ask(book: Rulebook, caller: model.Caller, target: dict[str, str]) -> timing.Call:
    return lambda: book.judge(
        'consumer_guard:allocations:list', caller, target, final=True
    )


def run_long(store: Store, count: int) -> tuple[Curve, list[Finding]]:
    """Many requests of all kinds through one guard: memory and connections.

    :param count: requests
    """
    uuids = stores.read_consumers(store, 200)
    with scene.make_scene(store.url) as place:
        requests = scene.Requests()
        guard = place.guard(NoAllocations())
        environs = [
            requests.make(user, f'/allocations/{uuid}')
            for uuid in uuids
            for user in (scene.OWNER, scene.SERVICE)
        ] + [requests.make(scene.OWNER, '/resource_providers')]
        several = itertools.cycle(environs)
        points = []
        part = count // 20
        for number in range(21):
            if number:
                for _ in itertools.repeat(None, part):
                    guard(next(several).copy(), lambda *_: None)
            points.append((number * part, _resident()))
        connections = _open_files(store)
    # The first quarter warms caches and the allocator up.
    settled = points[5:]
    grown = float(stats.linregress(*zip(*settled, strict=True)).slope) * 1_000_000
    curve = Curve(
        f'memory-{store.engine.lower()}',
        f'Resident memory, {store.engine}',
        'requests',
        'MiB',
        {'the guard': [(done, kilobytes / 1024) for done, kilobytes in points]},
        x_logarithmic=False,
    )
    return curve, [
        Finding(
            f'memory that 1 000 000 requests add ({count} made), {store.engine}',
            grown,
            _BREATH,
            'KiB',
        ),
        Finding(
            f'connections after {count} requests of one thread, {store.engine}',
            connections,
            1,
            '',
        ),
    ]


def _resident() -> float:
    """Kilobytes of this process in memory, now."""
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def _open_files(store: Store) -> int:
    """Open files of this process that lead to the database."""
    found = 0
    for link in Path('/proc/self/fd').iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if store.engine == 'SQLite':
            found += target.endswith(f'placement-{store.consumers}.db')
        else:
            found += target.startswith('socket:')
    return found


def make_chapter(
    lookups: list[tuple[Store, Table]],
    rules: Table,
    runs: list[tuple[Curve, list[Finding]]],
) -> Chapter:
    """P8 of all that was measured."""
    findings = []
    series: dict[str, list[tuple[float, float]]] = {}
    for store, table in lookups:
        cost = results.find(table, whole.LOOK_UP).cost.median
        series.setdefault(store.engine, []).append((store.consumers, cost))
    for engine, points in series.items():
        if len(points) > 1:
            (few, cheap), (many, dear) = points[0], points[-1]
            findings.append(
                Finding(
                    f'look-up at {many:.0f} over one at {few:.0f} consumers, {engine}',
                    dear / cheap,
                    2.0,
                    '',
                )
            )
    most = f'{RULES[-1]} other rules'
    findings.append(
        Finding(f'a decision with {most}', results.share(rules, most), 10.0, '% more')
    )
    findings.append(results.noise(rules))
    curves = [
        Curve(
            'lookup-growth',
            'One look-up',
            'consumers in the database',
            'µs of CPU',
            series,
        ),
        Curve(
            'rules-growth',
            'One decision',
            'rules in the file that are not asked',
            'µs of CPU',
            {
                'the guard': [
                    (
                        max(1, count),
                        results.find(rules, f'{count} other rules').cost.median,
                    )
                    for count in RULES
                ]
            },
        ),
    ]
    for curve, found in runs:
        curves.append(curve)
        findings += found
    return Chapter('P8', 'Growth', tuple(findings), (rules,), tuple(curves))
