"""Time that tests move."""

from __future__ import annotations

from collections.abc import Callable


class FakeClock:
    """Two clocks that tests move; each wait ends exactly on time, or `oversleep` later."""

    def __init__(self, unix_s: float) -> None:
        self.now_s = 1000.0
        self.offset_s = unix_s - self.now_s
        self.during_wait: list[Callable[[], None]] = []
        self.waits_left = 100
        self.synchronised = True

    def unix(self) -> float:
        return self.now_s + self.offset_s

    def monotonic(self) -> float:
        return self.now_s

    def wait_until(self, monotonic_s: float) -> bool:
        self.now_s = max(self.now_s, monotonic_s)
        if self.during_wait:
            self.during_wait.pop(0)()
        self.waits_left -= 1
        return self.waits_left >= 0

    def is_synchronised(self) -> bool:
        return self.synchronised

    def step(self, seconds: float) -> Callable[[], None]:
        def do() -> None:
            self.offset_s += seconds

        return do

    def oversleep(self, seconds: float) -> Callable[[], None]:
        def do() -> None:
            self.now_s += seconds

        return do
