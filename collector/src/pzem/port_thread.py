"""One thread for each tty: it owns the line and works through what a cycle asks of it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass, field, replace

from pzem.line import IO_ERRORS, Line, PortError
from pzem.meter import MIN_TRY_S, Faulty, Meter, MeterError, Outcome, Silent, drained, heard

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask for one meter: `tries` times at most, or as a guest if nobody else heard it."""

    name: str
    address: int
    tries: int
    guest: bool


@dataclass(slots=True)
class Job:
    """What one port does in one cycle, and what came of it. Nothing to ask: let go."""

    asks: list[Ask]
    deadline: float
    """Monotonic seconds; nothing is asked later."""
    reopen: bool
    found: set[str]
    """Names heard on any port in this cycle; all jobs of a cycle share it."""
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)
    failure: Exception | None = None
    opened_anew: bool = False
    """Nothing was heard since the port was opened last."""
    robbed: bool = False
    """Another program reads from the port."""
    done: threading.Event = field(default_factory=threading.Event)

    def so_far(self) -> Job:
        """Return a copy that the thread at work does not change any more."""
        return replace(self, outcomes=dict(self.outcomes), took_s=dict(self.took_s))


@dataclass(slots=True)
class Reset:
    """Set one meter's energy counter back, and what came of it."""

    address: int
    deadline: float
    """Monotonic seconds; nothing is asked later."""
    failure: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)


class PortThread(threading.Thread):
    """Does the jobs of one tty, one after the other, and owns its `Line`."""

    def __init__(self, path: str) -> None:
        super().__init__(name=f"port {path}", daemon=True)
        self._path = path
        self._jobs: queue.SimpleQueue[Job | Reset | None] = queue.SimpleQueue()
        self._line: Line | None = None
        self._opened_anew = False
        self._defect_said = ""
        self.start()

    def submit(self, job: Job | Reset) -> None:
        """Have `job` done; its `done` is set at the end, whatever happens."""
        self._jobs.put(job)

    def stop(self) -> None:
        """End the thread after its present job and let go of the port."""
        self._jobs.put(None)

    def has_lost_its_line(self) -> bool:
        """Tell whether the adapter behind the open port is gone. Only while it has no job."""
        return self._line is not None and self._line.is_hung_up()

    def run(self) -> None:
        """Work until stopped."""
        while (job := self._jobs.get()) is not None:
            try:
                if isinstance(job, Reset):
                    self._reset(job)
                else:
                    self._do(job)
            except MeterError as error:
                job.failure = error
            except PortError as error:
                job.failure = error
                self._close()
            except IO_ERRORS as error:
                job.failure = PortError(f"{self._path} failed: {error}")
                self._close()
            except Exception as error:
                if repr(error) != self._defect_said:
                    self._defect_said = repr(error)
                    log.exception("%s: reading failed; this is a defect", self._path)
                job.failure = PortError(f"{self._path} failed: {error}")
                self._close()
            finally:
                job.done.set()
        self._close()

    def _do(self, job: Job) -> None:
        if not job.asks:
            self._close()
            return
        was_open = self._line is not None
        try:
            if job.reopen and self._line is not None:
                self._line.reopen()
                self._opened_anew = True
            self._ask_all(job)
        except IO_ERRORS:
            # Unplugged and back under the same name: the old handle is dead, a new
            # one still saves this slot.
            self._close()
            if not was_open:
                raise
            self._ask_all(job)
        if all(ask.guest for ask in job.asks) and not any(map(heard, job.outcomes.values())):
            self._close()

    def _ask_all(self, job: Job) -> None:
        line = self._opened()
        noisy = False
        for ask in job.asks:
            if ask.name in job.outcomes or (ask.guest and ask.name in job.found):
                continue
            if noisy and not drained(line, job.deadline):
                break
            if job.deadline - time.monotonic() < MIN_TRY_S:
                break
            start_s = time.monotonic()
            outcome = Meter(line, ask.address).ask(ask.tries, job.deadline)
            job.took_s[ask.name] = time.monotonic() - start_s
            job.outcomes[ask.name] = outcome
            if heard(outcome):
                job.found.add(ask.name)
            if not isinstance(outcome, Silent):
                self._opened_anew = False
            noisy = isinstance(outcome, Faulty)
        job.opened_anew = self._opened_anew
        job.robbed = line.is_robbed

    def _reset(self, job: Reset) -> None:
        Meter(self._opened(), job.address).reset_energy_by(job.deadline)

    def _opened(self) -> Line:
        if self._line is None:
            self._line = Line(self._path)
            self._opened_anew = True
        return self._line

    def _close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
