# SPDX-License-Identifier: Apache-2.0
"""A certificate that has expired, made by the system's openssl."""

import os
import pathlib
import pwd
import shutil
import subprocess
from typing import NamedTuple

_CONFIGURATION = """
[ca]
default_ca = one
[one]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = names
x509_extensions = extensions
[names]
commonName = supplied
[extensions]
subjectAltName = IP:127.0.0.1
basicConstraints = CA:TRUE
"""


class Certificate(NamedTuple):
    """Paths of a certificate that signs itself, and of its key."""

    certificate: pathlib.Path
    key: pathlib.Path


def make_expired_certificate(folder: pathlib.Path, account: str) -> Certificate:
    """Make one for 127.0.0.1 that was valid on one day of 2020.

    :param account: of the server that reads the key, when the tests run as root
    """
    made = Certificate(folder / 'certificate.pem', folder / 'key.pem')
    (folder / 'ca.cnf').write_text(_CONFIGURATION)
    (folder / 'index.txt').touch()
    (folder / 'serial').write_text('01')
    request = f'req -newkey rsa:2048 -nodes -keyout {made.key} -out request.pem'
    sign = f'ca -batch -selfsign -notext -config ca.cnf -keyfile {made.key}'
    days = '-startdate 20200101000000Z -enddate 20200102000000Z'
    for command in (
        f'{request} -subj /CN=127.0.0.1',
        f'{sign} -in request.pem -out {made.certificate} {days}',
    ):
        subprocess.run(
            ['openssl', *command.split()], cwd=folder, check=True, capture_output=True
        )
    made.key.chmod(0o600)
    if os.geteuid() == 0:
        shutil.chown(made.key, account, pwd.getpwnam(account).pw_gid)
    return made
