# SPDX-License-Identifier: Apache-2.0
"""The clients of nova and neutron over one placement, and what came of a run.

The clients are as released: nothing of them is replaced, they only get their
placement's URL and a token, as they would from their configuration.
"""

import copy
import dataclasses
import json
import pathlib
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import nova.conf
import requests
from keystoneauth1 import adapter, loading, session, token_endpoint
from neutron_lib.placement import client as neutron_client
from nova import context, objects
from nova.compute import provider_tree
from nova.scheduler.client import report
from oslo_config import cfg

from tests.clients.accounts import Account, ServiceAccounts
from tests.clients.placements import Placement
from tests.rows import NamedRow

#: Seconds that a client waits for an answer.
_PATIENCE = 30

#: Where a rolled generation goes on: the default of generation_roll_to.
_ROLLED_TO = -(2**31)

_LIMIT = 2**31 - 1

#: Ages: no increment is left; the reserve has begun (generation_reserve).
OLD = {'spent': _LIMIT, 'reserve': _LIMIT - 3_000_000 + 1}

#: Every consumer is made old while it is at this generation.
YOUNG = 1


def make_nova(url: str, account: Account) -> report.SchedulerReportClient:
    """Nova's client of placement, as nova makes it from its configuration."""
    objects.register_all()
    nova.conf.CONF([], project='nova', default_config_files=[])
    plugin = token_endpoint.Token(url, account.token)
    return report.SchedulerReportClient(
        adapter=adapter.Adapter(
            session.Session(auth=plugin, timeout=_PATIENCE),
            service_type='placement',
            raise_exc=False,
        )
    )


def make_neutron(
    url: str, account: Account, folder: pathlib.Path
) -> neutron_client.PlacementAPIClient:
    """neutron-lib's client, configured as in neutron.conf."""
    file = folder / f'neutron-{uuid.uuid4()}.conf'
    file.write_text(
        '[placement]\n'
        'auth_type = admin_token\n'
        f'endpoint = {url}\n'
        f'token = {account.token}\n'
        f'timeout = {_PATIENCE}\n'
    )
    conf = cfg.ConfigOpts()
    loading.register_session_conf_options(conf, 'placement')
    loading.register_auth_conf_options(conf, 'placement')
    conf.register_opts(
        [cfg.StrOpt('region_name'), cfg.StrOpt('endpoint_type', default='public')],
        'placement',
    )
    conf([], project='neutron', default_config_files=[str(file)])
    return neutron_client.PlacementAPIClient(conf)


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a run; equal results mean that nobody saw a difference.

    :ivar outcomes: of each step, what was returned or raised
    :ivar added: rows of the database that were not there before
    :ivar removed: rows that are not there any more
    :ivar exchanges: requests and answers, in order
    """

    outcomes: list[tuple[str, Any]]
    added: frozenset[NamedRow]
    removed: frozenset[NamedRow]
    exchanges: list[Mapping[str, Any]]


def _describe(value: object) -> object:
    """Something to compare, of what JSON does not know."""
    if isinstance(value, provider_tree.ProviderTree):
        return [value.data(uuid) for uuid in value.get_provider_uuids()]
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, requests.Response):
        return value.status_code
    raise TypeError(f'nobody said how to compare {value!r}')


class ClientRun:
    """One run over one placement.

    :param title: makes the ids of this run, the same on every placement
    :param old: the generation that consumers are set to; None leaves them young
    """

    def __init__(
        self,
        placement: Placement,
        accounts: ServiceAccounts,
        title: str,
        old: int | None = None,
    ) -> None:
        self.placement = placement
        self.title = title
        self.roles = accounts.nova.roles
        self.nova = make_nova(placement.url, accounts.nova)
        self.neutron = make_neutron(placement.url, accounts.neutron, placement.folder)
        self.context = context.get_admin_context()
        self._old = old
        self._outcomes: list[tuple[str, Any]] = []

    def make_id(self, label: str) -> str:
        """A uuid that is the same whenever this run is done."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f'{self.title}/{label}'))

    def step(
        self, call: Callable[..., Any], *arguments: Any, raises: str = '', **named: Any
    ) -> Any:
        """Call a client and keep what it returned or raised.

        :param raises: name of the exception that has to come
        """
        name = call.__name__
        try:
            outcome = call(*arguments, **named)
        except Exception as exc:
            if type(exc).__name__ != raises:
                raise
            self._outcomes.append((name, f'{raises}: {exc}'))
            return exc
        assert not raises, f'{name} should have raised {raises}'
        self._outcomes.append((name, copy.deepcopy(outcome)))
        return outcome

    def age(self, consumer: str) -> None:
        """Make a consumer old, where this run is about old ones."""
        row = self.placement.read_consumer(consumer)
        assert row is not None
        assert row.generation == YOUNG
        if self._old is not None:
            self.placement.set_generation(consumer, self._old)

    def execute(self, scenario: Callable[['ClientRun'], None]) -> Result:
        """Run a scenario; generations are told as if nobody had been old."""
        before = self.placement.read_rows()
        self.placement.take_exchanges()
        scenario(self)
        after = self.placement.read_rows()
        return Result(
            [(name, self._plain(outcome)) for name, outcome in self._outcomes],
            frozenset(self._young(row) for row in after - before),
            frozenset(self._young(row) for row in before - after),
            [self._plain(exchange) for exchange in self.placement.take_exchanges()],
        )

    def _young(self, row: NamedRow) -> NamedRow:
        return (*row[:-1], self._young_of(row[-1])) if row[0] == 'consumer' else row

    def _young_of(self, generation: int) -> int:
        if self._old is None:
            return generation
        if generation == self._old:
            return YOUNG
        return generation - _ROLLED_TO + YOUNG if generation < 0 else generation

    def _plain(self, value: Any) -> Any:
        """Text to compare, without request ids."""
        text = json.dumps(value, default=_describe, sort_keys=True)
        text = re.sub(r'req-[0-9a-f-]{36}', 'req-id', text)
        # In bodies, bodies within texts, and placement's words about a conflict.
        text = re.sub(
            r'(consumer_generation\\*": |expected |got )(-?\d+)',
            lambda found: found[1] + str(self._young_of(int(found[2]))),
            text,
        )
        return json.loads(text)
