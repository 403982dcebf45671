# SPDX-License-Identifier: Apache-2.0
"""The rules in force: an immutable snapshot of the policy files.

oslo.policy parses and owns the rules; a snapshot holds them compiled, so that
a ruling costs microseconds and nobody sees a reload half done.
"""

import difflib
import functools
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from consumer_guard.guard import model
from consumer_guard.rules import nodes
from consumer_guard.rules.compiler import RuleText, compile_rules
from consumer_guard.rules.defaults import list_rules
from consumer_guard.rules.files import PolicyText as PolicyText
from consumer_guard.rules.parsing import parse_file
from consumer_guard.rules.remote import RemoteCaller

LOG = logging.getLogger(__name__)

#: Stands for a file where a rule is the default in the code.
DEFAULTS = 'the defaults'

#: A rule whose prefix is this similar to ours (difflib's ratio) is probably a
#: typing error: consumer_gaurd is 0.93, consumer-guard 0.93, consumer 0.73.
_PREFIX_SIMILARITY = 0.8


@dataclass(frozen=True, slots=True)
class RegisteredRule:
    """A registered rule, ready to be judged.

    :ivar scopes: the token scopes it is for
    :ivar call_remote: calls remote checks on its behalf
    """

    node: nodes.Node
    scopes: frozenset[str]
    call_remote: nodes.CallRemote | None


@dataclass(frozen=True, slots=True)
class Rulebook:
    """One snapshot; safe to share between threads.

    :ivar rule_counts: how many rules each file has, ours or not, by path
    :ivar digest: of the texts of the rules in force: hexadecimal, equal for equal
        rules, wherever they are written
    """

    rule_counts: Mapping[str, int]
    digest: str
    _entries: Mapping[str, RegisteredRule]

    @classmethod
    def build(
        cls, files: Sequence[PolicyText], remote: RemoteCaller | None = None
    ) -> 'Rulebook':
        """Make a snapshot of the defaults and the files; later files win.

        :param files: all the policy files, in oslo.policy's order
        :param remote: calls remote checks; without it they are always
            unknown
        :raises PolicyFileError: a file or a rule of ours, or one that ours
            refer to, cannot be used; the message names both
        """
        defaults = list_rules()
        texts = {
            rule.name: RuleText(rule.name, rule.check_str, DEFAULTS)
            for rule in defaults
        }
        registered = frozenset(texts)
        rule_counts = {}
        for file in files:
            rules = parse_file(file)
            rule_counts[file.path] = len(rules)
            for text in rules:
                _check_name(text, registered)
                texts[text.name] = text
        compiled = compile_rules(texts, [rule.name for rule in defaults])
        call = None
        if remote is not None and compiled.has_remote:
            call = remote.prepare(compiled.parsed)
        entries = {
            rule.name: RegisteredRule(
                compiled.nodes[rule.name],
                frozenset(rule.scope_types or ()),
                functools.partial(call, rule.name) if call else None,
            )
            for rule in defaults
        }
        _log_rules(entries, texts)
        return cls(rule_counts, _hash_rules(compiled.nodes), entries)

    def current(self) -> 'Rulebook':
        """Itself: a snapshot is a source of rules that never changes."""
        return self

    def offline(self) -> 'Rulebook':
        """The same rules; their remote checks are never called and unknown."""
        entries = {
            name: replace(entry, call_remote=None)
            for name, entry in self._entries.items()
        }
        return replace(self, _entries=entries)

    @property
    def names(self) -> tuple[str, ...]:
        """The registered rules, base rules first."""
        return tuple(self._entries)

    def judge(
        self,
        rule: str,
        caller: model.Caller,
        target: Mapping[str, str],
        *,
        final: bool,
    ) -> model.Truth:
        """Judge one rule on one target.

        :param rule: a registered name
        :param target: what is known of it, see :func:`model.make_target`
        :param final: nothing more will be known; remote checks are called
        :returns: UNKNOWN refuses when ``final``
        :raises KeyError: no such rule. Security: oslo.policy would fall to
            the rule ``default``
        """
        entry = self._entries[rule]
        # As in oslo.policy only the top rule's scope counts, and it comes first.
        if caller.scope not in entry.scopes:
            return model.Truth.NO
        call = entry.call_remote if final else None
        return entry.node.evaluate(
            nodes.Facts(caller.credentials, caller.roles, target, call)
        )

    def entry(self, rule: str) -> RegisteredRule:
        """All that :meth:`judge` knows of a rule.

        :raises KeyError: no such rule
        """
        return self._entries[rule]

    def reads(self, rule: str) -> frozenset[str]:
        """The target keys that the ruling can depend on.

        :raises KeyError: no such rule
        """
        return self._entries[rule].node.reads

    def admits(self, rule: str, scope: str) -> bool:
        """Whether a rule is for tokens of a scope.

        :param scope: see :attr:`model.Caller.scope`
        :raises KeyError: no such rule
        """
        return scope in self._entries[rule].scopes

    def node(self, rule: str) -> nodes.Node:
        """The rule as it is evaluated, its scope aside.

        :raises KeyError: no such rule
        """
        return self._entries[rule].node

    def text(self, rule: str) -> str:
        """The rule in force, as oslo.policy writes it.

        :raises KeyError: no such rule
        """
        return str(self._entries[rule].node)


def _hash_rules(compiled: Mapping[str, nodes.Node]) -> str:
    texts = json.dumps(sorted((name, str(node)) for name, node in compiled.items()))
    return hashlib.blake2b(texts.encode('ascii'), digest_size=16).hexdigest()


def resembles_prefix(name: str, prefix: str) -> bool:
    """Whether a rule of another prefix was probably meant to have this one.

    :param prefix: with its colon
    """
    written = name.partition(':')[0][:40].lower()
    similarity = difflib.SequenceMatcher(None, written, prefix[:-1]).ratio()
    return similarity >= _PREFIX_SIMILARITY


def _check_name(text: RuleText, registered: frozenset[str]) -> None:
    if text.name.startswith(model.NAMESPACE):
        if text.name not in registered:
            raise text.error('there is no such rule')
        return
    if resembles_prefix(text.name, model.NAMESPACE):
        LOG.warning(
            '%s: rule "%s" does not exist and has no effect; rules of the guard begin '
            'with "%s"',
            text.path,
            text.name,
            model.NAMESPACE,
        )


def _log_rules(
    entries: Mapping[str, RegisteredRule], texts: Mapping[str, RuleText]
) -> None:
    """Log the rules in force, once per snapshot."""
    # A token is of the admin project unless keystone knows of one.
    anyone = nodes.Facts({'is_admin_project': True}, frozenset(), {})
    operations = {operation.rule for operation in model.OPERATIONS}
    for name, entry in entries.items():
        LOG.info('%s: "%s": "%s"', texts[name].path, name, entry.node)
        # Security: honoured, but never in silence: "@", "not !", "not role:x",
        # "is_admin_project:True".
        if name in operations and entry.node.evaluate(anyone) is model.Truth.YES:
            LOG.warning(
                '%s: rule "%s" allows every caller with a token: "%s"',
                texts[name].path,
                name,
                entry.node,
            )
