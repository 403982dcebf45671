# SPDX-License-Identifier: Apache-2.0
"""The callers that are told apart by role, scope and project."""

from dataclasses import dataclass
from typing import Any

from consumer_guard.analysis.simulation import Subject, make_caller
from consumer_guard.guard.model import Caller

#: The project that the table is about, and a user of it that owns its consumer.
PROJECT_ID = 'a' * 32
USER_ID = '1' * 32
#: A project, and its user, whose consumer is "foreign" to every row.
FOREIGN_PROJECT_ID = 'f' * 32
FOREIGN_USER_ID = 'e' * 32


@dataclass(frozen=True, slots=True)
class CallerClass:
    """A row: callers that are told apart by role, scope and project.

    :ivar name: unique; stands in files that are compared later
    """

    name: str
    caller: Caller


_OWN_PROJECT = {'project_id': PROJECT_ID, 'project_domain_id': 'default'}
_OTHER_PROJECT = {'project_id': 'b' * 32, 'project_domain_id': 'default'}

# Keystone's implied roles come along: admin, manager, member, reader.
_MEMBER = ('member', 'reader')
_MANAGER = ('manager', *_MEMBER)
_ADMIN = ('admin', *_MANAGER)

_COLLEAGUE = '2' * 32
_STRANGER = '3' * 32
_OPERATOR = '4' * 32


def make_class(name: str, user_id: str, *roles: str, **token: Any) -> CallerClass:
    """A row.

    :param token: further fields of :class:`consumer_guard.analysis.simulation.Subject`
    """
    person = Subject(user_id, roles, user_domain_id='default', **token)
    return CallerClass(name, make_caller(person))


def make_role_classes(role: str) -> tuple[CallerClass, ...]:
    """The rows of a role that only this cloud has."""
    return (
        make_class(f'{role} of the project', USER_ID, role, **_OWN_PROJECT),
        make_class(f'{role} of another project', _STRANGER, role, **_OTHER_PROJECT),
    )


#: The rows, the strongest first.
CALLER_CLASSES: tuple[CallerClass, ...] = (
    make_class('admin', _OPERATOR, *_ADMIN, project_id='c' * 32),
    make_class('service', '5' * 32, 'service', project_id='d' * 32),
    make_class('manager of the project', USER_ID, *_MANAGER, **_OWN_PROJECT),
    make_class('member of the project', USER_ID, *_MEMBER, **_OWN_PROJECT),
    make_class('reader of the project', USER_ID, 'reader', **_OWN_PROJECT),
    make_class(
        'member of the project, another user', _COLLEAGUE, *_MEMBER, **_OWN_PROJECT
    ),
    make_class(
        'reader of the project, another user', _COLLEAGUE, 'reader', **_OWN_PROJECT
    ),
    make_class('member of another project', _STRANGER, *_MEMBER, **_OTHER_PROJECT),
    make_class('reader of another project', _STRANGER, 'reader', **_OTHER_PROJECT),
    make_class('system admin', _OPERATOR, *_ADMIN, system=True),
    make_class('system reader', _OPERATOR, 'reader', system=True),
    make_class('domain admin', _OPERATOR, *_ADMIN, domain_id='default'),
    make_class('domain reader', _OPERATOR, 'reader', domain_id='default'),
    make_class('no roles', USER_ID, **_OWN_PROJECT),
    make_class('no project', USER_ID, *_MEMBER),
)
