# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG files."""

from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot

from bench.results import Curve

mpl.use('svg')
# Text as text, and the same file for the same figures.
mpl.rcParams.update({'svg.fonttype': 'none', 'svg.hashsalt': 'bench'})


def draw(curve: Curve, path: Path) -> None:
    """Write the SVG of one curve."""
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout='constrained')
    for name, line in curve.series.items():
        axes.plot(*zip(*sorted(line), strict=True), marker='o', label=name)
    axes.set(title=curve.title, xlabel=curve.x, ylabel=curve.y)
    if curve.x_logarithmic:
        axes.set_xscale('log')
    if curve.y_logarithmic:
        axes.set_yscale('log')
    else:
        axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path, metadata={'Date': None})
    pyplot.close(figure)
