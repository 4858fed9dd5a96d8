"""The collector under test, wired to a world. The one place that knows its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from soak.stand_ins import StandInCollector, StandInLifetime, StandInSpool, StandInWriter
from soak.world import Killed, World, WorldClock, WorldPorts

ROUNDS: Final = 4
"""Requests that the writer gets done between two slots: a backlog is delivered over several,
so that faults and live cycles fall into it."""
LAST_ROUNDS: Final = 50
"""And before a clean end."""


class Wired:
    """One life of the collector: `run` until it is stopped, then `end`.

    The writer runs in the same thread as the loop, between two slots, so that a seed plays
    the same day again.
    """

    def __init__(
        self, world: World, state_dir: Path, runtime_dir: Path, url: str, database: str
    ) -> None:
        assert world.boot is not None
        self._world = world
        boot_id = world.boot.boot_id
        self._spool = StandInSpool(state_dir, boot_id, 10**9, world.monotonic)
        self._writer = StandInWriter(self._spool, url, database)
        self._writer.before_request = lambda: self._strike("request")
        self._writer.after_request = lambda: self._strike("acknowledged")
        self._clock = WorldClock(world, self.pump)
        lifetime = StandInLifetime(state_dir / "lifetime.json")
        self._collector = StandInCollector(
            self._clock, boot_id, WorldPorts(world), self._spool, self._writer, lifetime
        )

    def run(self) -> None:
        """Work through the slots; raises `Killed` where the plan wants it."""
        self._collector.run()

    def pump(self) -> None:
        """Let the writer do what it gets done between two slots."""
        for _ in range(ROUNDS):
            if not self._writer.step():
                return

    def end(self) -> None:
        """Do as at SIGTERM."""
        for _ in range(LAST_ROUNDS):
            if not self._writer.step():
                break
        self._spool.close()
        self._writer.close()

    def abandon(self) -> None:
        """Let go of what a dead process would no longer hold; nothing is written."""
        self._writer.close()

    def _strike(self, where: str) -> None:
        if self._world.kill_next == where:
            raise Killed("in hand")
