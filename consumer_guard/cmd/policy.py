# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard policy check``."""

import argparse
import types
from collections.abc import Iterable, Sequence
from typing import Any

from consumer_guard.analysis.findings import Severity, find_worst
from consumer_guard.analysis.lint.linter import lint
from consumer_guard.cmd.base import GuardLister, plain_errors
from consumer_guard.doctor.policies import read_policies

#: How the list names severities.
_SEVERITIES = types.MappingProxyType(
    {Severity.NOTE: 'note', Severity.WARNING: 'warning', Severity.FAILURE: 'error'}
)


class CheckPolicy(GuardLister):
    """Check the policy files of the guard and of placement for mistakes.

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
            findings = lint(policies)
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
