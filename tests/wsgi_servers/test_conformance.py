# SPDX-License-Identifier: Apache-2.0
"""The same answers under every server, mounted at / and at /placement.

Placement's own rules are wide open here, so whatever is refused, the guard has
refused it. What a server refuses by itself is as good.
"""

import concurrent.futures
import contextlib
import json
import os
import signal
import time
import uuid

import pytest

from tests.administrator import User, make_claim
from tests.configuration import write_options
from tests.wsgi_servers import site as sites
from tests.wsgi_servers.site import SERVICE, Site
from tests.wsgi_servers.starters import PROCESSES
from tests.wsgi_servers.wire import Answer, Closed, chunk, connect, make_head

#: More than max_body_size.
TOO_LARGE = 3 * 2**20

#: Seconds within which a server has to have loaded its application anew.
RELOAD = 60


def assert_refused(answer: Answer) -> None:
    """403 in placement's own form."""
    assert answer.status == 403
    assert answer.headers['content-type'] == 'application/json'
    assert answer.headers['openstack-api-version'] == 'placement 1.38'
    (error,) = answer.json['errors']
    assert error['status'] == 403
    assert error['code'] == 'placement.undefined_code'
    assert error['request_id'] == answer.headers['x-openstack-request-id']
    assert 'consumer_guard:' in error['detail'].strip().splitlines()[-1]


def test_the_root_is_open(site: Site) -> None:
    """Probes have no token; nothing else is open."""
    found = site.ask('GET', '/')
    assert found.status == 200
    assert found.json['versions'][0]['id'] == 'v1.0'
    unguarded = site.ask('GET', '/resource_providers')
    assert unguarded.status == 401


def test_reads_of_her_own_are_answered_and_all_others_refused(
    site: Site, alice: User, hers: str, his: str
) -> None:
    own = site.ask('GET', f'/allocations/{hers}', alice)
    assert own.status == 200
    assert own.json['project_id'] == alice.project_id
    assert_refused(site.ask('GET', f'/allocations/{his}', alice))
    assert_refused(site.ask('GET', f'/allocations/{uuid.uuid4()}', alice))
    assert_refused(site.ask('GET', '/usages?project_id=project-b', alice))
    assert site.ask('GET', '/usages?project_id=project-a', alice).status == 200


def test_the_list_of_a_provider_shows_only_her_own(
    site: Site, provider: str, alice: User, hers: str, his: str
) -> None:
    shown = site.ask('GET', f'/resource_providers/{provider}/allocations', alice)
    assert shown.status == 200
    assert hers in shown.json['allocations']
    assert his.encode() not in shown.body


@pytest.mark.parametrize('method', ['PUT', 'POST'])
@pytest.mark.parametrize('chunked', [False, True])
def test_writes(
    site: Site,
    provider: str,
    alice: User,
    bob: User,
    method: str,
    chunked: bool,
) -> None:
    """What placement sees, the guard sees, however the body comes.

    Under a server that keeps chunked bodies to itself both see none.
    """

    def write(caller: User, owner: User, consumer: str) -> int:
        claim: object = make_claim(provider, owner, 1, amount=2)
        if method == 'POST':
            claim = {consumer: claim}
        path = '/allocations' + (f'/{consumer}' if method == 'PUT' else '')
        if not chunked:
            return site.ask(method, path, caller, claim).status
        head = site.head(method, path, caller, Transfer_Encoding='chunked')
        with connect(site.port) as connection:
            connection.send(head + chunk(json.dumps(claim).encode()))
            return connection.receive().status

    served, hers, his = (
        site.add_consumer(provider, owner) for owner in (alice, alice, bob)
    )
    done = write(SERVICE, alice, served)
    assert done == 204 if not chunked else done in (204, 400)
    assert write(alice, alice, hers) == done
    moved = 2 if done == 204 else 1
    assert site.show(hers)['consumer_generation'] == moved
    untouched = site.show(his)
    for owner in (alice, bob):
        assert write(alice, owner, his) in ((403,) if done == 204 else (403, 400))
    assert write(alice, bob, hers) in ((403, 409) if done == 204 else (403, 400))
    assert site.show(his) == untouched
    assert site.show(hers)['project_id'] == alice.project_id


def test_two_lengths_of_one_body(
    site: Site, provider: str, alice: User, bob: User, hers: str, his: str
) -> None:
    """Content-Length and chunks, in both orders: one reading, or none."""
    untouched = _tell_owner(site, his)
    own = json.dumps({hers: make_claim(provider, alice, 1)}).encode()
    other = json.dumps({his: make_claim(provider, alice, 1)}).encode()
    for first, second in ((own, other), (other, own)):
        head = site.head(
            *('POST', '/allocations', alice),
            Content_Length=str(len(first)),
            Transfer_Encoding='chunked',
            Connection='close',
        )
        with connect(site.port) as connection:
            connection.send(head + chunk(second) + first)
            with contextlib.suppress(Closed):
                while True:
                    assert b'project-b' not in connection.receive().body
        assert _tell_owner(site, his) == untouched


def _tell_owner(site: Site, consumer: str) -> tuple[object, object]:
    """Not the allocations: a provider's generation grows with other writes."""
    shown = site.show(consumer)
    return shown['project_id'], shown['consumer_generation']


@pytest.mark.parametrize('method', ['GET', 'PUT', 'DELETE'])
@pytest.mark.parametrize(
    'spelling',
    [
        '/allocations/{c}%0A',
        '/allocations%2F{c}',
        '//allocations/{c}',
        '/allocations//{c}',
        '/./allocations/{c}',
        '/usages/../allocations/{c}',
        '/%61llocations/{c}',
        '/allocations/{c}/',
        '/allocations/{c};x=1',
        '/allocations/{C}',
        '/allocations/{c}%20',
        '/allocations/{c}%00',
    ],
)
def test_spellings(
    site: Site,
    alice: User,
    bob: User,
    provider: str,
    his: str,
    method: str,
    spelling: str,
) -> None:
    """However the server decodes a path, another owner's stays closed."""
    untouched = site.show(his)
    path = spelling.format(c=his, C=his.upper())
    body = make_claim(provider, alice, 1) if method == 'PUT' else None
    try:
        answer = site.ask(method, path, alice, body)
    except Closed:
        answer = None
    if answer is not None:
        assert answer.status in (400, 403, 404, 405)
        assert b'project-b' not in answer.body
    assert site.show(his) == untouched


def test_an_absolute_target(site: Site, alice: User, hers: str, his: str) -> None:
    """``GET http://host/path``: the guard goes by what placement goes by."""
    for consumer, expected in ((his, {400, 403, 404}), (hers, {200, 400, 404})):
        target = f'http://placement{site.mount}/allocations/{consumer}'
        head = make_head('GET', target, sites.make_headers(alice))
        with connect(site.port) as connection:
            connection.send(head)
            assert connection.receive().status in expected


@pytest.mark.parametrize('method', ['HEAD', 'OPTIONS', 'PATCH', 'get'])
def test_other_methods(
    site: Site, alice: User, hers: str, his: str, method: str
) -> None:
    """Not placement's: the same answer for all, and nothing happens."""
    answers: set[tuple[int, str | None]] = set()
    for consumer in (his, hers, str(uuid.uuid4())):
        try:
            answer = site.ask(method, f'/allocations/{consumer}', alice)
        except Closed:
            answers.add((0, None))
            continue
        assert answer.status in (400, 405, 501)
        answers.add((answer.status, answer.headers.get('content-type')))
    assert len(answers) == 1


@pytest.mark.parametrize('length', [2_000, 7_000, 70_000])
def test_long_targets(site: Site, alice: User, hers: str, length: int) -> None:
    """Refused by the one or the other; the server goes on."""
    for target in (
        f'/allocations/{"-" * length}',
        f'/usages?project_id={"b" * length}',
    ):
        try:
            assert 400 <= site.ask('GET', target, alice).status < 500
        except Closed:
            continue
    assert site.ask('GET', f'/allocations/{hers}', alice).status == 200


def test_big_bodies(site: Site, provider: str, alice: User, hers: str) -> None:
    """413, before the body is there if need be; a role-holder's is forwarded."""
    length = str(TOO_LARGE)
    head = site.head('PUT', f'/allocations/{hers}', alice, Content_Length=length)
    with connect(site.port) as connection:
        connection.send(head + b' ' * 1000)
        # mod_wsgi's daemon gets the request only when all of it is there.
        if not connection.wait(2):
            connection.send(b' ' * (TOO_LARGE - 1000))
        assert connection.receive().status == 413
    claim = json.dumps(make_claim(provider, alice, 1)).encode()
    padded = claim + b' ' * (TOO_LARGE - len(claim))
    assert site.ask('PUT', f'/allocations/{hers}', SERVICE, padded).status == 204
    assert site.show(hers)['consumer_generation'] == 2


@pytest.mark.parametrize(
    'name', ['X_Roles', 'x_roles', 'X-Roles', 'X-Role', 'X_Role', 'X_Service-Roles']
)
def test_the_passage_role_from_outside(
    site: Site, alice: User, his: str, name: str
) -> None:
    """Stripped in whatever header a server folds into one of identity."""
    forged = {name: 'reader,consumer_guard_passage'}
    answer = site.ask('GET', f'/allocations/{his}', alice, headers=forged)
    assert answer.status in (400, 403)
    alone = sites.make_headers(alice)
    del alone['X-Roles']
    head = make_head('GET', f'{site.mount}/allocations/{his}', alone | forged)
    with connect(site.port) as connection:
        connection.send(head)
        assert connection.receive().status in (400, 401, 403)


@pytest.mark.parametrize('chunked', [False, True])
def test_what_follows_a_refusal_on_one_connection(
    site: Site, alice: User, hers: str, his: str, chunked: bool
) -> None:
    """The body that nobody read is never taken for the next request."""
    smuggled = make_head(
        'GET', f'{site.mount}/allocations/{his}', sites.make_headers(SERVICE)
    )
    body = smuggled * 40
    length = {'Content_Length': str(len(body))}
    if chunked:
        length, body = {'Transfer_Encoding': 'chunked'}, chunk(body, 1000)
    head = site.head('DELETE', f'/allocations/{his}', alice, **length)
    with connect(site.port) as connection:
        connection.send(head + body)
        assert connection.receive().status == 403
        try:
            following = site.ask('GET', f'/allocations/{hers}', alice, on=connection)
        except Closed:
            return
        assert following.status in (200, 400)
        if following.status == 200:
            assert following.json['project_id'] == alice.project_id
        else:
            with pytest.raises(Closed):
                connection.receive()


def test_a_kept_connection(site: Site, alice: User, hers: str, his: str) -> None:
    """Refusals without a body leave the connection as it was."""
    with connect(site.port) as connection:
        for _ in range(5):
            try:
                first = site.ask('GET', f'/allocations/{his}', alice, on=connection)
                assert first.status == 403
                own = site.ask('GET', f'/allocations/{hers}', alice, on=connection)
                assert own.json['project_id'] == alice.project_id
            except Closed:
                # A server without keep-alive.
                break
    with connect(site.port) as connection:
        answer = site.ask('HEAD', f'/allocations/{his}', alice, on=connection)
        assert answer.status in (403, 405)


def test_every_process_finds_the_owners(site: Site, provider: str) -> None:
    """O18: forked after a first request, each has a connection of its own."""
    owned = []
    for number in range(PROCESSES):
        user = User(('reader',), f'project-{number}')
        owned.append((user, site.add_consumer(provider, user)))

    def ask(number: int) -> tuple[bool, int]:
        user, _ = owned[number % PROCESSES]
        _, consumer = owned[number // PROCESSES % PROCESSES]
        own = number % PROCESSES == number // PROCESSES % PROCESSES
        return own, site.ask('GET', f'/allocations/{consumer}', user).status

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(320)))
    assert {status for own, status in answers if own} == {200}
    assert {status for own, status in answers if not own} == {403}


def test_a_graceful_reload(
    site: Site, alice: User, bob: User, hers: str, his: str
) -> None:
    """Last here: new options come in force, and in between nothing is shown."""
    write_options(site.folder, denial='conceal')
    os.kill(site.pid, signal.SIGUSR1 if _is_apache(site) else signal.SIGHUP)
    deadline = time.monotonic() + RELOAD
    seen: set[int] = set()
    concealed = 0
    while concealed < 8 * PROCESSES:
        assert time.monotonic() < deadline, seen
        try:
            other = site.ask('GET', f'/allocations/{his}', alice)
            own = site.ask('GET', f'/allocations/{hers}', alice)
        except (Closed, OSError):
            continue
        seen |= {other.status, own.status}
        assert other.status in (200, 403, 503)
        assert b'project-b' not in other.body
        assert own.status in (200, 503)
        if other.status == 200:
            assert other.json == {'allocations': {}}
        concealed = concealed + 1 if other.status == 200 else 0
    assert site.ask('GET', f'/allocations/{hers}', alice).json['allocations']


def _is_apache(site: Site) -> bool:
    return (site.folder / 'apache.conf').exists()
