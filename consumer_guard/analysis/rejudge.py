# SPDX-License-Identifier: Apache-2.0
"""Judges a recorded decision again, under old and new rules; never guesses.

The way is that of :mod:`consumer_guard.guard.authorizer` and
:mod:`consumer_guard.guard.ownership`. A check that the record does not decide may
have any truth, but the same one under both rules.
"""

import enum
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from consumer_guard.analysis.equivalence import evaluate_on
from consumer_guard.analysis.terms import CREDENTIALS, list_leaves
from consumer_guard.guard.decision import Reason
from consumer_guard.guard.model import GENERATION_IN_BODY, Ownership, OwnerStatus, Truth
from consumer_guard.rules import nodes
from consumer_guard.rules.leaves import Constant, CredentialIs
from consumer_guard.rules.remote import Remote
from consumer_guard.telemetry.reader import Case, Target
from consumer_guard.telemetry.record import RECORDED_CREDENTIALS

#: Combinations of truths of undecided checks that are looked at.
LIMIT = 2**12

_NO, _UNKNOWN, _YES = Truth


class Outcome(enum.IntEnum):
    """What a request gets; more is more open."""

    DENY = 0
    FILTER = 1
    ALLOW = 2


#: Refused whatever the rules say.
_ALWAYS_REFUSED = frozenset({Reason.NO_IDENTITY, Reason.SPENT, Reason.LOST_SWAP})

#: Refused whenever the rules leave it to the owner.
_OBSTACLES = frozenset(
    {
        Reason.UNOWNED,
        Reason.ABSENT,
        Reason.NO_ALLOCATIONS,
        Reason.NEVER,
        Reason.NO_SEAL,
        Reason.GENERATION,
        Reason.UNREADABLE,
        Reason.TOO_LARGE,
        Reason.MICROVERSION,
    }
)

_ABOUT = {
    Ownership.READ: ({'recorded owner'},),
    Ownership.SUMS: ({'asked owner'},),
    Ownership.SEALED_WRITE: ({'recorded owner'}, {'claimed owner'}),
}

#: Truths of the leaves, by text, one such mapping a pass: the owner unknown
#: first, then the targets in their order.
Passes = tuple[Mapping[str, Truth], ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """All that a request may get, as pairs under the old and the new rule.

    :ivar pairs: None in a pair is an outcome that the record does not decide;
        the set is empty when there was too much to look at
    """

    pairs: frozenset[tuple[Outcome | None, Outcome | None]]


def rejudge(case: Case, old: nodes.Node, new: nodes.Node) -> Judged:
    """Judge a case under two rules that are for its scope."""
    if case.reason in _ALWAYS_REFUSED:
        return Judged(frozenset({(Outcome.DENY, Outcome.DENY)}))
    if not case.scope:
        return Judged(frozenset({(None, None)}))
    leaves = list_leaves(old, new)
    pairs = set()
    for passes in _list_passes(case, leaves):
        for stopped in _list_obstacles(case):
            pairs.add(
                (
                    _decide(case, old, passes, stopped=stopped),
                    _decide(case, new, passes, stopped=stopped),
                )
            )
    return Judged(frozenset(pairs))


def _list_passes(case: Case, leaves: Mapping[str, nodes.Node]) -> Iterator[Passes]:
    """All that the leaves may be, in each pass."""
    targets: list[Target | None] = [None, *case.targets]
    # What does not look at the target has one truth in all passes.
    choices = {
        (text, index if leaf.reads else 0): list_possible(leaf, case, target)
        for index, target in enumerate(targets)
        for text, leaf in leaves.items()
        if leaf.reads or index == 0
    }
    if math.prod(map(len, choices.values())) > LIMIT:
        return
    for truths in itertools.product(*choices.values()):
        assigned = dict(zip(choices, truths, strict=True))
        yield tuple(
            {
                text: assigned[text, index if leaf.reads else 0]
                for text, leaf in leaves.items()
            }
            for index in range(len(targets))
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
        return (_UNKNOWN,) if target is None else tuple(Truth)
    known = dict(target.known) if target else {}
    masked = target.masked if target else frozenset[str]()
    if not leaf.reads <= {*known, *masked}:
        return (_UNKNOWN,)
    if not isinstance(leaf, CredentialIs):
        if leaf.reads & masked:
            return (_NO, _YES)
        roles = frozenset([role.lower() for role in case.roles])
        return (leaf.evaluate(nodes.Facts({}, roles, known)),)
    name = leaf.path[0]
    if name not in CREDENTIALS:
        return (_NO,)
    if leaf.reads & masked:
        return _compare_masked(leaf, case)
    if name == 'roles' or name in RECORDED_CREDENTIALS:
        credentials = {**dict(case.credentials), 'roles': list(case.roles)}
        return (leaf.evaluate(nodes.Facts(credentials, frozenset(), known)),)
    return tuple(Truth)


def _compare_masked(leaf: CredentialIs, case: Case) -> tuple[Truth, ...]:
    value = dict(case.credentials).get(leaf.key or '')
    # The veil shows the caller's own user and project ids, and only those.
    if leaf.key in ('user_id', 'project_id') and leaf.right.key and value:
        return (_NO,)
    return tuple(Truth)


def _list_obstacles(case: Case) -> tuple[bool, ...]:
    """Whether something else would stop the owner; both where it is not known.

    The seal of a write, and the spelling of ids, are known only where the
    request has come so far.
    """
    if case.reason in _OBSTACLES:
        return (True,)
    ownership = case.operation.ownership
    if ownership is Ownership.SEALED_WRITE:
        certain = case.by == 'ownership'
    elif ownership is Ownership.FILTER:
        certain = case.by == 'filter'
    elif ownership is Ownership.READ:
        judged = case.by == 'ownership' or case.reason is Reason.NOT_ALLOWED
        certain = judged or all(target.canonical is not None for target in case.targets)
    else:
        certain = True
    return (False,) if certain else (False, True)


def _decide(
    case: Case, node: nodes.Node, passes: Passes, *, stopped: bool
) -> Outcome | None:
    first = evaluate_on(node, passes[0])
    if first is not _UNKNOWN:
        return Outcome.ALLOW if first is _YES else Outcome.DENY
    ownership = case.operation.ownership
    if ownership is Ownership.NEVER or case.version is None or stopped:
        return Outcome.DENY
    if ownership is Ownership.FILTER:
        return Outcome.FILTER
    if ownership is Ownership.SEALED_WRITE and case.version < GENERATION_IN_BODY:
        return Outcome.DENY
    for target, truths in zip(case.targets, passes[1:], strict=True):
        if not _may_own(target, ownership) or evaluate_on(node, truths) is not _YES:
            return Outcome.DENY
    seen = {target.about for target in case.targets}
    if not case.whole or not all(about & seen for about in _ABOUT[ownership]):
        return None
    return Outcome.ALLOW


def _may_own(target: Target, ownership: Ownership) -> bool:
    """Whether the guard asks the rule about this target at all."""
    if target.status not in (None, OwnerStatus.RECORDED.value):
        return False
    if target.canonical is False:
        return False
    named = dict(target.known).keys() | target.masked
    return ownership is not Ownership.SUMS or 'project_id' in named
