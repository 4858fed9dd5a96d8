"""What could not be written yet: in order, bounded, the oldest given up last resort."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

CAPACITY_CYCLES: Final = 17_280
"""A day at one cycle every 5 s; three meters need about 1 kB a cycle, so 20 MB."""

log = logging.getLogger(__name__)


class MemorySpool:
    """A queue of cycles between the thread that reads and the one that writes.

    Each item is the lines of one cycle. What `peek` shows stays in until `done` takes
    it out, so a failed write loses nothing. A restart does.
    """

    def __init__(self, capacity: int = CAPACITY_CYCLES) -> None:
        self._capacity = capacity
        self._cycles: deque[Sequence[str]] = deque()
        self._changed = threading.Condition()
        self._first = 0
        """Number of the oldest cycle held; cycles are counted from 0."""
        self._lost = 0

    def __len__(self) -> int:
        return len(self._cycles)

    def put(self, lines: Sequence[str]) -> None:
        """Add a cycle; if there is no room, give up the oldest one and say so once."""
        with self._changed:
            if len(self._cycles) >= self._capacity:
                self._cycles.popleft()
                self._first += 1
                self._lost += 1
                if self._lost == 1:
                    log.error(
                        "%d cycles wait to be written and no more fit; the oldest are lost now",
                        self._capacity,
                    )
            elif self._lost:
                log.error("%d cycles were lost while there was no room", self._lost)
                self._lost = 0
            self._cycles.append(lines)
            self._changed.notify_all()

    def peek(self, most: int) -> tuple[int, list[Sequence[str]]]:
        """Return the oldest cycles, `most` at most, and the number of the first."""
        with self._changed:
            return self._first, [self._cycles[i] for i in range(min(most, len(self._cycles)))]

    def done(self, first: int, count: int) -> None:
        """Take out `count` cycles from number `first` on; those given up are gone already."""
        with self._changed:
            while self._cycles and self._first < first + count:
                self._cycles.popleft()
                self._first += 1

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to write; return whether there is."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._cycles), timeout_s)
