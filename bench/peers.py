# SPDX-License-Identifier: Apache-2.0
"""The same decision by others: may this caller read this consumer?

The rule is the default of ``allocations:list``: an admin or a service may, or
a reader of the owning project, with a token of a project.
"""

import http.server
import json
import multiprocessing
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import casbin
import cedarpy

from bench import straightforward
from consumer_guard.guard import model
from consumer_guard.rules.rulebook import Rulebook

RULE = 'consumer_guard:allocations:list'


@dataclass(frozen=True)
class Case:
    """Who asks, and whose the consumer is."""

    roles: tuple[str, ...]
    project_id: str
    owner: str
    scope: str = 'project'

    @property
    def credentials(self) -> dict[str, Any]:
        """As RequestContext.to_policy_values gives them."""
        domain = {'domain_id': 'd'} if self.scope == 'domain' else {}
        return {
            'user_id': 'u',
            'project_id': None if domain else self.project_id,
            'domain_id': None,
            'system_scope': None,
            'user_domain_id': 'default',
            'project_domain_id': 'default',
            'roles': list(self.roles),
            'is_admin_project': True,
            'service_user_id': None,
            'service_user_domain_id': None,
            'service_project_id': None,
            'service_project_domain_id': None,
            'service_roles': [],
            **domain,
        }

    @property
    def target(self) -> dict[str, str]:
        """As the guard makes it of a recorded owner."""
        return {'consumer_uuid': 'c', 'project_id': self.owner, 'user_id': 'u'}

    @property
    def caller(self) -> model.Caller:
        """As the guard makes it of a request context."""
        return model.Caller(
            self.credentials, frozenset(self.roles), self.scope, 'req-1'
        )


OWN = Case(('member', 'reader'), 'a', 'a')
#: With the answers that all have to give.
CASES = {
    OWN: True,
    Case(('member', 'reader'), 'a', 'b'): False,
    Case(('member',), 'a', 'a'): False,
    Case(('admin', 'member', 'reader'), 'a', 'b'): True,
    Case(('service',), 'a', 'b'): True,
    Case((), 'a', 'a'): False,
    Case(('admin',), 'a', 'a', scope='domain'): False,
}

Peer = Callable[[Case], bool]


def make_guard() -> Peer:
    """The rulebook's final ruling on a recorded owner."""
    book = Rulebook.build([])
    prepared = {case: (case.caller, case.target) for case in CASES}

    def decide(case: Case) -> bool:
        caller, target = prepared[case]
        return book.judge(RULE, caller, target, final=True) is model.Truth.YES

    return decide


def make_authorize() -> Peer:
    """oslo.policy's own."""
    enforcer = straightforward.make_enforcer()
    # authorize writes into the credentials that it is given.
    prepared = {case: (case.credentials, case.target) for case in CASES}

    def decide(case: Case) -> bool:
        credentials, target = prepared[case]
        return bool(enforcer.authorize(RULE, target, credentials))

    return decide


_CEDAR = """
permit (principal, action == Action::"read", resource) when {
  principal.scope == "project" &&
  (principal.roles.containsAny(["admin", "service"]) ||
   (principal.roles.contains("reader") &&
    principal has project_id && principal.project_id == resource.project_id))
};
"""


def make_cedar() -> Peer:
    """Cedar in this process; policies parsed before, entities with the call."""
    policies = cedarpy.PolicySet.from_str(_CEDAR)
    asked = {
        'principal': {'type': 'User', 'id': 'u'},
        'action': {'type': 'Action', 'id': 'read'},
        'resource': {'type': 'Consumer', 'id': 'c'},
        'context': {},
    }
    prepared = {}
    for case in CASES:
        principal: dict[str, object] = {
            'roles': list(case.roles),
            'scope': case.scope,
            'project_id': case.project_id,
        }
        prepared[case] = [
            {'uid': asked['principal'], 'attrs': principal, 'parents': []},
            {
                'uid': asked['resource'],
                'attrs': {'project_id': case.owner},
                'parents': [],
            },
        ]

    def decide(case: Case) -> bool:
        return bool(cedarpy.is_authorized(asked, policies, prepared[case]).allowed)

    return decide


_CASBIN = """
[request_definition]
r = sub, obj
[policy_definition]
p = scope
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub.scope == p.scope && ('admin' in r.sub.roles || 'service' in r.sub.roles \
|| ('reader' in r.sub.roles && r.sub.project_id == r.obj.project_id))
"""


def make_casbin() -> Peer:
    """pycasbin with a matcher over attributes."""
    parsed = casbin.Model()
    parsed.load_model_from_text(_CASBIN)
    enforcer = casbin.Enforcer(parsed)
    enforcer.add_policy('project')
    prepared = {case: (_Subject(case), _Object(case.owner)) for case in CASES}

    def decide(case: Case) -> bool:
        return bool(enforcer.enforce(*prepared[case]))

    return decide


class _Subject:
    def __init__(self, case: Case) -> None:
        self.scope = case.scope
        self.roles = case.roles
        self.project_id = case.project_id


class _Object:
    def __init__(self, project_id: str) -> None:
        self.project_id = project_id


class _CheckServer(http.server.BaseHTTPRequestHandler):
    """What an ``http:`` check asks; its own cost is not in our figures."""

    protocol_version = 'HTTP/1.1'

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers['Content-Length'])).decode()
        form = urllib.parse.parse_qs(raw)
        facts = json.loads(form['credentials'][0])
        target = json.loads(form['target'][0])
        allowed = not facts.get('domain_id') and (
            not {'admin', 'service'}.isdisjoint(facts['roles'])
            or (
                'reader' in facts['roles']
                and facts['project_id'] == target['project_id']
            )
        )
        body = b'True' if allowed else b'False'
        self.wfile.write(
            b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n'
            b'Content-Length: %d\r\n\r\n%b' % (len(body), body)
        )

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _serve(port: Any) -> None:
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _CheckServer)
    server.daemon_threads = True
    port.send(server.server_port)
    server.serve_forever()


@contextmanager
def check_server() -> Iterator[int]:
    """Answers ``http:`` checks in a process of its own; its port."""
    ours, theirs = multiprocessing.Pipe()
    # A chapter's process may have children: it is no daemon itself.
    process = multiprocessing.get_context('spawn').Process(
        target=_serve, args=(theirs,), daemon=True
    )
    process.start()
    try:
        if not ours.poll(60):
            raise SystemExit('the server of the http: check did not start')
        yield ours.recv()
    finally:
        process.terminate()
        process.join(10)


def make_http_check(port: int) -> Peer:
    """oslo.policy's ``http:`` check in the rule's place."""
    enforcer = straightforward.make_enforcer({RULE: f'http://127.0.0.1:{port}/'})
    prepared = {case: (case.credentials, case.target) for case in CASES}

    def decide(case: Case) -> bool:
        credentials, target = prepared[case]
        return case.scope == 'project' and bool(
            enforcer.authorize(RULE, target, credentials)
        )

    return decide


def check_answers(peers: Mapping[str, Peer]) -> None:
    """All give the same answers, or their times say nothing.

    :raises RuntimeError: naming who does not
    """
    for name, peer in peers.items():
        for case, expected in CASES.items():
            try:
                allowed = peer(case)
            except Exception as error:
                # authorize raises for a token of another scope.
                if type(error).__name__ != 'InvalidScope':
                    raise
                allowed = False
            if allowed is not expected:
                raise RuntimeError(f'{name} answers {allowed} to {case}')
