# SPDX-License-Identifier: Apache-2.0
"""Hands over to pbr, which reads setup.cfg."""

import configparser
import os
import pathlib
import subprocess

import setuptools

HERE = pathlib.Path(__file__).resolve().parent


def has_history() -> bool:
    """Whether git is installed and this folder is the top of a repository.

    An archive may lie within somebody else's repository, whose tags are not ours.
    """
    command = ['git', 'rev-parse', '--show-prefix', 'HEAD']
    try:
        shown = subprocess.run(command, cwd=HERE, capture_output=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return False
    return shown.stdout.startswith(b'\n')


if not has_history() and not (HERE / 'PKG-INFO').exists():
    # pbr counts commits since the last tag. An archive of the sources has neither.
    setup_cfg = configparser.ConfigParser(interpolation=None)
    setup_cfg.read(HERE / 'setup.cfg')
    os.environ.setdefault('PBR_VERSION', setup_cfg['metadata']['version'] + '.dev0')

setuptools.setup(
    setup_requires=['pbr>=6.1.0'],
    pbr=True,
    # pbr asks git what belongs to a package; an archive has none to ask.
    package_data={'consumer_guard': ['py.typed'], 'consumer_guard.cmd': ['*.html']},
)
