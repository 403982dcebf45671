# SPDX-License-Identifier: Apache-2.0
"""What a run has found: a summary, tables of it, figures."""

import csv
import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from hdrh.histogram import HdrHistogram
from matplotlib import pyplot
from tabulate import tabulate

from bench.morning import trouble
from bench.morning.programme import Scene, Turn, merge
from bench.morning.stage import AGAIN, BARE, GUARDED, PATCHED, VARIANTS

#: What passes the guard unjudged: its cost in a turn is the machine's speed.
TREE = 'compute tree'
#: Names of requests that nova and other services send by role.
NOVA = (
    'compute list',
    TREE,
    'boot GET',
    'boot PUT',
    'boot POST',
    'resize GET',
    'resize POST',
    'delete GET',
    'delete PUT',
    'delete DELETE',
    'evacuate GET',
    'evacuate PUT',
    'quota',
)
mpl.use('svg')
# Text as text, and the same file for the same run.
mpl.rcParams.update({'svg.fonttype': 'none', 'svg.hashsalt': 'morning'})

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Ratio:
    """Of two variants, over the rounds.

    :ivar low: of the lowest round
    :ivar high: of the highest round
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f'{self.median:.3f} ({self.low:.3f} to {self.high:.3f})'


def _compare(values: Sequence[float], base: Sequence[float]) -> Ratio:
    ratios = [one / other for one, other in zip(values, base, strict=True) if other]
    if not ratios:
        return Ratio(float('nan'), float('nan'), float('nan'))
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def cost(turn: Turn, weights: Mapping[str, int]) -> float:
    """Microseconds of the processor of a request of nova's, all kinds weighted alike.

    :param weights: how many of each kind; the turn has all of them
    """
    spent = sum(turn.spent[name].get_mean_value() * n for name, n in weights.items())
    return float(spent / sum(weights.values()))


def _weigh(turns: Mapping[str, Sequence[Turn]]) -> dict[str, int]:
    """How many of each kind; only kinds that each turn has."""
    every = [turn for rounds in turns.values() for turn in rounds]
    return {
        name: sum(turn.spent[name].get_total_count() for turn in every)
        for name in NOVA
        if all(name in turn.spent for turn in every)
    }


def _percentile(turn: Turn, share: float) -> float:
    """Milliseconds."""
    return float(turn.whole.get_value_at_percentile(share)) / 1000


def summarize(scenes: Iterable[Scene]) -> list[Row]:
    """One row for each rate of each scene: what an operator asks."""
    rows = []
    for scene in scenes:
        for rate, turns in scene.turns.items():
            weights = _weigh(turns)
            spent = {
                name: [cost(turn, weights) for turn in rounds]
                for name, rounds in turns.items()
            }
            judged = {name: n for name, n in weights.items() if name != TREE}
            beside = {
                name: [cost(turn, judged) / cost(turn, {TREE: 1}) for turn in rounds]
                for name, rounds in turns.items()
            }
            row: Row = {
                'scene': f'{scene.database}, {scene.server}, rate {rate:g}',
                'requests/s': round(_rate(turns[GUARDED.name])),
            }
            for share in (50, 99, 99.9):
                for name in (BARE.name, GUARDED.name):
                    whole = merge(turn.whole for turn in turns[name])
                    value = whole.get_value_at_percentile(share) / 1000
                    row[f'p{share:g} {name}, ms'] = f'{value:.1f}'
            for name, words in (
                (GUARDED.name, 'guarded'),
                (AGAIN.name, 'A/A'),
                (PATCHED.name, 'patched'),
            ):
                p99 = [
                    [_percentile(turn, 99) for turn in turns[each]]
                    for each in (name, BARE.name)
                ]
                row[f'p99 ratio, {words}'] = str(_compare(*p99))
                row[f'CPU ratio, {words}'] = str(
                    _compare(spent[name], spent[BARE.name])
                )
                row[f'CPU ratio over trees, {words}'] = str(
                    _compare(beside[name], beside[BARE.name])
                )
            for name in (BARE.name, GUARDED.name):
                row[f'memory {name}, MiB'] = _describe_memory(turns[name])
                row[f'connections {name}, at most'] = max(
                    sample.connections
                    for turn in turns[name]
                    for sample in turn.samples
                )
            rows.append(row)
    return rows


def _describe_memory(turns: Sequence[Turn]) -> str:
    """All workers at the end of the first turn, and of the last one."""
    return ' to '.join(
        f'{turn.samples[-1].memory / 2**20:.0f}' for turn in (turns[0], turns[-1])
    )


def _rate(turns: Sequence[Turn]) -> float:
    done = sum(turn.whole.get_total_count() for turn in turns)
    return float(done / sum(len(turn.by_second) for turn in turns))


def tabulate_kinds(scene: Scene, rate: float) -> list[Row]:
    """One row for each kind of request: CPU and latency of each variant."""
    turns = scene.turns[rate]
    names = sorted({name for turn in turns[BARE.name] for name in turn.spent})
    rows = []
    for name in names:
        row: Row = {'request': name}
        for variant in VARIANTS:
            spent = merge(
                turn.spent[name] for turn in turns[variant.name] if name in turn.spent
            )
            if variant is BARE:
                row['requests'] = spent.get_total_count()
            row[f'CPU {variant.name}, µs'] = round(spent.get_mean_value())
        for variant in (BARE, GUARDED):
            latency = merge(
                turn.latency[name]
                for turn in turns[variant.name]
                if name in turn.latency
            )
            row[f'{variant.name} p50 / p99 / p99.9, ms'] = _describe(latency)
        rows.append(row)
    return rows


def _describe(histogram: HdrHistogram) -> str:
    values = [histogram.get_value_at_percentile(share) for share in (50, 99, 99.9)]
    return ' / '.join(f'{value / 1000:.1f}' for value in values)


def tabulate_trouble(scene: Scene) -> list[Row]:
    """One row for each event: seconds until all is as before, and failures."""
    moments = [*trouble.MOMENTS]
    rows: list[Row] = [
        {'database': scene.database, 'server': scene.server, 'event': name}
        for name in moments
    ]
    for variant, (turn, happening) in scene.troubled.items():
        p99 = {
            second: histogram.get_value_at_percentile(99) / 1000
            for second, histogram in turn.by_second.items()
        }
        failed = _count_failures(turn)
        first = happening.happened[moments[0]][0]
        before = [p99[second] for second in p99 if second < int(first)]
        ends = [happening.happened[name][0] for name in moments[1:]] + [max(p99) + 1]
        for row, name, until in zip(rows, moments, ends, strict=True):
            happened = happening.happened[name]
            recovered = trouble.measure_recovery(
                happened, until, p99, failed, statistics.median(before or [0.0])
            )
            row[f'as before after, {variant}, s'] = f'{recovered:.1f}'
            lost = sum(failed.get(at, 0) for at in range(int(happened[0]), int(until)))
            row[f'failed, {variant}'] = lost
        rows[-1][f'failed, {variant}'] = ' '.join(map(str, happening.rolled))
    return rows


def _count_failures(turn: Turn) -> dict[int, int]:
    failed: dict[int, int] = {}
    for (second, _, _), count in turn.failures.items():
        failed[second] = failed.get(second, 0) + count
    return failed


def account(scenes: Iterable[Scene]) -> list[Row]:
    """One row for each scene: writes, and what was wrong."""
    rows = []
    for scene in scenes:
        turns = [
            turn
            for variants in scene.turns.values()
            for rounds in variants.values()
            for turn in rounds
        ]
        turns += [turn for turn, _ in scene.troubled.values()]
        rows.append(
            {
                'database': scene.database,
                'server': scene.server,
                'requests': sum(turn.whole.get_total_count() for turn in turns),
                'writes acknowledged': sum(turn.acknowledged for turn in turns),
                'writes cut on their way': sum(turn.uncertain for turn in turns),
                'wrong answers and lost writes': len(scene.wrong),
            }
        )
    return rows


def write(folder: Path, scenes: Sequence[Scene], machine: Mapping[str, str]) -> str:
    """Write tables, figures and the summary; returns the text of the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [', '.join(f'{name} {value}' for name, value in machine.items())]
    for name, rows in {
        'summary': _turn_over(summarize(scenes)),
        'trouble': [row for scene in scenes for row in tabulate_trouble(scene)],
        'account': account(scenes),
    }.items():
        write_csv(folder / f'{name}.csv', rows)
        parts.append(_table(rows))
    parts += [
        f'{row["requests"]:,} requests, {row["writes acknowledged"]:,} writes'
        f' acknowledged, {row["wrong answers and lost writes"]} wrong answers and lost'
        f' writes on {row["database"]}, {row["server"]}'
        for row in account(scenes)
    ]
    for scene in scenes:
        title = f'{scene.database.lower()}-{scene.server}'
        for rate in scene.turns:
            parts.append(f'{scene.database}, {scene.server}, rate {rate:g}')
            rows = tabulate_kinds(scene, rate)
            write_csv(folder / f'kinds-{title}-{rate:g}.csv', rows)
            parts.append(_table(rows))
        draw_cost(folder / f'cpu-{title}.svg', scene)
        draw_trouble(folder / f'trouble-{title}.svg', scene)
        parts += scene.wrong[:20]
    text = '\n\n'.join(parts) + '\n'
    (folder / 'report.md').write_text(text)
    return text


def _table(rows: Sequence[Row]) -> str:
    return str(tabulate(rows, headers='keys', tablefmt='github', disable_numparse=True))


def _turn_over(rows: Sequence[Row]) -> list[Row]:
    """Columns as rows: the summary has more figures than scenes."""
    return [
        {'': name} | {row['scene']: str(row[name]) for row in rows}
        for name in (rows[0] if rows else ())
        if name != 'scene'
    ]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """A table for the documentation."""
    with path.open('w', newline='') as output:
        writer = csv.DictWriter(output, [*rows[0]], lineterminator='\n')
        writer.writeheader()
        writer.writerows(rows)


def draw_cost(path: Path, scene: Scene) -> None:
    """CPU of each kind of request, of each variant, at the highest rate."""
    rows = tabulate_kinds(scene, scene.highest)
    figure, axes = pyplot.subplots(figsize=(8, 6), layout='constrained')
    for number, variant in enumerate(VARIANTS):
        axes.barh(
            [place + 0.2 * number for place in range(len(rows))],
            [row[f'CPU {variant.name}, µs'] / 1000 for row in rows],
            0.2,
            label=variant.name,
        )
    axes.set_yticks([place + 0.3 for place in range(len(rows))])
    axes.set_yticklabels([row['request'] for row in rows])
    axes.set_xlabel('ms of CPU per request')
    axes.set_title(f'{scene.database}, {scene.server}')
    axes.legend()
    _save(figure, path)


def draw_trouble(path: Path, scene: Scene) -> None:
    """p99, memory and connections over the seconds of the turn with trouble."""
    figure, (above, middle, below) = pyplot.subplots(
        3, 1, sharex=True, figsize=(8, 7), layout='constrained'
    )
    for name, (turn, happening) in scene.troubled.items():
        seconds = sorted(turn.by_second)
        worst = [turn.by_second[at].get_value_at_percentile(99) for at in seconds]
        above.plot(seconds, [each / 1000 for each in worst], label=f'p99, {name}')
        start = turn.samples[0].at
        times = [sample.at - start for sample in turn.samples]
        memory = [sample.memory / 2**20 for sample in turn.samples]
        middle.plot(times, memory, label=name)
        below.plot(times, [each.connections for each in turn.samples], label=name)
        for event, (began, _) in happening.happened.items():
            above.axvline(began, color='grey', linestyle=':')
            if name == BARE.name:
                above.text(began, above.get_ylim()[1], event, fontsize='small')
    above.set(yscale='log', ylabel='p99, ms')
    middle.set(ylabel='MiB, both workers')
    below.set(ylabel='connections', xlabel='seconds')
    above.legend()
    figure.suptitle(f'{scene.database}, {scene.server}')
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={'Date': None})
    pyplot.close(figure)
