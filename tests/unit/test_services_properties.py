# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E402 - only where z3 is
"""``policy diff --namespace`` agrees with oslo.policy's own Enforcer.

Random services and policy files: deprecated names, unknown references, the rule
``default``, scopes, texts that cannot be parsed, odd keys of targets.
"""

import contextlib
import pathlib
import tempfile
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from oslo_config import cfg
from oslo_policy import opts, policy

from consumer_guard.analysis.proof.installed import ServiceRule
from consumer_guard.analysis.proof.services import ServicePolicy
from tests.profiles import budget, seeded

z3 = pytest.importorskip('z3')
from consumer_guard.analysis.proof.comparison import Effect, Pass, compare_nodes
from consumer_guard.analysis.proof.domain import Domain, Logic
from consumer_guard.analysis.proof.execution import execute, make_credentials
from consumer_guard.analysis.proof.review import (
    LISTS,
    Verdict,
    compare_policies,
    limit_scopes,
)
from consumer_guard.analysis.proof.structure import list_checks_of

NAMES = ('svc:get', 'svc:list', 'svc:a b/é"')
#: A name that a rule had, one that is only written, and one that nobody writes.
OLD, HELPER, NOWHERE = 'svc:old', 'helper', 'nowhere'

ATOMS = st.sampled_from(
    (
        *('@', '!', '', '   ', 'role:', 'role:Admin', 'role:reader', 'role:%(role)s'),
        *('project_id:%(project_id)s', 'project_id:%(target.project_id)s'),
        *('user_id:%(user id)s', 'user_id:x-%(user_id)s', 'user_id:%(é)s'),
        *('is_admin:True', 'True:%(shared)s', "'A':%(project_id)s", 'None:%(shared)s'),
        *('user_id:100%%', 'user_id:%(user_id)d', 'a-b:x', '1a:x', 'class:x'),
        *('system_scope:all', 'domain_id:%(project_id)s', 'token.user.id:A'),
        *('rule:helper', 'rule:nowhere', 'rule:svc:old', 'rule:svc:list', 'rule:'),
        *('not role:reader', 'no such words', 'role:reader or', '((role:reader))'),
    )
)
TEXTS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        inner.map('not ({})'.format),
        st.tuples(inner, inner).map(' and '.join),
        st.tuples(inner, inner).map(lambda both: f'({") or (".join(both)})'),
    ),
    max_leaves=5,
)
SCOPES = st.sampled_from((None, ['system'], ['project'], ['system', 'project']))
DEPRECATED = st.one_of(
    st.none(), st.tuples(st.sampled_from((OLD, *NAMES)), st.just('role:Admin'))
)
SERVICES = st.lists(
    st.tuples(st.sampled_from(NAMES), TEXTS, SCOPES, DEPRECATED),
    min_size=1,
    max_size=3,
    unique_by=lambda rule: rule[0],
)
FILES = st.dictionaries(
    st.sampled_from((*NAMES, OLD, HELPER, 'default')), TEXTS, max_size=4
)

IDS = st.sampled_from(('A', 'x-A', 'None', '', None))
CREDENTIALS = st.fixed_dictionaries(
    {'roles': st.lists(st.sampled_from(('admin', 'reader', 'A')), max_size=2)},
    optional={
        'project_id': IDS,
        'user_id': IDS,
        'is_admin': st.booleans(),
        'system_scope': st.sampled_from((None, 'all')),
        'domain_id': st.sampled_from((None, 'A')),
        'token': st.just({'user': {'id': 'A'}}),
    },
)
TARGETS = st.dictionaries(
    st.sampled_from(
        ('project_id', 'target.project_id', 'user id', 'user_id', 'é', 'role', 'shared')
    ),
    st.sampled_from(('A', 'x-A', 'None', 'True', '', 'reader')),
)
Rule = tuple[str, str, list[str] | None, tuple[str, str] | None]


def make_policy(rules: list[Rule], written: dict[str, str]) -> ServicePolicy:
    return ServicePolicy(
        tuple(
            ServiceRule(name, check, tuple(scopes) if scopes else None, old)
            for name, check, scopes, old in rules
        ),
        written,
    )


class Service:
    """A service as it asks oslo.policy, with one policy file."""

    def __init__(self, folder: str, rules: list[Rule], written: dict[str, str]) -> None:
        path = pathlib.Path(folder) / 'policy.yaml'
        path.write_text(yaml.safe_dump(written))
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[], default_config_dirs=[])
        opts.set_defaults(conf, policy_file=str(path))
        conf.set_override('policy_dirs', [], 'oslo_policy')
        conf.set_override('enforce_new_defaults', True, 'oslo_policy')
        self._enforcer = policy.Enforcer(conf)
        self._enforcer.suppress_deprecation_warnings = True
        self._enforcer.suppress_default_change_warnings = True
        for name, check, scopes, old in rules:
            deprecated = old and policy.DeprecatedRule(
                *old, deprecated_reason='it was', deprecated_since='1'
            )
            self._enforcer.register_default(
                policy.RuleDefault(
                    name, check, scope_types=scopes, deprecated_rule=deprecated or None
                )
            )

    def allows(self, name: str, credentials: Any, target: Any) -> bool:
        """False where oslo.policy raises, too."""
        try:
            return bool(self._enforcer.authorize(name, dict(target), dict(credentials)))
        except Exception:
            return False


@seeded('services')
@budget(20, 4_000)
@example(
    rules=[('svc:get', 'role:reader', None, (OLD, 'role:Admin'))],
    files=({OLD: 'rule:svc:get'}, {OLD: '@'}),
    asked=[({'roles': []}, {})],
)
@example(
    # oslo.policy raises, and never comes to the check that refuses.
    rules=[('svc:get', '@', None, None)],
    files=({'svc:get': 'not (1a:x and !)'}, {}),
    asked=[({'roles': []}, {})],
)
@example(
    # Both refer to themselves; one of them is not asked to.
    rules=[('svc:list', '@', None, None)],
    files=({'svc:list': 'rule:svc:list'}, {'svc:list': 'not (! and rule:svc:list)'}),
    asked=[({'roles': []}, {})],
)
@given(
    rules=SERVICES,
    files=st.tuples(FILES, FILES),
    asked=st.lists(st.tuples(CREDENTIALS, TARGETS), min_size=8, max_size=8),
)
def test_whoever_gains_or_loses_is_shown_and_nobody_else(
    rules: list[Rule],
    files: tuple[dict[str, str], dict[str, str]],
    asked: list[tuple[dict[str, Any], dict[str, str]]],
) -> None:
    old, new = (make_policy(rules, written) for written in files)
    verdicts = compare_policies(old, new)
    with contextlib.ExitStack() as folders:
        before, after = (
            Service(
                folders.enter_context(tempfile.TemporaryDirectory()), rules, written
            )
            for written in files
        )
        for name, *_ in rules:
            shown = {one.verdict for one in verdicts if one.rule == name}
            for credentials, target in asked:
                was = before.allows(name, credentials, target)
                now = after.allows(name, credentials, target)
                if now and not was:
                    assert shown & {Verdict.ALLOWED, Verdict.UNDECIDED}, (
                        name,
                        verdicts,
                    )
                if was and not now:
                    assert shown & {Verdict.REFUSED, Verdict.UNDECIDED}, (
                        name,
                        verdicts,
                    )
        check_examples(old, new, before, after)


def check_examples(
    old: ServicePolicy, new: ServicePolicy, before: Service, after: Service
) -> None:
    """Each caller who is an example of a change is judged so by oslo.policy."""
    compiled = old.compile(), new.compile()
    for name in old.names:
        first, second = (rules[name] for rules in compiled)
        if first.node is None or second.node is None:
            continue
        nodes = limit_scopes(first), limit_scopes(second)
        domain = Domain(Logic.OSLO, lists=LISTS)
        passes = [Pass(domain, execute)]
        (covers,) = compare_nodes(*nodes, list_checks_of(*nodes), passes)
        for effect in (Effect.GAIN, Effect.LOSS):
            for cube in covers[effect].cubes:
                given_ = make_credentials(cube.example), cube.example.target
                answers = before.allows(name, *given_), after.allows(name, *given_)
                gained = (False, True)
                assert answers == gained[:: 1 if effect is Effect.GAIN else -1], name
