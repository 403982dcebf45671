# SPDX-License-Identifier: Apache-2.0
"""Policy files as YAML: what oslo.policy reads, and what is refused beyond."""

import json

import pytest
from oslo_policy import policy

from consumer_guard.guard import model
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules.parsing import parse_file
from consumer_guard.rules.rulebook import PolicyText, Rulebook

LIST = model.ALLOCATIONS_LIST.rule


@pytest.mark.parametrize(
    'text',
    [
        '',
        '# nothing',
        'false',
        '{}',
        '"a": "@"\nb: !!str 5\n',
        'a: null\nb: ~\nc: !\nd: true\ne: 1_000\nf: 2001-01-01\ng: [x]\nh: {i: j}\n',
        'a: &x "role:x"\nb: *x\n',
        'common: &c {a: "@", b: "!"}\n<<: *c\na: "role:x"\n',
        'x: &x {a: "@"}\ny: &y {<<: *x, b: "@"}\n<<: [*x, *y]\n',
        'a: |\n  role:x or\n  role:y\nb: >\n  role:x\n  or role:y\n',
        '\ufeff"a": "@"\r\n"b": "!"\r\n',
        '--- \n"a": "x"\n...\n',
        json.dumps({'a': 'role:x', 'b': None}),
    ],
)
def test_a_file_is_read_as_oslo_policy_reads_it(text: str) -> None:
    rules = {rule.name: rule.value for rule in parse_file(PolicyText('f', text))}
    assert rules == policy.parse_file_contents(text)


@pytest.mark.parametrize(
    'text',
    [
        f'"{LIST}": "role:admin"\n"{LIST}": "@"\n',
        f'"{LIST}": "@"\n"{LIST}": "@"\n',
        f'"{LIST}": "!"\n\'{LIST}\': "@"\n',
        f'{LIST}: "!"\n? {LIST}\n: "@"\n',
        f'{{"{LIST}": "!", "{LIST}": "@"}}',
        f'"{LIST}": "rule:x"\nx: "!"\nx: "@"\n',
        f'common: &c\n  "{LIST}": "!"\n  "{LIST}": "@"\n<<: *c\n',
    ],
)
def test_a_rule_in_force_that_is_in_one_file_twice_is_an_error(text: str) -> None:
    """Y23"""
    with pytest.raises(
        PolicyFileError, match=r'f: rule "\S+": appears twice in the file'
    ):
        Rulebook.build([PolicyText('f', text)])


@pytest.mark.parametrize(
    'text',
    [
        f'placement:x: "!"\nplacement:x: "@"\n"{LIST}": "role:x"\n',
        f'common: &c {{"{LIST}": "@"}}\n<<: *c\n"{LIST}": "role:x"\n',
        f'x: &x {{a: "@"}}\n<<: *x\n<<: *x\n"{LIST}": "role:x"\n',
    ],
)
def test_a_repeated_name_without_effect_on_ours_is_accepted(text: str) -> None:
    """A rule of others, and one that overrides a merged one, as YAML has it."""
    book = Rulebook.build([PolicyText('f', text)])
    assert book.text(LIST) == 'role:x'


def test_a_repeated_name_that_a_later_file_overrides_is_accepted() -> None:
    first = PolicyText('f', f'"{LIST}": "!"\n"{LIST}": "@"\n')
    book = Rulebook.build([first, PolicyText('g', f'"{LIST}": "role:x"')])
    assert book.text(LIST) == 'role:x'


@pytest.mark.parametrize('character', ['\x85', '\u2028', '\u2029', '\r'], ids=ascii)
@pytest.mark.parametrize(
    'text', ['# only a comment{}"consumer_guard:usages": "@"\n', '"a": "role:x{}y"\n']
)
def test_a_line_break_that_editors_do_not_show_is_an_error(
    text: str, character: str
) -> None:
    """Y24: YAML begins a line there, and perhaps a rule."""
    message = f'f: line 3 contains U\\+{ord(character):04X}'
    with pytest.raises(PolicyFileError, match=message):
        parse_file(PolicyText('f', '\n\r\n' + text.format(character)))


def test_a_line_break_that_is_escaped_is_accepted() -> None:
    assert parse_file(PolicyText('f', r'"a": "x\N\L\P\r"'))[0].value == (
        'x\x85\u2028\u2029\r'
    )
