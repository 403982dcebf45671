# SPDX-License-Identifier: Apache-2.0
"""Draws boxes and who needs whom as SVG, in layers, without a layout program.

An arrow that follows from others is left out. A box stands one layer above the
highest one that it needs; an arrow over several layers goes around the boxes.
"""

import itertools
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 150, 46
GAP_X, GAP_Y = 24, 44
MARGIN = 12
#: Room that an arrow takes where it passes a layer.
PASSAGE = 30

_HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" '
    'height="{1}" role="img" font-family="sans-serif" font-size="13">'
    '<title>{2}</title>'
    '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
    'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>'
)


class Box(NamedTuple):
    """One thing to draw.

    :ivar note: a second, smaller line
    :ivar needs: labels of other boxes
    :ivar marked: drawn in the colour that the legend explains
    """

    label: str
    note: str
    needs: frozenset[str]
    marked: bool


class _Spot(NamedTuple):
    """A box, or where an arrow passes a layer."""

    label: str
    passing: str = ''
    layer: int = 0

    @property
    def width(self) -> int:
        return PASSAGE if self.passing else WIDTH


def reduce(needs: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Leave out what follows from the rest.

    :raises ValueError: there is a circle
    """
    layers = find_layers(needs)
    below: dict[str, frozenset[str]] = {}
    for label in sorted(needs, key=lambda label: layers[label]):
        below[label] = needs[label].union(*(below[each] for each in needs[label]))
    return {
        label: frozenset(
            each for each in direct if not any(each in below[other] for other in direct)
        )
        for label, direct in needs.items()
    }


def find_layers(needs: Mapping[str, frozenset[str]]) -> dict[str, int]:
    """The layer of each, 0 for what needs nothing.

    :raises ValueError: there is a circle
    """
    layers: dict[str, int] = {}
    rest = dict(needs)
    while rest:
        free = [label for label, each in rest.items() if each <= layers.keys()]
        if not free:
            raise ValueError(f'a circle among {", ".join(sorted(rest))}')
        found = {
            label: 1 + max((layers[each] for each in rest.pop(label)), default=-1)
            for label in free
        }
        layers |= found
    return layers


def draw(boxes: Sequence[Box], title: str) -> str:
    """Draw them; those that need others stand above those.

    :raises ValueError: there is a circle
    """
    needs = {box.label: box.needs for box in boxes}
    rows, arrows = _arrange(reduce(needs), find_layers(needs))
    spots = _place(rows)
    width = max(x for x, _ in spots.values()) + WIDTH // 2 + MARGIN
    height = len(rows) * (HEIGHT + GAP_Y) - GAP_Y + 2 * MARGIN
    lines = [_HEAD.format(width, height, escape(title))]
    lines += [_draw_arrow([spots[spot] for spot in arrow]) for arrow in arrows]
    lines += [_draw_box(box, *spots[_Spot(box.label)]) for box in boxes]
    return '\n'.join([*lines, '</svg>', ''])


def _arrange(
    needs: Mapping[str, frozenset[str]], layers: Mapping[str, int]
) -> tuple[list[list[_Spot]], list[list[_Spot]]]:
    """The spots of each layer, highest layer first, and those of each arrow."""
    rows: list[list[_Spot]] = [[] for _ in range(max(layers.values()) + 1)]
    arrows = []
    for label, layer in layers.items():
        rows[layer].append(_Spot(label))
        for other in sorted(needs[label]):
            passed = [
                _Spot(label, other, between)
                for between in range(layer - 1, layers[other], -1)
            ]
            arrows.append([_Spot(label), *passed, _Spot(other)])
            for spot in passed:
                rows[spot.layer].append(spot)
    return _untangle(rows[::-1], arrows), arrows


def _untangle(rows: list[list[_Spot]], arrows: list[list[_Spot]]) -> list[list[_Spot]]:
    """Order each row by the middle of what its spots are joined with."""
    joined: dict[_Spot, set[_Spot]] = {spot: set() for row in rows for spot in row}
    for arrow in arrows:
        for one, other in itertools.pairwise(arrow):
            joined[one].add(other)
            joined[other].add(one)
    for _ in range(8):
        for row in (*rows, *rows[::-1]):
            places = _place(rows)

            def middle(
                spot: _Spot, places: dict[_Spot, tuple[int, int]] = places
            ) -> float:
                others = [places[each][0] for each in joined[spot]]
                return sum(others) / len(others) if others else places[spot][0]

            row.sort(key=middle)
    return rows


def _place(rows: Sequence[Sequence[_Spot]]) -> dict[_Spot, tuple[int, int]]:
    """Middle and upper edge of each spot."""
    widths = [sum(spot.width + GAP_X for spot in row) - GAP_X for row in rows]
    places = {}
    for number, row in enumerate(rows):
        left = MARGIN + (max(widths) - widths[number]) // 2
        for spot in row:
            y = MARGIN + number * (HEIGHT + GAP_Y)
            places[spot] = (left + spot.width // 2, y)
            left += spot.width + GAP_X
    return places


def _draw_arrow(points: Sequence[tuple[int, int]]) -> str:
    (x, y), *between, (end_x, end_y) = points
    path = [f'M{x} {y + HEIGHT}']
    for through_x, through_y in between:
        path.append(f'L{through_x} {through_y} V{through_y + HEIGHT}')
    path.append(f'L{end_x} {end_y}')
    return (
        f'<path d="{" ".join(path)}" fill="none" stroke="#555" '
        'marker-end="url(#head)"/>'
    )


def _draw_box(box: Box, middle: int, y: int) -> str:
    fill = '#d6e6f5' if box.marked else '#f4f4f4'
    return (
        f'<rect x="{middle - WIDTH // 2}" y="{y}" width="{WIDTH}" height="{HEIGHT}" '
        f'rx="4" fill="{fill}" stroke="#555"/>'
        f'<text x="{middle}" y="{y + 19}" text-anchor="middle" '
        f'font-weight="bold">{escape(box.label)}</text>'
        f'<text x="{middle}" y="{y + 36}" text-anchor="middle" '
        f'font-size="11">{escape(box.note)}</text>'
    )
