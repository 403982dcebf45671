# SPDX-License-Identifier: Apache-2.0
"""Refusals as WSGI applications, in placement's own form."""

import json
from typing import Any

import pytest

from consumer_guard.guard.request import KNOWN_MICROVERSIONS
from consumer_guard.guard.responses import DECOY, Refusal, Refuser, put_decoy
from tests.fuzz.wire import Answer, make_environ, send

REQUEST_ID = 'req-11111111-2222-4333-8444-555555555555'


def refuse(
    refusal: Refusal, *, show_request_id: bool = False, **environ: Any
) -> Answer:
    made = make_environ('GET', '/allocations/x', **environ)
    made.setdefault('openstack.request_id', REQUEST_ID)
    application = Refuser(KNOWN_MICROVERSIONS).refuse(
        refusal, show_request_id=show_request_id
    )
    return send(application, made)


def read_error(answer: Answer) -> dict[str, Any]:
    [error] = json.loads(answer.body)['errors']
    found: dict[str, Any] = error
    return found


@pytest.mark.parametrize('accept', ['*/*', 'text/html', 'text/plain;q=0', ''])
def test_a_refusal_is_json_whatever_the_client_accepts(accept: str) -> None:
    answer = refuse(Refusal(403, 'The way.'), headers={'Accept': accept})
    assert answer.header('Content-Type') == 'application/json'
    error = read_error(answer)
    assert (error['status'], error['title']) == (403, 'Forbidden')
    assert error['detail'].splitlines()[-1].strip() == 'The way.'
    assert error['request_id'] == REQUEST_ID


@pytest.mark.parametrize(
    ('version', 'code'),
    [(None, None), ('1.22', None), ('1.23', 'x.y'), ('1.39', 'x.y')],
)
def test_the_code_is_there_from_1_23(version: str | None, code: str | None) -> None:
    error = read_error(refuse(Refusal(409, 'Conflict.', 'x.y'), version=version))
    assert error.get('code') == code


@pytest.mark.parametrize(
    ('status', 'header', 'value'),
    [
        (503, 'Retry-After', '1'),
        (401, 'WWW-Authenticate', 'Keystone'),
        (403, 'Retry-After', None),
        (403, 'WWW-Authenticate', None),
    ],
)
def test_a_header_belongs_to_one_status(
    status: int, header: str, value: str | None
) -> None:
    assert refuse(Refusal(status, 'x')).header(header) == value


@pytest.mark.parametrize('status', [401, 403])
@pytest.mark.parametrize('show', [True, False])
def test_the_request_id_is_a_header_where_nothing_in_front_adds_it(
    status: int, show: bool
) -> None:
    answer = refuse(Refusal(status, 'x'), show_request_id=show)
    shown = answer.header('x-openstack-request-id')
    assert shown == (REQUEST_ID if show else None)


@pytest.mark.parametrize(
    ('version', 'status'), [('1.40', 406), ('2.0', 406), ('x', 400)]
)
def test_an_unknown_microversion_is_refused_before_all_but_identity(
    version: str, status: int
) -> None:
    headers = {'Accept': 'application/json'}
    answer = refuse(Refusal(403, 'x'), version=version, headers=headers)
    assert answer.status == status
    if status == 406:
        error = read_error(answer)
        assert (error['min_version'], error['max_version']) == ('1.0', '1.39')
    assert refuse(Refusal(401, 'x'), version=version).status == 401


def test_markup_in_a_text_is_no_markup_in_the_answer() -> None:
    answer = refuse(Refusal(400, 'The <script>alert(1)</script> is odd.'))
    assert b'<script>' not in answer.body


def test_a_decoy_is_asked_for_in_the_place_of_the_consumer() -> None:
    environ = make_environ('GET', '/allocations/x')
    before = dict(environ)
    put_decoy(environ)
    assert environ.pop('PATH_INFO') == f'/allocations/{DECOY}'
    assert before.pop('PATH_INFO') == '/allocations/x'
    assert environ == before


def test_a_decoy_has_the_length_of_a_uuid_and_is_none() -> None:
    """C03: the time of the answer is that of an unknown consumer."""
    assert len(DECOY) == 36
    assert not set(DECOY) <= set('0123456789abcdefABCDEF-')
