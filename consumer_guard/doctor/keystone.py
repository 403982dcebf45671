# SPDX-License-Identifier: Apache-2.0
"""What keystone and placement's ``[keystone_authtoken]`` say."""

from typing import Any

from oslo_config import cfg

from consumer_guard.config.loading import parse_placement
from consumer_guard.doctor.findings import Finding, Severity, listen

GROUP = 'keystone_authtoken'

#: Seconds for each request.
PATIENCE = 5.0

#: What is read of placement's configuration beside the database (names and
#: defaults of placement 16, oslo.middleware 8 and keystonemiddleware 13).
_OPTIONS: dict[str, list[cfg.Opt]] = {
    'api': [cfg.StrOpt('auth_strategy', default='keystone')],
    'cors': [cfg.ListOpt('allowed_origin')],
    GROUP: [
        cfg.ListOpt('memcached_servers', deprecated_name='memcache_servers'),
        cfg.StrOpt('memcache_security_strategy', default='None'),
    ],
}

_LOOPBACK = ('127.', 'localhost', '[::1]', 'inet6:[::1]', 'unix:', '/')


def read_placement() -> cfg.ConfigOpts:
    """Placement's configuration, as far as the checks need it.

    :raises consumer_guard.guard.errors.ConfigurationError: it cannot be read
    """
    return parse_placement(_OPTIONS)


def look_at_passage_role(placement: cfg.ConfigOpts, passage_role: str) -> Finding:
    """No role of keystone is named like the passage role.

    Asked with the account of ``[keystone_authtoken]``, which needs the right to
    list roles.
    """
    check, where = 'passage role', 'keystone'
    if not passage_role:
        return Finding(Severity.OK, check, where, 'option passage_role turns it off')
    try:
        names, where = _list_roles(placement)
    except _Untold as untold:
        return Finding(
            Severity.NOTE,
            check,
            where,
            f'skipped, keystone was not asked: {untold}',
            f'look yourself, as admin: openstack role show {passage_role}',
        )
    alike = sorted(name for name in names if _is_like(name, passage_role))
    if not alike:
        text = f'none of {len(names)} roles is named like {passage_role}'
        return Finding(Severity.OK, check, where, text)
    return Finding(
        Severity.FAILURE,
        check,
        where,
        f'keystone has the role {", ".join(map(repr, alike))}: whoever holds it is let '
        'in by a placement without the guard',
        'openstack role delete it, or set another passage_role in the guard and in '
        "placement's rules",
    )


def look_at_token_cache(placement: cfg.ConfigOpts) -> Finding:
    """Validated tokens in memcached cannot be forged there."""
    check, where = 'token cache', f'[{GROUP}]'
    servers = placement[GROUP].memcached_servers or []
    far = [server for server in servers if not server.strip().startswith(_LOOPBACK)]
    strategy = (placement[GROUP].memcache_security_strategy or 'None').upper()
    if not far or strategy in ('MAC', 'ENCRYPT'):
        text = (
            'in this process or on this host' if not far else f'protected ({strategy})'
        )
        return Finding(Severity.OK, check, where, text)
    return Finding(
        Severity.WARNING,
        check,
        where,
        f'validated tokens are kept unprotected in memcached ({", ".join(far)}): '
        'whoever can write there can be anybody',
        'set memcache_security_strategy = ENCRYPT and memcache_secret_key',
    )


class _Untold(Exception):
    """Keystone could not be asked; says why."""


def _list_roles(placement: cfg.ConfigOpts) -> tuple[list[str], str]:
    """The names of all roles, and the URL that was asked."""
    try:
        from keystoneauth1 import exceptions, loading
    except ImportError:
        raise _Untold('keystoneauth1 is not installed') from None
    loading.register_auth_conf_options(placement, GROUP)
    loading.register_session_conf_options(placement, GROUP)
    try:
        auth = loading.load_auth_from_conf_options(placement, GROUP)
        url = getattr(auth, 'auth_url', None)
        if not url:
            raise _Untold(f'[{GROUP}] has no credentials')
        session = loading.load_session_from_conf_options(
            placement, GROUP, auth=auth, timeout=PATIENCE
        )
        url = f'{url.rstrip("/").removesuffix("/v3")}/v3/roles'
        with listen('keystoneauth'):
            answer = session.get(url, headers={'Accept': 'application/json'})
        return _read_names(answer.json()), url
    except (exceptions.Forbidden, exceptions.Unauthorized):
        raise _Untold(f'the account of [{GROUP}] may not list roles') from None
    except (exceptions.ClientException, cfg.Error, ValueError, OSError) as exc:
        # Security: the kind only, the text may hold credentials.
        raise _Untold(type(exc).__name__) from None


def _read_names(body: Any) -> list[str]:
    if not isinstance(body, dict) or not isinstance(body.get('roles'), list):
        raise _Untold('it did not answer with a list of roles')
    if body.get('truncated'):
        raise _Untold('it lists only some of its roles')
    return [str(role.get('name')) for role in body['roles'] if isinstance(role, dict)]


def _is_like(name: str, passage_role: str) -> bool:
    """As oslo.context and oslo.policy read roles: commas split, case is nothing."""
    return passage_role.lower() in [word.strip().lower() for word in name.split(',')]
