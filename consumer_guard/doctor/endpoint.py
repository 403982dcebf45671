# SPDX-License-Identifier: Apache-2.0
"""A placement that answers somewhere: does it believe anybody, is it guarded?

Only GET requests, for a consumer that cannot exist. Without a token a guarded
and an unguarded placement answer alike (401), so a token tells more. It has to
be that of somebody without a role in the rules: for a role-holder, and in
shadow mode, the guard changes nothing that could be seen.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consumer_guard.doctor.findings import Finding, Severity
from consumer_guard.guard.model import ALLOCATIONS_LIST

#: Seconds for each request.
PATIENCE = 5.0

#: What the guard says, and what placement says, when a rule refuses.
_GUARDS = f'Policy does not allow {ALLOCATIONS_LIST.rule}'
_PLACEMENTS = 'Policy does not allow placement:'
_NOT_CANONICAL = 'A uuid in the request is not canonical'

_CURE = 'serve it by consumer_guard.wsgi.api, or stop it'


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    text: str


class _Silent(Exception):
    """No answer; says why."""


def examine(url: str, token: str | None) -> list[Finding]:
    """Ask a placement what it is.

    :param url: where it is served, ``http://`` or ``https://``
    :param token: of a caller without privileges, None to ask without
    """
    url = url.rstrip('/')
    try:
        there = look_at_root(url)
        if there.severity is not Severity.OK:
            return [there]
        return [there, look_at_proof(url), look_at_guard(url, token)]
    except _Silent as silent:
        return [
            Finding(Severity.WARNING, 'placement', url, f'it does not answer: {silent}')
        ]


def look_at_root(url: str) -> Finding:
    """Placement serves its versions without a token."""
    answer = _get(url, '/', {})
    if answer.status == 200 and '"min_version"' in answer.text:
        return Finding(Severity.OK, 'placement', url, 'placement answers')
    return Finding(
        Severity.WARNING,
        'placement',
        url,
        f'no placement answers there (status {answer.status})',
        'see --placement-url',
    )


def look_at_proof(url: str) -> Finding:
    """Identity headers and a made-up token are not believed."""
    check = 'proof of identity'
    forged = {
        'X-Auth-Token': 'made-up:made-up',
        'X-Identity-Status': 'Confirmed',
        'X-User-Id': 'made-up',
        'X-Project-Id': 'made-up',
        'X-Roles': 'admin,service',
    }
    answer = _get(url, f'/allocations/{uuid.uuid4()}', forged)
    if answer.status == 401:
        return Finding(Severity.OK, check, url, 'a made-up token gets 401')
    if answer.status >= 500:
        text = f'cannot be told: status {answer.status}, is keystone away?'
        return Finding(Severity.NOTE, check, url, text)
    return Finding(
        Severity.FAILURE,
        check,
        url,
        f'a made-up token gets {answer.status}: it believes whoever says who he is',
        'put authtoken into its pipeline, auth_strategy = keystone',
    )


def look_at_guard(url: str, token: str | None) -> Finding:
    """Somebody without a role is refused by the guard, not by placement.

    The id is spelled in upper case: where ownership decides, the guard answers
    400 to it, also with ``denial = conceal``.
    """
    check = 'guarded'
    if token is None:
        return Finding(
            Severity.NOTE,
            check,
            url,
            'cannot be told without a token: guarded and unguarded answer alike',
            'give --token-file with the token of a reader without other roles',
        )
    headers = {'X-Auth-Token': token}
    answer = _get(url, f'/allocations/{str(uuid.uuid4()).upper()}', headers)
    if answer.status == 401:
        text = 'cannot be told: the token is not valid there'
        return Finding(Severity.NOTE, check, url, text, 'see --token-file')
    if _GUARDS in answer.text or _NOT_CANONICAL in answer.text:
        return Finding(Severity.OK, check, url, 'the guard answers')
    if answer.status == 403 and _PLACEMENTS in answer.text:
        return Finding(
            Severity.WARNING,
            check,
            url,
            'placement itself refuses this caller: closed, but there is no guard (or '
            'it is in shadow mode, which cannot be told apart)',
            _CURE,
        )
    if answer.status != 200:
        text = f'cannot be told from status {answer.status}'
        return Finding(Severity.NOTE, check, url, text)
    return _look_at_roles(url, headers)


def _look_at_roles(url: str, headers: Mapping[str, str]) -> Finding:
    """Whether a caller who was let in is a role-holder."""
    check = 'guarded'
    # By placement's defaults role-holders alone may list providers.
    if _get(url, '/resource_providers', headers).status == 200:
        return Finding(
            Severity.NOTE,
            check,
            url,
            'cannot be told with this token: its role is let through by the guard',
            'give --token-file with the token of a reader without other roles',
        )
    return Finding(
        Severity.FAILURE,
        check,
        url,
        'a caller without a role reads the consumers of every project: there is no '
        'guard (or it is in shadow mode, which cannot be told apart)',
        _CURE,
    )


def _get(url: str, path: str, headers: Mapping[str, str]) -> _Answer:
    try:
        from keystoneauth1 import exceptions, session
    except ImportError:
        raise _Silent('keystoneauth1 is not installed') from None
    asking: Any = session.Session(timeout=PATIENCE)
    try:
        answer = asking.get(
            url + path,
            headers={'Accept': 'application/json', **headers},
            authenticated=False,
            raise_exc=False,
            redirect=False,
        )
        return _Answer(answer.status_code, answer.text)
    except (exceptions.ClientException, OSError, ValueError) as exc:
        raise _Silent(type(exc).__name__) from None
