# SPDX-License-Identifier: Apache-2.0
"""Results as reStructuredText for the documentation, and as Markdown."""

from collections.abc import Mapping, Sequence

from bench.results import Chapter, Finding, Role, Row, Table
from bench.statistics import Estimate

_ROLES = {Role.OURS: '**{}**', Role.REFERENCE: '{}', Role.CONTROL: '{}'}
_VERDICTS = {True: 'reached', False: 'not reached', None: ''}

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
    """All figures beside their goals."""
    grid = [['goal', 'what', 'figure', 'limit', '']]
    for chapter in chapters:
        grid += [_finding(chapter.goal, finding) for finding in chapter.findings]
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


def to_rst(grid: Grid, title: str = '') -> str:
    """A list-table, for including."""
    lines = [f'.. list-table:: {title}'.rstrip(), '   :header-rows: 1', '']
    for row in grid:
        for position, cell in enumerate(row):
            lead = '   * - ' if position == 0 else '     - '
            lines.append(f'{lead}{cell}'.rstrip())
    return '\n'.join(lines) + '\n'


def to_markdown(grid: Grid, title: str = '') -> str:
    """A table of Markdown."""
    lines = [f'**{title}**', ''] if title else []
    for position, row in enumerate(grid):
        lines.append('| ' + ' | '.join(row) + ' |')
        if position == 0:
            lines.append('|' + ' --- |' * len(row))
    return '\n'.join(lines) + '\n'


def write_rst(
    chapters: Sequence[Chapter], machine: Mapping[str, str]
) -> dict[str, str]:
    """Texts for the documentation, by file name."""
    texts = {
        'summary.rst': to_rst(findings_grid(chapters)),
        'machine.rst': machine_words(machine) + '\n',
    }
    for chapter in chapters:
        parts = []
        for table in chapter.tables:
            parts.append(to_rst(table_grid(table), table.title))
            if table.conditions:
                parts.append(f'{table.conditions[0].upper()}{table.conditions[1:]}.\n')
        for curve in chapter.curves:
            parts.append(f'.. image:: /performance/{curve.name}.svg\n')
        texts[f'{chapter.goal.lower()}.rst'] = '\n'.join(parts)
    return texts


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
    return '\n'.join(parts)
