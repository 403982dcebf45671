# SPDX-License-Identifier: Apache-2.0
"""The same answers as oslo.policy's Enforcer, on random rules.

The domain: acyclic rules; kinds
that are a Python name, dotted names or a literal; right sides without ``%`` or
with ``%(key)s`` alone; a flat target of text; ``roles`` and ``service_roles``
lists of text; dotted paths through dicts and lists, or absent. Credentials are
those of ``RequestContext.to_policy_values`` and ``system``, some None.

Where the domain's exceptions apply (a target key that is missing, None or '';
a credential None or '' that would be equal) an answer of ours must hold
whatever the unknown checks were: it is compared with oslo.policy's own tree
over every assignment of truth to them.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from oslo_policy import policy

from consumer_guard.guard import model
from consumer_guard.rules import defaults
from consumer_guard.rules.rulebook import PolicyText, Rulebook
from tests.profiles import budget
from tests.unit.parsed import parse_nothing

NO, UNKNOWN, YES = model.Truth
TOP = model.ALLOCATIONS_LIST.rule
KEYS = ('consumer_uuid', 'project_id', 'user_id', 'consumer_type')
VALUES = ('A', 'B', 'a', 'None', 'True', '5', 'Reader', 'x-A')

ROLE_NAMES = ('reader', 'Reader', 'ADMIN', 'member', 'service', 'straße')
RIGHTS = (
    *VALUES,
    *(f'%({key})s' for key in KEYS),
    *(f'x-%({key})s' for key in KEYS),
    *(f'%({left})s-%({right})s' for left in KEYS for right in KEYS),
)
KINDS = (
    *('project_id', 'user_id', 'domain_id', 'system_scope', 'is_admin_project'),
    *('roles', 'service_roles', 'service_user_id', 'absent', 'token.user.id'),
    *('token.tags', 'token.absent.x', 'token.many.id', 'project_domain_id'),
    *("'A'", '"B"', "'x-A'", 'None', 'True', '5', '-1', '1.0', '0x5', "'None'"),
)
CONSTANTS = st.sampled_from(
    ('@', '!', *map('role:{}'.format, ROLE_NAMES), *map('role:%({})s'.format, KEYS))
)
GENERICS = st.builds('{}:{}'.format, st.sampled_from(KINDS), st.sampled_from(RIGHTS))
HELPERS = ('h0', 'h1', 'h2')


def make_texts(*later: str) -> st.SearchStrategy[str]:
    """Rule texts, with and without parentheses, that may refer to later rules."""
    atoms = CONSTANTS | GENERICS
    if later:
        atoms |= st.sampled_from(later).map('rule:{}'.format)
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            inner.map('not ({})'.format),
            atoms.map('not {}'.format),
            st.tuples(inner, inner).map(' and '.join),
            st.tuples(inner, inner, inner).map(' or '.join),
            st.tuples(inner, inner).map(lambda parts: f'({") OR (".join(parts)})'),
        ),
        max_leaves=6,
    )


#: The top rule and three helpers, each referring to the later ones alone.
RULES = st.fixed_dictionaries(
    {name: make_texts(*HELPERS[index:]) for index, name in enumerate((TOP, *HELPERS))}
)


IDS = st.sampled_from(('A', 'B', 'a', 'None', 'x-A'))
MAYBE = st.one_of(st.none(), st.just(''), IDS)


def make_credentials(ids: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What ``to_policy_values`` gives, and nested values beside it."""
    roles = st.lists(st.sampled_from(ROLE_NAMES), max_size=3)
    names = ('user_id', 'project_id', 'project_domain_id', 'service_user_id')
    return st.fixed_dictionaries(
        {
            **dict.fromkeys(names, ids),
            'system_scope': st.sampled_from((None, None, None, 'all')),
            'domain_id': st.sampled_from((None, None, None, 'B')),
            'roles': roles,
            'service_roles': roles,
            'is_admin_project': st.booleans(),
            'token': st.fixed_dictionaries(
                {
                    'user': st.fixed_dictionaries({'id': ids}),
                    'tags': st.lists(ids, max_size=2),
                    'many': st.tuples(
                        st.fixed_dictionaries({'id': ids}), st.just({})
                    ).map(list),
                }
            ),
        }
    )


FULL = st.fixed_dictionaries({key: st.sampled_from(VALUES) for key in KEYS})
PARTIAL = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from((*VALUES, '', None)) for key in KEYS}
)


def make_caller(values: Mapping[str, Any]) -> model.Caller:
    """As the middleware makes one."""
    scope = 'project'
    if values['domain_id']:
        scope = 'domain'
    if values['system_scope']:
        scope = 'system'
    values = {**values, 'system': values['system_scope']}
    roles = frozenset(role.lower() for role in values['roles'])
    return model.Caller(values, roles, scope, 'req-1')


def make_enforcer(rules: Mapping[str, str]) -> policy.Enforcer:
    """oslo.policy's own, with the registered defaults and these rules."""
    enforcer = policy.Enforcer(parse_nothing(), use_conf=False)
    enforcer.register_defaults(defaults.list_rules())
    texts = {rule.name: rule.check_str for rule in defaults.list_rules()}
    enforcer.set_rules(policy.Rules.from_dict({**texts, **rules}))
    return enforcer


def make_book(rules: Mapping[str, str]) -> Rulebook:
    """The same rules as a policy file."""
    lines = (f'"{name}": {_quote(text)}' for name, text in rules.items())
    return Rulebook.build([PolicyText('policy.yaml', '\n'.join(lines))])


def _quote(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def find_atoms(check: Any, enforcer: policy.Enforcer) -> Iterator[Any]:
    """The leaves of oslo.policy's tree, references followed."""
    if isinstance(check, policy.RuleCheck):
        yield from find_atoms(enforcer.rules[check.match], enforcer)
    elif isinstance(check, policy.NotCheck):
        yield from find_atoms(check.rule, enforcer)
    elif isinstance(check, policy.AndCheck | policy.OrCheck):
        for rule in check.rules:
            yield from find_atoms(rule, enforcer)
    else:
        yield check


def assume(check: Any, enforcer: policy.Enforcer, truths: Mapping[str, bool]) -> bool:
    """The tree's truth when its leaves, by their text, have these."""
    if isinstance(check, policy.RuleCheck):
        return assume(enforcer.rules[check.match], enforcer, truths)
    if isinstance(check, policy.NotCheck):
        return not assume(check.rule, enforcer, truths)
    if isinstance(check, policy.AndCheck):
        return all(assume(rule, enforcer, truths) for rule in check.rules)
    if isinstance(check, policy.OrCheck):
        return any(assume(rule, enforcer, truths) for rule in check.rules)
    return truths[str(check)]


def is_unknown(atom: Any, values: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
    """Whether the domain's exceptions apply to a leaf."""
    match = getattr(atom, 'match', '')
    if any(f'%({key})s' in match and not target.get(key) for key in KEYS):
        return True
    right = match % target
    found: list[Any] = [values]
    for step in atom.kind.split('.') if hasattr(atom, 'kind') else ():
        found = [one[step] for one in found if step in one]
        found = [
            each for one in found for each in (one if isinstance(one, list) else [one])
        ]
    equal = [one for one in found if str(one) == right]
    return bool(equal) and all(one is None or one == '' for one in equal)


@budget(80, 10_000)
@given(
    rules=RULES,
    cases=st.lists(st.tuples(make_credentials(IDS), FULL), min_size=4, max_size=4),
)
def test_rules_without_unknowns_answer_as_authorize_does(
    rules: dict[str, str], cases: list[tuple[dict[str, Any], dict[str, str]]]
) -> None:
    """Where nothing is unknown: two-valued, and equal."""
    book, enforcer = make_book(rules), make_enforcer(rules)
    leaves = list(find_atoms(enforcer.rules[TOP], enforcer))
    for values, target in itertools.product(*zip(*cases, strict=True)):
        caller = make_caller(values)
        if any(is_unknown(leaf, caller.credentials, target) for leaf in leaves):
            continue  # ``domain_id:None``; see the next test
        ours = book.judge(TOP, caller, target, final=True)
        truly = enforcer.authorize(TOP, target, dict(caller.credentials))
        assert ours is (YES if truly else NO)


@budget(80, 10_000)
@given(
    rules=RULES,
    cases=st.lists(st.tuples(make_credentials(MAYBE), PARTIAL), min_size=4, max_size=4),
)
def test_an_answer_holds_for_every_value_of_the_unknown(
    rules: dict[str, str], cases: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    """YES and NO are sure; without unknown leaves there is no UNKNOWN."""
    book, enforcer = make_book(rules), make_enforcer(rules)
    tree = enforcer.rules[TOP]
    leaves = {str(leaf): leaf for leaf in find_atoms(tree, enforcer)}
    for values, target in cases:
        caller = make_caller({**values, 'system_scope': None, 'domain_id': None})
        ours = book.judge(TOP, caller, target, final=True)
        truths, unknown = {}, []
        for text, leaf in leaves.items():
            if is_unknown(leaf, caller.credentials, target):
                unknown.append(text)
            else:
                answer = enforcer.enforce(leaf, target, dict(caller.credentials))
                truths[text] = bool(answer)
        if not unknown:
            assert ours is (YES if assume(tree, enforcer, truths) else NO)
        if ours is UNKNOWN or len(unknown) > 8:
            continue
        for guesses in itertools.product((False, True), repeat=len(unknown)):
            assumed = {**truths, **dict(zip(unknown, guesses, strict=True))}
            assert assume(tree, enforcer, assumed) is (ours is YES)


@budget(80, 10_000)
@given(
    rules=RULES,
    cases=st.lists(st.tuples(make_credentials(MAYBE), FULL), min_size=4, max_size=4),
    names=st.sets(st.sampled_from(KEYS)),
)
def test_an_answer_without_the_owner_holds_for_every_owner(
    rules: dict[str, str],
    cases: list[tuple[dict[str, Any], dict[str, str]]],
    names: set[str],
) -> None:
    """An answer without the owner is the answer with any owner."""
    book = make_book(rules)
    for values, target in itertools.product(*zip(*cases, strict=True)):
        caller = make_caller(values)
        first = book.judge(TOP, caller, {}, final=False)
        known = {name: target[name] for name in names}
        second = book.judge(TOP, caller, known, final=False)
        third = book.judge(TOP, caller, target, final=True)
        assert first in (UNKNOWN, second)
        assert second in (UNKNOWN, third)


@budget(80, 5_000)
@given(rules=RULES, values=make_credentials(MAYBE), target=FULL, other=FULL)
def test_an_answer_depends_only_on_the_keys_that_the_rule_reads(
    rules: dict[str, str],
    values: dict[str, Any],
    target: dict[str, str],
    other: dict[str, str],
) -> None:
    """Decisions may be memoised by the keys that a rule reads."""
    book, caller = make_book(rules), make_caller(values)
    alone = {key: target[key] for key in book.reads(TOP)}
    expected = book.judge(TOP, caller, target, final=True)
    assert book.judge(TOP, caller, {**other, **alone}, final=True) is expected
    assert book.judge(TOP, caller, alone, final=True) is expected
