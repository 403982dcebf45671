# SPDX-License-Identifier: Apache-2.0
"""Placement's registered rules, and what of them is out of date."""

import importlib
from collections.abc import Collection, Iterator, Mapping, Sequence

from oslo_policy import policy

from consumer_guard.analysis.lint.findings import Finding, note, warn
from consumer_guard.analysis.source import WrittenRule


def find_registered() -> Sequence[policy.RuleDefault] | None:
    """Placement's own defaults, where placement is installed."""
    try:
        placement = importlib.import_module('placement.policies')
    except ImportError:
        return None
    rules: Sequence[policy.RuleDefault] = placement.list_rules()
    return rules


def list_defaults(
    registered: Sequence[policy.RuleDefault],
    written: Collection[str],
    *,
    new_alone: bool,
) -> dict[str, str]:
    """The check strings that placement uses where no file says one.

    :param written: names that a file says
    :param new_alone: ``[oslo_policy] enforce_new_defaults``; without it the
        deprecated check is allowed as well
    """
    defaults = {}
    for rule in registered:
        check, old = rule.check_str, rule.deprecated_rule
        if (
            not new_alone
            and old
            and old.check_str != check
            and rule.name not in written
        ):
            check = f'({check}) or ({old.check_str})'
        defaults[rule.name] = check
    return defaults


def lint_deprecated(
    registered: Sequence[policy.RuleDefault],
    written: Mapping[str, WrittenRule],
    *,
    new_alone: bool,
    configuration: str,
) -> Iterator[Finding]:
    """Rules in files that are, or that replace, deprecated ones.

    :param configuration: where ``enforce_new_defaults`` stands, for messages
    """
    for rule in registered:
        old = rule.deprecated_rule
        if old and old.name != rule.name and old.name in written:
            found = written[old.name]
            complaint = warn(
                f'the name is out of date, "{rule.name}" took its place',
                f'rename it to "{rule.name}"',
            )
            yield Finding.make(complaint, found.path, found.line, found.name)
        if rule.deprecated_for_removal and rule.name in written:
            found = written[rule.name]
            complaint = warn(
                'the rule is out of date and will be passed over', 'remove it'
            )
            yield Finding.make(complaint, found.path, found.line, found.name)
    if not new_alone:
        complaint = note(
            'enforce_new_defaults is off: placement allows its deprecated checks as '
            'well, so role:admin may reshape',
            'remove it from [oslo_policy] when every service has the role service',
        )
        yield Finding.make(complaint, configuration, None, '')
