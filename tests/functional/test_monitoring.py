# SPDX-License-Identifier: Apache-2.0
"""The files for Prometheus in etc/ know every metric, and nothing else."""

import pathlib
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from consumer_guard.guard import model
from consumer_guard.rules.candidate import WouldChange
from consumer_guard.telemetry import metrics

ROOT = pathlib.Path(__file__).parent.parent.parent
ETC = ROOT / 'etc' / 'consumer-guard'

#: Source: pkg/mapper/mapper.go of prometheus/statsd_exporter.
NAME = r'[a-zA-Z_](-?[a-zA-Z0-9_])*'
MATCH_FORM = re.compile(rf'(\*\.|{NAME}\.)+(\*|{NAME})')
METRIC_FORM = re.compile(r'[a-zA-Z_][a-zA-Z0-9_]*')
LABEL_FORM = re.compile(r'[a-zA-Z_][a-zA-Z0-9_]+')
KEYS = {'match', 'name', 'help', 'labels', 'ttl', 'observer_type', 'histogram_options'}

SINGLE = (
    metrics.LOOKUP_TIME,
    metrics.LOOKUP_FAILED,
    metrics.RULEBOOK_AGE,
    metrics.RULEBOOK_FAILED,
    metrics.GENERATION_HEADROOM,
    metrics.RECORDS_DROPPED,
)
DECISIONS = {
    metrics.name_decision(operation, outcome, mode): {
        'operation': operation.name.replace(':', '_'),
        'outcome': outcome,
        'mode': mode,
    }
    for operation in model.OPERATIONS
    for outcome in ('allow', 'deny')
    for mode in ('enforce', 'shadow')
}
CANDIDATES = {
    metrics.name_candidate(operation, change.value, mode): {
        'operation': operation.name.replace(':', '_'),
        'change': change.value.replace(' ', '_'),
        'mode': mode,
    }
    for operation in model.OPERATIONS
    for change in WouldChange
    for mode in ('enforce', 'shadow')
}

MAPPINGS: list[dict[str, Any]] = yaml.safe_load(
    (ETC / 'statsd-mapping.yml').read_text()
)['mappings']


def translate(name: str) -> list[tuple[str, dict[str, str]]]:
    """The metrics and labels that the exporter's globs make of a StatsD name."""
    found = []
    for mapping in MAPPINGS:
        glob = re.escape(mapping['match']).replace(r'\*', r'([^.]*)')
        if match := re.fullmatch(glob, name):
            labels = {
                label: re.sub(
                    r'\$(\d+)', lambda number: match[int(number[1])] or '', template
                )
                for label, template in mapping.get('labels', {}).items()
            }
            found.append((mapping['name'], labels))
    return found


def test_the_mapping_is_of_the_exporters_grammar() -> None:
    for mapping in MAPPINGS:
        assert set(mapping) <= KEYS
        assert MATCH_FORM.fullmatch(mapping['match'])
        assert METRIC_FORM.fullmatch(mapping['name'])
        for label, template in mapping.get('labels', {}).items():
            assert LABEL_FORM.fullmatch(label)
            number = int(template.removeprefix('$'))
            assert 1 <= number <= mapping['match'].count('*')


def test_every_decision_becomes_one_counter_with_its_labels() -> None:
    assert len(DECISIONS) == 4 * len(model.OPERATIONS)
    for name, labels in DECISIONS.items():
        expected = [('consumer_guard_decisions_total', labels)]
        assert translate(f'consumer_guard.{name}') == expected


def test_every_change_by_candidate_rules_becomes_one_counter() -> None:
    assert len(CANDIDATES) == 6 * len(model.OPERATIONS)
    for name, labels in CANDIDATES.items():
        expected = [('consumer_guard_candidate_changes_total', labels)]
        assert translate(f'consumer_guard.{name}') == expected


def test_every_other_metric_has_a_mapping_of_its_own() -> None:
    names = [translate(f'consumer_guard.{name}') for name in SINGLE]
    assert all(len(found) == 1 for found in names)
    assert len({found[0][0] for found in names}) == len(SINGLE)
    assert len(MAPPINGS) == len(SINGLE) + 2


def test_alerts_and_mapping_name_the_same_metrics() -> None:
    rules = (ETC / 'prometheus-alerts.yml').read_text()
    named = set(re.findall(r'consumer_guard_\w+', rules))
    mapped = {
        f'{mapping["name"]}_bucket'
        if mapping.get('observer_type') == 'histogram'
        else mapping['name']
        for mapping in MAPPINGS
    }
    # The age of the rules is for dashboards, and candidate rules do nothing.
    assert named == mapped - {
        'consumer_guard_rulebook_age_seconds',
        'consumer_guard_candidate_changes_total',
    }


@pytest.mark.skipif(
    shutil.which('promtool') is None, reason="promtool (Debian's prometheus)"
)
@pytest.mark.parametrize(
    'arguments',
    [
        ('check', 'rules', str(ETC / 'prometheus-alerts.yml')),
        ('test', 'rules', str(ROOT / 'tests' / 'monitoring-alerts.yml')),
    ],
    ids=['check', 'test'],
)
def test_promtool_accepts_the_alerts_and_each_fires_when_it_should(
    arguments: tuple[str, ...],
) -> None:
    done = subprocess.run(
        ['promtool', *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_seen_firing() -> None:
    """No alert is without a test in which it fires."""
    alerts = re.findall(r'alert: (\w+)', (ETC / 'prometheus-alerts.yml').read_text())
    tested = (ROOT / 'tests' / 'monitoring-alerts.yml').read_text()
    assert [name for name in alerts if f'alertname="{name}"' not in tested] == []
