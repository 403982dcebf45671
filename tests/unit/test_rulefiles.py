# SPDX-License-Identifier: Apache-2.0
"""The watch over the policy files: real files, an injected clock."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from consumer_guard.guard import model
from consumer_guard.guard.errors import PolicyLocked
from consumer_guard.rules.reloading import ReloadedRules
from consumer_guard.rules.rulebook import PolicyText, Rulebook

LIST = model.ALLOCATIONS_LIST.rule
USAGES = model.USAGES.rule
WIDE = f'"{LIST}": "role:reader"\n'
NARROW = f'"{LIST}": "role:nobody"\n'
READER = model.Caller(
    {'project_id': 'A', 'roles': ['reader']}, frozenset({'reader'}), 'project', 'req-1'
)


class Bench:
    """A folder of policy files, a clock, and the watch over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.main = folder / 'policy.yaml'
        self.extra = folder / 'policy.d'
        self.now = 1000.0
        self.builds = 0
        self.forbidden: set[str] = set()
        self.builder: Callable[[Sequence[PolicyText]], Rulebook] = Rulebook.build
        self.between: list[Callable[[], object]] = []

    def find_file(self, name: str) -> str | None:
        """As ``ConfigOpts.find_file`` does for one configuration folder."""
        if name == 'policy.d' and self.between:
            # The main file has been looked at by now, and not been read yet.
            self.between.pop()()
        path = self.folder / name
        return str(path) if path.exists() else None

    def build(self, files: Sequence[PolicyText]) -> Rulebook:
        """Count the builds."""
        self.builds += 1
        return self.builder(files)

    def watch(self, *, explicit: bool = False, interval: float = 1.0) -> ReloadedRules:
        """Start to watch."""
        return ReloadedRules(
            find_file=self.find_file,
            policy_file='policy.yaml',
            policy_file_is_explicit=explicit,
            policy_dirs=['policy.d'],
            poll_interval=interval,
            build=self.build,
            clock=lambda: self.now,
        )

    def look(self, files: ReloadedRules, times: int = 1) -> None:
        """Let intervals pass, with a request at the end of each."""
        for _ in range(times):
            self.now += 1.0
            try:
                files.current()
            except PolicyLocked:
                continue


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """With a main file that is narrow."""
    made = Bench(tmp_path)
    made.main.write_text(NARROW)
    return made


def truth(files: ReloadedRules, rule: str = LIST) -> model.Truth:
    """What a reader of project A gets, on a consumer of project B."""
    return files.current().judge(rule, READER, {'project_id': 'B'}, final=True)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The watch's error lines so far."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == 'consumer_guard.rules.reloading'
        and record.levelno == logging.ERROR
    ]


def test_first_load_is_immediate(bench: Bench) -> None:
    """And nothing more happens while nothing changes."""
    bench.main.write_text(WIDE)
    files = bench.watch()
    assert truth(files) is model.Truth.YES
    assert (files.problem, files.loaded_at, files.failed_reloads) == (None, 1000.0, 0)
    bench.look(files, 5)
    assert (bench.builds, files.loaded_at) == (1, 1000.0)


def test_no_files_at_all_are_the_defaults(bench: Bench) -> None:
    """Y01: unless somebody asked for a file."""
    bench.main.unlink()
    files = bench.watch()
    assert truth(files) is model.Truth.NO
    assert truth(files, USAGES) is model.Truth.NO
    assert files.problem is None


def test_edit_is_taken_at_the_second_look(bench: Bench) -> None:
    """P9: within two intervals; never at a request in between."""
    files = bench.watch()
    bench.main.write_text(WIDE)
    assert truth(files) is model.Truth.NO
    bench.look(files)
    assert truth(files) is model.Truth.NO
    bench.look(files)
    assert truth(files) is model.Truth.YES
    assert (bench.builds, files.loaded_at) == (2, 1002.0)


def test_files_are_looked_at_once_an_interval(bench: Bench) -> None:
    """Not per request: the look is what would fail here."""
    files = bench.watch()
    bench.folder = bench.folder / 'gone'
    bench.main.unlink()
    bench.extra.write_text('a file where a directory should be')
    for _ in range(100):
        bench.now += 0.009
        assert truth(files) is model.Truth.NO
    assert files.problem is None


def test_older_file_is_an_edit(bench: Bench) -> None:
    """oslo.policy looks for a growing mtime: a restored backup is not seen."""
    files = bench.watch()
    bench.main.write_text(WIDE)
    os.utime(bench.main, (1, 1))
    bench.look(files, 2)
    assert truth(files) is model.Truth.YES


@pytest.mark.parametrize('in_place', [True, False])
def test_same_size_and_mtime_is_still_an_edit(bench: Bench, in_place: bool) -> None:
    """The time of change tells, and where the file is another one its inode."""
    before = bench.main.stat()
    files = bench.watch()
    time.sleep(0.02)  # the kernel's clock for files is coarse
    other = bench.main if in_place else bench.folder / 'new'
    other.write_text(NARROW.replace('nobody', 'reader'))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(bench.main)
    after = bench.main.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert (after.st_ino == before.st_ino) is in_place
    bench.look(files, 2)
    assert truth(files) is model.Truth.YES


def test_half_written_file_is_not_an_edit(bench: Bench) -> None:
    """Y08: what a look finds unfinished is valid, and wider than either end."""
    narrow = NARROW + f'"{USAGES}": "role:nobody"\n'
    bench.main.write_text(narrow)
    files = bench.watch()
    for length in range(len(NARROW), len(narrow)):
        bench.main.write_text(narrow[:length])
        bench.look(files)
    bench.main.write_text(narrow.replace('nobody', 'other'))
    bench.look(files, 2)
    assert bench.builds == 2
    assert files.current().text(USAGES) == 'role:other'


def test_files_that_never_hold_still_are_an_error(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """An edit must not be put off without a word; it is taken in the end."""
    files = bench.watch()
    for count in range(61):
        bench.main.write_text(WIDE + '#' * count)
        assert files.problem is None
        bench.look(files)
    assert files.problem == 'the policy files differ at every look'
    assert len(errors(caplog)) == 1
    bench.look(files)
    assert (files.problem, truth(files)) == (None, model.Truth.YES)


def test_change_while_reading_is_waited_for(bench: Bench) -> None:
    """The files are looked at again after they were read."""
    files = bench.watch()
    bench.main.write_text(WIDE)
    bench.look(files)
    bench.between.append(lambda: bench.main.write_text(NARROW + '#'))
    bench.look(files)
    assert (bench.builds, truth(files)) == (1, model.Truth.NO)
    bench.look(files, 2)
    assert (bench.builds, truth(files)) == (2, model.Truth.NO)


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
def test_bad_edit_keeps_the_last_good_rules(
    bench: Bench, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the defaults nor what is left of the file; then mended."""
    files = bench.watch()
    bench.main.write_bytes(content)
    bench.look(files, 2)
    builds = bench.builds
    assert truth(files) is model.Truth.NO
    assert files.current().text(LIST) == 'role:nobody'
    assert files.failed_reloads == 1
    assert str(bench.main) in (files.problem or '')
    bench.look(files, 57)
    assert (files.failed_reloads, bench.builds) == (1, builds)
    assert len(errors(caplog)) == 1
    bench.look(files, 4)
    assert len(errors(caplog)) == 2
    assert str(bench.main) in errors(caplog)[1]
    bench.main.write_text(WIDE)
    bench.look(files, 2)
    assert (files.problem, truth(files)) == (None, model.Truth.YES)
    assert len(errors(caplog)) == 2


def test_bad_edit_that_is_undone(bench: Bench) -> None:
    """Within one look it is as if nothing had been."""
    files = bench.watch()
    aside = bench.folder / 'aside'
    os.link(bench.main, aside)
    bench.main.unlink()
    bench.main.write_text('broken')
    bench.look(files)
    aside.replace(bench.main)
    bench.look(files, 3)
    assert (files.problem, truth(files)) == (None, model.Truth.NO)


def test_main_file_that_vanishes_keeps_the_last_good_rules(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """oslo.policy would fall back to the defaults in the code."""
    files = bench.watch()
    bench.main.unlink()
    bench.look(files, 10)
    assert files.current().text(LIST) == 'role:nobody'
    assert (bench.builds, files.failed_reloads) == (1, 1)
    assert len(errors(caplog)) == 1
    assert 'missing; write the wanted rules into it, or restart' in errors(caplog)[0]
    bench.main.write_text(WIDE)
    bench.look(files, 2)
    assert (files.problem, truth(files)) == (None, model.Truth.YES)


def test_main_file_is_not_looked_for_elsewhere(bench: Bench) -> None:
    """A wider file of its name further down oslo.config's path is no edit."""
    files = bench.watch()
    bench.main.unlink()
    bench.folder = bench.folder / 'etc'
    bench.folder.mkdir()
    (bench.folder / 'policy.yaml').write_text(WIDE)
    bench.look(files, 3)
    assert truth(files) is model.Truth.NO
    assert 'missing' in (files.problem or '')


def test_empty_main_file_from_the_start_is_fine(bench: Bench) -> None:
    """And it may go, and come."""
    bench.main.write_text('# nothing yet\n')
    files = bench.watch()
    bench.main.unlink()
    bench.look(files, 2)
    assert files.problem is None
    bench.main.write_text(WIDE)
    bench.look(files, 2)
    assert truth(files) is model.Truth.YES


def test_directory_in_place_of_the_main_file(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """Y12: as with any OSError, tried again every interval."""
    files = bench.watch()
    bench.main.unlink()
    bench.main.mkdir()
    bench.look(files, 3)
    assert truth(files) is model.Truth.NO
    assert files.failed_reloads == 3
    assert len(errors(caplog)) == 1
    assert 'not a regular file' in (files.problem or '')
    bench.main.rmdir()
    bench.main.write_text(WIDE)
    bench.look(files, 2)
    assert (files.problem, truth(files)) == (None, model.Truth.YES)


def test_pipe_in_place_of_the_main_file_does_not_hang(bench: Bench) -> None:
    """To open it would stop the request."""
    files = bench.watch()
    bench.main.unlink()
    os.mkfifo(bench.main)
    bench.look(files, 3)
    assert 'not a regular file' in (files.problem or '')


@pytest.fixture
def deny_reading(bench: Bench) -> Iterator[Callable[[Path], None]]:
    """Make ``open`` and ``scandir`` of a path fail with EACCES, for root too.

    An audit hook cannot be removed, so it looks at a set that is emptied.
    """

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event in ('open', 'os.scandir') and args[0] in bench.forbidden:
            raise PermissionError(13, 'Permission denied', args[0])

    sys.addaudithook(hook)
    yield lambda path: bench.forbidden.add(str(path))
    bench.forbidden.clear()


def test_file_without_permission(
    bench: Bench, deny_reading: Callable[[Path], None]
) -> None:
    """Y12: the last good rules; tried again every interval."""
    files = bench.watch()
    bench.main.write_text(WIDE)
    deny_reading(bench.main)
    bench.look(files, 5)
    assert truth(files) is model.Truth.NO
    assert files.failed_reloads == 4
    assert 'Permission denied' in (files.problem or '')
    bench.forbidden.clear()
    bench.look(files)
    assert (files.problem, truth(files)) == (None, model.Truth.YES)


def test_directory_without_permission(
    bench: Bench, deny_reading: Callable[[Path], None]
) -> None:
    """Its rules may be revocations: not the same as empty."""
    bench.main.write_text(WIDE)
    bench.extra.mkdir()
    (bench.extra / 'revoke.yaml').write_text(NARROW)
    files = bench.watch()
    deny_reading(bench.extra)
    bench.look(files, 3)
    assert truth(files) is model.Truth.NO
    assert 'Permission denied' in (files.problem or '')
    bench.forbidden.clear()
    bench.look(files)
    assert (files.problem, bench.builds) == (None, 1)


def test_directory_that_find_file_cannot_see(bench: Bench) -> None:
    """``os.path.exists`` calls what it may not look at absent."""
    bench.main.write_text(WIDE)
    loop = bench.folder / 'loop'
    bench.extra.mkdir()
    (bench.extra / 'revoke.yaml').write_text(NARROW)
    files = bench.watch()
    bench.extra.rename(bench.folder / 'aside')
    # ELOOP stands for EACCES: an OSError for root too, and "absent" as well.
    loop.symlink_to(loop)
    bench.extra.symlink_to(loop)
    assert bench.find_file('policy.d') is None
    bench.look(files, 3)
    assert truth(files) is model.Truth.NO
    assert 'OSError' in (files.problem or '')


def test_file_of_the_directory(bench: Bench) -> None:
    """Added, edited and removed: each is honoured; so is the directory's end."""
    files = bench.watch()
    bench.extra.mkdir()
    extra = bench.extra / '10-open.yaml'
    extra.write_text(WIDE)
    bench.look(files, 2)
    assert truth(files) is model.Truth.YES
    extra.write_text(NARROW)
    bench.look(files, 2)
    assert truth(files) is model.Truth.NO
    extra.write_text(WIDE)
    bench.look(files, 2)
    assert truth(files) is model.Truth.YES
    extra.unlink()
    bench.look(files, 2)
    assert truth(files) is model.Truth.NO
    extra.write_text(WIDE)
    bench.look(files, 2)
    assert truth(files) is model.Truth.YES
    extra.unlink()
    bench.extra.rmdir()
    bench.look(files, 2)
    assert (truth(files), files.problem) == (model.Truth.NO, None)


def test_stray_files_of_the_directory(bench: Bench) -> None:
    """Y14: any name counts, in order, as in oslo.policy; hidden ones and folders do not."""
    bench.extra.mkdir()
    (bench.extra / '.hidden.yaml').write_text(WIDE)
    (bench.extra / 'folder').mkdir()
    (bench.extra / 'folder' / 'a.yaml').write_text(WIDE)
    files = bench.watch()
    assert truth(files) is model.Truth.NO
    (bench.extra / 'README.txt').write_text(WIDE)
    bench.look(files, 2)
    assert truth(files) is model.Truth.YES
    (bench.extra / 'x.yaml~').write_text(NARROW)
    bench.look(files, 2)
    assert truth(files) is model.Truth.NO
    assert [Path(path).name for path in files.current().held] == [
        'policy.yaml',
        'README.txt',
        'x.yaml~',
    ]


def test_link_that_leads_nowhere_is_an_error(bench: Bench) -> None:
    """A mount that is not there yet is not a revocation that ended."""
    bench.main.write_text(WIDE)
    bench.extra.mkdir()
    (bench.folder / 'mounted').write_text(NARROW)
    (bench.extra / 'a.yaml').symlink_to(bench.folder / 'mounted')
    files = bench.watch()
    assert truth(files) is model.Truth.NO
    (bench.folder / 'mounted').unlink()
    bench.look(files, 3)
    assert truth(files) is model.Truth.NO
    assert 'a.yaml' in (files.problem or '')


@pytest.mark.parametrize('content', BROKEN.values(), ids=BROKEN.keys())
def test_bad_file_at_the_start_locks(
    bench: Bench, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Locked, not stopped; then mended. An empty file is no bad one."""
    if not content.strip() or content.startswith((b'#', b'false')):
        content = b'5'
    bench.main.write_bytes(content)
    files = bench.watch()
    assert files.loaded_at is None
    assert len(errors(caplog)) == 1
    assert str(bench.main) in errors(caplog)[0]
    bench.look(files, 3)
    with pytest.raises(PolicyLocked) as caught:
        files.current()
    assert str(bench.folder) not in str(caught.value)
    assert files.failed_reloads == 1
    assert len(errors(caplog)) == 1
    bench.main.write_text(WIDE)
    bench.look(files, 2)
    assert (files.problem, truth(files)) == (None, model.Truth.YES)


def test_explicit_file_that_is_missing_at_the_start_locks(bench: Bench) -> None:
    """A typing error in policy_file must not mean the defaults."""
    bench.main.unlink()
    files = bench.watch(explicit=True)
    with pytest.raises(PolicyLocked):
        files.current()
    assert 'policy.yaml: the main policy file is missing' in (files.problem or '')
    bench.main.write_text(WIDE)
    bench.look(files, 2)
    assert truth(files) is model.Truth.YES


def test_unreadable_file_at_the_start_locks(
    bench: Bench, deny_reading: Callable[[Path], None]
) -> None:
    """Y12: retried every interval."""
    deny_reading(bench.main)
    files = bench.watch()
    with pytest.raises(PolicyLocked):
        files.current()
    bench.look(files, 3)
    assert files.failed_reloads == 3
    bench.forbidden.clear()
    bench.look(files)
    assert truth(files) is model.Truth.NO


@pytest.mark.parametrize('error', [RuntimeError, MemoryError, RecursionError, KeyError])
def test_any_exception_keeps_the_last_good_rules(
    bench: Bench, error: type[Exception]
) -> None:
    """F01: a fault of ours is no reason to answer otherwise."""
    files = bench.watch()

    def fail(_: object) -> Rulebook:
        raise error('a fault')

    bench.builder = fail
    bench.main.write_text(WIDE)
    bench.look(files, 3)
    assert truth(files) is model.Truth.NO
    assert error.__name__ in (files.problem or '')
    bench.builder = Rulebook.build
    bench.look(files)
    assert (files.problem, truth(files)) == (None, model.Truth.YES)


def test_one_thread_looks_and_the_others_go_on(bench: Bench) -> None:
    """A slow disk stops one request, not all."""
    files = bench.watch()
    bench.main.write_text(WIDE)
    bench.look(files)
    building, go_on = threading.Event(), threading.Event()

    def build_slowly(texts: Sequence[PolicyText]) -> Rulebook:
        building.set()
        assert go_on.wait(10)
        return Rulebook.build(texts)

    bench.builder = build_slowly
    thread = threading.Thread(target=bench.look, args=(files,))
    thread.start()
    assert building.wait(10)
    bench.now += 100
    assert truth(files) is model.Truth.NO
    go_on.set()
    thread.join()
    assert truth(files) is model.Truth.YES


def test_thread_that_comes_late_does_not_look_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two looks in one moment would not tell a half-written file."""
    files = bench.watch()
    bench.main.write_text(WIDE)
    getpid, others = os.getpid, [files.current]

    def let_another_pass() -> int:
        # Called after an interval was found to be over, before the lock.
        if others:
            others.pop()()
        return getpid()

    monkeypatch.setattr(os, 'getpid', let_another_pass)
    bench.look(files)
    assert others == []
    assert (bench.builds, truth(files)) == (1, model.Truth.NO)
    bench.look(files)
    assert truth(files) is model.Truth.YES


def test_lock_held_at_a_fork_does_not_stick(bench: Bench) -> None:
    """The child looks by itself, though the parent forked in mid-look."""
    files = bench.watch()
    bench.main.write_text(WIDE)
    bench.look(files)
    answers = []

    def fork_and_build(texts: Sequence[PolicyText]) -> Rulebook:
        child = os.fork()
        if child == 0:
            try:
                bench.builder = Rulebook.build
                bench.look(files, 1)
                os._exit(int(files.current().text(LIST) == 'role:reader'))
            finally:
                os._exit(2)
        answers.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        return Rulebook.build(texts)

    bench.builder = fork_and_build
    bench.look(files)
    assert answers == [1]
    assert truth(files) is model.Truth.YES


def test_never_wider_while_threads_hammer(bench: Bench) -> None:
    """Y08: narrow, broken, empty and vanished by turns, under eight threads."""
    files = ReloadedRules(
        find_file=bench.find_file,
        policy_file='policy.yaml',
        policy_file_is_explicit=False,
        policy_dirs=['policy.d'],
        poll_interval=0.002,
        build=bench.build,
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
        deadline = time.monotonic() + 10
        while (files.problem is not None) is not problem:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    bad = ('"a": [', '', f'"{LIST}": true', f'"{LIST}": ""', '# role:reader')
    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for count, content in enumerate(bad * 3):
            bench.main.write_text(content)
            wait_for(problem=True)
            bench.main.write_text(NARROW + '#' * count)
            wait_for(problem=False)
            for hasty in (*bad, NARROW, *bad):
                bench.main.write_text(hasty)
            bench.main.unlink()
            wait_for(problem=True)
            bench.main.write_text(NARROW)
            wait_for(problem=False)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len(asked) == 8
    assert bench.builds > 2 * len(bad)
