# SPDX-License-Identifier: Apache-2.0
"""The plugin ``consumer_guard`` of oslo.middleware's healthcheck.

Available while the policy files are in force as they are and a look-up
answers in time. Its reasons name no file, host or rule: anybody may ask. The
details, which name the file, are shown by healthcheck's ``detailed`` mode alone.
"""

import dataclasses
import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg
from oslo_middleware.healthcheck import pluginbase

from consumer_guard import assembly
from consumer_guard.config import loading
from consumer_guard.config.options import OPTS
from consumer_guard.config.settings import Settings
from consumer_guard.guard import model
from consumer_guard.guard.errors import (
    ConfigurationError,
    OwnersUnavailable,
    PolicyLocked,
)
from consumer_guard.rules.reloading import ReloadedRules

LOG = logging.getLogger(__name__)

#: An id that no consumer has (RFC 9562, "Max UUID"); the answer is not looked at.
_NOBODY = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

#: Characters of a detail.
_LONGEST = 300

_PASSWORD = re.compile(r'//[^/\s@]*@')

_SECTION_KEYS = frozenset({*loading.LOCATION_KEYS, *(option.dest for option in OPTS)})


@dataclasses.dataclass(frozen=True, slots=True)
class _Parts:
    settings: Settings
    rules: ReloadedRules
    lookup: model.OwnerLookup


class GuardHealthcheck(pluginbase.HealthcheckBaseExtension):
    """Policy files and look-up, looked at once an interval at the most.

    The interval is ``policy_poll_interval``. Made before a fork: it opens no
    connection until it is asked.

    :param oslo_conf: healthcheck's own; not looked at
    :param conf: the paste section: where the guard's configuration is, and
        options of ``[consumer_guard]`` that win over it; all else is not ours
    """

    def __init__(self, oslo_conf: cfg.ConfigOpts, conf: dict[str, Any]) -> None:
        super().__init__(oslo_conf, conf)
        self._parts = _make_parts(conf)
        self._due = float('-inf')
        self._last: pluginbase.HealthcheckResult | None = None

    def healthcheck(
        self,
        server_port: int,  # noqa: ARG002
    ) -> pluginbase.HealthcheckResult:
        """The state now, or that of less than an interval ago."""
        if self._parts is None:
            return _fail('CONFIGURATION', 'cannot be used, see the log')
        now = time.monotonic()
        if self._last is None or now >= self._due:
            # Security: anybody may ask, but not for a statement a request.
            self._due = now + self._parts.settings.policy_poll_interval
            self._last = _examine(self._parts)
        return self._last


def _make_parts(conf: Mapping[str, Any]) -> _Parts | None:
    """None when the configuration cannot be used.

    Security: never raises. healthcheck goes on without a plugin that cannot be
    made, and would report a service without a guard as healthy.
    """
    local_conf = {key: str(conf[key]) for key in _SECTION_KEYS & set(conf)}
    try:
        parsed = loading.parse_files(local_conf)
        read = loading.load(parsed, local_conf).settings
        settings = dataclasses.replace(read, lookup_pool_size=1)
        return _Parts(
            settings,
            assembly.watch_rule_files(parsed, settings),
            assembly.make_lookup(settings),
        )
    except ConfigurationError as exc:
        reason = str(exc)
    except Exception:
        LOG.exception('The health of consumer_guard is unknown')
        return None
    # After the except clause: formatters would add the text again.
    LOG.error('The health of consumer_guard is unknown: %s', reason)
    return None


def _examine(parts: _Parts) -> pluginbase.HealthcheckResult:
    try:
        parts.rules.current()
    except PolicyLocked:
        return _fail('POLICY FILES, LOCKED', parts.rules.problem or '')
    if parts.rules.problem is not None:
        return _fail('POLICY FILES', parts.rules.problem)
    timeout = parts.settings.lookup_timeout
    started = time.monotonic()
    try:
        parts.lookup.find([_NOBODY])
    except OwnersUnavailable:
        return _fail('OWNER LOOK-UP', 'the look-up of owners failed, see the log')
    spent = time.monotonic() - started
    if spent > timeout:
        return _fail(
            'OWNER LOOK-UP', f'took {spent:.1f} s; lookup_timeout is {timeout} s'
        )
    return pluginbase.HealthcheckResult(True, 'OK', 'consumer_guard')


def _fail(reason: str, details: str) -> pluginbase.HealthcheckResult:
    # Security: a text about a file may quote a line of it, http: checks hold
    # passwords.
    shown = _PASSWORD.sub('//***@', details.partition('\n')[0])[:_LONGEST]
    return pluginbase.HealthcheckResult(False, f'CONSUMER GUARD: {reason}', shown)
