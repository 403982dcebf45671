# SPDX-License-Identifier: Apache-2.0
"""The tables of what a whole run has searched and replayed, for the documentation."""

import csv
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from tests.formal.spin import Search
from tests.formal.traces import Trace
from tests.formal.variants import GUARD, MUTANTS, Variant

_DOC = pathlib.Path(__file__).resolve().parent.parent.parent / 'doc'
SEARCHES, REPLAYS = _DOC / 'model.csv', _DOC / 'model-replays.csv'

#: Switches that assert something.
_PROPERTIES = [
    'FOREIGN',
    'HELD',
    'KEPT',
    'ATOMIC',
    'CLAIM',
    'LOST',
    'FITS',
    'BYSTANDER',
]

#: What the other switches mean for a reader of the table.
_SITUATIONS = {
    'REUSE': 'ids given again',
    'START=0': 'generation 0',
    'ALLKINDS': 'the owner sends everything',
    'OWNERS=2': 'two owners',
    'ROLL': 'counters are rolled',
    'HANDS=1': 'an operator rolls once, at any time',
    'HANDS=2': 'an operator rolls twice, at any time',
    'BYSTANDER': 'another consumer gets the freed id',
}


def write_searches(
    found: Mapping[Variant, Search], path: pathlib.Path = SEARCHES
) -> None:
    """A row for each search of the guard as it is, and one of each sum."""
    rows = [[*_describe(variant), f'{found[variant].states:,}'] for variant in GUARD]
    lengths = [len(found[variant].counterexample) for variant in MUTANTS]
    rows += [
        [
            f'{len(MUTANTS)} mutants',
            f'each fails, in {min(lengths)} to {max(lengths)} steps',
            '',
            f'{sum(found[variant].states for variant in MUTANTS):,}',
        ],
        [
            f'{len(found)} searches',
            'all of them',
            '',
            f'{sum(search.states for search in found.values()):,}',
        ],
    ]
    _write(path, rows)


def _describe(variant: Variant) -> tuple[str, str, str]:
    """Its properties, its situation, and the requests of role-holders and owners."""
    switches = variant.switches(small=False)
    asserted = ' '.join(name for name in _PROPERTIES if name in switches)
    deleting = 'in one step' if 'WHOLE' in switches else 'in its steps'
    others = [words for switch, words in _SITUATIONS.items() if switch in switches]
    bounds = dict(switch.partition('=')[::2] for switch in switches)
    return (
        f'``{asserted}``',
        '; '.join([f'``DELETE`` {deleting}', *others]),
        f'{bounds["OPS"]}, {bounds.get("TRIES", 1)}',
    )


def write_replays(
    recorded: Sequence[Trace], databases: Iterable[str], path: pathlib.Path = REPLAYS
) -> None:
    """A row for each database on which every run was replayed as expected."""
    rows = []
    for database in databases:
        chosen = [trace for trace in recorded if trace.can_happen(database)]
        mutants = sum(trace.mutant for trace in chosen)
        random = sum(trace.name.startswith('random') for trace in chosen)
        steps = sum(len(trace.steps) for trace in chosen)
        counterexamples = len(chosen) - mutants - random
        rows.append([database, random, counterexamples, mutants, f'{steps:,}'])
    _write(path, rows)


def _write(path: pathlib.Path, rows: Iterable[Sequence[object]]) -> None:
    with path.open('w', newline='', encoding='utf-8') as file:
        csv.writer(file, lineterminator='\n').writerows(rows)
