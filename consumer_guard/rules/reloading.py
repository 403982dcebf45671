# SPDX-License-Identifier: Apache-2.0
"""The watch over the policy files: which rulebook is in force now.

No thread: a request that finds the interval over looks at the files, the
others go on meanwhile. Never wider than the last good or the present valid
files; source of the rules for that: DESIGN.md, "Rule files".
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
from consumer_guard.telemetry import metrics

LOG = logging.getLogger(__name__)

#: Seconds after which an error that lasts is logged again, and files that
#: differ at every look are an error.
REPEAT = 60.0

_CURE = 'write the wanted rules into it, or restart the workers to go on without it'


@dataclass(frozen=True, slots=True)
class _State:
    """All that is known, swapped as one value: a fork never sees half of it.

    :ivar main: path of the main file once it held rules
    :ivar settled: what was seen when files were last taken or refused
    :ivar verdict: why they were refused, None when taken
    :ivar glimpsed: what one look has seen and a second has to confirm
    :ivar restless: since when (clock) no two looks have seen the same
    :ivar told: the error that was logged last, at ``told_at`` (clock)
    """

    problem: str | None
    rulebook: Rulebook | None = None
    loaded_at: float | None = None
    failed_reloads: int = 0
    main: str | None = None
    settled: FileSnapshot | None = None
    verdict: str | None = None
    glimpsed: FileSnapshot | None = None
    restless: float | None = None
    told: str | None = None
    told_at: float = 0.0


class ReloadedRules:
    """The rulebook in force, kept up with the files.

    :param find_file: oslo.config's ``ConfigOpts.find_file``
    :param policy_file: ``[oslo_policy] policy_file``
    :param policy_file_is_explicit: whether somebody set it; a file that was
        asked for and is missing locks the guard
    :param policy_dirs: ``[oslo_policy] policy_dirs``
    :param poll_interval: seconds between two looks
    :param build: makes a rulebook; raises PolicyFileError
    :param told: told the rulebook's age and failed looks, once a look
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
        told: metrics.Metrics = metrics.NONE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = PolicyLocations(find_file, policy_file, tuple(policy_dirs))
        self._explicit = policy_file_is_explicit
        self._interval = poll_interval
        self._build = build
        self._metrics = told
        self._clock = clock
        # Security: one lock a process; a lock that another thread held when
        # this process was forked would stop every look for ever.
        self._locks: dict[int, threading.Lock] = {}
        self._due = float('-inf')
        self._state = _State('the policy files are still being written')
        self._sweep(self._clock(), two_looks=False)

    def current(self) -> Rulebook:
        """The rulebook in force, after a look at the files when one is due.

        :raises PolicyLocked: there never was a usable set of files
        """
        now = self._clock()
        if now >= self._due:
            self._sweep(now, two_looks=True)
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
        """How many looks or loads failed."""
        return self._state.failed_reloads

    def _sweep(self, now: float, *, two_looks: bool) -> None:
        lock = self._locks.setdefault(os.getpid(), threading.Lock())
        if not lock.acquire(blocking=False):
            return
        try:
            if now < self._due:
                return  # another thread has looked since
            self._due = now + self._interval
            before = self._state.failed_reloads
            self._state = _complain(self._look(self._state, now, two_looks), now)
            self._tell(self._state, failed=self._state.failed_reloads > before, now=now)
        finally:
            lock.release()

    def _tell(self, state: _State, *, failed: bool, now: float) -> None:
        if failed:
            self._metrics.count(metrics.RULEBOOK_FAILED)
        if state.loaded_at is not None:
            self._metrics.gauge(metrics.RULEBOOK_AGE, now - state.loaded_at)

    def _look(self, state: _State, now: float, two_looks: bool) -> _State:
        dirs = state.settled.dirs if state.settled else ()
        seen = None
        try:
            seen = self._places.look(state.main, dirs)
            if seen == state.settled:
                calm = replace(state, glimpsed=None, restless=None)
                return replace(calm, problem=state.verdict)
            # Security: a half-written file is not an edit.
            if two_looks and seen != state.glimpsed:
                return _await(state, seen, now)
            texts = seen.read()
            again = self._places.look(state.main, dirs)
            if again != seen:
                return _await(state, again, now)
            return self._load(state, seen, texts, now)
        except PolicyFileError as error:
            # Not read again until the files change.
            why = str(error)
            calm = replace(state, glimpsed=None, restless=None)
            failed = replace(calm, settled=seen, verdict=why)
        except Exception as error:
            # Security: whatever it is, the last good rules stay; the next
            # interval tries again.
            why = f'{type(error).__name__}: {error}'
            failed = state
        return replace(failed, problem=why, failed_reloads=state.failed_reloads + 1)

    def _load(
        self, state: _State, seen: FileSnapshot, texts: Sequence[PolicyText], now: float
    ) -> _State:
        if seen.main is None and (state.main or self._explicit):
            path = state.main or self._places.policy_file
            raise PolicyFileError(f'{path}: the main policy file is missing; {_CURE}')
        rulebook = self._build(texts)
        holds_rules = seen.main is not None and rulebook.held[seen.main] > 0
        # Security: truncated, not emptied; the defaults may be wider.
        if state.main and not holds_rules:
            raise PolicyFileError(
                f'{state.main}: the main policy file holds no rules any more; {_CURE}'
            )
        LOG.info('Policy files in force: %s', [text.path for text in texts])
        return _State(
            problem=None,
            rulebook=rulebook,
            loaded_at=now,
            failed_reloads=state.failed_reloads,
            main=seen.main if holds_rules else None,
            settled=seen,
        )


def _await(state: _State, seen: FileSnapshot, now: float) -> _State:
    """Wait for a second look; files that never hold still are an error."""
    since = now if state.restless is None else state.restless
    waiting = replace(state, glimpsed=seen, restless=since)
    if state.glimpsed is None or now - since < REPEAT:
        return waiting
    return replace(waiting, problem='the policy files differ at every look')


def _complain(state: _State, now: float) -> _State:
    """Log an error when it is new, and again every REPEAT seconds."""
    if state.problem is None:
        return state
    if state.problem == state.told and now - state.told_at < REPEAT:
        return state
    effect = 'rules stay as they were' if state.rulebook else 'guarded requests refused'
    LOG.error('Policy files: %s (%s)', state.problem, effect)
    return replace(state, told=state.problem, told_at=now)
