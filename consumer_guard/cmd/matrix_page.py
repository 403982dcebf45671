# SPDX-License-Identifier: Apache-2.0
"""The matrix as one HTML page that needs nothing else."""

import importlib.resources
import string
import types
from html import escape

from consumer_guard.analysis import prediction
from consumer_guard.analysis.access import CallerClass, Cell, Relation
from consumer_guard.analysis.matrix import Matrix
from consumer_guard.config.settings import Settings
from consumer_guard.guard.decision import Outcome
from consumer_guard.guard.model import OPERATIONS, Operation, Ownership
from consumer_guard.rules.defaults import DESCRIPTIONS

#: Class of a cell, its sign, and its meaning. Signs differ in form too, for paper
#: and for eyes that do not tell the colours apart.
CELL_CLASSES = types.MappingProxyType(
    {
        'role': ('●', 'by role, for every owner'),
        'owner': ('◆', 'by ownership'),
        'listed': ('▣', 'listed, by ownership'),
        'unlisted': ('▢', 'left out of the list'),
        'hidden': ('○', 'answered as if unknown'),
        'refused': ('\u2013', 'refused'),
    }
)

_OWNERSHIP = types.MappingProxyType(
    {
        Ownership.READ: 'can read',
        Ownership.SUMS: 'can read',
        Ownership.FILTER: 'can read some of them',
        Ownership.SEALED_WRITE: 'can write existing consumers, from 1.28',
        Ownership.NEVER: 'never suffices',
    }
)


def classify_cell(cell: Cell) -> str:
    """The key of :data:`CELL_CLASSES` for a cell."""
    if cell.placement_refuses:
        return 'refused'
    if cell.outcome is Outcome.ROLE:
        return 'role'
    if cell.outcome is Outcome.FILTER:
        return 'listed' if cell.allowed else 'unlisted'
    if cell.outcome is Outcome.PASSAGE:
        return 'owner'
    return 'hidden' if cell.answer == prediction.CONCEALED else 'refused'


def make_page(matrix: Matrix, settings: Settings) -> str:
    """The page; the same bytes for the same rules and settings."""
    relations = ''.join(
        f'<th scope="col"><span>{escape(each.value)}</span></th>' for each in Relation
    )
    template = importlib.resources.files('consumer_guard.cmd') / 'matrix.html'
    return string.Template(template.read_text(encoding='utf-8')).substitute(
        banner=_make_banner(settings),
        settings=_make_settings(settings),
        legend=_make_legend(matrix),
        columns=''.join('<col><col><col><col class="last">' for _ in OPERATIONS),
        operations=''.join(map(_make_operation, OPERATIONS)),
        relations=relations * len(OPERATIONS),
        rows='\n'.join(_make_row(matrix, each) for each in matrix.classes),
        rules='\n'.join(_make_rule(matrix, each) for each in OPERATIONS),
    )


def _make_banner(settings: Settings) -> str:
    if not settings.shadow:
        return ''
    return (
        '<p class="banner"><strong>Shadow mode.</strong> Decisions are shown but not '
        'enforced.</p>'
    )


def _make_settings(settings: Settings) -> str:
    shown = (
        ('enforcement', settings.enforcement),
        ('denial', settings.denial),
        ('passage_role', settings.passage_role or 'none'),
    )
    return ''.join(
        f'<div><dt>{name}</dt><dd>{escape(value)}</dd></div>' for name, value in shown
    )


def _make_legend(matrix: Matrix) -> str:
    present = {classify_cell(cell) for cell in matrix.cells.values()}
    return ''.join(
        f'<li><span class="sign {name}" aria-hidden="true">{sign}</span>{meaning}</li>'
        for name, (sign, meaning) in CELL_CLASSES.items()
        if name in present
    )


def _make_operation(operation: Operation) -> str:
    name = escape(operation.name).replace(':', ':<wbr>')
    path = operation.path.replace('{consumer_uuid}', '{c}').replace('{uuid}', '{p}')
    path = escape(path).replace('/', '<wbr>/')
    return (
        f'<th scope="colgroup" colspan="{len(Relation)}">'
        f'<span class="operation">{name}</span>'
        f'<code>{operation.method} {path}</code></th>'
    )


def _make_row(matrix: Matrix, row: CallerClass) -> str:
    name, caller = row
    roles = ', '.join(caller.credentials['roles']) or 'no roles'
    scope = caller.scope
    if scope == 'project' and not caller.credentials['project_id']:
        scope = 'no'
    cells = ''.join(
        _make_cell(
            f'{name}, {operation.name}, {relation.value}',
            operation,
            matrix.cells[name, operation.name, relation],
        )
        for operation in OPERATIONS
        for relation in Relation
    )
    return (
        f'<tr><th scope="row">{escape(name)}'
        f'<small>{escape(roles)} · {scope} scope</small></th>{cells}</tr>'
    )


def _make_cell(heading: str, operation: Operation, cell: Cell) -> str:
    cell_class = classify_cell(cell)
    sign, meaning = CELL_CLASSES[cell_class]
    label = f'{heading}: {meaning}'
    title = f'{label}\n{cell.reason.value}\nanswer: {cell.answer}'
    return (
        f'<td class="{cell_class}"><button type="button" tabindex="-1" '
        f'title="{escape(title)}" aria-label="{escape(label)}" '
        f'data-rule="{_make_anchor(operation)}" '
        f'data-reason="{escape(cell.reason.value)}" '
        f'data-answer="{escape(cell.answer)}">{sign}</button></td>'
    )


def _make_rule(matrix: Matrix, operation: Operation) -> str:
    text = escape(matrix.rules[operation.name]).replace(':', ':<wbr>')
    note = ''
    if operation.name in matrix.remote:
        note = '<p class="note">It contains a remote check, which was not called.</p>'
    return (
        f'<tr id="{_make_anchor(operation)}">'
        f'<th scope="row">{escape(operation.rule)}</th>'
        f'<td>{escape(DESCRIPTIONS[operation])}</td>'
        f'<td>{_OWNERSHIP[operation.ownership]}</td>'
        f'<td><code>{text}</code>{note}</td></tr>'
    )


def _make_anchor(operation: Operation) -> str:
    return f'rule-{operation.name.replace(":", "-")}'
