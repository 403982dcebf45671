# SPDX-License-Identifier: Apache-2.0
"""Keystone's roles, and placement's ``[keystone_authtoken]``."""

import types
from collections.abc import Mapping, Sequence
from typing import Any

from oslo_config import cfg
from oslo_policy import opts as policy_opts

from consumer_guard.analysis.findings import Assessment, Finding, fail, note, ok, warn
from consumer_guard.config.loading import parse_placement
from consumer_guard.config.places import find_place, read_option
from consumer_guard.doctor.logs import LOG_OPTIONS
from consumer_guard.doctor.probing import (
    REQUEST_TIMEOUT,
    NoAnswer,
    capture_warnings,
    explain_no_answer,
)

_AUTHTOKEN = 'keystone_authtoken'

#: What is read of placement's configuration beside the database (names and
#: defaults of placement 16, oslo.middleware 8 and keystonemiddleware 13).
_ENDPOINT_OPTIONS: Mapping[str, Sequence[cfg.Opt]] = types.MappingProxyType(
    {
        'api': [cfg.StrOpt('auth_strategy', default='keystone')],
        'placement_database': [cfg.StrOpt('mysql_sql_mode', default='TRADITIONAL')],
        'cors': [cfg.ListOpt('allowed_origin')],
        _AUTHTOKEN: [
            cfg.ListOpt('memcached_servers', deprecated_name='memcache_servers'),
            cfg.StrOpt('memcache_security_strategy', default='None'),
        ],
    }
)

_LOOPBACK = ('127.', 'localhost', '[::1]', 'inet6:[::1]', 'unix:', '/')


def read_placement_conf() -> cfg.ConfigOpts:
    """Placement's configuration, as far as the checks need it.

    :raises consumer_guard.guard.errors.ConfigurationError: it cannot be read, or
        an option has a value that cannot be used
    """
    options = {
        **_ENDPOINT_OPTIONS,
        'DEFAULT': LOG_OPTIONS,
        **dict(policy_opts.list_opts()),
    }
    conf = parse_placement(options)
    for group, each in options.items():
        for option in each:
            read_option(conf, option, group, find_place(conf, option.dest, group))
    return conf


def check_passage_role(placement: cfg.ConfigOpts, passage_role: str) -> Finding:
    """No role of keystone is named like the passage role.

    Roles are listed with the account of ``[keystone_authtoken]``, which needs
    the right to do so.
    """
    where = 'keystone'
    if not passage_role:
        assessment = ok('disabled by option passage_role')
    else:
        try:
            names, where = _fetch_role_names(placement)
            assessment = _assess_roles(names, passage_role)
        except NoAnswer as reason:
            assessment = note(
                f'skipped: {reason}',
                f'check as admin: openstack role show {passage_role}',
            )
    return assessment.at(where, 'passage role')


def _assess_roles(names: list[str], passage_role: str) -> Assessment:
    alike = sorted(name for name in names if _is_like(name, passage_role))
    if not alike:
        return ok(f'none of the {len(names)} roles is named {passage_role}')
    return fail(
        f'keystone has the role {", ".join(map(repr, alike))}: a placement without the '
        'guard allows every user who holds it',
        'openstack role delete it, or set another passage_role in the guard and in '
        "placement's rules",
    )


def check_token_cache(placement: cfg.ConfigOpts) -> Finding:
    """Validated tokens in memcached cannot be forged there."""
    options = placement[_AUTHTOKEN]
    servers = options.memcached_servers or []
    far = [server for server in servers if not server.strip().startswith(_LOOPBACK)]
    strategy = (options.memcache_security_strategy or 'None').upper()
    if not far:
        assessment = ok('in this process or on this host')
    elif strategy in ('MAC', 'ENCRYPT'):
        assessment = ok(f'protected ({strategy})')
    else:
        assessment = warn(
            f'validated tokens are cached unprotected in memcached ({", ".join(far)}): '
            'anyone who can write to it can take any identity',
            'set memcache_security_strategy = ENCRYPT and memcache_secret_key',
        )
    return assessment.at(f'[{_AUTHTOKEN}]', 'token cache')


def _fetch_role_names(placement: cfg.ConfigOpts) -> tuple[list[str], str]:
    """The names of all roles, and the URL that lists them.

    :raises NoAnswer: they cannot be listed
    """
    try:
        from keystoneauth1 import exceptions, loading
    except ImportError:
        raise NoAnswer('keystoneauth1 is not installed') from None
    loading.register_auth_conf_options(placement, _AUTHTOKEN)
    loading.register_session_conf_options(placement, _AUTHTOKEN)
    try:
        auth = loading.load_auth_from_conf_options(placement, _AUTHTOKEN)
        url = getattr(auth, 'auth_url', None)
        if not url:
            raise NoAnswer(f'[{_AUTHTOKEN}] has no credentials')
        session = loading.load_session_from_conf_options(
            placement, _AUTHTOKEN, auth=auth, timeout=REQUEST_TIMEOUT
        )
        url = f'{url.rstrip("/").removesuffix("/v3")}/v3/roles'
        with capture_warnings('keystoneauth'):
            answer = session.get(url, headers={'Accept': 'application/json'})
        return _read_names(answer.json()), url
    except (exceptions.Forbidden, exceptions.Unauthorized):
        raise NoAnswer(f'the account of [{_AUTHTOKEN}] may not list roles') from None
    except (exceptions.ClientException, cfg.Error, ValueError, OSError) as exc:
        raise NoAnswer(explain_no_answer(exc)) from None


def _read_names(body: Any) -> list[str]:
    if not isinstance(body, dict) or not isinstance(body.get('roles'), list):
        raise NoAnswer('keystone did not return a list of roles')
    if body.get('truncated'):
        raise NoAnswer('keystone returned only some of its roles')
    return [str(role.get('name')) for role in body['roles'] if isinstance(role, dict)]


def _is_like(name: str, passage_role: str) -> bool:
    """As oslo.context and oslo.policy read roles: commas split, case is nothing."""
    return passage_role.lower() in [word.strip().lower() for word in name.split(',')]
