# SPDX-License-Identifier: Apache-2.0
"""A real keystone over SQLite, with fernet tokens, bootstrapped and served."""

import getpass
import grp
import os
import pathlib
import secrets

from tests.cloud.processes import BIN, WebServer, make_environment, run_all

REGION = 'RegionOne'

_CONF = """\
[DEFAULT]
log_dir = {folder}
log_file = keystone-conf.log
use_stderr = false
[cache]
# A token that was revoked is refused at once.
enabled = false
[credential]
key_repository = {folder}/credential-keys
[database]
connection = sqlite:///{folder}/keystone.db
sqlite_synchronous = false
[fernet_receipts]
key_repository = {folder}/receipt-keys
[fernet_tokens]
key_repository = {folder}/fernet-keys
[identity]
# The least that bcrypt takes: nobody is to keep a secret here.
password_hash_rounds = 4
[token]
provider = fernet
expiration = {expiration}
"""

#: gunicorn's arguments are not keystone's: keystone.wsgi.api parses sys.argv.
_MODULE = """\
import sys
del sys.argv[1:]
from keystone.wsgi.api import application
"""


class Keystone:
    """One keystone: its database, its keys, and the servers over them.

    :ivar server: the server that the catalog names
    :ivar password: of the user ``admin`` in the project ``admin``
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.password = secrets.token_urlsafe(12)
        self.server = self.make_server('keystone', expiration=3600)

    @property
    def url(self) -> str:
        """URL of the third version of the API."""
        return f'{self.server.url}/v3'

    def make_server(self, name: str, expiration: int) -> WebServer:
        """A server over the same database and keys, not started.

        :param expiration: seconds that the tokens it issues are valid
        """
        folder = self.folder / name
        folder.mkdir(parents=True)
        (folder / 'keystone.conf').write_text(
            _CONF.format(folder=self.folder, expiration=expiration)
        )
        (folder / 'served_keystone.py').write_text(_MODULE)
        return WebServer(
            name,
            'served_keystone:application',
            folder,
            {'OS_KEYSTONE_CONFIG_DIR': str(folder)},
        )

    def prepare(self) -> None:
        """Make the database, the keys and the first user.

        :raises StartFailed: a command of keystone's failed
        """
        for keys in ('fernet-keys', 'credential-keys', 'receipt-keys'):
            (self.folder / keys).mkdir(mode=0o700)
        conf = self.server.folder / 'keystone.conf'
        manage = [str(BIN / 'keystone-manage'), '--config-file', str(conf)]
        account = ['--keystone-user', getpass.getuser()]
        account += ['--keystone-group', grp.getgrgid(os.getegid()).gr_name]
        commands = [
            [*manage, command, *account]
            for command in ('fernet_setup', 'credential_setup', 'receipt_setup')
        ]
        env = make_environment({'OS_BOOTSTRAP_PASSWORD': self.password})
        run_all([*commands, [*manage, 'db_sync']], self.folder, env)
        urls = [
            f'--bootstrap-{interface}-url={self.url}'
            for interface in ('public', 'internal', 'admin')
        ]
        bootstrap = [*manage, 'bootstrap', f'--bootstrap-region-id={REGION}', *urls]
        run_all([bootstrap], self.folder, env)
