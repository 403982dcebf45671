# SPDX-License-Identifier: Apache-2.0
"""Decision records gathered as evidence: who did what, and how often."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from consumer_guard.analysis.replay import drop_unread
from consumer_guard.guard.model import Operation
from consumer_guard.rules.rulebook import Rulebook
from consumer_guard.telemetry.reader import Case, Record, make_printable, read_line

#: The part of the records that is held back, the last ones.
HELD_BACK = 5


class Account(NamedTuple):
    """Who sent requests, and by which program.

    :ivar service: without its version
    :ivar roles: joined by commas
    """

    service: str
    user_id: str
    project_id: str
    roles: str


@dataclass(slots=True)
class Evidence:
    """All records, equal ones counted.

    :ivar counts: records by case
    :ivar early: those of them that are not among the last fifth
    :ivar examples: request id of the first record of each case
    :ivar accounts: records by case and account
    :ivar invalid: how many lines are no records
    :ivar other_rules: how many records say that other rules decided
    """

    counts: Counter[Case] = field(default_factory=Counter)
    early: Counter[Case] = field(default_factory=Counter)
    examples: dict[Case, str] = field(default_factory=dict)
    accounts: dict[Case, Counter[Account]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    invalid: int = 0
    other_rules: int = 0

    def of(self, operation: Operation) -> list[Case]:
        """The cases of an operation, in the order of their first records."""
        return [case for case in self.counts if case.operation is operation]

    def find_shared(self) -> Mapping[str, list[str]]:
        """The programs of each user that several use, owners aside."""
        services = defaultdict(set)
        by_role = [each for case, each in self.accounts.items() if case.by == 'role']
        for account in itertools.chain.from_iterable(by_role):
            services[account.user_id].add(account.service)
        return {
            user: sorted(found)
            for user, found in sorted(services.items())
            if len(found) > 1 and user != '-'
        }


def gather(lines: Iterable[str], rules: Rulebook) -> Evidence:
    """Gather the records in the lines.

    :param rules: what they do not read makes no difference between cases
    """
    evidence = Evidence()
    order: list[Case] = []
    # One object for equal cases: a record is a reference.
    cases: dict[Case, Case] = {}
    for record in _read_decisions(lines, evidence):
        case = drop_unread(record.case, rules, rules)
        case = cases.setdefault(case, case)
        order.append(case)
        evidence.other_rules += record.rules_digest not in (None, rules.digest)
        evidence.examples.setdefault(case, record.request_id)
        evidence.accounts[case][_find_account(record)] += 1
    evidence.counts.update(order)
    evidence.early.update(order[: len(order) - len(order) // HELD_BACK])
    return evidence


def _read_decisions(lines: Iterable[str], evidence: Evidence) -> Iterator[Record]:
    for line in lines:
        try:
            record = read_line(line)
        except ValueError:
            evidence.invalid += 1
            continue
        if record is not None:
            yield record


def _find_account(record: Record) -> Account:
    return Account(
        record.service.partition('/')[0],
        record.user_id,
        record.project_id,
        ','.join(map(make_printable, sorted(record.case.roles))) or '-',
    )
