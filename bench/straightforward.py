# SPDX-License-Identifier: Apache-2.0
"""A straightforward guard: what one would write first, for comparison.

webob's wsgify, oslo.db's enginefacade and ``Enforcer.authorize``, all used as
their documentation shows. It decides reads only, and has none of the guard's
defences.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
import webob
import webob.dec
import webob.exc
from oslo_config import cfg
from oslo_context import context
from oslo_db.sqlalchemy import enginefacade
from oslo_policy import opts, policy

from consumer_guard.rules import defaults

_CONSUMER = re.compile(r'^/allocations/([^/]+)$')
_PROVIDER = re.compile(r'^/resource_providers/([^/]+)/allocations$')

_COLUMNS = ('uuid', 'project_id', 'user_id', 'generation')
_CONSUMERS = sa.table('consumers', *map(sa.column, _COLUMNS))
_PROJECTS = sa.table('projects', sa.column('id'), sa.column('external_id'))
_USERS = sa.table('users', sa.column('id'), sa.column('external_id'))

#: Ids in one IN; SQLite's oldest limit is 999.
_BATCH = 500


@enginefacade.transaction_context_provider
class _DatabaseContext:
    pass


class StraightforwardGuard:
    """See the module."""

    def __init__(
        self, application: Any, url: str, rules: Mapping[str, str] | None = None
    ) -> None:
        self._application = application
        self._manager = enginefacade.transaction_context()
        self._manager.configure(connection=url)
        self._enforcer = make_enforcer(rules)

    @webob.dec.wsgify
    def __call__(self, request: webob.Request) -> Any:
        consumer = _CONSUMER.match(request.path_info)
        provider = _PROVIDER.match(request.path_info)
        if request.method != 'GET' or not (consumer or provider):
            return self._application
        caller = context.RequestContext.from_environ(request.environ, overwrite=False)
        if consumer:
            owners = self.find([consumer[1]])
            target = owners.get(consumer[1], {})
            if not self._enforcer.authorize(
                'consumer_guard:allocations:list', target, caller
            ):
                raise webob.exc.HTTPForbidden()
            return self._application
        return self._filter(request, caller)

    def find(self, uuids: list[str]) -> dict[str, dict[str, str]]:
        """Owners by id."""
        found = {}
        with self._manager.reader.using(_DatabaseContext()) as session:
            for first in range(0, len(uuids), _BATCH):
                query = (
                    sa.select(
                        _CONSUMERS.c.uuid,
                        _PROJECTS.c.external_id,
                        _USERS.c.external_id,
                        _CONSUMERS.c.generation,
                    )
                    .join(_PROJECTS, _PROJECTS.c.id == _CONSUMERS.c.project_id)
                    .join(_USERS, _USERS.c.id == _CONSUMERS.c.user_id)
                    .where(_CONSUMERS.c.uuid.in_(uuids[first : first + _BATCH]))
                )
                for uuid, project, user, _ in session.execute(query):
                    found[uuid] = {
                        'consumer_uuid': uuid,
                        'project_id': project,
                        'user_id': user,
                    }
        return found

    def _filter(self, request: webob.Request, caller: Any) -> webob.Response:
        response = request.get_response(self._application)
        document = response.json
        owners = self.find(list(document['allocations']))
        document['allocations'] = {
            uuid: shown
            for uuid, shown in document['allocations'].items()
            if self._enforcer.authorize(
                'consumer_guard:resource_providers:allocations:list',
                owners.get(uuid, {}),
                caller,
            )
        }
        response.body = json.dumps(document).encode()
        return response


def make_enforcer(rules: Mapping[str, str] | None = None) -> policy.Enforcer:
    """oslo.policy's enforcer over our rules.

    :param rules: in place of the defaults of these names
    """
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    enforcer = policy.Enforcer(conf)
    enforcer.suppress_deprecation_warnings = True
    for rule in defaults.list_rules():
        text = (rules or {}).get(rule.name, rule.check_str)
        enforcer.register_default(
            policy.RuleDefault(rule.name, text, scope_types=rule.scope_types)
        )
    return enforcer
