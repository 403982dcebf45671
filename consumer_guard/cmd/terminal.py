# SPDX-License-Identifier: Apache-2.0
"""All that a command prints goes through here, to a terminal or elsewhere.

Security: files, databases and servers hold text of others. A control sequence in it
would move the cursor, forge lines or type on the operator's terminal; a cell that
begins with ``=`` is a formula for a spreadsheet.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

#: Layout of our own; everything else that is not printable is shown as an escape.
_LAYOUT = frozenset('\n\t')

#: How spreadsheets recognise a formula (OWASP, "CSV Injection").
_FORMULA = ('=', '+', '-', '@', '\t', '\r', '\n')


def show_controls(text: str) -> str:
    r"""The text with ``\u001b`` for what does not print, which JSON reads, too."""
    if text.isprintable():
        return text
    return ''.join(
        char if char.isprintable() or char in _LAYOUT else _escape_char(char)
        for char in text
    )


def _escape_char(char: str) -> str:
    # As JSON writes it: two surrogates for what is beyond U+FFFF.
    units = char.encode('utf-16-be', 'surrogatepass')
    pairs = zip(units[::2], units[1::2], strict=True)
    return ''.join(f'\\u{high:02x}{low:02x}' for high, low in pairs)


def neutralise_cell(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return cell


class _ShownStream:
    """A text stream that shows control characters; otherwise the stream below."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be shown."""
        self._stream.write(show_controls(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of them."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def shown_output() -> Iterator[None]:
    """Show control characters in everything that is printed meanwhile."""
    out, err = cast(TextIO, sys.stdout), cast(TextIO, sys.stderr)
    with (
        contextlib.redirect_stdout(cast(TextIO, _ShownStream(out))),
        contextlib.redirect_stderr(cast(TextIO, _ShownStream(err))),
    ):
        yield
