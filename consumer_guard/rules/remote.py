# SPDX-License-Identifier: Apache-2.0
"""Checks that are answered elsewhere: ``http:``, ``https:``, plugins'.

They are unknown while the owner is, and asked in the final pass alone.
Whatever goes wrong with them is unknown, and so a refusal.
"""

import copy
import inspect
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from oslo_config import cfg
from oslo_policy import policy

from consumer_guard.guard.model import PLACEHOLDER_ID, Truth
from consumer_guard.rules.nodes import Facts, Leaf, RemoteCheck

LOG = logging.getLogger(__name__)

# What may go into a URL as raw text and still be one plain segment of it.
_PLAIN = re.compile(r'(?!\.+\Z)[A-Za-z0-9_.:@-]+\Z')


@dataclass(frozen=True, slots=True)
class Remote(Leaf):
    """One such check.

    :ivar kind: what stands before the colon
    :ivar check: oslo.policy's own object
    """

    kind: str
    check: RemoteCheck

    def evaluate(self, facts: Facts) -> Truth:
        """Ask, when it may be asked and the target is plain text."""
        if facts.ask is None:
            return Truth.UNKNOWN
        # Security: raw target text goes into URLs; '/', '?' or '..' in an
        # owner's id would ask about something else. It is asked about nobody
        # then, and the answer thrown away: not to be asked would tell that the
        # consumer is recorded.
        target = {
            key: value if _is_plain(value) else PLACEHOLDER_ID
            for key, value in facts.target.items()
        }
        try:
            asked = facts.ask(self.check, target, facts.credentials)
        except Exception as error:
            # Security: the kind only; the rest may hold passwords and owners.
            LOG.warning(
                'A check of kind %s could not be asked: %s',
                self.kind,
                type(error).__name__,
            )
            return Truth.UNKNOWN
        if target != facts.target:
            return Truth.UNKNOWN
        return Truth.YES if asked else Truth.NO


def _is_plain(value: object) -> bool:
    return isinstance(value, str) and _PLAIN.match(value) is not None


class CallForRule(Protocol):
    """Asks a foreign check on behalf of a rule."""

    def __call__(
        self,
        rule: str,
        check: RemoteCheck,
        target: Mapping[str, str],
        credentials: Mapping[str, Any],
    ) -> bool:
        """The answer; may raise anything."""


class RemoteCaller(Protocol):
    """Makes an :class:`CallForRule` for one set of rules."""

    def prepare(self, rules: policy.Rules) -> CallForRule:
        """Called at most once a set, and only if it has a foreign check."""


@dataclass(frozen=True, slots=True)
class EnforcerCaller:
    """Asks as oslo.policy does, with a real Enforcer over the same rules.

    :ivar conf: where http checks find ``[oslo_policy] remote_timeout`` and
        their certificates
    """

    conf: cfg.ConfigOpts

    def prepare(self, rules: policy.Rules) -> CallForRule:
        """An :class:`CallForRule`; its Enforcer reads no files."""
        enforcer = policy.Enforcer(self.conf, rules=rules, use_conf=False)

        def ask_rule(
            rule: str,
            check: RemoteCheck,
            target: Mapping[str, str],
            credentials: Mapping[str, Any],
        ) -> bool:
            # A deep copy: checks may write into what they are given.
            given = (_KnownOnly(target), copy.deepcopy(dict(credentials)), enforcer)
            # oslo.policy's own rule: checks of the old form take no rule name.
            takes_rule = len(inspect.signature(check).parameters) > 3
            return bool(check(*given, rule) if takes_rule else check(*given))

        return ask_rule


class _KnownOnly(dict[str, str]):
    """A target that raises for what is not known.

    Security: a plugin's ``target.get('user_id') == creds['user_id']`` would
    call two Nones equal.
    """

    def get(self, key: str, default: Any = None, /) -> Any:  # noqa: ARG002
        return self[key]
