# SPDX-License-Identifier: Apache-2.0
"""Who asks: options of a command, or the body of a token."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from consumer_guard.analysis.simulation import Subject
from consumer_guard.cmd.base import CommandFailed

#: The user where nobody in particular is meant; no id of keystone's.
ANYBODY = 'anybody'

_SCOPES = ('project', 'domain', 'system', 'none')


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say who asks."""
    group = parser.add_argument_group('who asks')
    group.add_argument(
        '--token-file',
        metavar='FILE',
        help="a token's body as GET /v3/auth/tokens answers it; in place of all "
        'other options of this group ("openstack token issue" shows less)',
    )
    group.add_argument('--user', metavar='ID', help='id of the user')
    group.add_argument('--project', metavar='ID', help='id of the project')
    group.add_argument(
        '--role',
        metavar='NAME',
        action='append',
        help='a role; may be repeated. Implied roles are not added: an admin of '
        'keystone has --role admin --role member --role reader',
    )
    group.add_argument(
        '--scope',
        choices=_SCOPES,
        help="the token's (default: project with --project, domain with --domain, "
        'else none)',
    )
    group.add_argument('--domain', metavar='ID', help='id of the domain of the token')
    group.add_argument(
        '--service-role',
        metavar='NAME',
        action='append',
        help='a role of the service token that came along; may be repeated',
    )


def read_person(parsed_args: argparse.Namespace) -> Subject:
    """Who asks.

    :raises CommandFailed: contradictions, or a token file that is none
    """
    said = [
        name
        for name in ('user', 'project', 'role', 'scope', 'domain', 'service_role')
        if getattr(parsed_args, name) is not None
    ]
    if parsed_args.token_file is not None:
        if said:
            option = said[0].replace('_', '-')
            raise CommandFailed(
                f'--{option} and --token-file both say who asks; give one of them'
            )
        return read_token(parsed_args.token_file)
    scope = parsed_args.scope or (
        'project' if parsed_args.project else 'domain' if parsed_args.domain else 'none'
    )
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


def read_file(path: str, option: str) -> bytes:
    """A file that an option names.

    :raises CommandFailed: it cannot be read
    """
    try:
        with open(path, 'rb') as file:
            return file.read()
    except OSError as exc:
        raise CommandFailed(f'{option} {path}: {exc.strerror}') from None


def read_json(path: str, option: str) -> Any:
    """A JSON file that an option names.

    :raises CommandFailed: it cannot be read, or is not JSON
    """
    content = read_file(path, option)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as exc:
        why = str(exc) if isinstance(exc, json.JSONDecodeError) else 'not readable'
        raise CommandFailed(f'{option} {path}: not JSON: {why}') from None


def read_token(path: str) -> Subject:
    """The holder of a token, whose body stands in a file.

    Source of the form: keystone's identity API v3, "Validate and show
    information for token".

    :raises CommandFailed: it is not such a body
    """
    document = read_json(path, '--token-file')
    try:
        token = _mapping(document).get('token', document)
        user = _mapping(_mapping(token)['user'])
        project = _find(token, 'project')
        domain = _find(token, 'domain')
        return Subject(
            _text(user['id']),
            tuple(_text(_mapping(role)['name']) for role in token.get('roles') or ()),
            project_id=None if project is None else _text(project['id']),
            domain_id=None if domain is None else _text(domain['id']),
            system=bool((_find(token, 'system') or {}).get('all')),
            user_domain_id=(_find(user, 'domain') or {}).get('id'),
            project_domain_id=(_find(project or {}, 'domain') or {}).get('id'),
            is_admin_project=bool(token.get('is_admin_project', True)),
        )
    except (KeyError, TypeError) as exc:
        raise CommandFailed(
            f'--token-file {path}: not the body of a keystone token: {exc}'
        ) from None


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f'{value!r:.40} is not an object')
    return value


def _find(parent: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    found = parent.get(name)
    return None if found is None else _mapping(found)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f'{value!r:.40} is not an id or a name')
    return value
