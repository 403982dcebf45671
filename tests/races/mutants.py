# SPDX-License-Identifier: Apache-2.0
"""The guard without a part of its seal: what the races must notice."""

import contextlib
import itertools
import pathlib
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import NamedTuple

from consumer_guard.generations import store, watch
from consumer_guard.guard import ownership
from tests.mutants.swapping import find_functions, find_swaps

_PACKAGE = pathlib.Path(store.__file__).parent.parent
_HELD = ' AND EXISTS (SELECT 1 FROM allocations WHERE consumer_id = :uuid)'


class Mutant(NamedTuple):
    """What is replaced.

    :ivar edits: module, text that is there once, text in its place
    :ivar databases: on which it does harm
    """

    edits: tuple[tuple[ModuleType, str, str], ...]
    databases: tuple[str, ...] = ('sqlite', 'postgresql', 'mysql')


_WITHOUT_USER = (store, 'if swap.judged.user_id is not None:', 'if False:')

MUTANTS = {
    'no swap': Mutant(
        (
            (watch, '{s.uuid: s.new for s', '{s.uuid: s.expected for s'),
            (watch, 'if not self._store.swap_generations(due):', 'if not due:'),
        )
    ),
    'swap without owner': Mutant(
        (
            (store, '+= _AS_JUDGED\n', f'+= " AND id = :row_id{_HELD}"\n'),
            _WITHOUT_USER,
        ),
        # The others never give an id again.
        ('sqlite',),
    ),
    'swap without id and owner': Mutant(
        ((store, '+= _AS_JUDGED\n', f'+= "{_HELD}"\n'), _WITHOUT_USER)
    ),
    'emptying': Mutant(
        (
            (
                ownership,
                'Reason.EMPTIES if any(claim.empties for claim in body.claims) else None',
                'None',
            ),
        )
    ),
}


def find_changes(name: str) -> list[tuple[FunctionType, CodeType]]:
    """The functions of what is imported that differ, each with its other code."""
    functions = find_functions(_PACKAGE)
    changes: list[tuple[FunctionType, CodeType]] = []
    for module, edits in itertools.groupby(MUTANTS[name].edits, lambda edit: edit[0]):
        path = pathlib.Path(str(module.__file__))
        source = mutated = path.read_text(encoding='utf-8')
        for _, old, new in edits:
            assert mutated.count(old) == 1, f'{path} no longer has: {old}'
            mutated = mutated.replace(old, new)
        codes = [compile(text, str(path), 'exec') for text in (source, mutated)]
        changes += find_swaps(functions, *codes)
    return changes


@contextlib.contextmanager
def applied(name: str) -> Iterator[None]:
    """The mutant instead of what is imported, as long as the ``with`` lasts."""
    changes = find_changes(name)
    originals = [(function, function.__code__) for function, _ in changes]
    for function, code in changes:
        function.__code__ = code
    try:
        yield
    finally:
        for function, code in originals:
            function.__code__ = code
