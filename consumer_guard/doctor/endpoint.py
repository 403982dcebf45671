# SPDX-License-Identifier: Apache-2.0
"""A placement that answers somewhere: does it believe anybody, is it guarded?

Only GET requests, for a consumer that cannot exist. Without a token a guarded
and an unguarded placement answer alike (401), so a token shows more. It has to
be that of a caller without a role in the rules: for a role-holder, and in
shadow mode, the guard changes nothing that could be seen.
"""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from consumer_guard.analysis.findings import (
    Assessment,
    Finding,
    Severity,
    fail,
    note,
    ok,
    warn,
)
from consumer_guard.doctor.probing import REQUEST_TIMEOUT, NoAnswer, explain_no_answer
from consumer_guard.guard.model import ALLOCATIONS_LIST

#: The guard's words when a rule refuses, and placement's.
_GUARD_REFUSES = f'Policy does not allow {ALLOCATIONS_LIST.rule}'
_PLACEMENT_REFUSES = 'Policy does not allow placement:'
_NOT_CANONICAL = 'A uuid in the request is not canonical'

_FIX_UNGUARDED = 'serve it with consumer_guard.wsgi.api, or stop it'
_FIX_CALLER = 'pass --token-file with the token of a user whose only role is reader'


def check_endpoint(url: str, token: str | None) -> list[Finding]:
    """Whether a placement proves identities and is guarded.

    :param url: where it is served, ``http://`` or ``https://``
    :param token: of a caller without privileges; None sends none
    """
    url = url.rstrip('/')
    checks: Mapping[str, Callable[[], Assessment]] = {
        'placement': lambda: _check_root(url),
        'proof of identity': lambda: _check_proof(url),
        'guarded': lambda: _check_guarded(url, token),
    }
    findings: list[Finding] = []
    for name, check in checks.items():
        if findings and findings[0].severity is not Severity.OK:
            assessment = note('skipped: no placement answered')
        else:
            try:
                assessment = check()
            except NoAnswer as reason:
                assessment = warn(f'no answer: {reason}', 'see --placement-url')
        findings.append(assessment.at(url, name))
    return findings


def _check_root(url: str) -> Assessment:
    """Placement serves its versions without a token."""
    status, text = _get(url, '/', {})
    if status == 200 and '"min_version"' in text:
        return ok('placement answers')
    return warn(
        f'the answer is not from placement (status {status})', 'see --placement-url'
    )


def _check_proof(url: str) -> Assessment:
    """Identity headers and a made-up token are not believed."""
    forged = {
        'X-Auth-Token': 'made-up:made-up',
        'X-Identity-Status': 'Confirmed',
        'X-User-Id': 'made-up',
        'X-Project-Id': 'made-up',
        'X-Roles': 'admin,service',
    }
    status, _ = _get(url, f'/allocations/{uuid.uuid4()}', forged)
    if status == 401:
        return ok('an invalid token gets 401')
    if status >= 500:
        return note(f'undecided: status {status}; keystone may be down')
    return fail(
        f"an invalid token gets {status}: every client's claimed identity is trusted",
        'add authtoken to its pipeline, and set auth_strategy = keystone',
    )


def _check_guarded(url: str, token: str | None) -> Assessment:
    """A caller without a role is refused by the guard, not by placement.

    The id is in upper case: where ownership decides, the guard answered 400 to
    it, also with ``denial = conceal``.
    """
    if token is None:
        return note(
            'undecided without a token: the answers are the same with and without the '
            'guard',
            _FIX_CALLER,
        )
    headers = {'X-Auth-Token': token}
    status, text = _get(url, f'/allocations/{str(uuid.uuid4()).upper()}', headers)
    if status == 401:
        return note('undecided: the token is not valid there', 'see --token-file')
    if _GUARD_REFUSES in text or _NOT_CANONICAL in text:
        return ok('the guard answered')
    if status == 403 and _PLACEMENT_REFUSES in text:
        return warn(
            'placement itself refuses this caller: not open, but not guarded either '
            '(or the guard is in shadow mode)',
            _FIX_UNGUARDED,
        )
    if status != 200:
        return note(f'undecided from status {status}')
    # By placement's defaults role-holders alone may list providers.
    status, _ = _get(url, '/resource_providers', headers)
    if status == 200:
        return note(
            'undecided with this token: the guard allows its role',
            _FIX_CALLER,
        )
    return fail(
        'a caller without a role in the rules can read the consumers of any project: '
        'there is no guard (or it is in shadow mode)',
        _FIX_UNGUARDED,
    )


def _get(url: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """Status and body."""
    try:
        from keystoneauth1 import exceptions, session
    except ImportError:
        raise NoAnswer('keystoneauth1 is not installed') from None
    client: Any = session.Session(timeout=REQUEST_TIMEOUT)
    try:
        response = client.get(
            url + path,
            headers={'Accept': 'application/json', **headers},
            authenticated=False,
            raise_exc=False,
            redirect=False,
        )
        return response.status_code, response.text
    except (exceptions.ClientException, OSError, ValueError) as exc:
        raise NoAnswer(explain_no_answer(exc)) from None
