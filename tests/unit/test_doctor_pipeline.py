# SPDX-License-Identifier: Apache-2.0
"""Paste files in every order, read as PasteDeploy builds them."""

import itertools
import pathlib
from collections.abc import Callable

import pytest
from oslo_config import cfg

from consumer_guard.analysis.findings import Finding, Severity, find_worst
from consumer_guard.doctor import pipeline
from consumer_guard.doctor.paste_file import read_layout
from consumer_guard.guard.errors import ConfigurationError

SECTIONS = """
[filter:request_log]
use = egg:consumer-guard#request_log
[filter:authtoken]
use = egg:consumer-guard#authtoken
[filter:plain_authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
[filter:noauth]
use = egg:consumer-guard#noauth
[filter:consumer_guard]
use = egg:consumer-guard
enforcement = shadow
[filter:again]
use = consumer_guard
denial = conceal
[filter:cors]
paste.filter_factory = oslo_middleware.cors:filter_factory
[filter:other]
paste.filter_factory = oslo_middleware.request_id:RequestId.factory
[app:placement]
use = egg:consumer-guard#placement
[app:mine]
paste.app_factory = tests.unit.test_doctor_pipeline:make_mine
[app:health]
paste.app_factory = oslo_middleware:Healthcheck.app_factory
"""

GOOD = 'request_log authtoken consumer_guard placement'


def make_mine(_global_conf: object, **_local_conf: str) -> None:
    """An application of which nothing is known."""
    raise AssertionError('a check calls no factory')


Examine = Callable[[str], dict[str, Finding]]


@pytest.fixture
def examine(tmp_path: pathlib.Path) -> Examine:
    """The worst finding of each check for a text that begins the file."""

    def run(text: str) -> dict[str, Finding]:
        path = tmp_path / 'api-paste.ini'
        path.write_text(text + SECTIONS)
        findings = pipeline.check_pipeline(read_layout(str(path)))
        return {
            one.subject: one
            for one in sorted(findings, key=lambda finding: finding.severity)
        }

    return run


def written(words: str) -> str:
    return f'[pipeline:main]\npipeline = {words}\n'


PARTS = ('request_log', 'authtoken', 'consumer_guard', 'other')


@pytest.mark.parametrize(
    'order',
    [
        order
        for length in range(len(PARTS) + 1)
        for order in itertools.permutations(PARTS, length)
    ],
    ids=' '.join,
)
def test_every_order_of_the_filters_is_judged_by_what_comes_first(
    examine: Examine, order: tuple[str, ...]
) -> None:
    found = examine(written(' '.join((*order, 'placement'))))

    def before(one: str, other: str) -> bool:
        if one not in order:
            return False
        return other not in order or order.index(one) < order.index(other)

    guarded = 'consumer_guard' in order
    neighbour = not guarded or order[-1] == 'consumer_guard'
    wanted = {
        'guard': guarded,
        'authtoken': before('authtoken', 'consumer_guard'),
        'request_log': before('request_log', 'consumer_guard'),
        'behind the guard': neighbour,
    }
    for check, is_right in wanted.items():
        assert (found[check].severity <= Severity.NOTE) is is_right, found[check]
        assert bool(found[check].fix) is not is_right
    assert found['other sections'].severity is Severity.OK


@pytest.mark.parametrize(
    ('words', 'check', 'severity', 'said'),
    [
        ('request_log plain_authtoken consumer_guard placement', 'authtoken', 0, ''),
        ('request_log noauth consumer_guard placement', 'authtoken', 3, 'noauth'),
        ('authtoken consumer_guard again placement', 'guard', 2, '2 times'),
        ('authtoken consumer_guard other placement', 'behind the guard', 3, 'other'),
        ('authtoken consumer_guard mine', 'behind the guard', 1, 'mine'),
        ('authtoken mine', 'guard', 3, 'no served section'),
    ],
)
def test_a_finding_names_the_culprit_and_the_file(
    examine: Examine, words: str, check: str, severity: int, said: str
) -> None:
    finding = examine(written(words))[check]
    assert finding.severity == severity
    assert said in finding.text
    assert 'api-paste.ini' in finding.where


COMPOSITE = '[composite:main]\nuse = egg:Paste#urlmap\n'


@pytest.mark.parametrize(
    ('text', 'worst'),
    [
        # Built in every way that PasteDeploy knows.
        (f'{COMPOSITE}/health = health\n/ = x\n[pipeline:x]\npipeline = {GOOD}\n', 0),
        (f'{COMPOSITE}/a = x\n/ = placement\n[pipeline:x]\npipeline = {GOOD}\n', 3),
        (f'{COMPOSITE}/a = b\n[composite:b]\nuse=egg:Paste#urlmap\n/ = placement\n', 3),
        (
            '[composite:main]\nuse = call:tests.unit.test_doctor_pipeline:make_mine'
            f'\nkeystone = {GOOD}\nnoauth2 = request_log noauth placement\n',
            2,
        ),
        (
            '[composite:main]\nuse = call:tests.unit.test_doctor_pipeline:make_mine'
            '\nkeystone = authtoken placement\nnoauth2 = noauth placement\n',
            3,
        ),
        (
            '[composite:main]\nuse = call:tests.unit.test_doctor_pipeline:make_mine'
            f'\nkeystone = {GOOD}\n',
            0,
        ),
        (
            '[filter-app:main]\nuse = request_log\nnext = x\n'
            '[pipeline:x]\npipeline = authtoken consumer_guard placement\n',
            0,
        ),
        (
            '[app:main]\nuse = placement\nfilter-with = a\n'
            '[filter:a]\nuse = consumer_guard\nfilter-with = b\n'
            '[filter:b]\nuse = authtoken\nfilter-with = request_log\n',
            0,
        ),
        (
            '[app:main]\nuse = placement\nfilter-with = a\n'
            '[filter:a]\nuse = authtoken\nfilter-with = b\n'
            '[filter:b]\nuse = consumer_guard\nfilter-with = request_log\n',
            3,
        ),
        # Placement past the guard, for whoever names the section.
        (f'{written(GOOD)}[pipeline:x]\npipeline = authtoken placement\n', 2),
        (f'{written(GOOD)}[pipeline:x]\npipeline = nosuch placement\n', 0),
        (f'{written(GOOD)}[pipeline:x]\npipeline = authtoken mine\n', 0),
    ],
)
def test_the_verdict_is_right_however_the_file_builds_the_pipeline(
    examine: Examine, text: str, worst: int
) -> None:
    assert find_worst(examine(text).values()) == worst


def test_another_file_is_followed(examine: Examine, tmp_path: pathlib.Path) -> None:
    (tmp_path / 'other.ini').write_text(written('authtoken placement') + SECTIONS)
    found = examine('[app:main]\nuse = config:other.ini\n')
    assert found['guard'].severity is Severity.FAILURE


def test_options_of_the_guard_with_those_it_inherits(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'api-paste.ini'
    path.write_text(written('authtoken again placement') + SECTIONS)
    assert read_layout(str(path)).guard_options == {
        'enforcement': 'shadow',
        'denial': 'conceal',
    }


@pytest.mark.parametrize(
    ('text', 'named'),
    [
        ('nonsense', 'api-paste.ini'),
        ('[app:else]\nuse = egg:consumer-guard#placement\n', 'main'),
        ('[pipeline:main]\npipeline = nosuch placement\n' + SECTIONS, 'nosuch'),
        ('[app:main]\nuse = egg:no-such-package\n', 'no-such-package'),
        ('[app:main]\nuse = egg:consumer-guard#nosuch\n', 'nosuch'),
        ('[app:main]\npaste.app_factory = no.such:thing\n', 'no'),
        ('[app:main]\npaste.app_factory = os:nosuch\n', 'nosuch'),
        ('[app:main]\nuse = %(nosuch)s\n', 'nosuch'),
        ('[app:main]\nuse = main\n', 'api-paste.ini'),
        ('[composite:main]\nuse = egg:Paste#urlmap\n/ = main\n', 'main'),
    ],
)
def test_an_unusable_file_is_one_line_that_names_the_cause(
    tmp_path: pathlib.Path, text: str, named: str
) -> None:
    path = tmp_path / 'api-paste.ini'
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_layout(str(path))
    assert named in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('words', 'allowed', 'severity'),
    [
        (GOOD, None, 0),
        (GOOD, ['https://x'], 2),
        (f'cors {GOOD}', ['https://x'], 0),
        (f'cors {GOOD}', None, 0),
        ('authtoken cors consumer_guard placement', ['https://x'], 2),
    ],
)
def test_allowed_origins_without_cors_ahead_of_authtoken_are_a_warning(
    tmp_path: pathlib.Path, words: str, allowed: list[str] | None, severity: int
) -> None:
    path = tmp_path / 'api-paste.ini'
    path.write_text(written(words) + SECTIONS)
    placement = cfg.ConfigOpts()
    placement.register_opts(
        [cfg.ListOpt('allowed_origin', default=allowed)], group='cors'
    )
    finding = pipeline.check_cors(read_layout(str(path)), placement)
    assert finding.severity == severity
