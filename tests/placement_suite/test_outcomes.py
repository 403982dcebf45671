# SPDX-License-Identifier: Apache-2.0
"""The comparison itself: what it must not let through."""

import pytest

from consumer_guard.guard import model
from tests.placement_suite.configurations import CONFIGURATIONS, Configuration
from tests.placement_suite.outcomes import Run, find_faults

DECIDED = {(operation.name, 'allow'): 1 for operation in model.OPERATIONS}

BASELINE = Run({'a': 'success', 'b': 'skip', 'c': 'success'}, {}, {})

PASSING = [configuration for configuration in CONFIGURATIONS if configuration.passes]
STOPPING = [
    configuration for configuration in CONFIGURATIONS if not configuration.passes
]


def test_some_configurations_have_to_pass_and_some_to_stop() -> None:
    assert {(one.position, one.enforcement) for one in PASSING} == {
        ('after', 'enforce'),
        ('after', 'shadow'),
        ('front', 'shadow'),
    }
    assert STOPPING


@pytest.mark.parametrize('configuration', PASSING, ids=lambda one: one.name)
def test_a_run_with_the_outcomes_of_the_baseline_has_no_faults(
    configuration: Configuration,
) -> None:
    run = Run(dict(BASELINE.outcomes), {}, DECIDED)
    assert find_faults(configuration, BASELINE, run) == []


@pytest.mark.parametrize('configuration', PASSING, ids=lambda one: one.name)
@pytest.mark.parametrize(
    ('outcomes', 'fault'),
    [
        ({'a': 'fail', 'b': 'skip', 'c': 'success'}, 'a: success -> fail'),
        ({'a': 'success', 'b': 'success', 'c': 'success'}, 'b: skip -> success'),
        ({'a': 'success', 'b': 'skip'}, 'c: success -> not there'),
        (dict(BASELINE.outcomes) | {'d': 'success'}, 'd: not there -> success'),
    ],
)
def test_an_outcome_that_differs_from_the_baseline_is_a_fault(
    configuration: Configuration, outcomes: dict[str, str], fault: str
) -> None:
    run = Run(outcomes, {fault[0]: 'what it said'}, DECIDED)
    (found,) = find_faults(configuration, BASELINE, run)
    assert found == f'{fault}\n    what it said'


def test_a_guard_that_is_not_there() -> None:
    run = Run(dict(BASELINE.outcomes), {}, {})
    faults = find_faults(PASSING[0], BASELINE, run)
    assert faults == [
        f'the guard decided no {operation.name}' for operation in model.OPERATIONS
    ]


def test_a_guard_that_refuses_all_and_stops_nothing() -> None:
    run = Run(dict(BASELINE.outcomes), {}, DECIDED)
    (fault,) = find_faults(STOPPING[0], BASELINE, run)
    assert 'not in the way' in fault
    stopped = Run(dict(BASELINE.outcomes) | {'a': 'fail'}, {}, DECIDED)
    assert find_faults(STOPPING[0], BASELINE, stopped) == []
