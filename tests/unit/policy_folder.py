# SPDX-License-Identifier: Apache-2.0
"""A folder of real policy files, under a clock of its own.

No time passes but what a test lets pass. The kernel stamps the files with its
own clock, so their ctimes are translated: whatever changed since the time was
last moved has changed at that time.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from consumer_guard.guard import model
from consumer_guard.guard.errors import PolicyLocked
from consumer_guard.rules.files import PolicyLocations
from consumer_guard.rules.reloading import ReloadedRules
from consumer_guard.rules.rulebook import PolicyText, Rulebook
from consumer_guard.telemetry.metrics import (
    RULEBOOK_AGE,
    RULEBOOK_FAILED,
    NoMetrics,
)

LIST = model.ALLOCATIONS_LIST.rule
USAGES = model.USAGES.rule
WIDE = f'"{LIST}": "role:reader"\n'
NARROW = f'"{LIST}": "role:nobody"\n'
READER = model.Caller(
    {'project_id': 'A', 'roles': ['reader']}, frozenset({'reader'}), 'project', 'req-1'
)


class PolicyFolder(NoMetrics):
    """``policy.yaml`` and ``policy.d`` in a folder, and rules loaded from them.

    :ivar interval: seconds between two checks
    :ivar skew: seconds by which the clock of the file system is ahead
    :ivar failures: checks that failed, by the metrics
    :ivar loaded_at: when the rulebook was made, by the metrics; None while locked
    :ivar between: called once each, after the state of the main file was taken
        and before it is read
    """

    def __init__(self, path: Path, interval: float = 1.0) -> None:
        self.path = path / 'policy'
        self.path.mkdir()
        self.main = self.path / 'policy.yaml'
        self.extra = self.path / 'policy.d'
        self.interval = interval
        self.skew = 0.0
        self.builds = 0
        self.failures = 0
        self.loaded_at: float | None = None
        self.forbidden: set[str] = set()
        self.builder: Callable[[Sequence[PolicyText]], Rulebook] = Rulebook.build
        self.between: list[Callable[[], object]] = []
        self._probe = path / 'probe'
        self._probe.touch()
        self._now = 1000.0
        self._wall = 1.8e9
        self._ctimes: dict[tuple[int, int], tuple[int, int]] = {}
        self._stamps = 0

    @property
    def now(self) -> float:
        """Seconds, monotonic."""
        return self._now

    def pass_time(self, seconds: float) -> None:
        """Let time pass; all changes until now have been made now."""
        self._stamp()
        self._now += seconds
        self._wall += seconds

    def set_clock(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._stamp()
        self._wall += seconds

    def check(self, rules: ReloadedRules, times: int = 1) -> None:
        """Let intervals pass, with a request at the end of each.

        Changes until now have been made half an interval before the first one.
        """
        for _ in range(times):
            self._now += self.interval / 2
            self._wall += self.interval / 2
            self.pass_time(self.interval / 2)
            try:
                rules.current()
            except PolicyLocked:
                continue

    def find_file(self, name: str) -> str | None:
        """As ``ConfigOpts.find_file`` does for one configuration folder."""
        if name == 'policy.d' and self.between:
            self.between.pop()()
        path = self.path / name
        return str(path) if path.exists() else None

    def build(self, files: Sequence[PolicyText]) -> Rulebook:
        """Count the builds."""
        self.builds += 1
        return self.builder(files)

    def count(self, name: str) -> None:
        """Count a failed check."""
        assert name == RULEBOOK_FAILED
        self.failures += 1

    def gauge(self, name: str, value: float) -> None:
        """Keep when the rulebook was made."""
        assert name == RULEBOOK_AGE
        self.loaded_at = self._now - value

    def load(self, *, explicit: bool = False) -> ReloadedRules:
        """Load the files."""
        return ReloadedRules(
            PolicyLocations(
                self.find_file, 'policy.yaml', ['policy.d'], self.read_status
            ),
            policy_file_is_explicit=explicit,
            poll_interval=self.interval,
            build=self.build,
            metrics=self,
            clock=lambda: self._now,
            wall_clock=lambda: self._wall,
        )

    def read_status(
        self, path: str, /, *, follow_symlinks: bool = True
    ) -> os.stat_result:
        """``os.stat`` with the ctime of this clock."""
        status = os.stat(path, follow_symlinks=follow_symlinks)
        names = ('st_atime_ns', 'st_mtime_ns', 'st_dev', 'st_ino')
        values = {name: getattr(status, name) for name in names}
        return os.stat_result(
            tuple(status), {**values, 'st_ctime_ns': self._translate(status)}
        )

    def _translate(self, status: os.stat_result) -> int:
        key = status.st_dev, status.st_ino
        known, translated = self._ctimes.get(key, (None, 0))
        if status.st_ctime_ns != known:
            self._stamps += 1
            translated = int((self._wall + self.skew) * 1e9) + self._stamps
            self._ctimes[key] = status.st_ctime_ns, translated
        return translated

    def _stamp(self) -> None:
        newest = 0
        for folder, folders, files in os.walk(self.path):
            for name in ('.', *folders, *files):
                status = os.lstat(os.path.join(folder, name))
                newest = max(newest, status.st_ctime_ns)
                self._translate(status)
        # The kernel's clock for files may be coarse: the next change must differ.
        while self._probe.stat().st_ctime_ns <= newest:
            os.utime(self._probe)


def judge(rules: ReloadedRules, rule: str = LIST) -> model.Truth:
    """What a reader of project A gets, on a consumer of project B."""
    return rules.current().judge(rule, READER, {'project_id': 'B'}, final=True)
