# SPDX-License-Identifier: Apache-2.0
"""All callers and targets that some rules can tell apart.

A scenario is one caller, one target, and the answers of the remote checks. Values
are invented; what counts is which of them are equal. Where the terms are exact
there are no others: any real caller and target make the leaves as true as one of
the scenarios does.
"""

import itertools
import types
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from consumer_guard.analysis.terms import CREDENTIALS, MAY_BE_NONE, PLURAL, Terms
from consumer_guard.guard.model import Caller, Operation, Ownership, Truth
from consumer_guard.rules import nodes
from consumer_guard.rules.leaves import Constant, CredentialIs, HasRole

#: (credential, target key, truth) that is not described by the check's text.
_RELATIONS = types.MappingProxyType(
    {
        ('project_id', 'project_id', Truth.YES): "of the owner's project",
        ('project_id', 'project_id', Truth.NO): 'of another project than the owner',
        ('user_id', 'user_id', Truth.YES): 'who is the owning user',
        ('user_id', 'user_id', Truth.NO): 'who is not the owning user',
    }
)

#: Missing roles that are named; more are counted only.
_MAX_ROLES = 6


class Shape(NamedTuple):
    """Which keys the targets of one pass have.

    :ivar required: always there
    :ivar optional: there or not
    :ivar final: whether remote checks are called
    :ivar may_be_none: whether a text may be ``None``, which oslo.policy finds equal to
        what a caller does not have
    """

    required: frozenset[str]
    optional: frozenset[str]
    final: bool
    may_be_none: bool = True


_OWNER_UNKNOWN = Shape(frozenset(), frozenset(), final=False)


def list_shapes(operation: Operation) -> tuple[Shape, ...]:
    """The targets that the guard judges an operation's rule on.

    First with the owner unknown; then, where ownership can allow anything, on
    an owner (:mod:`consumer_guard.guard.ownership`).
    """
    required, optional = {'consumer_uuid', 'project_id'}, {'user_id', 'consumer_type'}
    if operation.ownership is Ownership.NEVER:
        return (_OWNER_UNKNOWN,)
    if operation.ownership is Ownership.SUMS:
        required = {'project_id'}
    elif operation.ownership is Ownership.SEALED_WRITE:
        # A body may claim no project.
        required, optional = {'consumer_uuid'}, {'project_id', *optional}
    owner = Shape(frozenset(required), frozenset(optional), final=True)
    return (_OWNER_UNKNOWN, owner)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One caller and one target.

    :ivar answers: of the remote checks, by their text
    """

    caller: Caller
    target: Mapping[str, str]
    final: bool
    answers: Mapping[str, Truth]

    def judge(self, node: nodes.Node) -> Truth:
        """The truth of a rule."""
        call = self._answer if self.final else None
        return node.evaluate(
            nodes.Facts(self.caller.credentials, self.caller.roles, self.target, call)
        )

    def _answer(
        self, check: object, _target: Mapping[str, str], _creds: Mapping[str, Any]
    ) -> bool:
        truth = self.answers.get(str(check), Truth.UNKNOWN)
        if truth is Truth.UNKNOWN:
            raise LookupError(str(check))
        return truth is Truth.YES


def list_scenarios(
    terms: Terms, shapes: Iterable[Shape], first: Collection[str] = ()
) -> Iterator[Scenario]:
    """All scenarios, lazily; those with a short description first.

    :param first: roles that are varied before the others
    """
    shapes = tuple(shapes)
    names = sorted(terms.roles, key=lambda name: (name not in first, name))
    for held in list_subsets(names):
        for shape in shapes:
            remote = terms.remote if shape.final else ()
            for target in _list_targets(terms, shape):
                for credentials in _list_credentials(terms, target, held):
                    roles = frozenset([role.lower() for role in credentials['roles']])
                    caller = Caller(credentials, roles, 'project', 'req-0')
                    for truths in itertools.product(Truth, repeat=len(remote)):
                        answers = dict(zip(remote, truths, strict=True))
                        yield Scenario(caller, target, shape.final, answers)


def list_subsets(names: Sequence[str]) -> Iterator[list[str]]:
    """All subsets, lazily: nearly none and nearly all of the names first."""
    for size in range(len(names) // 2 + 1):
        for some in itertools.combinations(names, size):
            yield list(some)
        if 2 * size < len(names):
            for some in itertools.combinations(names, size):
                yield [name for name in names if name not in some]


def _list_targets(terms: Terms, shape: Shape) -> Iterator[dict[str, str]]:
    keys = sorted(shape.required | (shape.optional & frozenset(terms.keys)))
    owner = {
        key: _make_distinct(
            f'owner-{key}', terms.groups[key].texts if key in terms.groups else ()
        )
        for key in keys
    }
    candidates = []
    for index, key in enumerate(keys):
        values: list[str | None] = [owner[key]]
        if key not in shape.required:
            values.append(None)
        if key in terms.groups:
            group = terms.groups[key]
            excluded = set() if shape.may_be_none else {'None'}
            values += sorted(filter(None, group.texts - excluded))
            # Equal to another key's: named by the first of them.
            values += [
                owner[other] for other in keys[:index] if f't:{other}' in group.terms
            ]
        candidates.append(values)
    for chosen in itertools.product(*candidates):
        yield {key: value for key, value in zip(keys, chosen, strict=True) if value}


def _list_credentials(
    terms: Terms, target: Mapping[str, str], held: Sequence[str]
) -> Iterator[dict[str, Any]]:
    base: dict[str, Any] = dict.fromkeys(CREDENTIALS - {'system'})
    base |= {'user_id': 'caller', 'project_id': 'caller-project'}
    base |= {'is_admin_project': True, 'service_roles': []}
    names = sorted({*terms.templates} - PLURAL)
    choices = [_list_values(terms, name, target) for name in names]
    more = _list_texts(terms, 'roles', target) - {*terms.roles}
    services = sorted(_list_texts(terms, 'service_roles', target))
    for roles in list_subsets(sorted(more)):
        for service_roles in list_subsets(services):
            lists = {'roles': [*held, *roles], 'service_roles': service_roles}
            for chosen in itertools.product(*choices):
                yield base | lists | dict(zip(names, chosen, strict=True))


def _list_texts(terms: Terms, name: str, target: Mapping[str, str]) -> set[str]:
    """The texts that a list is compared with, names in ``role:name`` aside."""
    templates = terms.templates.get(name, ())
    if name == 'roles':
        templates += terms.role_templates
    return {text for right in templates if (text := right.fill(target))}


def _list_values(terms: Terms, name: str, target: Mapping[str, str]) -> list[Any]:
    """The values of one credential that can be distinguished."""
    if name == 'is_admin_project':
        return [True, False]
    filled = [right.fill(target) for right in terms.templates[name]]
    texts = sorted({text for text in filled if text})
    values: list[Any] = [_make_distinct(f'caller-{name}', texts), *texts]
    if 'None' in texts and name in MAY_BE_NONE:
        values.append(None)
    if '' in filled:
        values.append('')
    return values


def _make_distinct(text: str, others: Iterable[str]) -> str:
    """A text like this one that is none of the others."""
    taken = frozenset(others)
    while text in taken:
        text += '-x'
    return text


def describe_scenario(scenario: Scenario, leaves: Mapping[str, nodes.Node]) -> str:
    """Describe for operators, in one clause, why the leaves are as true as they are.

    :param leaves: of the rules that differ, see
        :func:`consumer_guard.analysis.terms.list_leaves`
    """
    held, missing, relations, others = (
        list[str](),
        list[str](),
        list[str](),
        list[str](),
    )
    for text, leaf in leaves.items():
        truth = scenario.judge(leaf)
        if isinstance(leaf, HasRole):
            (held if truth is Truth.YES else missing).append(text)
        elif isinstance(leaf, Constant) or (not scenario.final and leaf.reads):
            continue  # the same everywhere, or the owner is unknown
        elif relation := _find_relation(leaf, truth):
            relations.append(relation)
        else:
            word = {Truth.YES: 'true', Truth.NO: 'false'}.get(truth, 'unknown')
            others.append(f'{text} is {word}')
    who = 'a caller with ' + ' and '.join(held) if held else 'a caller'
    if missing:
        more = len(missing) - _MAX_ROLES
        named = missing[:_MAX_ROLES] + ([f'{more} others'] if more > 0 else [])
        who += f'{"," if held else ""} without {" or ".join(named)}'
    if not scenario.final:
        relations.append('whoever owns it')
    where = [f'where {" and ".join(others)}'] if others else []
    return ', '.join([who, *relations, *where])


def _find_relation(leaf: nodes.Node, truth: Truth) -> str | None:
    if not isinstance(leaf, CredentialIs) or not leaf.key or not leaf.right.key:
        return None
    return _RELATIONS.get((leaf.key, leaf.right.key, truth))
