# SPDX-License-Identifier: Apache-2.0
"""Checks that are answered elsewhere: ``http:``, ``https:``, plugins'.

They are unknown while the owner is, and called in the final pass only. Any
failure is unknown, and so a refusal.
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

# Raw text that is one plain segment of a URL.
_URL_SEGMENT = re.compile(r'(?!\.+\Z)[A-Za-z0-9_.:@-]+\Z')


@dataclass(frozen=True, slots=True)
class Remote(Leaf):
    """One such check. It gets the whole target, so it reads every key.

    :ivar kind: what stands before the colon
    :ivar check: oslo.policy's own object
    """

    kind: str
    check: RemoteCheck

    def evaluate(self, facts: Facts) -> Truth:
        """Call it, where that is allowed; the target must be plain text."""
        if facts.call_remote is None:
            return Truth.UNKNOWN
        # Security: raw target text goes into URLs; '/', '?' or '..' in an
        # owner's id would be another URL. The call is made with a placeholder
        # then, and its answer dropped: no call would reveal that the consumer
        # is recorded.
        target = {
            key: value if _is_url_segment(value) else PLACEHOLDER_ID
            for key, value in facts.target.items()
        }
        try:
            passed = facts.call_remote(self.check, target, facts.credentials)
        except Exception as error:
            failure = type(error).__name__
        else:
            if target != facts.target:
                return Truth.UNKNOWN
            return Truth.YES if passed else Truth.NO
        # Security: the kind only, and after the except clause: the exception's
        # text may hold passwords and owners, and logging formatters add the
        # text of an exception that is being handled.
        LOG.warning('A check of kind %s failed: %s', self.kind, failure)
        return Truth.UNKNOWN


def _is_url_segment(value: object) -> bool:
    return isinstance(value, str) and _URL_SEGMENT.match(value) is not None


class CallForRule(Protocol):
    """Calls a remote check on behalf of a rule."""

    def __call__(
        self,
        rule: str,
        check: RemoteCheck,
        target: Mapping[str, str],
        credentials: Mapping[str, Any],
    ) -> bool:
        """The answer; may raise anything."""


class RemoteCaller(Protocol):
    """Makes a :class:`CallForRule` for one set of rules."""

    def prepare(self, rules: policy.Rules) -> CallForRule:
        """Called at most once per set, and only if it has a remote check."""


@dataclass(frozen=True, slots=True)
class EnforcerCaller:
    """Calls checks as oslo.policy does, with a real Enforcer over the same rules.

    :ivar conf: where http checks find ``[oslo_policy] remote_timeout`` and
        their certificates
    """

    conf: cfg.ConfigOpts

    def prepare(self, rules: policy.Rules) -> CallForRule:
        """A :class:`CallForRule`; its Enforcer reads no files."""
        enforcer = policy.Enforcer(self.conf, rules=rules, use_conf=False)

        def call(
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

        return call


class _KnownOnly(dict[str, str]):
    """A target that raises for what is not known.

    Security: a plugin's ``target.get('user_id') == creds['user_id']`` would
    call two Nones equal.
    """

    def get(self, key: str, default: Any = None, /) -> Any:  # noqa: ARG002
        return self[key]
