# SPDX-License-Identifier: Apache-2.0
"""Every mutant of a module, and which lines are marked for security."""

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from tests.mutants.operators import OPERATORS


class Mutant(NamedTuple):
    """One change of one module.

    :ivar lines: of the original, those of the statement that changes
    :ivar where: the class and function, empty for the module
    :ivar before: the changed lines, with single spaces
    :ivar after: what they become
    :ivar source: the whole mutant, with as many lines as the original
    """

    module: str
    operator: str
    lines: tuple[int, int]
    where: str
    before: str
    after: str
    source: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What stays the same when lines move."""
        return self.module, self.where, self.before, self.after


def make_mutants(module: str, source: str) -> Iterator[Mutant]:
    """Every mutant that compiles, each text once."""
    seen = {source}
    for operator in OPERATORS:
        for occurrence in range(_count(operator(), source)):
            text = mutate_code(source, operator(), occurrence)
            if text is None or text in seen or not _compiles(text):
                continue
            seen.add(text)
            mutant = _make_mutant(module, operator.__name__, source, text)
            # tests/unit/test_house.py holds those.
            frozen = '@dataclass(frozen=True, slots=True'
            if mutant.before.startswith(frozen) > mutant.after.startswith(frozen):
                continue
            yield mutant


def _count(operator: Any, source: str) -> int:
    nodes = ast_nodes(get_ast(source))
    return sum(len(list(operator.mutation_positions(node))) for node in nodes)


def _compiles(text: str) -> bool:
    try:
        compile(text, '', 'exec')
    except SyntaxError:
        return False
    return True


def _make_mutant(module: str, operator: str, source: str, text: str) -> Mutant:
    old, new = source.split('\n'), text.split('\n')
    shorter = min(len(old), len(new))
    start = next(i for i in range(shorter) if old[i] != new[i])
    end = next(
        (i for i in range(shorter - start) if old[-1 - i] != new[-1 - i]),
        shorter - start,
    )
    before, after = old[start : len(old) - end], new[start : len(new) - end]
    # Functions further down keep their line numbers, by which they are recognised.
    new[len(new) - end : len(new) - end] = [''] * (len(old) - len(new))
    lines = _find_statement(source, start + 1, max(start + 1, len(old) - end))
    was, now = (' '.join(' '.join(part).split()) for part in (before, after))
    where = _find_scope(source, lines[0])
    return Mutant(module, operator, lines, where, was, now, '\n'.join(new))


def _find_statement(source: str, first: int, last: int) -> tuple[int, int]:
    """The lines of the statement, or of the head of one, in which these are.

    Python counts the first line of an expression only, or some of them.
    """
    found = first, last
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            # Decorators are lines of their own.
            end = node.end_lineno or node.lineno
            inner = getattr(node, 'body', None)
            if inner:
                end = max(node.lineno, inner[0].lineno - 1)
            if node.lineno <= first and last <= end:
                found = node.lineno, end
    return found


def _find_scope(source: str, line: int) -> str:
    scopes = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return '.'.join(
        node.name
        for node in sorted(
            (node for node in ast.walk(ast.parse(source)) if isinstance(node, scopes)),
            key=lambda node: node.lineno,
        )
        if node.lineno <= line <= (node.end_lineno or node.lineno)
    )


def find_marked(source: str) -> frozenset[int]:
    """The lines that are there for security.

    After a comment: the statement, or the argument or operand within one. In a
    docstring: the whole function.
    """
    nodes = [
        (node.lineno, node.end_lineno, node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt | ast.expr | ast.keyword | ast.excepthandler)
    ]
    marked: set[int] = set()
    for number, line in enumerate(source.split('\n'), 1):
        if '# Security:' in line:
            starts = [first for first, _, _ in nodes if first >= number]
            start = min(starts, default=0)
            ends = [last or first for first, last, _ in nodes if first == start]
            marked.update(range(start, max(ends, default=0) + 1))
    for first, last, node in nodes:
        if isinstance(node, ast.FunctionDef):
            text = ast.get_docstring(node) or ''
            end = (last or first) if 'Security:' in text else first - 1
            marked.update(range(first, end + 1))
    return frozenset(marked)
