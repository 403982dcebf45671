# SPDX-License-Identifier: Apache-2.0
"""Lints of rules as texts: values, names, references; each rule by itself."""

from collections.abc import Iterator
from typing import Any

from consumer_guard.analysis.lint.findings import Complaint, fail, note, suggest, warn
from consumer_guard.analysis.lint.leaves import Surroundings, lint_leaf
from consumer_guard.analysis.lint.rulesets import RuleSet
from consumer_guard.analysis.lint.trees import explain_refusal, list_leaves


def lint_text(name: str, rules: RuleSet, around: Surroundings) -> Iterator[Complaint]:
    """All complaints about one rule's text.

    :param name: of a rule in force
    """
    value = rules.texts[name].value
    yield from _lint_value(value, around)
    if not isinstance(value, str) or not value.strip():
        return
    why = explain_refusal(name, value)
    if why is not None and why.startswith('cannot be parsed'):
        yield fail(
            f'"{_shorten(value)}" cannot be parsed; {_denial(around)}'
            f'{_find_unprefixed(value, around)}',
            'write checks as kind:value, joined by and, or, not; a reference to a '
            'rule as rule:name',
        )
        return
    if why is not None:
        yield fail(why, 'split the rule, or install the plug-in that it needs')
    for leaf in dict.fromkeys(list_leaves(value)):
        if leaf.is_reference:
            yield from _lint_reference(name, leaf.match, rules, around)
        else:
            yield from lint_leaf(leaf, around)


def _lint_value(value: object, around: Surroundings) -> Iterator[Complaint]:
    ours = around.asked == 'the guard'
    if isinstance(value, str):
        if not value.strip():
            end = 'the guard refuses the file' if ours else 'it allows everybody'
            yield fail(
                f'the value is empty; {end}',
                'write "@" to allow everybody, "!" to allow nobody',
            )
        return
    shown = f'the value {value!r:.40} is not text'
    if ours:
        yield fail(f'{shown}; the guard refuses the file', 'put it in quotes')
    elif not value:
        yield fail(
            f'{shown}; it allows everybody',
            'write "@" to allow everybody, "!" to allow nobody, in quotes',
        )
    elif _is_old_list(value):
        yield warn(f'{shown}; lists of checks are out of date', 'write it as text')
    else:
        yield fail(f'{shown}; placement cannot read the file', 'put it in quotes')


def _is_old_list(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, str)
        or (isinstance(one, list) and all(isinstance(each, str) for each in one))
        for one in value
    )


def _lint_reference(
    name: str, other: str, rules: RuleSet, around: Surroundings
) -> Iterator[Complaint]:
    if other not in around.names:
        end = (
            'the guard refuses the file'
            if around.asked == 'the guard'
            else 'placement asks its rule "default" instead, or denies'
        )
        yield fail(
            f'refers to the unknown rule "{other}"; {end}'
            f'{suggest(other, around.names)}',
            'define it, or refer to another',
        )
    elif name in rules.list_reachable([other]):
        yield fail(
            f'refers to itself through "{other}"',
            'break the circle: a rule cannot be made of itself',
        )


def _denial(around: Surroundings) -> str:
    if around.asked == 'the guard':
        return 'the guard refuses the file'
    return 'placement denies everybody'


def _find_unprefixed(value: str, around: Surroundings) -> str:
    """Whether a word in the text is a rule's name without ``rule:``."""
    for word in value.replace('(', ' ').replace(')', ' ').split():
        for name in (word, around.prefix + word):
            if name in around.names:
                return f'; write rule:{name} for "{word}"'
    return ''


def _shorten(value: str) -> str:
    return value if len(value) <= 60 else value[:57] + '...'


def lint_lost(kept: str) -> Complaint:
    """A rule that a later one of the same file overrides.

    :param kept: where the other is
    """
    return warn(
        f'the name stands twice in the file; this rule has no effect, {kept} has',
        'remove one of them',
    )


def lint_overridden(by: str) -> Complaint:
    """A rule that a later file overrides."""
    return note(f'has no effect: {by} says the rule again', 'keep one of them')
