# SPDX-License-Identifier: Apache-2.0
"""One JSON line an event on the logger ``consumer_guard.audit``.

Masked; the same lines in the clear go to one file, where the operator has
named one. Nothing here raises, and nothing waits for a reader.
"""

import json
import logging
import os
from collections.abc import Callable
from typing import Any

from consumer_guard.guard.model import Caller
from consumer_guard.telemetry import masking, metrics
from consumer_guard.telemetry.masking import Mask
from consumer_guard.telemetry.metrics import Metrics

LOG = logging.getLogger('consumer_guard.audit')

#: Makes a record as a mask shows it.
Describe = Callable[[Mask], dict[str, Any]]


class Journal:
    """Writes records, masked here and in the clear there.

    :param secret: of the keyed hashes; '' for one of this process's own
    :param unmasked_file: path of the file for records in the clear, or ''
    """

    def __init__(self, secret: str, unmasked_file: str, told: Metrics) -> None:
        self._key = masking.make_key(secret)
        self._metrics = told
        self._unmasked_file = unmasked_file

    def write(self, caller: Caller | None, describe: Describe) -> None:
        """Write one record; never raises."""
        credentials = caller.credentials if caller else {}
        try:
            # ASCII with escapes: no newline of a client's forges a line.
            line = json.dumps(describe(masking.make_mask(credentials, self._key)))
            LOG.info('%s', line)
            if self._unmasked_file:
                clear = json.dumps(describe(masking.make_mask(credentials, None)))
                _append(self._unmasked_file, clear)
        except OSError as exc:
            self._metrics.count(metrics.RECORDS_DROPPED)
            LOG.error(
                'A record could not be written to %s: %s',
                self._unmasked_file,
                exc.strerror,
            )
        except Exception:
            # Security: a record that cannot be masked is dropped, not leaked;
            # the answer goes its way.
            self._metrics.count(metrics.RECORDS_DROPPED)
            LOG.error('A decision record could not be written', exc_info=False)


#: One write to the end of the file, so that lines of several processes do not
#: mix; not held open, so that it may be rotated and no fork shares it; never
#: waiting, should it be a pipe that nobody reads.
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK


def _append(path: str, line: str) -> None:
    # Security: ids of all projects stand in it.
    descriptor = os.open(path, _APPEND, mode=0o600)
    try:
        os.write(descriptor, f'{line}\n'.encode('ascii'))
    finally:
        os.close(descriptor)
