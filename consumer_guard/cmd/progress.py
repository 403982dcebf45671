# SPDX-License-Identifier: Apache-2.0
"""One line of progress on a terminal, with rate and remaining time."""

import sys
from typing import Any

import tqdm


def show_progress(total: int | None, unit: str) -> 'tqdm.tqdm[Any]':
    """A line on standard error; nothing without a terminal.

    Security: it moves the cursor, so it writes past everything that escapes control
    characters, and shows numbers and ``unit`` alone.

    :param total: how many there are, where it is known
    """
    # Without a terminal, None disables it.
    return tqdm.tqdm(total=total, unit=f' {unit}', file=sys.__stderr__, disable=None)
