# SPDX-License-Identifier: Apache-2.0
"""The one table of reasons, and a decision without values."""

import ast
import pathlib
import re

import pytest
from placement import errors as placement_errors

import consumer_guard
from consumer_guard.guard.decision import (
    CONCURRENT_UPDATE,
    CONSEQUENCES,
    UNDEFINED_CODE,
    Decision,
    Outcome,
    Phase,
    Reason,
    find_reason,
)
from consumer_guard.guard.errors import RequestError

ALLOWING = {Reason.ROLE, Reason.OWNER}
ROOT = pathlib.Path(consumer_guard.__file__).parent
OPERATIONS_PAGE = ROOT.parent / 'doc' / 'source' / 'operations.rst'


def test_every_reason_has_a_row() -> None:
    assert {*CONSEQUENCES} == {*Reason}


def test_codes_of_errors_are_placements() -> None:
    known = placement_errors.DEFAULT, placement_errors.CONCURRENT_UPDATE
    assert known == (UNDEFINED_CODE, CONCURRENT_UPDATE)


def test_no_two_reasons_have_the_same_text() -> None:
    assert len({reason.value for reason in Reason}) == len(Reason)


@pytest.mark.parametrize('error', RequestError.__subclasses__())
def test_every_error_of_a_request_stands_for_one_reason(
    error: type[RequestError],
) -> None:
    rows = [reason for reason, row in CONSEQUENCES.items() if row.error is error]
    assert [find_reason(error('x'))] == rows


@pytest.mark.parametrize('reason', Reason)
def test_only_reasons_that_allow_have_no_status_of_a_refusal(reason: Reason) -> None:
    status = CONSEQUENCES[reason].status
    assert status == 200 if reason in ALLOWING else status >= 400


@pytest.mark.parametrize('reason', Reason)
def test_only_what_depends_on_the_owner_is_concealed(reason: Reason) -> None:
    row = CONSEQUENCES[reason]
    assert not row.may_conceal or (row.phase is Phase.CONCLUDE and row.status == 403)


@pytest.mark.parametrize('reason', Reason)
def test_a_refusal_that_the_rule_does_not_explain_has_a_text(reason: Reason) -> None:
    row = CONSEQUENCES[reason]
    assert row.hint or row.error or row.status in (200, 403)


def test_refusals_that_may_be_concealed_look_the_same() -> None:
    rows = [row for row in CONSEQUENCES.values() if row.may_conceal]
    assert {(row.status, row.hint, row.code) for row in rows} == {
        (403, '', UNDEFINED_CODE)
    }


@pytest.mark.parametrize('reason', Reason)
def test_a_conflict_and_nothing_else_looks_to_nova_like_one(reason: Reason) -> None:
    row = CONSEQUENCES[reason]
    conflict = row.hint.startswith('consumer generation conflict - ')
    assert conflict is (row.status == 409) is (row.code == CONCURRENT_UPDATE)


def test_the_rule_decides_in_two_phases_only() -> None:
    rows = [row for row in CONSEQUENCES.values() if row.by_rule]
    assert {row.phase for row in rows} == {Phase.PRELIMINARY, Phase.CONCLUDE}
    assert {row.status for row in rows} == {200, 403}


def read_documented() -> dict[str, str]:
    """The answers of the documentation, by reason."""
    text = OPERATIONS_PAGE.read_text()
    rule, table = re.findall(
        r'^(=+ =+)\n``reason`` +answer\n\1\n(.*?)\n\1$', text, re.M | re.S
    )[0]
    width = rule.index(' ')
    documented: dict[str, str] = {}
    for line in table.splitlines():
        reason, answer = line[:width].strip(), line[width:].strip()
        if not answer:
            first, answer = documented.popitem()
            reason = f'{first} {reason}'
        documented[reason] = answer
    return documented


def describe_answer(reason: Reason) -> str:
    row = CONSEQUENCES[reason]
    if reason is Reason.MICROVERSION:
        return "placement's 400 or 406"
    if row.status == 200:
        return "placement's"
    return f'{row.status}, or concealed' if row.may_conceal else str(row.status)


def test_every_reason_is_documented_with_its_answer() -> None:
    assert read_documented() == {
        reason.value: describe_answer(reason) for reason in Reason
    }


def is_reason(node: ast.AST | None) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == 'Reason'
    )


def find_tables(source: str) -> list[int]:
    """The lines of all tables, sets and sequences of reasons."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        members: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            members = [*node.keys, *node.values]
        elif isinstance(node, ast.Set | ast.List | ast.Tuple):
            members = [*node.elts]
        if sum(map(is_reason, members)) > 1:
            lines.append(getattr(node, 'lineno', 0))
    return lines


def test_no_other_module_has_a_table_of_reasons() -> None:
    tables = {
        str(path.relative_to(ROOT)): find_tables(path.read_text())
        for path in ROOT.rglob('*.py')
    }
    assert [name for name, lines in tables.items() if lines] == ['guard/decision.py']


def test_a_decision_without_values_refuses() -> None:
    assert Decision().outcome is Outcome.REFUSE
    assert Decision().reason not in ALLOWING
    assert not Decision().depends
