# SPDX-License-Identifier: Apache-2.0
"""THREATS: what a database takes for the same text, over placement itself.

On SQLite and PostgreSQL text equals itself alone. MariaDB's collations ignore
case, accents and trailing blanks, each of them other ones; run these there with
CONSUMER_GUARD_TEST_COLLATION too.
"""

import json
import urllib.parse
import uuid
from collections.abc import Iterator

import pytest

from tests.administrator import User
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy
from tests.fuzz import names
from tests.fuzz.wire import comparable, make_environ, send
from tests.scenery import Scene, write


def lax(text: str) -> Iterator[str]:
    """What some collation takes for the text, and what looks like it."""
    yield text.upper()
    yield text.title()
    for tail in (' ', '  ', '\t', '\n', '\r', '\x0b', '\x1f', '\xa0', '\x00', '\xad'):
        yield text + tail
    yield ' ' + text
    for letter, others in {
        'a': '\xe1\xc5\u0430\uff41\u0101',
        'b': '\uff42\u0253',
        'e': '\xe9\u0435',
        'c': '\xe7\u0441',
        '0': '\uff10\u2070\u0660',
        '1': '\xb9\uff11',
        '-': '\xad\u2010\u2212',
    }.items():
        for other in others:
            if letter in text:
                yield text.replace(letter, other, 1)
    # Cut off by a session that is not strict, at a column's end or at an emoji.
    yield text + '\U0001f600'
    yield text + ' ' * (255 - len(text)) + 'x'
    yield text + ' ' * (36 - len(text)) + 'x'
    yield text + "' OR '1'='1"
    yield text[:-1] + '_'
    yield text[:-1] + '%'
    yield text[:-1] + '*'
    yield text[:-1] + '\\' + text[-1]


def as_path(text: str) -> str:
    """As a server hands it over: each byte a character."""
    return text.encode().decode('latin-1')


@pytest.fixture(params=['forbid', 'conceal'])
def scene(deploy: Deploy, request: pytest.FixtureRequest) -> Scene:
    """With letters in the ids, so that they have another case."""
    made = Scene(deploy(options={'denial': request.param}, rules=OWNER_RULES))
    deployed = made.deployed
    made.bob = User(('member', 'reader'), 'bace01' + uuid.uuid4().hex[6:])
    deployed.tokens.issue(made.bob)
    # All the letters that are bent, so that both are bent in the same ways.
    made.foreign = 'bace0101' + str(uuid.uuid4())[8:]
    made.unknown = 'cabe0101' + str(uuid.uuid4())[8:]
    deployed.add_consumer(made.provider, made.bob, made.foreign)
    assert made.bob.project_id
    made.secrets = (made.bob.project_id, made.bob.user_id, made.foreign)
    return made


def test_other_spellings_of_a_consumer(scene: Scene) -> None:
    """D01 P05 P06 P08: whatever the text, it is never B's consumer, nor told of."""
    before = scene.rows()
    pairs = zip(
        [*lax(scene.foreign), *names.spellings(scene.foreign)],
        [*lax(scene.unknown), *names.spellings(scene.unknown)],
        strict=True,
    )
    for spelt, unknown in pairs:
        told = []
        for text in (spelt, unknown):
            answers = [
                send(
                    scene.deployed.application,
                    make_environ(
                        method,
                        f'/allocations/{as_path(text)}',
                        token=scene.alice.token,
                        body=body,
                    ),
                )
                for method, body in (
                    ('GET', None),
                    ('DELETE', None),
                    ('PUT', json.dumps(scene.claim()).encode()),
                    ('PUT', json.dumps(scene.claim(generation=None)).encode()),
                )
            ]
            for generation in (None, 1):
                claim = scene.claim(generation=generation)
                own = {scene.own: scene.claim()}
                for document in ({text: claim}, own | {text: claim}):
                    answers.append(
                        write(scene.deployed, scene, '/allocations', document)
                    )
            for answer in answers:
                assert answer.status in (200, 400, 403, 404, 405)
                assert b'VCPU' not in answer.body
                if text == spelt:
                    scene.assert_tells_nothing(answer)
            told.append([comparable(answer) for answer in answers])
        assert told[0] == told[1], spelt
    assert scene.rows() == before


def test_other_spellings_of_a_project(scene: Scene) -> None:
    """D02: the sums of a project are those of its own id, byte for byte."""
    project = scene.bob.project_id
    assert project
    for spelt in (*lax(project), *lax(scene.alice.project_id or '')):
        for quote in (urllib.parse.quote, urllib.parse.quote_plus):
            for version in ('1.9', '1.38'):
                query = f'project_id={quote(spelt)}&consumer_type=all'
                if version == '1.9':
                    query = query.partition('&')[0]
                environ = scene.environ(
                    'GET', '/usages', query=query.replace('{', ''), version=version
                )
                answer = send(scene.deployed.application, environ)
                assert answer.status in (400, 403), spelt
                scene.assert_tells_nothing(answer)


def test_other_spellings_of_an_owner(scene: Scene) -> None:
    """D03 B13: a claim for what only resembles the own project is refused."""
    before = scene.rows()
    own = scene.alice.project_id
    assert own
    assert scene.bob.project_id
    for spelt in (*lax(own), *lax(scene.bob.project_id)):
        claim = scene.claim() | {'project_id': spelt}
        for path, document in (
            ('/allocations/{CA}', claim),
            ('/allocations', {scene.own: claim}),
            ('/allocations/{CB}', claim),
        ):
            answer = write(scene.deployed, scene, path, document)
            assert answer.status in (400, 403)
            scene.assert_tells_nothing(answer)
    assert scene.rows() == before


def test_a_project_of_another_case_is_another_one(scene: Scene) -> None:
    """D02 D03: the caller's project is compared with the record, byte for byte.

    Keystone's ids have one case; a token of a project that differs by case from
    the recorded one owns nothing of it, whatever the database thinks.
    """
    project = scene.bob.project_id
    assert project
    twin = scene.deployed.add_user('member', 'reader', project_id=project.upper())
    before = scene.rows()
    for method, path, query in (
        ('GET', '/allocations/{CB}', ''),
        ('PUT', '/allocations/{CB}', ''),
        ('GET', '/usages', 'project_id={B}'),
        ('GET', '/resource_providers/{RP}/allocations', ''),
    ):
        body = None
        if method == 'PUT':
            body = json.dumps(scene.claim(twin)).encode()
        environ = scene.environ(method, path, query=query, token=twin.token, body=body)
        answer = send(scene.deployed.application, environ)
        scene.assert_tells_nothing(answer)
        assert b'"VCPU"' not in answer.body
    assert scene.rows() == before
