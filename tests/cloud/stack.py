# SPDX-License-Identifier: Apache-2.0
"""The whole: keystone, guarded placements, and some people and consumers."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import yaml

from tests import servers
from tests.administrator import User as Owner
from tests.cloud.identities import DOMAIN, Identities, Project, User
from tests.cloud.keystone import REGION, Keystone
from tests.cloud.placement import Client, Placement
from tests.cloud.processes import StartFailed


class Cloud:
    """A running keystone, and what it takes to put placements beside it."""

    def __init__(self, folder: pathlib.Path, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self.folder = folder
        self.database = f'sqlite:///{folder}/placement.db'
        self.keystone = Keystone(folder / 'keystone')
        self.keystone.prepare()
        stack.callback(self.keystone.server.stop)
        self.keystone.server.start()
        self.identities = Identities(self.keystone)
        stack.callback(self.identities.close)
        self.service_project = self.identities.add_project('service')
        self.account = self.add_person('placement', 'service', self.service_project)
        self.admin_project = self.identities.find_admin_project()
        try:
            servers.create_schema(self.database)
        except servers.ServerFailed as exc:
            raise StartFailed(str(exc)) from None

    def add_person(self, name: str | None, role: str, project: Project) -> User:
        """A new user with one role in a project."""
        user = self.identities.add_user(name)
        self.identities.grant(user, role, f'projects/{project.id}')
        return user

    def serve_placement(self, region: str = REGION, **settings: Any) -> Placement:
        """Start a guarded placement, and put it into the catalog.

        :param settings: the keyword arguments of :class:`Placement`
        """
        placement = Placement(
            self.folder / f'etc-{region}',
            self.database,
            self.keystone.url,
            (self.account, self.service_project),
            **settings,
        )
        self._stack.callback(placement.stop)
        placement.start()
        self.identities.add_endpoint('placement', placement.url, region)
        return placement

    def log_in_as_admin(self) -> str:
        """A token of the administrator."""
        return self.identities.log_in(
            self.identities.admin, project_id=self.admin_project.id
        )

    def make_entry(
        self, user: User, project: Project, region: str = REGION
    ) -> dict[str, Any]:
        """What clouds.yaml says of one cloud."""
        return {
            'region_name': region,
            'identity_api_version': 3,
            'auth': {
                'auth_url': self.keystone.url,
                'username': user.name,
                'password': user.password,
                'project_name': project.name,
                'user_domain_id': DOMAIN,
                'project_domain_id': DOMAIN,
            },
        }

    def write_clouds(self, path: pathlib.Path, entries: dict[str, Any]) -> None:
        """Write clouds.yaml, for its owner's eyes."""
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump({'clouds': entries}))


@dataclasses.dataclass(frozen=True)
class Inhabitants:
    """Two projects with a reader and a consumer each, on one provider.

    :ivar clouds: path of clouds.yaml with ``admin``, ``alice`` and ``bob``
    """

    alpha: Project
    beta: Project
    alice: User
    bob: User
    provider: str
    consumer_of_alpha: str
    consumer_of_beta: str
    clouds: pathlib.Path


def settle(cloud: Cloud, placement: Placement) -> Inhabitants:
    """Make the people, a provider, and a consumer of each project."""
    identities = cloud.identities
    alpha, beta = identities.add_project('alpha'), identities.add_project('beta')
    alice = cloud.add_person('alice', 'reader', alpha)
    bob = cloud.add_person('bob', 'reader', beta)
    admin = Client(placement.url, cloud.log_in_as_admin())
    provider = admin.add_provider(64, 'compute-1')
    of_alpha, of_beta = (
        Owner((), project.id, user.id)
        for project, user in ((alpha, alice), (beta, bob))
    )
    clouds = cloud.folder / 'clouds.yaml'
    entries = {
        'admin': cloud.make_entry(identities.admin, cloud.admin_project),
        'alice': cloud.make_entry(alice, alpha),
        'bob': cloud.make_entry(bob, beta),
    }
    cloud.write_clouds(clouds, entries)
    return Inhabitants(
        alpha=alpha,
        beta=beta,
        alice=alice,
        bob=bob,
        provider=provider,
        consumer_of_alpha=admin.add_consumer(provider, of_alpha, amount=2),
        consumer_of_beta=admin.add_consumer(provider, of_beta, amount=4),
        clouds=clouds,
    )


@contextlib.contextmanager
def run_cloud(folder: pathlib.Path) -> Iterator[Cloud]:
    """A cloud in a folder; its processes are gone at the end of the ``with``.

    :raises StartFailed: something did not start
    """
    with contextlib.ExitStack() as stack:
        yield Cloud(folder, stack)
