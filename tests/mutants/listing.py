# SPDX-License-Identifier: Apache-2.0
"""The mutants that no test can notice, each with its reason; and the figures."""

import csv
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import yaml

_HERE = pathlib.Path(__file__).resolve().parent
EQUIVALENT = _HERE / 'equivalent.yaml'
FIGURES = _HERE.parent.parent / 'doc' / 'mutants.csv'
DOORS = FIGURES.with_name('doors.csv')

#: Module, class and function, what is there, and what the mutant makes of it.
Key = tuple[str, str, str, str]


class Figure(NamedTuple):
    """One module's row of the figures."""

    killed: int
    equivalent: int
    survived: int


def read_equivalents(path: pathlib.Path = EQUIVALENT) -> dict[Key, str]:
    """The reasons.

    :raises ValueError: an entry has no reason
    """
    reasons: dict[Key, str] = {}
    for entry in yaml.safe_load(path.read_text(encoding='utf-8')) or ():
        key = tuple(entry[name] for name in ('module', 'where', 'before', 'after'))
        if not str(entry.get('reason') or '').strip():
            raise ValueError(f'{path.name}: {key} has no reason')
        reasons[key] = entry['reason']
    return reasons


def write_figures(figures: Mapping[str, Figure], path: pathlib.Path = FIGURES) -> None:
    """Replace the rows of these modules, keep the others."""
    write_rows({name: (sum(row), *row) for name, row in figures.items()}, path)


def write_rows(fresh: Mapping[str, Sequence[int]], path: pathlib.Path) -> None:
    """Replace these rows of a table, keep the others."""
    rows: dict[str, Sequence[object]] = {}
    if path.exists():
        with path.open(newline='', encoding='utf-8') as file:
            rows = {row[0]: row[1:] for row in csv.reader(file)}
    rows |= fresh
    with path.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerows((module, *row) for module, row in sorted(rows.items()))
