# SPDX-License-Identifier: Apache-2.0
"""Decides recorded requests again, under old and new rules; never guesses.

The authorizer decides a request, owners and rulings that are made from the
record. A check whose truth the record does not show may have any, but the same
one under both rules.
"""

import dataclasses
import functools
import itertools
import math
import types
import urllib.parse
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from consumer_guard.analysis import simulation
from consumer_guard.analysis.equivalence import Change, evaluate_on
from consumer_guard.analysis.terms import CREDENTIALS, list_leaves
from consumer_guard.guard.authorizer import Authorizer
from consumer_guard.guard.decision import CONSEQUENCES, Outcome, Phase
from consumer_guard.guard.model import (
    ALLOCATIONS_MANAGE,
    Caller,
    Owner,
    OwnerLookup,
    Ownership,
    OwnerStatus,
    Truth,
    make_target,
)
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.rules import nodes
from consumer_guard.rules.leaves import Constant, CredentialIs
from consumer_guard.rules.remote import Remote
from consumer_guard.rules.rulebook import Rulebook
from consumer_guard.telemetry.reader import Case, Record, Target, read_line
from consumer_guard.telemetry.record import RECORDED_CREDENTIALS

#: What new rules do to a recorded request.
EFFECTS = (Change.ALLOWED, Change.REFUSED, Change.UNDECIDED, Change.UNCHANGED)

#: Line numbers of invalid lines that are kept; more are counted only.
_MAX_LINE_NUMBERS = 10

#: Combinations of truths of unknown checks that are tried per record.
_MAX_COMBINATIONS = 2**12

#: How much an outcome lets a caller have.
OPENNESS = types.MappingProxyType(
    {Outcome.REFUSE: 0, Outcome.FILTER: 1, Outcome.PASSAGE: 2, Outcome.ROLE: 2}
)

#: Outcomes under the old and the new rule; None is one that the record does not
#: decide.
Pair = tuple[Outcome | None, Outcome | None]

_REFUSED: frozenset[Pair] = frozenset({(Outcome.REFUSE, Outcome.REFUSE)})

#: Any project or user, and any generation.
_ID, _GENERATION = 'id', 1
_CALLER = Caller({}, frozenset(), 'project', simulation.REQUEST_ID)
#: A target that the record does not name.
_UNNAMED: tuple[str | None, Target] = (
    None,
    Target('', None, (), frozenset({'project_id'})),
)

#: Truths of the leaves by their text, one mapping per pass: the owner unknown
#: first, then the targets in their order.
Passes = tuple[Mapping[str, Truth], ...]


class RequestGroup(NamedTuple):
    """Requests that are counted together."""

    operation: str
    service: str
    project_id: str
    user_id: str


@dataclass(slots=True)
class ReplaySummary:
    """The result of all records.

    :ivar totals: decisions by effect
    :ivar groups: changed and undecided decisions by effect and group
    :ivar examples: request id of the first of each group
    :ivar invalid: how many lines are not records
    :ivar invalid_lines: the numbers of the first of them
    :ivar unexplained: decisions that the old rules do not explain
    """

    totals: Counter[Change] = field(default_factory=Counter)
    groups: Counter[tuple[Change, RequestGroup]] = field(default_factory=Counter)
    examples: dict[tuple[Change, RequestGroup], str] = field(default_factory=dict)
    invalid: int = 0
    invalid_lines: list[int] = field(default_factory=list)
    unexplained: int = 0


def replay(
    lines: Iterable[str], old: Rulebook, new: Rulebook, equal: Collection[str]
) -> ReplaySummary:
    """Decide all records in the lines again.

    :param equal: names of the operations whose rules are proven equal
    """
    summary = ReplaySummary()
    # A service repeats the same few requests all day.
    decide = functools.cache(functools.partial(_decide, old, new))
    for number, line in enumerate(lines, 1):
        try:
            record = read_line(line)
        except ValueError:
            summary.invalid += 1
            if summary.invalid <= _MAX_LINE_NUMBERS:
                summary.invalid_lines.append(number)
            continue
        if record is None:
            continue
        outcomes = decide(drop_unread(record.case, old, new))
        _count(summary, record, outcomes, equal=record.case.operation.name in equal)
    return summary


def _count(
    summary: ReplaySummary, record: Record, outcomes: Collection[Pair], *, equal: bool
) -> None:
    effects = {_classify(old, new) for old, new in outcomes}
    effect = effects.pop() if len(effects) == 1 else Change.UNDECIDED
    if equal:
        effect = Change.UNCHANGED
    summary.totals[effect] += 1
    summary.unexplained += _is_unexplained(record, {old for old, _ in outcomes})
    if effect is not Change.UNCHANGED:
        operation = record.case.operation.name
        group = RequestGroup(
            operation, record.service, record.project_id, record.user_id
        )
        summary.groups[effect, group] += 1
        summary.examples.setdefault((effect, group), record.request_id)


def drop_unread(case: Case, old: Rulebook, new: Rulebook) -> Case:
    """The case without the attributes that no rule reads."""
    rule = case.operation.rule
    # project_id: nobody may read the sums of no project, see conclude_sums.
    kept = old.reads(rule) | new.reads(rule) | {'project_id'}
    targets = tuple([target.keep(kept) for target in case.targets])
    return dataclasses.replace(case, targets=targets)


def _decide(old: Rulebook, new: Rulebook, case: Case) -> frozenset[Pair]:
    rule = case.operation.rule
    # All rules have the same scopes.
    if case.scope and not old.admits(rule, case.scope):
        return _REFUSED
    return list_outcomes(case, old.node(rule), new.node(rule))


def _classify(old: Outcome | None, new: Outcome | None) -> Change:
    if old is None or new is None:
        return Change.UNDECIDED
    if old is Outcome.FILTER and new is Outcome.FILTER:
        return Change.UNDECIDED  # the record does not show what the list holds
    change = OPENNESS[new] - OPENNESS[old]
    if not change:
        return Change.UNCHANGED
    return Change.ALLOWED if change > 0 else Change.REFUSED


def _is_unexplained(record: Record, possible: Collection[Outcome | None]) -> bool:
    """Whether the old rules certainly decide otherwise than was decided."""
    reason = record.case.reason
    if not possible or None in possible:
        return False
    if reason is not None and CONSEQUENCES[reason].status >= 500:
        return False
    refused = Outcome.REFUSE in possible
    return possible == {Outcome.REFUSE} if record.allowed else not refused


def list_outcomes(case: Case, old: nodes.Node, new: nodes.Node) -> frozenset[Pair]:
    """All outcomes that the record leaves possible, under two rules for its scope.

    :returns: empty when there are too many combinations to try
    """
    if case.reason is not None:
        consequence = CONSEQUENCES[case.reason]
        without_rules = consequence.phase in (Phase.IDENTITY, Phase.OBLIGATIONS)
        if without_rules and consequence.status < 500:
            return _REFUSED
    if not case.scope:
        return frozenset({(None, None)})
    request, owners = _simulate(case)

    @functools.cache
    def decide(truths: tuple[Truth, ...], obstructed: bool) -> Outcome | None:
        rules = _KnownTruths(truths)
        authorizer = Authorizer(rules, owners, patience=math.inf)
        simulated = request._replace(canonical_path=not obstructed)
        outcome = authorizer.authorize(simulated, _CALLER).outcome
        certain = case.whole and rules.complete
        return None if outcome is Outcome.PASSAGE and not certain else outcome

    return frozenset(
        (
            decide(tuple([evaluate_on(old, leaves) for leaves in passes]), obstructed),
            decide(tuple([evaluate_on(new, leaves) for leaves in passes]), obstructed),
        )
        for passes in _list_passes(case, list_leaves(old, new))
        for obstructed in _list_obstructed(case)
    )


class _KnownTruths:
    """The rules of an authorizer, whose rulings are known.

    :ivar complete: whether the record names all targets that were judged
    """

    def __init__(self, truths: tuple[Truth, ...]) -> None:
        self._truths = truths
        self.complete = True

    def current(self) -> '_KnownTruths':
        return self

    def reads(self, rule: str) -> frozenset[str]:  # noqa: ARG002  # the protocol's
        return frozenset()

    def judge(
        self,
        rule: str,  # noqa: ARG002  # the protocol's
        caller: Caller,  # noqa: ARG002  # the protocol's
        target: Mapping[str, str],
        *,
        final: bool,
    ) -> Truth:
        """The truth of the target's pass; YES where the record names no target."""
        number = int(target.get('consumer_type', 0))
        if final and not number:
            self.complete = False
            return Truth.YES
        return self._truths[number]


def _simulate(case: Case) -> tuple[GuardedRequest, OwnerLookup]:
    """A request and owners like those of the record, under invented ids.

    The consumer type of a target is the number of the pass in which the rule is
    judged on it; None for a target that the record does not name.
    """
    numbered: list[tuple[str | None, Target]] = [
        (str(number), target) for number, target in enumerate(case.targets, 1)
    ]
    recorded, claimed, queried = (
        [each for each in numbered if each[1].about == about] or [_UNNAMED]
        for about in ('recorded owner', 'claimed owner', 'asked owner')
    )
    owners, claims = {}, {}
    for index, ((number, target), (claim_number, _)) in enumerate(
        itertools.zip_longest(recorded, claimed, fillvalue=_UNNAMED)
    ):
        uuid = f'{index:08x}-0000-4000-8000-000000000000'
        has_owner = target.status in (None, OwnerStatus.RECORDED.value)
        owners[uuid] = Owner(
            uuid,
            OwnerStatus.RECORDED if has_owner else OwnerStatus.UNOWNED,
            _ID,
            _ID,
            consumer_type=number,
            generation=_GENERATION,
            has_allocations=True,
        )
        claims[uuid] = simulation.make_claim(_ID, _ID, _ID, _GENERATION, claim_number)
    number, target = queried[0]
    has_project = 'project_id' in {*dict(target.known), *target.masked}
    query = make_target(consumer_type=number, project_id=_ID if has_project else None)
    request = GuardedRequest(
        case.operation,
        next(iter(owners)) if case.operation is not ALLOCATIONS_MANAGE else None,
        None,
        case.version,
        simulation.GivenPayload(
            urllib.parse.urlencode(query), simulation.make_body(case.operation, claims)
        ),
    )
    return request, simulation.KnownOwners(owners)


def _list_obstructed(case: Case) -> tuple[bool, ...]:
    """Whether anything but the rules stops an owner; both where it is not known.

    The seal of a write, and whether ids are canonical, are known only where the
    request came so far.
    """
    consequence = CONSEQUENCES[case.reason] if case.reason is not None else None
    canonical = {target.canonical for target in case.targets}
    if False in canonical or (
        consequence and not consequence.by_rule and consequence.status < 500
    ):
        return (True,)
    ownership = case.operation.ownership
    certain = case.by == ('filter' if ownership is Ownership.FILTER else 'ownership')
    if ownership is Ownership.READ:
        concluded = consequence is not None and consequence.phase is Phase.CONCLUDE
        certain = certain or concluded or canonical == {True}
    elif ownership is Ownership.SUMS:
        certain = True
    return (False,) if certain else (False, True)


def _list_passes(case: Case, leaves: Mapping[str, nodes.Node]) -> Iterator[Passes]:
    """All truths that the leaves may have had, in each pass."""
    targets: list[Target | None] = [None, *case.targets]
    # What does not read the target has one truth in all passes.
    choices = {
        (text, number if leaf.reads else 0): list_possible(leaf, case, target)
        for number, target in enumerate(targets)
        for text, leaf in leaves.items()
        if leaf.reads or number == 0
    }
    if math.prod(map(len, choices.values())) > _MAX_COMBINATIONS:
        return
    for truths in itertools.product(*choices.values()):
        assigned = dict(zip(choices, truths, strict=True))
        yield tuple(
            {
                text: assigned[text, number if leaf.reads else 0]
                for text, leaf in leaves.items()
            }
            for number in range(len(targets))
        )


def list_possible(
    leaf: nodes.Node, case: Case, target: Target | None
) -> tuple[Truth, ...]:
    """The truths that a leaf may have had.

    :param target: None for the pass in which the owner is unknown
    """
    if isinstance(leaf, Constant):
        return (leaf.truth,)
    if isinstance(leaf, Remote):
        return (Truth.UNKNOWN,) if target is None else tuple(Truth)
    known = dict(target.known) if target else {}
    masked = target.masked if target else frozenset[str]()
    if not leaf.reads <= {*known, *masked}:
        return (Truth.UNKNOWN,)
    is_masked = bool(leaf.reads & masked)
    if not isinstance(leaf, CredentialIs):
        if is_masked:
            return (Truth.NO, Truth.YES)
        roles = frozenset([role.lower() for role in case.roles])
        return (leaf.evaluate(nodes.Facts({}, roles, known)),)
    credentials = dict(case.credentials)
    name = leaf.path[0]
    if name not in CREDENTIALS:
        return (Truth.NO,)
    if is_masked:
        # The mask shows the caller's own user and project ids, and only those.
        own = leaf.key in ('user_id', 'project_id') and credentials.get(leaf.key)
        return (Truth.NO,) if own and leaf.right.key else tuple(Truth)
    if name == 'roles' or name in RECORDED_CREDENTIALS:
        values = {**credentials, 'roles': list(case.roles)}
        return (leaf.evaluate(nodes.Facts(values, frozenset(), known)),)
    return tuple(Truth)
