# SPDX-License-Identifier: Apache-2.0
"""All lints over both services' files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oslo_policy import policy

from consumer_guard.analysis.findings import Finding, Severity, fail, note
from consumer_guard.analysis.lint.files import (
    lint_deprecated,
    lint_files,
    lint_foreign_names,
    lint_unused,
)
from consumer_guard.analysis.lint.permissions import (
    PREFIX,
    lint_guard,
    lint_mismatches,
    lint_placement,
)
from consumer_guard.analysis.lint.rulesets import RuleSet, list_defaults
from consumer_guard.analysis.lint.texts import RuleContext
from consumer_guard.analysis.source import read_source
from consumer_guard.guard import model
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules import defaults
from consumer_guard.rules.files import PolicyText
from consumer_guard.rules.rulebook import DEFAULTS, Rulebook


@dataclass(frozen=True, slots=True)
class Policies:
    """What is linted.

    :ivar ours: the guard's files, in the order in which they override
    :ivar placements: placement's
    :ivar registered: placement's defaults, None where it is not installed
    :ivar passage_role: the option, as it is written
    :ivar new_alone: placement's ``[oslo_policy] enforce_new_defaults``
    """

    ours: Sequence[PolicyText]
    placements: Sequence[PolicyText]
    registered: Sequence[policy.RuleDefault] | None
    passage_role: str
    new_alone: bool = True


def make_rule_sets(policies: Policies) -> tuple[RuleSet, RuleSet]:
    """The guard's rules, and placement's.

    :raises PolicyFileError: a file is not YAML, or not a mapping of names
    """
    guards = RuleSet(
        tuple(map(read_source, policies.ours)),
        {rule.name: rule.check_str for rule in defaults.list_rules()},
    )
    files = tuple(map(read_source, policies.placements))
    written = RuleSet(files, {}).written
    placements = list_defaults(
        policies.registered or (), written, new_alone=policies.new_alone
    )
    return guards, RuleSet(files, placements)


def lint(policies: Policies) -> list[Finding]:
    """All findings, the worst first.

    :raises PolicyFileError: a file is not YAML, or not a mapping of names
    """
    guards, placements = make_rule_sets(policies)
    registered, new_alone = policies.registered or (), policies.new_alone
    written = placements.written
    passage_role = policies.passage_role.strip().lower()
    findings = [
        *_lint_guard_files(guards, policies.ours, passage_role),
        *lint_foreign_names(guards, PREFIX, placements, 'placement'),
        *lint_files(
            placements,
            RuleContext({*placements.texts}, 'placement', PREFIX),
            names_known=policies.registered is not None,
        ),
        *lint_deprecated(registered, written, new_alone=new_alone),
        *lint_placement(placements, passage_role),
        *lint_foreign_names(placements, model.NAMESPACE, guards, 'the guard'),
        *lint_mismatches(guards, placements, passage_role),
    ]
    if policies.registered is not None:
        for rules, others in ((guards, placements), (placements, guards)):
            findings += lint_unused(rules, others, registered)
    else:
        missing = note(
            'placement is not installed here: its default rules were not checked',
            "run the command in placement's environment",
        )
        findings.append(missing.at('placement', ''))
    unique = list(dict.fromkeys(findings))
    return sorted(unique, key=lambda one: (-one.severity, one.where, one.line or 0))


def _lint_guard_files(
    rules: RuleSet, texts: Sequence[PolicyText], passage_role: str
) -> Iterator[Finding]:
    context = RuleContext({*rules.texts}, 'the guard', model.NAMESPACE)
    findings = [
        *lint_files(rules, context, names_known=True),
        *lint_guard(rules, passage_role),
    ]
    yield from findings
    try:
        Rulebook.build(texts)
    except PolicyFileError as error:
        # Whatever the guard does not take is an error, known to a lint or not.
        if not any(one.severity is Severity.FAILURE for one in findings):
            refusal = fail(str(error), 'fix the file; the guard refuses it')
            yield refusal.at(texts[-1].path if texts else DEFAULTS, '')
