# SPDX-License-Identifier: Apache-2.0
"""Runs ``consumer-guard`` in this process."""

import contextlib
import io
import json
import logging
import pathlib
from typing import Any, NamedTuple

import yaml

from consumer_guard.cmd import main as guard_main


class Run(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed with ``-f json``."""
        return json.loads(self.out)

    def assert_stopped(self, *words: str) -> str:
        """One clear line, which is returned, and status 2."""
        assert self.status == 2, self.err
        assert self.out == ''
        (line,) = self.err.splitlines()
        for word in words:
            assert word in line
        return line


class Commands:
    """The program, with one configuration.

    :param conf: of the guard; None leaves it to the program to find one
    """

    def __init__(self, conf: pathlib.Path | None = None) -> None:
        self.conf = conf

    def run(self, *arguments: str) -> Run:
        """Run one command; argparse's own refusals count as status 2."""
        where = [] if self.conf is None else ['--config-file', str(self.conf)]
        root = logging.getLogger()
        before = list(root.handlers)
        # What a deployment of this process has set up is not the command's, and
        # cliff gives the root logger a handler for every run.
        root.handlers[:] = []
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = guard_main.main([*where, *arguments])
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        finally:
            root.handlers[:] = before
        return Run(status, out.getvalue(), err.getvalue())

    def list(self, *arguments: str) -> tuple[int, Any, str]:
        """Run one command with ``-f json``: its status, what it printed, its errors."""
        run = self.run(*arguments, '-f', 'json')
        return run.status, run.json, run.err


class Cli(Commands):
    """The program, and the folder of the files for it.

    :param conf: name of the guard's configuration in it
    """

    def __init__(self, folder: pathlib.Path, conf: str | None = None) -> None:
        super().__init__(folder / conf if conf else None)
        self.folder = folder

    def write(self, name: str, document: object) -> str:
        """Write a text, or anything else as YAML; returns the path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = document if isinstance(document, str) else yaml.safe_dump(document)
        path.write_text(text)
        return str(path)

    def configure(self, *lines: str) -> None:
        """Write the guard's configuration; its database is never there."""
        assert self.conf is not None
        away = 'connection = sqlite:////nowhere/placement.db'
        self.write(self.conf.name, '\n'.join(['[consumer_guard]', away, *lines, '']))
