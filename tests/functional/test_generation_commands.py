# SPDX-License-Identifier: Apache-2.0
"""The commands over placement's database, and everything that can be wrong."""

import json
import pathlib
import re
import uuid
from collections.abc import Callable

import pytest

from consumer_guard.cmd import main as guard_main
from consumer_guard.cmd import status as guard_status
from tests.rows import LIMIT, LOWEST, Tables

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

    def run(self, *arguments: str) -> int:
        return guard_main.main(['--config-file', str(self.conf), *arguments])


@pytest.fixture
def shop(url: str, tmp_path: pathlib.Path) -> Shop:
    return Shop(url, tmp_path)


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
        assert shop.run('generation', 'roll', '--above', edge) == 0
        output = capsys.readouterr()
        assert '251 rolled, 0 left' in output.out
        assert '200 of 251' in output.err
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

    def test_rolling_twice_is_the_same_as_rolling_once(self, shop: Shop) -> None:
        key = shop.add('consumers', LIMIT)
        for _ in range(2):
            assert shop.run('generation', 'roll', '--consumer', key) == 0
        assert shop.tables.read_generations('consumers') == {key: LOWEST}


class TestWrong:
    """One clear line and a status that is not zero."""

    @pytest.mark.parametrize(
        ('arguments', 'named'),
        [
            (('roll', '--consumer', 'no-such'), 'no-such'),
            (('roll', '--provider', 'no-such'), 'no-such'),
            (('roll', '--above', str(LOWEST)), '--above'),
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
    capsys: pytest.CaptureFixture[str],
) -> None:
    conf = tmp_path / 'consumer-guard.conf'
    conf.write_text(f'[consumer_guard]\nconnection = {database}\n')
    tables = Tables(database)
    # Other tests of this process leave generations at the limit.
    for table in ('consumers', 'resource_providers'):
        tables.run(f'UPDATE {table} SET generation = 0')
    [[before]] = tables.select('SELECT @@GLOBAL.sql_mode')
    tables.run('SET GLOBAL sql_mode = :mode', mode=mode)
    try:
        answer = guard_status.check_upgrade(
            ['--config-file', str(conf), 'upgrade', 'check']
        )
    finally:
        tables.run('SET GLOBAL sql_mode = :mode', mode=before)
    assert answer == status
    assert ('not strict' in capsys.readouterr().out) is bool(status)
