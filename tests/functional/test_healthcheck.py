# SPDX-License-Identifier: Apache-2.0
"""The healthcheck plugin in the pipeline that the sample shows."""

import os
import time
from collections.abc import Iterator

import pytest
import webtest
from oslo_middleware import healthcheck
from paste import deploy as paste_deploy

from tests import statements as at_drivers
from tests.configuration import ETC
from tests.deployment import Deploy, Deployment
from tests.functional.conftest import Records

#: Seconds; the deployments look at their files every 0.05.
PATIENCE = 60.0

SECTION = 'backends = consumer_guard'


def uncommented() -> str:
    """The sample with the three sections of the health check in force."""
    head, _, tail = (ETC / 'api-paste.ini').read_text().partition('# [composite:main]')
    shown, _, rest = tail.partition('\n\n')
    _, _, rest = rest.partition('placement\n')
    lines = f'# [composite:main]{shown}'.splitlines()
    assert all(line.startswith('#') for line in lines)
    text = '\n'.join(line.removeprefix('#').removeprefix(' ') for line in lines)
    return f'{head}{text}\n{rest}'


@pytest.fixture
def healthy(deploy: Deploy) -> Deployment:
    deployed = deploy(options={'lookup_timeout': 0.5})
    (deployed.directory / 'api-paste.ini').write_text(uncommented())
    deployed.load()
    return deployed


def ask(deployed: Deployment) -> webtest.TestResponse:
    return deployed.client.get(
        '/healthcheck',
        headers={'Accept': 'application/json'},
        expect_errors=True,
    )


def await_reason(deployed: Deployment, reason: str) -> webtest.TestResponse:
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = ask(deployed)
        if answer.json['reasons'][0] == reason or time.monotonic() > deadline:
            assert answer.json['reasons'] == [reason]
            return answer
        time.sleep(0.02)


def detailed(deployed: Deployment) -> None:
    deployed.reload_with(SECTION, f'{SECTION}\ndetailed = True')


def details(deployed: Deployment) -> str:
    """What the detailed mode shows; it differs from the others by that alone."""
    text: str = ask(deployed).json['reasons'][0]['details']
    return text


def test_available_and_the_rest_is_guarded(healthy: Deployment) -> None:
    answer = ask(healthy)
    assert answer.status_int == 200
    assert answer.json['reasons'] == ['OK']
    assert healthy.request('GET', '/').status_int == 200
    assert healthy.request('GET', '/allocations/x').status_int == 401
    assert healthy.request('GET', '/allocations/x', healthy.admin).status_int == 200


def test_a_broken_file_with_the_last_good_rules_kept(healthy: Deployment) -> None:
    assert ask(healthy).status_int == 200
    healthy.policy_file.write_text('"consumer_guard:usages": "sesame"\n')
    answer = await_reason(healthy, 'CONSUMER GUARD: POLICY FILES')
    assert answer.status_int == 503
    assert str(healthy.directory) not in answer.text
    # Guarded requests go on with the rules as they were.
    assert healthy.request('GET', '/allocations/x', healthy.admin).status_int == 200
    healthy.policy_file.write_text('"consumer_guard:usages": "role:admin"\n')
    assert await_reason(healthy, 'OK').status_int == 200


def test_details_name_the_file_and_no_password(healthy: Deployment) -> None:
    healthy.policy_file.write_text(
        '"consumer_guard:usages": "http://u:sesame@127.0.0.1:9/ or"\n'
    )
    detailed(healthy)
    shown = details(healthy)
    assert str(healthy.policy_file) in shown
    assert 'consumer_guard:usages' in shown
    assert 'sesame' not in shown
    assert '\n' not in shown


def test_locked_at_the_start(healthy: Deployment) -> None:
    healthy.policy_file.write_text('- not\n- a mapping\n')
    healthy.load()
    assert ask(healthy).json['reasons'] == ['CONSUMER GUARD: POLICY FILES, LOCKED']
    assert ask(healthy).status_int == 503
    healthy.policy_file.write_text('{}\n')
    await_reason(healthy, 'OK')


def test_head_gets_the_status_of_get_without_a_body(healthy: Deployment) -> None:
    assert healthy.client.head('/healthcheck').status_int == 204
    healthy.policy_file.write_text('- broken\n')
    await_reason(healthy, 'CONSUMER GUARD: POLICY FILES')
    answer = healthy.client.head('/healthcheck', expect_errors=True)
    assert (answer.status_int, answer.body) == (503, b'')


@pytest.mark.parametrize(
    'connection',
    [
        'postgresql+psycopg2://u:sesame@127.0.0.1:9/placement',
        'mysql+pymysql://u:sesame@127.0.0.1:9/placement',
        'sqlite:////nowhere/placement.db',
    ],
)
def test_a_database_that_is_away_is_a_reason_without_its_address(
    healthy: Deployment, connection: str
) -> None:
    path = healthy.directory / 'api-paste.ini'
    before = path.read_text()
    path.write_text(before.replace(SECTION, f'{SECTION}\nconnection = {connection}'))
    healthy.load()
    answer = ask(healthy)
    assert answer.status_int == 503
    assert answer.json['reasons'] == ['CONSUMER GUARD: OWNER LOOK-UP']
    detailed(healthy)
    shown = details(healthy)
    assert 'log' in shown
    assert 'sesame' not in shown
    assert '127.0.0.1' not in shown


@pytest.mark.parametrize(
    'line', ['lookup_timeout = soon', 'connection = nonsense', 'denial = sesame']
)
def test_what_cannot_be_used_is_not_healthy(
    healthy: Deployment, line: str, records: Records
) -> None:
    healthy.reload_with(SECTION, f'{SECTION}\n{line}')
    answer = ask(healthy)
    assert answer.status_int == 503
    assert answer.json['reasons'] == ['CONSUMER GUARD: CONFIGURATION']
    assert line.partition(' ')[0] in records.text


def test_a_missing_configuration_is_not_healthy(healthy: Deployment) -> None:
    healthy.reload_with(
        f'{SECTION}\noslo_config_project = consumer-guard\n'
        'oslo_config_file = %(here)s/consumer-guard.conf',
        f'{SECTION}\noslo_config_file = /nowhere.conf',
    )
    assert ask(healthy).json['reasons'] == ['CONSUMER GUARD: CONFIGURATION']


class Counting:
    """How many statements the database got."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, *_args: object) -> None:
        self.count += 1


@pytest.fixture
def statements() -> Iterator[Counting]:
    counting = Counting()
    with at_drivers.noted(counting):
        yield counting


@pytest.fixture
def app(healthy: Deployment) -> healthcheck.Healthcheck:
    """The application alone."""
    path = healthy.directory / 'api-paste.ini'
    loaded: healthcheck.Healthcheck = paste_deploy.loadapp(
        f'config:{path}', name='healthcheck'
    )
    return loaded


def test_nothing_is_asked_before_the_first_request_and_little_after(
    healthy: Deployment, app: healthcheck.Healthcheck, statements: Counting
) -> None:
    assert statements.count == 0
    client = webtest.TestApp(app)
    started = time.monotonic()
    for _ in range(200):
        assert client.get('/').status_int == 200
    spent = time.monotonic() - started
    assert 1 <= statements.count <= 2 + spent / 0.05


def test_a_fork_after_the_first_request(app: healthcheck.Healthcheck) -> None:
    client = webtest.TestApp(app)
    assert client.get('/').status_int == 200
    time.sleep(0.06)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if client.get('/').status_int == 200 else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    time.sleep(0.06)
    assert client.get('/').status_int == 200
