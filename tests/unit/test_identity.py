# SPDX-License-Identifier: Apache-2.0
"""Who asks: the proof, the credentials, and the passage role."""

import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oslo_context import context

from consumer_guard.backend.requestlog import remove_identity
from consumer_guard.guard import identity

ROLE = 'consumer_guard_passage'


def _environ(*roles: str, **more: Any) -> dict[str, Any]:
    """What auth_token leaves for a valid token of project p."""
    user = types.SimpleNamespace(
        user_id='u', project_id='p', role_names=roles, system_scoped=False
    )
    made = {
        'keystone.token_info': {'token': {}},
        'keystone.token_auth': types.SimpleNamespace(user=user),
        'HTTP_X_IDENTITY_STATUS': 'Confirmed',
        'HTTP_X_USER_ID': 'u',
        'HTTP_X_PROJECT_ID': 'p',
        'HTTP_X_ROLES': ','.join(roles),
    }
    return made | more


def _add_service(environ: dict[str, Any], *roles: str, **more: Any) -> dict[str, Any]:
    """What auth_token leaves for a valid service token beside the user's."""
    headers = {
        'HTTP_X_SERVICE_IDENTITY_STATUS': 'Confirmed',
        'HTTP_X_SERVICE_USER_ID': 'su',
        'HTTP_X_SERVICE_ROLES': ','.join(roles),
    }
    made = environ | headers | more
    service = types.SimpleNamespace(
        user_id='su',
        project_id=made.get('HTTP_X_SERVICE_PROJECT_ID'),
        role_names=roles,
    )
    made['keystone.token_auth'] = types.SimpleNamespace(
        user=environ['keystone.token_auth'].user, service=service
    )
    return made


def _make(environ: dict[str, Any], **more: Any) -> identity.GuardContext:
    made = identity.make_context(
        environ, believe_headers=more.get('believe_headers', False)
    )
    assert made is not None
    return made


class TestProof:
    """I01 I02: all of it, or nothing."""

    def test_an_identity_with_all_of_its_proof_is_proven(self) -> None:
        assert identity.is_proven(_environ())

    @pytest.mark.parametrize('key', sorted(set(_environ()) - {'HTTP_X_ROLES'}))
    def test_one_of_them_is_missing(self, key: str) -> None:
        without = {name: value for name, value in _environ().items() if name != key}
        for environ in (without, _environ() | {key: None}):
            assert not identity.is_proven(environ)
            assert identity.make_context(environ, believe_headers=False) is None

    @pytest.mark.parametrize(
        'key', ['HTTP_X_IDENTITY_STATUS', 'HTTP_X_USER_ID', 'HTTP_X_PROJECT_ID']
    )
    @pytest.mark.parametrize('value', ['', 'x', 'confirmed', 'U', 'P', 'u,x', 'p '])
    def test_one_of_them_is_another(self, key: str, value: str) -> None:
        environ = _environ() | {key: value}
        assert not identity.is_proven(environ)
        assert identity.make_context(environ, believe_headers=False) is None

    @pytest.mark.parametrize(
        'user',
        [
            None,
            types.SimpleNamespace(),
            types.SimpleNamespace(user_id='x', project_id='p'),
            types.SimpleNamespace(user_id='u', project_id='x'),
            types.SimpleNamespace(user_id='u', project_id=None),
            types.SimpleNamespace(user_id=None, project_id='p'),
        ],
    )
    def test_the_tokens_own_user_is_another(self, user: Any) -> None:
        token_auth = types.SimpleNamespace(user=user)
        assert not identity.is_proven(_environ() | {'keystone.token_auth': token_auth})

    @pytest.mark.parametrize('user_id', [None, ''])
    def test_a_token_and_headers_without_a_user_prove_nothing(
        self, user_id: str | None
    ) -> None:
        environ = _environ() | {'HTTP_X_USER_ID': user_id}
        environ['keystone.token_auth'].user.user_id = user_id
        assert not identity.is_proven(environ)

    @pytest.mark.parametrize('project_id', [None, ''])
    @pytest.mark.parametrize('of_token', [None, ''])
    def test_without_a_project(
        self, project_id: str | None, of_token: str | None
    ) -> None:
        """I10 I11 I15: an identity, of no project; never of '' or None."""
        user = types.SimpleNamespace(
            user_id='u', project_id=of_token, role_names=('r',)
        )
        environ = _environ('r') | {
            'keystone.token_auth': types.SimpleNamespace(user=user),
            'HTTP_X_PROJECT_ID': project_id,
        }
        assert identity.is_proven(environ)
        credentials = identity.make_caller(_make(environ)).credentials
        assert credentials['project_id'] is None


class TestContext:
    def test_credentials_are_those_of_oslo_context(self) -> None:
        """The keys that policy checks know, and no other."""
        environ = _add_service(
            _environ(
                'Reader',
                HTTP_X_USER_DOMAIN_ID='ud',
                HTTP_X_PROJECT_DOMAIN_ID='pd',
                HTTP_X_IS_ADMIN_PROJECT='True',
            ),
            'service',
            'Other',
            HTTP_X_SERVICE_PROJECT_ID='sp',
            HTTP_X_SERVICE_USER_DOMAIN_ID='sud',
            HTTP_X_SERVICE_PROJECT_DOMAIN_ID='spd',
            HTTP_X_SERVICE_ROLES='service, Other',
        )
        made = _make(environ)
        caller = identity.make_caller(made)
        assert dict(caller.credentials) == dict(made.to_policy_values())
        assert caller.credentials['service_roles'] == ['service', 'Other']
        assert caller.roles == {'reader'}
        assert caller.scope == 'project'

    @given(
        st.fixed_dictionaries(
            {},
            optional={
                name: st.none() | st.text(' ,aR', max_size=4)
                for name in (
                    'HTTP_X_DOMAIN_ID',
                    'HTTP_X_USER_DOMAIN_ID',
                    'HTTP_X_PROJECT_DOMAIN_ID',
                    'HTTP_X_SERVICE_USER_DOMAIN_ID',
                    'HTTP_X_SERVICE_PROJECT_ID',
                    'HTTP_X_SERVICE_PROJECT_DOMAIN_ID',
                    'HTTP_X_SERVICE_ROLES',
                    'HTTP_X_USER_NAME',
                    'HTTP_X_PROJECT_NAME',
                    'HTTP_X_DOMAIN_NAME',
                    'HTTP_X_USER_DOMAIN_NAME',
                    'HTTP_X_PROJECT_DOMAIN_NAME',
                    'HTTP_X_AUTH_TOKEN',
                    'openstack.request_id',
                    'openstack.global_request_id',
                )
            },
        )
    )
    def test_what_checks_see_is_what_oslo_context_reads(
        self, headers: dict[str, str]
    ) -> None:
        roles = (headers.get('HTTP_X_SERVICE_ROLES') or '').split(',')
        environ = _add_service(
            _environ('r', HTTP_X_IS_ADMIN_PROJECT='true'),
            *[role.strip() for role in roles],
            **headers,
        )
        ours = _make(environ)
        theirs = context.RequestContext.from_environ(
            environ, user_id='u', project_id='p', roles=['r'], overwrite=False
        )
        # A comma too many is no role.
        theirs.service_roles = [role for role in theirs.service_roles if role]
        if not headers.get('openstack.request_id'):
            # Each made one of its own.
            theirs.request_id = ours.request_id
        assert ours.to_policy_values() == theirs.to_policy_values()
        # Log lines show them.
        assert ours.user_name == theirs.user_name
        assert ours.project_name == theirs.project_name
        assert ours.domain_name == theirs.domain_name
        assert ours.user_domain_name == theirs.user_domain_name
        assert ours.project_domain_name == theirs.project_domain_name
        assert identity.make_caller(ours) == identity.make_caller(theirs)

    def test_a_caller_has_the_ids_of_the_request(self) -> None:
        ids = {
            'openstack.request_id': 'req-1',
            'openstack.global_request_id': 'req-2',
        }
        caller = identity.make_caller(_make(_environ('r') | ids))
        assert (caller.request_id, caller.global_request_id) == ('req-1', 'req-2')

    def test_a_system_scope(self) -> None:
        """From the token alone: the header may be another's."""
        environ = _environ('admin', HTTP_OPENSTACK_SYSTEM_SCOPE='all')
        caller = identity.make_caller(_make(environ))
        assert caller.scope == 'project'
        assert 'system' not in caller.credentials
        environ['keystone.token_auth'].user.system_scoped = True
        caller = identity.make_caller(_make(environ))
        assert caller.scope == 'system'
        assert caller.credentials['system'] == 'all'

    def test_a_token_that_does_not_tell_its_scope_has_no_system_scope(self) -> None:
        environ = _environ('admin')
        del environ['keystone.token_auth'].user.system_scoped
        caller = identity.make_caller(_make(environ))
        assert caller.scope == 'project'
        assert caller.credentials['system_scope'] is None

    def test_a_token_of_a_domain_has_the_scope_domain(self) -> None:
        caller = identity.make_caller(_make(_environ('r', HTTP_X_DOMAIN_ID='d')))
        assert caller.scope == 'domain'

    @pytest.mark.parametrize(
        ('header', 'expected'),
        [(None, False), ('False', False), ('', False), ('1', False), ('true', True)],
    )
    @pytest.mark.parametrize('absent', [True, False])
    def test_the_admin_project(
        self, header: str | None, expected: bool, absent: bool
    ) -> None:
        """I16: unknown is no, where oslo.context says yes."""
        environ = _environ('r')
        if header is not None or not absent:
            environ['HTTP_X_IS_ADMIN_PROJECT'] = header
        caller = identity.make_caller(_make(environ))
        assert caller.credentials['is_admin_project'] is expected

    def test_headers_that_hold_names(self) -> None:
        """I17: oslo.context falls back to them; a name is no id."""
        named = {
            'HTTP_X_USER': 'name',
            'HTTP_X_USER_NAME': 'name',
            'HTTP_X_TENANT': 'name',
            'HTTP_X_TENANT_NAME': 'name',
            'HTTP_X_TENANT_ID': 'name',
            'HTTP_X_PROJECT_NAME': 'name',
        }
        user = types.SimpleNamespace(user_id='u', project_id=None, role_names=())
        environ = _environ() | named
        environ['keystone.token_auth'] = types.SimpleNamespace(user=user)
        del environ['HTTP_X_PROJECT_ID']
        assert context.RequestContext.from_environ(environ).project_id == 'name'
        credentials = identity.make_caller(_make(environ)).credentials
        assert credentials['project_id'] is None
        del environ['HTTP_X_USER_ID']
        for believe in (False, True):
            assert identity.make_context(environ, believe_headers=believe) is None

    def test_all_headers_are_none(self) -> None:
        """I15: as auth_token leaves those that a token has nothing for."""
        environ = _environ('r')
        for name in (
            'DOMAIN_ID',
            'DOMAIN_NAME',
            'PROJECT_DOMAIN_ID',
            'USER_DOMAIN_ID',
            'ROLE',
            'IS_ADMIN_PROJECT',
            'SERVICE_ROLES',
            'SERVICE_USER_ID',
        ):
            environ[f'HTTP_X_{name}'] = None
        environ['HTTP_OPENSTACK_SYSTEM_SCOPE'] = None
        environ['HTTP_X_ROLES'] = None
        caller = identity.make_caller(_make(environ))
        assert caller.roles == frozenset()
        identity.strip_role(environ, ROLE)
        assert environ['HTTP_X_ROLES'] is None

    @pytest.mark.parametrize(
        ('named', 'expected'),
        [
            (('Reader', 'member'), ['Reader', 'member']),
            (('x,admin',), []),
            (('admin ',), []),
            ((' ', '', ','), []),
            (('a', 'a,a'), ['a', 'a', 'a']),
            ((), []),
        ],
    )
    def test_roles(self, named: tuple[str, ...], expected: list[str]) -> None:
        """I13: roles of the token, not of the commas in it."""
        assert list(_make(_environ(*named)).roles) == expected

    @pytest.mark.parametrize(
        ('named', 'expected'),
        [
            (('service', 'Other'), ['service', 'Other']),
            (('x,admin', 'service'), ['service']),
            (('admin ',), []),
            (('a', 'a,a'), ['a', 'a', 'a']),
            ((), []),
        ],
    )
    def test_roles_of_a_service_are_those_of_its_token(
        self, named: tuple[str, ...], expected: list[str]
    ) -> None:
        """I13: a role named 'x,admin' makes no admin of a service either."""
        made = _make(_add_service(_environ('reader'), *named))
        assert list(made.service_roles) == expected
        assert list(made.roles) == ['reader']

    def test_a_role_of_the_user_is_none_of_the_service_and_vice_versa(self) -> None:
        environ = _add_service(_environ('admin'), 'service')
        made = _make(environ | {'HTTP_X_SERVICE_ROLES': 'service,admin'})
        assert list(made.service_roles) == ['service']
        made = _make(environ | {'HTTP_X_ROLES': 'service,admin'})
        assert list(made.roles) == ['admin']

    @pytest.mark.parametrize(
        'change',
        [
            {'HTTP_X_SERVICE_IDENTITY_STATUS': None},
            {'HTTP_X_SERVICE_IDENTITY_STATUS': 'Invalid'},
            {'HTTP_X_SERVICE_USER_ID': 'another'},
            {'HTTP_X_SERVICE_USER_ID': None},
            {'keystone.token_auth': _environ('r')['keystone.token_auth']},
        ],
        ids=['no status', 'invalid', 'another user', 'no user', 'no token'],
    )
    def test_a_service_that_is_not_proven_is_none(self, change: dict[str, Any]) -> None:
        """Every header of it: a rule may ask for any."""
        names = ('USER_DOMAIN_ID', 'PROJECT_ID', 'PROJECT_DOMAIN_ID')
        environ = _add_service(
            _environ('r'),
            'service',
            **{f'HTTP_X_SERVICE_{name}': name for name in names},
        )
        proven = identity.make_caller(_make(environ)).credentials
        assert proven['service_roles'] == ['service']
        credentials = identity.make_caller(_make(environ | change)).credentials
        assert proven['service_user_id'] == 'su'
        assert credentials['service_roles'] == []
        assert credentials['service_user_id'] is None
        for name in names:
            assert proven[f'service_{name.lower()}'] == name
            assert credentials[f'service_{name.lower()}'] is None

    def test_believed_headers_give_user_project_and_roles(self) -> None:
        environ = {
            'HTTP_X_USER_ID': 'u',
            'HTTP_X_TENANT_ID': 'p',
            'HTTP_X_ROLES': 'a, b,,',
            'HTTP_X_SERVICE_USER_ID': 'su',
            'HTTP_X_SERVICE_ROLES': 'service, c',
        }
        made = _make(environ, believe_headers=True)
        assert (made.user_id, made.project_id) == ('u', 'p')
        assert list(made.roles) == ['a', 'b']
        assert made.service_user_id == 'su'
        assert list(made.service_roles) == ['service', 'c']

    def test_believed_headers_without_roles_give_none(self) -> None:
        made = _make({'HTTP_X_USER_ID': 'u'}, believe_headers=True)
        assert (made.roles, made.service_roles) == ([], [])

    def test_believed_headers_give_the_system_scope_and_the_newer_project(
        self,
    ) -> None:
        environ = {
            'HTTP_X_USER_ID': 'u',
            'HTTP_X_PROJECT_ID': 'p',
            'HTTP_X_TENANT_ID': 'older',
            'HTTP_OPENSTACK_SYSTEM_SCOPE': 'all',
        }
        caller = identity.make_caller(_make(environ, believe_headers=True))
        assert caller.credentials['project_id'] == 'p'
        assert caller.scope == 'system'

    def test_believed_headers_that_are_empty_are_none(self) -> None:
        names = ('HTTP_X_PROJECT_ID', 'HTTP_OPENSTACK_SYSTEM_SCOPE')
        environ = {'HTTP_X_USER_ID': 'u'} | dict.fromkeys(names, '')
        caller = identity.make_caller(_make(environ, believe_headers=True))
        assert caller.credentials['project_id'] is None
        assert caller.credentials['system_scope'] is None
        environ['HTTP_X_USER_ID'] = ''
        assert identity.make_context(environ, believe_headers=True) is None

    def test_the_threads_context(self) -> None:
        """I18: neither made, nor replaced."""
        context._request_store.context = None
        _make(_environ('r'))
        assert context.get_current() is None
        before = context.RequestContext(user_id='x')
        _make(_environ('r'))
        assert context.get_current() is before

    def test_an_anonymous_context_has_the_ids_of_the_request_alone(self) -> None:
        environ = _environ('r') | {
            'openstack.request_id': 'req-1',
            'openstack.global_request_id': 'req-2',
        }
        made = identity.make_anonymous_context(environ)
        assert (made.request_id, made.global_request_id) == ('req-1', 'req-2')
        values = made.to_policy_values()
        assert not any(values.values()), dict(values)

    def test_set_context_replaces_and_clears(self) -> None:
        made = _make(_environ('r'))
        identity.set_context(made)
        assert context.get_current() is made
        identity.set_context(None)
        assert context.get_current() is None


def test_remove_identity_leaves_nothing_that_oslo_context_reads() -> None:
    read = {name for names in context._ENVIRON_HEADERS.values() for name in names}
    headers = {name for name in read if name.startswith('HTTP_')}
    headers |= {'HTTP_X_ROLES', 'HTTP_X_ROLE', 'HTTP_X_SERVICE_ROLES'}
    headers |= {'HTTP_X_IS_ADMIN_PROJECT', 'HTTP_X_IDENTITY_STATUS'}
    kept = {'HTTP_X_OPENSTACK_REQUEST_ID': 'x', 'HTTP_ACCEPT': 'x', 'PATH_INFO': 'x'}
    environ = dict.fromkeys(headers, 'x') | kept
    assert remove_identity(environ) == dict.fromkeys(headers, 'x')
    assert environ == kept


class TestStripRole:
    @pytest.mark.parametrize(
        'key', ['HTTP_X_ROLES', 'HTTP_X_ROLE', 'HTTP_X_SERVICE_ROLES']
    )
    @pytest.mark.parametrize(
        ('header', 'expected'),
        [
            (ROLE, ''),
            (ROLE.upper(), ''),
            (f' {ROLE}\t', ''),
            (f'\xa0{ROLE}\x85', ''),
            (f'{ROLE},{ROLE}', ''),
            (f'a,{ROLE},b', 'a,b'),
            (f'a, {ROLE.title()} , b ,{ROLE}', 'a, b '),
            (f'a{ROLE},{ROLE}b', f'a{ROLE},{ROLE}b'),
            (f'{ROLE} x', f'{ROLE} x'),
            ('a,b', 'a,b'),
            ('', ''),
            (None, None),
        ],
    )
    def test_headers(self, key: str, header: str | None, expected: str | None) -> None:
        """Left empty, not removed: oslo.context would look at another header."""
        environ = {key: header, 'HTTP_X_OTHER': ROLE}
        identity.strip_role(environ, ROLE)
        assert environ == {key: expected, 'HTTP_X_OTHER': ROLE}

    def test_without_a_header_of_roles_nothing_is_changed(self) -> None:
        environ: dict[str, Any] = {}
        identity.strip_role(environ, ROLE)
        assert environ == {}

    def test_an_empty_role_is_neither_stripped_nor_added(self) -> None:
        environ = {'HTTP_X_ROLES': 'a,,b'}
        identity.strip_role(environ, '')
        identity.add_role(environ, '')
        assert environ == {'HTTP_X_ROLES': 'a,,b'}

    @pytest.mark.parametrize('header', [ROLE, f'a,{ROLE.upper()} ', f',{ROLE}'])
    def test_what_oslo_context_makes_of_it(self, header: str) -> None:
        """No spelling survives into what placement's rules compare."""
        environ = {'HTTP_X_ROLES': header, 'HTTP_X_ROLE': header}
        environ['HTTP_X_SERVICE_ROLES'] = header
        identity.strip_role(environ, ROLE)
        made = context.RequestContext.from_environ(environ, overwrite=False)
        roles = [role.lower() for role in (*made.roles, *made.service_roles)]
        assert ROLE not in roles

    @pytest.mark.parametrize(
        ('header', 'expected'), [(None, ROLE), ('', ROLE), ('a', f'a,{ROLE}')]
    )
    def test_a_role_is_added_after_those_already_there(
        self, header: str | None, expected: str
    ) -> None:
        environ = {} if header is None else {'HTTP_X_ROLES': header}
        identity.add_role(environ, ROLE)
        assert environ == {'HTTP_X_ROLES': expected}


def test_a_request_id_is_made_where_none_is_and_then_kept() -> None:
    environ: dict[str, Any] = {}
    assert identity.ensure_request_id(environ)
    made = environ[identity.ENV_REQUEST_ID]
    assert made.startswith('req-')
    assert identity.ensure_request_id(environ) is False
    assert environ == {identity.ENV_REQUEST_ID: made}
