# SPDX-License-Identifier: Apache-2.0
"""The rulebook in force, reloaded when the policy files change.

No thread: the request that finds the interval over checks the files, the
others go on meanwhile. The rules are never wider than those of the last good
files or of the present valid ones:

* an edit is loaded when two checks in a row have seen the same files, so that
  a half-written file is not an edit;
* a file that is removed from a policy directory is an edit;
* files that cannot be read or used, or a main file that is missing or empty
  after it had rules, leave the last good rules in force;
* where there never were good files, nothing is in force (``PolicyLocked``).
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from consumer_guard.guard.errors import PolicyFileError, PolicyLocked
from consumer_guard.rules.files import (
    FileSnapshot,
    FindFile,
    PolicyLocations,
    PolicyText,
)
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

_REMEDY = 'write the wanted rules into it, or restart the workers to go on without it'


@dataclass(frozen=True, slots=True)
class _State:
    """All that is known, swapped as one value: a fork never sees half of it.

    :ivar main: path of the main file once it had rules
    :ivar processed: the files that were last loaded or rejected
    :ivar rejection: why they were rejected, None when loaded
    :ivar candidate: files that one check has seen and a second has to confirm
    :ivar unstable_since: since when (clock) no two checks have seen the same
    :ivar logged: the problem that was logged last, at ``logged_at`` (clock)
    """

    problem: str | None
    rulebook: Rulebook | None = None
    loaded_at: float | None = None
    failed_reloads: int = 0
    main: str | None = None
    processed: FileSnapshot | None = None
    rejection: str | None = None
    candidate: FileSnapshot | None = None
    unstable_since: float | None = None
    logged: str | None = None
    logged_at: float = 0.0


class ReloadedRules:
    """The rulebook in force, kept up to date with the files.

    :param find_file: oslo.config's ``ConfigOpts.find_file``
    :param policy_file: ``[oslo_policy] policy_file``
    :param policy_file_is_explicit: whether somebody set it; such a file locks
        the guard when it is missing
    :param policy_dirs: ``[oslo_policy] policy_dirs``
    :param poll_interval: seconds between two checks
    :param build: makes a rulebook; raises PolicyFileError
    :param metrics: gets the rulebook's age and failed checks, once per check
    :param clock: seconds, monotonic
    """

    def __init__(
        self,
        *,
        find_file: FindFile,
        policy_file: str,
        policy_file_is_explicit: bool,
        policy_dirs: Sequence[str],
        poll_interval: float,
        build: Callable[[Sequence[PolicyText]], Rulebook],
        metrics: Metrics = NONE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._locations = PolicyLocations(find_file, policy_file, tuple(policy_dirs))
        self._explicit = policy_file_is_explicit
        self._interval = poll_interval
        self._build = build
        self._metrics = metrics
        self._clock = clock
        # Security: one lock per process; a lock that another thread held when
        # this process was forked would prevent every check for ever.
        self._locks: dict[int, threading.Lock] = {}
        self._due = float('-inf')
        self._state = _State('the policy files are still being written')
        self._check(self._clock(), confirm=False)

    def current(self) -> Rulebook:
        """The rulebook in force, after a check of the files when one is due.

        :raises PolicyLocked: there never was a usable set of files
        """
        now = self._clock()
        if now >= self._due:
            self._check(now, confirm=True)
        rulebook = self._state.rulebook
        if rulebook is None:
            raise PolicyLocked('The access rules of this service cannot be read.')
        return rulebook

    @property
    def problem(self) -> str | None:
        """Why the files are not in force as they are; None when they are."""
        return self._state.problem

    @property
    def loaded_at(self) -> float | None:
        """When the rulebook in force was made (clock); None while locked."""
        return self._state.loaded_at

    @property
    def failed_reloads(self) -> int:
        """How many checks or loads failed."""
        return self._state.failed_reloads

    def _check(self, now: float, *, confirm: bool) -> None:
        """Check the files, unless another thread does or has.

        :param confirm: whether a second check must see the same files
        """
        lock = self._locks.setdefault(os.getpid(), threading.Lock())
        if not lock.acquire(blocking=False):
            return
        try:
            if now < self._due:
                return  # another thread has checked since
            self._due = now + self._interval
            before = self._state.failed_reloads
            self._state = _log_problem(self._refresh(self._state, now, confirm), now)
            if self._state.failed_reloads > before:
                self._metrics.count(RULEBOOK_FAILED)
            if self._state.loaded_at is not None:
                self._metrics.gauge(RULEBOOK_AGE, now - self._state.loaded_at)
        finally:
            lock.release()

    def _refresh(self, state: _State, now: float, confirm: bool) -> _State:
        dirs = state.processed.dirs if state.processed else ()
        seen = None
        try:
            seen = self._locations.take_snapshot(state.main, dirs)
            if seen == state.processed:
                return replace(_stop_waiting(state), problem=state.rejection)
            # Security: a half-written file is not an edit.
            if confirm and seen != state.candidate:
                return _wait(state, seen, now)
            texts = seen.read()
            again = self._locations.take_snapshot(state.main, dirs)
            if again != seen:
                return _wait(state, again, now)
            return self._load(state, seen, texts, now)
        except PolicyFileError as error:
            # Not read again until the files change.
            problem = str(error)
            failed = replace(_stop_waiting(state), processed=seen, rejection=problem)
        except Exception as error:
            # Security: whatever it is, the last good rules stay; the next
            # check tries again.
            problem = f'{type(error).__name__}: {error}'
            failed = state
        return replace(failed, problem=problem, failed_reloads=state.failed_reloads + 1)

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
                f'{state.main}: the main policy file has no rules any more; {_REMEDY}'
            )
        LOG.info('Policy files in force: %s', [text.path for text in texts])
        return _State(
            problem=None,
            rulebook=rulebook,
            loaded_at=now,
            failed_reloads=state.failed_reloads,
            main=seen.main if has_rules else None,
            processed=seen,
        )


def _stop_waiting(state: _State) -> _State:
    """Nothing is waited for any more."""
    return replace(state, candidate=None, unstable_since=None)


def _wait(state: _State, seen: FileSnapshot, now: float) -> _State:
    """Wait for a second check; files that keep changing are an error."""
    since = now if state.unstable_since is None else state.unstable_since
    waiting = replace(state, candidate=seen, unstable_since=since)
    if state.candidate is None or now - since < REPEAT:
        return waiting
    return replace(waiting, problem='the policy files differ at every check')


def _log_problem(state: _State, now: float) -> _State:
    """Log a problem when it is new, and again every REPEAT seconds."""
    if state.problem is None:
        return state
    if state.problem == state.logged and now - state.logged_at < REPEAT:
        return state
    effect = 'rules stay as they were' if state.rulebook else 'guarded requests refused'
    LOG.error('Policy files: %s (%s)', state.problem, effect)
    return replace(state, logged=state.problem, logged_at=now)
