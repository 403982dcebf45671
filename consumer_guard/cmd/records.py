# SPDX-License-Identifier: Apache-2.0
"""Files of decision records, as commands read them."""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator

from consumer_guard.cmd.base import CommandFailed
from consumer_guard.cmd.progress import show_progress


class NoRecords(CommandFailed):
    """A file has no decision record in it."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(
            f'{path} ({name}): no line holds a decision record; records are written '
            'at INFO by the logger consumer_guard.audit'
        )


def _count_lines(
    lines: Iterable[str], update: Callable[[int], object]
) -> Iterator[str]:
    for line in lines:
        yield line
        update(len(line))


@contextlib.contextmanager
def open_records(path: str, name: str) -> Iterator[Iterable[str]]:
    """The lines of a file of records; ``-`` for the standard input.

    :param name: of the option or argument that names it
    :raises CommandFailed: it cannot be read
    """
    # What is not UTF-8 becomes a bad line, not an end.
    if path == '-':
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors='replace')
        yield sys.stdin
        return
    try:
        with (
            open(path, encoding='utf-8', errors='replace') as lines,
            show_progress(os.path.getsize(path), 'characters') as progress,
        ):
            yield _count_lines(lines, progress.update)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CommandFailed(f'{path} ({name}): cannot be read: {reason}') from None
