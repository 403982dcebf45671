# SPDX-License-Identifier: Apache-2.0
"""The operators change what they are to change, and what survives is seen."""

import os
import pathlib
from typing import Any

import pytest
from cosmic_ray.mutating import mutate_code

from tests.mutants import choosing, listing, operators
from tests.mutants.doors import Answer, opens
from tests.mutants.mutations import find_marked, make_mutants
from tests.mutants.running import TIMEOUT, run_copy
from tests.mutants.swapping import NotSwappable, find_changes
from tests.mutants.touching import Touching

OWN = [each for each in operators.OPERATORS if 'tests.mutants' in each.__module__]


@pytest.mark.parametrize(
    ('operator', 'before', 'after'),
    [(each, *pair) for each in OWN for pair in each.EXAMPLES],
)
def test_an_operator_makes_its_examples(operator: Any, before: str, after: str) -> None:
    texts: set[str] = set()
    while text := mutate_code(before, operator(), len(texts)):
        texts.add(text.replace('(b)', 'b').replace('(a or c)', 'a or c'))
    assert after in texts


@pytest.mark.parametrize(
    'source',
    [
        'def f():\n    """What it does."""\n',
        "LOG.info('A text for people')\n",
        "# A comment.\nLOG.info('A text for people')\n",
        "raise A('A text for people')\n",
        'import a\n',
        "raise Unreadable('A text for people') from None\n",
        "def f() -> 'A': ...\n",
        'A = Callable[[B, C], D]\n',
        '@dataclass(frozen=True, slots=True)\nclass A:\n    pass\n',
        'def f():\n    return None\n',
    ],
)
def test_what_no_test_should_pin_has_no_mutant(source: str) -> None:
    made = [mutant.after for mutant in make_mutants('m', source)]
    assert made in ([], ['raise ArithmeticError'])


def test_a_mutant_has_the_lines_of_its_original_and_names_what_changed() -> None:
    source = 'def f(a):\n    g(\n        a,\n    )\n    return a\n'
    mutants = {made.operator: made for made in make_mutants('m', source)}
    dropped = mutants['DropStatement']
    assert dropped.source == 'def f(a):\n    pass\n\n\n    return a\n'
    assert dropped.lines == (2, 4)
    assert dropped.key == ('m', 'f', 'g( a, )', 'pass')


def test_a_mutant_has_the_lines_of_its_whole_statement() -> None:
    source = 'def f(a):\n    if (\n        a\n    ):\n        b = (\n            1,\n        )\n'
    lines = {(made.before, made.lines) for made in make_mutants('m', source)}
    assert ('b = ( 1,', (5, 7)) in lines
    assert ('if ( a ):', (2, 4)) in lines


def test_the_statement_after_a_security_comment_is_marked() -> None:
    source = 'a = 1\n# Security: b\n# and c.\nif a:\n    b = 2\nc = 3  # Security: d\n'
    assert find_marked(source) == {4, 5, 6}


@pytest.mark.parametrize(
    ('source', 'lines'),
    [
        ('f(\n    # Security: a\n    b=(\n        1\n    ),\n    c=2,\n)\n', {3, 4, 5}),
        ('try:\n    f()\n# Security: a\nexcept A:\n    g()\nh()\n', {4, 5}),
        ('def f():\n    """Security: a"""\n    g()\nh()\n', {1, 2, 3}),
    ],
)
def test_parts_of_statements_and_functions_are_marked(
    source: str, lines: set[int]
) -> None:
    assert find_marked(source) == lines


def compare(before: str, after: str) -> list[str]:
    """The names of the functions that differ."""
    codes = (compile(text, 'm', 'exec') for text in (before, after))
    return [old.co_name for old, _ in find_changes(*codes)]


def test_only_the_changed_function_is_replaced() -> None:
    text = 'class A:\n    def f(self): return {}\n    def g(self): return 3\n'
    assert compare(text.format(1), text.format(2)) == ['f']


@pytest.mark.parametrize('text', ['a = {}', 'def f(a={}): pass', 'class A:\n a = {}'])
def test_what_runs_on_import_cannot_be_replaced(text: str) -> None:
    with pytest.raises(NotSwappable):
        compare(text.format(1), text.format(2))


@pytest.mark.parametrize('failed', ['a::test', ''])
def test_what_failed_in_a_copy_is_returned(failed: str) -> None:
    assert run_copy(lambda: failed, 60) == failed


def test_a_mutant_that_never_ends_is_killed() -> None:
    def work() -> str:
        while True:
            pass

    assert run_copy(work, 0.1) == TIMEOUT


def test_a_mutant_that_ends_the_process_is_killed() -> None:
    assert run_copy(lambda: os._exit(3), 60)


def test_a_runner_that_breaks_is_no_kill() -> None:
    def work() -> str:
        raise LookupError

    with pytest.raises(RuntimeError):
        run_copy(work, 60)


def test_an_equivalent_mutant_needs_a_reason(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'equivalent.yaml'
    path.write_text('- {module: m, where: f, before: a, after: b, reason: " "}\n')
    with pytest.raises(ValueError, match='reason'):
        listing.read_equivalents(path)


def test_the_listed_reasons_can_be_read() -> None:
    for module, _where, before, after in listing.read_equivalents():
        assert (listing.FIGURES.parent.parent / module).is_file()
        assert before != after


def test_figures_of_a_module_are_replaced_and_others_kept(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'mutants.csv'
    listing.write_figures(
        {'a': listing.Figure(1, 2, 3), 'b': listing.Figure(0, 0, 1)}, path
    )
    listing.write_figures({'b': listing.Figure(4, 0, 0)}, path)
    assert path.read_text() == 'a,6,1,2,3\nb,4,4,0,0\n'


def test_lines_that_differ_are_those_that_are_there_now() -> None:
    diff = (
        'diff --git a.py a.py\n--- a.py\n+++ a.py\n'
        '@@ -1 +1 @@ def f():\n-a\n+b\n'
        '@@ -5,0 +6,2 @@\n+c\n+d\n'
        '@@ -9,2 +11,0 @@\n-e\n-f\n'
        '--- b.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-g\n'
    )
    assert choosing.parse_diff(diff)['a.py'] == {1, 6, 7, 11}


@pytest.mark.parametrize('module', ['guard/wsgi', 'rules/nodes', 'owners/reading'])
def test_what_a_reviewer_reads_is_not_among_the_others(module: str) -> None:
    assert f'consumer_guard/{module}.py' not in choosing.find_others()
    assert 'consumer_guard/telemetry/recorder.py' in choosing.find_others()


REFUSED, PASSED = ('GET', '/a', 403), ('GET', '/a', 200)
OTHER = ('GET', '/b', 200)


@pytest.mark.parametrize(
    ('usual', 'answers', 'door'),
    [
        ([REFUSED], [PASSED], True),
        ([PASSED, REFUSED], [PASSED, PASSED], True),
        ([REFUSED], [REFUSED], False),
        ([PASSED], [REFUSED], False),
        ([REFUSED], [('GET', '/a', 503)], False),
        ([REFUSED], [], False),
        ([REFUSED], [OTHER], False),
        ([PASSED, REFUSED], [OTHER, PASSED], False),
    ],
)
def test_a_door_is_a_refusal_that_has_become_a_pass(
    usual: list[Answer], answers: list[Answer], door: bool
) -> None:
    assert opens(usual, answers) is door


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ('from consumer_guard.rules.nodes import NO\n', True),
        ('from consumer_guard.rules import leaves, nodes\n', True),
        ('from consumer_guard.rules import (\n    leaves,\n    nodes,\n)\n', True),
        ('from consumer_guard.rules import leaves\n', False),
        ('from consumer_guard.rules.nodes_of_others import NO\n', False),
    ],
)
def test_tables_are_tested_by_files_that_import_them(
    text: str, found: bool, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / 'test_some.py'
    file.write_text(text)
    touching = Touching({f'{file}::test': 1.0}, {})
    assert bool(touching.find_module_tests('consumer_guard/rules/nodes.py')) is found


def test_the_key_does_not_depend_on_the_line() -> None:
    source = 'a = b == c\n'
    keys = [
        {made.key for made in make_mutants('m', text)}
        for text in (source, f'\n\n{source}')
    ]
    assert keys[0] == keys[1] == {('m', '', 'a = b == c', 'a = b != c')}
