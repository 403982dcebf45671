# SPDX-License-Identifier: Apache-2.0
"""The version that commands, records and the start's log line show."""

import pathlib
import sys

import pytest

from consumer_guard.cmd import main, status
from consumer_guard.telemetry.version import find_guard_version


@pytest.mark.parametrize(
    ('program', 'run'),
    [
        ('consumer-guard', main.main),
        ('consumer-guard-status', status.check_upgrade),
    ],
)
def test_both_commands_show_the_version_with_its_build(
    program: str, run: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(run)
    with pytest.raises(SystemExit) as ended:
        run(['--version'])
    assert ended.value.code == 0
    _, _, shown = capsys.readouterr().out.partition(' ')
    assert shown == f'{find_guard_version()}\n', program


def _install(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, build: str | None
) -> None:
    info = folder / 'consumer_guard-1.2.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: consumer-guard\nVersion: 1.2.0\n'
    )
    if build is not None:
        (info / 'pbr.json').write_text(build)
    monkeypatch.setattr(sys, 'path', [str(folder)])


@pytest.mark.parametrize(
    ('build', 'shown'),
    [
        pytest.param(
            '{"git_version": "d48ac64", "is_release": false}',
            '1.2.0 (d48ac64)',
            id='development',
        ),
        pytest.param(
            '{"git_version": "d48ac64", "is_release": true}', '1.2.0', id='release'
        ),
        pytest.param(
            '{"git_version": "", "is_release": false}', '1.2.0', id='without git'
        ),
        pytest.param(None, '1.2.0', id='no build file'),
    ],
)
def test_the_commit_is_shown_where_the_build_is_no_release(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    build: str | None,
    shown: str,
) -> None:
    _install(tmp_path, monkeypatch, build)
    assert find_guard_version() == shown


def test_a_guard_that_is_not_installed_has_no_version(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    assert find_guard_version() == 'unknown'
