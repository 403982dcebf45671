# SPDX-License-Identifier: Apache-2.0
"""``consumer-guard policy suggest``."""

import argparse
from collections.abc import Iterator

from consumer_guard.analysis.diff import compare_all, list_unaffected
from consumer_guard.analysis.equivalence import Change
from consumer_guard.analysis.evidence import Evidence, gather
from consumer_guard.analysis.proposal import write_proposal, write_rules
from consumer_guard.analysis.source import read_paths
from consumer_guard.analysis.suggestion import (
    Learner,
    Suggestion,
    count_refused,
    suggest_rules,
)
from consumer_guard.cmd.base import CommandFailed, GuardCommand, plain_errors
from consumer_guard.cmd.records import NoRecords, open_records
from consumer_guard.doctor.policies import read_policy_files
from consumer_guard.guard import model
from consumer_guard.rules.files import PolicyText
from consumer_guard.rules.rulebook import Rulebook


class SuggestPolicy(GuardCommand):
    """Suggest least-privilege rules from decision records.

    Prints a policy file with its evidence as comments: the smallest part of the
    present rules under which no recorded request is refused. Nothing is printed
    unless that was verified. Exit status: 0, or 2 if nothing can be suggested.
    """

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Records, and the rules that are narrowed."""
        parser.add_argument(
            'records',
            metavar='RECORDS',
            help='a file of decision records (logger consumer_guard.audit); - for '
            'the standard input. Record with audit = all, best in shadow mode',
        )
        parser.add_argument(
            '--policy',
            action='append',
            metavar='FILE',
            help='the present policy file or directory, may be repeated (default: '
            'those that the guard finds)',
        )
        parser.add_argument(
            '--close-unseen',
            action='store_true',
            help='close operations of which no allowed request is recorded (default: '
            'leave them as they are)',
        )
        parser.add_argument(
            '--unused',
            action='store_true',
            help='list what the present rules grant and no recorded request has used, '
            'and suggest nothing',
        )

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Learn, verify, print."""
        with plain_errors():
            rules = self._read_rules(parsed_args.policy)
            with open_records(parsed_args.records, 'argument RECORDS') as lines:
                evidence = gather(lines, rules)
            if not evidence.counts:
                raise NoRecords(parsed_args.records, 'argument RECORDS')
            learner = Learner(rules)
            if parsed_args.unused:
                text = ''.join(_list_unused(evidence, learner))
            else:
                text = _suggest(parsed_args, evidence, learner, rules)
        if evidence.invalid:
            self.note(f'{evidence.invalid} lines are no records')
        self.app.stdout.write(text)

    def _read_rules(self, paths: list[str] | None) -> Rulebook:
        if paths:
            return Rulebook.build(read_paths(paths))
        return Rulebook.build(read_policy_files(self.parse_configuration()))


def _suggest(
    parsed_args: argparse.Namespace,
    evidence: Evidence,
    learner: Learner,
    rules: Rulebook,
) -> str:
    """:raises CommandFailed: nothing can be suggested"""
    suggestion = suggest_rules(evidence, learner, close_unseen=parsed_args.close_unseen)
    if not any(each.seen for each in suggestion.rules.values()):
        # Security: of refusals alone, --close-unseen would close everything.
        raise CommandFailed(
            f'{parsed_args.records} (argument RECORDS): no request in it is allowed by '
            'the present rules; record with audit = all'
        )
    return write_proposal(
        suggestion, evidence, _verify(suggestion, evidence, learner, rules)
    )


def _list_unused(evidence: Evidence, learner: Learner) -> Iterator[str]:
    for operation in model.OPERATIONS:
        cases = evidence.of(operation)
        count = sum(evidence.counts[case] for case in cases)
        for grant, is_unused in learner.list_unused(operation, cases):
            if is_unused:
                yield f'{operation.name}: {grant.text} (used in 0 of {count} decisions)\n'


def _verify(
    suggestion: Suggestion, evidence: Evidence, learner: Learner, rules: Rulebook
) -> list[str]:
    """Verify the rules as they will be read from the file.

    :returns: what was verified, in sentences
    :raises CommandFailed: the suggestion must not be used
    """
    proposed = Rulebook.build([PolicyText('suggestion', write_rules(suggestion))])
    refused = count_refused(suggestion, evidence, learner, proposed)
    comparisons = compare_all(rules, proposed)
    gains = [
        operation.name
        for operation, known in comparisons.items()
        if Change.ALLOWED in known.changes
    ]
    if refused or gains:
        raise CommandFailed(
            f'the suggestion failed its verification: {refused} recorded requests '
            f'refused, access gained in {", ".join(gains) or "no operation"}; please '
            'report it'
        )
    proven = {*list_unaffected(comparisons, Change.ALLOWED)}
    compared = {each.name for each, known in comparisons.items() if known.decided}
    names = [operation.name for operation in comparisons]
    sentences = ['Verified: a replay of the records refuses none that is allowed now.']
    for found, how in (
        (proven, 'proven'),
        (compared - proven, 'by exhaustive comparison'),
        ({*names} - compared - proven, 'by construction alone, not proven'),
    ):
        listed = [name for name in names if name in found]
        if listed:
            which = 'all operations' if len(listed) == len(names) else ', '.join(listed)
            sentences.append(f'Nobody gains, {how}: {which}.')
    return sentences
