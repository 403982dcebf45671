# SPDX-License-Identifier: Apache-2.0
"""Writes one JSON line per event to the logger ``consumer_guard.audit``.

Masked; the same records unmasked go to one file, where the operator has named
one. Nothing here raises, and nothing waits for a reader.
"""

import logging
import os
import socket
from collections.abc import Callable
from typing import Any

from consumer_guard.guard.model import Caller
from consumer_guard.telemetry.masking import Mask, make_key, make_mask
from consumer_guard.telemetry.metrics import RECORDS_DROPPED, Metrics
from consumer_guard.telemetry.rendering import SCHEMA, render
from consumer_guard.telemetry.unmasked import UnmaskedFile
from consumer_guard.telemetry.version import find_guard_version

LOG = logging.getLogger('consumer_guard.audit')

#: Makes a record as a mask shows it.
Describe = Callable[[Mask], dict[str, Any]]


class Journal:
    """Writes records, masked to the log and unmasked to a file.

    :param secret: of the keyed hashes; '' for a random one of this process
    :param unmasked_file: path of the file for unmasked records, or ''
    :raises ConfigurationError: the unmasked file exists and is not private
    """

    def __init__(self, secret: str, unmasked_file: str, metrics: Metrics) -> None:
        self._key = make_key(secret)
        self._unmasked_file = UnmaskedFile(unmasked_file) if unmasked_file else None
        self._metrics = metrics
        self._origin = {
            'schema': SCHEMA,
            'guard_version': find_guard_version(),
            'host': socket.gethostname(),
        }

    def write(
        self, caller: Caller | None, describe: Describe, status: int | None
    ) -> None:
        """Write one record; never raises.

        :param status: of the answer, None where there was none
        """
        credentials = caller.credentials if caller else {}
        # This process may be a fork of the one that made the journal.
        origin = {'status': status, **self._origin, 'process': os.getpid()}
        try:
            LOG.info('%s', render(describe(make_mask(credentials, self._key)) | origin))
            if self._unmasked_file:
                unmasked = describe(make_mask(credentials, None)) | origin
                self._unmasked_file.append(render(unmasked))
        except OSError as exc:
            path = self._unmasked_file and self._unmasked_file.path
            problem = f'A record could not be written to {path}: {exc.strerror}'
        except Exception:
            # Security: a record that cannot be masked is dropped, not leaked; the
            # request is answered all the same.
            problem = 'A decision record could not be written'
        else:
            return
        # Security: after the except clause: formatters add the text of an exception
        # that is being handled, which may hold what was to be masked.
        self._metrics.count(RECORDS_DROPPED)
        LOG.error('%s', problem)
