"""Orders for a simulator in another process, over a unix stream socket.

    order LF  ──>
              <──  "ok " done LF, or "error " why LF

`done` may have several lines: whoever wants to see its end closes his own side first.
"""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from pzem.testing.orders import OrderError

ANSWER_S: Final = 10.0
"""An order is carried out within moments; a simulator that takes longer is stuck."""


def answer(order: Callable[[str], str], text: str) -> str:
    """Give `text` to `order` and return "ok …" or "error …", however many lines."""
    try:
        return f"ok {order(text)}"
    except OrderError as error:
        return f"error {error}"


def send_order(path: Path, text: str) -> str:
    """Give an order to the simulator that listens on `path` and return what was done.

    Raises `OrderError` for an order that it refuses, `OSError` if no simulator answers.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_S)
        connection.connect(str(path))
        connection.sendall(f"{text}\n".encode())
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile(encoding="utf-8") as reply:
            verdict, _, said = reply.read().rstrip("\n").partition(" ")
    if verdict != "ok":
        raise OrderError(said or "the simulator has gone away")
    return said


class ControlSocket(socketserver.ThreadingUnixStreamServer):
    """Takes orders on the socket `path`, which only its owner may use, until closed.

    Replaces the socket of a killed simulator. Raises `OSError` if another one listens
    there, or if the socket cannot be made.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64  # beyond it connecting fails at once on a unix socket

    def __init__(self, path: Path, order: Callable[[str], str]) -> None:
        self.order = order
        self._path = path
        if path.is_socket():
            with suppress(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as other:
                other.connect(str(path))
                raise FileExistsError(f"{path}: another simulator listens there")
            path.unlink()
        try:
            super().__init__(str(path), _Orders)
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def server_bind(self) -> None:
        """Bind with mode 0600 from the first moment: Linux takes it from the descriptor."""
        os.fchmod(self.fileno(), 0o600)
        super().server_bind()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._path.unlink(missing_ok=True)


class _Orders(socketserver.StreamRequestHandler):
    server: ControlSocket

    def handle(self) -> None:
        with suppress(OSError):  # a client that does not wait for its reply
            for line in self.rfile:
                text = line.decode(errors="replace")
                self.wfile.write(f"{answer(self.server.order, text)}\n".encode())
