"""The collector under test, wired to a world. The one place that knows its parts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pzem.collector import Collector
from pzem.config import Config, InfluxSettings, MeterSettings
from pzem.influx import Influx, Verdict, Writer
from pzem.recall import NoAnswerError, Recall, ask
from pzem.spool import Spool
from pzem.testing import ORIGINAL_WIRING
from soak.world import Killed, World, WorldClock, WorldPorts

ROUNDS: Final = 4
"""Requests that the writer gets done between two slots: a backlog is delivered over several,
so that faults and live cycles fall into it."""
SPOOL_BYTES: Final = 512_000_000


class Wired:
    """One life of the collector: `run` until it is stopped, then `end`.

    The writer and the spool's keeper run in the same thread as the loop, between two slots,
    so that a seed plays the same day again.
    """

    def __init__(
        self, world: World, state_dir: Path, runtime_dir: Path, url: str, database: str
    ) -> None:
        assert world.boot is not None
        self._world = world
        boot_id = world.boot.boot_id
        settings = InfluxSettings(url, database)
        self._influx = _StruckInflux(settings, world)
        self._spool = Spool(state_dir, boot_id, SPOOL_BYTES, world.monotonic, background=False)
        self._writer = _PumpedWriter(self._spool, self._influx)
        self._recall = _PumpedRecall(settings)
        config = Config(
            tuple(
                MeterSettings(w.name, w.address, w.supply, w.leg, w.fed_from)
                for w in ORIGINAL_WIRING
            ),
            state_dir=state_dir,
            runtime_dir=runtime_dir,
            clock="wait",
            thermal_zone=Path("/nowhere"),
            influxdb=settings,
        )
        self._collector = Collector(
            config,
            WorldPorts(world),  # type: ignore[arg-type]
            self._spool,
            self._writer,
            self._recall,
            WorldClock(world, self.pump),
            boot_id,
        )

    def run(self) -> None:
        """Work through the slots; raises `Killed` where the plan wants it."""
        self._collector.run()

    def pump(self) -> None:
        """Let keeper and writer do what they get done between two slots."""
        self._spool.keep()
        self._recall.pump()
        self._writer._special_from = 0.0
        for _ in range(ROUNDS):
            # Without anything to do, or nothing but a question that was just not answered, a
            # step waits, and for nothing but real time.
            if self._writer._special_from or not self._spool.wait(0) or not self._writer.step():
                break
            self._spool.keep()

    def end(self) -> None:
        """Do as at SIGTERM."""
        self._collector.close()
        while self._writer.step(is_end=True):
            pass
        self._spool.close()
        self._influx.close()

    def abandon(self) -> None:
        """Let go of what a dead process would no longer hold; nothing is written."""
        self._influx.close()


class _PumpedWriter(Writer):
    """A writer that others have do one thing after the other."""

    def is_alive(self) -> bool:
        """Tell that it works."""
        return True


class _PumpedRecall(Recall):
    """What asks for the last words between two slots, and not in a thread of its own."""

    def pump(self) -> None:
        """Ask, until there is an answer that is complete."""
        if self._answer is None or not self._answer.is_complete:
            with contextlib.suppress(NoAnswerError):
                self._answer = ask(self._settings, self.before_s, self.awaited_s)


class _StruckInflux(Influx):
    """The database's client of a process that may be killed before or after a request."""

    def __init__(self, settings: InfluxSettings, world: World) -> None:
        super().__init__(settings)
        self._world = world

    def write(self, lines: Sequence[str], policy: str = "") -> Verdict:
        """Send `lines`, unless the process is killed before; perhaps it is afterwards."""
        self._strike("request")
        verdict = super().write(lines, policy)
        if verdict is Verdict.STORED:
            self._strike("acknowledged")
        return verdict

    def _strike(self, where: str) -> None:
        if self._world.kill_next == where:
            raise Killed("in hand")
