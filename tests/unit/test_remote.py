# SPDX-License-Identifier: Apache-2.0
"""Checks that are answered elsewhere: when they are called, and with what."""

from collections.abc import Mapping

import pytest
from oslo_config import cfg
from oslo_log import formatters, log
from oslo_policy import policy

from consumer_guard.guard import model
from consumer_guard.rules import nodes
from tests.unit.compiled import CREDENTIALS, TARGET, compile_text, evaluate

NO, UNKNOWN, YES = model.Truth


class _Subclass(type(policy.RuleDefault('r', 'role:x').check)):  # type: ignore[misc]
    """A plugin's role check: remote, whatever it inherits."""


policy.register('consumer_guard_tests', _Subclass)


@pytest.mark.parametrize(
    'text', ['http://x/y', 'https://x/y', 'consumer_guard_tests:reader']
)
def test_a_remote_check_is_unknown_until_it_may_be_called(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def call(check: object, target: object, credentials: object) -> bool:
        calls.append((str(check), target, credentials))
        return True

    assert evaluate(text) is UNKNOWN
    assert (calls, caplog.records) == ([], [])
    assert evaluate(text, call=call) is YES
    assert calls == [(text, TARGET, CREDENTIALS)]
    assert evaluate(f'not {text}', call=call) is NO
    assert evaluate(text, call=lambda *_: False) is NO


def test_a_check_registered_in_place_of_oslos_is_remote() -> None:
    genuine = type(policy.RuleDefault('r', 'role:x').check)
    assert issubclass(genuine, policy.Check)
    policy.register('role', _Subclass)
    try:
        node = compile_text('role:reader')
    finally:
        policy.register('role', genuine)
    facts = nodes.Facts(CREDENTIALS, frozenset({'reader'}), TARGET)
    assert node.evaluate(facts) is UNKNOWN
    assert evaluate('role:reader') is YES


@pytest.mark.parametrize(
    'kind',
    [
        *(type(policy.RuleDefault('r', text).check) for text in ('@', '!', 'a:b')),
        *(policy.NotCheck, policy.AndCheck, policy.OrCheck, policy.RuleCheck),
    ],
)
def test_a_plugins_check_is_remote_whatever_it_inherits(kind: type) -> None:
    class Plugin(kind):  # type: ignore[misc]
        def __init__(self, kind: str, match: str) -> None:
            self.kind, self.match = kind, match

        def __str__(self) -> str:
            return f'{self.kind}:{self.match}'

    policy.register('consumer_guard_tests', Plugin)
    try:
        node = compile_text('consumer_guard_tests:x')
    finally:
        policy.register('consumer_guard_tests', _Subclass)
    facts = nodes.Facts(CREDENTIALS, frozenset({'reader'}), TARGET)
    assert node.evaluate(facts) is UNKNOWN
    assert node.evaluate(facts._replace(call_remote=lambda *_: True)) is YES


class _OtherReference(policy.RuleCheck):
    """A plugin's own kind of reference."""


def test_a_reference_of_another_kind_is_remote() -> None:
    policy.register('rule', _OtherReference)
    try:
        node = compile_text('rule:other', other='@')
    finally:
        policy.register('rule', policy.RuleCheck)
    facts = nodes.Facts(CREDENTIALS, frozenset({'reader'}), TARGET)
    assert node.evaluate(facts) is UNKNOWN


@pytest.mark.parametrize('error', [RuntimeError, ValueError, KeyError, RecursionError])
def test_a_remote_check_that_raises_is_unknown_and_logged_without_its_text(
    error: type[Exception],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F01, R09: a time-out is a RuntimeError; under ``not`` it still refuses.

    oslo.log's formatter adds the exception that is being handled to the line.
    """

    def call(*_: object) -> bool:
        raise error('http://user:secret@x')

    conf = cfg.ConfigOpts()
    log.register_options(conf)
    formatter = formatters.ContextFormatter(config=conf)
    monkeypatch.setattr(caplog.handler, 'formatter', formatter)
    assert evaluate('not http://user:secret@x', call=call) is UNKNOWN
    assert f'A check of kind http failed: {error.__name__}' in caplog.text
    assert 'secret' not in caplog.text


@pytest.mark.parametrize(
    'value', ['a/b', '..', '.', 'a?b', 'a#b', 'a%2e', 'a b', 'a\n', 'é', '', None, 5]
)
def test_a_value_that_is_no_url_segment_is_replaced_and_the_answer_dropped(
    value: object,
) -> None:
    """Raw target text goes into URLs; no call would reveal such an owner."""
    targets = []

    def call(_check: object, target: Mapping[str, str], _credentials: object) -> bool:
        targets.append(target)
        return True

    target = {**TARGET, 'user_id': value}
    assert evaluate('http://x/%(project_id)s', target, call=call) is UNKNOWN
    assert targets == [{**TARGET, 'user_id': 'consumer-guard-nobody'}]
    assert evaluate('not http://x', target, call=call) is UNKNOWN


def test_a_value_that_is_a_url_segment_is_passed_on() -> None:
    assert evaluate('http://x', {'user_id': 'a.b_c-d:e@f'}, call=lambda *_: True) is YES
