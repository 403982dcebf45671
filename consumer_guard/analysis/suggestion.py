# SPDX-License-Identifier: Apache-2.0
"""Least-privilege rules for recorded requests, as a part of the rules in force.

Each rule becomes the smallest part of its grants under which every recorded
request is decided as before. So nobody gains, and no recorded request is refused;
both are verified on the result.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from consumer_guard.analysis.evidence import Evidence
from consumer_guard.analysis.grants import (
    Grant,
    Rank,
    find_owner_roles,
    join_grants,
    list_grants,
    refine,
    write_rule,
)
from consumer_guard.analysis.replay import OPENNESS, Pair, list_outcomes
from consumer_guard.guard import model
from consumer_guard.guard.decision import Outcome
from consumer_guard.guard.model import Operation
from consumer_guard.rules.nodes import Node
from consumer_guard.rules.rulebook import Rulebook
from consumer_guard.telemetry.reader import Case

#: Grants of which all parts are tried; of more, one after the other is left out.
_MAX_TRIED = 12

#: Users that one rule names, at most.
_MAX_USERS = 20

#: Records up to which something is called rare.
RARE = 2


@dataclass(frozen=True, slots=True)
class KeptGrant:
    """A grant of a proposed rule, and why it is there.

    :ivar cases: refused without it
    """

    grant: Grant
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class ProposedRule:
    """The proposal for one operation.

    :ivar node: the rule
    :ivar seen: the cases that the rules in force allow, or may allow
    :ivar kept: its grants; empty where the rule stays as it is
    :ivar dropped: grants of the rule in force that are not in it
    :ivar wide: grants that owners of anything have, kept because nothing narrower
        allows the records
    """

    operation: Operation
    node: Node
    seen: tuple[Case, ...]
    kept: tuple[KeptGrant, ...] = ()
    dropped: tuple[Grant, ...] = ()
    wide: tuple[Grant, ...] = ()


class Learner:
    """Proposes rules; what was decided once is remembered.

    :param rules: those in force
    """

    def __init__(self, rules: Rulebook) -> None:
        self._rules = rules
        grants = [
            grant
            for operation in model.OPERATIONS
            for grant in list_grants(rules.node(operation.rule))
        ]
        self._owner_roles = find_owner_roles(grants)
        self._decided: dict[tuple[Case, str], Collection[Pair]] = {}

    def propose(
        self, operation: Operation, cases: Collection[Case], *, close_unseen: bool
    ) -> ProposedRule:
        """Propose a rule.

        :param cases: recorded ones of the operation
        :param close_unseen: close an operation that nobody was allowed
        """
        rule = self._rules.node(operation.rule)
        seen = tuple([case for case in cases if self.is_allowed(case)])
        if not seen:
            node = join_grants(()) if close_unseen else rule
            return ProposedRule(operation, node, ())
        grants = list_grants(rule)
        offered = self._offer(grants, seen)
        chosen = self._choose(offered, seen)
        if chosen is None:
            # Only what owners hold allows some records.
            chosen = self._choose([*offered, *grants], seen)
        if chosen is None:
            return ProposedRule(operation, rule, seen)
        kept = tuple([self._explain(grant, chosen, seen) for grant in chosen])
        texts = {grant.text for grant in chosen}
        return ProposedRule(
            operation,
            join_grants(chosen),
            seen,
            kept,
            tuple([grant for grant in grants if grant.text not in texts]),
            tuple([grant for grant in chosen if grant.is_wide(self._owner_roles)]),
        )

    def is_allowed(self, case: Case) -> bool:
        """Whether the rules in force allow a case, or may."""
        pairs = self._decide(case, self._rules.node(case.operation.rule))
        return not pairs or any(old is not Outcome.REFUSE for old, _ in pairs)

    def keeps(self, case: Case, node: Node) -> bool:
        """Whether a case certainly gets as much as under the rule in force."""
        pairs = self._decide(case, node)
        return bool(pairs) and all(itertools.starmap(_is_kept, pairs))

    def list_unused(
        self, operation: Operation, cases: Collection[Case]
    ) -> list[tuple[Grant, bool]]:
        """The grants of a rule, and whether a case is allowed by each alone."""
        seen = [case for case in cases if self.is_allowed(case)]
        return [
            (grant, not any(self.keeps(case, grant.node) for case in seen))
            for grant in list_grants(self._rules.node(operation.rule))
        ]

    def _decide(self, case: Case, node: Node) -> Collection[Pair]:
        key = (case, write_rule(node))
        if key not in self._decided:
            rule = case.operation.rule
            pairs: Collection[Pair] = ((Outcome.REFUSE, Outcome.REFUSE),)
            if case.scope and self._rules.admits(rule, case.scope):
                pairs = list_outcomes(case, self._rules.node(rule), node)
            self._decided[key] = pairs
        return self._decided[key]

    def _offer(self, grants: Sequence[Grant], seen: Collection[Case]) -> list[Grant]:
        """The grants to choose from: wide ones only as far as they are needed."""
        offered = [each for each in grants if not each.is_wide(self._owner_roles)]
        for grant in grants:
            if grant in offered:
                continue
            missing = [
                case
                for case in seen
                if not any(self.keeps(case, each.node) for each in offered)
            ]
            roles = [{role.lower() for role in case.roles} for case in missing]
            users = {
                dict(case.credentials)['user_id'] or ''
                for case, held in zip(missing, roles, strict=True)
                if held <= self._owner_roles
            }
            offered += refine(
                grant,
                frozenset[str]().union(*roles),
                users if len(users) <= _MAX_USERS else (),
                self._owner_roles,
            )
        return list(dict.fromkeys(offered))

    def _choose(
        self, offered: Sequence[Grant], seen: Collection[Case]
    ) -> tuple[Grant, ...] | None:
        """The smallest part of the grants that keeps all cases; None for none."""

        useful = [
            each
            for each in offered
            if any(not self._refuses(case, each.node) for case in seen)
        ]
        alone = [
            (case, frozenset(g for g in useful if self.keeps(case, g.node)))
            for case in seen
        ]

        def keep_all(chosen: tuple[Grant, ...]) -> bool:
            node = join_grants(chosen)
            return all(
                not keeping.isdisjoint(chosen) or self.keeps(case, node)
                for case, keeping in alone
            )

        chosen = tuple(useful)
        if not keep_all(chosen):
            return None
        if len(useful) <= _MAX_TRIED:
            parts = itertools.chain.from_iterable(
                itertools.combinations(useful, size) for size in range(len(useful) + 1)
            )
            return next(
                each for each in sorted(parts, key=_weigh_part) if keep_all(each)
            )
        for grant in sorted(useful, key=lambda each: -each.rank):
            rest = tuple([each for each in chosen if each is not grant])
            chosen = rest if keep_all(rest) else chosen
        return chosen

    def _refuses(self, case: Case, node: Node) -> bool:
        pairs = self._decide(case, node)
        return all(new is Outcome.REFUSE for _, new in pairs)

    def _explain(
        self, grant: Grant, chosen: Sequence[Grant], seen: Collection[Case]
    ) -> KeptGrant:
        rest = join_grants([each for each in chosen if each is not grant])
        return KeptGrant(
            grant, tuple([case for case in seen if not self.keeps(case, rest)])
        )


def _is_kept(old: Outcome | None, new: Outcome | None) -> bool:
    """None is the owner's, if nothing but the rules stops him."""
    if old is None:
        return new is None or OPENNESS[new] == OPENNESS[Outcome.ROLE]
    return OPENNESS[old] == 0 or (new is not None and OPENNESS[new] >= OPENNESS[old])


def _weigh_part(grants: Sequence[Grant]) -> tuple[int, ...]:
    """Without admin first, then the fewest roles, then the less powerful ones."""
    ranks = [grant.rank for grant in grants]
    roles = sum(rank is not Rank.OWNER for rank in ranks)
    return int(Rank.ADMIN in ranks), roles, sum(ranks), len(ranks)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """All proposed rules, and how they do on records that were held back.

    :ivar held_back: allowed records of the last fifth
    :ivar missed: those of them that rules learnt from the others would refuse
    """

    rules: Mapping[Operation, ProposedRule]
    held_back: int
    missed: int


def suggest_rules(
    evidence: Evidence, learner: Learner, *, close_unseen: bool
) -> Suggestion:
    """Propose least-privilege rules for recorded requests.

    :param close_unseen: close operations that nobody was allowed
    """
    proposed, held_back, missed = {}, 0, 0
    for operation in model.OPERATIONS:
        cases = evidence.of(operation)
        proposed[operation] = learner.propose(
            operation, cases, close_unseen=close_unseen
        )
        early = [case for case in cases if evidence.early[case]]
        node = learner.propose(operation, early, close_unseen=close_unseen).node
        for case in proposed[operation].seen:
            late = evidence.counts[case] - evidence.early[case]
            held_back += late
            missed += late if late and not learner.keeps(case, node) else 0
    return Suggestion(proposed, held_back, missed)


def count_refused(
    suggestion: Suggestion, evidence: Evidence, learner: Learner, proposed: Rulebook
) -> int:
    """Replay the records under the proposed rules, as they were written and read.

    :returns: how many allowed records are not certainly allowed as much as before;
        rules that stay as they are are left out
    """
    return sum(
        evidence.counts[case]
        for operation, each in suggestion.rules.items()
        for case in (each.seen if each.kept else ())
        if not learner.keeps(case, proposed.node(operation.rule))
    )
