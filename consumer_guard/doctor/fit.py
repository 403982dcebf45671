# SPDX-License-Identifier: Apache-2.0
"""Whether placement's rules and the guard's fit together.

The two likeliest mistakes: placement is opened to readers, so that only the guard
stands between them and every project's consumers; and placement is not opened to the
passage role, so that owners whom the guard allows get placement's 403.
"""

from collections.abc import Iterator
from typing import NamedTuple

from oslo_config import cfg

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
from consumer_guard.analysis.lint.rulesets import RuleSet, find_registered
from consumer_guard.config import loading
from consumer_guard.guard import model
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules.files import PolicyLocations, PolicyText

_RULES, _FIT = 'placement rules', 'policy fit'


class PolicyConfiguration(NamedTuple):
    """Both services' configuration, each with its ``[oslo_policy]``.

    :ivar passage_role: the option, as it is written
    """

    guard: cfg.ConfigOpts
    placement: cfg.ConfigOpts
    passage_role: str

    def read(self) -> Policies:
        """The files of both services.

        :raises PolicyFileError: one cannot be read
        """
        return Policies(
            ours=read_policy_files(self.guard),
            placements=read_policy_files(self.placement),
            registered=find_registered(),
            passage_role=self.passage_role,
            new_alone=self.placement.oslo_policy.enforce_new_defaults,
        )


def read_policy_files(conf: cfg.ConfigOpts) -> list[PolicyText]:
    """The policy files of ``[oslo_policy]``, as oslo.policy finds them.

    :raises PolicyFileError: one cannot be read, or the configured one is
        missing
    """
    name = conf.oslo_policy.policy_file
    locations = PolicyLocations(conf.find_file, name, conf.oslo_policy.policy_dirs)
    try:
        seen = locations.take_snapshot()
        if seen.main is None and loading.is_set(conf, 'policy_file', 'oslo_policy'):
            raise PolicyFileError(
                f'{name}: there is no such file (option policy_file of [oslo_policy])'
            )
        return seen.read()
    except OSError as error:
        raise PolicyFileError(
            f'{error.filename or name}: cannot be read: {error.strerror}'
        ) from None


def check_fit(configuration: PolicyConfiguration) -> list[Finding]:
    """Who passes placement without the guard, and whom only one of them allows."""
    where = "placement's policy files"
    try:
        policies = configuration.read()
        guards, placements = make_rule_sets(policies)
    except PolicyFileError as error:
        text = ' '.join(str(error).split())
        skipped = note('skipped: a policy file cannot be used')
        return [
            warn(text, 'fix the file named here').at(where, _RULES),
            skipped.at(where, _FIT),
        ]
    if policies.registered is None:
        skipped = note(
            "skipped: placement is not installed here, and its defaults aren't known",
            "run it in placement's environment",
        )
        return [skipped.at(where, name) for name in (_RULES, _FIT)]
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
