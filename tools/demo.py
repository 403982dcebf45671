# SPDX-License-Identifier: Apache-2.0
"""See it work: the same placement with and without the guard, side by side.

Starts two gunicorns on loopback over one SQLite file: placement opened the
naive way, and placement behind the guard with the samples of etc/ as they are.
With --serve the guarded one is left running.
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.cloud.processes import (
    BIN,
    StartFailed,
    WebServer,
    make_environment,
    run_all,
)
from tools.ending import Ended, ended_by_signals

ETC = pathlib.Path(__file__).resolve().parent.parent / 'etc' / 'consumer-guard'

NAIVE_POLICY = """\
# What operators write who want owners to see their own allocations.
"placement:allocations:list": "role:reader or rule:admin_or_service_api"
"placement:allocations:update": "role:member or rule:admin_or_service_api"
"placement:allocations:delete": "role:member or rule:admin_or_service_api"
"placement:resource_providers:allocations:list": "role:reader or rule:admin_or_service_api"
"""

PLACEMENT_CONF = """\
[placement_database]
connection = {database}
[api]
auth_strategy = noauth2
[oslo_policy]
policy_file = {policy}
"""


@dataclasses.dataclass(frozen=True)
class Subject:
    """Who asks; the noauth pipeline believes what the headers say."""

    name: str
    project: str
    roles: str

    def headers(self) -> dict[str, str]:
        """The headers of a request by this person."""
        return {'X-Auth-Token': f'{self.name}:{self.project}', 'X-Roles': self.roles}


NOVA = Subject('nova', 'service', 'service')
ADMIN = Subject('admin', 'admin', 'admin,member,reader')
ALICE = Subject('alice', 'A', 'member,reader')
BOB = Subject('bob', 'B', 'member,reader')
MALLORY = Subject('alice', 'A', 'reader,consumer_guard_passage')


class Client:
    """A placement API client."""

    def __init__(self, url: str) -> None:
        self.url = url

    def send(
        self, method: str, path: str, person: Subject | None, body: object = None
    ) -> tuple[int, str]:
        """Send one request; returns status and body, for any status."""
        headers = {
            'Accept': 'application/json',
            'Content-Type': 'application/json',
            'OpenStack-API-Version': 'placement 1.37',
        }
        if person is not None:
            headers |= person.headers()
        request = urllib.request.Request(  # noqa: S310  # loopback, made above
            self.url + path,
            method=method,
            headers=headers,
            data=None if body is None else json.dumps(body).encode(),
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode()

    def must(self, method: str, path: str, body: object) -> None:
        """Send a request of the admin that has to succeed."""
        status, text = self.send(method, path, ADMIN, body)
        if status >= 300:
            raise SystemExit(f'{method} {path} was answered {status}: {text}')


@contextmanager
def serve(
    name: str,
    module: str,
    directory: pathlib.Path,
    environment: dict[str, str],
    bind: tuple[str, int | None] = ('127.0.0.1', None),
) -> Iterator[Client]:
    """Run a WSGI module under gunicorn.

    :param bind: address and port, by default a free one of loopback
    :raises tests.cloud.processes.StartFailed: it does not start
    """
    address, port = bind
    server = WebServer(
        name, f'{module}:application', directory / name, environment, port, address
    )
    try:
        server.start()
        yield Client(server.url)
    finally:
        server.stop()


def make_claim(provider: str, owner: Subject, generation: int | None) -> object:
    """The body of a PUT of one VCPU."""
    return {
        'allocations': {provider: {'resources': {'VCPU': 1}}},
        'project_id': owner.project,
        'user_id': owner.name,
        'consumer_generation': generation,
    }


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table; every row has consumers of its own."""

    who: str
    whose: str
    person: Subject | None
    method: str
    path: str
    owner: Subject | None = None
    takes_over: bool = False


ROWS = (
    Row('alice, reader', 'her own', ALICE, 'GET', '/allocations/{c}', ALICE),
    Row('alice, reader', "bob's", ALICE, 'GET', '/allocations/{c}', BOB),
    Row('alice, reader', 'unknown', ALICE, 'GET', '/allocations/{c}'),
    Row('alice, member', "bob's", ALICE, 'PUT', '/allocations/{c}', BOB, True),
    Row('alice, member', "bob's", ALICE, 'DELETE', '/allocations/{c}', BOB),
    Row('alice, reader', 'all', ALICE, 'GET', '{p}/allocations', BOB),
    Row('alice, reader', 'her own', ALICE, 'GET', '/usages?project_id=A'),
    Row('alice, reader', "bob's", ALICE, 'GET', '/usages?project_id=B'),
    Row('alice, forged', "bob's", MALLORY, 'GET', '/allocations/{c}', BOB),
    Row('without token', "bob's", None, 'GET', '/allocations/{c}', BOB),
    Row('nova, service', "bob's", NOVA, 'GET', '/allocations/{c}', BOB),
    Row('nova, service', "bob's", NOVA, 'DELETE', '/allocations/{c}', BOB),
)

LEGEND = """
Both columns show the same placement and the same database. "without": opened to
readers and members. "guarded": opened to the guard's passage role alone, as in
etc/consumer-guard/. alice is in project A, bob in project B; "forged" claims the
passage role herself. {c} is a consumer, {p} is /resource_providers/{uuid}.
"""


def play(row: Row, client: Client, provider: str) -> str:
    """Send the row's request and say in a word what came of it."""
    consumer = str(uuid.uuid4())
    if row.owner is not None:
        claim = make_claim(provider, row.owner, None)
        client.must('PUT', f'/allocations/{consumer}', claim)
    body = make_claim(provider, ALICE, 1) if row.takes_over else None
    path = row.path.format(c=consumer, p=f'/resource_providers/{provider}')
    status, _ = client.send(row.method, path, row.person, body)
    harmed = row.person is not NOVA and row.owner is BOB and status < 300
    if not harmed:
        return f'{status} {"" if status < 300 else "refused"}'.strip()
    harm = {'PUT': 'TAKEN', 'DELETE': 'DELETED'}.get(row.method, 'LEAKED')
    return f'{status} {harm}'


def show(rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table; the first row is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print('  '.join(cells).rstrip())
        if not number:
            print('  '.join('-' * width for width in widths))


def prepare(directory: pathlib.Path, database: str) -> None:
    """Write two configurations of placement over one database; migrate it."""
    for name in ('naive', 'guarded'):
        folder = directory / name
        folder.mkdir()
        policy = folder / 'policy.yaml'
        if name == 'naive':
            policy.write_text(NAIVE_POLICY)
        else:
            shutil.copy(ETC / 'placement-policy.yaml', policy)
        (folder / 'placement.conf').write_text(
            PLACEMENT_CONF.format(database=database, policy=policy)
        )
    conf = directory / 'naive' / 'placement.conf'
    manage = [str(BIN / 'placement-manage'), '--config-file', str(conf), 'db', 'sync']
    run_all([manage], directory, make_environment({}))


def announce(text: str) -> None:
    """Print a line at once, to a pipe too."""
    print(text, flush=True)


def print_curl_lines(client: Client, provider: str) -> None:
    """Two consumers and the lines to ask for them."""
    common = "-H 'OpenStack-API-Version: placement 1.37'"
    for owner in (ALICE, BOB):
        consumer = str(uuid.uuid4())
        claim = make_claim(provider, owner, None)
        client.must('PUT', f'/allocations/{consumer}', claim)
        print(f"\n# alice asks for {owner.name}'s consumer")
        print(
            f"curl -s {common} -H 'X-Auth-Token: alice:A' "
            f"-H 'X-Roles: reader' {client.url}/allocations/{consumer}"
        )


def start(
    directory: pathlib.Path, stack: ExitStack, settings: argparse.Namespace
) -> tuple[Client, Client]:
    """Start placement without and with the guard, over one database."""
    announce("Creating placement's tables ...")
    database = settings.database or f'sqlite:///{directory}/placement.db'
    prepare(directory, database)
    announce('Starting placement without the guard ...')
    naive = serve(
        'naive',
        'placement.wsgi.api',
        directory,
        {'OS_PLACEMENT_CONFIG_DIR': str(directory / 'naive')},
    )
    without = stack.enter_context(naive)
    announce('Starting placement behind the guard ...')
    guarded = serve(
        'guarded',
        'consumer_guard.wsgi.api',
        directory,
        {
            'OS_PLACEMENT_CONFIG_DIR': str(directory / 'guarded'),
            'CONSUMER_GUARD_PASTE_CONFIG': str(ETC / 'api-paste-noauth.ini'),
        },
        settings.bind,
    )
    return without, stack.enter_context(guarded)


def add_provider(client: Client) -> str:
    """Add a resource provider with some VCPU; returns its UUID."""
    provider = str(uuid.uuid4())
    named = {'name': f'compute-{provider}', 'uuid': provider}
    client.must('POST', '/resource_providers', named)
    inventories = {'VCPU': {'total': 64}}
    client.must(
        'PUT',
        f'/resource_providers/{provider}/inventories',
        {'resource_provider_generation': 0, 'inventories': inventories},
    )
    return provider


def compare(naive: Client, guarded: Client, provider: str) -> bool:
    """Send every request to both; returns whether the guard let harm through."""
    table = [('who', 'whose', 'request', 'without', 'guarded')]
    failed = False
    for row in ROWS:
        with_guard = play(row, guarded, provider)
        failed = failed or with_guard[4:].isupper()
        request = f'{row.method} {row.path}'
        without = play(row, naive, provider)
        table.append((row.who, row.whose, request, without, with_guard))
    print()
    show(table)
    announce(LEGEND)
    return failed


def run(settings: argparse.Namespace) -> None:
    """Run the comparison, and go on serving when asked to."""
    with ExitStack() as stack:
        stack.enter_context(ended_by_signals())
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        naive, guarded = start(directory, stack, settings)
        provider = add_provider(guarded)
        if compare(naive, guarded, provider):
            raise SystemExit('the guard let something through')
        if settings.serve:
            print_curl_lines(guarded, provider)
            announce(f'\nThe guarded placement serves {guarded.url}; Ctrl-C ends it.')
            while True:
                time.sleep(3600)


def parse_bind(text: str) -> tuple[str, int]:
    """``ADDRESS:PORT`` as a pair."""
    address, _, port = text.rpartition(':')
    if not address or not port.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is not ADDRESS:PORT')
    return address, int(port)


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(
        prog='demo', description=(__doc__ or '').splitlines()[0]
    )
    parser.add_argument(
        '--serve', action='store_true', help='leave the guarded placement running'
    )
    parser.add_argument(
        '--bind',
        metavar='ADDRESS:PORT',
        type=parse_bind,
        default=('127.0.0.1', None),
        help='where the guarded placement listens; whoever reaches it is believed',
    )
    parser.add_argument(
        '--database',
        metavar='URL',
        help='an empty database for placement, by default an SQLite file',
    )
    return parser


def main() -> int:
    """Run the command; returns the exit status."""
    settings = make_parser().parse_args()
    try:
        run(settings)
    except Ended as ended:
        # To end a server is how it is meant to be left.
        return 0 if settings.serve else ended.status
    except StartFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
