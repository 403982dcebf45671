# SPDX-License-Identifier: Apache-2.0
"""The file for unmasked records: private, appended to, rotated at any time."""

import errno
import os
import stat

from consumer_guard.guard.errors import ConfigurationError

#: Not kept open, so that the file may be rotated and no fork shares it;
#: non-blocking, because it may be a pipe without a reader. Security: not through a
#: link, which may lead to a file that others read.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class UnmaskedFile:
    """Appends lines, whole or not at all.

    :raises ConfigurationError: the file exists and is not private
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._torn = False
        problem = _find_problem(path)
        if problem is not None:
            raise ConfigurationError(
                f"option 'audit_unmasked_file' of [consumer_guard]: {path} {problem}; "
                'it will contain ids of all projects'
            )

    def append(self, line: str) -> None:
        """Append a line; in one write, so that lines of processes do not mix.

        :raises OSError: it could not be written; no part of it stays in a file
        :raises PermissionError: the file is not private any more
        """
        data = f'\n{line}\n' if self._torn else f'{line}\n'
        # Security: the file holds ids of all projects.
        descriptor = os.open(self.path, _FLAGS, mode=0o600)
        try:
            mode = os.fstat(descriptor).st_mode
            if mode & _OTHERS:
                raise PermissionError(errno.EACCES, _describe_mode(mode))
            self._write(descriptor, data.encode('ascii'))
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int, data: bytes) -> None:
        left = data
        try:
            while left:
                written = os.write(descriptor, left)
                if not written:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                left = left[written:]
        except OSError:
            if len(left) < len(data):
                self._torn = not _take_back(descriptor, len(data) - len(left))
            raise
        self._torn = False


def _take_back(descriptor: int, written: int) -> bool:
    """Remove what was written last, unless another process has appended since.

    :returns: False where it stays, as in a pipe
    """
    try:
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        if os.fstat(descriptor).st_size != end:
            return False
        os.ftruncate(descriptor, end - written)
    except OSError:
        return False
    return True


def _find_problem(path: str) -> str | None:
    """Why an existing file is not private."""
    try:
        found = os.lstat(path)
    except OSError:
        return None  # does not exist, or each record will report it
    if stat.S_ISLNK(found.st_mode):
        return 'is a link'
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        return 'has a second name (hard link)'
    if found.st_mode & _OTHERS:
        return _describe_mode(found.st_mode)
    if os.geteuid() not in (0, found.st_uid):
        return f'belongs to another user (uid {found.st_uid})'
    return None


def _describe_mode(mode: int) -> str:
    return f'is accessible to others (mode {stat.S_IMODE(mode):04o}, must be 0600)'
