# SPDX-License-Identifier: Apache-2.0
"""The file for unmasked records: private, and its lines whole."""

import contextlib
import errno
import os
import pathlib
import re
import resource
import select
import stat
import tempfile
from collections.abc import Iterator

import pytest

from consumer_guard.guard.errors import ConfigurationError
from consumer_guard.telemetry.unmasked import UnmaskedFile

#: More than a pipe takes in one piece (PIPE_BUF).
LINE = 'x' * 7_000


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / 'unmasked.log'


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files of this process end there, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def raises(number: int) -> Iterator[None]:
    """An OSError of this number must come."""
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        yield


class TestStart:
    @pytest.mark.parametrize('mode', [0o600, 0o400, 0o200, 0o700])
    def test_a_private_file_is_taken(self, path: pathlib.Path, mode: int) -> None:
        path.touch()
        path.chmod(mode)
        UnmaskedFile(str(path))

    @pytest.mark.parametrize('mode', [0o644, 0o640, 0o604, 0o620, 0o601, 0o666])
    def test_a_file_that_is_open_to_others_is_refused(
        self, path: pathlib.Path, mode: int
    ) -> None:
        path.touch()
        path.chmod(mode)
        expected = rf"'audit_unmasked_file' .*unmasked.log .*mode {mode:04o}"
        with pytest.raises(ConfigurationError, match=expected):
            UnmaskedFile(str(path))

    @pytest.mark.parametrize('exists', [True, False])
    def test_a_symbolic_link_is_refused(self, path: pathlib.Path, exists: bool) -> None:
        target = path.with_name('target')
        if exists:
            target.touch(mode=0o600)
        path.symlink_to(target)
        with pytest.raises(ConfigurationError, match='is a link'):
            UnmaskedFile(str(path))

    def test_a_hard_link_is_refused(self, path: pathlib.Path) -> None:
        path.touch(mode=0o600)
        os.link(path, path.with_name('second'))
        with pytest.raises(ConfigurationError, match='hard link'):
            UnmaskedFile(str(path))

    @pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a file away')
    def test_a_file_of_another_user_is_refused(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o711)  # noqa: S103  # for the other user
            path = pathlib.Path(folder, 'unmasked.log')
            path.touch(mode=0o600)
            os.chown(path, 12345, -1)
            UnmaskedFile(str(path))  # root may start a service that changes its user
            os.seteuid(54321)
            try:
                with pytest.raises(ConfigurationError, match='uid 12345'):
                    UnmaskedFile(str(path))
            finally:
                os.seteuid(0)

    def test_a_missing_file_is_made_private_by_the_first_line(
        self, path: pathlib.Path
    ) -> None:
        umask = os.umask(0)
        try:
            file = UnmaskedFile(str(path))
            assert not path.exists()
            file.append('line')
        finally:
            os.umask(umask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


class TestAppend:
    def test_lines_are_whole_and_in_order(self, path: pathlib.Path) -> None:
        file = UnmaskedFile(str(path))
        for line in ('one', 'two', LINE):
            file.append(line)
        assert path.read_text() == f'one\ntwo\n{LINE}\n'

    def test_no_line_leaves_the_file_open(self, path: pathlib.Path) -> None:
        file = UnmaskedFile(str(path))
        before = os.listdir('/proc/self/fd')
        file.append('written')
        path.chmod(0o644)
        with pytest.raises(PermissionError):
            file.append('refused')
        assert os.listdir('/proc/self/fd') == before

    @pytest.mark.parametrize('room', [0, 1, 6_999, 7_000])
    def test_a_line_without_room_leaves_nothing(
        self, path: pathlib.Path, room: int
    ) -> None:
        file = UnmaskedFile(str(path))
        file.append('first')
        with largest_file(len('first\n') + room), raises(errno.EFBIG):
            file.append(LINE)
        assert path.read_text() == 'first\n'
        file.append('next')
        assert path.read_text() == 'first\nnext\n'

    def test_a_line_with_just_enough_room_is_written(self, path: pathlib.Path) -> None:
        file = UnmaskedFile(str(path))
        with largest_file(len(LINE) + 1):
            file.append(LINE)
        assert path.read_text() == f'{LINE}\n'

    def test_a_part_in_a_pipe_spoils_no_other_line(self, path: pathlib.Path) -> None:
        """A pipe gives nothing back: the part stays, on a line of its own."""
        os.mkfifo(path, 0o600)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        file = UnmaskedFile(str(path))
        short = 'y' * 1_500
        with raises(errno.EAGAIN):
            for _ in range(10_000):
                file.append(short)
        # Room for one page, which is less than a line.
        content = os.read(reader, select.PIPE_BUF)
        with raises(errno.EAGAIN):
            file.append(LINE)
        content += os.read(reader, 2**20)
        file.append('next')
        content += os.read(reader, 2**20)
        os.close(reader)
        *lines, part, last, end = content.decode().split('\n')
        assert set(lines) == {short}
        assert 0 < len(part) < len(LINE)
        assert (last, end) == ('next', '')

    def test_a_pipe_without_a_reader_does_not_block(self, path: pathlib.Path) -> None:
        os.mkfifo(path, 0o600)
        with raises(errno.ENXIO):
            UnmaskedFile(str(path)).append('line')

    def test_a_link_that_appears_later_is_not_followed(
        self, path: pathlib.Path
    ) -> None:
        file = UnmaskedFile(str(path))
        target = path.with_name('target')
        path.symlink_to(target)
        with raises(errno.ELOOP):
            file.append('line')
        assert not target.exists()

    def test_a_file_that_is_opened_to_others_gets_no_more_lines(
        self, path: pathlib.Path
    ) -> None:
        file = UnmaskedFile(str(path))
        file.append('first')
        path.chmod(0o644)
        with pytest.raises(PermissionError, match='accessible to others'):
            file.append('second')
        path.chmod(0o600)
        file.append('third')
        assert path.read_text() == 'first\nthird\n'

    def test_what_another_process_has_appended_stays(self, path: pathlib.Path) -> None:
        """A part is taken back only while it is the end of the file."""
        file, other = UnmaskedFile(str(path)), UnmaskedFile(str(path))
        file.append('first')
        with largest_file(100), raises(errno.EFBIG):
            file.append(LINE)
        other.append('second')
        with largest_file(100), raises(errno.EFBIG):
            file.append(LINE)
        assert path.read_text() == 'first\nsecond\n'
