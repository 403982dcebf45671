# SPDX-License-Identifier: Apache-2.0
"""What a run has found, as values."""

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench import timing
from bench.statistics import Estimate, estimate


class Role(str, enum.Enum):
    """What a row of a table is."""

    OURS = 'ours'
    REFERENCE = 'reference'
    CONTROL = 'control'  #: a reference a second time


@dataclass(frozen=True, slots=True)
class Row:
    """One variant.

    :ivar cost: in the table's unit
    :ivar over: what it costs more than the table's base, round by round
    :ivar share: the same in percent of the base
    """

    what: str
    role: Role
    cost: Estimate
    over: Estimate | None = None
    share: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Variants that were measured side by side.

    :ivar base: what of the rows the others are compared with
    :ivar conditions: sizes, engines and the like, for the reader
    """

    title: str
    unit: str
    rows: tuple[Row, ...]
    base: str | None = None
    conditions: str = ''


@dataclass(frozen=True, slots=True)
class Finding:
    """A figure beside its goal.

    :ivar limit: at most, or at least where ``at_least``; None: told only
    """

    claim: str
    figure: float
    limit: float | None
    unit: str
    at_least: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.limit is None:
            return None
        if self.at_least:
            return self.figure >= self.limit
        return self.figure <= self.limit


@dataclass(frozen=True, slots=True)
class Curve:
    """A plot: one line a series, points of (x, y)."""

    name: str
    title: str
    x: str
    y: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    x_logarithmic: bool = True
    y_logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Chapter:
    """All about one goal."""

    goal: str
    title: str
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()
    curves: tuple[Curve, ...] = ()
    seconds: float = field(default=0.0, compare=False)


#: Factors from seconds.
UNITS = {'µs': 1e6, 'ms': 1e3, 's': 1.0}


def make_table(
    title: str,
    samples: timing.Samples,
    *,
    ours: Sequence[str],
    base: str | None = None,
    unit: str = 'µs',
    conditions: str = '',
) -> Table:
    """The table of what :func:`bench.timing.measure` has returned.

    :param ours: names of the guard's own variants
    """
    factor = UNITS[unit]
    rows = []
    for name, times in samples.items():
        role = Role.OURS if name in ours else Role.REFERENCE
        if name.endswith(timing.AGAIN.format('')):
            role = Role.CONTROL
        over = share = None
        if base is not None and name != base:
            pairs = [*zip(times, samples[base], strict=True)]
            over = estimate([one - other for one, other in pairs]).scaled(factor)
            share = estimate([one / other - 1 for one, other in pairs]).scaled(100)
        cost = estimate(times).scaled(factor)
        rows.append(Row(name, role, cost, over, share))
    return Table(title, unit, tuple(rows), base, conditions)


def find(table: Table, what: str) -> Row:
    """The row of that name.

    :raises KeyError: there is none
    """
    for row in table.rows:
        if row.what == what:
            return row
    raise KeyError(what)


def over(table: Table, what: str) -> float:
    """The median of what a row costs more than the base."""
    more = find(table, what).over
    if more is None:
        raise KeyError(table.base)
    return more.median


def share(table: Table, what: str) -> float:
    """The median of what a row costs more than the base, in percent."""
    part = find(table, what).share
    if part is None:
        raise KeyError(table.base)
    return part.median


def noise(table: Table) -> Finding:
    """What the same thing differed by, run twice in each round."""
    control = next(row for row in table.rows if row.role is Role.CONTROL)
    if control.share is None:
        raise KeyError(table.base)
    return Finding(
        f'noise: {control.what}, half the 95 % interval',
        (control.share.high - control.share.low) / 2,
        None,
        '%',
    )


def to_plain(value: object) -> object:
    """Dataclasses as dictionaries, for JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = dataclasses.asdict(value)
        if isinstance(value, Chapter):
            for one, finding in zip(plain['findings'], value.findings, strict=True):
                one['reached'] = finding.reached
        return plain
    return value
