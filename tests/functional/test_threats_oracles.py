# SPDX-License-Identifier: Apache-2.0
"""THREATS: what an answer gives away."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.configuration import OWNER_RULES
from tests.deployment import Deploy, Deployment
from tests.functional.conftest import Records
from tests.fuzz.wire import Answer, comparable, make_environ, send
from tests.rows import NOBODY
from tests.scenery import Scene

VERSIONS = (
    None,
    '1.0',
    '1.7',
    '1.8',
    '1.11',
    '1.12',
    '1.13',
    '1.15',
    '1.22',
    '1.23',
    '1.27',
    '1.28',
    '1.34',
    '1.38',
    '1.39',
    'latest',
    '1.400',
    'x',
)


class Kinds(Scene):
    """All that is not A's: B's in two states, nobody's in two, and unknown."""

    def __init__(self, deployed: Deployment) -> None:
        super().__init__(deployed)
        made = {
            kind: deployed.add_consumer(self.provider, self.bob)
            for kind in ('orphan', 'bare', 'incomplete')
        }
        self.consumers = made | {'foreign': self.foreign, 'unknown': self.unknown}
        self.tables.remove_allocations(made['orphan'])
        self.tables.remove_row(made['bare'])
        self.tables.set_project(made['incomplete'], NOBODY)
        self.secrets = (*self.secrets[:2], *self.consumers.values())

    def asked(self, consumer: str, version: str | None) -> Iterator[dict[str, Any]]:
        """Every operation on a consumer, with bodies of every kind."""
        claims: list[object] = [{}, None, self.claim() | {'project_id': 5}]
        number = version if version and version[2:].isdigit() else '1.39'
        for generation in (None, 0, 1, 7):
            for owner in (self.alice, self.bob):
                claims.append(self.claim(owner, generation=generation, version=number))
        reads = {'version': version}
        yield {'method': 'GET', 'path': f'/allocations/{consumer}'} | reads
        yield {'method': 'DELETE', 'path': f'/allocations/{consumer}'} | reads
        for claim in claims:
            own = self.claim(version=number)
            for method, path, document in (
                ('PUT', f'/allocations/{consumer}', claim),
                ('POST', '/allocations', {consumer: claim}),
                ('POST', '/allocations', {self.own: own, consumer: claim}),
                (
                    'POST',
                    '/reshaper',
                    {'inventories': {}, 'allocations': {consumer: claim}},
                ),
            ):
                body = json.dumps(document).encode()
                yield {'method': method, 'path': path, 'body': body} | reads

    def answers(self, consumer: str, version: str | None) -> list[Answer]:
        return [
            send(
                self.deployed.application,
                make_environ(token=self.alice.token, **asked),
            )
            for asked in self.asked(consumer, version)
        ]


@pytest.mark.parametrize('denial', ['forbid', 'conceal'])
class TestKinds:
    """X01 X02 X06 X07 X10: five kinds of consumers, one answer."""

    def test_all_operations_answer_alike_for_every_kind_of_consumer(
        self, deploy: Deploy, denial: str
    ) -> None:
        deployed = deploy(options={'denial': denial}, rules=OWNER_RULES)
        scene = Kinds(deployed)
        before = scene.rows()
        for version in VERSIONS:
            told = {}
            for kind, consumer in scene.consumers.items():
                answers = scene.answers(consumer, version)
                told[kind] = [comparable(answer) for answer in answers]
                for answer in answers:
                    scene.assert_tells_nothing(answer)
                    assert_has_placements_form(answer)
            assert len(set(map(tuple, told.values()))) == 1, version
        assert scene.rows() == before

    @pytest.mark.parametrize(
        'headers',
        [
            {'If-Modified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT'},
            {'If-Modified-Since': 'Fri, 31 Dec 2100 00:00:00 GMT'},
            {'If-None-Match': '*'},
            {'If-Match': '"x"'},
            {'If-Unmodified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT'},
            {'Range': 'bytes=0-1'},
            {'Accept-Encoding': 'gzip, identity;q=0'},
            {'Accept': 'text/html'},
            {'Accept': 'text/plain'},
            {'Accept': '*/*;q=0'},
            {'Accept': 'application/json;q=0.1, text/html'},
            {'Accept': ''},
            {'Expect': '100-continue'},
            {'Origin': 'http://evil'},
        ],
        ids=str,
    )
    def test_headers(
        self, deploy: Deploy, denial: str, headers: dict[str, str]
    ) -> None:
        """X14"""
        deployed = deploy(options={'denial': denial})
        scene = Kinds(deployed)
        told = set()
        for consumer in scene.consumers.values():
            environ = scene.environ(
                'GET', '/allocations/{CB}', consumer, headers=headers
            )
            answer = send(deployed.application, environ)
            assert answer.status in (200, 403, 406)
            scene.assert_tells_nothing(answer)
            told.add(comparable(answer))
        assert len(told) == 1


def assert_has_placements_form(answer: Answer) -> None:
    """X06: errors[0] with the keys that nova reads."""
    if answer.status == 200:
        return
    (error,) = json.loads(answer.body)['errors']
    assert error['status'] == answer.status
    assert {'status', 'title', 'detail', 'request_id'} <= set(error)
    assert error['request_id'] == answer.header('x-openstack-request-id')
    said = answer.header('openstack-api-version')
    if answer.status in (400, 406) and said is None:
        return
    assert said is not None
    has_code = int(said.rpartition('.')[2]) >= 23
    assert ('code' in error) == has_code


def test_the_kinds_differ_without_the_guard(deploy: Deploy) -> None:
    """X01 X02 X10: the same requests tell a lot there."""
    deployed = deploy()
    scene = Kinds(deployed)
    deployed.reload_with('authtoken consumer_guard placement', 'authtoken placement')
    told = {
        kind: [comparable(answer) for answer in scene.answers(consumer, '1.38')]
        for kind, consumer in scene.consumers.items()
    }
    assert len(set(map(tuple, told.values()))) > 2


@pytest.mark.parametrize('filler', ['unknown', 'own'])
def test_the_place_in_a_post(
    guarded: Deployment, records: Records, filler: str
) -> None:
    """X12: which one of many was refused is not told."""
    scene = Scene(guarded)
    fillers = [str(uuid.uuid4()) for _ in range(49)]
    if filler == 'own':
        fillers = [guarded.add_consumer(scene.provider, scene.alice) for _ in range(9)]
    told = set()
    before = scene.rows()
    for place in (0, 1, len(fillers) // 2, len(fillers)):
        keys = [*fillers[:place], scene.foreign, *fillers[place:]]
        body = json.dumps({key: scene.claim() for key in keys}).encode()
        environ = scene.environ('POST', '/allocations', body=body)
        answer = send(guarded.application, environ)
        assert answer.status == 403
        scene.assert_tells_nothing(answer)
        told.add(comparable(answer))
    assert len(told) == 1
    assert scene.rows() == before
    for secret in scene.secrets:
        assert secret not in records.text


@pytest.mark.parametrize('version', ['1.0', '1.15', '1.28', '1.38'])
def test_filtered_lists(guarded: Deployment, version: str) -> None:
    """X09: another's writes leave a filtered list as it was, headers included."""
    scene = Scene(guarded)
    lists = '/resource_providers/{RP}/allocations'

    def ask() -> object:
        environ = scene.environ('GET', lists, version=version)
        answer = send(guarded.application, environ)
        assert answer.status == 200
        scene.assert_tells_nothing(answer)
        return comparable(answer)

    first = ask()
    guarded.add_consumer(scene.provider, scene.bob)
    assert ask() == first
    guarded.put(scene.foreign, scene.provider, scene.bob, guarded.admin, generation=1)
    assert ask() == first


class TestLookUp:
    """O17 O19: rows that are not as placement leaves them."""

    def test_a_project_that_is_missing(self, guarded: Deployment) -> None:
        """O17: nobody's, as an unknown one."""
        scene = Scene(guarded)
        scene.tables.set_project(scene.own, None)
        told = set()
        for consumer in (scene.own, scene.unknown):
            environ = scene.environ('GET', '/allocations/{CB}', consumer)
            answer = send(guarded.application, environ)
            assert answer.status == 403
            told.add(comparable(answer))
        assert len(told) == 1

    @pytest.mark.parametrize('generation', [1, None])
    def test_the_owners_row_without_allocations(
        self, guarded: Deployment, generation: int | None
    ) -> None:
        """O19: its owner can move while its generation stays."""
        scene = Scene(guarded)
        scene.tables.remove_allocations(scene.own)
        before = scene.rows()
        for method, path, document in (
            ('PUT', '/allocations/{CA}', scene.claim(generation=generation)),
            ('POST', '/allocations', {scene.own: scene.claim(generation=generation)}),
        ):
            body = json.dumps(document).encode()
            answer = send(guarded.application, scene.environ(method, path, body=body))
            assert answer.status == 403
        assert scene.rows() == before
