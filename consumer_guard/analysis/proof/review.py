# SPDX-License-Identifier: Apache-2.0
"""The rules of a service under two policies, and rules that look like mistakes."""

import enum
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import z3

from consumer_guard.analysis.proof.comparison import Effect, Pass, compare_nodes
from consumer_guard.analysis.proof.domain import Domain, Example, Logic
from consumer_guard.analysis.proof.encoding import Encoder, joins_texts
from consumer_guard.analysis.proof.execution import execute
from consumer_guard.analysis.proof.scopes import TokenScope, make_scope_check
from consumer_guard.analysis.proof.services import CompiledRule, ServicePolicy
from consumer_guard.analysis.proof.structure import (
    Structures,
    have_same_structure,
    list_checks_of,
)
from consumer_guard.analysis.proof.texts import make_texts
from consumer_guard.analysis.proof.wording import describe_cubes, list_names
from consumer_guard.guard.model import Truth
from consumer_guard.rules.leaves import Constant, CredentialIs, HasRole
from consumer_guard.rules.nodes import AllOf, Node

#: Credentials that are lists; ``field`` is no credential but a check of neutron's
#: (``field:networks:shared=True``), which is true or not like an item of a list.
LISTS = frozenset({'roles', 'service_roles', 'field'})

#: Texts for which a service takes the caller for an administrator.
_ADMIN_FLAGS = ('1', 'True')
_ADMIN_ROLES = ('admin', 'service')

#: Credentials of every token of a project (oslo.context; ``tenant_id`` is neutron's
#: name of the project), and the paths to them in keystone.
_OF_A_MEMBER = frozenset(
    {'project_id', 'tenant_id', 'user_id', 'project_domain_id', 'user_domain_id'}
)
_OF_A_TOKEN = ('token.project.', 'token.user.')

#: A text that no token and no policy has.
_SOMEBODY = 'somebody-else'


class Verdict(str, enum.Enum):
    """What is known of a rule, in the order in which it is shown."""

    ALLOWED = 'newly allowed'
    REFUSED = 'newly refused'
    UNDECIDED = 'undecided'
    ADDED = 'only in NEW'
    REMOVED = 'only in OLD'
    NONE_IS_NONE = 'None equals None'
    EVERYBODY = 'allows everybody'
    NOBODY = 'allows nobody'


class RuleVerdict(NamedTuple):
    """One line about one rule.

    :ivar who: the callers that are meant, '' for none in particular
    :ivar old: the rule's text under the old policy; '' where there is none
    """

    verdict: Verdict
    rule: str
    who: str
    old: str
    new: str


def compare_policies(old: ServicePolicy, new: ServicePolicy) -> list[RuleVerdict]:
    """All who gain and all who lose, rule by rule; by name, gains first."""
    before, after = old.compile(new.names), new.compile(old.names)
    verdicts = []
    for name in sorted({*before, *after}):
        if name not in before:
            verdicts.append(RuleVerdict(Verdict.ADDED, name, '', '', after[name].text))
        elif name not in after:
            verdicts.append(
                RuleVerdict(Verdict.REMOVED, name, '', before[name].text, '')
            )
        else:
            verdicts += _compare_rule(name, before[name], after[name])
    order = list(Verdict)
    return sorted(verdicts, key=lambda one: order.index(one.verdict))


def _compare_rule(
    name: str, old: CompiledRule, new: CompiledRule
) -> Iterator[RuleVerdict]:
    if old.node is None or new.node is None:
        if old != new:
            yield RuleVerdict(Verdict.UNDECIDED, name, '', old.text, new.text)
        return
    same_scopes = old.scopes == new.scopes
    if same_scopes and have_same_structure(old.node, new.node):
        return
    first, second, given = old.node, new.node, make_scope_check(old.scopes)
    if not same_scopes:
        first, second, given = limit_scopes(old), limit_scopes(new), None
    checks = list_checks_of(first, second)
    domain = Domain(Logic.OSLO, lists=LISTS)
    (covers,) = compare_nodes(first, second, checks, [Pass(domain, execute)], given)
    for effect, verdict in (
        (Effect.GAIN, Verdict.ALLOWED),
        (Effect.LOSS, Verdict.REFUSED),
    ):
        for who, _ in describe_cubes(covers[effect].cubes):
            yield RuleVerdict(verdict, name, who, old.text, new.text)
    # Where oslo.policy raises, all is refused, whatever else the rule allows.
    may_raise = any(
        isinstance(one, Constant) and one.truth is Truth.UNKNOWN for one in checks
    )
    decided = all(covers[effect].decided for effect in (Effect.GAIN, Effect.LOSS))
    if may_raise or not decided:
        yield RuleVerdict(Verdict.UNDECIDED, name, '', old.text, new.text)


def limit_scopes(rule: CompiledRule) -> Node:
    """The rule with its scopes as a check."""
    scope = make_scope_check(rule.scopes)
    if rule.node is None:
        raise TypeError(rule.text)
    return rule.node if scope is None else AllOf((scope, rule.node))


def find_suspicious(
    old: ServicePolicy, new: ServicePolicy
) -> list[tuple[RuleVerdict, bool]]:
    """The suspicious rules of either policy, and whether NEW still has them."""
    known = _Suspicions()
    before, after = (_list_suspicions(rules, known) for rules in (old, new))
    found = []
    for key in before | after:
        verdict, name = key
        who = (after.get(key) or before[key])[0]
        texts = [side[key][1] if key in side else '' for side in (before, after)]
        found.append((RuleVerdict(verdict, name, who, *texts), key in after))
    order = list(Verdict)
    return sorted(found, key=lambda one: (order.index(one[0].verdict), one[0].rule))


class _Suspicions:
    """What is suspicious in a rule; services have few rules that differ."""

    def __init__(self) -> None:
        self._structures = Structures()
        self._known: dict[tuple[int, str], list[tuple[Verdict, str]]] = {}

    def find(self, rule: CompiledRule, node: Node) -> list[tuple[Verdict, str]]:
        given = make_scope_check(rule.scopes)
        key = self._structures.number(node), str(given)
        if key not in self._known:
            self._known[key] = [*_suspect(node, given)]
        return self._known[key]


def _list_suspicions(
    rules: ServicePolicy, known: _Suspicions
) -> dict[tuple[Verdict, str], tuple[str, str]]:
    """Who, and the rule's text, by verdict and rule."""
    return {
        (verdict, name): (who, rule.text)
        for name, rule in rules.compile().items()
        if rule.node is not None
        for verdict, who in known.find(rule, rule.node)
    }


def _suspect(node: Node, given: Node | None) -> Iterator[tuple[Verdict, str]]:
    checks = list_checks_of(node)
    encoder = Encoder(Domain(Logic.OSLO, lists=LISTS), checks)
    yes, _ = encoder.encode(node)
    if given is not None:
        encoder.require(encoder.encode(given)[0])
    solver = z3.SimpleSolver()
    solver.add(*encoder.list_axioms())
    if solver.check(yes) == z3.unsat:
        yield Verdict.NOBODY, ''
    elif solver.check(z3.Not(yes)) == z3.unsat:
        yield Verdict.EVERYBODY, ''
    elif (who := _find_blind(node, checks, given)) is not None:
        yield Verdict.NONE_IS_NONE, who


def _find_blind(node: Node, checks: Sequence[Node], given: Node | None) -> str | None:
    """Who passes with a plain project token, only because None equals None."""
    texts = make_texts(joined=any(map(joins_texts, checks)))
    usual = Encoder(Domain(Logic.OSLO, lists=LISTS), checks, texts)
    strict = Encoder(Domain(Logic.OSLO_WITHOUT_NONE, lists=LISTS), checks, texts)
    yes, _ = usual.encode(node)
    really, _ = strict.encode(node)
    if given is not None:
        usual.require(usual.encode(given)[0])
    _require_project_token(usual)
    solver = z3.SimpleSolver()
    solver.set('timeout', 5000)
    solver.add(*usual.list_axioms(), *strict.list_axioms(), yes, z3.Not(really))
    if solver.check() != z3.sat:
        return None
    example = usual.read_example(solver.model())
    if not _passes_by_none(node, example):
        return None
    for role in [*example.credentials['roles']]:
        roles = [one for one in example.credentials['roles'] if one != role]
        fewer = Example(
            {**example.credentials, 'roles': roles}, example.target, example.answers
        )
        example = fewer if _passes_by_none(node, fewer) else example
    blind = [
        str(leaf)
        for leaf in checks
        if isinstance(leaf, CredentialIs) and _passes_by_none(leaf, example)
    ]
    who = list_names(sorted(example.credentials['roles']), 'and') or 'anybody'
    return f'{who}, by {" and ".join(blind)}'


def _require_project_token(encoder: Encoder) -> None:
    """A member's token of a project, and a target with all its keys."""
    literal = encoder.texts.literal
    encoder.require(encoder.encode(TokenScope('', frozenset(), 'project'))[0])
    for name in ('domain_id', 'system_scope'):
        exists, none, _ = encoder.get_credential(name)
        encoder.require(z3.And(exists, none))
    for name, (exists, none, text) in encoder.credentials.items():
        encoder.require(text != literal('None'))
        if name in _OF_A_MEMBER or name.startswith(_OF_A_TOKEN):
            encoder.require(z3.And(exists, z3.Not(none), text != literal('')))
        if name == 'is_admin':
            admin = [text == literal(flag) for flag in _ADMIN_FLAGS]
            encoder.require(z3.Not(z3.And(exists, z3.Or(admin))))
    for exists, _ in encoder.keys.values():
        encoder.require(exists)
    for role in _ADMIN_ROLES:
        held, _ = encoder.encode(HasRole('', frozenset(), role))
        encoder.require(z3.Not(held))


def _passes_by_none(node: Node, example: Example) -> bool:
    """Whether oslo.policy allows None, and refuses somebody's id in its place."""
    none: dict[str, Any] = {
        key: None if value == 'None' else value for key, value in example.target.items()
    }
    real = {key: _SOMEBODY if value is None else value for key, value in none.items()}
    passes = execute(node, example, none) is Truth.YES
    return passes and execute(node, example, real) is not Truth.YES
