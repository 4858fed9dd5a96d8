"""What the simulated meters have sent: the record that a database is verified against."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pzem.registers import Reading
from pzem.testing.meter import Reply

_log = logging.getLogger(__name__)

MOST_REPLIES: Final = 20_000
"""Kept in memory: nine hours of three meters every 5 s."""


@dataclass(frozen=True, slots=True)
class SentReply:
    """One reply, at the time when its last byte left the meter.

    `displayed` is what the meter showed when it was asked; `reply` (hexadecimal, as
    `request`) are the bytes on the wire, `damaged` if they are not the good reply. A reply
    may be good and have a `fault` nevertheless: "late".
    """

    unix_s: float
    monotonic_s: float
    meter: str
    port: str
    request: str
    reply: str
    displayed: Reading
    damaged: bool
    fault: str | None


class Journal:
    """The last replies in memory, and all of them in `file`, one JSON object a line.

    The file is appended to. Raises `OSError` if it cannot be opened. Safe to use from
    several threads.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._replies: deque[SentReply] = deque(maxlen=MOST_REPLIES)
        self._file = file.open("ab", buffering=0) if file else None
        self._lock = threading.Lock()

    @property
    def replies(self) -> list[SentReply]:
        """The replies sent so far, oldest first; at most the last `MOST_REPLIES`."""
        with self._lock:
            return list(self._replies)

    def add(self, port: Path, reply: Reply, wire: bytes) -> None:
        """Record that `reply` has gone out on `port` as the bytes `wire`."""
        sent = SentReply(
            unix_s=time.time(),
            monotonic_s=time.monotonic(),
            meter=reply.meter,
            port=str(port),
            request=reply.request.hex(),
            reply=wire.hex(),
            displayed=reply.displayed,
            damaged=wire != reply.good,
            fault=reply.fault,
        )
        with self._lock:
            self._replies.append(sent)
            if self._file is None:
                return
            try:
                self._file.write(f"{json.dumps(dataclasses.asdict(sent))}\n".encode())
            except OSError as error:  # a full disk must not silence the meters
                _log.warning("the journal ends here: %s", error)
                self._file.close()
                self._file = None

    def close(self) -> None:
        """Close the file; replies in memory stay readable."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
