# SPDX-License-Identifier: Apache-2.0
"""The commands over placement's database, and everything that can be wrong."""

import collections
import contextlib
import fcntl
import itertools
import json
import os
import pathlib
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import uuid
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from consumer_guard.cmd import main as guard_main
from consumer_guard.cmd import status as guard_status
from consumer_guard.generations import rolling
from tests.rows import LIMIT, LOWEST, Tables

PROVIDERS = 'resource_providers'

pytestmark = pytest.mark.usefixtures('no_root_handlers')


@pytest.fixture(scope='module')
def url(
    tmp_path_factory: pytest.TempPathFactory, make_sqlite: Callable[..., str]
) -> str:
    return make_sqlite(tmp_path_factory.mktemp('commands') / 'placement.db')


class Shop:
    """A database whose generations are set by hand, and its configuration."""

    def __init__(self, url: str, directory: pathlib.Path) -> None:
        self.tables = Tables(url)
        # A root is its own; MariaDB would not delete it.
        self.tables.run('UPDATE resource_providers SET root_provider_id = NULL')
        self.tables.clear('consumers', 'resource_providers')
        self.conf = directory / 'consumer-guard.conf'
        # Placement's default rules are not open to owners, so these are not either.
        rule = (
            '"consumer_guard:allocations:list": "rule:consumer_guard:admin_or_service"'
        )
        (directory / 'policy.yaml').write_text(rule)
        self.configure(f'connection = {url}')

    def configure(self, *lines: str) -> None:
        self.conf.write_text('\n'.join(['[consumer_guard]', *lines, '']))

    def add(self, table: str, generation: int) -> str:
        key = str(uuid.uuid4())
        if table == 'consumers':
            self.tables.consume(key, generation=generation, allocations=0)
        else:
            self.tables.provide(key, generation)
        return key

    def fill(self, number: int) -> None:
        """Add many consumers at the limit."""
        self.add('consumers', LIMIT)
        self.tables.run(
            'WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n'
            ' WHERE i < :number) INSERT INTO consumers'
            ' (uuid, generation, project_id, user_id)'
            " SELECT 'filled-' || i, :limit, project_id, user_id FROM n"
            ' CROSS JOIN (SELECT project_id, user_id FROM consumers LIMIT 1)',
            number=number,
            limit=LIMIT,
        )

    def run(self, *arguments: str) -> int:
        return guard_main.main(['--config-file', str(self.conf), *arguments])


class TerminalRun:
    """The program in a process of its own, whose streams are a terminal."""

    def __init__(self, shop: Shop, *arguments: str) -> None:
        self._terminal, theirs = pty.openpty()
        # struct winsize; termios.tcsetwinsize came with Python 3.11.
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
        self.shown = ''
        self.process = subprocess.Popen(
            [
                *(sys.executable, '-m', 'consumer_guard.cmd.main'),
                *('--config-file', str(shop.conf), *arguments),
            ],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def wait_for(self, text: str) -> None:
        while text not in self.shown:
            assert self._read(), self.shown

    def finish(self) -> int:
        while self._read():
            pass
        os.close(self._terminal)
        return self.process.wait()

    def _read(self) -> bool:
        """Read on; False at the end."""
        try:
            part = os.read(self._terminal, 65536)
        except OSError:  # Linux: the other side is closed
            return False
        self.shown += part.decode()
        return bool(part)


def open_shop(url: str, folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    # Placement's configuration is empty, whatever was deployed before.
    placement = folder / 'placement'
    placement.mkdir()
    (placement / 'placement.conf').touch()
    monkeypatch.setenv('OS_PLACEMENT_CONFIG_DIR', str(placement))
    return Shop(url, folder)


@pytest.fixture
def shop(url: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return open_shop(url, tmp_path, monkeypatch)


class TestList:
    def test_rows_come_highest_first_with_what_remains_and_the_next_step(
        self, shop: Shop, capsys: pytest.CaptureFixture[str]
    ) -> None:
        low = shop.add('consumers', 7)
        high = shop.add('resource_providers', LIMIT - 1000)
        assert shop.run('generation', 'list', '-f', 'json', '--rate', '100') == 0
        rows = json.loads(capsys.readouterr().out)
        assert [(row['kind'], row['uuid']) for row in rows] == [
            ('provider', high),
            ('consumer', low),
        ]
        assert rows[0]['remaining'] == 1000
        assert rows[0]['days'] == 10
        assert rows[0]['step'] == 'reserve'
        assert rows[1]['step'] == 'fine'

    @pytest.mark.parametrize('form', ['table', 'csv', 'yaml'])
    def test_every_output_form_shows_the_row(
        self, shop: Shop, form: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        key = shop.add('consumers', 7)
        assert shop.run('generation', 'list', '-f', form) == 0
        assert key in capsys.readouterr().out

    def test_the_limit_keeps_only_the_highest_rows(
        self, shop: Shop, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for generation in range(5):
            shop.add('consumers', generation)
        assert shop.run('generation', 'list', '-f', 'json', '--limit', '2') == 0
        rows = json.loads(capsys.readouterr().out)
        assert [row['generation'] for row in rows] == [4, 3]


class TestRoll:
    def test_the_named_consumer_is_rolled_and_no_other(self, shop: Shop) -> None:
        key, other = shop.add('consumers', LIMIT), shop.add('consumers', LIMIT)
        assert shop.run('generation', 'roll', '--consumer', key) == 0
        assert shop.tables.read_generations('consumers') == {key: LOWEST, other: LIMIT}

    def test_the_named_provider_is_rolled_to_the_lowest(self, shop: Shop) -> None:
        key = shop.add('resource_providers', LIMIT)
        assert shop.run('generation', 'roll', '--provider', key) == 0
        assert shop.tables.read_generations('resource_providers') == {key: LOWEST}

    def test_above_rolls_every_row_beyond_it_but_none_in_a_dry_run(
        self, shop: Shop, capsys: pytest.CaptureFixture[str]
    ) -> None:
        high = [shop.add('consumers', 2_000_000_000 + n) for n in range(250)]
        provider = shop.add('resource_providers', 2_000_000_001)
        low = shop.add('consumers', 2_000_000_000 - 1)
        edge = '1999999999'
        assert shop.run('generation', 'roll', '--above', edge, '--dry-run') == 0
        assert '251 to roll' in capsys.readouterr().out
        assert LOWEST not in shop.tables.read_generations('consumers').values()
        assert shop.run('generation', 'roll', '--above', edge, '--yes') == 0
        output = capsys.readouterr()
        *journal, last = output.out.splitlines()
        assert last == '251 rolled, 0 left'
        assert len(set(journal)) == 251
        assert f'rolled provider {provider} from 2000000001 to {LOWEST}' in journal
        assert output.err == ''
        stored = shop.tables.read_generations('consumers')
        assert {stored[key] for key in high} == {LOWEST}
        assert stored[low] == 1_999_999_999
        assert shop.tables.read_generations('resource_providers')[provider] == LOWEST

    def test_to_where_the_option_says(self, shop: Shop) -> None:
        key = shop.add('consumers', LIMIT)
        connection = shop.conf.read_text().splitlines()[1]
        shop.configure(connection, 'generation_roll_to = 5')
        assert shop.run('generation', 'roll', '--consumer', key) == 0
        assert shop.tables.read_generations('consumers') == {key: 5}

    @pytest.mark.parametrize('option', ['consumer', 'provider'])
    def test_no_roll_in_a_row_uses_a_value_of_those_before(
        self, shop: Shop, option: str
    ) -> None:
        table = 'consumers' if option == 'consumer' else 'resource_providers'
        key, values = shop.add(table, LIMIT), [LIMIT]
        for _ in range(4):
            assert shop.run('generation', 'roll', f'--{option}', key) == 0
            values.append(shop.tables.read_generations(table)[key])
        assert values[1] == LOWEST
        assert len(set(values)) == len(values)
        assert max(values[1:]) < 0

    def test_near_end_rolls_whatever_is_warned_about(self, shop: Shop) -> None:
        first_warned = LIMIT - 100_000_000
        warned = shop.add('resource_providers', first_warned)
        fine = shop.add('resource_providers', first_warned - 1)
        assert shop.run('generation', 'roll', '--near-end') == 0
        stored = shop.tables.read_generations('resource_providers')
        assert stored == {warned: LOWEST, fine: first_warned - 1}

    def test_more_than_a_batch_is_rolled_to_the_last_one(
        self,
        shop: Shop,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(rolling, 'BATCH', 7)
        for number in range(50):
            shop.add('consumers', LIMIT - number)
        assert shop.run('generation', 'roll', '--near-end') == 0
        assert capsys.readouterr().out.endswith('50 rolled, 0 left\n')
        assert set(shop.tables.read_generations().values()) == {LOWEST}

    def test_many_are_rolled_only_when_confirmed(
        self, shop: Shop, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for number in range(101):
            shop.add('consumers', LIMIT - number)
        assert shop.run('generation', 'roll', '--near-end') == 2
        assert capsys.readouterr().err == (
            '101 generations would be rolled; confirm with --yes\n'
        )
        assert LOWEST not in shop.tables.read_generations().values()
        assert shop.run('generation', 'roll', '--near-end', '--yes') == 0


class TestOnTerminal:
    """The program in a process of its own, with a terminal."""

    def test_the_question_is_answered_and_progress_is_one_line(
        self, shop: Shop
    ) -> None:
        for number in range(150):
            shop.add('consumers', LIMIT - number)
        run = TerminalRun(shop, 'generation', 'roll', '--near-end')
        run.wait_for('150 generations would be rolled. Roll them? [y/N]')
        run.type('n\n')
        assert run.finish() == 2
        assert 'nothing was rolled' in run.shown
        assert LOWEST not in shop.tables.read_generations().values()
        run = TerminalRun(shop, 'generation', 'roll', '--near-end')
        run.wait_for('[y/N]')
        run.type('y\n')
        assert run.finish() == 0
        assert re.search(r'150/150 \[.* counters/s\]', run.shown)
        assert '150 rolled, 0 left' in run.shown

    @pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
    def test_an_interrupted_roll_tells_what_is_done_and_goes_on_when_run_again(
        self, shop: Shop, number: signal.Signals
    ) -> None:
        total = 20_000
        shop.fill(total)
        run = TerminalRun(shop, 'generation', 'roll', '--near-end', '--yes')
        run.wait_for('rolled consumer')
        run.process.send_signal(number)
        assert run.finish() == 128 + number
        done = re.search(r'(\d+) rolled, (\d+) left', run.shown)
        assert done is not None
        assert int(done[1]) > 0
        assert int(done[1]) + int(done[2]) == total
        assert f'interrupted by {number.name}; run the command again' in run.shown
        assert len(re.findall('rolled consumer', run.shown)) == int(done[1])
        stored = list(shop.tables.read_generations().values())
        assert stored.count(LOWEST) == int(done[1])
        assert shop.run('generation', 'roll', '--near-end', '--yes') == 0
        assert set(shop.tables.read_generations().values()) == {LOWEST}


@pytest.mark.on_database('postgresql', 'mysql')
def test_the_rights_to_select_and_to_update_the_generation_are_enough(
    database: str, tmp_path: pathlib.Path
) -> None:
    """Also for the locks of a roll."""
    shop = Shop(database, tmp_path)
    keys = {table: shop.add(table, LIMIT) for table in ('consumers', PROVIDERS)}
    url = sa.make_url(database)
    mysql = url.get_backend_name() == 'mysql'
    account = "roller@'%'" if mysql else 'roller'
    by = 'IDENTIFIED BY' if mysql else 'PASSWORD'
    shop.tables.run(f"CREATE USER {account} {by} 'x'")
    try:
        for table in keys:
            grant = 'GRANT SELECT, UPDATE (generation)'
            shop.tables.run(f'{grant} ON {table} TO {account}')
        made = url.set(username='roller', password='x')
        text = made.render_as_string(hide_password=False)
        shop.configure(f'connection = {text}')
        assert shop.run('generation', 'roll', '--near-end') == 0
        assert shop.run('generation', 'roll', '--consumer', keys['consumers']) == 0
        assert shop.run('generation', 'roll', '--provider', keys[PROVIDERS]) == 0
        assert shop.run('generation', 'list') == 0
    finally:
        if not mysql:
            shop.tables.run(f'DROP OWNED BY {account}')
        shop.tables.run(f'DROP USER {account}')


@pytest.mark.on_database('postgresql', 'mysql')
def test_beside_a_live_placement_every_increment_and_every_roll_counts(
    database: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Old and new values in the journal are exact while others write."""
    shop = Shop(database, tmp_path)
    keys = [shop.add('consumers', LIMIT - 1_000_000) for _ in range(300)]
    increments: collections.Counter[str] = collections.Counter()
    stop = threading.Event()

    def write() -> None:
        for key in itertools.cycle(keys):
            if stop.is_set():
                return
            query = 'UPDATE consumers SET generation = generation + 1 WHERE uuid = :u'
            with contextlib.suppress(sa.exc.OperationalError):
                increments[key] += shop.tables.run(query, u=key)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert shop.run('generation', 'roll', '--near-end', '--yes') == 0
    finally:
        stop.set()
        writer.join()
    journal = re.findall(
        r'rolled consumer (\S+) from (-?\d+) to (-?\d+)', capsys.readouterr().out
    )
    assert sorted(key for key, _, _ in journal) == sorted(keys)
    stored = shop.tables.read_generations()
    for key, old, new in journal:
        before = int(old) - (LIMIT - 1_000_000)
        after = stored[key] - int(new)
        assert before + after == increments[key]


class TestWrong:
    """One clear line and a status that is not zero."""

    @pytest.mark.parametrize(
        ('arguments', 'named'),
        [
            (('roll', '--consumer', 'no-such'), 'no-such'),
            (('roll', '--provider', 'no-such'), 'no-such'),
            (('roll', '--above', str(LOWEST)), '--above'),
            (('roll', '--above', '-5'), '--above -5'),
            (('roll', '--above', '-5', '--dry-run'), '--above -5'),
            (('roll', '--above', str(LIMIT)), '--above'),
        ],
    )
    def test_an_unusable_argument_is_one_line_that_names_it(
        self,
        shop: Shop,
        arguments: tuple[str, ...],
        named: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert shop.run('generation', *arguments) == 2
        assert named in self._one_line(capsys)

    def test_a_missing_configuration_file_is_one_line_that_names_it(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ['--config-file', '/nowhere.conf', 'generation', 'list']
        assert guard_main.main(arguments) == 2
        assert '/nowhere.conf' in self._one_line(capsys)

    def test_a_database_that_is_away_is_one_line_without_the_password(
        self, shop: Shop, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shop.configure('connection = postgresql://u:sesame@127.0.0.1:9/placement')
        assert shop.run('generation', 'list') == 2
        line = self._one_line(capsys)
        assert 'connection' in line
        assert 'sesame' not in line

    def test_a_database_without_tables_is_one_line_that_names_it(
        self,
        shop: Shop,
        tmp_path: pathlib.Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        shop.configure(f'connection = sqlite:///{tmp_path}/empty.db')
        assert shop.run('generation', 'list') == 2
        assert 'empty.db' in self._one_line(capsys)

    def _one_line(self, capsys: pytest.CaptureFixture[str]) -> str:
        error = capsys.readouterr().err
        assert error.count('\n') == 1, error
        assert 'Traceback' not in error
        return error


class TestUpgradeCheck:
    @pytest.fixture(autouse=True)
    def no_pipeline(self) -> None:
        if os.path.exists('/etc/consumer-guard/api-paste.ini'):
            pytest.skip('there is one on this machine')

    def _check(self, shop: Shop) -> int:
        return guard_status.check_upgrade(
            ['--config-file', str(shop.conf), 'upgrade', 'check']
        )

    def test_low_generations_pass_the_upgrade_check(self, shop: Shop) -> None:
        shop.add('consumers', 7)
        assert self._check(shop) == 0

    @pytest.mark.parametrize(
        ('table', 'generation', 'status'),
        [
            ('consumers', LIMIT - 100_000_000, 1),
            ('resource_providers', LIMIT - 100_000_000, 1),
            ('consumers', LIMIT - 40_000_000, 2),
            ('resource_providers', LIMIT, 2),
        ],
    )
    def test_a_counter_near_the_limit_is_a_warning_and_then_a_failure(
        self,
        shop: Shop,
        table: str,
        generation: int,
        status: int,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        shop.add(table, generation)
        assert self._check(shop) == status
        assert 'generation' in capsys.readouterr().out

    def test_the_cure_that_it_names(
        self, shop: Shop, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shop.add('consumers', LIMIT - 100_000_000)
        assert self._check(shop) == 1
        said = re.sub(r'[|\s]+', ' ', capsys.readouterr().out)
        above = re.search(r'generation roll --above (\d+)', said)
        assert above is not None
        assert shop.run('generation', 'roll', '--above', above[1]) == 0
        assert self._check(shop) == 0

    def test_roll_without_the_right_to_write(
        self,
        shop: Shop,
        url: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        path = url.removeprefix('sqlite:///')
        read_only = f'connection = sqlite:///file:{path}?mode=ro&uri=true'
        shop.configure(read_only)
        assert self._check(shop) == 0
        shop.configure(read_only, 'generation_strategy = roll')
        assert self._check(shop) == 2
        assert 'UPDATE(generation)' in ' '.join(capsys.readouterr().out.split())

    def test_a_database_that_is_away_fails_the_upgrade_check(self, shop: Shop) -> None:
        shop.configure('connection = postgresql://u:sesame@127.0.0.1:9/placement')
        assert self._check(shop) == 2


@pytest.mark.placement_on('mysql')
@pytest.mark.parametrize(
    ('mode', 'status'), [('STRICT_TRANS_TABLES', 0), ('', 1), ('ANSI', 1)]
)
def test_an_sql_mode_that_is_not_strict_warns_in_the_upgrade_check(
    database: str,
    tmp_path: pathlib.Path,
    mode: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """That of placement's sessions, which its own option sets."""
    shop = open_shop(database, tmp_path, monkeypatch)
    conf = tmp_path / 'placement' / 'placement.conf'
    conf.write_text(f'[placement_database]\nmysql_sql_mode = {mode}\n')
    answer = guard_status.check_upgrade(
        ['--config-file', str(shop.conf), 'upgrade', 'check']
    )
    assert answer == status
    assert ('not strict' in capsys.readouterr().out) is bool(status)
