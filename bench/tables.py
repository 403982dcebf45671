# SPDX-License-Identifier: Apache-2.0
"""Results as Markdown, and as the table of the documentation."""

import csv
import io
from collections.abc import Mapping, Sequence

from tabulate import tabulate

from bench.results import Chapter, Finding, Role, Row, Table
from bench.statistics import Estimate

_ROLES = {Role.OURS: '**{}**', Role.REFERENCE: '{}', Role.CONTROL: '{}'}
_VERDICTS = {True: 'within', False: 'beyond', None: ''}

Grid = list[list[str]]


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == 0 or abs(value) >= 100:
        return f'{value:.0f}'
    digits = 2 if abs(value) < 10 else 1
    return f'{value:.{digits}f}'


def _interval(estimate: Estimate) -> str:
    return f'{number(estimate.low)} to {number(estimate.high)}'


def findings_grid(chapters: Sequence[Chapter]) -> Grid:
    """All figures beside their limits."""
    grid = [['', 'what', 'figure', 'limit', '']]
    for chapter in chapters:
        grid += [_finding(chapter.goal, finding) for finding in chapter.findings]
    return grid


def regression_grid(chapters: Sequence[Chapter]) -> Grid:
    """The figures that have a limit, with the greatest noise of their chapter."""
    grid = [['', 'what', 'figure', 'limit', '', 'noise']]
    for chapter in chapters:
        noise = [
            finding.figure
            for finding in chapter.findings
            if finding.claim.startswith('noise')
        ]
        grid += [
            [*_finding(chapter.goal, finding), f'{max(noise):.1f} %' if noise else '']
            for finding in chapter.findings
            # How fast this machine is, without a limit, counts those of the others.
            if finding.limit is not None or finding.unit == 'times'
        ]
    return grid


def _finding(goal: str, finding: Finding) -> list[str]:
    limit = ''
    if finding.limit is not None:
        words = 'at least' if finding.at_least else 'at most'
        limit = f'{words} {finding.limit:g} {finding.unit}'.rstrip()
    figure = f'{number(finding.figure)} {finding.unit}'.rstrip()
    return [goal, finding.claim, figure, limit, _VERDICTS[finding.reached]]


def table_grid(table: Table) -> Grid:
    """One table of variants."""
    heads = ['what', table.unit, '95 % interval']
    if table.base is not None:
        heads += ['more than the base', '%']
    return [heads, *(_row(table, row) for row in table.rows)]


def _row(table: Table, row: Row) -> list[str]:
    cells = [
        _ROLES[row.role].format(row.what),
        number(row.cost.median),
        _interval(row.cost),
    ]
    if table.base is None:
        return cells
    if row.what == table.base:
        return [*cells, 'the base', '']
    over = '' if row.over is None else number(row.over.median)
    share = '' if row.share is None else f'{row.share.median:+.1f}'
    return [*cells, over, share]


def machine_words(machine: Mapping[str, str]) -> str:
    """One sentence about the machine."""
    return ', '.join(f'{name} {value}' for name, value in machine.items())


def to_markdown(grid: Grid, title: str = '') -> str:
    """A table of Markdown."""
    table = tabulate(grid, headers='firstrow', tablefmt='github', disable_numparse=True)
    return f'**{title}**\n\n{table}\n' if title else f'{table}\n'


def to_csv(grid: Grid) -> str:
    """A table for the documentation."""
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(grid)
    return text.getvalue()


def write_markdown(chapters: Sequence[Chapter], machine: Mapping[str, str]) -> str:
    """Everything in one text."""
    parts = ['# What the guard costs', '', machine_words(machine), '']
    parts.append(to_markdown(findings_grid(chapters)))
    for chapter in chapters:
        parts.append(f'## {chapter.goal}: {chapter.title}\n')
        for table in chapter.tables:
            parts.append(to_markdown(table_grid(table), table.title))
            if table.conditions:
                parts.append(f'{table.conditions[0].upper()}{table.conditions[1:]}.\n')
        parts += [f'![{curve.title}]({curve.name}.svg)\n' for curve in chapter.curves]
    return '\n'.join(parts)
