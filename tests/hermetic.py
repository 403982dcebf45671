# SPDX-License-Identifier: Apache-2.0
"""Hides what a host has configured from the tests and the processes they start.

oslo.config looks into the folders of ``HOME`` before it looks into ``/etc``, and stops
at the first file. So a home with empty files hides those of the services that the host
runs, whole or broken, from this process and from all that inherit its environment.
"""

import os
import pathlib
import tempfile

import pytest

#: The services whose files placement, the guard and the commands look for.
PROJECTS = ('consumer-guard', 'placement')

#: Variables from which oslo.config, placement and the guard take their configuration.
PREFIXES = (
    'CONSUMER_GUARD_PASTE_CONFIG',
    'OS_CONSUMER_GUARD__',
    'OS_OSLO_POLICY__',
    'OS_PLACEMENT_',
)


def hide_host() -> tempfile.TemporaryDirectory[str]:
    """Change this process's environment.

    :returns: the new home; to be cleaned up when the tests are done
    """
    home = tempfile.TemporaryDirectory(prefix='consumer-guard-home-')
    for project in PROJECTS:
        folder = pathlib.Path(home.name) / f'.{project}'
        for name in (f'{project}.conf.d', 'policy.d'):
            (folder / name).mkdir(parents=True)
        for name in (f'{project}.conf', 'policy.yaml'):
            (folder / name).touch()
    for name in list(os.environ):
        if name.startswith(PREFIXES):
            del os.environ[name]
    os.environ['HOME'] = home.name
    return home


def hide_placement(monkeypatch: pytest.MonkeyPatch, home: pathlib.Path) -> None:
    """Let no configuration of placement be found; skip where the host has one.

    :param home: a folder without any
    """
    monkeypatch.delenv('OS_PLACEMENT_CONFIG_DIR', raising=False)
    monkeypatch.setenv('HOME', str(home))
    if pathlib.Path('/etc/placement/placement.conf').exists():
        pytest.skip('this host has a configuration of placement')
