# SPDX-License-Identifier: Apache-2.0
"""Candidate rules: judged beside the rules in force, on what the decision knew.

One ruling per request at most, no look-up, no remote check. Kleene's logic makes
one ruling enough: what is true of the attributes that all targets share is true
of each of them.

Security: nothing here returns a decision. What comes out is a word for a record.
"""

import enum
import errno
import logging
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from oslo_policy import policy

from consumer_guard.guard import claims, ownership
from consumer_guard.guard.decision import CONSEQUENCES, Decision, Outcome, Phase
from consumer_guard.guard.errors import PolicyLocked, RequestError
from consumer_guard.guard.model import Body, Caller, Owner, Ownership, Ruling, Truth
from consumer_guard.guard.obligations import Fulfilment
from consumer_guard.guard.request import GuardedRequest
from consumer_guard.rules import nodes
from consumer_guard.rules.files import PolicyText
from consumer_guard.rules.reloading import Wording
from consumer_guard.rules.remote import CallForRule
from consumer_guard.rules.rulebook import Rulebook

LOG = logging.getLogger(__name__)

CANDIDATE_FILE = Wording(
    'Candidate policy file',
    'Candidate rules that are compared',
    'nothing is compared until it is fixed',
    'nothing is compared until it is fixed',
)

#: Bytes of a candidate file: parsing it takes a part of one request's time.
MAX_FILE_SIZE = 2**18


class WouldChange(str, enum.Enum):
    """How the candidate rules would change a decision."""

    ALLOWED = 'newly allowed'
    REFUSED = 'newly refused'
    #: It depends on what the decision did not look up.
    UNDECIDED = 'undecided'


class Grounds(NamedTuple):
    """What one ruling is made on.

    :ivar target: of the ruling
    :ivar suffices: whether YES allows the request
    :ivar exact: whether UNKNOWN refuses it
    """

    target: Mapping[str, str]
    suffices: bool = True
    exact: bool = True


class CandidateSource(Protocol):
    """Where candidate rules come from, such as reloaded files."""

    @property
    def problem(self) -> str | None:
        """Why they are not as they are written now; None when they are."""

    def current(self) -> Rulebook:
        """The last good ones.

        :raises PolicyLocked: there never were any
        """


class CandidateRules:
    """Compares decisions with those of the candidate rules.

    :param source: the candidate file, reloaded like the policy files
    """

    def __init__(self, source: CandidateSource) -> None:
        self._source = source
        # One value, swapped as a whole: both snapshots and the rules that differ.
        self._compared: tuple[object, Rulebook, frozenset[str]] | None = None
        self._broken: Rulebook | None = None

    def compare(
        self, request: GuardedRequest, caller: Caller, shown: Fulfilment
    ) -> tuple[str, str] | None:
        """How the decision would change, and the digest of the candidate rules.

        :param shown: the decision, with body and owners as far as they are known
        :returns: None where nothing would change, or nothing can be compared;
            never raises
        """
        rules = None
        try:
            rules = self._source.current()
            if self._source.problem is not None or rules is self._broken:
                return None
            if request.operation.rule not in self._find_differing(rules, shown):
                return None
            change = find_change(rules, request, caller, shown)
            return None if change is None else (change.value, rules.digest)
        except PolicyLocked:
            return None  # the source has logged why
        except Exception as error:
            # A candidate that breaks must not cost the client its answer.
            self._broken, failure = rules, type(error).__name__
        LOG.error(
            'The candidate rules are not compared any more, until their file changes: '
            '%s',
            failure,
        )
        return None

    def _find_differing(self, rules: Rulebook, shown: Fulfilment) -> frozenset[str]:
        """The rules of which the candidate has another; none without any in force."""
        enforced, known = shown.decision.rules, self._compared
        if known is not None and known[0] is enforced and known[1] is rules:
            return known[2]
        differing = frozenset[str]()
        if isinstance(enforced, Rulebook):
            differing = frozenset(
                name
                for name in rules.names
                if not _is_same(rules.node(name), enforced.node(name))
            )
        self._compared = (enforced, rules, differing)
        return differing


def read_small_status(path: str, /, *, follow_symlinks: bool = True) -> os.stat_result:
    """``os.stat`` that refuses what would take too long to read.

    :raises OSError: the file is too large, or the status cannot be read
    """
    status = os.stat(path, follow_symlinks=follow_symlinks)
    if stat.S_ISREG(status.st_mode) and status.st_size > MAX_FILE_SIZE:
        raise OSError(errno.EFBIG, f'larger than {MAX_FILE_SIZE} bytes', path)
    return status


def build_candidate(files: Sequence[PolicyText]) -> Rulebook:
    """Build candidate rules whose rulings take little time.

    :raises PolicyFileError: the file cannot be used, or has too many checks
    """
    return Rulebook.build(files, _NotCalled())


def find_change(
    rules: Rulebook, request: GuardedRequest, caller: Caller, shown: Fulfilment
) -> WouldChange | None:
    """How the candidate rules would change a decision; makes one ruling at most."""
    decision, rule = shown.decision, request.operation.rule
    consequence = CONSEQUENCES[decision.reason]
    if consequence.phase is Phase.OBLIGATIONS and consequence.status < 500:
        return None  # refused to everybody whom the rules allow
    grounds = find_grounds(request, caller, shown, rules.reads(rule))
    truth = rules.judge(rule, caller, grounds.target, final=False)
    openness = {Truth.YES: 2, Truth.NO: 0}.get(truth)
    if openness is None:
        is_remote = rules.entry(rule).call_remote is not None
        if grounds.exact and not (grounds.target and is_remote):
            openness = 0
        elif request.operation.ownership is Ownership.FILTER:
            openness = 1
    if openness is None or (openness and not grounds.suffices):
        return WouldChange.UNDECIDED
    now = {Outcome.REFUSE: 0, Outcome.FILTER: 1}.get(decision.outcome, 2)
    if openness == now:
        return None
    return WouldChange.ALLOWED if openness > now else WouldChange.REFUSED


def find_grounds(
    request: GuardedRequest, caller: Caller, shown: Fulfilment, reads: frozenset[str]
) -> Grounds:
    """What is known that the candidate rule can be judged on.

    :param reads: the target keys that the rule reads
    """
    decision = shown.decision
    if not CONSEQUENCES[decision.reason].by_rule:
        return Grounds({})  # a role alone overcomes it
    targets = _list_known_targets(request, caller, shown)
    if targets is None:
        return Grounds({}, exact=False)
    if not targets:
        return Grounds({})
    facts = {frozenset((k, v) for k, v in t.items() if k in reads) for t in targets}
    is_whole = shown.body is not None or not _conveys(request)
    if is_whole and len(facts) == 1:
        return Grounds(dict(*facts))
    for ruling in decision.rulings:
        if ruling.target and ruling.truth is not Truth.YES:
            # That the candidate refuses this target, too, decides all of it.
            return Grounds(ruling.target, suffices=False)
    return Grounds(
        dict(frozenset.intersection(*facts) if is_whole else ()), exact=False
    )


def _list_known_targets(
    request: GuardedRequest, caller: Caller, shown: Fulfilment
) -> Sequence[Mapping[str, str]] | None:
    """All targets that are known to have to be allowed.

    :returns: none where ownership cannot allow the request, whatever the rules are;
        None where the owners are not known
    """
    decision = shown.decision
    if decision.outcome is Outcome.PASSAGE:
        return [ruling.target for ruling in decision.rulings]
    try:
        if ownership.find_obstacle(request) is not None:
            return ()
        if request.operation.ownership is Ownership.SUMS:
            target = request.payload.read_usages_target()
            return (target,) if 'project_id' in target else ()
        if decision.owners is None:
            return None
        possible = _conclude_without_rules(caller, decision.owners, shown.body)
    except RequestError:
        return ()
    if possible is not None and possible.outcome is Outcome.REFUSE:
        return ()
    return None if possible is None else [ruling.target for ruling in possible.rulings]


def _conclude_without_rules(
    caller: Caller, owners: Mapping[str, Owner], body: Body | None
) -> Decision | None:
    """What remains of a decision where the rules allow everything.

    :returns: None where it depends on consumer types that were not looked up
    :raises RequestError: a claim is not canonical
    """
    recorded = ownership.conclude_recorded(owners, _allow)
    if body is None:
        return recorded
    for claim in body.claims:
        claims.demand_canonical_claim(claim)
    if ownership.find_empties(body) is not None:
        return recorded._replace(outcome=Outcome.REFUSE)
    names = {key: (caller.credentials.get(key),) for key in ('project_id', 'user_id')}
    types = {claim.consumer_type for claim in body.claims}
    with_types = {**names, 'consumer_type': tuple(types)}
    decided = ownership.conclude_write(body, recorded, with_types, _allow)
    strict = ownership.conclude_write(body, recorded, names, _allow)
    return decided if strict.outcome is decided.outcome else None


def _conveys(request: GuardedRequest) -> bool:
    return request.operation.ownership is Ownership.SEALED_WRITE


def _allow(target: Mapping[str, str], about: str) -> Ruling:
    return Ruling('', about, Truth.YES, target)


def _is_same(one: nodes.Node, other: nodes.Node) -> bool:
    """Whether two rules are written the same, names of references aside."""
    inner, others = _list_inner(one), _list_inner(other)
    return (
        type(one) is type(other)
        and len(inner) == len(others)
        and (all(map(_is_same, inner, others)) if inner else str(one) == str(other))
    )


def _list_inner(node: nodes.Node) -> Sequence[nodes.Node]:
    if isinstance(node, nodes.Reference | nodes.Not):
        return (node.node,)
    return node.nodes if isinstance(node, nodes.AllOf | nodes.AnyOf) else ()


class _NotCalled:
    """A :class:`consumer_guard.rules.remote.RemoteCaller` whose calls all fail."""

    def prepare(self, rules: policy.Rules) -> CallForRule:  # noqa: ARG002
        """The failing call: that there is one marks rules with remote checks."""
        return self._fail

    def _fail(
        self,
        rule: str,
        check: nodes.RemoteCheck,
        target: Mapping[str, str],
        credentials: Mapping[str, Any],
    ) -> bool:
        raise NotImplementedError(rule, check, target, credentials)
