# SPDX-License-Identifier: Apache-2.0
"""The rulebook in force, reloaded when the policy files change.

No thread: the request that finds the interval over checks the files. The rules
are never wider than those of the last good files or of the present valid ones:

* an edit is loaded when two checks in a row have seen the same files, or when
  its ctime is an interval old at the first check; a half-written file is no
  edit;
* a file that is removed from a policy directory is an edit;
* files that cannot be read or used, or a main file that is missing or empty
  after it had rules, leave the last good rules in force;
* where there never were good files, nothing is in force (``PolicyLocked``).

A request that comes two intervals after an edit, or later, is judged by it,
however long the worker was idle.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from consumer_guard.guard.errors import PolicyFileError, PolicyLocked
from consumer_guard.rules.files import FileSnapshot, PolicyLocations, PolicyText
from consumer_guard.rules.rulebook import Rulebook
from consumer_guard.telemetry.metrics import (
    NONE,
    RULEBOOK_AGE,
    RULEBOOK_FAILED,
    Metrics,
)

LOG = logging.getLogger(__name__)

#: Seconds after which an error that lasts is logged again, and after which
#: files that keep changing are an error.
REPEAT = 60.0

# Part of an interval by which the two clocks may drift apart between two checks:
# they are not read at the same time. More means that the wall clock was set.
_TOLERANCE = 0.1

# Seconds to wait for a check by another thread, which takes milliseconds where the
# disk answers.
_LONGEST_CHECK = 1.0

_REMEDY = 'restore its rules, or restart the workers to use the defaults'


class Wording(NamedTuple):
    """The words of log lines.

    :ivar title: of the files
    :ivar loaded: stands before the paths of files that were loaded
    :ivar kept: what a problem means while there are good rules
    :ivar missing: what a problem means where there never were any
    """

    title: str
    loaded: str
    kept: str
    missing: str


POLICY_FILES = Wording(
    'Policy files',
    'Policy files in force',
    'the previous rules stay in force',
    'guarded requests are refused',
)


@dataclass(frozen=True, slots=True)
class _State:
    """All that is known, swapped as one value: a fork never sees half of it.

    :ivar offset: wall clock minus clock at the last check that saw the files
    :ivar main: path of the main file once it had rules
    :ivar seen: the files at the last check that saw them
    :ivar processed: the files that were last loaded or rejected
    :ivar rejection: why they were rejected, None when loaded
    :ivar unstable_since: since when (clock) no two checks have seen the same
    :ivar logged: the problem that was logged last, at ``logged_at`` (clock)
    """

    problem: str | None
    offset: float
    rulebook: Rulebook | None = None
    loaded_at: float | None = None
    main: str | None = None
    seen: FileSnapshot | None = None
    processed: FileSnapshot | None = None
    rejection: str | None = None
    unstable_since: float | None = None
    logged: str | None = None
    logged_at: float = 0.0


class ReloadedRules:
    """The rulebook in force, kept up to date with the files.

    :param policy_file_is_explicit: whether somebody set ``policy_file``; such a
        file locks the guard when it is missing
    :param poll_interval: seconds between two checks
    :param build: makes a rulebook; raises PolicyFileError
    :param metrics: gets the rulebook's age and failed checks, once per check
    :param wording: of log lines
    :param clock: seconds, monotonic
    :param wall_clock: seconds, the one of the files' ctimes
    """

    def __init__(
        self,
        locations: PolicyLocations,
        *,
        policy_file_is_explicit: bool,
        poll_interval: float,
        build: Callable[[Sequence[PolicyText]], Rulebook],
        metrics: Metrics = NONE,
        wording: Wording = POLICY_FILES,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._locations = locations
        self._explicit = policy_file_is_explicit
        self._interval = poll_interval
        self._build = build
        self._metrics = metrics
        self._wording = wording
        self._clock = clock
        self._wall_clock = wall_clock
        # Security: one lock per process; a lock that another thread held when
        # this process was forked would prevent every check for ever.
        self._locks: dict[int, threading.Lock] = {}
        self._due = float('-inf')
        self._stuck = False
        offset = wall_clock() - clock()
        self._state = _State('the policy files are still being written', offset)
        self._check(late=False, confirm=False)

    def current(self) -> Rulebook:
        """The rulebook in force, after a check of the files when one is due.

        :raises PolicyLocked: there never was a usable set of files
        """
        now = self._clock()
        if now >= self._due:
            overdue = now >= self._due + self._interval
            self._check(late=overdue or self._state.unstable_since is not None)
        rulebook = self._state.rulebook
        if rulebook is None:
            raise PolicyLocked('The access rules of this service cannot be read.')
        return rulebook

    @property
    def problem(self) -> str | None:
        """Why the files are not in force as they are; None when they are."""
        return self._state.problem

    def _check(self, *, late: bool, confirm: bool = True) -> None:
        """Check the files, unless another thread does or has.

        :param late: whether an edit may be two intervals old already
        :param confirm: whether the files may be half-written
        """
        lock = self._locks.setdefault(os.getpid(), threading.Lock())
        # Security: a thread that finds another one checking goes on with the
        # rules in force; when it is late it waits, but not for a disk that hangs.
        wait = late and not self._stuck
        if not lock.acquire(blocking=wait, timeout=_LONGEST_CHECK if wait else -1):
            self._stuck = self._stuck or wait
            return
        try:
            now, wall = self._clock(), self._wall_clock()
            if now < self._due:
                return  # another thread has checked since
            state = self._refresh(self._state, now, wall, confirm)
            self._state = _log_problem(state, now, self._wording)
            self._due = now + self._interval
            self._stuck = False
            if state.loaded_at is not None:
                self._metrics.gauge(RULEBOOK_AGE, now - state.loaded_at)
        finally:
            lock.release()

    def _refresh(
        self, before: _State, now: float, wall: float, confirm: bool
    ) -> _State:
        dirs = before.processed.dirs if before.processed else ()
        state = before
        try:
            seen = self._locations.take_snapshot(before.main, dirs)
            state = replace(before, seen=seen, offset=wall - now)
            if seen == before.processed:
                return replace(state, unstable_since=None, problem=before.rejection)
            # Security: a half-written file is not an edit.
            if (
                confirm
                and seen != before.seen
                and not self._is_old(before, state, wall)
            ):
                return _wait(state, now)
            texts = seen.read()
            again = self._locations.take_snapshot(before.main, dirs)
            if again != seen:
                return _wait(replace(state, seen=again), now)
            return self._load(state, seen, texts, now)
        except PolicyFileError as error:
            # Not read again until the files change.
            problem = str(error)
            state = replace(
                state, processed=state.seen, rejection=problem, unstable_since=None
            )
        except Exception as error:
            # Security: whatever it is, the last good rules stay; the next
            # check tries again.
            problem = f'{type(error).__name__}: {error}'
        self._metrics.count(RULEBOOK_FAILED)
        return replace(state, problem=problem)

    def _is_old(self, before: _State, state: _State, wall: float) -> bool:
        """Whether the files have been for an interval as they are now.

        That is unknown when the wall clock was set since the last check. Then
        the edit counts as old: rules that were revoked must not stay in force,
        and a file is hardly half-written just when the clock was set.
        """
        tolerance = _TOLERANCE * self._interval
        if abs(state.offset - before.offset) > tolerance:
            return True
        assert state.seen is not None  # noqa: S101  # narrowed by the caller
        changed = self._locations.find_last_change(before.seen, state.seen)
        return wall - changed / 1e9 >= self._interval - tolerance

    def _load(
        self, state: _State, seen: FileSnapshot, texts: Sequence[PolicyText], now: float
    ) -> _State:
        if seen.main is None and (state.main or self._explicit):
            path = state.main or self._locations.policy_file
            raise PolicyFileError(f'{path}: the main policy file is missing; {_REMEDY}')
        rulebook = self._build(texts)
        has_rules = seen.main is not None and rulebook.rule_counts[seen.main] > 0
        # Security: truncated, not emptied; the defaults may be wider.
        if state.main and not has_rules:
            raise PolicyFileError(
                f'{state.main}: the main policy file no longer contains rules; '
                f'{_REMEDY}'
            )
        LOG.info('%s: %s', self._wording.loaded, [text.path for text in texts])
        return _State(
            problem=None,
            offset=state.offset,
            rulebook=rulebook,
            loaded_at=now,
            main=seen.main if has_rules else None,
            seen=seen,
            processed=seen,
        )


def _wait(state: _State, now: float) -> _State:
    """Wait for a second check; files that keep changing are an error."""
    since = now if state.unstable_since is None else state.unstable_since
    waiting = replace(state, unstable_since=since)
    if now - since < REPEAT:
        return waiting
    return replace(waiting, problem='the policy files keep changing')


def _log_problem(state: _State, now: float, wording: Wording) -> _State:
    """Log a problem when it is new, and again every REPEAT seconds."""
    if state.problem is None:
        return state
    if state.problem == state.logged and now - state.logged_at < REPEAT:
        return state
    effect = wording.kept if state.rulebook else wording.missing
    LOG.error('%s: %s (%s)', wording.title, state.problem, effect)
    return replace(state, logged=state.problem, logged_at=now)
