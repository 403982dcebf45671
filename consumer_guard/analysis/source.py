# SPDX-License-Identifier: Apache-2.0
"""Policy files as they are written: with line numbers, and names said twice."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import yaml

from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules.files import PolicyLocations, PolicyText
from consumer_guard.rules.parsing import parse_file

#: In a directory that has this folder in it, these are the policy files.
MAIN, DIRECTORY = 'policy.yaml', 'policy.d'


@dataclass(frozen=True, slots=True)
class WrittenRule:
    """One rule of a file.

    :ivar value: what YAML made of it
    :ivar line: where its name stands, from 1
    """

    name: str
    value: object
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """One file.

    :ivar lost: rules without effect, because the same name follows in this file
    """

    path: str
    rules: tuple[WrittenRule, ...]
    lost: tuple[WrittenRule, ...]


def read_written(file: PolicyText) -> WrittenFile:
    """Read a file's rules and where they stand.

    :raises PolicyFileError: it is not YAML, or not a mapping of names
    """
    values = {text.name: text.value for text in parse_file(file)}
    root = yaml.compose(file.text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return WrittenFile(file.path, (), ())
    last: dict[str, WrittenRule] = {}
    lost = []
    for key, _ in root.value:
        name = str(key.value)
        rule = WrittenRule(name, values.get(name), file.path, key.start_mark.line + 1)
        if name in last:
            lost.append(last.pop(name))
        last[name] = rule
    return WrittenFile(file.path, tuple(last.values()), tuple(lost))


def read_paths(paths: Iterable[str]) -> list[PolicyText]:
    """The files that some paths stand for, in the order in which they override.

    A directory stands for its files as one of ``policy_dirs`` does; with a
    folder ``policy.d`` in it, for its ``policy.yaml`` and that folder.

    :raises PolicyFileError: a path does not exist or cannot be read; names it
    """
    return [text for path in paths for text in _read_path(path)]


def _read_path(path: str) -> list[PolicyText]:
    try:
        if not os.path.isdir(path):
            return PolicyLocations(_find, path, ()).take_snapshot(path).read() or _miss(
                path
            )
        folder = os.path.join(path, DIRECTORY)
        if not os.path.isdir(folder):
            return PolicyLocations(_find, '', (path,)).take_snapshot().read()
        main = os.path.join(path, MAIN)
        return PolicyLocations(_find, main, (folder,)).take_snapshot().read()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PolicyFileError(f'{path}: cannot be read: {reason}') from None


def _find(path: str) -> str | None:
    return path if path and os.path.exists(path) else None


def _miss(path: str) -> list[PolicyText]:
    raise PolicyFileError(f'{path}: there is no such file')
