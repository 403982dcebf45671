# SPDX-License-Identifier: Apache-2.0
"""The policy files: which there are, and which changed.

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
    """The state of all the files; equal snapshots mean equal files.

    :ivar main: path of the main file, None while there is none
    :ivar dirs: paths of the policy directories that exist
    :ivar files: in the order in which they override each other
    """

    main: str | None
    dirs: tuple[str, ...]
    files: tuple[FileState, ...]

    def read(self) -> list[PolicyText]:
        """Read every file.

        :raises OSError: a file cannot be read
        :raises PolicyFileError: a file is not UTF-8
        """
        return [_read_text(file.path) for file in self.files]


@dataclass(frozen=True, slots=True)
class PolicyLocations:
    """Where the policy files are.

    :ivar policy_file: ``[oslo_policy] policy_file``
    :ivar policy_dirs: ``[oslo_policy] policy_dirs``
    """

    find_file: FindFile
    policy_file: str
    policy_dirs: Sequence[str]

    def take_snapshot(
        self, main: str | None = None, dirs: Sequence[str] = ()
    ) -> FileSnapshot:
        """Take the state of every file, without reading it.

        :param main: path of the main file where it is known already; no other
            place is searched then
        :param dirs: directories that existed before
        :raises OSError: the state of a directory or a file cannot be read
        """
        path = main or self.find_file(self.policy_file)
        file = _take_state(path) if path else None
        found = [self.find_file(name) for name in self.policy_dirs]
        present = tuple(folder for folder in found if folder)
        # Security: find_file calls absent what it has no permission for, which
        # would drop rules that only narrow; only what is gone is absent.
        named = [name for name in self.policy_dirs if os.path.isabs(name)]
        for folder in {*named, *dirs} - {*present}:
            with suppress(FileNotFoundError):
                os.stat(folder)
        more = [file for folder in present for file in _list_states(folder)]
        if file is None:
            return FileSnapshot(None, present, tuple(more))
        return FileSnapshot(path, present, (file, *more))


def _list_states(folder: str) -> list[FileState]:
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith('.')]
    states = []
    for entry in sorted(visible, key=lambda entry: entry.name):
        try:
            status = entry.stat()
        except FileNotFoundError:
            # Removed since; but a link that leads nowhere is a mistake.
            if os.path.islink(entry.path):
                raise
            continue
        if stat.S_ISREG(status.st_mode):
            states.append(_make_state(entry.path, status))
    return states


def _take_state(path: str) -> FileState | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        # Reading a pipe would stop the request.
        raise OSError(errno.EINVAL, 'not a regular file', path)
    return _make_state(path, status)


def _make_state(path: str, status: os.stat_result) -> FileState:
    return FileState(
        path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def _read_text(path: str) -> PolicyText:
    with open(path, 'rb') as file:
        content = file.read()
    try:
        return PolicyText(path, content.decode('utf-8'))
    except UnicodeDecodeError as error:
        raise PolicyFileError(f'{path}: not UTF-8 text: {error}') from error
