# SPDX-License-Identifier: Apache-2.0
"""All callers and targets that some rules can tell apart.

A world is one caller, one target, and the answers of the checks that are asked
elsewhere. Values are invented; what counts is which of them are equal. Where
the vocabulary is plain the worlds are all there are: any real caller and
target make the leaves as true as one of the worlds does.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from consumer_guard.analysis.terms import (
    CREDENTIALS,
    OTHER_SCOPES,
    PLURAL,
    Vocabulary,
    list_subsets,
)
from consumer_guard.guard.model import Caller, Operation, Ownership, Truth
from consumer_guard.rules import nodes


@dataclass(frozen=True, slots=True)
class Shape:
    """Which keys the targets of one pass have.

    :ivar required: always there
    :ivar optional: there or not
    :ivar final: whether checks that ask elsewhere are asked
    """

    required: frozenset[str]
    optional: frozenset[str]
    final: bool


_FIRST_PASS = Shape(frozenset(), frozenset(), final=False)
_RECORDED = frozenset({'consumer_uuid', 'project_id'})
_ASKED = frozenset({'project_id'})
_MAYBE = frozenset({'user_id', 'consumer_type'})


def list_shapes(operation: Operation) -> tuple[Shape, ...]:
    """The targets that the guard judges an operation's rule on.

    First with the owner unknown; then, where ownership can allow anything, on
    an owner (:mod:`consumer_guard.guard.ownership`).
    """
    if operation.ownership is Ownership.NEVER:
        return (_FIRST_PASS,)
    if operation.ownership is Ownership.SUMS:
        return (_FIRST_PASS, Shape(_ASKED, _MAYBE, final=True))
    if operation.ownership is Ownership.SEALED_WRITE:
        # A body may claim no project.
        claimed = Shape(frozenset({'consumer_uuid'}), _ASKED | _MAYBE, final=True)
        return (_FIRST_PASS, claimed)
    return (_FIRST_PASS, Shape(_RECORDED, _MAYBE, final=True))


@dataclass(frozen=True, slots=True)
class Scenario:
    """One caller and one target.

    :ivar answers: of the checks that are asked elsewhere, by their text
    """

    caller: Caller
    target: Mapping[str, str]
    final: bool
    answers: Mapping[str, Truth]

    def judge(self, node: nodes.Node) -> Truth:
        """What a rule says here."""
        return node.evaluate(
            nodes.Facts(
                self.caller.credentials,
                self.caller.roles,
                self.target,
                self._answer if self.final else None,
            )
        )

    def _answer(
        self, check: object, _target: Mapping[str, str], _creds: Mapping[str, Any]
    ) -> bool:
        truth = self.answers.get(str(check), Truth.UNKNOWN)
        if truth is Truth.UNKNOWN:
            raise LookupError(str(check))
        return truth is Truth.YES


def list_scenarios(words: Vocabulary, shapes: Iterable[Shape]) -> Iterator[Scenario]:
    """All worlds, those that are said in few words first in each shape."""
    for shape in shapes:
        asked = words.foreign if shape.final else ()
        for target in _list_targets(words, shape):
            for credentials in _list_credentials(words, target):
                caller = _make_caller(credentials)
                for truths in itertools.product(Truth, repeat=len(asked)):
                    answers = dict(zip(asked, truths, strict=True))
                    yield Scenario(caller, target, shape.final, answers)


def _list_targets(words: Vocabulary, shape: Shape) -> Iterator[dict[str, str]]:
    keys = sorted(shape.required | (shape.optional & frozenset(words.keys)))
    candidates = []
    for index, key in enumerate(keys):
        values: list[str | None] = [_invent(f'owner-{key}', words, key)]
        if key not in shape.required:
            values.append(None)
        group = words.groups.get(key)
        if group is not None:
            values += sorted(text for text in group.texts if text)
            # Equal to another key's: named by the first of them.
            values += [
                _invent(f'owner-{other}', words, other)
                for other in keys[:index]
                if f't:{other}' in group.terms
            ]
        candidates.append(values)
    for chosen in itertools.product(*candidates):
        yield {key: value for key, value in zip(keys, chosen, strict=True) if value}


def _list_credentials(
    words: Vocabulary, target: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    base: dict[str, Any] = dict.fromkeys(CREDENTIALS - OTHER_SCOPES)
    base |= {'user_id': 'caller', 'project_id': 'caller-project'}
    base |= {'is_admin_project': True, 'service_roles': []}
    base |= dict.fromkeys(OTHER_SCOPES - {'system'})
    names = sorted({*words.rights, 'roles'})
    choices = [_list_values(words, name, target) for name in names]
    for chosen in itertools.product(*choices):
        yield base | dict(zip(names, chosen, strict=True))


def _list_values(words: Vocabulary, name: str, target: Mapping[str, str]) -> list[Any]:
    """The values of one credential that can be told apart."""
    if name == 'is_admin_project':
        return [True, False]
    rights = words.rights.get(name, ())
    filled = [right.fill(target) for right in rights]
    if name == 'roles':
        filled += [*words.roles, *(right.fill(target) for right in words.named)]
    texts = sorted({text for text in filled if text})
    if name in PLURAL:
        return [list(some) for some in list_subsets(texts)]
    values: list[Any] = [_avoid(f'caller-{name}', texts), *texts]
    if 'None' in texts:
        values.append(None)
    if '' in filled:
        values.append('')
    return values


def _invent(text: str, words: Vocabulary, key: str) -> str:
    group = words.groups.get(key)
    return _avoid(text, group.texts if group else ())


def _avoid(text: str, others: Iterable[str]) -> str:
    """A text like this one that is none of the others."""
    taken = frozenset(others)
    while text in taken:
        text += '-x'
    return text


def _make_caller(credentials: dict[str, Any]) -> Caller:
    roles = frozenset([role.lower() for role in credentials['roles']])
    return Caller(credentials, roles, 'project', 'req-0')
