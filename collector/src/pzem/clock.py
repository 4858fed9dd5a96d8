"""The time of day, and whether the kernel believes in it.

A Pi has no clock of its own: it starts with the time of its last shutdown, or with
1970, and is put right over the network some time later.
"""

from __future__ import annotations

import ctypes
import threading
import time
from pathlib import Path
from typing import Final, Protocol

_TIME_ERROR: Final = 5
"""What adjtimex(2) returns while the clock is not synchronised."""
_TIMEX_BYTES: Final = 256
"""At least sizeof(struct timex): 208 on 64-bit Linux."""
_SYNCHRONISED_BY_TIMESYNCD: Final = Path("/run/systemd/timesync/synchronized")


class Clock(Protocol):
    """Time as the collector needs it; passed in, so that tests can play every fault."""

    def unix(self) -> float:
        """Return wall-clock seconds since 1970 (UTC)."""

    def monotonic(self) -> float:
        """Return seconds that never jump."""

    def wait_until(self, monotonic_s: float) -> bool:
        """Wait until `monotonic_s`; return False if the wait was called off."""

    def is_synchronised(self) -> bool:
        """Tell whether the wall clock was put right since the last boot."""


class SystemClock:
    """The machine's own clocks. `stop` calls every wait off."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def unix(self) -> float:
        """Return wall-clock seconds since 1970 (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()

    def wait_until(self, monotonic_s: float) -> bool:
        """Wait until `monotonic_s`; return False once `stop` is set."""
        return not self._stop.wait(max(0.0, monotonic_s - time.monotonic()))

    def is_synchronised(self) -> bool:
        """Tell whether the wall clock was put right since the last boot.

        The kernel takes its word back after some hours without a time server, although
        the clock is still good; what timesyncd noted in /run stays until the next boot.
        """
        if _SYNCHRONISED_BY_TIMESYNCD.exists():
            return True
        only_read = ctypes.create_string_buffer(_TIMEX_BYTES)
        state: int = ctypes.CDLL(None, use_errno=True).adjtimex(only_read)
        return 0 <= state < _TIME_ERROR
