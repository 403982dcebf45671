# SPDX-License-Identifier: Apache-2.0
"""Writes one JSON line per event to the logger ``consumer_guard.audit``.

Masked; the same lines unmasked go to one file, where the operator has named
one. Nothing here raises, and nothing waits for a reader.
"""

import json
import logging
import os
from collections.abc import Callable
from typing import Any

from consumer_guard.guard.model import Caller
from consumer_guard.telemetry.masking import Mask, make_key, make_mask
from consumer_guard.telemetry.metrics import RECORDS_DROPPED, Metrics

LOG = logging.getLogger('consumer_guard.audit')

#: Makes a record as a mask shows it.
Describe = Callable[[Mask], dict[str, Any]]


class Journal:
    """Writes records, masked to the log and unmasked to a file.

    :param secret: of the keyed hashes; '' for a random one of this process
    :param unmasked_file: path of the file for unmasked records, or ''
    """

    def __init__(self, secret: str, unmasked_file: str, metrics: Metrics) -> None:
        self._key = make_key(secret)
        self._unmasked_file = unmasked_file
        self._metrics = metrics

    def write(self, caller: Caller | None, describe: Describe) -> None:
        """Write one record; never raises."""
        credentials = caller.credentials if caller else {}
        try:
            # Security: ASCII with escapes, so that no newline sent by a client
            # forges a line.
            line = json.dumps(describe(make_mask(credentials, self._key)))
            LOG.info('%s', line)
            if self._unmasked_file:
                unmasked = json.dumps(describe(make_mask(credentials, None)))
                _append(self._unmasked_file, unmasked)
        except OSError as exc:
            self._metrics.count(RECORDS_DROPPED)
            LOG.error(
                'A record could not be written to %s: %s',
                self._unmasked_file,
                exc.strerror,
            )
        except Exception:
            # Security: a record that cannot be masked is dropped, not leaked; the
            # request is answered all the same.
            self._metrics.count(RECORDS_DROPPED)
            LOG.error('A decision record could not be written', exc_info=False)


#: A single write to the end, so that lines of several processes do not mix; not
#: kept open, so that the file may be rotated and no fork shares it; non-blocking,
#: because it may be a pipe without a reader.
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK


def _append(path: str, line: str) -> None:
    # Security: the file holds ids of all projects.
    descriptor = os.open(path, _APPEND, mode=0o600)
    try:
        os.write(descriptor, f'{line}\n'.encode('ascii'))
    finally:
        os.close(descriptor)
