# SPDX-License-Identifier: Apache-2.0
"""Who asks: an oslo.context RequestContext, from a proven identity only.

The proof (keystonemiddleware 13, auth_token): ``keystone.token_info`` is set
for a valid user token alone, ``keystone.token_auth`` is an object that no
header can make, and auth_token removes a client's identity headers before it
sets its own.
"""

from typing import Any

from oslo_context import context

from consumer_guard.guard import model

Environ = dict[str, Any]

ENV_REQUEST_ID = 'openstack.request_id'
ENV_GLOBAL_REQUEST_ID = 'openstack.global_request_id'

#: Every header from which oslo.context or placement's rules can take a role.
_ROLE_HEADERS = ('HTTP_X_ROLES', 'HTTP_X_ROLE', 'HTTP_X_SERVICE_ROLES')


class GuardContext(context.RequestContext):
    """A request context that becomes the thread's by :func:`set_context` only."""

    def update_store(self) -> None:
        """Do nothing.

        Security: a context left in a worker thread would name this caller in
        the next one's log lines.
        """


def set_context(current: context.RequestContext | None) -> None:
    """Set or clear the thread's context, from which log lines take the user."""
    # There is no public way to clear it; oslo.context's own fixture does the same.
    context._request_store.context = current


def is_proven(environ: Environ, whose: str = 'user') -> bool:
    """Whether auth_token has confirmed the identity in the headers.

    Security: all of it, because auth_token sets ``token_auth`` on every
    request that it lets through under ``delay_auth_decision``.

    :param whose: the ``user``, or the ``service`` whose token came along
    """
    prefix = 'HTTP_X_SERVICE_' if whose == 'service' else 'HTTP_X_'
    if environ.get(f'{prefix}IDENTITY_STATUS') != 'Confirmed':
        return False
    token = getattr(environ.get('keystone.token_auth'), whose, None)
    user_id = environ.get(f'{prefix}USER_ID')
    return (
        environ.get('keystone.token_info') is not None
        and bool(user_id)
        and user_id == getattr(token, 'user_id', None)
        and (environ.get(f'{prefix}PROJECT_ID') or None)
        == (getattr(token, 'project_id', None) or None)
    )


def make_context(environ: Environ, *, believe_headers: bool) -> GuardContext | None:
    """Build the request context, or None when there is no identity.

    :param believe_headers: ``auth_strategy = noauth2``: no proof is required
    """
    if believe_headers:
        user_id = environ.get('HTTP_X_USER_ID')
        project_id = environ.get('HTTP_X_PROJECT_ID', environ.get('HTTP_X_TENANT_ID'))
        system_scope = environ.get('HTTP_OPENSTACK_SYSTEM_SCOPE')
        if not user_id:
            return None
    elif is_proven(environ):
        user = environ['keystone.token_auth'].user
        user_id = environ['HTTP_X_USER_ID']
        project_id = environ.get('HTTP_X_PROJECT_ID')
        # Security: the header may be the client's or the service token's.
        system_scope = 'all' if getattr(user, 'system_scoped', False) else None
    else:
        return None
    return _name_headers(
        environ,
        user_id,
        project_id or None,
        system_scope or None,
        believe_headers=believe_headers,
    )


def _name_headers(
    environ: Environ,
    user_id: str | None,
    project_id: str | None,
    system_scope: str | None,
    *,
    believe_headers: bool,
) -> GuardContext:
    """The context of what policy checks can ask for.

    As ``RequestContext.from_environ`` (oslo.context 6.5) reads it, but for the
    deprecated headers, which hold names, and what neither checks nor log lines
    show, the token among them; reading all of them costs three times as much.
    """
    get = environ.get
    read_roles = _split_roles if believe_headers else _read_roles
    # Security: without a proven service token these headers are anybody's.
    proven = believe_headers or is_proven(environ, 'service')
    service = (environ if proven else Environ()).get
    return GuardContext(
        user_id=user_id,
        project_id=project_id,
        domain_id=get('HTTP_X_DOMAIN_ID'),
        user_domain_id=get('HTTP_X_USER_DOMAIN_ID'),
        project_domain_id=get('HTTP_X_PROJECT_DOMAIN_ID'),
        user_name=get('HTTP_X_USER_NAME'),
        project_name=get('HTTP_X_PROJECT_NAME'),
        domain_name=get('HTTP_X_DOMAIN_NAME'),
        user_domain_name=get('HTTP_X_USER_DOMAIN_NAME'),
        project_domain_name=get('HTTP_X_PROJECT_DOMAIN_NAME'),
        system_scope=system_scope,
        roles=read_roles(get('HTTP_X_ROLES'), environ, 'user'),
        # Security: oslo.context calls an unknown one an admin project.
        is_admin_project=_is_true(get('HTTP_X_IS_ADMIN_PROJECT')),
        service_user_id=service('HTTP_X_SERVICE_USER_ID'),
        service_user_domain_id=service('HTTP_X_SERVICE_USER_DOMAIN_ID'),
        service_project_id=service('HTTP_X_SERVICE_PROJECT_ID'),
        service_project_domain_id=service('HTTP_X_SERVICE_PROJECT_DOMAIN_ID'),
        service_roles=read_roles(service('HTTP_X_SERVICE_ROLES'), environ, 'service'),
        request_id=get(ENV_REQUEST_ID),
        global_request_id=get(ENV_GLOBAL_REQUEST_ID),
    )


def _split_roles(header: str | None, *_: object) -> list[str]:
    """The roles of a header, as oslo.context splits them."""
    return [role.strip() for role in (header or '').split(',') if role.strip()]


def _read_roles(header: str | None, environ: Environ, whose: str) -> list[str]:
    """Those that the token of the ``user`` or of the ``service`` names itself.

    Security: a keystone role named 'x,admin' splits into two.
    """
    if not header:
        return []
    token = getattr(environ['keystone.token_auth'], whose, None)
    named = frozenset(getattr(token, 'role_names', ()))
    return [role for role in _split_roles(header) if role in named]


def _is_true(header: str | None) -> bool:
    return header is not None and header.lower() == 'true'


def make_caller(made: context.RequestContext) -> model.Caller:
    """The caller as policy checks see it.

    The keys of the credentials are those of
    ``oslo_context.context.RequestContext.to_policy_values`` (6.5), and
    ``system``, which oslo.policy adds for a system-scoped token.
    """
    credentials = {
        'user_id': made.user_id,
        'user_domain_id': made.user_domain_id,
        'system_scope': made.system_scope,
        'domain_id': made.domain_id,
        'project_id': made.project_id,
        'project_domain_id': made.project_domain_id,
        'roles': made.roles,
        'is_admin_project': made.is_admin_project,
        'service_user_id': made.service_user_id,
        'service_user_domain_id': made.service_user_domain_id,
        'service_project_id': made.service_project_id,
        'service_project_domain_id': made.service_project_domain_id,
        'service_roles': made.service_roles,
    }
    scope = 'domain' if made.domain_id else 'project'
    if made.system_scope:
        credentials['system'] = made.system_scope
        scope = 'system'
    return model.Caller(
        credentials=credentials,
        roles=frozenset([role.lower() for role in made.roles]),
        scope=scope,
        request_id=made.request_id,
        global_request_id=made.global_request_id,
    )


def make_anonymous_context(environ: Environ) -> GuardContext:
    """The context of a request without an identity: its ids alone."""
    return GuardContext(
        request_id=environ.get(ENV_REQUEST_ID),
        global_request_id=environ.get(ENV_GLOBAL_REQUEST_ID),
        # Security: oslo.context's default is an admin project.
        is_admin_project=False,
    )


def strip_role(environ: Environ, role: str) -> None:
    """Remove a role from every header that can carry one.

    :param role: lower-cased; compared as oslo.policy compares roles, case and
        blanks aside; '' removes nothing
    """
    if not role:
        return
    for key in _ROLE_HEADERS:
        value = environ.get(key)
        if value and role in value.lower():
            # Security: the header stays, if empty; without X-Roles
            # oslo.context would look at X-Role.
            environ[key] = ','.join(
                name for name in value.split(',') if name.strip().lower() != role
            )


def add_role(environ: Environ, role: str) -> None:
    """Add the passage role for the application behind."""
    if role:
        present = environ.get('HTTP_X_ROLES')
        environ['HTTP_X_ROLES'] = f'{present},{role}' if present else role


def ensure_request_id(environ: Environ) -> bool:
    """Make a request id where nothing in front gave one.

    :returns: whether it was made here
    """
    if environ.get(ENV_REQUEST_ID):
        return False
    environ[ENV_REQUEST_ID] = context.generate_request_id()
    return True
