"""HTTP whose answers are bounded in time and size, whatever the server does.

The timeout of `requests` holds for each piece that arrives: a server that sends one byte
now and then would keep its client waiting for hours.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import time
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

MAX_ANSWER_BYTES: Final = 32_000_000
"""A day of a field, at one value each 5 s, takes half a megabyte."""


class _Reader(io.RawIOBase):
    """Reads from a socket until `end_s` (monotonic) at the latest."""

    def __init__(self, sock: socket.socket, end_s: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._end_s = end_s
        self._left_bytes = MAX_ANSWER_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - as in io.RawIOBase
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left_s)
        count = self._raw.readinto(buffer)
        self._left_bytes -= count or 0
        if self._left_bytes < 0:
            raise OSError("the answer is too long")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Socket:
    """As much of a socket as `http.client.HTTPResponse` asks for."""

    def __init__(self, sock: socket.socket, end_s: float) -> None:
        self._sock = sock
        self._end_s = end_s

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._end_s))


def _response(
    sock: socket.socket,
    *args: Any,  # noqa: ANN401
    end_s: float,
    **options: Any,  # noqa: ANN401
) -> http.client.HTTPResponse:
    return http.client.HTTPResponse(_Socket(sock, end_s), *args, **options)  # type: ignore[arg-type]


class _Connection(HTTPConnection):
    total_s = 0.0

    def request(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        end_s = time.monotonic() + self.total_s
        self.response_class = functools.partial(_response, end_s=end_s)  # type: ignore[assignment]
        super().request(*args, **options)


class _SecureConnection(HTTPSConnection):
    total_s = 0.0

    def request(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        end_s = time.monotonic() + self.total_s
        self.response_class = functools.partial(_response, end_s=end_s)  # type: ignore[assignment]
        super().request(*args, **options)


class BoundedAdapter(HTTPAdapter):
    """Ends each request `total_s` after it was begun, or with a time-out of its own."""

    def __init__(self, total_s: float) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1)
        plain = type("Plain", (_Connection,), {"total_s": total_s})
        secure = type("Secure", (_SecureConnection,), {"total_s": total_s})
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
