"""The rollup as a service: the last minutes regularly, and whatever has come late.

Each statement costs the card a write, however little it has to tell; so minutes are made
every five minutes, hours and days three times an hour. It may be ended at any moment: what
it has not noted as done is due when it starts again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from pzem.influx import InfluxError
from pzem.rollup.rollup import Rollup, RollupError
from pzem.systemd import notify

PASS_S: Final = 300.0
SETTLE_EVERY: Final = 3
"""So many passes apart all levels are made, of what is due in `SPAN_S`."""
SPAN_S: Final = 2 * 86_400
ALL_EVERY: Final = 288
"""So many passes apart, once a day, all readings are looked at."""
RETRY_S: Final = 30.0

log = logging.getLogger(__name__)


class Service:
    """Goes on for ever. `wait` waits so many seconds and tells whether to end."""

    def __init__(self, rollup: Rollup, wait: Callable[[float], bool]) -> None:
        self._rollup = rollup
        self._wait = wait
        self._passes = 0
        self._said = ""

    def run(self) -> None:
        """Keep the levels right until `wait` says to end."""
        notify("READY=1\nSTATUS=rolling up")
        while not self._wait(PASS_S if self.step() else RETRY_S):
            pass

    def step(self) -> bool:
        """Make one pass; return whether the database has let it."""
        notify("WATCHDOG=1")
        try:
            self._pass()
        except (InfluxError, RollupError) as error:
            if self._said != str(error):
                self._said = str(error)
                log.warning("the history waits: %s; it is tried again", error)
            return False
        if self._said:
            self._said = ""
            log.info("the history goes on")
        self._passes += 1
        return True

    def _pass(self) -> None:
        self._rollup.open()
        if self._passes % SETTLE_EVERY:
            self._rollup.recent()
            return
        for _ in self._rollup.settle(SPAN_S if self._passes % ALL_EVERY else None):
            if self._wait(0.0):
                return
