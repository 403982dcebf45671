# SPDX-License-Identifier: Apache-2.0
"""THREATS: whom log lines name, as oslo.log's own formatter writes them."""

import concurrent.futures
import itertools
import logging
import random
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from oslo_config import cfg
from oslo_context import context
from oslo_log import formatters, log

from consumer_guard.backend import request_log_factory
from consumer_guard.guard.identity import Environ, set_context
from consumer_guard.guard.responses import StartResponse
from tests.administrator import User
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy
from tests.functional.test_threats_identity import forged
from tests.fuzz.wire import make_environ, send
from tests.profiles import many
from tests.scenery import Scene
from tests.unit.test_wsgi import BrokenStream

Listen = Callable[..., 'Lines']

#: oslo.log's default: the request ids, then user, project and their domains.
_PREFIX = re.compile(r' \[(?P<ids>[^][]*?)(?P<id>req-\S+) (?P<identity>[^][]*)\] ')
_NOBODY = {'-'}
_BEFORE_PROOF = re.compile('Starting request|keystonemiddleware')
_LOGGERS = ('consumer_guard', 'keystonemiddleware', 'placement')


class Lines(logging.Handler):
    """The lines of a request, by oslo.log's ContextFormatter."""

    def __init__(self, **options: str) -> None:
        super().__init__(logging.DEBUG)
        conf = cfg.ConfigOpts()
        log.register_options(conf)
        for name, value in options.items():
            conf.set_override(name, value)
        self.setFormatter(formatters.ContextFormatter(config=conf))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def text(self) -> str:
        return '\n'.join(self.lines)

    def of(self, request_id: str | None) -> list[str]:
        """The lines that carry a request id, whosever they are."""
        return [line for line in self.lines if f'{request_id} ' in line]


@pytest.fixture(autouse=True)
def thread_without_context() -> None:
    """Other tests of this process may have left a context in the thread."""
    set_context(None)


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Attach handlers, after deployments are made: each sets logging up anew."""
    attached: list[Lines] = []

    def attach(**options: str) -> Lines:
        attached.append(Lines(**options))
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(attached[-1])
        return attached[-1]

    yield attach
    for handler, name in itertools.product(attached, _LOGGERS):
        logging.getLogger(name).removeHandler(handler)


class Step(NamedTuple):
    """One request, which says in its headers that it is of somebody else.

    :ivar sender: whose token it carries
    :ivar named: whom its lines name
    """

    name: str
    status: int
    method: str
    path: str
    sender: User | None
    named: User | None
    version: str = '1.38'


def list_steps(scene: Scene, *, conceals: bool = False) -> list[Step]:
    """Requests of every outcome."""
    mine, theirs, traits = '/allocations/{CA}', '/allocations/{CB}', '/traits'
    lists = '/resource_providers/{RP}/allocations'
    a, b, admin = scene.alice, scene.bob, scene.deployed.admin
    unknown = User((), 'unknown')
    return [
        Step('own', 200, 'GET', mine, a, a),
        Step("the victim's own", 200, 'GET', theirs, b, b),
        Step('foreign', 200 if conceals else 403, 'GET', theirs, a, a),
        Step('refused write', 403, 'DELETE', theirs, a, a),
        Step('bad microversion', 406, 'GET', theirs, a, a, '9.9'),
        Step('filtered', 200, 'GET', lists, a, a),
        Step('by role', 200, 'GET', theirs, admin, admin),
        Step('unguarded', 200, 'GET', traits, admin, admin),
        Step('no token', 401, 'GET', theirs, None, None),
        Step('unknown token', 401, 'GET', theirs, unknown, None),
        Step('unguarded without a token', 401, 'GET', traits, None, None),
        Step('versions', 200, 'GET', '/', None, None),
    ]


def send_step(scene: Scene, lines: Lines, step: Step) -> list[str]:
    """Send the request; its lines name its caller, and the thread is left clean.

    :returns: the identity in each line
    """
    other = scene.alice if step.sender is scene.bob else scene.bob
    environ = scene.environ(
        step.method,
        step.path,
        token=step.sender.token if step.sender else None,
        version=step.version,
        headers=forged(other),
    )
    answer = send(scene.deployed.application, environ)
    assert answer.status == step.status, step.name
    identities = []
    for line in lines.of(answer.header('x-openstack-request-id')):
        match = _PREFIX.search(line)
        assert match, line
        identities.append(match['identity'])
        identity = match['identity'].split()
        if step.named is None or _BEFORE_PROOF.search(line):
            assert set(identity) == _NOBODY, line
        else:
            assert identity[:2] == [step.named.user_id, step.named.project_id], line
    assert context.get_current() is None, step.name
    return identities


def make_scene(deploy: Deploy, *, delayed: bool = False, **options: object) -> Scene:
    """The sample pipeline with everything opened to owners."""
    deployed = deploy(rules=OWNER_RULES, options={'audit': 'all', **options})
    path = deployed.directory / 'placement' / 'placement.conf'
    path.write_text(f'{path.read_text()}delay_auth_decision = {delayed}\n')
    deployed.load()
    return Scene(deployed)


@pytest.mark.parametrize('denial', ['forbid', 'conceal'])
@pytest.mark.parametrize('delayed', [False, True])
def test_lines_name_the_proven_caller_after_any_other_request(
    deploy: Deploy, listen: Listen, denial: str, delayed: bool
) -> None:
    """Every step after every other one, on one thread, as keep-alive has it."""
    scene = make_scene(deploy, delayed=delayed, denial=denial)
    lines = listen()
    steps = list_steps(scene, conceals=denial == 'conceal')
    for pair in itertools.product(steps, repeat=2):
        for step in pair:
            lines.lines.clear()
            assert send_step(scene, lines, step), 'no request line'


def test_lines_name_the_proven_caller_without_a_request_log(
    deploy: Deploy, listen: Listen
) -> None:
    scene = make_scene(deploy)
    scene.deployed.reload_with('request_log authtoken', 'authtoken')
    lines = listen()
    steps = list_steps(scene)
    for pair in itertools.product(steps, repeat=2):
        for step in pair:
            lines.lines.clear()
            identities = send_step(scene, lines, step)
            if step.path.startswith('/allocations') and step.named:
                assert identities, 'no decision record'
            for user in (scene.alice, scene.bob, scene.deployed.admin):
                # auth_token's own lines, about a bad token, have no request id.
                assert user is step.named or user.user_id not in lines.text


def test_lines_name_the_proven_caller_when_the_database_is_away(
    deploy: Deploy, listen: Listen
) -> None:
    scene = make_scene(deploy)
    dead = {'connection': 'sqlite:////nonexistent/placement.db'}
    scene.deployed = deploy(options=dead)
    lines = listen()
    step = Step('503', 503, 'GET', '/allocations/{CB}', scene.alice, scene.alice)
    assert len(send_step(scene, lines, step)) >= 3, 'warning, record, request line'


def test_lines_name_the_proven_caller_after_a_fault(
    deploy: Deploy, listen: Listen
) -> None:
    scene = make_scene(deploy)
    # auth_token warns in the first request, before it has proven anybody.
    send(scene.deployed.application, scene.environ('GET', '/allocations/{CA}'))
    lines = listen()
    environ = scene.environ('PUT', '/allocations/{CA}', body=b'{}')
    environ['wsgi.input'] = BrokenStream(RuntimeError())
    answer = send(scene.deployed.application, environ)
    assert answer.status == 503
    found = lines.of(answer.header('x-openstack-request-id'))
    assert 'could not be decided' in found[0]
    for line in found:
        match = _PREFIX.search(line)
        assert match, line
        assert match['identity'].startswith(f'{scene.alice.user_id} ')


@pytest.mark.parametrize(
    'format_',
    [
        '%(user)s %(project)s %(domain)s %(user_domain)s %(project_domain)s',
        '%(user_name)s %(project_name)s %(domain_name)s %(user_domain_name)s '
        '%(project_domain_name)s',
        '%(user_identity)s %(system_scope)s %(read_only)s',
    ],
)
def test_a_refusal_names_its_caller_as_placement_itself_does(
    deploy: Deploy, listen: Listen, format_: str
) -> None:
    scene = make_scene(deploy)
    lines = listen(logging_user_identity_format=format_)
    identities = set()
    for path, status in (('/allocations/{CA}', 200), ('/allocations/{CB}', 403)):
        lines.lines.clear()
        environ = scene.environ('GET', path, headers=forged(scene.bob))
        assert send(scene.deployed.application, environ).status == status
        (line,) = [line for line in lines.lines if 'placement.requestlog' in line]
        match = _PREFIX.search(line)
        assert match, line
        identities.add(match['identity'])
    assert len(identities) == 1, identities
    assert identities != {'- - - - -'}


def test_the_first_line_names_nobody(deploy: Deploy, listen: Listen) -> None:
    """It is written before auth_token has proven anything."""
    scene = make_scene(deploy)
    lines = listen()
    logger = logging.getLogger('placement.requestlog')
    logger.setLevel(logging.DEBUG)
    try:
        step = Step('own', 200, 'GET', '/allocations/{CA}', scene.alice, scene.alice)
        identities = send_step(scene, lines, step)
    finally:
        logger.setLevel(logging.NOTSET)
    assert 'Starting request' in lines.lines[0]
    assert set(identities[0].split()) == _NOBODY


def test_headers_pass_the_request_log_as_they_came() -> None:
    behind: list[dict[str, object]] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        behind.append({k: v for k, v in environ.items() if k.startswith('HTTP_')})
        current = context.get_current()
        assert current is not None
        assert current.user_id is None
        start_response('200 OK', [])
        return []

    headers = {**forged(User(('r',), 'p')), 'X-Forwarded-For': '::1', 'Accept': 'x/y'}
    environ = make_environ('GET', '/', headers=headers)
    sent = {key: value for key, value in environ.items() if key.startswith('HTTP_')}
    send(request_log_factory({})(application), environ)
    assert behind == [sent]
    assert context.get_current() is None


def test_threads_do_not_share_a_caller(deploy: Deploy, listen: Listen) -> None:
    scene = make_scene(deploy, max_filtered_lists=8)
    lines = listen()
    steps = list_steps(scene)

    def work(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311  # not a secret
        for _ in range(many(40, 400)):
            send_step(scene, lines, chance.choice(steps))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, seed) for seed in range(8)]:
            future.result()
