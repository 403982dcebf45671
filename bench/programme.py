# SPDX-License-Identifier: Apache-2.0
"""Which chapters there are, and the databases that they share.

Each measuring runs in a fresh process: placement is once a process, and one
chapter's memory is not another's.
"""

import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import (
    byrole,
    growth,
    inside,
    lists,
    middleware,
    results,
    serving,
    stores,
    timing,
    whole,
)
from bench.results import Chapter, Finding
from bench.stores import Store
from bench.timing import apart

#: Guards against regression, and a role-holder's list in place.
GOALS = [*(f'P{number}' for number in range(1, 12)), 'M3']

#: Consumers in the tables.
SIZES = {True: (10_000,), False: (10_000, 1_000_000)}


class Programme:
    """One run of the bench."""

    def __init__(self, stack: contextlib.ExitStack, quick: bool, long: bool) -> None:
        self.effort = timing.QUICK if quick else timing.FULL
        self.quick = quick
        self.long = long
        self._stack = stack

    @functools.cached_property
    def folder(self) -> Path:
        """For databases in files."""
        made = TemporaryDirectory(prefix='cg-bench-', ignore_cleanup_errors=True)
        return Path(self._stack.enter_context(made))

    @functools.cached_property
    def stores(self) -> list[Store]:
        """Both engines, all sizes; made when first asked for."""
        server = self._stack.enter_context(stores.postgresql_server())
        made = []
        for size in SIZES[self.quick]:
            made.append(stores.fill_sqlite(self.folder, size))
            made.append(stores.fill_postgresql(server, size))
        return made

    @property
    def largest(self) -> list[Store]:
        """The largest of each engine."""
        return self.stores[-2:]

    @functools.cached_property
    def _mariadb(self) -> Store:
        """Lists are read from it, too: its look-up is another one."""
        server = self._stack.enter_context(stores.mariadb_server())
        return stores.fill_mariadb(server, self.largest[0].consumers)

    def p1(self) -> Chapter:
        """Pass-through."""
        chapter: Chapter = apart(middleware.pass_through, self.effort)
        return chapter

    def p2(self) -> Chapter:
        """A decision."""
        chapter: Chapter = apart(middleware.decide, self.effort)
        return chapter

    def p3(self) -> Chapter:
        """Privileged read."""
        chapter: Chapter = apart(middleware.privileged_read, self.effort)
        cost = chapter.findings[0].figure
        findings = [*chapter.findings]
        for store, table in self._reads:
            bare = results.find(table, whole.BARE).cost.median
            findings.append(
                Finding(
                    f"of placement's own GET, {store.words}",
                    100 * cost / bare,
                    0.5,
                    '%',
                )
            )
        return replace(chapter, findings=tuple(findings))

    @functools.cached_property
    def _reads(self) -> list[tuple[Store, results.Table]]:
        return [
            (store, apart(whole.read_one, store, self.effort)) for store in self.stores
        ]

    @functools.cached_property
    def _lookups(self) -> list[tuple[Store, results.Table]]:
        return [
            (store, apart(whole.look_up, store, self.effort)) for store in self.stores
        ]

    def p4(self) -> Chapter:
        """Owner path."""
        return whole.owner_path(
            self._reads,
            [apart(inside.measure, store, self.effort) for store in self.stores],
            [table for _, table in self._lookups],
        )

    @functools.cached_property
    def _lists(self) -> tuple[Chapter, Chapter]:
        effort = self.effort.scaled(rounds=0.3)
        measured = []
        for store in [*self.largest, self._mariadb]:
            for number in stores.find_lists(store)[-1 if self.quick else 0 :]:
                found = apart(lists.filter_list, store, number, effort)
                measured.append((store, number, *found))
        return lists.make_chapters(measured)

    def p5(self) -> Chapter:
        """Filtered lists."""
        return self._lists[0]

    def p6(self) -> Chapter:
        """A role-holder's list."""
        return self._lists[1]

    def p7(self) -> Chapter:
        """Privileged write."""
        chapter: Chapter = apart(middleware.privileged_write, self.effort)
        cost = chapter.findings[0].figure
        findings, made = [*chapter.findings], [*chapter.tables]
        for store in self.largest:
            table = apart(whole.write_one, store, self.effort)
            made.append(table)
            bare = results.find(table, whole.BARE).cost.median
            findings.append(
                Finding(
                    f"of placement's own PUT, {store.words}",
                    100 * cost / bare,
                    1.0,
                    '%',
                )
            )
        return replace(chapter, findings=tuple(findings), tables=tuple(made))

    def p8(self) -> Chapter:
        """Growth."""
        requests = 1_000_000 if self.long else 10_000 if self.quick else 200_000
        rules = apart(growth.judge_among, self.effort)
        runs = [apart(growth.run_long, store, requests) for store in self.largest]
        return growth.make_chapter(self._lookups, rules, runs)

    def p9(self) -> Chapter:
        """Reload."""
        chapter: Chapter = apart(serving.reload, 2 if self.quick else 20)
        return chapter

    def p10(self) -> Chapter:
        """Throughput."""
        rounds, seconds = (3, 0.5) if self.quick else (11, 2.5)
        measured = []
        for store in self.largest:
            for workers in (1,) if self.quick else (1, 2):
                found = apart(serving.throughput, store, workers, rounds, seconds)
                measured.append((store, workers, found))
        return serving.serving_chapter(measured)

    def m3(self) -> Chapter:
        """A role-holder's list in place."""
        measured = [apart(byrole.measure, store, self.effort) for store in self.largest]
        chapter: Chapter = measured[0]
        return replace(
            chapter,
            findings=tuple(each.findings[0] for each in measured),
            tables=tuple(each.tables[0] for each in measured),
        )

    def p11(self) -> Chapter:
        """Start."""
        chapter: Chapter = apart(serving.start, 2 if self.quick else 15)
        return chapter


def run(goals: Sequence[str], *, quick: bool, long: bool) -> Iterator[Chapter]:
    """Run the chapters of some goals."""
    with contextlib.ExitStack() as stack:
        programme = Programme(stack, quick, long)
        for goal in sorted(set(goals), key=GOALS.index):
            started = time.monotonic()
            chapter = getattr(programme, goal.lower())()
            yield replace(chapter, seconds=time.monotonic() - started)
