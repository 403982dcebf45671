# SPDX-License-Identifier: Apache-2.0
"""The snapshot: what makes one, what is refused, what is only warned about."""

import dataclasses
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from oslo_policy import opts, policy

from consumer_guard.guard import model
from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules import defaults
from consumer_guard.rules.remote import EnforcerCaller
from consumer_guard.rules.rulebook import PolicyText, Rulebook, resembles_prefix
from tests.unit.parsed import parse_nothing

NO, UNKNOWN, YES = model.Truth
LIST = model.ALLOCATIONS_LIST.rule
OWN = {'project_id': 'A', 'consumer_uuid': 'c'}


def build(*texts: str, conf: cfg.ConfigOpts | None = None) -> Rulebook:
    """A snapshot of files called 0.yaml, 1.yaml, ..."""
    files = [PolicyText(f'{i}.yaml', text) for i, text in enumerate(texts)]
    return Rulebook.build(files, EnforcerCaller(conf) if conf else None)


def make_caller(
    *roles: str, scope: str = 'project', project_id: str | None = 'A', **more: Any
) -> model.Caller:
    """A caller of project A with the roles."""
    credentials = {
        'project_id': project_id,
        'user_id': 'u',
        'roles': list(roles),
        'service_roles': [],
        'system_scope': None,
        'domain_id': None,
        **more,
    }
    lowered = frozenset(role.lower() for role in roles)
    return model.Caller(credentials, lowered, scope, 'req-1')


def judge(
    book: Rulebook,
    *roles: str,
    rule: str = LIST,
    target: Mapping[str, str] = OWN,
    **more: Any,
) -> model.Truth:
    """The final ruling for a caller of project A."""
    return book.judge(rule, make_caller(*roles, **more), target, final=True)


@pytest.mark.parametrize('operation', model.OPERATIONS, ids=lambda one: one.name)
def test_without_files_roles_pass_and_owners_only_read(
    operation: model.Operation,
) -> None:
    """Y01: without files the code's defaults rule, and they are narrow."""
    book = build()
    reads_own = operation in (model.ALLOCATIONS_LIST, model.USAGES)
    assert judge(book, 'admin', rule=operation.rule, target={}) is YES
    assert judge(book, 'service', rule=operation.rule, target={}) is YES
    own = judge(book, 'reader', rule=operation.rule)
    assert own is (YES if reads_own else NO)
    theirs = judge(book, 'reader', rule=operation.rule, target={'project_id': 'B'})
    assert theirs is NO
    unknown = judge(book, 'reader', 'member', rule=operation.rule, target={})
    assert unknown is (UNKNOWN if reads_own else NO)
    assert book.reads(operation.rule) == ({'project_id'} if reads_own else set())


def test_a_name_that_is_not_registered_is_an_error() -> None:
    """Y19: the exact set; any other name is an error, never ``default``."""
    book = build('default: "@"')
    assert book.names == tuple(rule.name for rule in defaults.list_rules())
    for name in ('default', 'consumer_guard:allocation:list', 'allocations:list', ''):
        with pytest.raises(KeyError):
            judge(book, 'admin', rule=name)


def test_the_text_is_that_of_the_rule_in_force() -> None:
    """As oslo.policy writes it, references as references."""
    assert build().text(LIST) == (
        '(rule:consumer_guard:admin_or_service or rule:consumer_guard:owner_reader)'
    )
    assert build(f'"{LIST}": "role:x"').text(LIST) == 'role:x'


BASE = '"consumer_guard:admin_or_service": "role:admin"'


@pytest.mark.parametrize(
    ('one', 'other'),
    [
        ((), ('{}',)),
        ((f'"{LIST}": "role:x"',), (f'# why\n"{LIST}":   "role:x"\n',)),
        ((f'"{LIST}": "role:x"',), (f'"{LIST}": "role:y"', f'"{LIST}": "role:x"')),
        ((BASE, f'"{LIST}": "!"'), (f'"{LIST}": "!"', BASE)),
        ((), ('"placement:usages": "@"',)),
    ],
)
def test_equal_rules_have_one_digest(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert build(*one).digest == build(*other).digest
    assert build(*one).offline().digest == build(*one).digest


def test_other_rules_have_another_digest() -> None:
    """Also where only a rule that others refer to differs."""
    texts = (
        '{}',
        BASE,
        '"consumer_guard:admin_or_service": "role:service"',
        f'"{LIST}": "role:x"',
        f'"{LIST}": "rule:mine"\nmine: "role:x"',
        f'"{LIST}": "rule:mine"\nmine: "role:y"',
        f'"{LIST}": "rule:other"\nother: "role:y"',
        f'"{LIST}": "role:x"\n"{model.USAGES.rule}": "role:y"',
        f'"{LIST}": "role:y"\n"{model.USAGES.rule}": "role:x"',
    )
    digests = {build(text).digest for text in texts}
    assert len(digests) == len(texts)
    assert all(len(digest) == 32 for digest in digests)


def test_a_later_file_overrides_an_earlier_one() -> None:
    """As in oslo.policy: the main file, then policy_dirs."""
    wide, narrow = f'"{LIST}": "role:reader"', f'"{LIST}": "!"'
    assert judge(build(wide, narrow), 'reader') is NO
    assert judge(build(narrow, wide), 'reader') is YES
    # What is not in force is not examined.
    assert judge(build(f'"{LIST}": null', narrow), 'reader') is NO


def test_rule_counts_include_rules_of_others() -> None:
    """Ours or not; nothing at all is nothing."""
    book = build('"placement:x": null\n"a": "@"', '# only a comment', '')
    assert dict(book.rule_counts) == {'0.yaml': 2, '1.yaml': 0, '2.yaml': 0}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a: [', r'0\.yaml: not valid YAML'),
        ('a: @', r'0\.yaml: not valid YAML'),
        ('a:\n\t- b', r'0\.yaml: not valid YAML'),
        ('a: 2001-99-99', r'0\.yaml: not valid YAML'),
        ('? [a]\n: b', r'0\.yaml: not valid YAML'),
        ('[' * 5000, r'0\.yaml: not valid YAML'),
        ('!!python/object/apply:os.system ["true"]', r'0\.yaml: not valid YAML'),
        ('- a\n- b', r'0\.yaml: not a mapping'),
        ('just text', r'0\.yaml: not a mapping'),
        ('5', r'0\.yaml: not a mapping'),
        ('1: "@"', r'0\.yaml: the rule name 1 is not text'),
        ('null: "@"', r'0\.yaml: the rule name None is not text'),
        ('"consumer_guard:usage": "@"', r'0\.yaml: rule "consumer_guard:usage": there'),
        ('"consumer_guard:": "@"', r'0\.yaml: rule "consumer_guard:": there'),
    ],
    ids=lambda text: text[:20],
)
def test_a_file_that_cannot_be_used_is_named_in_the_error(
    text: str, message: str
) -> None:
    """Y04, Y08: the message names the file and, if any, the rule."""
    with pytest.raises(PolicyFileError, match=message):
        build(text)


@pytest.mark.parametrize(
    'value',
    [
        'null',
        '~',
        '',
        ' #role:admin',
        '!',
        'true',
        'false',
        '1',
        '0',
        '[]',
        '{}',
        '[["role:a"]]',
        '""',
        '" "',
        '"reader"',
        '"role:a or"',
        '"rule:nowhere"',
        '"rule:ITSELF"',
    ],
)
@pytest.mark.parametrize('helper', [False, True], ids=['ours', 'helper'])
def test_a_value_that_opens_or_denies_by_accident_is_an_error(
    value: str, helper: bool
) -> None:
    """Y02, Y04: what oslo.policy would read as "allow", or deny in silence."""
    name = 'helper' if helper else LIST
    value = value.replace('ITSELF', name)
    text = f'"{name}": {value}\n' + (f'"{LIST}": "rule:helper"' if helper else '')
    with pytest.raises(PolicyFileError, match=f'0.yaml: rule "{name}": '):
        build(text)


def test_rules_of_others_that_are_broken_are_ignored() -> None:
    """A file shared with placement's: nothing of theirs can lock us."""
    book = build(
        '"placement:a": null\n"placement:b": "rule:c"\n"c": "rule:c"\nd: foo\n"e": ""\n'
    )
    assert judge(book, 'reader') is YES


def test_json_is_read_as_yaml() -> None:
    """Y13: a policy.json works as what it is, a kind of YAML."""
    assert judge(build(json.dumps({LIST: 'role:x'})), 'x') is YES
    assert judge(build(json.dumps({LIST: 'role:x'})), 'reader') is NO


@pytest.mark.parametrize(
    'name',
    [
        'consumer_gaurd:usages',
        'consumer-guard:usages',
        'Consumer_Guard:usages',
        'consumerguard:usages',
        'consumer_guards:usages',
        'consumer_guard',
    ],
)
def test_a_name_similar_to_ours_gets_a_warning(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Y05: no change of behaviour, and a warning."""
    book = build(f'"{name}": "@"\n"placement:usages": "@"')
    assert judge(book, 'reader', rule=model.USAGES.rule, target={}) is UNKNOWN
    warnings = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert [name in one.getMessage() for one in warnings] == [True]
    assert warnings[0].name == 'consumer_guard.rules.rulebook'


@pytest.mark.parametrize(
    ('name', 'similar'),
    [('consumer_gx:usages', True), ('consumer_gxx:usages', False)],
)
def test_similar_are_eight_tenths_of_the_prefix(name: str, similar: bool) -> None:
    """The ratio of difflib: 20 of 25 characters, and 20 of 26."""
    assert resembles_prefix(name, model.NAMESPACE) is similar


def test_a_rule_that_others_refer_to_may_allow_everybody_without_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The operations have the warnings."""
    build('"consumer_guard:owner_reader": "@"')
    assert f'rule "{LIST}" allows every caller' in caplog.text
    assert 'rule "consumer_guard:owner_reader" allows' not in caplog.text


@pytest.mark.parametrize(
    'text',
    [
        *('@', 'not !', 'rule:open', 'role:x or @'),
        *('is_admin_project:True', 'role:x or is_admin_project:True'),
    ],
)
def test_a_rule_that_allows_everybody_is_honoured_with_one_warning(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Y02, Y25: once per snapshot, not per request."""
    book = build(f'"{LIST}": "{text}"\nopen: "@"')
    for _ in range(3):
        assert judge(book, target={}, is_admin_project=True) is YES
    warnings = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert [LIST in one.getMessage() for one in warnings] == [True]


@pytest.mark.parametrize(
    'text', ['role:x and is_admin_project:True', 'is_admin_project:False', 'role:x']
)
def test_a_rule_that_allows_somebody_gets_no_warning(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    build(f'"{LIST}": "{text}"')
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_a_new_snapshot_logs_every_rule_and_its_file(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Y01"""
    caplog.set_level(logging.INFO)
    build(f'"{LIST}": "role:x"')
    lines = [one.getMessage() for one in caplog.records]
    assert len(lines) == len(defaults.list_rules())
    assert f'0.yaml: "{LIST}": "role:x"' in lines
    assert 'the defaults: "consumer_guard:service": "role:service"' in lines


@pytest.mark.parametrize('scope', ['system', 'domain', '', 'Project'])
@pytest.mark.parametrize('text', ['@', 'role:admin'])
def test_a_token_of_another_scope_is_refused_before_the_rule(
    scope: str, text: str
) -> None:
    """Y15, Y16: always enforced, refused and not raised."""
    book = build(f'"{LIST}": "{text}"')
    assert judge(book, 'admin', scope=scope) is NO
    assert judge(book, 'admin') is YES


def test_service_roles_count_only_where_a_rule_names_them() -> None:
    """I07: they count only where a rule names them."""
    service: dict[str, Any] = {'service_roles': ['service']}
    assert judge(build(), 'member', target={'project_id': 'B'}, **service) is NO
    granted = build(f'"{LIST}": "service_roles:service"')
    assert judge(granted, 'member', target={'project_id': 'B'}, **service) is YES
    assert judge(granted, 'member', target={'project_id': 'B'}) is NO


@pytest.mark.parametrize('value', ['None', 'A', 'x'])
def test_a_caller_without_project_owns_nothing(value: str) -> None:
    """I10, I11."""
    answer = judge(build(), 'reader', project_id=None, target={'project_id': value})
    assert answer is not YES


def test_a_rulebook_cannot_be_changed() -> None:
    """Threads share it."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        build().rule_counts = {}  # type: ignore[misc]


class _Probe(policy.Check):
    """Keeps what it gets; its text decides what it does."""

    calls: list[tuple[Any, ...]] = []  # noqa: RUF012 - emptied by the fixture

    def __call__(
        self,
        target: Mapping[str, Any],
        creds: Any,
        enforcer: policy.Enforcer,
        current_rule: str | None = None,
    ) -> Any:
        self.calls.append((dict(target), dict(creds), current_rule))
        creds['roles'].append('admin')
        creds['system'] = 'all'
        if self.match == 'get':
            return target.get('user_id') == creds['domain_id']
        if self.match == 'rule':
            return enforcer.rules[LIST] is not None
        if self.match == 'enforce':
            return enforcer.enforce('helper', dict(target), dict(creds))
        return 'text that is true'


class _OldProbe(policy.Check):
    """The form without a rule name."""

    def __call__(  # type: ignore[override]
        self, target: Any, creds: Any, enforcer: policy.Enforcer
    ) -> bool:
        assert LIST in enforcer.rules
        return bool(target['project_id'] == creds['project_id'])


policy.register('consumer_guard_probe', _Probe)
policy.register('consumer_guard_old_probe', _OldProbe)


@pytest.fixture
def calls() -> Iterator[list[tuple[Any, ...]]]:
    """The calls of the probe."""
    _Probe.calls.clear()
    yield _Probe.calls
    _Probe.calls.clear()


def test_a_remote_check_is_called_in_the_final_pass_only(
    calls: list[tuple[Any, ...]],
) -> None:
    """With a copy of the credentials and the top rule's name."""
    book = build(
        f'"{LIST}": "rule:helper"\nhelper: "consumer_guard_probe:x"',
        conf=parse_nothing(),
    )
    caller = make_caller('reader')
    assert book.judge(LIST, caller, OWN, final=False) is UNKNOWN
    assert calls == []
    assert book.judge(LIST, caller, OWN, final=True) is YES
    assert [(target, rule) for target, _, rule in calls] == [(OWN, LIST)]
    assert caller == make_caller('reader')
    assert judge(book, 'reader', scope='system') is NO
    assert len(calls) == 1


def test_a_remote_check_can_read_the_rules_in_force(
    calls: list[tuple[Any, ...]],
) -> None:
    """The Enforcer it gets has the same rules, and reads no file."""
    text = f'"{LIST}": "consumer_guard_probe:rule"'
    assert judge(build(text, conf=parse_nothing())) is YES


@pytest.mark.usefixtures('calls')
@pytest.mark.parametrize(('helper', 'truth'), [('@', YES), ('!', NO)])
def test_a_remote_check_that_enforces_a_rule_gets_those_in_force(
    helper: str, truth: model.Truth, tmp_path: Path
) -> None:
    """Not those of the files that its Enforcer would read by its configuration."""
    path = tmp_path / 'policy.yaml'
    path.write_text('helper: "@"' if truth is NO else 'helper: "!"')
    conf = parse_nothing()
    opts._register(conf)
    conf.set_override('policy_file', str(path), 'oslo_policy')
    rule = '(rule:helper and !) or consumer_guard_probe:enforce'
    text = f'"{LIST}": "{rule}"\nhelper: "{helper}"'
    assert judge(build(text, conf=conf)) is truth


def test_a_remote_check_of_the_old_form_gets_three_arguments() -> None:
    """As in oslo.policy: three arguments."""
    book = build(f'"{LIST}": "consumer_guard_old_probe:x"', conf=parse_nothing())
    assert judge(book) is YES
    assert judge(book, target={'project_id': 'B'}) is NO


@pytest.mark.parametrize('form', ['{}', 'not {}'])
def test_a_plugin_that_reads_an_unknown_key_is_unknown(
    form: str, calls: list[tuple[Any, ...]]
) -> None:
    """A plugin's ``target.get('user_id')`` of an unknown user is no None."""
    text = f'"{LIST}": "{form.format("consumer_guard_probe:get")}"'
    assert judge(build(text, conf=parse_nothing())) is UNKNOWN
    assert len(calls) == 1


def test_offline_a_remote_check_is_unknown_and_not_called(
    calls: list[tuple[Any, ...]],
) -> None:
    book = build(f'"{LIST}": "consumer_guard_probe:x"', conf=parse_nothing())
    assert judge(book.offline()) is UNKNOWN
    assert calls == []
    assert judge(book) is YES


class _Unprepared:
    """A caller of remote checks that must not be made ready."""

    def prepare(self, rules: object) -> Any:
        raise AssertionError(rules)


def test_without_remote_checks_nothing_is_made_ready_for_them() -> None:
    assert judge(Rulebook.build([], _Unprepared()), 'admin') is YES


@pytest.mark.usefixtures('calls')
def test_without_a_caller_remote_checks_are_unknown() -> None:
    """The command line may have none."""
    assert judge(build(f'"{LIST}": "consumer_guard_probe:x"')) is UNKNOWN


class _DecisionPoint(BaseHTTPRequestHandler):
    """Answers True below /True, False elsewhere."""

    paths: list[str] = []  # noqa: RUF012 - emptied by the fixture

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers['Content-Length']))
        self.paths.append(self.path)
        answer = b'True' if self.path.startswith('/True') else b'False'
        self.send_response(200)
        self.send_header('Content-Length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def decision_point() -> Iterator[Callable[[str], Rulebook]]:
    """Makes rulebooks whose list rule calls a real server."""
    server = HTTPServer(('127.0.0.1', 0), _DecisionPoint)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    root = f'http://127.0.0.1:{server.server_port}'
    conf = parse_nothing()
    yield lambda path: build(f'"{LIST}": "{root}{path}"', conf=conf)
    server.shutdown()
    thread.join()
    server.server_close()
    _DecisionPoint.paths.clear()


def test_an_http_check_is_called_with_plain_ids_only(
    decision_point: Callable[[str], Rulebook],
) -> None:
    """A real one, over a real Enforcer's options."""
    assert judge(decision_point('/True/%(project_id)s'), 'reader') is YES
    assert judge(decision_point('/no/%(project_id)s'), 'reader') is NO
    assert _DecisionPoint.paths == ['/True/A', '/no/A']
    for odd in ('../True', '..', 'A?x', 'A/../B'):
        book = decision_point('/True/%(project_id)s')
        assert judge(book, 'reader', target={'project_id': odd}) is UNKNOWN
    # No call would reveal such an owner.
    assert _DecisionPoint.paths[2:] == ['/True/consumer-guard-nobody'] * 4
    assert judge(decision_point('/True/%(user_id)s'), 'reader') is UNKNOWN
    assert len(_DecisionPoint.paths) == 6


def test_an_http_check_of_a_dead_host_is_unknown_and_logged_without_its_url(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """R09: under ``not`` too."""
    text = f'"{LIST}": "not http://127.0.0.1:1/secret"'
    assert judge(build(text, conf=parse_nothing())) is UNKNOWN
    lines = [one for one in caplog.records if one.name == 'consumer_guard.rules.remote']
    assert 'A check of kind http failed: ' in lines[0].getMessage()
    assert 'secret' not in lines[0].getMessage()
