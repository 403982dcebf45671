# SPDX-License-Identifier: Apache-2.0
"""What the commands share: configuration, exit status, errors of one line."""

import argparse
import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cliff import command, lister
from oslo_config import cfg

from consumer_guard.cmd.terminal import neutralise_cell
from consumer_guard.config import loading
from consumer_guard.config.settings import Settings
from consumer_guard.doctor.probing import capture_warnings
from consumer_guard.guard.errors import GuardError

# oslo.policy logs a traceback for each rule that it cannot parse; the guard's
# own loggers would repeat the findings.
_NOISY = (
    'oslo_policy',
    'consumer_guard.rules.rulebook',
    'consumer_guard.rules.remote',
)


class CommandFailed(GuardError):
    """A command cannot go on; the message is for the operator."""


class GuardCommand(command.Command):
    """A command that reads the guard's configuration.

    :ivar status: the exit status, 0 until ``take_action`` sets it
    """

    status = 0

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """The options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        self.add_options(parser)
        return parser

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of this command."""

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Take action, and return the exit status."""
        super().run(parsed_args)
        return self.status

    @property
    def config_file(self) -> str | None:
        """The file that ``--config-file`` names."""
        return getattr(self.app_args, 'config_file', None)

    @property
    def _local_conf(self) -> dict[str, str]:
        """The keys of a paste section that names this file."""
        return (
            {} if self.config_file is None else {'oslo_config_file': self.config_file}
        )

    def parse_configuration(self) -> cfg.ConfigOpts:
        """The guard's files, whether its options can be used or not.

        :raises consumer_guard.guard.errors.ConfigurationError: one cannot be read
        """
        return loading.parse_files(self._local_conf)

    def read_configuration(self) -> tuple[cfg.ConfigOpts, Settings]:
        """The guard's configuration.

        :raises consumer_guard.guard.errors.ConfigurationError: it cannot be used
        """
        conf = self.parse_configuration()
        return conf, loading.load(conf, self._local_conf).settings

    def note(self, text: str) -> None:
        """Show a line beside the output, on standard error."""
        self.app.stderr.write(f'{text}\n')


class GuardLister(GuardCommand, lister.Lister):
    """A list with an exit status of its own."""

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
    ) -> int:
        """Print the list.

        What is missing is null in data, and blank elsewhere. A spreadsheet opens what
        ``-f csv`` prints.
        """
        if parsed_args.formatter not in ('json', 'yaml'):
            data = [['' if cell is None else cell for cell in row] for row in data]
        if parsed_args.formatter == 'csv':
            # Security: text of others would be a formula there.
            data = [tuple(map(neutralise_cell, row)) for row in data]
        status: int = super().produce_output(parsed_args, column_names, data)
        return status


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """No log lines of libraries, and errors of one line.

    :raises CommandFailed: for any GuardError, its message on one line
    """
    with contextlib.ExitStack() as silenced:
        for name in _NOISY:
            silenced.enter_context(capture_warnings(name))
        try:
            yield
        except GuardError as error:
            raise CommandFailed(' '.join(str(error).split())) from None


def read_file(path: str, option: str) -> bytes:
    """A file that an option names.

    :raises CommandFailed: it cannot be read
    """
    try:
        with open(path, 'rb') as file:
            return file.read()
    except OSError as exc:
        raise CommandFailed(f'{option} {path}: {exc.strerror}') from None


def write_file(path: str, option: str, content: bytes) -> None:
    """Write a file that an option names.

    :raises CommandFailed: it cannot be written
    """
    try:
        with open(path, 'wb') as file:
            file.write(content)
    except OSError as exc:
        raise CommandFailed(f'{option} {path}: {exc.strerror}') from None


def read_json(path: str, option: str) -> Any:
    """A JSON file that an option names.

    :raises CommandFailed: it cannot be read, or is not JSON
    """
    content = read_file(path, option)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as exc:
        why = str(exc) if isinstance(exc, json.JSONDecodeError) else 'not readable'
        raise CommandFailed(f'{option} {path}: not JSON: {why}') from None
