"""Lines, meters and a house put together, running in real time and taking orders."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from pzem.testing import orders
from pzem.testing.house import SimulatedHouse
from pzem.testing.journal import Journal
from pzem.testing.line import TURN_AROUND_S, SimulatedLine
from pzem.testing.meter import SimulatedMeter

TICK_S: Final = 0.2
"""How often the house moves on; meters refresh what they display once a second of it."""

_Link = TypeVar("_Link", str, Path)


class Simulator:
    """Simulated meters behind simulated ports, and maybe a house that they measure.

    Without a `house` meters display what `SimulatedMeter.show` was given. As a context
    manager it is started and stopped. `order` may be called from any thread.
    """

    def __init__(
        self,
        lines: Sequence[SimulatedLine],
        house: SimulatedHouse | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.lines = list(lines)
        self.house = house
        self.journal = journal or Journal()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._clockwork: threading.Thread | None = None
        for line in self.lines:
            line.on_sent = self.journal.add

    @classmethod
    def with_meters(
        cls,
        ports: Mapping[_Link, Sequence[SimulatedMeter]],
        house: SimulatedHouse | None = None,
        *,
        turn_around_s: float = TURN_AROUND_S,
        journal_file: Path | None = None,
        group: int | None = None,
    ) -> Simulator:
        """Return a simulator with one adapter per link in `ports` and its meters behind it."""
        lines = [
            SimulatedLine(Path(link), meters, turn_around_s=turn_around_s, group=group)
            for link, meters in ports.items()
        ]
        return cls(lines, house, Journal(journal_file))

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def meters(self) -> list[SimulatedMeter]:
        """All meters, in the order of the lines."""
        return [meter for line in self.lines for meter in line.meters]

    def meter(self, name: str) -> SimulatedMeter:
        """Return the meter called `name`. Raises `LookupError` that lists them all."""
        for meter in self.meters:
            if meter.name == name:
                return meter
        names = ", ".join(meter.name for meter in self.meters)
        raise LookupError(f"no meter is called {name!r}; there are: {names}")

    def line(self, port: str) -> SimulatedLine:
        """Return the line whose link is `port`, a path or its last part. Raises `LookupError`."""
        for line in self.lines:
            if port in (str(line.link), line.link.name):
                return line
        names = ", ".join(line.link.name for line in self.lines)
        raise LookupError(f"no port is called {port!r}; there are: {names}")

    def start(self) -> None:
        """Plug all ports in and let the house live.

        Raises `LinkError` if one cannot be made; then none is left behind.
        """
        self._stopping.clear()
        try:
            for line in self.lines:
                line.plug()
        except BaseException:
            self.stop()
            raise
        if self.house is not None:
            self._clockwork = threading.Thread(target=self._live, args=(self.house,), daemon=True)
            self._clockwork.start()

    def stop(self) -> None:
        """Unplug all ports, remove their links and end all threads. No effect twice."""
        self._stopping.set()
        if self._clockwork is not None:
            self._clockwork.join()
            self._clockwork = None
        with self._lock:
            for line in self.lines:
                line.unplug()
        self.journal.close()

    def order(self, text: str) -> str:
        """Carry out one line of the order language and return what was done.

        Raises `OrderError`, saying what would be right, for an order that cannot be obeyed.
        """
        with self._lock:
            return orders.carry_out(self, text)

    def _live(self, house: SimulatedHouse) -> None:
        last = time.monotonic()
        while not self._stopping.wait(TICK_S):
            now = time.monotonic()
            with self._lock:
                house.advance(now - last)
            last = now
