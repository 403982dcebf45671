# SPDX-License-Identifier: Apache-2.0
"""Who the clients are: what keystone would say of their tokens."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Account:
    """One account of a client.

    :ivar user: its user id; the token is ``user:project``, as placement's
        noauth2 reads it
    """

    user: str
    project: str
    roles: tuple[str, ...]

    @property
    def token(self) -> str:
        """What the client sends as X-Auth-Token."""
        return f'{self.user}:{self.project}'


@dataclasses.dataclass(frozen=True)
class ServiceAccounts:
    """The accounts that nova and neutron have in one deployment."""

    name: str
    nova: Account
    neutron: Account


_SHARED = Account('placement', 'service', ('admin',))

#: devstack of old, deployments of today, and kolla's one shared account.
ACCOUNTS = (
    ServiceAccounts(
        'admin',
        Account('nova-admin', 'service', ('admin', 'member', 'reader')),
        Account('neutron-admin', 'service', ('admin', 'member', 'reader')),
    ),
    ServiceAccounts(
        'service',
        Account('nova', 'service', ('service',)),
        Account('neutron', 'service', ('service',)),
    ),
    ServiceAccounts('kolla', _SHARED, _SHARED),
)

#: Lost their roles: a member who owns nothing that they ask for.
MEMBER = Account('somebody', 'elsewhere', ('member', 'reader'))

#: A member of the project that owns what they ask for.
OWNER = Account('owner', 'tenant', ('member', 'reader'))

#: Who writes between a client's read and its write.
INTERLOPER = Account('interloper', 'admin', ('admin',))

ROLES = {
    account.user: account.roles
    for account in (
        *(accounts.nova for accounts in ACCOUNTS),
        *(accounts.neutron for accounts in ACCOUNTS),
        *(MEMBER, OWNER, INTERLOPER),
    )
}
