# SPDX-License-Identifier: Apache-2.0
"""Random cases of the specification, and smaller ones of a failing one.

Most cases are requests of an owner, changed in a few places, so that every reason
arises often.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from tests.fuzz import names
from tests.specification import (
    NO,
    OPERATIONS,
    UNKNOWN,
    YES,
    Caller,
    Consumer,
    Facts,
    Rule,
)

_T = TypeVar('_T')

PROVIDER = names.PROVIDER
CONSUMERS = (names.OWN, names.OWN_TOO, names.FOREIGN, names.UNOWNED)

#: Rules that are in use, and the default ones.
RULES: tuple[Rule, ...] = (
    ('or', ('role', 'admin'), ('and', ('role', 'reader'), ('same', 'project_id'))),
    ('or', ('role', 'admin'), ('and', ('role', 'member'), ('same', 'project_id'))),
    ('or', ('role', 'admin'), ('role', 'service')),
    ('and', ('same', 'project_id'), ('same', 'user_id')),
    ('and', ('same', 'project_id'), ('not', ('is', 'consumer_type', 'MIGRATION'))),
    ('and', ('same', 'project_id'), ('remote', YES)),
)
_LEAVES: tuple[Rule, ...] = (
    ('role', 'admin'),
    ('role', 'reader'),
    ('role', 'member'),
    ('same', 'project_id'),
    ('same', 'project_id'),
    ('same', 'user_id'),
    ('is', 'project_id', 'mine'),
    ('is', 'user_id', 'other'),
    ('is', 'consumer_type', 'INSTANCE'),
    ('is', 'consumer_uuid', names.OWN),
    ('remote', NO),
    ('remote', UNKNOWN),
    ('remote', YES),
)

#: Weighted by how many facts matter to each.
_OPERATIONS = (
    *['allocations:update', 'allocations:manage'] * 4,
    *['allocations:list', 'usages', 'resource_providers:allocations:list'] * 2,
    *['allocations:delete', 'reshaper:reshape'],
)
_ROLES = ((), ('reader',), ('member',), ('admin',), ('service',), ('reader', 'admin'))
_TYPES = (None, 'INSTANCE', 'MIGRATION')
_EXISTING = ((), ('INSTANCE',), ('INSTANCE',), ('INSTANCE', 'MIGRATION'))
_VERSIONS = (None, None, (1, 0), (1, 8), (1, 12), (1, 27), (1, 28), (1, 34), (1, 39))
_ODD_IDS = tuple(odd for uuid in CONSUMERS for odd in names.spellings(uuid)[1:])

PLAIN_CALLER = Caller(('member', 'reader'), 'mine', 'me')
_MINE = Consumer('mine', 'me')


class Case(NamedTuple):
    """One request, its caller, and what is recorded.

    :ivar variant: chooses where the specification makes no difference, such as among
        unreadable bodies
    """

    caller: Caller
    rule: Rule
    operation: str
    facts: Facts
    variant: int = 0

    def change(self, **facts: Any) -> 'Case':
        """The same case with other facts."""
        return self._replace(facts=self.facts._replace(**facts))

    def __str__(self) -> str:
        """Only what differs from a plain request, a line each."""
        lines = [f'{self.operation} by {self.caller}', f'rule {self.rule}']
        plain = Facts()
        lines += [
            f'{name} = {value!r}'
            for name, value in self.facts._asdict().items()
            if value != getattr(plain, name)
        ]
        return '\n'.join([*lines, f'variant {self.variant}'])


class Cases:
    """Makes cases from a seed, always the same ones.

    :param rules: how many random rules there are beside :data:`RULES`
    """

    def __init__(self, seed: object, *, rules: int = 300) -> None:
        # Reproducible, not secret.
        self._random = random.Random(str(seed)).random  # noqa: S311
        self._rules = [*RULES * 10, *(self._make_rule(3) for _ in range(rules))]
        self._bends: tuple[Callable[[Case], Case], ...] = (
            *[self._bend_caller, self._bend_rule, self._bend_claims] * 6,
            *[self._bend_recorded, self._bend_query] * 6,
            *[self._bend_types] * 3,
            *[self._bend_path, self._bend_payload, self._bend_microversion] * 3,
            self._lock,
        )

    def make(self) -> Case:
        """The next case."""
        operation = self._pick(_OPERATIONS)
        case = Case(
            PLAIN_CALLER,
            self._pick(RULES[:2]),
            operation,
            self._start(operation),
            int(self._random() * 1000),
        )
        for _ in range(self._pick((0, 1, 1, 1, 1, 2, 2, 3, 5))):
            case = self._pick(self._bends)(case)
        return case

    def _pick(self, options: Sequence[_T]) -> _T:
        return options[int(self._random() * len(options))]

    def _make_rule(self, depth: int) -> Rule:
        kind = self._pick(('or', 'and', 'not', 'leaf')) if depth else 'leaf'
        if kind == 'leaf':
            return self._pick(_LEAVES)
        count = 1 if kind == 'not' else self._pick((2, 2, 3))
        return (kind, *(self._make_rule(depth - 1) for _ in range(count)))

    def _start(self, operation: str) -> Facts:
        """A request that ownership can allow, if the operation can be allowed."""
        kind = OPERATIONS[operation]
        if kind == 'sums':
            return Facts(query={'project_id': 'mine'})
        several = CONSUMERS[: self._pick((1, 1, 2, 3))]
        if kind == 'filter':
            recorded = {id_: self._make_consumer() for id_ in several}
            return Facts(path_ids=(PROVIDER,), recorded=recorded)
        if operation in ('allocations:manage', 'reshaper:reshape'):
            mine = dict.fromkeys(several, _MINE)
            return Facts(claimed=mine, recorded=mine)
        mine = {self._pick(CONSUMERS): _MINE}
        claimed = mine if kind == 'write' else {}
        return Facts(path_ids=tuple(mine), claimed=claimed, recorded=mine)

    def _make_consumer(self) -> Consumer:
        """As it may be recorded."""
        return Consumer(
            self._pick(('mine', 'mine', 'mine', 'theirs', 'theirs', None, '')),
            self._pick(('me', 'me', 'me', 'other', 'other', None, '')),
            self._pick(_TYPES),
            self._pick((1, 1, 1, 2, 0, -1, None)),
            self._pick((True, False)),
        )

    def _make_claim(self) -> Consumer:
        """As a readable body may claim it."""
        return Consumer(
            self._pick(('mine', 'mine', 'theirs')),
            self._pick(('me', 'me', 'other')),
            self._pick(_TYPES),
            self._pick((1, 1, 1, 1.0, 2, 0, -1, None, 2**31)),
            self._pick((True, True, False)),
        )

    def _bend_caller(self, case: Case) -> Case:
        changed = Caller(
            self._pick(_ROLES),
            self._pick(('mine', 'mine', 'theirs', None)),
            self._pick(('me', 'me', 'other')),
            self._pick(('project', 'project', 'project', 'domain', 'system')),
        )
        name = self._pick(changed._fields)
        caller = case.caller._replace(**{name: getattr(changed, name)})
        return case._replace(caller=caller)

    def _bend_rule(self, case: Case) -> Case:
        return case._replace(rule=self._pick(self._rules))

    def _bend_microversion(self, case: Case) -> Case:
        return case.change(microversion=self._pick(_VERSIONS))

    def _bend_path(self, case: Case) -> Case:
        """A newline at the end, or another spelling, recorded as such or not."""
        facts = case.facts
        if not facts.path_ids or self._random() < 0.3:
            return case.change(newline=True)
        odd = self._pick(_ODD_IDS)
        claimed = (
            dict.fromkeys((odd,), *facts.claimed.values()) if facts.claimed else {}
        )
        recorded = {**(facts.recorded or {}), odd: _MINE}
        return case.change(path_ids=(odd,), claimed=claimed, recorded=recorded)

    def _bend_payload(self, case: Case) -> Case:
        """What cannot be read, where something is read."""
        kind = OPERATIONS[case.operation]
        if kind == 'write':
            return case.change(payload=self._pick(('unreadable', 'too_large')))
        return case.change(payload='unreadable') if kind == 'sums' else case

    def _bend_query(self, case: Case) -> Case:
        if case.operation != 'usages':
            return case
        query = {
            'project_id': self._pick(('mine', 'mine', 'theirs', '', None)),
            'user_id': self._pick(('me', 'other', '', None, None)),
            'consumer_type': self._pick(('INSTANCE', 'MIGRATION', 'all', None)),
        }
        return case.change(
            query={key: value for key, value in query.items() if value is not None}
        )

    def _bend_claims(self, case: Case) -> Case:
        """Another claim for a consumer that is named, or for one more."""
        if not case.facts.claimed:
            return case
        claimed = dict(case.facts.claimed)
        if case.facts.path_ids:
            claimed = dict.fromkeys(claimed, self._make_claim())
            return case.change(claimed=claimed)
        ids = self._pick((CONSUMERS, CONSUMERS, CONSUMERS, _ODD_IDS))
        claimed[self._pick(ids)] = self._make_claim()
        if self._random() < 0.1:
            claimed.clear()
        return case.change(claimed=claimed)

    def _bend_types(self, case: Case) -> Case:
        return case.change(types=self._pick(_EXISTING))

    def _bend_recorded(self, case: Case) -> Case:
        """Another owner, none, or no look-up."""
        if case.facts.recorded is None or self._random() < 0.1:
            return case.change(recorded=None)
        recorded = dict(case.facts.recorded)
        id_ = self._pick(tuple(recorded) or CONSUMERS)
        recorded.pop(id_, None)
        if self._random() < 0.8:
            recorded[id_] = self._make_consumer()
        return case.change(recorded=recorded)

    def _lock(self, case: Case) -> Case:
        return case.change(locked=True)


def shrink(case: Case, fails: Callable[[Case], bool]) -> Case:
    """The smallest case that still fails, as far as single steps go."""
    for smaller in _simplify(case):
        if fails(smaller):
            return shrink(smaller, fails)
    return case


def _simplify(case: Case) -> Iterator[Case]:
    """Cases a step simpler than one, the boldest steps first."""
    plain = Facts()
    for name, value in case.facts._asdict().items():
        # A PUT has the one claim of its path.
        whole = name != 'path_ids' and not (name == 'claimed' and case.facts.path_ids)
        if value != getattr(plain, name) and whole:
            yield case.change(**{name: getattr(plain, name)})
    for name in ('claimed', 'recorded'):
        consumers: Mapping[str, Consumer] = getattr(case.facts, name) or {}
        for id_, consumer in consumers.items():
            if len(consumers) > 1:
                rest = {key: one for key, one in consumers.items() if key != id_}
                yield case.change(**{name: rest})
            for field, value in _MINE._asdict().items():
                if getattr(consumer, field) != value:
                    simpler = consumer._replace(**{field: value})
                    yield case.change(**{name: {**consumers, id_: simpler}})
    for field, value in PLAIN_CALLER._asdict().items():
        if getattr(case.caller, field) != value:
            yield case._replace(caller=case.caller._replace(**{field: value}))
    for rule in [RULES[0], *_list_parts(case.rule)]:
        if len(str(rule)) < len(str(case.rule)):
            yield case._replace(rule=rule)
    if case.variant:
        yield case._replace(variant=0)


def _list_parts(rule: Rule) -> Iterator[Rule]:
    """All the rules within a rule, the smallest last."""
    parts = [part for part in rule[1:] if isinstance(part, tuple)]
    yield from parts
    for part in parts:
        yield from _list_parts(part)
