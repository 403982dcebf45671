# SPDX-License-Identifier: Apache-2.0
"""Tables as Markdown, for cliff."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from cliff.formatters import base


class MarkdownFormatter(base.ListFormatter):
    """A table as GitHub, GitLab and most wikis read it."""

    def add_argument_group(self, parser: argparse.ArgumentParser) -> None:
        """No options."""

    def emit_list(
        self,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
        stdout: TextIO,
        parsed_args: argparse.Namespace,  # noqa: ARG002  # cliff's
    ) -> None:
        """Write one line a row."""
        rule = ['---'] * len(column_names)
        for row in (column_names, rule, *data):
            stdout.write(f'| {" | ".join(map(_escape, row))} |\n')


def _escape(cell: object) -> str:
    return str(cell).replace('\\', '\\\\').replace('|', '\\|').replace('\n', ' ')
