# SPDX-License-Identifier: Apache-2.0
"""``python -m bench``: measure, print, write."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import machine, plots, programme, results, tables

RESULTS = Path(__file__).parent / 'results'
DOCS = RESULTS.parent.parent / 'doc' / 'source' / 'performance'


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m bench', description='Measure what the guard costs.'
    )
    parser.add_argument('--quick', action='store_true', help='two or three minutes')
    parser.add_argument(
        '--long', action='store_true', help='a million requests for the memory'
    )
    parser.add_argument(
        '--goal', nargs='+', choices=programme.GOALS, default=programme.GOALS
    )
    parser.add_argument('--results', type=Path, default=RESULTS, metavar='DIR')
    parser.add_argument(
        '--docs', action='store_true', help='write the table of the documentation'
    )
    options = parser.parse_args(arguments)
    if options.docs and set(options.goal) != set(programme.GOALS):
        parser.error('--docs writes one table of one run: it needs all goals')
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 1 when a figure is beyond its limit."""
    options = _parse(arguments)
    before = machine.describe_load()
    started = time.monotonic()
    chapters = []
    for chapter in programme.run(options.goal, quick=options.quick, long=options.long):
        chapters.append(chapter)
        print(tables.to_markdown(tables.findings_grid([chapter])), flush=True)
        for table in chapter.tables:
            print(tables.to_markdown(tables.table_grid(table), table.title), flush=True)
    chapters.sort(key=lambda chapter: programme.GOALS.index(chapter.goal))
    described = machine.describe() | {
        'kind of run': 'quick' if options.quick else 'full',
        'load before and after': f'{before}, {machine.describe_load()}',
    }
    print(f'{time.monotonic() - started:.0f} s in all')
    _write(options, chapters, described)
    missed = [
        finding
        for chapter in chapters
        for finding in chapter.findings
        if finding.reached is False
    ]
    return 1 if missed else 0


def _write(
    options: argparse.Namespace,
    chapters: list[results.Chapter],
    described: dict[str, str],
) -> None:
    document = {
        'machine': described,
        'chapters': [results.to_plain(chapter) for chapter in chapters],
    }
    folder: Path = options.results
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False) + '\n'
    (folder / 'results.json').write_text(text)
    (folder / 'report.md').write_text(tables.write_markdown(chapters, described))
    for chapter in chapters:
        for curve in chapter.curves:
            plots.draw(curve, folder / f'{curve.name}.svg')
    if options.docs:
        grid = tables.regression_grid(chapters)
        (DOCS / 'regression.csv').write_text(tables.to_csv(grid))
        words = tables.machine_words(described) + '\n'
        (DOCS / 'regression-machine.rst').write_text(words)


if __name__ == '__main__':
    sys.exit(main())
