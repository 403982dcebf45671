# SPDX-License-Identifier: Apache-2.0
"""Plots as small SVG files, written by hand: lines over one or two log axes."""

import html
import math
from collections.abc import Sequence

from bench.results import Curve

WIDTH, HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 170, 36, 46
# Told apart by people who do not tell red from green, too.
_COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#555555')


def draw(curve: Curve) -> str:
    """The SVG of one curve."""
    points = [point for line in curve.series.values() for point in line]
    across = _Axis([x for x, _ in points], _LEFT, WIDTH - _RIGHT, curve.x_logarithmic)
    up = _Axis([y for _, y in points], HEIGHT - _BOTTOM, _TOP, curve.y_logarithmic)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        _text(_LEFT, 20, curve.title, 'start', 14),
        _text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 10, curve.x, 'middle'),
        f'<text transform="translate(16 {HEIGHT / 2}) rotate(-90)"'
        f' text-anchor="middle">{html.escape(curve.y)}</text>',
    ]
    for tick in across.ticks:
        parts.append(_line(across(tick), _TOP, across(tick), HEIGHT - _BOTTOM))
        parts.append(_text(across(tick), HEIGHT - _BOTTOM + 16, _label(tick), 'middle'))
    for tick in up.ticks:
        parts.append(_line(_LEFT, up(tick), WIDTH - _RIGHT, up(tick)))
        parts.append(_text(_LEFT - 6, up(tick) + 4, _label(tick), 'end'))
    for number, (name, line) in enumerate(curve.series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [(across(x), up(y)) for x, y in sorted(line)]
        path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in places)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}"'
            ' stroke-width="2"/>'
        )
        parts += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
            for x, y in places
        ]
        height = _TOP + 14 + 18 * number
        parts.append(
            f'<rect x="{WIDTH - _RIGHT + 10}" y="{height - 9}" width="10"'
            f' height="10" fill="{colour}"/>'
        )
        parts.append(_text(WIDTH - _RIGHT + 25, height, name, 'start'))
    return '\n'.join([*parts, '</svg>']) + '\n'


class _Axis:
    """From values to places on the paper."""

    def __init__(
        self, values: Sequence[float], start: float, end: float, logarithmic: bool
    ) -> None:
        self._logarithmic = logarithmic
        self._start, self._end = start, end
        self.ticks = _log_ticks(values) if logarithmic else _ticks(values)
        self._low = self._scale(min(self.ticks[0], *values))
        self._high = self._scale(max(self.ticks[-1], *values))

    def __call__(self, value: float) -> float:
        spread = self._high - self._low or 1.0
        share = (self._scale(value) - self._low) / spread
        return self._start + share * (self._end - self._start)

    def _scale(self, value: float) -> float:
        return math.log10(max(value, 1e-9)) if self._logarithmic else value


def _log_ticks(values: Sequence[float]) -> list[float]:
    low = math.floor(math.log10(max(min(values), 1e-9)) + 1e-9)
    high = math.ceil(math.log10(max(*values, 1e-09)) - 1e-9)
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _ticks(values: Sequence[float]) -> list[float]:
    """Four to eight round ones, from 0."""
    highest = max(*values, 1e-09)
    step = 10.0 ** math.floor(math.log10(highest))
    while highest / step < 4:
        step /= 2
    return [step * number for number in range(math.ceil(highest / step) + 1)]


def _label(value: float) -> str:
    if value >= 10_000:
        return f'10^{math.log10(value):.0f}' if _is_power(value) else f'{value:g}'
    return f'{value:g}'


def _is_power(value: float) -> bool:
    return abs(math.log10(value) - round(math.log10(value))) < 1e-9


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        ' stroke="#dddddd"/>'
    )


def _text(x: float, y: float, text: str, anchor: str, size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
        f' font-size="{size}">{html.escape(text)}</text>'
    )
