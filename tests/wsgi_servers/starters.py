# SPDX-License-Identifier: Apache-2.0
"""How each WSGI server is started on a site's folder."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

from tests import ports, serving
from tests.configuration import make_environment
from tests.wsgi_servers import debian
from tests.wsgi_servers.site import Site

Starter = Callable[[pathlib.Path, str], contextlib.AbstractContextManager[Site]]

#: Worker processes of every server.
PROCESSES = 4


class Missing(Exception):
    """What a server needs is not on this machine; names it."""


def _run(
    folder: pathlib.Path,
    mount: str,
    port: int,
    command: list[str],
    environment: dict[str, str] | None = None,
) -> contextlib.AbstractContextManager['subprocess.Popen[bytes]']:
    made = make_environment(folder, 'api-paste-noauth.ini') | {
        'PYTHONPATH': str(debian.ROOT)
    }
    return serving.serve(
        command,
        f'http://127.0.0.1:{port}{mount}/',
        folder / 'log',
        made | (environment or {}),
    )


def _gunicorn(*options: str, processes: int = PROCESSES) -> Starter:
    @contextlib.contextmanager
    def start(folder: pathlib.Path, mount: str) -> Iterator[Site]:
        port = ports.find_free_port()
        command = [
            *(sys.executable, '-W', 'ignore', '-m', 'gunicorn', *options),
            *('--workers', str(processes), '--chdir', str(folder)),
            *('--bind', f'127.0.0.1:{port}', 'served_app:application'),
        ]
        # Gunicorn mounts where this variable says.
        with _run(folder, mount, port, command, {'SCRIPT_NAME': mount}) as process:
            yield Site(port, mount, folder, process.pid)

    return start


def _uwsgi(protocol: str, *options: str, processes: int = PROCESSES) -> Starter:
    @contextlib.contextmanager
    def start(folder: pathlib.Path, mount: str) -> Iterator[Site]:
        binary = shutil.which('uwsgi', path=str(pathlib.Path(sys.executable).parent))
        if binary is None:
            raise Missing('uwsgi is not installed (pip builds it with a C compiler)')
        port = ports.find_free_port()
        module = folder / 'served_app.py'
        where = ['--wsgi-file', str(module)]
        if mount:
            where = ['--mount', f'{mount}={module}', '--manage-script-name']
        command = [
            *(binary, protocol, f'127.0.0.1:{port}', *options, *where),
            *('--master', '--processes', str(processes), '--single-interpreter'),
            *('--need-app', '--die-on-term', '--home', sys.prefix),
        ]
        with _run(folder, mount, port, command) as process:
            yield Site(port, mount, folder, process.pid)

    return start


@contextlib.contextmanager
def _apache(folder: pathlib.Path, mount: str) -> Iterator[Site]:
    if missing := debian.find_missing():
        raise Missing(missing)
    python_home = debian.make_environment()
    port = ports.find_free_port()
    conf = folder / 'apache.conf'
    conf.write_text(
        debian.APACHE_CONF.format(
            folder=folder,
            port=port,
            mount=mount or '/',
            processes=PROCESSES,
            python_home=python_home,
            modules=debian.MODULES,
            account=debian.ACCOUNT_CONF if os.geteuid() == 0 else '',
        )
    )
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob('*')):
            shutil.chown(path, debian.ACCOUNT, debian.ACCOUNT)
    command = [debian.APACHE, '-D', 'FOREGROUND', '-f', str(conf)]
    with _run(folder, mount, port, command, {'PYTHONPATH': ''}) as process:
        yield Site(port, mount, folder, process.pid)


# The class eventlet of gunicorn, which has none any more.
_EVENTLET = """
import sys
import eventlet
eventlet.monkey_patch()
from eventlet import wsgi
sys.path.insert(0, sys.argv[1])
from served_app import application
listening = eventlet.listen(('127.0.0.1', int(sys.argv[2])))
wsgi.server(listening, application, environ={'SCRIPT_NAME': sys.argv[3]})
"""


@contextlib.contextmanager
def _eventlet(folder: pathlib.Path, mount: str) -> Iterator[Site]:
    port = ports.find_free_port()
    command = [sys.executable, '-W', 'ignore', '-c', _EVENTLET]
    command += [str(folder), str(port), mount]
    with _run(folder, mount, port, command) as process:
        yield Site(port, mount, folder, process.pid)


#: Servers whose requests are green threads, with one process.
GREEN: dict[str, Starter] = {
    'gunicorn-gevent': _gunicorn('--worker-class', 'gevent', processes=1),
    'uwsgi-gevent': _uwsgi(
        *('--http-socket', '--gevent', '20', '--gevent-monkey-patch'), processes=1
    ),
    'uwsgi-gevent-early': _uwsgi(
        *('--http-socket', '--gevent', '20', '--gevent-early-monkey-patch'),
        processes=1,
    ),
    'eventlet': _eventlet,
}

STARTERS: dict[str, Starter] = {
    'gunicorn-sync': _gunicorn('--worker-class', 'sync'),
    'gunicorn-gthread': _gunicorn('--worker-class', 'gthread', '--threads', '4'),
    'uwsgi': _uwsgi('--http-socket'),
    'uwsgi-router': _uwsgi('--http', '--http-keepalive', '--http-chunked-input'),
    'mod_wsgi': _apache,
}
