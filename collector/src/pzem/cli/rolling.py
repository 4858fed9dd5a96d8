"""`pzem rollup`: as a service, or of a range at once."""

from __future__ import annotations

import argparse
import contextlib
import logging
import time
from datetime import date, datetime, tzinfo
from functools import partial
from typing import Final

from pzem import config as configuration
from pzem.cli.complaint import complain
from pzem.cli.progress import Progress
from pzem.config import Config, ConfigError
from pzem.history.importer import Patience
from pzem.influx import Influx
from pzem.kept import KeptFile
from pzem.levels import DAYS, bounds, house_zone, midnight
from pzem.rollup import Rollup
from pzem.rollup.service import Service
from pzem.systemd import notify, set_up_logging

FILE: Final = "rollup.json"
"""In `state_dir`: how far a range that was asked for is."""
PRICE: Final = "a rollup that is interrupted begins anew"
REQUEST_S: Final = 90.0
"""The server ends a query after 60 s by itself."""
NOTE_EVERY_S: Final = 30.0
PAUSE_SHARE: Final = 0.5
"""For so much of the time that a day took, the database is left to others."""
LONGEST_PAUSE_S: Final = 5.0
MOST_MB: Final = 300.0
"""With more in its memory, the database gets time to put some of it into files."""
LONGEST_LEAVE_S: Final = 720.0
"""What is written to a shard stays in memory for ten minutes at most."""


def rollup(args: argparse.Namespace) -> int:
    """Fill the coarser levels: for ever, or from one day to another."""
    config = configuration.load(args.config or configuration.DEFAULT_PATH)
    set_up_logging()
    try:
        zone = house_zone(config.house.timezone)
    except ValueError as error:
        raise ConfigError([str(error)]) from error
    with contextlib.closing(Influx(config.influxdb, REQUEST_S)) as influx:
        if args.start is None and args.end is None:
            beat = partial(notify, "WATCHDOG=1")
            Service(Rollup(influx, config.influxdb.database, zone, beat=beat), _sleep).run()
        else:
            one = Rollup(influx, config.influxdb.database, zone)
            _Backfill(one, config, zone).run(args.start, args.end)
    return 0


def _sleep(seconds: float) -> bool:
    """Wait to be ended, which may happen at any moment."""
    time.sleep(seconds)
    return False


class _Backfill:
    """Makes a range anew, day by day, and goes on where it was interrupted."""

    def __init__(self, rollup: Rollup, config: Config, zone: tzinfo) -> None:
        self._rollup = rollup
        self._zone = zone
        self._notes = KeptFile(config.state_dir / FILE, PRICE)
        self._noted_s = 0.0
        self._ask = Patience(complain)

    def run(self, start: date | None, end: date | None) -> None:
        """Make the days from `start` up to but not including `end`; None: what there is."""
        logging.getLogger().setLevel(logging.WARNING)
        self._ask(self._rollup.open)
        there = self._ask(self._rollup.span)
        if there is None:
            complain("there is nothing to roll up")
            return
        start_s = bounds(DAYS, max(there[0], self._unix(start, there[0])), self._zone)[0]
        end_s = min(there[1], self._unix(end, there[1]))
        wanted = {"from_s": start_s, "to_s": self._unix(end, 0)}
        kept = self._notes.load() or {}
        at_s = start_s
        if {name: kept.get(name) for name in wanted} == wanted:
            at_s = kept["done_s"]
            complain(f"it goes on from {datetime.fromtimestamp(at_s, self._zone):%Y-%m-%d}")
        progress = Progress("rollup")
        try:
            while at_s < end_s:
                at_s = self._day(at_s)
                progress.show(min(1.0, (at_s - start_s) / (end_s - start_s)))
                self._note({**wanted, "done_s": at_s})
            wanted = {}
        finally:
            progress.end()
            self._notes.save({**wanted, "done_s": at_s})

    def _day(self, at_s: int) -> int:
        began_s = time.monotonic()
        at_s = self._ask(partial(self._rollup.fill, at_s))
        time.sleep(min(PAUSE_SHARE * (time.monotonic() - began_s), LONGEST_PAUSE_S))
        self._leave_room()
        return at_s

    def _leave_room(self) -> None:
        end_s = time.monotonic() + LONGEST_LEAVE_S
        while (self._rollup.memory_mb() or 0.0) > MOST_MB and time.monotonic() < end_s:
            time.sleep(LONGEST_PAUSE_S)

    def _note(self, state: dict[str, int]) -> None:
        if time.monotonic() - self._noted_s >= NOTE_EVERY_S:
            self._noted_s = time.monotonic()
            self._notes.save(state)

    def _unix(self, day: date | None, otherwise: int) -> int:
        return otherwise if day is None else midnight(day, self._zone)
