# SPDX-License-Identifier: Apache-2.0
"""Lints of files: names that are unknown, out of date, repeated, without effect."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence

from oslo_policy import policy

from consumer_guard.analysis.findings import Assessment, Finding, fail, note, warn
from consumer_guard.analysis.lint.rulesets import RuleSet, find_replacement
from consumer_guard.analysis.lint.texts import REFUSED, RuleContext, lint_text, suggest
from consumer_guard.analysis.source import SourceFile, SourceRule
from consumer_guard.rules.rulebook import resembles_prefix

_SUFFIXES = ('.yaml', '.yml', '.json')


def lint_files(
    rules: RuleSet, context: RuleContext, *, names_known: bool
) -> Iterator[Finding]:
    """Everything about the files that depends on no caller.

    :param names_known: whether the defaults are all the names that there are
    """
    last, defaults, prefix = rules.written, rules.defaults, context.prefix
    named = [] if names_known else [name for name in last if name.startswith(prefix)]
    relevant = rules.list_reachable([*defaults, *named])
    for file in rules.files:
        if not file.path.endswith(_SUFFIXES):
            yield warn(
                f'"{os.path.basename(file.path)}" counts as a policy file: every '
                'visible file of policy_dirs does',
                'move it elsewhere, or rename it to .yaml if its rules are intended',
            ).at(file.path, '')
        yield from _lint_repeated(file)
        for rule in file.rules:
            assessments: list[Assessment] = []
            if names_known:
                assessments += _lint_name(rule.name, prefix, defaults.keys())
            if last[rule.name] is not rule:
                path = last[rule.name].path
                assessments.append(
                    note(
                        f'has no effect: {path} overrides the rule', 'keep one of them'
                    )
                )
            elif rule.name in relevant:
                assessments += lint_text(rule.name, rules, context)
            for assessment in assessments:
                yield _at_rule(assessment, rule)


def _at_rule(assessment: Assessment, rule: SourceRule) -> Finding:
    return assessment.at(rule.path, rule.name, rule.line)


def _lint_repeated(file: SourceFile) -> Iterator[Finding]:
    kept = {rule.name: rule.line for rule in file.rules}
    for rule in file.lost:
        assessment = warn(
            'the name appears twice in the file; this rule has no effect, the one in '
            f'line {kept[rule.name]} has',
            'remove one of them',
        )
        yield _at_rule(assessment, rule)


def _lint_name(
    name: str, prefix: str, registered: Collection[str]
) -> Iterator[Assessment]:
    if name in registered:
        return
    if name.startswith(prefix):
        text = f'the rule does not exist{suggest(name, registered)}'
        if prefix == 'placement:':
            yield warn(f'{text}; placement ignores it', 'correct the name')
        else:
            yield fail(f'{text}; {REFUSED}', 'correct the name')
        return
    if resembles_prefix(name, prefix):
        yield warn(
            f'has no effect: rules of the guard begin with "{prefix}"'
            f'{suggest(prefix + name.partition(":")[2], registered)}',
            'correct the name',
        )


def lint_foreign_names(
    rules: RuleSet, prefix: str, other: RuleSet, reader: str
) -> Iterator[Finding]:
    """Rules in a file that the service which has them does not read.

    :param prefix: of the other service's rules
    :param reader: the other service, for messages
    """
    read = {file.path for file in other.files}
    for file in rules.files:
        for rule in file.rules if file.path not in read else ():
            if rule.name.startswith(prefix):
                assessment = note(
                    f'is a rule of {reader}, which does not read this file',
                    f'move it to a policy file of {reader}',
                )
                yield _at_rule(assessment, rule)


def lint_deprecated(
    registered: Sequence[policy.RuleDefault],
    written: Mapping[str, SourceRule],
    *,
    new_alone: bool,
) -> Iterator[Finding]:
    """Rules in placement's files that are, or that replace, deprecated ones.

    :param new_alone: ``[oslo_policy] enforce_new_defaults``
    """
    replaced: dict[str, list[str]] = {}
    for rule in registered:
        if replacement := find_replacement(rule, written):
            replaced.setdefault(replacement, []).append(rule.name)
        if rule.deprecated_for_removal and rule.name in written:
            assessment = warn('the rule is deprecated and will be ignored', 'remove it')
            yield _at_rule(assessment, written[rule.name])
    for name, names in replaced.items():
        value = str(written[name].value).strip()
        yield _at_rule(
            warn(
                f'the name is deprecated: its value {_explain_value(value)} '
                f'replaces {", ".join(names)}',
                'set each of these rules that you want to change under its own name, '
                'and remove this one',
            ),
            written[name],
        )
    if not new_alone:
        yield note(
            'enforce_new_defaults is off: placement allows its deprecated checks as '
            'well, so role:admin may reshape',
            'remove it from [oslo_policy] once every service has the role service',
        ).at("placement's configuration", '')


def _explain_value(value: str) -> str:
    meanings = {'@': ', open to every caller,', '!': ', which refuses everybody,'}
    return f'"{value:.40}"{meanings.get(value, "")}'


def lint_unused(
    rules: RuleSet, others: RuleSet, registered: Sequence[policy.RuleDefault]
) -> Iterator[Finding]:
    """Base rules that nothing refers to, such as those of earlier releases.

    :param others: the rules of the other service, which may share a file
    :param registered: placement's defaults
    """
    used = {
        *rules.list_reachable(name for name in rules.texts if ':' in name),
        *others.list_reachable(name for name in others.texts if ':' in name),
        *rules.list_reachable(rules.defaults),
        *others.list_reachable(others.defaults),
        *(rule.deprecated_rule.name for rule in registered if rule.deprecated_rule),
    }
    for name, rule in rules.written.items():
        if name not in used:
            text = 'no rule refers to it: it has no effect'
            yield _at_rule(note(text, 'remove it, or refer to it'), rule)
