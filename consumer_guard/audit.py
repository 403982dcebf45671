# SPDX-License-Identifier: Apache-2.0
"""One JSON line an event on the logger ``consumer_guard.audit``.

Masked; the same lines in the clear go to one file, where the operator has
named one. Nothing here raises, and nothing waits for a reader.
"""

import functools
import io
import json
import logging
import logging.handlers
import os
from collections.abc import Callable
from typing import Any

from consumer_guard import metrics, veil
from consumer_guard.metrics import Metrics
from consumer_guard.model import Caller
from consumer_guard.veil import Veil

LOG = logging.getLogger('consumer_guard.audit')

#: Makes a record as a veil shows it.
Describe = Callable[[Veil], dict[str, Any]]


class Journal:
    """Writes records, masked here and in the clear there.

    :param secret: of the keyed hashes; '' for one of this process's own
    :param unmasked_file: path of the file for records in the clear, or ''
    """

    def __init__(self, secret: str, unmasked_file: str, told: Metrics) -> None:
        self._key = veil.make_key(secret)
        self._metrics = told
        self._secure = _PrivateFile(unmasked_file) if unmasked_file else None

    def write(self, caller: Caller | None, describe: Describe) -> None:
        """Write one record; never raises."""
        credentials = caller.credentials if caller else {}
        try:
            # ASCII with escapes: no newline of a client's forges a line.
            line = json.dumps(describe(veil.veil_for(credentials, self._key)))
            LOG.info('%s', line)
            if self._secure is not None:
                clear = json.dumps(describe(veil.veil_for(credentials, None)))
                self._secure.handle(LOG.makeRecord(*_as_record(clear)))
        except Exception:
            # Security: a record that cannot be masked is dropped, not leaked;
            # the answer goes its way.
            self._metrics.count(metrics.RECORDS_DROPPED)
            LOG.error('A decision record could not be written', exc_info=False)


def _as_record(line: str) -> tuple[Any, ...]:
    return (LOG.name, logging.INFO, '', 0, '%s', (line,), None)


class _PrivateFile(logging.handlers.WatchedFileHandler):
    """A file for its owner only, opened at the first record; may be rotated."""

    def __init__(self, path: str) -> None:
        super().__init__(path, delay=True)

    def _open(self) -> io.TextIOWrapper:
        # Security: ids of all projects stand in it.
        opener = functools.partial(os.open, mode=0o600)
        return open(self.baseFilename, 'a', encoding='ascii', opener=opener)

    def handleError(  # noqa: N802  # logging's name
        self,
        record: logging.LogRecord,  # noqa: ARG002
    ) -> None:
        """A full disk: say so; logging would print a traceback a record."""
        LOG.error('A record could not be written to %s', self.baseFilename)
