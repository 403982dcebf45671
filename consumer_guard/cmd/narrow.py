# SPDX-License-Identifier: Apache-2.0
"""Tables with many columns on displays with few."""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def exceeds_display(
    parsed_args: argparse.Namespace, names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> bool:
    """Whether a table is wider than its display, or than ``--max-width``.

    Never where the display is no terminal: files and pipes have no width.
    """
    width: int = parsed_args.max_width
    if width < 1 and (sys.stdout.isatty() or parsed_args.fit_width):
        try:
            width = os.get_terminal_size().columns
        except OSError:
            return False
    if width < 1 or parsed_args.formatter != 'table':
        return False
    widest = [
        max(map(len, map(str, cells))) for cells in zip(names, *rows, strict=True)
    ]
    # The lines of the table: '| ' before, ' ' behind each cell, '|' at the end.
    return sum(widest) + 3 * len(widest) + 1 > width
