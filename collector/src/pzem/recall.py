"""What the database knows last: asked for at the start, until it has answered once.

A thread of its own with a connection of its own, so that nothing waits for it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pzem.config import ConfigError, InfluxSettings
from pzem.house.generator import StoredHours
from pzem.house.lifetime import Recalled
from pzem.influx import Influx, InfluxError

TIMEOUT_S: Final = 20.0
"""For a whole answer: a card that is busy can keep a query waiting for seconds."""
FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 30.0
UNKNOWN_S: Final = 2**62
"""For `awaited_s`: what earlier runs have left is not known yet."""
LIFETIME: Final = "SELECT last(lifetime_wh), energy_wh FROM meter GROUP BY meter"
"""A selector brings its point's other fields along, and that point's time."""
REGISTER: Final = "SELECT last(energy_wh) FROM meter GROUP BY meter"
LAST_SLOT: Final = "SELECT last(cycle_s) FROM collector"
HOURS: Final = "SELECT last(hours), hours_since_service FROM generator"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """The database's last words."""

    meters: Mapping[str, Recalled]
    """By name; a meter of which nothing was ever stored is missing."""
    last_slot_unix_s: int | None
    """Time of the last slot stored, in s since 1970; None: there is none."""
    generator: StoredHours | None = None
    """None: there are none."""
    is_complete: bool = True
    """Whether nothing that earlier runs have read was missing."""


class NoAnswerError(Exception):
    """The database did not answer; it may do so later. The message is one line."""


class Recall(threading.Thread):
    """Asks until there is an `answer` that is complete."""

    def __init__(self, settings: InfluxSettings) -> None:
        super().__init__(name="recall", daemon=True)
        self._settings = settings
        self._stopping = threading.Event()
        self._answer: Answer | None = None
        self.before_s: int | None = None
        """When this run began (Unix time), once that is known: what it stores itself is no
        word of what was before it."""
        self.awaited_s: int | None = None
        """The newest slot (Unix time) that earlier runs have left to be delivered; without
        it an answer is not complete. None: nothing is awaited."""

    @property
    def answer(self) -> Answer | None:
        """What the database said last; None: nothing yet."""
        return self._answer

    def run(self) -> None:
        """Ask until there is an answer that is complete, or until stopped."""
        retry_s, said = FIRST_RETRY_S, False
        while not self._stopping.is_set():
            try:
                self._answer = ask(self._settings, self.before_s, self.awaited_s)
            except NoAnswerError as error:
                if not said:
                    said = True
                    log.info("InfluxDB does not tell yet what was stored last: %s", error)
            except Exception:
                log.exception("asking for what was stored last failed; this is a defect")
                return
            else:
                if said:
                    said = False
                    log.info("InfluxDB has told what was stored last")
                if self._answer.is_complete:
                    return
            self._stopping.wait(retry_s)
            retry_s = min(2 * retry_s, LAST_RETRY_S)

    def stop(self, timeout_s: float) -> None:
        """Ask no more; wait `timeout_s` at most for a question under way."""
        self._stopping.set()
        self.join(timeout_s)


def ask(
    settings: InfluxSettings, before_s: int | None = None, awaited_s: int | None = None
) -> Answer:
    """Ask once, for slots before `before_s`; raises `NoAnswerError`.

    Without the slot `awaited_s`, or a later one, the answer is not complete. Both are Unix
    time.
    """
    before = "" if before_s is None else f" WHERE time < {before_s}s"
    questions = (LIFETIME, REGISTER, LAST_SLOT + before, HOURS + before)
    try:
        with contextlib.closing(Influx(settings, TIMEOUT_S)) as influx:
            lifetimes, registers, slots, hours = map(influx.query, questions)
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
        last_slot_s = int(slots[0]["time"]) if slots else None
        generator = _stored_hours(hours[0]) if hours else None
    except (KeyError, TypeError, ValueError) as error:
        raise NoAnswerError(f"not what was asked for: {error!r}") from error
    is_complete = awaited_s is None or (last_slot_s is not None and last_slot_s >= awaited_s)
    return Answer(meters, last_slot_s, generator, is_complete)


def _stored_hours(row: Mapping[str, Any]) -> StoredHours:
    since = row["hours_since_service"]
    return StoredHours(
        float(row["last"]), None if since is None else float(since), int(row["time"])
    )
