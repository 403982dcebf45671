# SPDX-License-Identifier: Apache-2.0
"""The lanes of OpenStack's releases: their constraints, and the record of their runs."""

import configparser
import pathlib
import re
from dataclasses import replace

import pytest
from oslo_config import cfg
from oslo_policy import opts
from packaging.requirements import Requirement

from consumer_guard import assembly
from consumer_guard.cmd import enforcer
from consumer_guard.config import loading
from doc import releases
from tests import ports
from tools import install_release

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RUN = releases.Run(
    '2025.1',
    '3.10',
    'sqlite',
    10,
    1,
    True,
    {'SQLAlchemy': '2.0.38', 'oslo.policy': '4.5.1', 'openstack-placement': '13.0.0'},
)


def _read_floors() -> list[Requirement]:
    """What is required here and in the extra ``placement``."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / 'setup.cfg')
    text = (ROOT / 'requirements.txt').read_text() + setup['extras']['placement']
    return [Requirement(line) for line in re.findall(r'^\w.*', text, re.M)]


def test_every_release_that_has_a_lane_is_in_the_table() -> None:
    """With its runs, or as not recorded."""
    rows = [line.split(',')[0] for line in releases.make_table([RUN]).splitlines()]
    assert sorted(rows) == releases.list_releases()
    assert {run.release for run in releases.read_runs()} <= {*rows}


@pytest.mark.parametrize('run', releases.read_runs(), ids=lambda run: str(run.key))
def test_requirements_allow_what_each_release_has(run: releases.Run) -> None:
    """A floor above a release's constraints could not be installed there."""
    for floor in _read_floors():
        assert floor.specifier.contains(run.versions[floor.name]), floor


def test_the_table_has_a_row_per_release_and_python() -> None:
    part = replace(RUN, database='mysql', passed=3, whole=False)
    other = replace(RUN, python='3.12')
    assert releases.make_table([RUN, part, other]).splitlines()[:2] == [
        '2025.1,13.0.0,2.0.38,4.5.1,3.10,10,,3 (part)',
        '2025.1,13.0.0,2.0.38,4.5.1,3.12,10,,',
    ]


@pytest.mark.parametrize(
    ('before', 'after', 'kept'),
    [
        (RUN, replace(RUN, passed=9), 9),
        (RUN, replace(RUN, passed=11, whole=False), 10),
        (replace(RUN, whole=False), replace(RUN, passed=9, whole=False), 10),
        (replace(RUN, whole=False), replace(RUN, passed=9), 9),
    ],
    ids=['whole-whole', 'whole-part', 'part-part', 'part-whole'],
)
def test_a_run_is_replaced_unless_it_was_of_more_tests(
    before: releases.Run, after: releases.Run, kept: int, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / 'releases.json'
    path.write_text('[]')
    releases.record(before, path)
    releases.record(after, path)
    assert [run.passed for run in releases.read_runs(path)] == [kept]


@pytest.mark.parametrize('kind', ['file', 'address'])
def test_constraints_that_cannot_be_read_are_named_in_one_line(
    kind: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = str(tmp_path / 'none.txt')
    if kind == 'address':
        where = f'http://127.0.0.1:{ports.find_free_port()}/none'
    assert install_release.main([f'-c{where}', 'nothing']) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert where in line
    assert 'TOX_CONSTRAINTS_FILE' in line


def test_policy_yaml_is_the_default_whatever_oslo_policy_has(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was policy.json before oslo.policy 4.5."""
    path = tmp_path / 'consumer-guard.conf'
    path.write_text('[consumer_guard]\n')
    (tmp_path / 'placement.conf').touch()
    monkeypatch.setenv('OS_PLACEMENT_CONFIG_DIR', str(tmp_path))
    opts.set_defaults(cfg.ConfigOpts(), policy_file='policy.json')
    try:
        conf = loading.parse_files({'oslo_config_file': str(path)})
        assert conf.oslo_policy.policy_file == 'policy.yaml'
        placements = loading.parse_placement(dict(opts.list_opts()))
        assert placements.oslo_policy.policy_file == 'policy.yaml'
        assert enforcer.get_enforcer().policy_file == 'policy.yaml'
    finally:
        opts.set_defaults(cfg.ConfigOpts(), policy_file='policy.yaml')


def test_rules_are_watched_without_the_option_remote_timeout(
    tmp_path: pathlib.Path,
) -> None:
    """oslo.policy has it from 4.5 on."""
    path = tmp_path / 'consumer-guard.conf'
    path.write_text('[consumer_guard]\nconnection = sqlite://\n')
    (tmp_path / 'policy.yaml').touch()
    local_conf = {'oslo_config_file': str(path)}
    settings = loading.load(loading.parse_files(local_conf), local_conf).settings
    conf = cfg.ConfigOpts()
    ((group, options),) = opts.list_opts()
    conf.register_opts(
        [option for option in options if option.dest != 'remote_timeout'], group=group
    )
    conf([], default_config_files=[str(path)])
    assert assembly.watch_rule_files(conf, settings).current().digest
