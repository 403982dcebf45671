# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard policy diff --namespace``: the rules of any service."""

import argparse
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from consumer_guard.analysis.comparing import can_prove
from consumer_guard.analysis.proof.installed import ServiceRule, load_defaults
from consumer_guard.analysis.proof.services import ServicePolicy, normalize_text
from consumer_guard.analysis.source import read_paths
from consumer_guard.cmd.base import CommandFailed
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules.parsing import parse_file

#: Options that mean something for another service alone.
_OPTIONS = ('defaults', 'installed', 'complete', 'suspicious')


class ServiceResult(NamedTuple):
    """What the command shows.

    :ivar summary: one line for the standard error
    """

    columns: Sequence[str]
    rows: list[tuple[str, ...]]
    status: int
    summary: str


def add_service_options(parser: argparse.ArgumentParser) -> None:
    """The options that describe another service."""
    group = parser.add_argument_group('rules of another service')
    group.add_argument(
        '--namespace',
        metavar='NAME',
        help='compare the rules that a service registers with oslo.policy under NAME '
        "(nova, keystone, ...) instead of the guard's",
    )
    group.add_argument(
        '--defaults',
        action='store_true',
        help='OLD and NEW are virtual environments or directories with two releases of '
        'the service; compare their default rules. Runs code of the service, as '
        'oslopolicy-list-redundant does',
    )
    group.add_argument(
        '--installed',
        metavar='DIR',
        help='virtual environment or directory of the service whose defaults the files '
        'override (default: that of this command)',
    )
    group.add_argument(
        '--complete',
        action='store_true',
        help='the files contain all rules; the service need not be installed',
    )
    group.add_argument(
        '--suspicious',
        action='store_true',
        help='show rules that a project token passes only because None equals None, '
        'rules that nobody can pass, and rules that allow everybody',
    )


def check_service_options(parsed_args: argparse.Namespace) -> None:
    """Refuse options that contradict each other.

    :raises CommandFailed: names them
    """
    given = [name for name in _OPTIONS if getattr(parsed_args, name)]
    if parsed_args.namespace is None:
        if given:
            raise CommandFailed(f'option --{given[0]} needs --namespace')
        return
    if parsed_args.replay is not None:
        raise CommandFailed("option --replay works only with the guard's own rules")
    sources = [name for name in given if name != 'suspicious']
    if len(sources) > 1:
        raise CommandFailed(
            f'options --{sources[0]} and --{sources[1]} cannot be combined'
        )
    if not can_prove():
        raise CommandFailed(
            'option --namespace needs z3: pip install consumer-guard[proof]'
        )


def compare_services(parsed_args: argparse.Namespace) -> ServiceResult:
    """Compare the rules of a service, or find suspicious ones.

    :raises consumer_guard.guard.errors.PolicyFileError: they cannot be read
    """
    # z3 is an extra, and half a second to import.
    from consumer_guard.analysis.proof.review import (
        Verdict,
        compare_policies,
        find_suspicious,
    )

    old, new = _read_policies(parsed_args)
    where = f'{parsed_args.namespace}: {len(new.names)} rules'
    rows: list[tuple[str, ...]]
    columns: tuple[str, ...]
    if parsed_args.suspicious:
        found = find_suspicious(old, new)
        rows = [
            (verdict.value, rule, who, 'yes' if now else 'no', *texts)
            for (verdict, rule, who, *texts), now in found
        ]
        count = sum(now for _, now in found)
        columns = ('finding', 'rule', 'who', 'in NEW', 'old', 'new')
        summary = f'{where}, {count} of them suspicious'
        return ServiceResult(columns, rows, int(count > 0), summary)
    verdicts = compare_policies(old, new)
    rows = [(one.verdict.value, *one[1:]) for one in verdicts]
    kinds = {one.verdict for one in verdicts}
    status = 3 if kinds == {Verdict.UNDECIDED} else int(bool(kinds))
    summary = where
    if not kinds & {Verdict.ALLOWED, Verdict.UNDECIDED}:
        both = ' in the rules of both' if kinds & {Verdict.ADDED} else ''
        summary += f', nobody gains{both}: proven'
    columns = ('change', 'rule', 'who', 'old', 'new')
    return ServiceResult(columns, rows, status, summary)


def fold_service_row(row: Mapping[str, str]) -> tuple[str, str, str]:
    """The same in three columns, of several lines."""
    first, *_ = row.values()
    now = f'in NEW: {row["in NEW"]}' if 'in NEW' in row else ''
    rule = '\n'.join(filter(None, (row['rule'], row['who'], now)))
    return first, rule, f'old: {row["old"]}\nnew: {row["new"]}'


def _read_policies(parsed_args: argparse.Namespace) -> list[ServicePolicy]:
    paths = [parsed_args.old, parsed_args.new]
    if parsed_args.defaults:
        loaded = load_defaults(parsed_args.namespace, paths)
        return [ServicePolicy(tuple(rules), {}) for rules in loaded]
    defaults: list[ServiceRule] = []
    # Files that cannot be read are reported before anything is loaded.
    written = [_read_written(path) for path in paths]
    if not parsed_args.complete:
        (defaults,) = load_defaults(parsed_args.namespace, [parsed_args.installed])
    return [ServicePolicy(tuple(defaults), values) for values in written]


def _read_written(path: str) -> dict[str, str]:
    """The rules of files, by name, later ones override.

    :raises PolicyFileError: a file or a rule cannot be read; names both
    """
    written = {}
    for file in read_paths([path]):
        for text in parse_file(file):
            try:
                written[text.name] = normalize_text(text.name, text.value)
            except PolicyFileError as error:
                raise PolicyFileError(f'{file.path}: {error}') from None
    return written
