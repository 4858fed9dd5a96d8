"""The thread that waits for the card, so that no other one does.

An SD card may hang for seconds, and a dying one for minutes. Slots go to the spool, which
has a thread of its own for the same reason; all else that the collector keeps comes here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

RETRY_S: Final = 60.0
"""A card that takes no write is tried again after this time."""
CLOSE_S: Final = 2.0
"""How long the end waits for the card; systemd does not wait for ever."""

Job = Callable[[], bool]
"""Does its work on the card; returns False if it is to be tried again later."""

log = logging.getLogger(__name__)


class Saver:
    """Does one job at a time, of each owner the newest alone: it replaces any before it."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, *, background: bool = True
    ) -> None:
        """Without `background` whoever submits a job waits for what is due."""
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._jobs: dict[object, tuple[Job, float]] = {}
        """What is not done yet, by owner; and when it is due, on the monotonic clock."""
        self._closing = False
        self._thread: threading.Thread | None = None
        if background:
            self._thread = threading.Thread(target=self._work_on, name="saver", daemon=True)
            self._thread.start()

    def submit(self, owner: object, job: Job) -> None:
        """Have `job` done as soon as the card allows, in the place of the owner's last one."""
        with self._changed:
            self._jobs[owner] = (job, self._monotonic())
            self._changed.notify_all()
        if self._thread is None:
            self._work()

    def is_done(self, owner: object, timeout_s: float = 0.0) -> bool:
        """Tell whether nothing of `owner` waits, waiting `timeout_s` at most for that."""
        with self._changed:
            return self._changed.wait_for(
                lambda: owner not in self._jobs, timeout_s if self._thread is not None else 0.0
            )

    def close(self) -> None:
        """Try once more what is not done yet; wait `CLOSE_S` at most for a card that hangs."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is None:
            self._work()
            return
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.error("the card does not answer: %d files stay as they were", len(self._jobs))

    def _work_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._due(), self._until_due_s())
                closing = self._closing
            self._work()
            if closing:
                return

    def _work(self) -> None:
        with self._changed:
            due = self._due()
        for owner in due:
            with self._changed:
                job, _ = self._jobs[owner]
            try:
                is_done = job()
            except Exception:
                log.exception("something could not be kept; this is a defect")
                is_done = False
            with self._changed:
                if self._jobs[owner][0] is job:
                    if is_done:
                        del self._jobs[owner]
                    else:
                        self._jobs[owner] = (job, self._monotonic() + RETRY_S)
                self._changed.notify_all()

    def _due(self) -> list[object]:
        now_s = self._monotonic()
        return [owner for owner, (_, at_s) in self._jobs.items() if self._closing or at_s <= now_s]

    def _until_due_s(self) -> float | None:
        ends = [at_s for _, at_s in self._jobs.values()]
        return max(min(ends) - self._monotonic(), 0.0) if ends else None
