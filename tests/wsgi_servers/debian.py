# SPDX-License-Identifier: Apache-2.0
"""Debian's Apache and mod_wsgi, and an environment for its Python.

mod_wsgi is built for /usr/bin/python3, and runs as an account that may not read
root's folders. So the guard and placement are installed into an environment
made by that Python, in a folder that everybody can read.
"""

import atexit
import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent.parent
APACHE = '/usr/sbin/apache2'
MODULES = '/usr/lib/apache2/modules'
ACCOUNT = 'www-data'
ACCOUNT_CONF = f'User {ACCOUNT}\nGroup {ACCOUNT}\n'
_PYTHON = '/usr/bin/python3'

APACHE_CONF = """\
ServerRoot {folder}
ServerName placement
Listen 127.0.0.1:{port}
PidFile {folder}/pid
DefaultRuntimeDir {folder}
ErrorLog {folder}/error.log
{account}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule wsgi_module {modules}/mod_wsgi.so
WSGISocketPrefix {folder}/wsgi
WSGIDaemonProcess placement-api processes={processes} threads=2 \
python-home={python_home}
WSGIProcessGroup placement-api
WSGIApplicationGroup %{{GLOBAL}}
WSGIPassAuthorization On
WSGIChunkedRequest On
WSGIScriptAlias {mount} {folder}/served_app.py
<Directory {folder}>
    Require all granted
</Directory>
"""


def find_missing() -> str:
    """What is not on this machine, and how to get it; '' when all is there."""
    for path, package in (
        (APACHE, 'apache2'),
        (f'{MODULES}/mod_wsgi.so', 'libapache2-mod-wsgi-py3'),
        (_PYTHON, 'python3'),
    ):
        if not os.path.exists(path):
            return (
                f'{path} is missing; on Debian: tools/install-databases.sh apache,'
                f' or apt-get install {package}'
            )
    return ''


@functools.cache
def make_environment() -> str:
    """The environment with the guard as it is now; the rest is kept.

    In the folder that CONSUMER_GUARD_MOD_WSGI_ENV names, or for this run alone
    where the account of Apache cannot reach that one.
    """
    folder = _choose_folder()
    pip = [str(folder / 'bin' / 'python'), '-m', 'pip', 'install', '-q']
    wanted = [ROOT / 'requirements.txt', ROOT / 'setup.cfg']
    stamp = hashlib.sha256(b''.join(path.read_bytes() for path in wanted)).hexdigest()
    made = folder / 'made-of'
    if not made.exists() or made.read_text() != stamp:
        _run([sys.executable, '-m', 'virtualenv', '-q', '-p', _PYTHON, str(folder)])
        _run([*pip, 'pbr', 'setuptools', 'wheel', f'{ROOT}[placement]'])
        made.write_text(stamp)
    # The stamp does not see the source: that is put in anew.
    anew = ['--no-deps', '--force-reinstall', '--no-build-isolation']
    _run([*pip, *anew, str(ROOT)])
    return str(folder)


def _choose_folder() -> pathlib.Path:
    said = os.environ.get('CONSUMER_GUARD_MOD_WSGI_ENV')
    if said:
        folder = pathlib.Path(said).absolute()
        parents = [path for path in folder.parents if path.exists()]
        if os.geteuid() or all(path.stat().st_mode & 0o001 for path in parents):
            return folder
    made = tempfile.mkdtemp(prefix='cg-mod-wsgi-')
    os.chmod(made, 0o755)  # noqa: S103  # Apache's account reads it
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return pathlib.Path(made)


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert not done.returncode, f'{command}: {done.stderr[-2000:]}'
