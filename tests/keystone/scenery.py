# SPDX-License-Identifier: Apache-2.0
"""Two projects, alpha and beta, their consumers, and tokens of all kinds."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from tests.administrator import User as Owner
from tests.administrator import make_claim, without_provider_generations
from tests.cloud.identities import Project, User
from tests.cloud.placement import Client, Placement
from tests.cloud.stack import Cloud
from tests.configuration import OPEN_RULES, OWNER_RULES

#: Keystone is not waited for without end, but on a busy machine it is slow.
_IMPATIENT = {'http_connect_timeout': 8, 'http_request_max_retries': 0}

#: No token is cached: what keystone says counts at once.
_UNCACHED = _IMPATIENT | {'token_cache_time': -1}

_PASSAGE = 'role:consumer_guard_passage or service_roles:consumer_guard_passage'

#: The guarded placements over one keystone and one database, by name (which is
#: their region in the catalog).
VARIANTS: dict[str, dict[str, Any]] = {
    # The samples as they are; RegionOne is what clients find by default.
    'RegionOne': {},
    'conceal': {'options': {'denial': 'conceal'}, 'authtoken': _UNCACHED},
    # All that owners can be given; and a route that only the passage role opens.
    'open': {
        'rules': OWNER_RULES,
        'placement_rules': OPEN_RULES | {'placement:traits:list': _PASSAGE},
    },
    'delayed': {
        'authtoken': _IMPATIENT | {'delay_auth_decision': 'true'},
        'rules': {
            'consumer_guard:allocations:delete': 'service_roles:service',
        },
        'placement_rules': OPEN_RULES
        | {'placement:allocations:delete': 'service_roles:service'},
    },
}

RULE = 'consumer_guard:allocations:list'


class Scene:
    """The scenery of the tests.

    :ivar provider: a resource provider with plenty of VCPU
    :ivar admin: a client of the administrator
    :ivar own: a consumer of alpha that nobody changes
    :ivar foreign: one of beta
    """

    def __init__(self, cloud: Cloud, serve: Callable[[str], Placement]) -> None:
        self.cloud = cloud
        self.identities = cloud.identities
        self._serve = serve
        self.alpha = self.identities.add_project()
        self.beta = self.identities.add_project()
        self.admin = self.client(cloud.log_in_as_admin())
        self.provider = self.admin.add_provider(100_000)
        self.own = self.add_consumer(self.alpha)
        self.foreign = self.add_consumer(self.beta)

    def client(self, token: str | None, variant: str = 'RegionOne') -> Client:
        """A client of one of the placements."""
        return Client(self._serve(variant).url, token)

    def add_user(self, *roles: str, project: Project | None = None) -> User:
        """A new user with roles in a project, alpha unless it is given."""
        user = self.identities.add_user()
        for role in roles:
            where = f'projects/{(project or self.alpha).id}'
            self.identities.grant(user, role, where)
        return user

    def add_token(self, *roles: str, project: Project | None = None) -> str:
        """The token of a new user, of a project."""
        project = project or self.alpha
        user = self.add_user(*roles, project=project)
        return self.identities.log_in(user, project_id=project.id)

    def add_consumer(self, project: Project) -> str:
        """A consumer of one VCPU; returns its uuid."""
        return self.admin.add_consumer(self.provider, Owner((), project.id))

    def show(self, consumer: str) -> dict[str, Any]:
        """The consumer as the administrator sees it, but for its provider."""
        return without_provider_generations(self.admin.show(consumer))

    def claim(
        self, project: Project, generation: int | None = 1, amount: int = 1
    ) -> dict[str, Any]:
        """The body of one consumer, claimed for a project."""
        owner = Owner((), project.id)
        return make_claim(self.provider, owner, generation, amount=amount)

    def read(
        self,
        token: str | None,
        variant: str = 'RegionOne',
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, int]:
        """Status of reading a consumer of alpha and one of beta."""
        client = self.client(token, variant)
        statuses = [
            client.request(
                'GET', f'/allocations/{consumer}', headers=headers
            ).status_code
            for consumer in (self.own, self.foreign)
        ]
        return statuses[0], statuses[1]

    def add_application_credential(
        self, token: str, user: User, rules: list[dict[str, str]] | None = None
    ) -> str:
        """A token by a new application credential of the user's.

        :param token: of the user, of the project that the credential is for
        :param rules: access rules: ``service``, ``method``, ``path``
        """
        body: dict[str, Any] = {'name': uuid.uuid4().hex}
        if rules is not None:
            body['access_rules'] = rules
        credential = self.identities.delegate(
            token,
            f'/users/{user.id}/application_credentials',
            {'application_credential': body},
        )
        return self.identities.log_in_with(credential)

    def add_trust(self, trustor: User, *roles: str, impersonation: bool) -> str:
        """The token of a new trustee, who got roles in alpha from the trustor."""
        trustee = self.identities.add_user()
        token = self.identities.log_in(trustor, project_id=self.alpha.id)
        body = {
            'trustor_user_id': trustor.id,
            'trustee_user_id': trustee.id,
            'project_id': self.alpha.id,
            'impersonation': impersonation,
            'roles': [{'name': role} for role in roles],
        }
        trust = self.identities.delegate(token, '/OS-TRUST/trusts', {'trust': body})
        return self.identities.log_in(trustee, trust_id=trust['id'])


def last_line(detail: str) -> str:
    """The line of an error's detail that ``openstack`` prints."""
    return detail.split('\n')[-1].strip()
