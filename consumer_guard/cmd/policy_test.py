# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard policy test``."""

import argparse
import types
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from oslo_config import cfg

from consumer_guard.analysis.answering import Policy
from consumer_guard.analysis.assertions.document import Assertions, read_assertions
from consumer_guard.analysis.assertions.evaluation import (
    Verification,
    Verified,
    verify_case,
    verify_statement,
)
from consumer_guard.analysis.assertions.junit import format_junit
from consumer_guard.analysis.comparing import can_prove
from consumer_guard.analysis.lint.callers import list_roles
from consumer_guard.analysis.source import read_paths
from consumer_guard.cmd.base import (
    CommandFailed,
    GuardLister,
    plain_errors,
    read_file,
    write_file,
)
from consumer_guard.cmd.narrow import exceeds_display
from consumer_guard.config.settings import Settings
from consumer_guard.doctor.policies import find_placement, read_policy_files
from consumer_guard.guard.model import OPERATIONS
from consumer_guard.rules.rulebook import Rulebook

_COLUMNS = ('result', 'place', 'name', 'operation', 'detail', 'decided by')

_COUNTED = types.MappingProxyType(
    {
        Verified.HOLDS: 'hold',
        Verified.FAILS: 'fail',
        Verified.UNDECIDED: 'undecided',
    }
)


class TestPolicy(GuardLister):
    """Check that the rules do what a file of assertions requires.

    Exit status: 0 all assertions hold; 1 some do not; 2 the question could not be
    answered; 3 none is known to fail, but some are undecided.
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """The assertions, the rules, and a report."""
        parser.add_argument(
            'files', nargs='+', metavar='FILE', help='assertions, in YAML'
        )
        parser.add_argument(
            '--policy',
            action='append',
            metavar='FILE',
            help="the guard's policy file or directory; may be repeated, later ones "
            'override (default: those that the guard finds)',
        )
        parser.add_argument(
            '--placement-policy',
            action='append',
            metavar='FILE',
            help="placement's policy file or directory; may be repeated (default: "
            'those that placement finds, see OS_PLACEMENT_CONFIG_DIR)',
        )
        parser.add_argument(
            '--junit', metavar='FILE', help='write the results as JUnit XML too'
        )
        parser.add_argument(
            '--failed', action='store_true', help='show only what does not hold'
        )

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
        """Read everything, then evaluate."""
        conf, settings = self.read_configuration()
        with plain_errors():
            policy = self._read_policy(conf, settings, parsed_args)
            files = [_read_assertions(path, policy) for path in parsed_args.files]
            results = [one for each in files for one in _verify_all(each, policy)]
        if parsed_args.junit is not None:
            write_file(parsed_args.junit, '--junit', format_junit(results))
        counts = Counter(one.verified for one in results)
        self.status = 0
        if counts[Verified.FAILS]:
            self.status = 1
        elif counts[Verified.UNDECIDED]:
            self.status = 3
        totals = ', '.join(f'{counts[each]} {_COUNTED[each]}' for each in Verified)
        self.note(f'{totals} ({"by proof" if can_prove() else "without z3"})')
        shown = [
            one
            for one in results
            if not (parsed_args.failed and one.verified is Verified.HOLDS)
        ]
        rows = [(one.verified.value, *one[1:]) for one in shown]
        if exceeds_display(parsed_args, _COLUMNS, rows):
            return ('result', 'assertion', 'detail'), [*map(_fold_result, shown)]
        return _COLUMNS, rows

    def _read_policy(
        self, conf: cfg.ConfigOpts, settings: Settings, parsed_args: argparse.Namespace
    ) -> Policy:
        files = parsed_args.policy
        rulebook = Rulebook.build(
            read_paths(files) if files else read_policy_files(conf)
        )
        placement = find_placement(conf, parsed_args.placement_policy or ())
        if placement.rules is None:
            self.note(f"{placement.problem}: judged by the guard's rules alone")
        return Policy(
            rulebook,
            placement.rules,
            settings.passage_role,
            settings.incomplete_consumer_project_id,
        )


def _read_assertions(path: str, policy: Policy) -> Assertions:
    try:
        text = read_file(path, 'FILE').decode()
    except UnicodeDecodeError:
        raise CommandFailed(f'{path}: not UTF-8 text') from None
    nodes = [policy.rulebook.node(each.rule) for each in OPERATIONS]
    if policy.placement is not None:
        nodes += filter(None, policy.placement.nodes.values())
    # No caller has the passage role: it is removed from every request.
    roles = {*list_roles(*nodes)} - {policy.passage_role.lower()}
    return read_assertions(path, text, roles)


def _fold_result(one: Verification) -> tuple[str, str, str]:
    """The same in three columns, of several lines."""
    operations = one.operation.replace(', ', '\n')
    detail = '\n'.join(filter(None, (one.detail, one.decided_by)))
    assertion = f'{one.place}\n{one.name}\n{operations}'
    return one.verified.value, assertion, detail


def _verify_all(assertions: Assertions, policy: Policy) -> Iterable[Verification]:
    for case in assertions.cases:
        yield verify_case(case, policy)
    for statement in assertions.statements:
        yield from verify_statement(statement, policy)
