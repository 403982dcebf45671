# SPDX-License-Identifier: Apache-2.0
"""Policy files as sources: with line numbers and repeated names."""

import os
from collections.abc import Iterable
from typing import NamedTuple

import yaml

from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules.files import PolicyLocations, PolicyText
from consumer_guard.rules.parsing import parse_file

#: The policy files of a directory that has this folder in it.
_MAIN, _FOLDER = 'policy.yaml', 'policy.d'
#: The tag of a key (``<<``) that takes over another mapping.
_MERGE = 'tag:yaml.org,2002:merge'


class SourceRule(NamedTuple):
    """One rule of a file.

    :ivar value: as YAML reads it
    :ivar line: of its name, from 1
    """

    name: str
    value: object
    path: str
    line: int


class SourceFile(NamedTuple):
    """One file.

    :ivar lost: rules without effect, because their names are repeated below
    """

    path: str
    rules: tuple[SourceRule, ...]
    lost: tuple[SourceRule, ...]


def read_source(file: PolicyText) -> SourceFile:
    """Read a file's rules with their line numbers.

    :raises PolicyFileError: it is not YAML, or not a mapping of names
    """
    values = {text.name: text.value for text in parse_file(file)}
    root = yaml.compose(file.text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return SourceFile(file.path, (), ())
    last: dict[str, SourceRule] = {}
    lost = []
    merged_at = 1
    for key, _ in root.value:
        if key.tag == _MERGE:
            merged_at = key.start_mark.line + 1
            continue
        name = str(key.value)
        rule = SourceRule(name, values.get(name), file.path, key.start_mark.line + 1)
        if name in last:
            lost.append(last.pop(name))
        last[name] = rule
    for name in values.keys() - last.keys():
        # Another mapping's, by a merge (<<).
        last[name] = SourceRule(name, values[name], file.path, merged_at)
    return SourceFile(file.path, tuple(last.values()), tuple(lost))


def read_paths(paths: Iterable[str]) -> list[PolicyText]:
    """The files of some paths, in the order in which they override.

    A directory stands for its files as one of ``policy_dirs`` does; with a
    folder ``policy.d`` in it, for its ``policy.yaml`` and that folder.

    :raises PolicyFileError: a path does not exist or cannot be read; names it
    """
    return [text for path in paths for text in _read_path(path)]


def _read_path(path: str) -> list[PolicyText]:
    folder = os.path.join(path, _FOLDER)
    main, folders = path, tuple[str, ...]()
    if os.path.isdir(folder):
        main, folders = os.path.join(path, _MAIN), (folder,)
    elif os.path.isdir(path):
        main, folders = '', (path,)
    locations = PolicyLocations(_find_existing, main, folders)
    try:
        texts = locations.take_snapshot(None if folders else path).read()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PolicyFileError(f'{path}: cannot be read: {reason}') from None
    if not (texts or folders):
        raise PolicyFileError(f'{path}: file not found')
    return texts


def _find_existing(path: str) -> str | None:
    return path if path and os.path.exists(path) else None
