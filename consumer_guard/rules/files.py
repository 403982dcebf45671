# SPDX-License-Identifier: Apache-2.0
"""What the policy files look like from outside: which there are, which changed.

The files are those that oslo.policy takes (``Enforcer.load_rules``): the main
file, then each policy directory's files by name, hidden ones and folders aside.
"""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from consumer_guard.guard.errors import PolicyFileError

#: ``oslo_config.cfg.ConfigOpts.find_file``: a path, or None for no such file.
FindFile = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class PolicyText:
    """A policy file as it was read.

    :ivar path: where it is from, for messages
    """

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class FileState:
    """One file; an edit changes at least one of these (times in ns)."""

    path: str
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class FileSnapshot:
    """All the files at one look; equal sightings mean equal files.

    :ivar main: path of the main file, None while there is none
    :ivar dirs: paths of the policy directories that exist
    :ivar marks: the files in the order in which they override each other
    """

    main: str | None
    dirs: tuple[str, ...]
    marks: tuple[FileState, ...]

    def read(self) -> list[PolicyText]:
        """Read every file.

        :raises OSError: a file cannot be read
        :raises PolicyFileError: a file is not UTF-8
        """
        return [_read(mark.path) for mark in self.marks]


@dataclass(frozen=True, slots=True)
class PolicyLocations:
    """Where the policy files are looked for.

    :ivar policy_file: ``[oslo_policy] policy_file``
    :ivar policy_dirs: ``[oslo_policy] policy_dirs``
    """

    find_file: FindFile
    policy_file: str
    policy_dirs: Sequence[str]

    def look(self, main: str | None = None, dirs: Sequence[str] = ()) -> FileSnapshot:
        """Look at every file without reading it.

        :param main: the main file's path where it is known already; it is not
            looked for elsewhere then
        :param dirs: directories that were there before
        :raises OSError: a directory or a file cannot be looked at
        """
        path = main or self.find_file(self.policy_file)
        mark = _mark(path) if path else None
        found = [self.find_file(name) for name in self.policy_dirs]
        present = tuple(folder for folder in found if folder)
        # Security: find_file calls what it may not look at absent, which would
        # drop rules that only narrow; to be gone is something else.
        named = [name for name in self.policy_dirs if os.path.isabs(name)]
        for folder in {*named, *dirs} - {*present}:
            with suppress(FileNotFoundError):
                os.stat(folder)
        marks = [mark for folder in present for mark in _list(folder)]
        if mark is None:
            return FileSnapshot(None, present, tuple(marks))
        return FileSnapshot(path, present, (mark, *marks))


def _list(folder: str) -> list[FileState]:
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith('.')]
    marks = []
    for entry in sorted(visible, key=lambda entry: entry.name):
        try:
            status = entry.stat()
        except FileNotFoundError:
            # Removed since; but a link that leads nowhere is a mistake.
            if os.path.islink(entry.path):
                raise
            continue
        if stat.S_ISREG(status.st_mode):
            marks.append(_make_mark(entry.path, status))
    return marks


def _mark(path: str) -> FileState | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        # Reading a pipe would stop the request that looks.
        raise OSError(errno.EINVAL, 'not a regular file', path)
    return _make_mark(path, status)


def _make_mark(path: str, status: os.stat_result) -> FileState:
    return FileState(
        path,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _read(path: str) -> PolicyText:
    with open(path, 'rb') as file:
        content = file.read()
    try:
        return PolicyText(path, content.decode('utf-8'))
    except UnicodeDecodeError as error:
        raise PolicyFileError(f'{path}: not UTF-8 text: {error}') from error
