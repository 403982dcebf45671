# SPDX-License-Identifier: Apache-2.0
"""A plain HTTP client, which never waits for ever."""

import contextlib
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Seconds; an answer that takes longer is a hang, whatever it says.
PATIENCE = 20.0


@dataclass(frozen=True)
class Answer:
    """What came back.

    :ivar status: 0 when the connection was cut or refused, -1 for a hang
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Client:
    """One connection that is kept alive."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(
            '127.0.0.1', port, timeout=PATIENCE
        )

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Answer:
        """Send one request; what goes wrong is an answer, too."""
        sent = {'OpenStack-API-Version': 'placement 1.38', **(headers or {})}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            sent['Content-Type'] = 'application/json'
        try:
            self._connection.request(method, path, content, sent)
            answer = self._connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())
        except TimeoutError:
            self.close()
            return Answer(-1, {}, b'')
        except (OSError, http.client.HTTPException):
            self.close()
            return Answer(0, {}, b'')

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


def ask(port: int, method: str, path: str, **more: Any) -> Answer:
    """One request on a connection of its own."""
    with contextlib.closing(Client(port)) as client:
        return client.ask(method, path, **more)
