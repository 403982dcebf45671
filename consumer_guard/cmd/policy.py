# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard policy check``."""

import argparse
import types
from collections.abc import Iterable, Sequence
from typing import Any

from consumer_guard.analysis.effective import assess_access
from consumer_guard.analysis.findings import Finding, Severity, find_worst
from consumer_guard.analysis.lint.linter import Policies, lint, make_rule_sets
from consumer_guard.cmd.base import GuardLister, plain_errors
from consumer_guard.doctor.policies import read_policies
from consumer_guard.guard.errors import PolicyFileError

#: How the list names severities.
_SEVERITIES = types.MappingProxyType(
    {
        Severity.OK: 'ok',
        Severity.NOTE: 'note',
        Severity.WARNING: 'warning',
        Severity.FAILURE: 'error',
    }
)


class CheckPolicy(GuardLister):
    """Check the policy files of the guard and of placement for mistakes.

    Then, for each operation: the callers that both services allow, and those that
    placement alone refuses.
    Exit status: 0: no findings, or only notes; 1: warnings or errors; 2: the files
    could not be read.
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """The files of both services."""
        parser.add_argument(
            'files',
            nargs='*',
            metavar='FILE',
            help='policy files or directories of the guard; later ones override '
            'earlier ones (default: those that the guard reads)',
        )
        parser.add_argument(
            '--placement-policy',
            action='append',
            metavar='FILE',
            help='policy file or directory of placement; may be repeated (default: '
            'those that placement reads, see OS_PLACEMENT_CONFIG_DIR)',
        )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[tuple[Any, ...]]]:
        """Lint; the worst first."""
        with plain_errors():
            policies = read_policies(
                self.parse_configuration(),
                parsed_args.files,
                parsed_args.placement_policy or (),
            )
            findings = [*lint(policies), *_list_access(policies)]
        self.status = int(find_worst(findings) >= Severity.WARNING)
        return ('severity', 'file', 'line', 'rule', 'finding', 'fix'), [
            (
                _SEVERITIES[one.severity],
                one.where,
                one.line,
                one.subject,
                one.text,
                one.fix,
            )
            for one in findings
        ]


def _list_access(policies: Policies) -> list[Finding]:
    """Who gets what from both services; nothing where the guard refuses its files."""
    guards, _ = make_rule_sets(policies)
    try:
        access = assess_access(policies)
    except PolicyFileError:
        return []  # the lint reports why
    findings = []
    for operation, assessment in access:
        path, line = guards.locate(operation.rule)
        findings.append(assessment.at(path, operation.rule, line))
    return findings
