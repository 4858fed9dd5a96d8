"""What InfluxDB has not acknowledged yet: first in memory, after half a minute on the card.

Three threads meet here. The one that reads puts blocks and never waits for the card, which
may hang for seconds. The writer takes from memory what it can send. The keeper, the
spool's own, is the only one that touches the card: it commits what waits, reads ahead
what is to be sent next and takes out what was delivered.

What is delivered is taken out of the file some time later, so a crash may have it
delivered again: it overwrites itself. Where that would not be so, as with provisional
points and their erasure, the card is told first.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pzem.spool.block import Block
from pzem.spool.file import SpoolFile
from pzem.spool.keeper import Keeper
from pzem.spool.memory import Memory, SpoolDepth
from pzem.spool.parcel import Delivery, Erasure, Placement

OPEN_S: Final = 10.0
"""How long the start waits for what an earlier run has left; a large file that is damaged
takes minutes."""
CLOSE_S: Final = 5.0
"""How long the end waits for the card; systemd does not wait for ever."""

log = logging.getLogger(__name__)


class Spool:
    """The queue between the thread that reads and the one that writes.

    `put`, `time_is_known`, `show_undated` and `depth` are for the first, `wait`, `next`,
    `done`, `defer`, `erased` and `placed` for the second. None of them waits for the card.
    """

    def __init__(
        self,
        folder: Path | None,
        boot_id: str,
        max_bytes: int,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        background: bool = True,
    ) -> None:
        """Open what an earlier run has left; waits `OPEN_S` at most for the card.

        `folder` None keeps everything in memory. `max_bytes` is never exceeded by the
        file. Without `background` nobody calls `keep` but its owner.
        """
        self._file = None if folder is None else SpoolFile(folder, max_bytes)
        self._changed = threading.Condition()
        self._memory = Memory(boot_id, monotonic)
        self._keeper = Keeper(self._memory, self._file, self._changed, monotonic)
        self._thread: threading.Thread | None = None
        if not background:
            self.keep()
            return
        self._thread = threading.Thread(target=self._keeper.run, name="spool", daemon=True)
        self._thread.start()
        with self._changed:
            if not self._changed.wait_for(lambda: self._keeper.has_looked, OPEN_S):
                log.warning("the spool's file is slow to open; measuring begins meanwhile")

    # --- for the thread that reads

    def put(self, block: Block) -> None:
        """Add what a slot has brought."""
        with self._changed:
            self._memory.put(block)
            self._changed.notify_all()

    def time_is_known(
        self, boot_id: str, offset_s: float, interval_s: int, before_unix_s: int
    ) -> None:
        """Date the blocks of one boot: their slot is at monotonic time + `offset_s`.

        A block whose slot is not before `before_unix_s`, the first one that was dated at
        once, or that of another block dated at once, gives way to it. What was shown
        provisionally is erased. Only the first word on a boot counts.
        """
        with self._changed:
            self._memory.time_is_known(boot_id, offset_s, interval_s, before_unix_s)
            self._changed.notify_all()

    def show_undated(self, offset_s: float, interval_s: int) -> None:
        """Deliver the undated blocks of this boot too, at monotonic time + `offset_s`.

        They are kept until their time is known. If the first one would not come after
        every slot that the database or the spool knows of, `offset_s` is raised until it
        does. Only the first word counts in one boot.
        """
        with self._changed:
            self._memory.show_undated(offset_s, interval_s)
            self._changed.notify_all()

    @property
    def has_looked(self) -> bool:
        """Whether what an earlier run has left was looked at, with success or without."""
        return self._keeper.has_looked

    @property
    def left_newest_s(self) -> int | None:
        """Newest slot with a true time (Unix time) that an earlier run has left.

        None: there is none, or it was not looked at yet.
        """
        return self._memory.left_newest_s

    @property
    def is_showing_undated(self) -> bool:
        """Whether blocks of this boot are shown at a provisional time."""
        with self._changed:
            return self._memory.is_showing_undated

    def depth(self) -> SpoolDepth:
        """Tell how much waits."""
        with self._changed:
            return self._memory.depth()

    def keep(self, *, final: bool = False) -> None:
        """Do on the card what is due, all that there is if `final`; without a thread for it."""
        self._keeper.keep(final=final)

    def close(self) -> None:
        """Commit what is not acknowledged, and let go of the file."""
        if self._thread is None:
            self._keeper.finish()
        else:
            self._keeper.close()
            self._thread.join(CLOSE_S)
        with self._changed:
            self._memory.say_lost()
            if self._memory.fresh:
                trouble = self._memory.trouble
                log.error(
                    "%d blocks could not be kept on the card and are lost%s",
                    len(self._memory.fresh),
                    f": {trouble}" if trouble else "",
                )

    # --- for the writer

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to send or to ask; return whether there is."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._memory.pick(1, backlog=True, special=True) is not None, timeout_s
            )

    def next(
        self, most: int, *, backlog: bool = True, special: bool = True
    ) -> Delivery | Erasure | Placement | None:
        """Return what is to be done next; up to `most` blocks. It stays until it is done.

        Without `backlog` only what is in memory; without `special` only blocks.
        """
        with self._changed:
            return self._memory.pick(most, backlog=backlog, special=special)

    def done(self, delivery: Delivery) -> None:
        """Note that InfluxDB has stored `delivery`, or will never take it."""
        with self._changed:
            self._memory.done(delivery)
            self._changed.notify_all()

    def defer(self, delivery: Delivery) -> None:
        """Let others go before `delivery`, for some minutes."""
        with self._changed:
            self._memory.defer(delivery)
            self._changed.notify_all()

    def erased(self, erasure: Erasure) -> None:
        """Note that InfluxDB has erased what was shown provisionally."""
        with self._changed:
            self._memory.erased(erasure)
            self._changed.notify_all()

    def placed(self, placement: Placement, last_s: int | None) -> None:
        """Note the answer to a question: the last slot that is stored, None if there is none."""
        with self._changed:
            self._memory.placed(placement, last_s)
            self._changed.notify_all()
