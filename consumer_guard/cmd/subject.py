# SPDX-License-Identifier: Apache-2.0
"""The caller of a simulated request: options, or the body of a token."""

import argparse
from collections.abc import Mapping
from typing import Any

from consumer_guard.analysis.simulation import Subject
from consumer_guard.cmd.base import CommandFailed, read_json

#: The user where no particular one is meant; no id of keystone's.
ANYBODY = 'anybody'


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe the caller."""
    group = parser.add_argument_group('the caller')
    group.add_argument(
        '--token-body',
        metavar='FILE',
        help='file with the JSON body of GET /v3/auth/tokens; replaces all other '
        'options of this group ("openstack token issue" shows less)',
    )
    # Its name before; the doctor's option holds a token.
    group.add_argument('--token-file', dest='token_body', help=argparse.SUPPRESS)
    group.add_argument('--user', metavar='ID', help='id of the user')
    group.add_argument('--project', metavar='ID', help='id of the project')
    group.add_argument(
        '--role',
        metavar='NAME',
        action='append',
        help='role name; may be repeated. Implied roles are not added: an admin of '
        'keystone has --role admin --role member --role reader',
    )
    group.add_argument(
        '--scope',
        choices=('project', 'domain', 'system', 'none'),
        help='scope of the token (default: project with --project, domain with '
        '--domain, otherwise none)',
    )
    group.add_argument('--domain', metavar='ID', help='id of the domain of the token')
    group.add_argument(
        '--service-role',
        metavar='NAME',
        action='append',
        help='role of the service token; may be repeated',
    )


def read_subject(parsed_args: argparse.Namespace) -> Subject:
    """The caller.

    :raises CommandFailed: contradictions, or an invalid token file
    """
    names = ('user', 'project', 'role', 'scope', 'domain', 'service_role')
    given = [name for name in names if getattr(parsed_args, name) is not None]
    if parsed_args.token_body is not None:
        if given:
            option = given[0].replace('_', '-')
            raise CommandFailed(
                f'--{option} and --token-body both describe the caller; use one of them'
            )
        return _read_token_body(parsed_args.token_body)
    default = 'domain' if parsed_args.domain else 'none'
    scope = parsed_args.scope or ('project' if parsed_args.project else default)
    for kind in ('project', 'domain'):
        if bool(getattr(parsed_args, kind)) != (scope == kind):
            verb = 'needs' if scope == kind else 'has no'
            raise CommandFailed(f'a token of scope {scope} {verb} --{kind}')
    return Subject(
        parsed_args.user or ANYBODY,
        tuple(parsed_args.role or ()),
        project_id=parsed_args.project,
        domain_id=parsed_args.domain,
        system=scope == 'system',
        service_roles=tuple(parsed_args.service_role or ()),
    )


def _read_token_body(path: str) -> Subject:
    """The holder of a token whose body a file holds.

    Source of the form: keystone's identity API v3, "Validate and show
    information for token".

    :raises CommandFailed: it is not such a body
    """
    document = read_json(path, '--token-body')
    try:
        token = _require_object(document).get('token', document)
        user = _require_object(_require_object(token)['user'])
        project, domain = _get_part(token, 'project'), _get_part(token, 'domain')
        roles = [_require_object(role)['name'] for role in token.get('roles') or ()]
        return Subject(
            _require_text(user['id']),
            tuple(map(_require_text, roles)),
            project_id=_require_text(project['id']) if project is not None else None,
            domain_id=_require_text(domain['id']) if domain is not None else None,
            system=bool((_get_part(token, 'system') or {}).get('all')),
            user_domain_id=(_get_part(user, 'domain') or {}).get('id'),
            project_domain_id=(_get_part(project or {}, 'domain') or {}).get('id'),
            is_admin_project=bool(token.get('is_admin_project', True)),
        )
    except (KeyError, TypeError) as exc:
        raise CommandFailed(
            f'--token-body {path}: not the body of a keystone token: {exc}'
        ) from None


def _require_object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f'{value!r:.40} is not an object')
    return value


def _get_part(parent: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    part = parent.get(name)
    return None if part is None else _require_object(part)


def _require_text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f'{value!r:.40} is not an id or a name')
    return value
