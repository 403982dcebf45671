# SPDX-License-Identifier: Apache-2.0
"""Runs ``consumer-guard`` in this process."""

import contextlib
import dataclasses
import io
import json
import logging
import pathlib
from typing import Any

from consumer_guard.cmd import main as guard_main


@dataclasses.dataclass(frozen=True)
class Run:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed with ``-f json``."""
        return json.loads(self.out)

    def assert_stopped(self, *words: str) -> None:
        """One clear line, and status 2."""
        assert self.status == 2, self.err
        assert self.out == ''
        assert len(self.err.splitlines()) == 1, self.err
        for word in words:
            assert word in self.err


class Commands:
    """The program, with one configuration.

    :param conf: of the guard
    """

    def __init__(self, conf: pathlib.Path) -> None:
        self.conf = conf

    def run(self, *arguments: str) -> Run:
        """Run one command; argparse's own refusals count as status 2."""
        root = logging.getLogger()
        before = list(root.handlers)
        # What a deployment of this process has set up is not the command's, and
        # cliff gives the root logger a handler for every run.
        root.handlers[:] = []
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = guard_main.main(['--config-file', str(self.conf), *arguments])
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        finally:
            root.handlers[:] = before
        return Run(status, out.getvalue(), err.getvalue())
