# SPDX-License-Identifier: Apache-2.0
"""``python -m bench``: measure, print, write."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import machine, plots, programme, results, tables

DOCS = Path(__file__).parent.parent / 'doc' / 'source' / 'performance'


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
    parser.add_argument('--json', type=Path, metavar='FILE')
    parser.add_argument('--markdown', type=Path, metavar='FILE')
    parser.add_argument('--plots', type=Path, metavar='DIR', help='SVG files')
    parser.add_argument(
        '--docs',
        action='store_true',
        help='write tables, plots and results.json of the documentation',
    )
    options = parser.parse_args(arguments)
    if options.docs and set(options.goal) != set(programme.GOALS):
        parser.error('--docs writes one page of one run: it needs all goals')
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 1 when a goal is not reached."""
    options = _parse(arguments)
    before = machine.describe_load()
    started = time.monotonic()
    chapters = []
    for chapter in programme.run(options.goal, quick=options.quick, long=options.long):
        chapters.append(chapter)
        print(tables.to_markdown(tables.findings_grid([chapter])), flush=True)
        for table in chapter.tables:
            print(tables.to_markdown(tables.table_grid(table), table.title), flush=True)
    chapters.sort(key=lambda chapter: int(chapter.goal[1:]))
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
    text = json.dumps(document, indent=1, ensure_ascii=False) + '\n'
    if options.json:
        options.json.write_text(text)
    if options.markdown:
        options.markdown.write_text(tables.write_markdown(chapters, described))
    for folder in [options.plots, DOCS if options.docs else None]:
        if folder is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        for chapter in chapters:
            for curve in chapter.curves:
                (folder / f'{curve.name}.svg').write_text(plots.draw(curve))
    if options.docs:
        (DOCS / 'results.json').write_text(text)
        for name, content in tables.write_rst(chapters, described).items():
            (DOCS / name).write_text(content)


if __name__ == '__main__':
    sys.exit(main())
