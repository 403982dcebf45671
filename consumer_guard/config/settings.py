# SPDX-License-Identifier: Apache-2.0
"""One guard's settings, frozen, checked for contradictions."""

import string
from dataclasses import dataclass, field

from consumer_guard.generations.thresholds import Thresholds
from consumer_guard.guard.errors import ConfigurationError

#: Roles that keystone bootstraps or that placement's rules know: one of them
#: as passage role would open placement to everybody who holds it.
_RESERVED_ROLES = frozenset({'admin', 'service', 'manager', 'member', 'reader'})
_ROLE_CHARACTERS = frozenset(string.ascii_letters + string.digits + '_-.:')

#: A signed 32-bit column (placement/db/sqlalchemy/models.py, Consumer).
_COLUMN_LOWEST = -(2**31)
_COLUMN_HIGHEST = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of ``[consumer_guard]``; see :mod:`consumer_guard.config.options`.

    :raises ConfigurationError: for a contradiction, naming the options
    """

    enforcement: str
    denial: str
    owner_lookup: str
    lookup_timeout: float
    lookup_pool_size: int
    connection: str | None = field(repr=False)
    auth_strategy: str
    passage_role: str
    incomplete_consumer_project_id: str
    incomplete_consumer_user_id: str
    max_body_size: int
    hide_provider_generation: bool
    max_filtered_lists: int
    policy_poll_interval: float
    generation_limit: int
    generation_warning: int
    generation_alarm: int
    generation_reserve: int
    generation_strategy: str
    generation_roll_to: int
    audit: str
    candidate_policy_file: str = ''
    audit_key: str | None = field(default=None, repr=False)
    audit_unmasked_file: str = ''
    statsd_host: str = ''
    statsd_port: int = 8125
    statsd_prefix: str = 'consumer_guard'

    def __post_init__(self) -> None:
        self._check_passage_role()
        self._check_generations()
        if not self.connection and self.owner_lookup == 'database':
            raise ConfigurationError(
                "option 'connection' of [consumer_guard] is not set and placement's "
                'own configuration has no [placement_database] connection either '
                '(OS_PLACEMENT_CONFIG_DIR tells where it is)'
            )

    @property
    def shadow(self) -> bool:
        """Whether decisions are recorded only."""
        return self.enforcement == 'shadow'

    @property
    def conceal(self) -> bool:
        """Whether refused reads look like reads of an unknown consumer."""
        return self.denial == 'conceal'

    @property
    def thresholds(self) -> Thresholds:
        """Where the steps before the end of a generation begin."""
        return Thresholds(
            limit=self.generation_limit,
            warning=self.generation_warning,
            alarm=self.generation_alarm,
            reserve=self.generation_reserve,
        )

    def _check_passage_role(self) -> None:
        role = self.passage_role
        # Security: the role is compared as oslo.policy compares (case and
        # blanks aside) after a split at commas; with plain ASCII those are
        # the same operations on our side.
        if not set(role) <= _ROLE_CHARACTERS or role.lower() in _RESERVED_ROLES:
            raise ConfigurationError(
                f"option 'passage_role' of [consumer_guard] is {role!r}; it must be "
                'one role name of ASCII letters, digits, _ - . : and none of '
                f'{", ".join(sorted(_RESERVED_ROLES))} (empty turns it off)'
            )

    def _check_generations(self) -> None:
        if self.generation_limit > _COLUMN_HIGHEST:
            raise ConfigurationError(
                f"option 'generation_limit' of [consumer_guard] is "
                f'{self.generation_limit}; the column holds at most {_COLUMN_HIGHEST}'
            )
        if not (
            self.generation_warning >= self.generation_alarm >= self.generation_reserve
        ):
            raise ConfigurationError(
                'options of [consumer_guard]: generation_warning '
                f'({self.generation_warning}), generation_alarm '
                f'({self.generation_alarm}) and generation_reserve '
                f'({self.generation_reserve}) must not grow: they are steps before '
                'the limit'
            )
        first_warned = self.generation_limit - self.generation_warning
        if first_warned < 0:
            # Security: sealed writes move generations to negative values, which
            # must not be near any end.
            raise ConfigurationError(
                "option 'generation_warning' of [consumer_guard] is "
                f'{self.generation_warning}; it must be at most generation_limit '
                f'({self.generation_limit})'
            )
        if not _COLUMN_LOWEST <= self.generation_roll_to < first_warned:
            raise ConfigurationError(
                "option 'generation_roll_to' of [consumer_guard] is "
                f'{self.generation_roll_to}; it must be at least {_COLUMN_LOWEST} and '
                f'below the first generation that is warned about ({first_warned})'
            )
