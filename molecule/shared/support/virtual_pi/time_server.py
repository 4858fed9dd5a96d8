"""A time server (SNTP, RFC 4330) on loopback, which QEMU's user network shows as 10.0.2.2."""

from __future__ import annotations

import socket
import struct
import threading
import time
from typing import Final

PORT: Final = 123
NTP_EPOCH_S: Final = 2_208_988_800
"""From 1900 to 1970."""
REQUEST: Final = 48
"""Bytes of a request, and of an answer."""
_LOOK_S: Final = 0.2


def answer(request: bytes, now_s: float) -> bytes:
    """Return the reply of a stratum 1 server whose clock shows `now_s`, in s since 1970."""
    now = int((now_s + NTP_EPOCH_S) * 2**32).to_bytes(8, "big")
    version = request[0] & 0b0011_1000
    server = 4
    head = struct.pack("!BBbbII4s", version | server, 1, 6, -20, 0, 1 << 8, b"HOST")
    return head + now + request[40:48] + now + now


class TimeServer:
    """Tells this machine's time while it is started; may be started and stopped again.

    Raises `OSError` where the port is taken, or is for root only.
    """

    def __init__(self, port: int = PORT) -> None:
        self.port = port
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> TimeServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Answer from now on. No effect twice."""
        if self._thread is not None:
            return
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            server.bind(("127.0.0.1", self.port))
        except OSError:
            server.close()
            raise
        self.port = server.getsockname()[1]
        server.settimeout(_LOOK_S)
        self._stopping.clear()
        self._thread = threading.Thread(target=self._serve, args=(server,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Be gone, as when the internet is. No effect twice."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    def _serve(self, server: socket.socket) -> None:
        with server:
            while not self._stopping.is_set():
                try:
                    request, client = server.recvfrom(512)
                except TimeoutError:
                    continue
                if len(request) >= REQUEST:
                    server.sendto(answer(request, time.time()), client)
