# SPDX-License-Identifier: Apache-2.0
"""The work behind a refusal is the same, whose consumer it may be.

Not timed, for no machine's clock is a test: what is compared are the statements
that reach a database, the calls that reach placement and the guard's own
functions. :mod:`tests.functional.oracle_timing` has the clock.
"""

import collections
import contextlib
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType

import pytest

from consumer_guard.guard.responses import DECOY
from tests import statements
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.functional.between import Steps, step_into
from tests.functional.oracle_timing import (
    KINDS,
    OPERATIONS,
    Comparison,
    Subjects,
    sample,
)


@dataclass
class Work:
    """What was done for one request.

    :ivar statements: SQL without values
    :ivar placement: method and path of the calls that reached placement
    :ivar functions: how often each of the guard's functions was called
    """

    statements: list[str] = field(default_factory=list)
    placement: list[tuple[str, str]] = field(default_factory=list)
    functions: collections.Counter[str] = field(default_factory=collections.Counter)


@contextlib.contextmanager
def _watch(work: Work) -> Iterator[None]:
    def note_statement(statement: str) -> None:
        work.statements.append(statements.without_values(statement))

    def note_call(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == 'call' and '/consumer_guard/' in code.co_filename:
            work.functions[
                f'{code.co_filename}:{code.co_firstlineno} {code.co_name}'
            ] += 1

    # Every engine of the process: the guard's and placement's.
    with statements.noted(note_statement):
        sys.setprofile(note_call)
        try:
            yield
        finally:
            sys.setprofile(None)


class Bench:
    """Consumers of every kind, and the work that a refusal about one is."""

    def __init__(self, deployed: Deployment, steps: Steps) -> None:
        self.subjects = Subjects(deployed, 2)
        self.steps = steps

    def do(self, operation: str, kind: str, number: int = 0) -> Work:
        consumer = self.subjects.consumers[kind][number]
        request = self.subjects.make_request(operation, consumer)
        work = Work()
        before = len(self.steps.calls)
        with _watch(work):
            answer = request.get_response(self.subjects.deployed.application)
        assert answer.status_int in (200, 403)
        work.placement = self.steps.calls[before:]
        return work


@pytest.fixture(params=['forbid', 'conceal'])
def denial(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(deploy: Deploy, denial: str) -> Bench:
    # No look at the policy files, which is by the clock.
    options = {'denial': denial, 'policy_poll_interval': 3600}
    deployed = deploy(rules=OWNER_RULES)
    path = deployed.directory / 'consumer-guard.conf'
    lines = [f'{key} = {value}' for key, value in options.items()]
    path.write_text('\n'.join(['[consumer_guard]', *lines]) + '\n')
    bench = Bench(deployed, step_into(deployed))
    for operation in OPERATIONS:
        for kind in KINDS:
            # The first ones open connections and compile statements.
            bench.do(operation, kind, 1)
    return bench


@pytest.mark.parametrize('operation', OPERATIONS)
def test_the_databases_and_placement_see_the_same(
    bench: Bench, denial: str, operation: str
) -> None:
    works = {kind: bench.do(operation, kind) for kind in KINDS}
    for work in works.values():
        assert work.statements == works['unknown'].statements
        assert work.placement == works['unknown'].placement
    work = works['unknown']
    if operation == 'GET' and denial == 'conceal':
        # Placement is asked about nobody's id, whatever was asked.
        assert work.placement == [('GET', f'/allocations/{DECOY}')]
        assert len(work.statements) > 1
    else:
        assert work.placement == []
        assert len(work.statements) == 1


def test_the_work_is_seen(bench: Bench) -> None:
    """What the caller may have is other work: the comparison can tell."""
    subjects = bench.subjects
    refused = bench.do('GET', 'foreign')
    subjects.caller = subjects.bob
    allowed = bench.do('GET', 'foreign')
    assert allowed.placement != refused.placement
    assert len(allowed.statements) > 1
    assert allowed.functions != refused.functions


@pytest.mark.parametrize('operation', OPERATIONS)
@pytest.mark.parametrize(
    'kind',
    [
        'foreign',
        'ownerless',
    ],
)
def test_the_guard_does_the_same(bench: Bench, operation: str, kind: str) -> None:
    """Rules that ask elsewhere are asked for every consumer, or for none."""
    work, unknown = bench.do(operation, kind), bench.do(operation, 'unknown')
    judging = {
        name: (work.functions[name], unknown.functions[name])
        for name in work.functions | unknown.functions
        if name.rpartition(' ')[2] in ('judge', 'evaluate')
    }
    assert judging
    assert {name for name, (one, other) in judging.items() if one != other} == set()


def test_positions_in_a_body(bench: Bench) -> None:
    """X12: which one of many was refused costs the same."""
    subjects = bench.subjects
    works = []
    for place in range(4):
        consumers = [*subjects.consumers['unknown'], subjects.consumers['ownerless'][0]]
        consumers.insert(place, subjects.consumers['foreign'][0])
        request = subjects.make_request('POST', consumers[0])
        claim = request.json[consumers[0]]
        request.json = dict.fromkeys(consumers, claim)
        work = Work()
        with _watch(work):
            answer = request.get_response(subjects.deployed.application)
        assert answer.status_int == 403
        works.append(work)
    assert all(work == works[0] for work in works)


def test_the_clock_runs(bench: Bench) -> None:
    """The script that prints the figures measures what it says."""
    times = sample(bench.subjects, 'GET', 5, random.Random(1), warm_up=2)  # noqa: S311
    assert {kind: len(some) for kind, some in times.items()} == dict.fromkeys(KINDS, 5)
    assert all(seconds > 0 for some in times.values() for seconds in some)


def test_the_statistics_tell_slower_samples_from_equal_ones() -> None:
    same = Comparison([1.0, 4.0, 5.0, 8.0], [2.0, 3.0, 6.0, 7.0])
    assert same.rank() == (0.5, 1.0)
    assert same.difference == 0
    slower = Comparison([float(n) for n in range(50, 90)], list(map(float, range(40))))
    auc, p = slower.rank()
    assert auc == 1.0
    assert p < 1e-10
    assert slower.difference == 50
    assert slower.asks() < 4
    assert same.asks() > 1000
