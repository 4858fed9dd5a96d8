"""What the database knows last: asked for at the start, until it has answered once.

A thread of its own with a connection of its own, so that nothing waits for it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pzem.config import ConfigError, InfluxSettings
from pzem.house.lifetime import Recalled
from pzem.influx import Influx, InfluxError

TIMEOUT_S: Final = 20.0
"""For a whole answer: a card that is busy can keep a query waiting for seconds."""
FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 30.0
LIFETIME: Final = "SELECT last(lifetime_wh), energy_wh FROM meter GROUP BY meter"
"""A selector brings its point's other fields along, and that point's time."""
REGISTER: Final = "SELECT last(energy_wh) FROM meter GROUP BY meter"
LAST_SLOT: Final = "SELECT last(cycle_s) FROM collector"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """The database's last words."""

    meters: Mapping[str, Recalled]
    """By name; a meter of which nothing was ever stored is missing."""
    last_slot_unix_s: int | None
    """Time of the last slot stored, in s since 1970; None: there is none."""


class NoAnswerError(Exception):
    """The database did not answer; it may do so later. The message is one line."""


class Recall(threading.Thread):
    """Asks until there is an `answer`."""

    def __init__(self, settings: InfluxSettings) -> None:
        super().__init__(name="recall", daemon=True)
        self._settings = settings
        self._stopping = threading.Event()
        self._answer: Answer | None = None
        self.before_s: int | None = None
        """When this run began (Unix time), once that is known: what it stores itself is no
        word of what was before it."""

    @property
    def answer(self) -> Answer | None:
        """What the database said; None: nothing yet."""
        return self._answer

    def run(self) -> None:
        """Ask until there is an answer, or until stopped."""
        retry_s, said = FIRST_RETRY_S, False
        while not self._stopping.is_set():
            try:
                self._answer = ask(self._settings, self.before_s)
            except NoAnswerError as error:
                if not said:
                    said = True
                    log.info("InfluxDB does not tell yet what was stored last: %s", error)
                self._stopping.wait(retry_s)
                retry_s = min(2 * retry_s, LAST_RETRY_S)
            except Exception:
                log.exception("asking for what was stored last failed; this is a defect")
                return
            else:
                if said:
                    log.info("InfluxDB has told what was stored last")
                return

    def stop(self, timeout_s: float) -> None:
        """Ask no more; wait `timeout_s` at most for a question under way."""
        self._stopping.set()
        self.join(timeout_s)


def ask(settings: InfluxSettings, before_s: int | None = None) -> Answer:
    """Ask once, for slots before `before_s` (Unix time); raises `NoAnswerError`."""
    last_slot = LAST_SLOT if before_s is None else f"{LAST_SLOT} WHERE time < {before_s}s"
    try:
        with contextlib.closing(Influx(settings, TIMEOUT_S)) as influx:
            lifetimes, registers, slots = map(influx.query, (LIFETIME, REGISTER, last_slot))
    except ConfigError as error:
        raise NoAnswerError(error.lines[0]) from error
    except InfluxError as error:
        raise NoAnswerError(str(error)) from error
    try:
        meters = {
            str(row["meter"]): Recalled(float(row["last"]), None, int(row["time"]))
            for row in registers
        }
        for row in lifetimes:
            if row["energy_wh"] is not None:
                meters[str(row["meter"])] = Recalled(
                    float(row["energy_wh"]), float(row["last"]), int(row["time"])
                )
        last_slot_unix_s = int(slots[0]["time"]) if slots else None
    except (KeyError, TypeError, ValueError) as error:
        raise NoAnswerError(f"not what was asked for: {error!r}") from error
    return Answer(meters, last_slot_unix_s)
