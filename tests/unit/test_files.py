# SPDX-License-Identifier: Apache-2.0
"""Which policy files there are, and when they changed, by the kernel's clock."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from consumer_guard.guard.errors import PolicyFileError
from consumer_guard.rules.files import FileSnapshot, FileState, PolicyLocations


class Folder:
    """A main file, a directory with one file, and where they are."""

    def __init__(self, path: Path) -> None:
        self.path = path / 'etc'
        self.path.mkdir()
        self.main = self.path / 'policy.yaml'
        self.extra = self.path / 'policy.d'
        self.extra.mkdir()
        self.main.write_text('main')
        (self.extra / '10.yaml').write_text('extra')
        self.locations = PolicyLocations(
            self._find_file, 'policy.yaml', [str(self.extra)]
        )
        self._probe = path / 'probe'

    def _find_file(self, name: str, /) -> str | None:
        path = self.path / name
        return str(path) if path.exists() else None

    def find_change(self, before: FileSnapshot | None) -> int:
        """The last change from one snapshot to the present one."""
        return self.locations.find_last_change(before, self.locations.take_snapshot())

    def tick(self) -> int:
        """The kernel's time; what is done afterwards is later."""
        self._probe.touch()
        moment = self._probe.stat().st_ctime_ns
        while self._probe.stat().st_ctime_ns <= moment:
            os.utime(self._probe)
        return moment


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_files_are_the_main_file_and_the_visible_ones_of_the_directory(
    folder: Folder,
) -> None:
    (folder.extra / '05').write_text('earlier')
    (folder.extra / '.hidden').write_text('no')
    (folder.extra / 'folder').mkdir()
    snapshot = folder.locations.take_snapshot()
    assert (snapshot.main, snapshot.dirs) == (str(folder.main), (str(folder.extra),))
    assert [text.text for text in snapshot.read()] == ['main', 'earlier', 'extra']


def test_files_that_do_not_change_give_equal_snapshots(folder: Folder) -> None:
    assert folder.locations.take_snapshot() == folder.locations.take_snapshot()


def test_a_file_that_is_not_utf_8_is_an_error_that_names_it(folder: Folder) -> None:
    folder.main.write_bytes(b'\xff')
    with pytest.raises(PolicyFileError, match=str(folder.main)):
        folder.locations.take_snapshot().read()


def _edit(folder: Folder) -> None:
    folder.main.write_text('edit')


def _forge(folder: Folder) -> None:
    os.utime(folder.main, (1, 1))


def _rename(folder: Folder) -> None:
    (folder.path / 'aside').replace(folder.main)


def _link(folder: Folder) -> None:
    folder.main.unlink()
    os.link(folder.path / 'aside', folder.main)


def _remove(folder: Folder) -> None:
    folder.main.unlink()


def _remove_extra(folder: Folder) -> None:
    (folder.extra / '10.yaml').unlink()


def _remove_directory(folder: Folder) -> None:
    folder.extra.rename(folder.path / 'away.d')


def _replace_directory(folder: Folder) -> None:
    folder.extra.rename(folder.path / 'away.d')
    (folder.path / 'aside.d').rename(folder.extra)


CHANGES = (
    *(_edit, _forge, _rename, _link, _remove),
    *(_remove_extra, _remove_directory, _replace_directory),
)


@pytest.mark.parametrize('change', CHANGES, ids=lambda change: change.__name__)
def test_the_last_change_is_when_it_was_made(
    folder: Folder, change: Callable[[Folder], None]
) -> None:
    """Though all that is moved is older, and mtimes are forged."""
    (folder.path / 'aside').write_text('old')
    (folder.path / 'aside.d').mkdir()
    (folder.path / 'aside.d' / '20.yaml').write_text('old')
    before = folder.locations.take_snapshot()
    earlier = folder.tick()
    assert folder.find_change(before) <= earlier
    change(folder)
    assert earlier < folder.find_change(before) <= folder.tick()


@pytest.mark.parametrize('way', ['file', 'folder', 'relative', 'nested'])
def test_the_last_change_is_that_of_a_link_on_the_way(folder: Folder, way: str) -> None:
    """All that it leads to is older."""
    version = folder.path / 'version'
    version.mkdir()
    (version / 'policy.yaml').write_text('old')
    (folder.path / 'inner').symlink_to(version)
    current = folder.path / 'current'
    folder.tick()
    folder.main.unlink()
    if way == 'file':
        folder.main.symlink_to(version / 'policy.yaml')
    else:
        folder.main.symlink_to('../etc/./current/policy.yaml')
        before = folder.tick()
        target = {'folder': str(version), 'relative': '../etc/version'}
        current.symlink_to(target.get(way, 'inner'))
    changed = os.lstat(folder.main if way == 'file' else current).st_ctime_ns
    assert folder.find_change(None) == changed
    assert way == 'file' or changed > before


def test_links_in_a_circle_are_an_error(folder: Folder) -> None:
    """And are not followed for ever."""
    before = folder.locations.take_snapshot()
    folder.main.unlink()
    folder.main.symlink_to('./policy.yaml')
    with pytest.raises(OSError, match='symbolic link'):
        folder.locations.find_last_change(before, FileSnapshot(None, (), ()))


def test_forty_links_are_followed_as_the_kernel_does(folder: Folder) -> None:
    """And no more than these are read."""
    folder.main.unlink()
    chain = [folder.path / f'link{number}' for number in range(39)]
    (folder.path / 'end').write_text('old')
    for link, target in zip(
        [folder.main, *chain], [*chain, folder.path / 'end'], strict=True
    ):
        link.symlink_to(target)
    folder.tick()
    chain[-1].unlink()
    chain[-1].symlink_to(folder.path / 'end')
    changed = os.lstat(chain[-1]).st_ctime_ns
    assert folder.find_change(None) == changed


@pytest.mark.parametrize(
    'removed', ['the file', 'its directory', 'what is no directory']
)
def test_what_is_gone_changed_with_the_nearest_directory(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, removed: str
) -> None:
    monkeypatch.chdir(folder.path)
    path = 'gone.yaml' if removed == 'the file' else 'gone/deep/policy.yaml'
    state = FileState(path, 1, 1, 1, 1)
    if removed == 'what is no directory':
        (folder.path / 'gone').write_text('a file now')
    nothing = FileSnapshot(None, (), ())
    before = FileSnapshot(path, (), (state,))
    nearest = folder.path / 'gone' if removed == 'what is no directory' else folder.path
    expected = nearest.stat().st_ctime_ns
    assert folder.locations.find_last_change(before, nothing) == expected


def test_the_known_main_file_is_taken_and_no_other_is_looked_for(
    folder: Folder,
) -> None:
    other = folder.path / 'other.yaml'
    other.write_text('other')
    snapshot = folder.locations.take_snapshot(str(other))
    assert snapshot.main == str(other)
    assert snapshot.read()[0].text == 'other'


@pytest.mark.parametrize('kind', ['directory', 'pipe'])
def test_a_main_file_that_is_no_file_is_an_error_that_names_it(
    folder: Folder, kind: str
) -> None:
    """Reading a pipe would wait."""
    folder.main.unlink()
    if kind == 'pipe':
        os.mkfifo(folder.main)
    else:
        folder.main.mkdir()
    with pytest.raises(OSError, match='not a regular file') as raised:
        folder.locations.take_snapshot()
    assert raised.value.filename == str(folder.main)


class Denying:
    """``os.stat`` that fails for one path; and what it was asked for."""

    def __init__(self, path: Path, fault: OSError) -> None:
        self._path, self._fault = str(path), fault
        self.asked: list[str] = []

    def __call__(self, path: str, /, *, follow_symlinks: bool = True) -> os.stat_result:
        self.asked.append(path)
        if path == self._path:
            raise self._fault
        return os.stat(path, follow_symlinks=follow_symlinks)


@pytest.mark.parametrize('known', ['named', 'from before'])
def test_a_directory_without_permission_is_not_taken_for_absent(
    folder: Folder, known: str
) -> None:
    """oslo.config's find_file says None of it, as of one that is gone."""
    hidden = folder.path / 'hidden.d'
    deny = Denying(hidden, PermissionError('no'))
    name = str(hidden) if known == 'named' else 'hidden.d'
    locations = PolicyLocations(lambda _: None, 'policy.yaml', [name], deny)
    with pytest.raises(PermissionError):
        locations.take_snapshot(dirs=() if known == 'named' else [str(hidden)])


def test_a_relative_name_is_only_looked_for_in_the_configured_places(
    folder: Folder,
) -> None:
    deny = Denying(folder.path, OSError())
    locations = PolicyLocations(lambda _: None, 'policy.yaml', ['policy.d'], deny)
    assert locations.take_snapshot() == FileSnapshot(None, (), ())
    assert deny.asked == []


def test_a_file_that_is_removed_meanwhile_is_left_out_and_the_next_ones_stay(
    folder: Folder,
) -> None:
    (folder.extra / '20.yaml').write_text('next')
    deny = Denying(folder.extra / '10.yaml', FileNotFoundError())
    locations = dataclasses.replace(folder.locations, read_status=deny)
    assert [text.text for text in locations.take_snapshot().read()] == ['main', 'next']


def test_a_link_in_the_directory_that_leads_nowhere_is_an_error(folder: Folder) -> None:
    (folder.extra / '20.yaml').symlink_to('nowhere')
    with pytest.raises(FileNotFoundError):
        folder.locations.take_snapshot()


def test_without_files_there_is_no_change(folder: Folder) -> None:
    nothing = FileSnapshot(None, (), ())
    assert folder.locations.find_last_change(None, nothing) == 0
