# SPDX-License-Identifier: Apache-2.0
"""What a guard logs when it starts."""

import logging
import pathlib

import pytest

from consumer_guard import middleware
from consumer_guard.config import startup
from consumer_guard.telemetry.version import find_guard_version

NAME = 'consumer_guard.config.startup'


@pytest.fixture
def placement_conf(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
    """Placement's configuration."""
    path = tmp_path / 'placement.conf'
    path.write_text(
        '[placement_database]\n'
        'connection = mysql+pymysql://user:sesame@db.example:3306/placement\n'
        'connection_parameters = password=abracadabra\n'
    )
    monkeypatch.setenv('OS_PLACEMENT_CONFIG_DIR', str(tmp_path))
    return path


def _start(caplog: pytest.LogCaptureFixture, **local_conf: str) -> list[str]:
    """The lines of one start, each after its level."""
    caplog.set_level(logging.INFO)
    middleware.filter_factory({}, **local_conf)
    return [
        f'{record.levelname} {record.getMessage()}'
        for record in caplog.records
        if record.name == NAME
    ]


def test_a_start_with_defaults_logs_one_line(
    placement_conf: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert _start(caplog) == [
        f'INFO consumer_guard {find_guard_version()} starts: '
        "enforcement='enforce', denial='forbid', "
        "passage_role='consumer_guard_passage', auth_strategy='keystone', "
        "owner_lookup='database', look-up target "
        'mysql+pymysql://db.example:3306/placement; options changed from '
        f'their defaults: connection ([placement_database] in {placement_conf})'
    ]


def test_a_start_names_the_place_of_each_option_that_is_not_at_its_default(
    placement_conf: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: pathlib.Path,
) -> None:
    """Y26"""
    path = tmp_path / 'guard.conf'
    path.write_text(
        '[consumer_guard]\nlookup_timeout = 3\ndenial = forbid\naudit = all\n'
        'audit_key = sesame\n'
    )
    monkeypatch.setenv('OS_CONSUMER_GUARD__DENIAL', 'conceal')
    lines = _start(caplog, oslo_config_file=str(path), audit='none')
    assert len(lines) == 1
    assert lines[0].partition('defaults: ')[2] == (
        "denial='conceal' (the environment variable OS_CONSUMER_GUARD__DENIAL), "
        f'lookup_timeout=3.0 ({path}), '
        f'connection ([placement_database] in {placement_conf}), '
        "audit='none' (the paste section of consumer_guard), "
        f'audit_key ({path})'
    )


@pytest.mark.usefixtures('placement_conf')
def test_shadow_and_noauth2_are_warned_about_with_their_place(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('OS_CONSUMER_GUARD__ENFORCEMENT', 'shadow')
    lines = _start(caplog, auth_strategy='noauth2')
    assert [line.partition(':')[0] for line in lines[1:]] == [
        'WARNING enforcement = shadow (the environment variable '
        'OS_CONSUMER_GUARD__ENFORCEMENT)',
        'WARNING auth_strategy = noauth2 (the paste section of consumer_guard)',
    ]


@pytest.mark.usefixtures('placement_conf')
def test_a_value_with_a_line_break_stays_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lines = _start(caplog, statsd_prefix='a\x1b[2J\u2028b')
    assert len(lines) == 1
    assert r"statsd_prefix='a\x1b[2J\u2028b'" in lines[0]


@pytest.mark.parametrize(
    ('connection', 'shown'),
    [
        ('sqlite:////var/lib/placement.db', 'sqlite:////var/lib/placement.db'),
        ('mysql+pymysql://u:sesame@h:3306/db?x=y', 'mysql+pymysql://h:3306/db'),
        ('postgresql://u@[::1]:5432/db', 'postgresql://[::1]:5432/db'),
        ('postgresql://u:sesame@/db?host=/run', 'postgresql:///db'),
        ('mysql://h/db?password=sesame', 'mysql://h/db'),
        ('mysql://u:ses/ame@h/db', 'not shown'),
        ('mysql://u:ses?ame@h/db', 'not shown'),
        ('mysql://u:ses#ame@h/db', 'not shown'),
        ('mysql://u:ses@ame@h/db', 'not shown'),
        ('mysql://u:sesame', 'not shown'),
        ('mysql://h/db?password=ses@ame', 'not shown'),
        ('sesame', 'not shown'),
        ('mysql://u:p@h/db\nsesame', 'not shown'),
        ('', 'unknown to the guard'),
        (None, 'unknown to the guard'),
    ],
)
def test_the_target_is_shown_without_what_may_be_a_password(
    connection: str | None, shown: str
) -> None:
    assert startup.describe_target(connection) == shown
