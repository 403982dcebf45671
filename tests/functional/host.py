# SPDX-License-Identifier: Apache-2.0
"""A guard's files and database for the doctor to examine."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator

import pytest

from tests import servers
from tests.commands import Commands
from tests.configuration import ETC
from tests.rows import Tables

DATABASE = os.environ.get('CONSUMER_GUARD_TEST_DATABASES', 'sqlite').split(',')[0]

#: What auth_token needs; nothing answers there.
AUTHTOKEN = (
    '[keystone_authtoken]',
    'auth_type = password',
    'auth_url = http://127.0.0.1:9',
    'service_type = placement',
)

needs = {
    kind: pytest.mark.skipif(
        kind != DATABASE, reason=f'set CONSUMER_GUARD_TEST_DATABASES={kind}'
    )
    for kind in ('sqlite', 'postgresql', 'mysql')
}


@dataclasses.dataclass(frozen=True)
class HostDatabase:
    """A database of its own: other tests leave odd rows in theirs."""

    url: str
    server: servers.Server | None


@pytest.fixture(scope='module')
def host_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDatabase]:
    with contextlib.ExitStack() as stack:
        if DATABASE == 'sqlite':
            made = HostDatabase(
                f'sqlite:///{tmp_path_factory.mktemp("doctor")}/p.db', None
            )
        else:
            start = {'postgresql': servers.postgresql, 'mysql': servers.mariadb}
            server = stack.enter_context(start[DATABASE]())
            made = HostDatabase(server.url(server.create_database()), server)
        servers.create_schema(made.url)
        yield made


class Host:
    """A host of the guard: its files in a folder, and the rows of its database."""

    def __init__(self, host_database: HostDatabase, directory: pathlib.Path) -> None:
        self.database = host_database
        self.etc = directory / 'etc'
        shutil.copytree(ETC, self.etc)
        (self.etc / 'api-paste-noauth.ini').unlink()
        (self.etc / 'placement.conf').touch()
        for path in self.etc.iterdir():
            path.chmod(0o640)
        # Both services read this one here.
        self.policy = self.etc / 'policy.yaml'
        shutil.copy(ETC / 'placement-policy.yaml', self.policy)
        self.paste = self.etc / 'api-paste.ini'
        self.conf = self.etc / 'consumer-guard.conf'
        self.placement = self.etc / 'placement.conf'
        self.tables = Tables(host_database.url)
        self.tables.clear('allocations', 'consumers', 'projects', 'resource_providers')
        self.configure()
        self.configure_placement()

    def configure(self, *lines: str) -> None:
        self.conf.write_text('\n'.join(['[consumer_guard]', *lines, '']))

    def configure_placement(self, *lines: str, connection: str | None = None) -> None:
        database = connection or self.database.url
        text = ['[placement_database]', f'connection = {database}', *lines, '']
        if '[keystone_authtoken]' not in text:
            text += [*AUTHTOKEN, '']
        self.placement.write_text('\n'.join(text))

    def add(
        self, id_: str | None = None, project: str = 'a' * 32, generation: int = 0
    ) -> str:
        id_ = id_ or str(uuid.uuid4())
        self.tables.consume(id_, project, generation=generation, allocations=0)
        return id_


@pytest.fixture
def host(
    host_database: HostDatabase, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Host:
    made = Host(host_database, tmp_path)
    monkeypatch.setenv('OS_PLACEMENT_CONFIG_DIR', str(made.etc))
    monkeypatch.setenv('CONSUMER_GUARD_PASTE_CONFIG', str(made.paste))
    return made


@dataclasses.dataclass(frozen=True)
class Report:
    """What the command printed."""

    status: int
    rows: list[dict[str, str]]
    errors: str

    def of(self, check: str) -> dict[str, str]:
        """The first, and so the worst, of a check."""
        return next(row for row in self.rows if row['check'] == check)

    def severity(self, check: str) -> str:
        return self.of(check)['severity']


class RunDoctor(Commands):
    """Runs the command as an operator does."""

    def __call__(self, *arguments: str) -> Report:
        run = self.run('doctor', '-f', 'json', *arguments)
        assert 'Traceback' not in run.err
        return Report(run.status, run.json if run.out else [], run.err)

    def one_line(self, *arguments: str) -> str:
        """Why it cannot go on."""
        return self.run('doctor', '-f', 'json', *arguments).assert_stopped()


@pytest.fixture
def examine() -> RunDoctor:
    return RunDoctor()
