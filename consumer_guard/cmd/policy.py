# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard policy check``."""

import argparse
import types
from collections.abc import Iterable, Sequence
from typing import Any

from oslo_config import cfg
from oslo_policy import opts as policy_opts

from consumer_guard.analysis.findings import Severity, find_worst
from consumer_guard.analysis.lint.linter import Policies, lint
from consumer_guard.analysis.lint.rulesets import find_registered
from consumer_guard.analysis.source import read_paths
from consumer_guard.cmd.base import GuardLister, plain_errors, printable
from consumer_guard.config import loading
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules.files import PolicyLocations, PolicyText

#: How the list names severities.
_SEVERITIES = types.MappingProxyType(
    {Severity.NOTE: 'note', Severity.WARNING: 'warning', Severity.FAILURE: 'error'}
)


class CheckPolicy(GuardLister):
    """Look for mistakes in the guard's and placement's policy files.

    Exit status: 0 none, or notes alone; 1 warnings or errors; 2 nothing could
    be checked.
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """The files of both services."""
        parser.add_argument(
            'files',
            nargs='*',
            metavar='FILE',
            help="the guard's policy files or directories, later ones override "
            '(default: those that the guard finds)',
        )
        parser.add_argument(
            '--placement-policy',
            action='append',
            metavar='FILE',
            help="placement's policy file or directory, may be repeated (default: "
            'those that placement finds, see OS_PLACEMENT_CONFIG_DIR)',
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
        return ('severity', 'file', 'line', 'rule', 'what', 'cure'), [
            (
                _SEVERITIES[one.severity],
                printable(one.where),
                one.line,
                printable(one.subject),
                printable(one.text),
                printable(one.fix),
            )
            for one in findings
        ]


def _gather(
    config_file: str | None, files: Sequence[str], placement_files: Sequence[str] | None
) -> Policies:
    local_conf = {} if config_file is None else {'oslo_config_file': config_file}
    conf = loading.parse_files(local_conf)
    ours = read_paths(files) if files else find_files(conf)
    new_alone = True
    if placement_files:
        placements = read_paths(placement_files)
    else:
        placement_conf = loading.parse_placement(dict(policy_opts.list_opts()))
        placements = find_files(placement_conf)
        new_alone = placement_conf.oslo_policy.enforce_new_defaults
    return Policies(
        ours=ours,
        placements=placements,
        registered=find_registered(),
        passage_role=conf.consumer_guard.passage_role,
        new_alone=new_alone,
    )


def find_files(conf: cfg.ConfigOpts) -> list[PolicyText]:
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
