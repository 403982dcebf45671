# SPDX-License-Identifier: Apache-2.0
"""Both commands show the installed version with its build."""

import importlib.metadata

import pytest

from consumer_guard.cmd import main, status


@pytest.mark.parametrize(
    ('program', 'run'),
    [
        ('consumer-guard', main.main),
        ('consumer-guard-status', status.check_upgrade),
    ],
)
def test_version_shows_the_version_of_the_distribution(
    program: str, run: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(run)
    with pytest.raises(SystemExit) as ended:
        run(['--version'])
    assert ended.value.code == 0
    installed = importlib.metadata.version('consumer-guard')
    shown = capsys.readouterr().out.split()[-1]
    assert shown == installed, program
