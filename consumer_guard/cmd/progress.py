# SPDX-License-Identifier: Apache-2.0
"""One line of progress on a terminal, with rate and remaining time."""

import sys
from typing import Any

import tqdm


def show_progress(total: int, unit: str) -> 'tqdm.tqdm[Any]':
    """A line on standard error; nothing without a terminal.

    Security: it moves the cursor, so it writes past everything that escapes control
    characters, and shows numbers and ``unit`` alone.

    :param total: how many there are; 0 where it is not known
    """
    return tqdm.tqdm(
        total=total or None,
        unit=f' {unit}',
        unit_scale=True,
        file=sys.__stderr__,
        disable=None,  # where that is no terminal
    )
