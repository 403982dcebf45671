# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard policy check``."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any

from oslo_config import cfg
from oslo_policy import opts as policy_opts

from consumer_guard.analysis.lint.deprecated import find_registered
from consumer_guard.analysis.lint.findings import Severity
from consumer_guard.analysis.lint.linter import Policies, lint
from consumer_guard.analysis.source import read_paths
from consumer_guard.cmd.listing import StatusLister, make_cell, speak_plainly
from consumer_guard.config import loading
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules.files import PolicyLocations, PolicyText

_COLUMNS = ('severity', 'file', 'line', 'rule', 'what', 'cure')


class CheckPolicy(StatusLister):
    """Look for mistakes in the guard's and placement's policy files.

    Exit status: 0 none, or notes alone; 1 warnings or errors; 2 nothing could
    be checked.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
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
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[tuple[Any, ...]]]:
        """Lint; the worst first."""
        with speak_plainly():
            given = _gather(
                getattr(self.app_args, 'config_file', None),
                parsed_args.files,
                parsed_args.placement_policy,
            )
            findings = lint(given)
        if any(one.severity >= Severity.WARNING for one in findings):
            self.status = 1
        return _COLUMNS, [
            (
                one.severity.name.lower(),
                make_cell(one.path),
                one.line,
                make_cell(one.rule),
                make_cell(one.what),
                make_cell(one.cure),
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

    :raises PolicyFileError: one cannot be read, or the one that is asked for
        is missing
    """
    name = conf.oslo_policy.policy_file
    places = PolicyLocations(conf.find_file, name, conf.oslo_policy.policy_dirs)
    try:
        seen = places.take_snapshot()
        if seen.main is None and loading.is_set(conf, 'policy_file', 'oslo_policy'):
            raise PolicyFileError(
                f'{name}: there is no such file (option policy_file of [oslo_policy])'
            )
        return seen.read()
    except OSError as error:
        raise PolicyFileError(
            f'{error.filename or name}: cannot be read: {error.strerror}'
        ) from None
