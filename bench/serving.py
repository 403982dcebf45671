# SPDX-License-Identifier: Apache-2.0
"""P9, P10 and the start: whole servers, under gunicorn."""

import contextlib
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from bench import results, scene, stores, timing
from bench.results import Chapter, Curve, Finding, Role, Row, Table
from bench.statistics import Estimate, estimate
from bench.stores import Store
from tests import servers
from tests.ports import find_free_port

_PASTE = """\
[pipeline:main]
pipeline = request_log noauth {guard} placement
[filter:request_log]
use = egg:consumer-guard#request_log
[filter:noauth]
use = egg:consumer-guard#noauth
[filter:consumer_guard]
use = egg:consumer-guard
oslo_config_file = %(here)s/consumer-guard.conf
[app:placement]
use = egg:consumer-guard#placement
auth_strategy = noauth2
"""

_GUARD = """\
[consumer_guard]
auth_strategy = noauth2
connection = {url}
[oslo_policy]
policy_file = {folder}/policy.yaml
"""

_PLACEMENT = """\
[DEFAULT]
log_file = {folder}/placement.log
[placement_database]
connection = {url}
[api]
auth_strategy = noauth2
[oslo_policy]
policy_file = {folder}/placement-policy.yaml
"""

BARE = 'bare placement'
OWNER = 'the guard, owner'
PRIVILEGED = 'the guard, service'
#: Of bare placement's throughput, what an owner's reads keep.
LIMITS = {'SQLite': 0.95, 'PostgreSQL': 0.90}
#: Milliseconds that the guard may add to a worker's start.
START = 150.0
#: Seconds between two looks at the policy files, and what may come to two of
#: them until a request meets the new rules.
INTERVAL = 1.0
_SLACK = 0.25
_PATIENCE = 60


def write_configuration(folder: Path, url: str, *, guarded: bool) -> dict[str, str]:
    """Everything that a worker reads; returns its environment."""
    folder.mkdir()
    guard = 'consumer_guard' if guarded else ''
    (folder / 'api-paste.ini').write_text(_PASTE.format(guard=guard))
    (folder / 'consumer-guard.conf').write_text(
        _GUARD.format(url=stores.look_up_url(url), folder=folder)
    )
    (folder / 'policy.yaml').write_text('{}\n')
    (folder / 'placement.conf').write_text(_PLACEMENT.format(url=url, folder=folder))
    (folder / 'placement-policy.yaml').write_text(yaml.safe_dump(scene.PASSAGE_RULES))
    return {
        'CONSUMER_GUARD_PASTE_CONFIG': str(folder / 'api-paste.ini'),
        'OS_PLACEMENT_CONFIG_DIR': str(folder),
    }


@dataclass(frozen=True)
class Server:
    """One gunicorn.

    :ivar workers: their process ids
    """

    port: int
    workers: tuple[int, ...]

    def spent(self) -> float:
        """Seconds of CPU of the workers so far."""
        ticks = 0
        for worker in self.workers:
            fields = Path(f'/proc/{worker}/stat').read_text().rpartition(')')[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf('SC_CLK_TCK')


@contextlib.contextmanager
def serve(
    module: str, environment: dict[str, str], workers: int, folder: Path
) -> Iterator[Server]:
    """Run a WSGI module under gunicorn; raises SystemExit when it cannot."""
    port = find_free_port()
    log = folder / f'gunicorn-{port}.log'
    with log.open('wb') as output:
        process = subprocess.Popen(
            [
                *(sys.executable, '-W', 'ignore', '-m', 'gunicorn'),
                *('--workers', str(workers), '--bind', f'127.0.0.1:{port}'),
                *('--log-level', 'warning', module),
            ],
            env=os.environ | environment,
            stdout=output,
            stderr=output,
        )
        try:
            _await(process, port, workers)
            yield Server(port, _children(process.pid))
        except TimeoutError:
            text = log.read_text(errors='replace')[-2000:]
            raise SystemExit(f'gunicorn did not start: {text}') from None
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def _await(process: 'subprocess.Popen[bytes]', port: int, workers: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if len(_children(process.pid)) == workers:
                send(port, make_request('/', {}))
                return
        time.sleep(0.1)
    raise TimeoutError


def _children(pid: int) -> tuple[int, ...]:
    children = Path(f'/proc/{pid}/task/{pid}/children').read_text()
    return tuple(map(int, children.split()))


def make_request(path: str, headers: dict[str, str]) -> bytes:
    """A GET as bytes; the connection is closed after it, as gunicorn does."""
    lines = [f'GET {path} HTTP/1.1', 'Host: localhost', 'Connection: close']
    lines += ['Accept: application/json', 'OpenStack-API-Version: placement 1.38']
    lines += [f'{name}: {value}' for name, value in headers.items()]
    return '\r\n'.join([*lines, '', '']).encode()


def send(port: int, request: bytes) -> bytes:
    """Send one request; the whole answer."""
    with socket.create_connection(('127.0.0.1', port), timeout=_PATIENCE) as link:
        link.sendall(request)
        pieces = []
        while piece := link.recv(65536):
            pieces.append(piece)
    return b''.join(pieces)


def _load(port: int, requests: Sequence[bytes], seconds: float, clients: int) -> int:
    """Ask from some threads for some seconds; how many were answered with 200."""
    until = time.monotonic() + seconds
    counts = [0] * clients

    def ask(client: int) -> None:
        number = client
        while time.monotonic() < until:
            answer = send(port, requests[number % len(requests)])
            if not answer.startswith(b'HTTP/1.1 200'):
                raise RuntimeError(answer[:500])
            counts[client] += 1
            number += clients

    threads = [
        threading.Thread(target=ask, args=(number,)) for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


def throughput(store: Store, workers: int, rounds: int, seconds: float) -> list[Table]:
    """Requests a second, and CPU a request, of bare and guarded placement."""
    uuids = stores.read_consumers(store, 500)
    paths = [f'/allocations/{uuid}' for uuid in uuids]
    owner = {'X-Auth-Token': f'alice:{stores.project()}', 'X-Roles': 'member,reader'}
    passing = owner | {'X-Roles': f'member,reader,{scene.PASSAGE}'}
    service = {'X-Auth-Token': f'nova:{stores.project(2)}', 'X-Roles': 'service'}
    module = 'consumer_guard.wsgi.api:application'
    with (
        TemporaryDirectory(prefix='cg-bench-') as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        served = {}
        for title, guarded in (('bare', False), ('guarded', True)):
            made = write_configuration(folder / title, store.url, guarded=guarded)
            served[title] = stack.enter_context(serve(module, made, workers, folder))
        again = timing.AGAIN.format(BARE)
        variants = {
            BARE: (served['bare'], passing),
            again: (served['bare'], passing),
            OWNER: (served['guarded'], owner),
            PRIVILEGED: (served['guarded'], service),
        }
        rates: timing.Samples = {what: [] for what in variants}
        costs: timing.Samples = {what: [] for what in variants}
        order = list(variants)
        shuffle = random.Random(1).shuffle  # noqa: S311  # the order of variants
        for number in range(rounds + 1):
            shuffle(order)
            for what in order:
                server, headers = variants[what]
                requests = [make_request(path, headers) for path in paths]
                before, started = server.spent(), time.monotonic()
                done = _load(server.port, requests, seconds, 2 * workers)
                if number:
                    rates[what].append(done / (time.monotonic() - started))
                    costs[what].append((server.spent() - before) / done)
    words = (
        f'gunicorn with {workers} workers' if workers > 1 else 'gunicorn, one worker'
    )
    cost = results.make_table(
        f'CPU of the workers a request, {words}, {store.words}',
        costs,
        ours=[OWNER, PRIVILEGED],
        base=BARE,
        conditions=f'{rounds} rounds of {seconds:g} s each, {2 * workers} clients',
    )
    return [_rate_table(f'Throughput, {words}, {store.words}', rates), cost]


def _rate_table(title: str, rates: timing.Samples) -> Table:
    rows = []
    for what, samples in rates.items():
        role = Role.OURS if what in (OWNER, PRIVILEGED) else Role.REFERENCE
        if what == timing.AGAIN.format(BARE):
            role = Role.CONTROL
        over = share = None
        if what != BARE:
            pairs = [*zip(samples, rates[BARE], strict=True)]
            over = estimate([one - other for one, other in pairs])
            share = estimate([one / other - 1 for one, other in pairs]).scaled(100)
        rows.append(Row(what, role, estimate(samples), over, share))
    return Table(title, 'requests/s', tuple(rows), BARE, 'wall clock')


def serving_chapter(measured: list[tuple[Store, int, list[Table]]]) -> Chapter:
    """P10 of all servers."""
    findings = []
    tables = []
    series: dict[str, list[tuple[float, float]]] = {}
    for store, workers, (rates, costs) in measured:
        tables += [rates, costs]
        where = f'{store.engine}, {workers} worker' + ('s' if workers > 1 else '')
        control = results.find(rates, timing.AGAIN.format(BARE)).share
        noise = max(abs(control.low), abs(control.high)) / 100 if control else 0.0
        for what, limit in (
            (OWNER, LIMITS[store.engine]),
            (PRIVILEGED, round(1 - noise, 3)),
        ):
            findings.append(
                Finding(
                    f'{what}: of {BARE}, {where}',
                    1 + results.share(rates, what) / 100,
                    limit,
                    '',
                    at_least=True,
                )
            )
            findings.append(
                Finding(
                    f'{what}: CPU more than {BARE}, {where}',
                    results.share(costs, what),
                    None,
                    '%',
                )
            )
            rate = results.find(rates, what).cost.median
            series.setdefault(f'{what}, {store.engine}', []).append((workers, rate))
        findings.append(results.noise(rates))
        rate = results.find(rates, BARE).cost.median
        series.setdefault(f'{BARE}, {store.engine}', []).append((workers, rate))
    curve = Curve(
        'throughput', 'Throughput', 'workers', 'requests/s', series, x_logarithmic=False
    )
    return Chapter('P10', 'Throughput', tuple(findings), tuple(tables), (curve,))


_LOADED = 'from consumer_guard.wsgi.api import application'
_ALONE = {
    "import placement's application": 'import placement.deploy',
    'import the guard': 'import consumer_guard.middleware',
}


def start(rounds: int) -> Chapter:
    """What the guard adds to the start of a worker."""
    with TemporaryDirectory(prefix='cg-bench-') as name:
        folder = Path(name)
        url = f'sqlite:///{folder}/placement.db'
        servers.create_schema(url)
        commands = {
            title: (_LOADED, write_configuration(folder / title, url, guarded=guarded))
            for title, guarded in ((BARE, False), ('with the guard', True))
        }
        commands[timing.AGAIN.format(BARE)] = commands[BARE]
        commands |= {title: (code, {}) for title, code in _ALONE.items()}
        samples: timing.Samples = {title: [] for title in commands}
        order = list(commands)
        shuffle = random.Random(1).shuffle  # noqa: S311  # the order of variants
        for number in range(rounds + 1):
            shuffle(order)
            for title in order:
                spent = _run(*commands[title])
                if number:
                    samples[title].append(spent)
    table = results.make_table(
        'The start of a worker',
        samples,
        ours=['with the guard', 'import the guard'],
        base=BARE,
        unit='ms',
        conditions='CPU from the first line of Python to the loaded pipeline',
    )
    return Chapter(
        'P11',
        'Start',
        (
            Finding(
                "added to a worker's start",
                results.over(table, 'with the guard'),
                START,
                'ms',
            ),
            results.noise(table),
        ),
        (table,),
    )


def _run(code: str, environment: dict[str, str]) -> float:
    """Seconds of CPU of a Python that runs some code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        env=os.environ | environment,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def reload(edits: int) -> Chapter:
    """P9: how long until every worker has the rules of an edited file."""
    with TemporaryDirectory(prefix='cg-bench-') as name:
        folder = Path(name)
        (folder / 'consumer-guard.conf').write_text(
            _GUARD.format(url='sqlite://', folder=folder)
        )
        policy = folder / 'policy.yaml'
        _write_rule(policy, '!')
        environment = {'CONSUMER_GUARD_BENCH': str(folder / 'consumer-guard.conf')}
        with serve('bench.reloaded:application', environment, 2, folder) as server:
            delays = [
                _await_rule(server, policy, allowed=number % 2 == 0)
                for number in range(edits)
            ]
        looks = _count_looks(folder)
    return Chapter(
        'P9',
        'Reload',
        (
            Finding(
                f'longest until both workers decide anew, {edits} edits,'
                f' interval {INTERVAL:g} s',
                max(delays),
                2 * INTERVAL + _SLACK,
                's',
            ),
            Finding('median of them', statistics.median(delays), None, 's'),
            Finding('stat calls a request', looks, 0.01, ''),
        ),
        (
            Table(
                'From an edit to the new rules in every worker',
                's',
                (Row('the guard', Role.OURS, _all_of(delays)),),
                conditions='wall clock; a request every 10 ms or so',
            ),
        ),
    )


def _all_of(delays: list[float]) -> Estimate:
    return Estimate(statistics.median(delays), min(delays), max(delays))


def _write_rule(path: Path, rule: str) -> None:
    path.write_text(yaml.safe_dump({'consumer_guard:allocations:list': rule}))


def _await_rule(server: Server, path: Path, *, allowed: bool) -> float:
    """Edit the file, and ask until every worker has answered by it."""
    request = make_request(
        '/allocations/c1c1c1c1-0000-4000-8000-00000000000a',
        {'X-User-Id': 'u', 'X-Project-Id': 'p', 'X-Roles': 'anybody'},
    )
    # Somewhere in the interval, not at its beginning.
    time.sleep(random.uniform(0.2, 1.2))  # noqa: S311  # no secret
    _write_rule(path, 'role:anybody' if allowed else '!')
    started = time.monotonic()
    new: dict[bytes, float] = {}
    while len(new) < len(server.workers):
        if time.monotonic() - started > _PATIENCE:
            raise SystemExit('the edited policy file is not in force after a minute')
        answer = send(server.port, request)
        # Both refusals and answers name the worker.
        worker = answer.partition(b'X-Worker: ')[2].partition(b'\r\n')[0]
        if (answer[9:12] != b'403') is allowed:
            new.setdefault(worker, time.monotonic() - started)
        time.sleep(0.005)
    return max(new.values())


def _count_looks(folder: Path, count: int = 50_000) -> float:
    """Calls of os.stat and the like of a request, over many requests."""
    from consumer_guard.middleware import filter_factory

    path = str(folder / 'consumer-guard.conf')
    guard = filter_factory({}, oslo_config_file=path)(scene.Nothing())
    environ = scene.Requests.believed('/allocations/c1c1c1c1')
    looks = 0
    original = {name: getattr(os, name) for name in ('stat', 'lstat', 'scandir')}

    def counting(name: str) -> object:
        def call(*arguments: object, **options: object) -> object:
            nonlocal looks
            looks += 1
            return original[name](*arguments, **options)

        return call

    for name in original:
        setattr(os, name, counting(name))
    try:
        for _ in range(count):
            guard(environ.copy(), lambda *_: None)
    finally:
        for name, function in original.items():
            setattr(os, name, function)
    return looks / count
