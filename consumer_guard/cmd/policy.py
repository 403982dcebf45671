# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard policy check``."""

import argparse
import types
from collections.abc import Iterable, Sequence
from typing import Any

from oslo_policy import opts as policy_opts

from consumer_guard.analysis.findings import Severity, find_worst
from consumer_guard.analysis.lint.linter import Policies, lint
from consumer_guard.analysis.lint.rulesets import find_registered
from consumer_guard.analysis.source import read_paths
from consumer_guard.cmd.base import GuardLister, plain_errors
from consumer_guard.config import loading
from consumer_guard.doctor.fit import read_policy_files

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
            policies = _gather(
                self.config_file, parsed_args.files, parsed_args.placement_policy
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


def _gather(
    config_file: str | None, files: Sequence[str], placement_files: Sequence[str] | None
) -> Policies:
    local_conf = {} if config_file is None else {'oslo_config_file': config_file}
    conf = loading.parse_files(local_conf)
    ours = read_paths(files) if files else read_policy_files(conf)
    new_alone = True
    if placement_files:
        placements = read_paths(placement_files)
    else:
        placement_conf = loading.parse_placement(dict(policy_opts.list_opts()))
        placements = read_policy_files(placement_conf)
        new_alone = placement_conf.oslo_policy.enforce_new_defaults
    return Policies(
        ours=ours,
        placements=placements,
        registered=find_registered(),
        passage_role=conf.consumer_guard.passage_role,
        new_alone=new_alone,
    )
