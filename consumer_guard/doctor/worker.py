# SPDX-License-Identifier: Apache-2.0
"""The environment that a running worker was started with, as the command's own."""

import contextlib
import os
from collections.abc import Iterator

from consumer_guard.config.loading import PASTE_CONFIG_VARIABLE
from consumer_guard.guard.errors import ConfigurationError


@contextlib.contextmanager
def use_environment(pid: int | None) -> Iterator[None]:
    """Read the configuration as this process would; as the command for None.

    Of a worker's variables only those are taken from which oslo.config reads
    options and finds files.

    :raises ConfigurationError: the environment cannot be read
    """
    before = dict(os.environ)
    if pid is not None:
        kept = {name: before[name] for name in before if not _configures(name)}
        taken = {
            name: value
            for name, value in _read_environment(pid).items()
            if _configures(name)
        }
    else:
        kept, taken = before, {}
    try:
        _replace_environment(kept | taken)
        yield
    finally:
        _replace_environment(before)


def _configures(name: str) -> bool:
    return name.startswith('OS_') or name in ('HOME', PASTE_CONFIG_VARIABLE)


def _read_environment(pid: int) -> dict[str, str]:
    path = f'/proc/{pid}/environ'
    try:
        with open(path, 'rb') as file:
            entries = os.fsdecode(file.read()).split('\0')
    except OSError as error:
        raise ConfigurationError(
            f'--environment-of {pid}: {path}: {error.strerror}'
        ) from None
    pairs = [entry.partition('=') for entry in entries if '=' in entry]
    return {name: value for name, _, value in pairs if name}


def _replace_environment(variables: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)
