# SPDX-License-Identifier: Apache-2.0
"""The GRANTs of the documentation are enough for what each is for, and no more."""

import contextlib
import pathlib
import re
import uuid
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from consumer_guard.cmd import main as guard_main
from consumer_guard.owners.statements import TABLES
from tests.configuration import OWNER_RULES
from tests.deployment import Deploy
from tests.functional.host import Host, RunDoctor
from tests.rows import LIMIT
from tests.scenery import Scene

PAGE = pathlib.Path(__file__).parents[2] / 'doc/source/database-rights.rst'
CAPTIONS = {'postgresql': 'PostgreSQL', 'mysql': 'MariaDB, MySQL'}
FEATURES = ('look-ups', 'writes by owners', 'commands that read', 'roll')

pytestmark = [
    pytest.mark.on_database('postgresql', 'mysql'),
    pytest.mark.usefixtures('no_root_handlers'),
]

#: Makes an account with the rights of the first features; returns its URL.
MakeAccount = Callable[..., str]


def read_statements(dialect: str) -> list[list[str]]:
    """The statements of each feature, in the order of the page."""
    blocks = re.findall(
        rf':caption: {CAPTIONS[dialect]}\n\n((?:   .+\n)+)', PAGE.read_text()
    )
    assert len(blocks) == len(FEATURES)
    return [
        [line.strip() for line in block.split(';\n') if line.strip()]
        for block in blocks
    ]


@pytest.fixture
def make_account() -> Iterator[MakeAccount]:
    with contextlib.ExitStack() as stack:

        def make(database: str, features: int) -> str:
            url = sa.make_url(database)
            dialect = url.get_backend_name()
            name = f'u{uuid.uuid4().hex[:12]}'
            engine = sa.create_engine(url, isolation_level='AUTOCOMMIT')
            stack.callback(engine.dispose)

            def run(statement: str) -> None:
                with engine.connect() as connection:
                    connection.exec_driver_sql(statement.replace('%', '%%'))

            for statements in read_statements(dialect)[:features]:
                for statement in statements:
                    of_test = re.sub(r'\bguard\b', name, statement)
                    run(of_test.replace('placement.', f'`{url.database}`.'))
            if dialect == 'postgresql':
                stack.callback(run, f'DROP USER {name}')
                stack.callback(run, f'DROP OWNED BY {name}')
            else:
                stack.callback(run, f"DROP USER '{name}'@'%'")
            made = url.set(username=name, password='secret')
            return made.render_as_string(hide_password=False).replace('%', '%%')

        yield make


def test_the_page_grants_select_on_the_tables_that_a_look_up_reads() -> None:
    lookups, *_ = read_statements('postgresql')
    tables = re.search(r'SELECT ON (.+) TO', lookups[1])
    assert tables
    assert {*tables[1].split(', ')} == {*TABLES}
    _, *grants = read_statements('mysql')[0]
    assert {grant.split()[3] for grant in grants} == {
        f'placement.{table}' for table in TABLES
    }


def test_with_the_rights_of_look_ups_owners_read_and_do_not_write(
    deploy: Deploy, database: str, make_account: MakeAccount
) -> None:
    url = make_account(database, 1)
    scene = Scene(deploy(rules=OWNER_RULES, options={'connection': url}))
    assert scene.get(scene.alice).status_int == 200
    assert scene.put(scene.alice, generation=1).status_int == 503


def test_with_the_right_to_update_generations_owners_write(
    deploy: Deploy, database: str, make_account: MakeAccount
) -> None:
    url = make_account(database, 2)
    scene = Scene(deploy(rules=OWNER_RULES, options={'connection': url}))
    assert scene.put(scene.alice, generation=1).status_int == 204


@pytest.mark.parametrize('features', [3, 4])
def test_with_the_rights_of_the_commands_doctor_has_no_findings(
    host: Host, examine: RunDoctor, make_account: MakeAccount, features: int
) -> None:
    url = make_account(host.database.url, features)
    host.add()
    host.configure(f'connection = {url}', 'generation_strategy = roll')
    report = examine()
    assert report.status == 0, report.rows
    for check in ('SELECT', 'UPDATE(generation)', 'more rights', 'generations'):
        assert report.severity(check) == 'ok', report.of(check)


@pytest.mark.parametrize(
    ('features', 'read', 'rolled'), [(2, 2, 2), (3, 0, 2), (4, 0, 0)]
)
def test_each_command_needs_the_rights_of_its_section(
    host: Host,
    make_account: MakeAccount,
    features: int,
    read: int,
    rolled: int,
) -> None:
    host.add(generation=LIMIT)
    host.tables.provide(str(uuid.uuid4()), LIMIT)
    host.configure(f'connection = {make_account(host.database.url, features)}')
    command = ['--config-file', str(host.conf), 'generation']
    assert guard_main.main([*command, 'list']) == read
    assert guard_main.main([*command, 'roll', '--near-end']) == rolled
