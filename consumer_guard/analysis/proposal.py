# SPDX-License-Identifier: Apache-2.0
"""A suggestion as a policy file, with its evidence as comments."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from consumer_guard.analysis.evidence import Account, Evidence
from consumer_guard.analysis.grants import Rank, write_rule
from consumer_guard.analysis.suggestion import RARE, KeptGrant, ProposedRule, Suggestion
from consumer_guard.guard.model import Operation

#: Accounts that are listed per operation; more are counted only.
_MAX_ACCOUNTS = 20


def write_rules(suggestion: Suggestion) -> str:
    """The proposed rules alone, as YAML."""
    return ''.join(
        f'{json.dumps(operation.rule)}: {json.dumps(write_rule(each.node))}\n'
        for operation, each in suggestion.rules.items()
    )


def write_proposal(
    suggestion: Suggestion, evidence: Evidence, verified: Sequence[str]
) -> str:
    """The policy file.

    :param verified: lines that say what was verified of it
    """
    comments = [
        f'# Proposed by "consumer-guard policy suggest" from {evidence.counts.total()} '
        'decisions.',
        *[f'# {line}' for line in verified],
        f'# Records that other rules have decided: {evidence.other_rules}.',
        f'# {_describe_held_back(suggestion)}',
        *[
            f'# Shared account: user {user} sends requests by {", ".join(services)}.'
            for user, services in evidence.find_shared().items()
        ],
    ]
    unseen = [op.name for op, each in suggestion.rules.items() if not each.seen]
    if unseen:
        comments.append(
            f'# Not seen: {", ".join(unseen)}. Close them, if nobody needs them, with '
            '--close-unseen.'
        )
    lines = list(map(_neutralise_comment, comments))
    for operation, proposed in suggestion.rules.items():
        comments = list(_describe_rule(operation, proposed, evidence))
        lines += ['', *map(_neutralise_comment, comments)]
        rule = json.dumps(write_rule(proposed.node))
        lines.append(f'{json.dumps(operation.rule)}: {rule}')
    return '\n'.join(lines) + '\n'


def _describe_held_back(suggestion: Suggestion) -> str:
    if not suggestion.held_back:
        return 'Held back: the last fifth has no decision that allowed a request.'
    rate = 100 * suggestion.missed / suggestion.held_back
    return (
        'Held back: rules learnt from the first four fifths would refuse '
        f'{suggestion.missed} of {suggestion.held_back} allowed requests of the last '
        f'fifth ({rate:.1f} %).'
    )


def _describe_rule(
    operation: Operation, proposed: ProposedRule, evidence: Evidence
) -> Iterator[str]:
    recorded = sum(evidence.counts[case] for case in evidence.of(operation))
    allowed = sum(evidence.counts[case] for case in proposed.seen)
    yield (
        f'# {operation.method} {operation.path}: {allowed} allowed, '
        f'{recorded - allowed} refused'
    )
    if not proposed.seen:
        closed = write_rule(proposed.node) == '!'
        yield '# Not seen; ' + ('closed.' if closed else 'left as it is.')
        return
    yield from _list_accounts(proposed, evidence)
    for kept in proposed.kept:
        yield _describe_grant(kept, evidence)
    for grant in proposed.wide:
        yield f'# Warning: {grant.text} is for everybody who owns anything.'
    for grant in proposed.dropped:
        yield f'# Dropped: {grant.text}'
    if not proposed.kept:
        yield '# Left as it is: the records do not show which part of it is needed.'


def _list_accounts(proposed: ProposedRule, evidence: Evidence) -> Iterator[str]:
    """Who does it; owners are counted only."""
    accounts: Counter[Account] = Counter()
    owners: Counter[str] = Counter()
    for case in proposed.seen:
        if case.by in ('ownership', 'filter'):
            for account, count in evidence.accounts[case].items():
                owners[account.user_id] += count
        else:
            accounts.update(evidence.accounts[case])
    for account, count in accounts.most_common(_MAX_ACCOUNTS):
        yield (
            f'#   {count} by {account.service}, user {account.user_id}, project '
            f'{account.project_id}, roles {account.roles}{_mark_rare(count)}'
        )
    more = accounts.most_common()[_MAX_ACCOUNTS:]
    if more:
        yield f'#   {sum(n for _, n in more)} by {len(more)} other accounts'
    if owners:
        yield f'#   {owners.total()} by owners (users: {len(owners)})'


def _describe_grant(kept: KeptGrant, evidence: Evidence) -> str:
    count = sum(evidence.counts[case] for case in kept.cases)
    line = f'# Kept: {kept.grant.text}, without which {count} would be refused'
    if kept.cases:
        line += f', such as {evidence.examples[kept.cases[0]]}'
    if kept.grant.rank is Rank.USER:
        line += '; give this user a role of its own'
    return line + _mark_rare(count)


def _mark_rare(count: int) -> str:
    return ' (rare)' if count <= RARE else ''


def _neutralise_comment(line: str) -> str:
    """Security: a line break in a client's text would begin a rule."""
    return ''.join([char if char.isprintable() else '?' for char in line])
