# SPDX-License-Identifier: Apache-2.0
"""Cubes in words: "manager of the owning project, without admin"."""

import types
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from consumer_guard.analysis.proof.cubes import Cube
from consumer_guard.analysis.proof.domain import Example
from consumer_guard.analysis.proof.literals import Literal, Sign
from consumer_guard.analysis.proof.scopes import TokenScope
from consumer_guard.rules.leaves import CredentialIs, HasRole

#: Words for a check, true and not true, by credential and target key.
RELATIONS: Mapping[tuple[str, str], tuple[str, str]] = types.MappingProxyType(
    {
        ('project_id', 'project_id'): ('of the owning project', 'of another project'),
        ('user_id', 'user_id'): (
            'who is the owning user',
            'who is not the owning user',
        ),
    }
)

#: Roles that are named in a row; more are counted only.
_MAX_NAMES = 6


class Group(NamedTuple):
    """Some who are affected, in words, and one of them."""

    who: str
    example: Example


def describe_cubes(cubes: Iterable[Cube]) -> list[Group]:
    """All cubes, the shortest first; those that differ in one role alone are a group.

    The order in which z3 finds them depends on what it was asked before.
    """
    alike: dict[object, tuple[list[str], Sequence[Literal], Example]] = {}
    groups = []
    for cube in cubes:
        names = sorted(_list_role_names(cube.literals, Sign.YES))
        rest = [one for one in cube.literals if one.sign is not Sign.YES]
        rest += [one for one in cube.literals if one.sign is Sign.YES]
        rest = [one for one in rest if not _needs(one)]
        if len(names) == 1:
            shown = frozenset((str(one.leaf), one.sign) for one in rest)
            alike.setdefault(shown, ([], rest, cube.example))[0].extend(names)
        else:
            who = list_names(names, 'and') or 'anybody'
            groups.append(Group(_describe_group(who, rest), cube.example))
    groups += [
        Group(_describe_group(list_names(sorted(names)), rest), example)
        for names, rest, example in alike.values()
    ]
    return sorted(groups, key=lambda group: (len(group.who), group.who))


def _needs(literal: Literal) -> bool:
    return isinstance(literal.leaf, HasRole) and literal.sign is Sign.YES


def _list_role_names(literals: Iterable[Literal], sign: Sign) -> list[str]:
    return [
        one.leaf.name
        for one in literals
        if isinstance(one.leaf, HasRole) and one.sign is sign
    ]


def _describe_group(who: str, literals: Sequence[Literal]) -> str:
    lacked = sorted(_list_role_names(literals, Sign.NO))
    close, others = [], dict[str, list[Sign]]()
    for literal in literals:
        words = _find_words(literal)
        if words is not None:
            close.append(words)
        elif not isinstance(literal.leaf, HasRole):
            others.setdefault(str(literal.leaf), []).append(literal.sign)
    first = ' '.join([who, *sorted(close)])
    comma = '' if first == 'anybody' else ','
    parts = [f'{first}{comma} without {list_names(lacked)}' if lacked else first]
    if others:
        stated = [
            f'{text} is {signs[0].value if len(signs) == 1 else "unknown"}'
            for text, signs in sorted(others.items())
        ]
        parts.append(f'where {" and ".join(stated)}')
    return ', '.join(parts)


def _find_words(literal: Literal) -> str | None:
    """Words for a scope, and for a whole credential and a whole target key."""
    leaf = literal.leaf
    if isinstance(leaf, TokenScope):
        return f'{"with" if literal.sign is Sign.YES else "without"} {leaf}'
    if not isinstance(leaf, CredentialIs) or not leaf.key or not leaf.right.key:
        return None
    words = RELATIONS.get((leaf.key, leaf.right.key))
    if words is None or literal.sign is Sign.NOT_NO:
        return None
    return words[literal.sign is not Sign.YES]


def list_names(names: Sequence[str], last: str = 'or') -> str:
    """``a, b or c``; of many the first ones, and how many more."""
    shown = [*names[:_MAX_NAMES]]
    if len(names) > _MAX_NAMES:
        shown.append(f'{len(names) - _MAX_NAMES} others')
    if len(shown) < 2:
        return ''.join(shown)
    return f'{", ".join(shown[:-1])} {last} {shown[-1]}'
