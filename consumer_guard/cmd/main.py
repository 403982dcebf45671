# SPDX-License-Identifier: Apache-2.0
"""The command ``consumer-guard``."""

import logging
import sys
from collections.abc import Sequence
from typing import Any

from cliff import app, commandmanager
from cliff import help as help_

from consumer_guard.cmd.terminal import shown_output
from consumer_guard.guard.errors import GuardError
from consumer_guard.telemetry.version import find_guard_version

#: The loggers of the guard's own modules begin with it.
_PACKAGE = 'consumer_guard.'


class GuardApp(app.App):
    """One program, its commands are entry points."""

    DEFAULT_VERBOSE_LEVEL = 0

    def __init__(self) -> None:
        super().__init__(
            description='Inspect and maintain consumer_guard.',
            version=find_guard_version(),
            command_manager=commandmanager.CommandManager('consumer_guard.commands'),
            deferred_help=True,
        )
        self.stopped = False
        self._others = frozenset(logging.getLogger().handlers)

    def build_option_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Add where the configuration is to every command."""
        parser = super().build_option_parser(*args, **kwargs)
        parser.add_argument(
            '--config-file',
            metavar='PATH',
            help='configuration file of the guard (default: consumer-guard.conf where '
            'oslo.config finds it)',
        )
        return parser

    def interact(self) -> None:
        """Show the help where no command was given."""
        help_.HelpAction([], '', default=self)(self.parser, self.options, None)

    def configure_logging(self) -> None:
        """Hide the guard's own log, which ``-v`` shows."""
        super().configure_logging()
        if self.options.verbose_level == 0:
            for handler in set(logging.getLogger().handlers) - self._others:
                if not isinstance(handler, logging.FileHandler):
                    handler.addFilter(lambda record: _PACKAGE not in record.name)

    def clean_up(self, cmd: Any, result: int, err: BaseException | None) -> None:
        """Remember that a command failed; cliff has reported why."""
        super().clean_up(cmd, result, err)
        self.stopped = isinstance(err, GuardError)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status, 2 when nothing could be done."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        with shown_output():
            app_ = GuardApp()
            status = app_.run(list(sys.argv[1:] if argv is None else argv))
    finally:
        # cliff gives the root logger a handler; who calls this again has it twice.
        root.handlers[:] = handlers
        root.setLevel(level)
    return 2 if app_.stopped else int(status)


if __name__ == '__main__':
    sys.exit(main())
