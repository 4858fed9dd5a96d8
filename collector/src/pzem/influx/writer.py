"""Moves blocks from the spool into the database: what was read just now before any backlog."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Final

from pzem.influx.client import Influx, InfluxError, Verdict
from pzem.levels import LONGEST_BUCKET_S
from pzem.spool import Delivery, Erasure, Placement, Spool

FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 30.0
BLOCKS_A_REQUEST: Final = 500
"""A backlog goes out in requests of so many blocks at most, some 5000 points: the size
that InfluxDB's own guide recommends."""
IDLE_S: Final = 0.5
STORED_SLOTS: Final = 60
"""A minute of the shortest interval."""
TRIES_OF_ONE: Final = 5
"""A block that the server fails on so often, while it stores others, lets others go first."""

_ONE_OF_MANY: Final = -1

log = logging.getLogger(__name__)


class Writer(threading.Thread):
    """Moves blocks from the spool into the database, as fast as it takes them."""

    def __init__(self, spool: Spool, influx: Influx) -> None:
        super().__init__(name="writer", daemon=True)
        self._spool = spool
        self._influx = influx
        self._stopping = threading.Event()
        self._retry_s = FIRST_RETRY_S
        self._down_since: float | None = None
        self._said = ""
        self._refused_said = ""
        self._aside_said = ""
        self._most = BLOCKS_A_REQUEST
        self._limit = BLOCKS_A_REQUEST
        """What the server was found to take at once."""
        self._failed_on: int | None = None
        """Number of the block that the server may have failed on; while that is looked for,
        what passes live does not make requests larger."""
        self._failures = 0
        self._stored_since = False
        self._special_from = 0.0
        """When erasures and questions are due again, on the monotonic clock."""
        self.last_write_s: float | None = None
        """When InfluxDB last stored something, in seconds of the monotonic clock."""
        self.stored: deque[int] = deque(maxlen=STORED_SLOTS)
        """The slots that it stored last, in Unix time."""
        self.why = ""
        """Why InfluxDB takes no data, in one line for people; empty while it does."""

    def run(self) -> None:
        """Deliver until stopped, and then what is in memory if the database takes it."""
        try:
            while not self._stopping.is_set():
                if not self._spool.wait(IDLE_S):
                    continue
                if not self.step():
                    self._stopping.wait(self._retry_s)
                    self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
            while not self.why and self.step(is_end=True):
                pass
        except Exception:
            log.exception("the writer failed; this is a defect")
        finally:
            self._influx.close()

    def stop(self, timeout_s: float) -> None:
        """Write what is in memory for `timeout_s` at most, then give up."""
        self._stopping.set()
        self.join(timeout_s)

    def step(self, *, is_end: bool = False) -> bool:
        """Send one request; return whether the next one may follow at once.

        For whoever has no thread run this. `is_end`: only what is in memory.
        """
        special = not is_end and time.monotonic() >= self._special_from
        todo = self._spool.next(self._most, backlog=not is_end, special=special)
        if isinstance(todo, Delivery):
            return self._deliver(todo)
        if is_end:
            return False
        if todo is None:  # what there is has to wait
            self._stopping.wait(IDLE_S)
            return True
        try:
            if isinstance(todo, Erasure):
                self._erase(todo)
            else:
                self._place(todo)
        except InfluxError as error:
            self._special_from = time.monotonic() + LAST_RETRY_S
            if self.last_write_s is None:  # it may be away; without a time nothing else is sent
                self._say_down()
            elif self._down_since is None and self._aside_said != str(error):
                self._aside_said = str(error)
                log.warning("InfluxDB does not %s: %s; it is tried again", _words(todo), error)
        else:
            self._aside_said = ""
        return True

    def _deliver(self, delivery: Delivery) -> bool:
        lines = self._lines(delivery)
        verdict = self._influx.write(lines) if lines else Verdict.STORED
        if verdict is Verdict.LATER:
            self._say_down()
            return False
        if verdict is Verdict.FAILED:
            self._say_down()
            self._note_failure(delivery)
            if any(parcel.provisional for parcel in delivery.parcels):
                # It may be stored yet, and must not be after it was erased.
                self._special_from = time.monotonic() + LAST_RETRY_S
            return False
        if verdict in (Verdict.TOO_LARGE, Verdict.REFUSED):
            if len(delivery.parcels) > 1:  # a smaller part will show where the cause lies
                self._most = len(delivery.parcels) // 2
                if verdict is Verdict.TOO_LARGE:
                    self._limit = self._most
                return True
            self._limit = BLOCKS_A_REQUEST  # the cause lies in this one block, or in none
            if not self._sift(lines):
                self._say_down()
                self._note_failure(delivery)
                return False
        elif verdict in (Verdict.PARTLY, Verdict.UNREADABLE):
            self._say_refused(self._influx.why)
        else:
            self._refused_said = ""
        self._spool.done(delivery)
        if verdict in (Verdict.STORED, Verdict.PARTLY):
            self.last_write_s = time.monotonic()
            self.stored.extend(parcel.stamp_s for parcel in delivery.parcels)
            self._stored_since = True
        if not delivery.live:
            self._failed_on = None
        if self._failed_on is None:
            self._most = min(2 * self._most, self._limit)
        self._say_up()
        return True

    @staticmethod
    def _lines(delivery: Delivery) -> list[str]:
        lines: list[str] = []
        for parcel in delivery.parcels:
            try:
                lines += parcel.lines()
            except ValueError as error:
                log.error("a block of the spool is damaged and lost: %s", error)  # noqa: TRY400
        return lines

    def _sift(self, lines: list[str]) -> bool:
        """Send the lines of one block one by one; return whether the block is dealt with.

        What is refused is dropped: a point that can never be stored must not block the rest.
        But if all of them are, the cause does not lie in a point, and nothing is dropped.
        """
        refused = []
        for line in lines:
            verdict = self._influx.write([line])
            if verdict in (Verdict.LATER, Verdict.FAILED):
                return False
            if verdict is not Verdict.STORED:
                refused.append((self._influx.why, line))
        if len(refused) == len(lines):
            return False
        for why, line in refused:
            self._say_refused(why, line)
        return True

    def _note_failure(self, delivery: Delivery) -> None:
        """Find out whether the server fails on this block alone, and then let others go first."""
        if len(delivery.parcels) > 1:
            self._most = len(delivery.parcels) // 2
            self._failed_on = _ONE_OF_MANY
            return
        seq = delivery.parcels[0].seq
        if seq != self._failed_on:
            self._failed_on, self._failures, self._stored_since = seq, 0, False
        self._failures += 1
        if self._failures >= TRIES_OF_ONE and self._stored_since:
            self._failed_on = None
            self._spool.defer(delivery)

    def _erase(self, erasure: Erasure) -> None:
        """Erase what was shown at a time that was not the true one."""
        span = f"time >= {erasure.first_s}s AND time <= {erasure.last_s}s"
        minutes = round((erasure.last_s - erasure.first_s) / 60)
        if erasure.steps_aside and not self._is_all_provisional(span):
            log.warning("%d minutes shown provisionally may lie among true ones", minutes)
        else:
            for name in erasure.measurements:
                since = f"time >= {self._free_from_s(name, erasure.first_s)}s"
                self._influx.query(
                    f"DELETE FROM {_quoted(name)} "  # noqa: S608
                    f"WHERE {since} AND time <= {erasure.last_s}s"
                )
            if erasure.steps_aside:
                log.info("%d minutes shown provisionally step aside for true ones", minutes)
            else:
                log.info(
                    "the time is known: %d minutes shown provisionally are replaced by true ones",
                    minutes,
                )
        self._spool.erased(erasure)

    def _free_from_s(self, name: str, first_s: int) -> int:
        """Return from when on nothing true lies before `first_s`, a day before at most.

        DELETE takes the points of every level. Those of a minute, an hour or a day that began
        there are made of nothing but what is erased.
        """
        rows = self._influx.query(
            f"SELECT * FROM {_quoted(name)} "  # noqa: S608
            f"WHERE time < {first_s}s ORDER BY time DESC LIMIT 1"
        )
        if not rows:
            return first_s
        return max(int(rows[0]["time"]) + 1, first_s - LONGEST_BUCKET_S)

    def _is_all_provisional(self, span: str) -> bool:
        question = f"SELECT count(cycle_s) AS slots, count(provisional) AS marked FROM collector WHERE {span}"  # noqa: E501, S608
        return all(row["slots"] == row["marked"] for row in self._influx.query(question))

    def _place(self, placement: Placement) -> None:
        """Tell after which slot the blocks of an earlier boot may be shown."""
        question = "SELECT last(cycle_s) FROM collector"
        if placement.before_s is not None:
            question += f" WHERE time < {placement.before_s}s"
        rows = self._influx.query(question)
        self._spool.placed(placement, int(rows[0]["time"]) if rows else None)

    def _say_down(self) -> None:
        self.why = self._influx.why
        if self._down_since is None:
            self._down_since = time.monotonic()
        if self.why != self._said:
            self._said = self.why
            log.warning("InfluxDB takes no data: %s; it is kept and tried again", self.why)

    def _say_up(self) -> None:
        """Say so when all is delivered: one part may pass again and again where another fails."""
        self._retry_s = FIRST_RETRY_S
        self.why = ""
        if self._spool.next(1, special=False) is not None:
            return
        self._said = ""
        self._failed_on = None
        self._most = self._limit = BLOCKS_A_REQUEST
        if self._down_since is not None:
            down_s = time.monotonic() - self._down_since
            self._down_since = None
            log.info("InfluxDB takes data again, after %.0f s", down_s)

    def _say_refused(self, why: str, line: str = "") -> None:
        what = why.partition(" dropped=")[0]  # and their number, which changes
        if what != self._refused_said:
            self._refused_said = what
            words = f"{why}: {line[:200]}" if line else why
            log.error("InfluxDB refused points for good: %s; they are dropped", words)


def _words(todo: Erasure | Placement) -> str:
    if isinstance(todo, Erasure):
        return "erase what was shown at a provisional time"
    return "tell its last slot, after which provisional ones are to lie"


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
