# SPDX-License-Identifier: Apache-2.0
"""The policy files: which there are, what changed, and when it changed.

The files are those that oslo.policy takes (``Enforcer.load_rules``): the main
file, then each policy directory's files by name, hidden ones and folders aside.
"""

import errno
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from consumer_guard.guard.errors import PolicyFileError

#: As many links as Linux follows on the way of one path (path_resolution(7)).
_MAX_LINKS = 40


class FindFile(Protocol):
    """``oslo_config.cfg.ConfigOpts.find_file``."""

    def __call__(self, name: str, /) -> str | None:
        """The path, None where there is no such file."""


class ReadStatus(Protocol):
    """``os.stat``."""

    def __call__(self, path: str, /, *, follow_symlinks: bool = True) -> os.stat_result:
        """:raises OSError: the status cannot be read"""


@dataclass(frozen=True, slots=True)
class PolicyText:
    """A policy file as it was read.

    :ivar path: where it is from, for messages
    """

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class FileState:
    """One file; an edit changes at least one of these (times in ns).

    :ivar links_ns: ctimes of the links on its way
    """

    path: str
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    links_ns: tuple[int, ...] = ()


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
    read_status: ReadStatus = os.stat

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
        file = self._take_state(path) if path else None
        found = [self.find_file(name) for name in self.policy_dirs]
        present = tuple(folder for folder in found if folder)
        # Security: find_file calls absent what it has no permission for, which
        # would drop rules that only narrow; only what is gone is absent.
        named = [name for name in self.policy_dirs if os.path.isabs(name)]
        for folder in {*named, *dirs} - {*present}:
            with suppress(FileNotFoundError):
                self.read_status(folder)
        more = [file for folder in present for file in self._list_states(folder)]
        if file is None:
            return FileSnapshot(None, present, tuple(more))
        return FileSnapshot(path, present, (file, *more))

    def find_last_change(self, before: FileSnapshot | None, after: FileSnapshot) -> int:
        """When one snapshot had become the other, at the latest (wall clock, ns).

        That is the newest ctime, which no program can set: of every file that is
        not the same, of the links on its way that are not, of a directory that is
        new, and, for what is gone, of the nearest directory that is left. What is
        the same may be of the future, where the clock was set back.

        :raises OSError: a status cannot be read
        """
        old = before or FileSnapshot(None, (), ())
        paths = {file.path for file in {*old.files} ^ {*after.files}}
        paths |= {*old.dirs} ^ {*after.dirs}
        known = {time for file in old.files for time in file.links_ns}
        return max((self._find_change(path, known) for path in paths), default=0)

    def _find_change(self, path: str, known: Collection[int]) -> int:
        newest = max({*self._list_link_changes(path)}.difference(known), default=0)
        while True:
            try:
                return max(newest, self.read_status(path).st_ctime_ns)
            except (FileNotFoundError, NotADirectoryError):
                path = os.path.dirname(path) or os.curdir

    def _list_link_changes(self, path: str) -> Iterator[int]:
        """The ctimes of the links on a path, and on the paths they lead to."""
        rest, visited, links = [path], set[str](), 0
        while rest and links < _MAX_LINKS:
            way = rest.pop()
            while way not in visited:
                visited.add(way)
                with suppress(FileNotFoundError, NotADirectoryError):
                    status = self.read_status(way, follow_symlinks=False)
                    if stat.S_ISLNK(status.st_mode):
                        links += 1
                        target = os.readlink(way)
                        rest.append(os.path.join(os.path.dirname(way), target))
                        yield status.st_ctime_ns
                way = os.path.dirname(way)

    def _list_states(self, folder: str) -> list[FileState]:
        names = sorted(name for name in os.listdir(folder) if not name.startswith('.'))
        states = []
        for path in [os.path.join(folder, name) for name in names]:
            try:
                status = self.read_status(path)
            except FileNotFoundError:
                # Removed since; but a link that leads nowhere is a mistake.
                if os.path.islink(path):
                    raise
                continue
            if stat.S_ISREG(status.st_mode):
                states.append(self._make_state(path, status))
        return states

    def _take_state(self, path: str) -> FileState | None:
        try:
            status = self.read_status(path)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            # Reading a pipe would stop the request.
            raise OSError(errno.EINVAL, 'not a regular file', path)
        return self._make_state(path, status)

    def _make_state(self, path: str, status: os.stat_result) -> FileState:
        return FileState(
            path,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            tuple(self._list_link_changes(path)),
        )


def _read_text(path: str) -> PolicyText:
    with open(path, 'rb') as file:
        content = file.read()
    try:
        return PolicyText(path, content.decode('utf-8'))
    except UnicodeDecodeError as error:
        raise PolicyFileError(f'{path}: not UTF-8 text: {error}') from error
