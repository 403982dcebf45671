# SPDX-License-Identifier: Apache-2.0
"""Whether placement's rules and the guard's fit together.

The two likeliest mistakes: placement is opened to readers, so that only the guard
stands between them and every project's consumers; and placement is not opened to the
passage role, so that owners whom the guard allows get placement's 403.
"""

from collections.abc import Iterator

from oslo_config import cfg

from consumer_guard.analysis.effective import assess_access
from consumer_guard.analysis.findings import Assessment, Finding, fail, note, ok, warn
from consumer_guard.analysis.lint.callers import format_roles
from consumer_guard.analysis.lint.linter import Policies, make_rule_sets
from consumer_guard.analysis.lint.permissions import (
    Mismatch,
    describe_mismatch,
    find_open_to,
    list_mismatches,
    name_placement_rule,
)
from consumer_guard.analysis.lint.rulesets import RuleSet
from consumer_guard.doctor.policies import read_policies
from consumer_guard.guard import model
from consumer_guard.guard.errors import PolicyFileError

_RULES, _FIT, _ACCESS = 'placement rules', 'policy fit', 'access'


def check_fit(conf: cfg.ConfigOpts, placement: cfg.ConfigOpts) -> list[Finding]:
    """Who passes placement without the guard, and whom only one of them allows.

    :param conf: the guard's configuration
    :param placement: placement's, with its ``[oslo_policy]``
    """
    where = "placement's policy files"
    try:
        policies = read_policies(conf, placement=placement)
        guards, placements = make_rule_sets(policies)
    except PolicyFileError as error:
        text = ' '.join(str(error).split())
        skipped = note('skipped: a policy file cannot be used')
        return [
            warn(text, 'fix the file named in the finding').at(where, _RULES),
            skipped.at(where, _FIT),
            skipped.at(where, _ACCESS),
        ]
    if policies.registered is None:
        skipped = note(
            'skipped: placement is not installed here, so its default rules are '
            'unknown',
            "run the command in placement's environment",
        )
        return [skipped.at(where, name) for name in (_RULES, _FIT, _ACCESS)]
    where = ', '.join(file.path for file in policies.placements) or 'defaults'
    passage_role = policies.passage_role.strip().lower()
    return [
        *(
            [*_check_openness(placements, passage_role)]
            or [ok('not open to readers or members').at(where, _RULES)]
        ),
        *(
            [
                each.at(where, _FIT)
                for each in _compare_access(guards, placements, passage_role)
            ]
            or [ok("the guard's rules and placement's fit together").at(where, _FIT)]
        ),
        *_show_access(policies),
    ]


def _check_openness(placements: RuleSet, passage_role: str) -> Iterator[Finding]:
    for operation in model.OPERATIONS:
        name = name_placement_rule(operation)
        node = placements.compile(name)
        open_to = find_open_to(node, operation) if node else []
        if open_to:
            path, line = placements.locate(name)
            yield fail(
                f'"{name}" is open to {format_roles(open_to)} of any project: without '
                "the guard, nothing protects other projects' consumers",
                f'open it to role:{passage_role or "<passage_role>"} instead',
            ).at(path, _RULES, line)


def _compare_access(
    guards: RuleSet, placements: RuleSet, passage_role: str
) -> Iterator[Assessment]:
    for found in list_mismatches(guards, placements, passage_role):
        text, fix = describe_mismatch(found, passage_role)
        if found.mismatch is Mismatch.PLACEMENT_REFUSES_OWNERS:
            text += ': owners get 403'
        yield warn(text, fix)


def _show_access(policies: Policies) -> Iterator[Finding]:
    """What clients get from both services, operation by operation."""
    try:
        access = assess_access(policies)
    except PolicyFileError:
        # A finding of its own.
        text = "skipped: the guard's policy files cannot be used"
        yield note(text).at(model.NAMESPACE, _ACCESS)
        return
    for operation, assessment in access:
        yield assessment.at(operation.rule, _ACCESS)
