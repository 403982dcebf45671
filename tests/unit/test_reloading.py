# SPDX-License-Identifier: Apache-2.0
"""Reloading of the policy files: real files, an injected clock."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from pathlib import Path

import pytest

from consumer_guard.guard import model
from consumer_guard.guard.errors import PolicyLocked
from consumer_guard.rules.files import PolicyLocations
from consumer_guard.rules.reloading import ReloadedRules
from consumer_guard.rules.rulebook import PolicyText, Rulebook
from tests.unit.policy_folder import LIST, NARROW, USAGES, WIDE, PolicyFolder, judge


@pytest.fixture
def folder(tmp_path: Path) -> PolicyFolder:
    """With a main file that is narrow."""
    made = PolicyFolder(tmp_path)
    made.main.write_text(NARROW)
    return made


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The error lines so far."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == 'consumer_guard.rules.reloading'
        and record.levelno == logging.ERROR
    ]


def test_files_are_in_force_from_the_start_and_read_once(
    folder: PolicyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder.main.write_text(WIDE)
    files = folder.load()
    assert f"Policy files in force: ['{folder.main}']" in caplog.messages
    assert judge(files) is model.Truth.YES
    assert (files.problem, folder.loaded_at, folder.failures) == (None, 1000.0, 0)
    folder.check(files, 5)
    assert (folder.builds, folder.loaded_at) == (1, 1000.0)


def test_without_files_the_defaults_are_in_force(folder: PolicyFolder) -> None:
    """Y01"""
    folder.main.unlink()
    files = folder.load()
    assert judge(files) is model.Truth.NO
    assert judge(files, USAGES) is model.Truth.NO
    assert files.problem is None


def test_an_edit_is_in_force_after_two_equal_checks(folder: PolicyFolder) -> None:
    """Never at a request in between."""
    files = folder.load()
    folder.main.write_text(WIDE)
    assert judge(files) is model.Truth.NO
    folder.check(files)
    assert judge(files) is model.Truth.NO
    folder.check(files)
    assert judge(files) is model.Truth.YES
    assert (folder.builds, folder.loaded_at) == (2, 1002.0)


@pytest.mark.parametrize('seconds', [0.95, 2.0, 1000.0])
def test_an_edit_that_is_an_interval_old_is_in_force_at_the_first_check(
    folder: PolicyFolder, seconds: float
) -> None:
    folder.main.write_text(WIDE)
    files = folder.load()
    folder.pass_time(0.5)
    folder.main.write_text(NARROW)
    folder.pass_time(seconds)
    assert judge(files) is model.Truth.NO
    assert folder.builds == 2


def test_an_edit_that_is_younger_than_an_interval_is_confirmed_first(
    folder: PolicyFolder,
) -> None:
    files = folder.load()
    folder.pass_time(1000.0)
    folder.main.write_text(WIDE)
    folder.pass_time(0.85)
    assert judge(files) is model.Truth.NO
    folder.pass_time(1.0)
    assert judge(files) is model.Truth.YES


def test_an_edit_with_a_forged_mtime_is_as_old_as_its_ctime(
    folder: PolicyFolder,
) -> None:
    """Neither older nor younger."""
    files = folder.load()
    folder.pass_time(1000.0)
    folder.main.write_text(WIDE)
    os.utime(folder.main, (1, 1))
    folder.pass_time(0.5)
    assert judge(files) is model.Truth.NO
    folder.pass_time(0.5)
    os.utime(folder.main, (4e9, 4e9))
    folder.pass_time(1000.0)
    assert judge(files) is model.Truth.YES


def test_an_old_file_that_is_renamed_into_place_is_as_old_as_the_rename(
    folder: PolicyFolder,
) -> None:
    aside = folder.path / 'aside'
    aside.write_text(WIDE)
    files = folder.load()
    folder.pass_time(1000.0)
    aside.replace(folder.main)
    folder.pass_time(0.5)
    assert judge(files) is model.Truth.NO
    folder.pass_time(1.0)
    assert judge(files) is model.Truth.YES


@pytest.mark.parametrize('whole', [False, True], ids=['file', 'directory'])
def test_a_removal_that_is_younger_than_an_interval_is_confirmed_first(
    folder: PolicyFolder, whole: bool
) -> None:
    """A file may be missing for the moment in which another takes its place."""
    folder.main.write_text(WIDE)
    folder.extra.mkdir()
    (folder.extra / 'revoke.yaml').write_text(NARROW)
    files = folder.load()
    folder.pass_time(1000.0)
    (folder.extra / 'revoke.yaml').unlink()
    if whole:
        folder.extra.rmdir()
    folder.pass_time(0.5)
    assert judge(files) is model.Truth.NO
    folder.pass_time(1.0)
    assert judge(files) is model.Truth.YES


def test_a_removal_that_is_an_interval_old_is_in_force_at_the_first_check(
    folder: PolicyFolder,
) -> None:
    folder.extra.mkdir()
    (folder.extra / 'open.yaml').write_text(WIDE)
    files = folder.load()
    folder.pass_time(1000.0)
    (folder.extra / 'open.yaml').unlink()
    folder.pass_time(1.0)
    assert judge(files) is model.Truth.NO


def test_a_directory_that_is_moved_into_place_is_confirmed_first(
    folder: PolicyFolder,
) -> None:
    """Its files may be old."""
    aside = folder.path / 'aside'
    aside.mkdir()
    (aside / 'open.yaml').write_text(WIDE)
    files = folder.load()
    folder.pass_time(1000.0)
    aside.rename(folder.extra)
    folder.pass_time(0.5)
    assert judge(files) is model.Truth.NO
    folder.pass_time(1.0)
    assert judge(files) is model.Truth.YES


def test_a_main_file_that_is_missing_for_a_moment_is_no_problem(
    folder: PolicyFolder,
) -> None:
    files = folder.load()
    folder.pass_time(1000.0)
    folder.main.unlink()
    folder.pass_time(0.5)
    assert judge(files) is model.Truth.NO
    assert files.problem is None


def test_a_link_that_is_set_back_to_old_files_is_as_old_as_the_link(
    folder: PolicyFolder,
) -> None:
    """As a ConfigMap: the files are behind a link to the version's folder."""
    for name, content in (('..1', WIDE), ('..2', NARROW)):
        (folder.path / name).mkdir()
        (folder.path / name / 'policy.yaml').write_text(content)
    (folder.path / '..data').symlink_to('..2')
    folder.main.unlink()
    folder.main.symlink_to('..data/policy.yaml')
    files = folder.load()
    folder.pass_time(1000.0)
    (folder.path / '..new').symlink_to('..1')
    (folder.path / '..new').replace(folder.path / '..data')
    folder.pass_time(0.5)
    assert judge(files) is model.Truth.NO
    folder.pass_time(1.0)
    assert judge(files) is model.Truth.YES


def test_an_edit_on_a_file_system_whose_clock_is_ahead_is_confirmed_first(
    folder: PolicyFolder,
) -> None:
    folder.skew = 3600.0
    files = folder.load()
    folder.pass_time(1000.0)
    folder.main.write_text(WIDE)
    folder.pass_time(1000.0)
    assert judge(files) is model.Truth.NO
    folder.pass_time(1.0)
    assert judge(files) is model.Truth.YES


@pytest.mark.parametrize('seconds', [-3600.0, -1.0, 1.0, 3600.0])
def test_an_edit_before_the_clock_is_set_is_in_force_at_the_first_check(
    folder: PolicyFolder, seconds: float
) -> None:
    folder.main.write_text(WIDE)
    files = folder.load()
    folder.pass_time(1000.0)
    folder.main.write_text(NARROW)
    folder.pass_time(1.0)
    folder.set_clock(seconds)
    folder.pass_time(1.0)
    assert judge(files) is model.Truth.NO


@pytest.mark.parametrize('link', [True, False])
def test_an_edit_after_the_clock_was_set_back_is_as_old_as_itself(
    folder: PolicyFolder, link: bool
) -> None:
    """What it leaves as it is, is of the future."""
    if link:
        folder.main.rename(folder.path / 'target')
        folder.main.symlink_to('target')
    folder.extra.mkdir()
    files = folder.load()
    folder.set_clock(-3600)
    folder.check(files)
    path = folder.main if link else folder.extra / 'a.yaml'
    path.write_text(WIDE)
    folder.pass_time(1000.0)
    assert judge(files) is model.Truth.YES


def test_a_worker_that_is_locked_since_its_start_loads_an_old_repair_at_once(
    folder: PolicyFolder,
) -> None:
    folder.main.write_text('broken')
    files = folder.load()
    folder.pass_time(1000.0)
    folder.main.write_text(WIDE)
    folder.pass_time(2.0)
    assert judge(files) is model.Truth.YES
    assert files.problem is None


def test_files_are_checked_once_per_interval(folder: PolicyFolder) -> None:
    """Not per request: the check would fail here."""
    files = folder.load()
    folder.path = folder.path / 'gone'
    folder.main.unlink()
    folder.extra.write_text('a file where a directory should be')
    for _ in range(100):
        folder.pass_time(0.009)
        assert judge(files) is model.Truth.NO
    assert files.problem is None


def test_a_file_with_an_older_mtime_is_an_edit(folder: PolicyFolder) -> None:
    """oslo.policy waits for a growing mtime: it misses a restored backup."""
    files = folder.load()
    folder.main.write_text(WIDE)
    os.utime(folder.main, (1, 1))
    folder.check(files, 2)
    assert judge(files) is model.Truth.YES


@pytest.mark.parametrize('in_place', [True, False])
def test_a_file_of_the_same_size_and_mtime_is_an_edit(
    folder: PolicyFolder, in_place: bool
) -> None:
    """ctime differs, and the inode where it is another file."""
    before = folder.main.stat()
    files = folder.load()
    folder.pass_time(0.5)
    other = folder.main if in_place else folder.path / 'new'
    other.write_text(NARROW.replace('nobody', 'reader'))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(folder.main)
    after = folder.main.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert (after.st_ino == before.st_ino) is in_place
    folder.check(files, 2)
    assert judge(files) is model.Truth.YES


def test_a_half_written_file_is_not_in_force(folder: PolicyFolder) -> None:
    """Y08: the unfinished file is valid, and wider than before and after."""
    narrow = NARROW + f'"{USAGES}": "role:nobody"\n'
    folder.main.write_text(narrow)
    files = folder.load()
    for length in range(len(NARROW), len(narrow)):
        folder.main.write_text(narrow[:length])
        folder.check(files)
    folder.main.write_text(narrow.replace('nobody', 'other'))
    folder.check(files, 2)
    assert folder.builds == 2
    assert files.current().text(USAGES) == 'role:other'


def test_files_that_keep_changing_are_an_error_after_a_minute(
    folder: PolicyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """Once they are the same in two checks, they are in force."""
    files = folder.load()
    for count in range(61):
        folder.main.write_text(WIDE + '#' * count)
        assert files.problem is None
        folder.check(files)
    assert files.problem == 'the policy files keep changing'
    assert len(errors(caplog)) == 1
    folder.check(files)
    assert judge(files) is model.Truth.YES
    assert files.problem is None


@pytest.mark.parametrize('skew', [0.0, 60.0])
def test_files_that_change_while_they_are_read_are_in_force_at_the_next_check(
    folder: PolicyFolder, skew: float
) -> None:
    """Where the clock of the file system is ahead, too: two checks saw the same."""
    files = folder.load()
    folder.skew = skew
    folder.main.write_text(WIDE)
    folder.check(files)
    folder.between.append(lambda: folder.main.write_text(NARROW + '#'))
    folder.check(files)
    assert (folder.builds, judge(files)) == (1, model.Truth.NO)
    folder.check(files)
    assert (folder.builds, judge(files)) == (2, model.Truth.NO)


BROKEN = {
    'Y08 not YAML': b'"a": [',
    'Y04 bare @': b'"consumer_guard:usages": @',
    'Y04 list': b'- a\n- b\n',
    'Y04 not text': f'"{LIST}": true\n'.encode(),
    'Y04 null': f'"{LIST}":\n'.encode(),
    'Y02 empty': f'"{LIST}": ""\n'.encode(),
    'Y04 unquoted !': f'"{LIST}": !\n'.encode(),
    'unparsable': f'"{LIST}": "reader"\n'.encode(),
    'Y19 unknown name': b'"consumer_guard:usage": "role:reader"\n',
    'unknown reference': f'"{LIST}": "rule:nowhere"\n'.encode(),
    'cycle': f'"{LIST}": "rule:{LIST}"\n'.encode(),
    'not UTF-8': b'"a": "\xff"\n',
    'truncated': b'',
    'nothing but a comment': b'# role:reader\n',
    'false': b'false\n',
}


@pytest.mark.parametrize('content', BROKEN.values(), ids=BROKEN.keys())
def test_a_bad_edit_keeps_the_last_good_rules(
    folder: PolicyFolder, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the defaults nor what is left of the file; then repaired."""
    files = folder.load()
    folder.main.write_bytes(content)
    folder.check(files, 2)
    builds = folder.builds
    assert judge(files) is model.Truth.NO
    assert files.current().text(LIST) == 'role:nobody'
    assert folder.failures == 1
    assert str(folder.main) in (files.problem or '')
    folder.check(files, 57)
    assert (folder.failures, folder.builds) == (1, builds)
    assert len(errors(caplog)) == 1
    folder.check(files, 4)
    assert len(errors(caplog)) == 2
    assert str(folder.main) in errors(caplog)[1]
    folder.main.write_text(WIDE)
    folder.check(files, 2)
    assert (files.problem, judge(files)) == (None, model.Truth.YES)
    assert len(errors(caplog)) == 2


def test_a_problem_that_lasts_is_logged_once_a_minute_with_what_it_means(
    folder: PolicyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    files = folder.load()
    folder.main.write_text('broken')
    folder.check(files, 2)
    folder.check(files, 59)
    assert len(errors(caplog)) == 1
    folder.check(files)
    assert len(errors(caplog)) == 2
    for line in errors(caplog):
        assert line.endswith('(the previous rules stay in force)')


def test_another_problem_is_logged_at_once(
    folder: PolicyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    files = folder.load()
    for count, text in enumerate(('broken', f'"{LIST}": true\n'), 1):
        folder.main.write_text(text)
        folder.check(files, 2)
        assert len(errors(caplog)) == count


def test_a_worker_that_is_locked_says_that_requests_are_refused(
    folder: PolicyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.main.write_text('broken')
    folder.load()
    [line] = errors(caplog)
    assert line.endswith('(guarded requests are refused)')


def test_an_edit_long_after_a_bad_one_is_not_taken_for_files_that_keep_changing(
    folder: PolicyFolder,
) -> None:
    files = folder.load()
    folder.main.write_text('broken')
    folder.check(files, 100)
    folder.main.write_text(WIDE)
    folder.check(files)
    assert files.problem != 'the policy files keep changing'
    folder.check(files)
    assert (files.problem, judge(files)) == (None, model.Truth.YES)


def test_an_edit_long_after_one_that_was_undone_is_not_taken_for_changing_files(
    folder: PolicyFolder,
) -> None:
    folder.extra.mkdir()
    files = folder.load()
    added = folder.extra / 'a.yaml'
    added.write_text(WIDE)
    folder.check(files)
    added.unlink()
    folder.check(files, 100)
    folder.main.write_text(WIDE)
    folder.check(files)
    assert files.problem is None
    assert folder.builds == 1


def test_files_keep_changing_since_the_last_ones_that_two_checks_saw(
    folder: PolicyFolder,
) -> None:
    """Those that were rejected, too."""
    files = folder.load()
    folder.main.write_text('broken')
    folder.check(files, 2)
    for count in range(60):
        folder.main.write_text(WIDE + '#' * count)
        folder.check(files)
        assert files.problem != 'the policy files keep changing', count
    folder.main.write_text(NARROW)
    folder.check(files)
    assert files.problem == 'the policy files keep changing'


def test_a_bad_edit_that_is_undone_before_the_second_check_is_no_problem(
    folder: PolicyFolder,
) -> None:
    files = folder.load()
    aside = folder.path / 'aside'
    os.link(folder.main, aside)
    folder.main.unlink()
    folder.main.write_text('broken')
    folder.check(files)
    aside.replace(folder.main)
    folder.check(files, 3)
    assert (files.problem, judge(files)) == (None, model.Truth.NO)


def test_a_main_file_that_vanishes_keeps_the_last_good_rules(
    folder: PolicyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """oslo.policy would fall back to the defaults in the code."""
    files = folder.load()
    folder.main.unlink()
    folder.check(files, 10)
    assert files.current().text(LIST) == 'role:nobody'
    assert (folder.builds, folder.failures) == (1, 1)
    assert len(errors(caplog)) == 1
    assert 'missing; restore its rules, or restart' in errors(caplog)[0]
    assert str(folder.main) in errors(caplog)[0]
    folder.main.write_text(WIDE)
    folder.check(files, 2)
    assert (files.problem, judge(files)) == (None, model.Truth.YES)


def test_a_main_file_that_vanishes_is_not_replaced_by_another_folders(
    folder: PolicyFolder,
) -> None:
    """A wider file of its name further down oslo.config's path is no edit."""
    files = folder.load()
    folder.main.unlink()
    folder.path = folder.path / 'etc'
    folder.path.mkdir()
    (folder.path / 'policy.yaml').write_text(WIDE)
    folder.check(files, 3)
    assert judge(files) is model.Truth.NO
    assert 'missing' in (files.problem or '')


def test_a_main_file_that_never_had_rules_may_vanish_and_return(
    folder: PolicyFolder,
) -> None:
    folder.main.write_text('# nothing yet\n')
    files = folder.load()
    folder.main.unlink()
    folder.check(files, 2)
    assert files.problem is None
    folder.main.write_text(WIDE)
    folder.check(files, 2)
    assert judge(files) is model.Truth.YES


def test_a_directory_in_place_of_the_main_file_keeps_the_last_good_rules(
    folder: PolicyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """Y12: as with any OSError, tried again every interval."""
    files = folder.load()
    folder.main.unlink()
    folder.main.mkdir()
    folder.check(files, 3)
    assert judge(files) is model.Truth.NO
    assert folder.failures == 3
    assert len(errors(caplog)) == 1
    assert 'not a regular file' in (files.problem or '')
    folder.main.rmdir()
    folder.main.write_text(WIDE)
    folder.check(files, 2)
    assert (files.problem, judge(files)) == (None, model.Truth.YES)


def test_a_pipe_in_place_of_the_main_file_is_not_read(folder: PolicyFolder) -> None:
    """Opening it would stop the request."""
    files = folder.load()
    folder.main.unlink()
    os.mkfifo(folder.main)
    folder.check(files, 3)
    assert 'not a regular file' in (files.problem or '')


@pytest.fixture
def deny_reading(folder: PolicyFolder) -> Iterator[Callable[[Path], None]]:
    """Make ``open`` and ``listdir`` of a path fail with EACCES, for root too.

    An audit hook cannot be removed, so it reads a set that is emptied.
    """

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event in ('open', 'os.listdir') and args[0] in folder.forbidden:
            raise PermissionError(13, 'Permission denied', args[0])

    sys.addaudithook(hook)
    yield lambda path: folder.forbidden.add(str(path))
    folder.forbidden.clear()


def test_a_file_without_permission_keeps_the_last_good_rules(
    folder: PolicyFolder, deny_reading: Callable[[Path], None]
) -> None:
    """Y12: the last good rules; tried again every interval."""
    files = folder.load()
    folder.main.write_text(WIDE)
    deny_reading(folder.main)
    folder.check(files, 5)
    assert judge(files) is model.Truth.NO
    assert folder.failures == 4
    assert 'Permission denied' in (files.problem or '')
    folder.forbidden.clear()
    folder.check(files)
    assert (files.problem, judge(files)) == (None, model.Truth.YES)


def test_a_directory_without_permission_keeps_the_last_good_rules(
    folder: PolicyFolder, deny_reading: Callable[[Path], None]
) -> None:
    """Its rules may be revocations: not the same as empty."""
    folder.main.write_text(WIDE)
    folder.extra.mkdir()
    (folder.extra / 'revoke.yaml').write_text(NARROW)
    files = folder.load()
    deny_reading(folder.extra)
    folder.check(files, 3)
    assert judge(files) is model.Truth.NO
    assert 'Permission denied' in (files.problem or '')
    folder.forbidden.clear()
    folder.check(files)
    assert (files.problem, folder.builds) == (None, 1)


def test_a_directory_that_find_file_calls_absent_keeps_the_last_good_rules(
    folder: PolicyFolder,
) -> None:
    """``os.path.exists`` calls absent what it has no permission for."""
    folder.main.write_text(WIDE)
    loop = folder.path / 'loop'
    folder.extra.mkdir()
    (folder.extra / 'revoke.yaml').write_text(NARROW)
    files = folder.load()
    folder.extra.rename(folder.path / 'aside')
    # ELOOP stands for EACCES: an OSError for root too, and "absent" as well.
    loop.symlink_to(loop)
    folder.extra.symlink_to(loop)
    assert folder.find_file('policy.d') is None
    folder.check(files, 3)
    assert judge(files) is model.Truth.NO
    assert 'OSError' in (files.problem or '')


def test_a_file_of_the_directory_that_comes_changes_or_goes_is_an_edit(
    folder: PolicyFolder,
) -> None:
    files = folder.load()
    folder.extra.mkdir()
    extra = folder.extra / '10-open.yaml'
    extra.write_text(WIDE)
    folder.check(files, 2)
    assert judge(files) is model.Truth.YES
    extra.write_text(NARROW)
    folder.check(files, 2)
    assert judge(files) is model.Truth.NO
    extra.write_text(WIDE)
    folder.check(files, 2)
    assert judge(files) is model.Truth.YES
    extra.unlink()
    folder.check(files, 2)
    assert judge(files) is model.Truth.NO
    extra.write_text(WIDE)
    folder.check(files, 2)
    assert judge(files) is model.Truth.YES
    extra.unlink()
    folder.extra.rmdir()
    folder.check(files, 2)
    assert (judge(files), files.problem) == (model.Truth.NO, None)


def test_every_visible_file_of_the_directory_counts_in_order(
    folder: PolicyFolder,
) -> None:
    """Y14: as in oslo.policy, hidden ones and folders aside."""
    folder.extra.mkdir()
    (folder.extra / '.hidden.yaml').write_text(WIDE)
    (folder.extra / 'folder').mkdir()
    (folder.extra / 'folder' / 'a.yaml').write_text(WIDE)
    files = folder.load()
    assert judge(files) is model.Truth.NO
    (folder.extra / 'README.txt').write_text(WIDE)
    folder.check(files, 2)
    assert judge(files) is model.Truth.YES
    (folder.extra / 'x.yaml~').write_text(NARROW)
    folder.check(files, 2)
    assert judge(files) is model.Truth.NO
    assert [Path(path).name for path in files.current().rule_counts] == [
        'policy.yaml',
        'README.txt',
        'x.yaml~',
    ]


def test_a_link_that_leads_nowhere_keeps_the_last_good_rules(
    folder: PolicyFolder,
) -> None:
    """A mount that is not there yet is not a revocation that ended."""
    folder.main.write_text(WIDE)
    folder.extra.mkdir()
    (folder.path / 'mounted').write_text(NARROW)
    (folder.extra / 'a.yaml').symlink_to(folder.path / 'mounted')
    files = folder.load()
    assert judge(files) is model.Truth.NO
    (folder.path / 'mounted').unlink()
    folder.check(files, 3)
    assert judge(files) is model.Truth.NO
    assert 'a.yaml' in (files.problem or '')


@pytest.mark.parametrize('content', BROKEN.values(), ids=BROKEN.keys())
def test_a_bad_file_at_the_start_locks_until_it_is_repaired(
    folder: PolicyFolder, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """An empty file is not a bad one."""
    if not content.strip() or content.startswith((b'#', b'false')):
        content = b'5'
    folder.main.write_bytes(content)
    files = folder.load()
    assert folder.loaded_at is None
    assert len(errors(caplog)) == 1
    assert str(folder.main) in errors(caplog)[0]
    folder.check(files, 3)
    with pytest.raises(PolicyLocked) as caught:
        files.current()
    assert str(folder.path) not in str(caught.value)
    assert folder.failures == 1
    assert len(errors(caplog)) == 1
    folder.main.write_text(WIDE)
    folder.check(files, 2)
    assert (files.problem, judge(files)) == (None, model.Truth.YES)


def test_an_explicit_file_that_is_missing_at_the_start_locks(
    folder: PolicyFolder,
) -> None:
    """A typing error in policy_file must not mean the defaults."""
    folder.main.unlink()
    files = folder.load(explicit=True)
    with pytest.raises(PolicyLocked):
        files.current()
    assert 'policy.yaml: the main policy file is missing' in (files.problem or '')
    folder.main.write_text(WIDE)
    folder.check(files, 2)
    assert judge(files) is model.Truth.YES


def test_an_unreadable_file_at_the_start_locks(
    folder: PolicyFolder, deny_reading: Callable[[Path], None]
) -> None:
    """Y12: retried every interval."""
    deny_reading(folder.main)
    files = folder.load()
    with pytest.raises(PolicyLocked):
        files.current()
    folder.check(files, 3)
    assert folder.failures == 4
    folder.forbidden.clear()
    folder.check(files)
    assert judge(files) is model.Truth.NO


@pytest.mark.parametrize('error', [RuntimeError, MemoryError, RecursionError, KeyError])
def test_any_exception_keeps_the_last_good_rules(
    folder: PolicyFolder, error: type[Exception]
) -> None:
    """F01: a fault of ours is no reason to answer otherwise."""
    files = folder.load()

    def fail(_: object) -> Rulebook:
        raise error('a fault')

    folder.builder = fail
    folder.main.write_text(WIDE)
    folder.check(files, 3)
    assert judge(files) is model.Truth.NO
    assert error.__name__ in (files.problem or '')
    folder.builder = Rulebook.build
    folder.check(files)
    assert (files.problem, judge(files)) == (None, model.Truth.YES)


class Slow:
    """Builds as slowly as a disk that hangs, until it is released."""

    def __init__(self) -> None:
        self.building = threading.Event()
        self.release = threading.Event()

    def __call__(self, texts: Sequence[PolicyText]) -> Rulebook:
        """Wait, then build."""
        self.building.set()
        assert self.release.wait(10)
        return Rulebook.build(texts)


@pytest.fixture
def threads() -> Iterator[futures.ThreadPoolExecutor]:
    """Threads that are waited for."""
    with futures.ThreadPoolExecutor() as executor:
        yield executor


def test_while_one_thread_checks_in_time_the_others_go_on(
    folder: PolicyFolder,
    threads: futures.ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slow disk stops one request, not all; who is late then waits for it."""
    files = folder.load()
    folder.pass_time(0.5)
    folder.main.write_text(WIDE)
    folder.pass_time(1.0)
    folder.builder = slow = Slow()
    first = threads.submit(judge, files)
    assert slow.building.wait(10)
    assert judge(files) is model.Truth.NO
    folder.pass_time(1000.0)
    arrived, getpid = threading.Event(), os.getpid

    def arrive() -> int:
        # Called after an interval was found to be over, before the lock.
        arrived.set()
        return getpid()

    monkeypatch.setattr(os, 'getpid', arrive)
    late = threads.submit(judge, files)
    assert arrived.wait(10)
    futures.wait([late], 0.1)
    slow.release.set()
    assert first.result() is model.Truth.YES
    assert late.result() is model.Truth.YES


@pytest.fixture
def judge_in_two_threads(
    folder: PolicyFolder,
    threads: futures.ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[ReloadedRules], list[model.Truth]]:
    """Let a second thread come while the first one builds."""

    def judge_both(files: ReloadedRules) -> list[model.Truth]:
        folder.builder = slow = Slow()
        first = threads.submit(judge, files)
        assert slow.building.wait(10)
        arrived, getpid = threading.Event(), os.getpid

        def arrive() -> int:
            # Called after an interval was found to be over, before the lock.
            arrived.set()
            return getpid()

        with monkeypatch.context() as patched:
            patched.setattr(os, 'getpid', arrive)
            second = threads.submit(judge, files)
            assert arrived.wait(10)
        slow.release.set()
        return [first.result(), second.result()]

    return judge_both


@pytest.mark.parametrize('seconds', [2.0, 1000.0])
def test_while_one_thread_checks_late_the_others_wait(
    folder: PolicyFolder,
    judge_in_two_threads: Callable[[ReloadedRules], list[model.Truth]],
    seconds: float,
) -> None:
    """Y22: none of a worker's first requests is judged by revoked rules."""
    folder.main.write_text(WIDE)
    files = folder.load()
    folder.main.write_text(NARROW)
    folder.pass_time(seconds)
    assert judge_in_two_threads(files) == [model.Truth.NO] * 2


def test_while_a_confirmation_is_due_the_others_wait(
    folder: PolicyFolder,
    judge_in_two_threads: Callable[[ReloadedRules], list[model.Truth]],
) -> None:
    """The edit may be two intervals old when its second check begins."""
    folder.main.write_text(WIDE)
    files = folder.load()
    folder.pass_time(0.2)
    folder.main.write_text(NARROW)
    folder.pass_time(0.8)
    assert judge(files) is model.Truth.YES
    folder.pass_time(1.2)
    assert judge_in_two_threads(files) == [model.Truth.NO] * 2


def test_a_check_that_hangs_delays_the_others_once(
    folder: PolicyFolder,
    threads: futures.ThreadPoolExecutor,
    judge_in_two_threads: Callable[[ReloadedRules], list[model.Truth]],
) -> None:
    """They go on with the rules in force until it is over, and wait again later."""
    files = folder.load()
    folder.main.write_text(WIDE)
    folder.pass_time(1000.0)
    folder.builder = slow = Slow()
    first = threads.submit(judge, files)
    assert slow.building.wait(10)
    for _ in range(15):
        assert judge(files) is model.Truth.NO
        folder.pass_time(1.0)
    slow.release.set()
    assert first.result() is model.Truth.YES
    folder.main.write_text(NARROW)
    folder.pass_time(1000.0)
    assert judge_in_two_threads(files) == [model.Truth.NO] * 2


def test_a_thread_that_comes_late_does_not_check_again(
    folder: PolicyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two checks at once would not notice a half-written file."""
    files = folder.load()
    folder.main.write_text(WIDE)
    getpid, others = os.getpid, [files.current]

    def let_another_pass() -> int:
        # Called after an interval was found to be over, before the lock.
        if others:
            others.pop()()
        return getpid()

    monkeypatch.setattr(os, 'getpid', let_another_pass)
    folder.check(files)
    assert others == []
    assert (folder.builds, judge(files)) == (1, model.Truth.NO)
    folder.check(files)
    assert judge(files) is model.Truth.YES


def test_a_lock_held_at_a_fork_does_not_stop_the_child(folder: PolicyFolder) -> None:
    """The parent forks in the middle of a check."""
    files = folder.load()
    folder.main.write_text(WIDE)
    folder.check(files)
    answers = []

    def fork_and_build(texts: Sequence[PolicyText]) -> Rulebook:
        child = os.fork()
        if child == 0:
            try:
                folder.builder = Rulebook.build
                folder.check(files, 1)
                os._exit(int(files.current().text(LIST) == 'role:reader'))
            finally:
                os._exit(2)
        answers.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return Rulebook.build(texts)

    folder.builder = fork_and_build
    folder.check(files)
    assert answers == [1]
    assert judge(files) is model.Truth.YES


def test_rules_are_never_wider_under_edits_and_eight_threads(
    folder: PolicyFolder,
) -> None:
    """Y08: narrow, broken, empty and vanished by turns, under eight threads."""
    files = ReloadedRules(
        PolicyLocations(folder.find_file, 'policy.yaml', ['policy.d']),
        policy_file_is_explicit=False,
        poll_interval=0.002,
        build=folder.build,
    )
    stop, wrong, asked = threading.Event(), [], []

    def hammer() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            time.sleep(0.0002)  # or the interpreter's lock starves the writer
            if (text := files.current().text(LIST)) != 'role:nobody':
                wrong.append(text)
        asked.append(count)

    def wait_for(problem: bool) -> None:
        deadline = time.monotonic() + 60
        while (files.problem is not None) is not problem:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    bad = ('"a": [', '', f'"{LIST}": true', f'"{LIST}": ""', '# role:reader')
    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for count, content in enumerate(bad * 3):
            folder.main.write_text(content)
            wait_for(problem=True)
            folder.main.write_text(NARROW + '#' * count)
            wait_for(problem=False)
            for hasty in (*bad, NARROW, *bad):
                folder.main.write_text(hasty)
            folder.main.unlink()
            wait_for(problem=True)
            folder.main.write_text(NARROW)
            wait_for(problem=False)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len(asked) == 8
    assert folder.builds > 2 * len(bad)
