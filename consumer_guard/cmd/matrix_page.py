# SPDX-License-Identifier: Apache-2.0
"""The matrix as one HTML page that needs nothing else."""

import importlib.resources
import string
from collections.abc import Mapping
from html import escape

from consumer_guard.analysis import prediction
from consumer_guard.analysis.access import CallerClass, Cell, Relation
from consumer_guard.analysis.matrix import Matrix
from consumer_guard.config.settings import Settings
from consumer_guard.guard import model
from consumer_guard.guard.decision import Outcome

#: Class of a cell, its sign, and what it means. Signs differ in form too, for
#: paper and for eyes that do not tell the colours apart.
KINDS: Mapping[str, tuple[str, str]] = {
    'role': ('●', 'by role, whoever owns it'),
    'owner': ('◆', 'by ownership'),
    'listed': ('▣', 'listed, by ownership'),
    'unlisted': ('▢', 'left out of the list'),
    'hidden': ('○', 'answered as if unknown'),
    'refused': ('\u2013', 'refused'),
}

_OWNERSHIP = {
    model.Ownership.READ: 'can read',
    model.Ownership.SUMS: 'can read',
    model.Ownership.FILTER: 'can read a part',
    model.Ownership.SEALED_WRITE: 'can write what exists, from 1.28',
    model.Ownership.NEVER: 'never suffices',
}


def kind_of(cell: Cell) -> str:
    """The key of :data:`KINDS` for a cell."""
    if cell.outcome is Outcome.ROLE:
        return 'role'
    if cell.outcome is Outcome.FILTER:
        return 'listed' if cell.allowed else 'unlisted'
    if cell.outcome is Outcome.PASSAGE:
        return 'owner'
    return 'hidden' if cell.answer == prediction.CONCEALED else 'refused'


def make_page(matrix: Matrix, settings: Settings) -> str:
    """The page; the same bytes for the same rules and settings."""
    template = importlib.resources.files('consumer_guard.cmd') / 'matrix.html'
    return string.Template(template.read_text(encoding='utf-8')).substitute(
        banner=_make_banner(settings),
        settings=_make_settings(settings),
        legend=_make_legend(matrix),
        columns=''.join('<col><col><col><col class="last">' for _ in matrix.rules),
        operations=''.join(map(_make_operation, model.OPERATIONS)),
        relations=_make_relations() * len(model.OPERATIONS),
        rows='\n'.join(_make_row(matrix, one) for one in matrix.classes),
        rules='\n'.join(_make_rule(matrix, one) for one in model.OPERATIONS),
    )


def _make_banner(settings: Settings) -> str:
    if not settings.shadow:
        return ''
    return (
        '<p class="banner"><strong>Shadow mode.</strong> This is what would be; '
        'nothing of it is enforced.</p>'
    )


def _make_settings(settings: Settings) -> str:
    shown = {
        'enforcement': settings.enforcement,
        'denial': settings.denial,
        'passage_role': settings.passage_role or 'none',
    }
    return ''.join(
        f'<div><dt>{name}</dt><dd>{escape(value)}</dd></div>'
        for name, value in shown.items()
    )


def _make_legend(matrix: Matrix) -> str:
    found = {kind_of(cell) for cell in matrix.cells.values()}
    return ''.join(
        f'<li><span class="sign {kind}" aria-hidden="true">{sign}</span>{meaning}</li>'
        for kind, (sign, meaning) in KINDS.items()
        if kind in found
    )


def _make_operation(operation: model.Operation) -> str:
    breakable = escape(operation.name).replace(':', ':<wbr>')
    return (
        f'<th scope="colgroup" colspan="{len(Relation)}">'
        f'<span class="operation">{breakable}</span>'
        f'<code>{operation.method} {_shorten(operation.path)}</code></th>'
    )


def _shorten(path: str) -> str:
    short = path.replace('{consumer_uuid}', '{c}').replace('{uuid}', '{p}')
    return escape(short).replace('/', '<wbr>/')


def _make_relations() -> str:
    return ''.join(
        f'<th scope="col"><span>{escape(one.value)}</span></th>' for one in Relation
    )


def _make_row(matrix: Matrix, one: CallerClass) -> str:
    roles = ', '.join(one.caller.credentials['roles']) or 'no roles'
    scope = one.caller.scope
    if scope == 'project' and not one.caller.credentials['project_id']:
        scope = 'no'
    cells = ''.join(
        _make_cell(one, operation, relation, matrix.cells)
        for operation in model.OPERATIONS
        for relation in Relation
    )
    return (
        f'<tr><th scope="row">{escape(one.name)}'
        f'<small>{escape(roles)} · {scope} scope</small></th>{cells}</tr>'
    )


def _make_cell(
    one: CallerClass,
    operation: model.Operation,
    relation: Relation,
    cells: Mapping[tuple[str, str, Relation], Cell],
) -> str:
    cell = cells[one.name, operation.name, relation]
    kind = kind_of(cell)
    sign, meaning = KINDS[kind]
    label = f'{one.name}, {operation.name}, {relation.value}: {meaning}'
    title = f'{label}\n{cell.reason.value}\nanswer: {cell.answer}'
    return (
        f'<td class="{kind}"><button type="button" tabindex="-1" '
        f'title="{escape(title)}" aria-label="{escape(label)}" '
        f'data-rule="rule-{operation.name.replace(":", "-")}" '
        f'data-reason="{escape(cell.reason.value)}" '
        f'data-answer="{escape(cell.answer)}">{sign}</button></td>'
    )


def _make_rule(matrix: Matrix, operation: model.Operation) -> str:
    note = ''
    if operation.name in matrix.remote:
        note = '<p class="note">It asks elsewhere too; that was not asked here.</p>'
    return (
        f'<tr id="rule-{operation.name.replace(":", "-")}">'
        f'<th scope="row">{escape(operation.rule)}</th>'
        f'<td>{escape(operation.description)}</td>'
        f'<td>{_OWNERSHIP[operation.ownership]}</td>'
        f'<td><code>{_break(matrix.rules[operation.name])}</code>{note}</td></tr>'
    )


def _break(text: str) -> str:
    """A rule's text, which may be long, with places to break."""
    return escape(text).replace(':', ':<wbr>')
