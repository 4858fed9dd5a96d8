"""What is plugged into the virtual Pi's USB ports.

QEMU plugs its serial adapter in when somebody connects to a port's socket, and unplugs it
when he goes. So whoever holds the connection decides whether the adapter is there.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from virtual_pi import unix

LOOK_S: Final = 0.1
"""How often it is seen whether both ends are there."""
_CHUNK: Final = 4096


class Bridge:
    """Keeps a simulated adapter in a port for as long as the simulator has a pty at its link.

    So the simulator's own orders `plug` and `unplug` are hot-plug for the virtual Pi.
    `links` tells the pty for each port's socket.
    """

    def __init__(self, links: Mapping[Path, Path]) -> None:
        self._links = links
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._stopping.clear()
        for port, link in self._links.items():
            thread = threading.Thread(target=self._keep, args=(port, link), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        while self._threads:
            self._threads.pop().join()

    def _keep(self, port: Path, link: Path) -> None:
        while not self._stopping.wait(LOOK_S):
            with suppress(OSError):
                self._carry(port, link)

    def _carry(self, port: Path, link: Path) -> None:
        """Carry bytes both ways until one side goes; raises `OSError`."""
        tty = os.open(link, os.O_RDWR | os.O_NOCTTY)
        try:
            with unix.connect(port) as adapter:
                other = {tty: adapter.fileno(), adapter.fileno(): tty}
                poll = select.poll()
                for descriptor in other:
                    poll.register(descriptor, select.POLLIN)
                while not self._stopping.is_set():
                    for descriptor, _ in poll.poll(1000 * LOOK_S):
                        heard = os.read(descriptor, _CHUNK)
                        if not heard:
                            return
                        os.write(other[descriptor], heard)
        finally:
            os.close(tty)


class ForeignAdapter:
    """A serial adapter with something behind it that is no meter: it hears, and says nothing.

    It is in the port for as long as it is entered.
    """

    def __init__(self, port: Path) -> None:
        self._port = port
        self._heard: list[tuple[float, bytes]] = []
        self._connection: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def heard(self) -> list[tuple[float, bytes]]:
        """What the Pi has sent: time in s since 1970, and bytes that came together."""
        return list(self._heard)

    def __enter__(self) -> Self:
        self._connection = unix.connect(self._port)
        self._thread = threading.Thread(target=self._listen, args=(self._connection,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None and self._thread is not None:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            self._thread.join()
            self._connection.close()

    def _listen(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while heard := connection.recv(_CHUNK):
                self._heard.append((time.time(), heard))
