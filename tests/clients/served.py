# SPDX-License-Identifier: Apache-2.0
"""What gunicorn serves to the clients: placement, bare or guarded.

Around the application that CLIENTS_SERVED names: the roles of the accounts,
which keystone would give, a record of every exchange, and another writer who
comes first when a test has asked for one.
"""

import contextlib
import importlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import webob

from tests.clients.accounts import ROLES

_FOLDER = pathlib.Path(os.environ['CLIENTS_FOLDER'])
_application = importlib.import_module(os.environ['CLIENTS_SERVED']).application


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Serve one request, and write down what was asked and answered."""
    user = environ.get('HTTP_X_AUTH_TOKEN', '').partition(':')[0]
    if user in ROLES:
        environ['HTTP_X_ROLES'] = ','.join(ROLES[user])
    request = webob.Request(environ)
    asked = request.body
    _let_others_first(f'{request.method} {request.path_qs}')
    answer = request.get_response(_application)
    if user:
        _record(request, asked, answer)
    return answer(environ, start_response)


def _record(request: webob.Request, asked: bytes, answer: webob.Response) -> None:
    exchange = {
        'request': f'{request.method} {request.path_qs}',
        'version': request.headers.get('OpenStack-API-Version'),
        'asked': asked.decode(),
        'status': answer.status_int,
        'headers': sorted(name.lower() for name in answer.headers),
        'answered': answer.body.decode(),
    }
    with (_FOLDER / 'exchanges').open('a') as file:
        file.write(json.dumps(exchange) + '\n')


def _let_others_first(request: str) -> None:
    plan = _FOLDER / 'plan.json'
    with contextlib.suppress(FileNotFoundError):
        wanted = json.loads(plan.read_text())
        if wanted['request'] != request or not wanted['times']:
            return
        plan.write_text(json.dumps(wanted | {'times': wanted['times'] - 1}))
        _touch(wanted['consumer'], wanted['headers'])


def _touch(consumer: str, writer: Mapping[str, str]) -> None:
    """Write a consumer as it is: its generation moves, nothing else."""
    headers = {**writer, 'OpenStack-API-Version': 'placement 1.28'}
    url = f'/allocations/{consumer}'
    read = webob.Request.blank(url, headers=headers).get_response(_application)
    shown = read.json
    for held in shown['allocations'].values():
        # To an owner it is null, and nobody needs it.
        del held['generation']
    write = webob.Request.blank(
        url,
        method='PUT',
        headers=headers,
        json=shown,
        content_type='application/json',
    )
    written = write.get_response(_application)
    if written.status_int != 204:
        raise RuntimeError(f'the other writer was answered {written.text}')
