# SPDX-License-Identifier: Apache-2.0
"""Lints of files: names that are not ours, said twice, or without effect."""

import difflib
import os
from collections.abc import Collection, Iterator

from consumer_guard.analysis.lint.findings import (
    Complaint,
    Finding,
    fail,
    note,
    suggest,
    warn,
)
from consumer_guard.analysis.lint.leaves import Surroundings
from consumer_guard.analysis.lint.rulesets import RuleSet
from consumer_guard.analysis.lint.texts import lint_lost, lint_overridden, lint_text
from consumer_guard.analysis.source import WrittenFile, WrittenRule

_SUFFIXES = ('.yaml', '.yml', '.json')

# As in consumer_guard.rules.rulebook: consumer_gaurd is 0.93, consumer 0.73.
_LIKENESS = 0.8


def lint_files(
    rules: RuleSet, around: Surroundings, *, names_known: bool
) -> Iterator[Finding]:
    """All that can be said of the files without judging anybody.

    :param names_known: whether the defaults are all the names that there are
    """
    last, defaults, prefix = rules.written, rules.defaults, around.prefix
    named = [] if names_known else [name for name in last if name.startswith(prefix)]
    relevant = rules.list_reachable([*defaults, *named])
    for file in rules.files:
        if not file.path.endswith(_SUFFIXES):
            yield Finding.make(_complain_of_stray(file.path), file.path, None, '')
        yield from _lint_lost(file)
        for rule in file.rules:
            complaints: list[Complaint] = []
            if names_known:
                complaints += _lint_name(rule.name, prefix, {*defaults})
            if last[rule.name] is not rule:
                complaints.append(lint_overridden(last[rule.name].path))
            elif rule.name in relevant:
                complaints += lint_text(rule.name, rules, around)
            for complaint in complaints:
                yield Finding.make(complaint, rule.path, rule.line, rule.name)


def _lint_lost(file: WrittenFile) -> Iterator[Finding]:
    kept = {rule.name: rule for rule in file.rules}
    for rule in file.lost:
        complaint = lint_lost(f'line {kept[rule.name].line}')
        yield Finding.make(complaint, rule.path, rule.line, rule.name)


def _lint_name(
    name: str, prefix: str, registered: Collection[str]
) -> Iterator[Complaint]:
    if name in registered:
        return
    if name.startswith(prefix):
        words = f'there is no such rule{suggest(name, registered)}'
        if prefix == 'placement:':
            yield warn(f'{words}; placement passes over it', 'correct the name')
        else:
            yield fail(f'{words}; the guard refuses the file', 'correct the name')
        return
    head = name.partition(':')[0][:40].lower()
    if difflib.SequenceMatcher(None, head, prefix[:-1]).ratio() >= _LIKENESS:
        yield warn(
            f'does nothing: rules here begin with "{prefix}"'
            f'{suggest(prefix + name.partition(":")[2], registered)}',
            'correct the name',
        )


def _complain_of_stray(path: str) -> Complaint:
    return warn(
        f'"{os.path.basename(path)}" counts as a policy file: every visible file '
        'of policy_dirs does',
        'move it elsewhere, or give it the suffix .yaml if its rules are meant',
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
        for rule in _list_named(file, prefix) if file.path not in read else ():
            complaint = note(
                f'is a rule of {reader}, which does not read this file',
                f'write it into a policy file of {reader}',
            )
            yield Finding.make(complaint, rule.path, rule.line, rule.name)


def _list_named(file: WrittenFile, prefix: str) -> list[WrittenRule]:
    return [rule for rule in file.rules if rule.name.startswith(prefix)]
