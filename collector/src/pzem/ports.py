"""Which meter answers on which tty, and the asking of all of them in one cycle.

Adapters carry no serial number and ttys are renumbered at every plug and boot, so a
meter is found by asking. One thread a tty: a slow line delays nobody but itself.

A port is *home* to the meters last heard on it. Every cycle a port asks its own
meters, those that answered in the last cycle first. Other meters are asked for on it
(*guests*) only while they do not answer: at the start, when a tty appears, and at
intervals that grow from a minute to an hour; what hangs on a foreign port is left
alone in between, and the port is closed. A port that serves a meter is asked for others
only if these have no home, or theirs is gone.

A meter that was never heard, such as a generator's that is off on the day of the
installation, may have its first run at any time and is looked for in every cycle: on
the lines of the other meters, after those, on ports that the configuration names, and
on free ports like those that serve meters, if there are no more of them than meters
to find. Once heard, a meter has a home and is asked for there.

Meters that fall silent may have had their lines exchanged behind the adapters, so each
is then asked for once at every home of silent ones.

Where two meters have the same address, the port of the other one is remembered as that of
a *twin*, and what it says is never taken for the one that is read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pzem.adapters import Device, present_ports, usb_model, usb_socket
from pzem.line import TRY_S, PortBusyError, known_grabber
from pzem.meter import (
    MIN_TRY_S,
    NO_ANSWER_YET,
    NO_PORT,
    NOT_ASKED,
    NOT_FOUND,
    PORT_BUSY,
    PORT_FAILED,
    Faulty,
    Outcome,
    Silent,
    heard,
)
from pzem.places import Places
from pzem.port_thread import Ask, Job, PortThread, Reset

GRACE_S: Final = 0.05
"""What a thread may need after its deadline to hand over its results."""
FIRST_PROBE_S: Final = 60.0
LAST_PROBE_S: Final = 3600.0
REOPEN_AFTER_CYCLES: Final = 2
"""Adapters get stuck without an error; a port this long without a word is reopened. What
is silent then is the meter: see `Silent.proves_darkness`."""
DISCOVERY_S: Final = 3.0
RESET_S: Final = 0.4
"""Time for setting a counter back where none is given: what a grid of 1 s leaves over."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Place:
    """What is known of one meter's whereabouts."""

    name: str
    address: int
    home: str | None = None
    usb: str | None = None
    seen: bool = False
    """Heard at least once, now or before the last restart."""
    answered: bool = False
    """Something came in the last cycle."""
    took_s: float = 0.0
    """Line time that the last asking took."""


@dataclass(slots=True)
class _Port:
    """One present tty."""

    path: str
    device: Device
    thread: PortThread
    usb: str | None
    model: str | None
    pending: set[str]
    """Names still to be asked for once on this port."""
    probe_at: float
    probe_interval_s: float = FIRST_PROBE_S
    asked_at: dict[str, float] = field(default_factory=dict)
    foreign: bool = False
    """Noise came instead of an answer, and no meter was ever heard here."""
    job: Job | Reset | None = None
    held: bool = False
    """The thread may have it open; a port that is nobody's home is let go."""
    wordless_cycles: int = 0
    reopen_at: float = 0.0
    reopen_interval_s: float = FIRST_PROBE_S
    trouble: str | None = None
    robbery_said: bool = False

    @property
    def is_stuck(self) -> bool:
        """Whether the thread still has not come back from what it was told last."""
        return self.job is not None and not self.job.done.is_set()


class Ports:
    """Asks every configured meter once a cycle, wherever it is.

    `meters` maps names to addresses, `kept` keeps the places over restarts. All
    methods are for one thread.
    """

    def __init__(
        self,
        patterns: Iterable[str],
        exclude: Iterable[str],
        meters: Mapping[str, int],
        kept: Places,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patterns = tuple(patterns)
        self._exclude = tuple(exclude)
        self._kept = kept
        self._monotonic = monotonic
        self._places = {name: _Place(name, address) for name, address in meters.items()}
        for place in self._places.values():
            if (remembered := kept.recall(place.address)) is not None:
                place.home, place.usb = remembered
                place.seen = True
        self._ports: dict[str, _Port] = {}
        self._wanted: set[str] = set()
        self._twins: dict[str, set[str]] = {name: set() for name in self._places}
        """Ports on which another meter has the address of this one."""
        self._doubled: set[str] = set()
        self._reset_failed: set[str] = set()
        self._no_port_said = False

    def __enter__(self) -> Ports:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of every port. A thread that is stuck in the kernel is left to it."""
        for port in self._ports.values():
            port.thread.stop()
        for port in self._ports.values():
            port.thread.join(timeout=2 * TRY_S)
        self._ports.clear()

    def homes(self) -> dict[str, str | None]:
        """Return where each meter was heard last: name to port."""
        return {name: place.home for name, place in self._places.items()}

    def troubles(self) -> dict[str, str | None]:
        """Return the ports that are there, and what is wrong with each: path to a line, or None."""
        return {path: port.trouble for path, port in self._ports.items()}

    def discover(self, stop: threading.Event | None = None) -> dict[str, Outcome]:
        """Look for all meters on all ports, `DISCOVERY_S` seconds at most."""
        until = self._monotonic() + DISCOVERY_S
        outcomes: dict[str, Outcome] = {}
        while not (stop and stop.is_set()):
            outcomes = self.poll(until)
            searching = any(port.pending & self._wanted for port in self._ports.values())
            if not searching or self._monotonic() > until - MIN_TRY_S:
                break
        return outcomes

    def poll(self, deadline: float) -> dict[str, Outcome]:
        """Ask every meter by `deadline` (monotonic seconds); one outcome for each."""
        now = self._monotonic()
        self._refresh(now)
        jobs: dict[str, Job] = {}
        found: set[str] = set()
        for port in self._ports.values():
            if port.is_stuck:
                self._note_trouble(port, f"{port.path} does not react; its meters wait for it")
                continue
            port.job = None
            asks = self._asks(port, now)
            if asks or port.held:
                port.held = bool(asks)
                job = Job(asks, deadline, self._is_reopening(port, now), found)
                port.job = job
                port.thread.submit(job)
                jobs[port.path] = job
        for job in jobs.values():
            job.done.wait(max(0.0, deadline + GRACE_S - self._monotonic()))
        # What an overdue thread has read so far is good; what it reads now is too late.
        return self._conclude({path: job.so_far() for path, job in jobs.items()})

    def reset_energy(self, name: str, deadline: float | None = None) -> bool:
        """Set the energy counter of a meter back to zero and see it there.

        To be called between two polls. Takes until `deadline` (monotonic seconds, the next
        slot at the latest; `RESET_S` from now if there is none), whatever the line does.
        False, said once, means that it was not seen to be done: the meter's next reading
        tells, and whoever wants it done asks again in a later cycle.
        """
        now = self._monotonic()
        deadline = now + RESET_S if deadline is None else deadline
        failure = self._reset(self._places[name], now, deadline)
        if failure is None:
            self._reset_failed.discard(name)
            log.info("%s: the energy counter was set back", name)
        elif name not in self._reset_failed:
            self._reset_failed.add(name)
            log.warning("%s: the energy counter could not be set back: %s", name, failure)
        return failure is None

    def _reset(self, place: _Place, now: float, deadline: float) -> str | None:
        home = self._home(place)
        if home is None or not place.answered:
            return "the meter does not answer"
        port = self._ports[home]
        if port.is_stuck:
            return f"{home} does not react"
        job = port.job = Reset(place.address, deadline - GRACE_S)  # over when the slot comes
        port.thread.submit(job)
        if not job.done.wait(max(0.0, deadline - now)):
            return f"{home} did not react in time"
        return None if job.failure is None else str(job.failure)

    # --- which ports there are

    def _refresh(self, now: float) -> None:
        present = present_ports(self._patterns, self._exclude)
        for path, port in list(self._ports.items()):
            replaced = not port.is_stuck and port.thread.has_lost_its_line()
            if present.get(path) != port.device or replaced:
                port.thread.stop()
                port.thread.join(GRACE_S)  # the device may be back under another name
                for place in self._residents(path):
                    place.answered = False
                for twins in self._twins.values():
                    twins.discard(path)
                del self._ports[path]
                log.warning("%s is gone", path)
        appeared = [path for path in present if path not in self._ports]
        for path in appeared:
            log.info("%s appeared", path)
            self._ports[path] = _Port(
                path,
                present[path],
                PortThread(path),
                usb_socket(path),
                usb_model(path),
                pending=set(self._places),
                probe_at=now + FIRST_PROBE_S,
            )
        if appeared:
            self._move_back_in()
        if not present and not self._no_port_said:
            log.warning("no port is there yet (%s)", ", ".join(self._patterns))
        self._no_port_said = not present

    def _move_back_in(self) -> None:
        """Expect a meter where its adapter's USB socket is now, else on the old name."""
        sockets = {port.usb: path for path, port in self._ports.items() if port.usb}
        for place in self._places.values():
            if not place.answered and place.usb in sockets:
                place.home = sockets[place.usb]

    def _residents(self, path: str) -> list[_Place]:
        return [place for place in self._places.values() if self._home(place) == path]

    def _home(self, place: _Place) -> str | None:
        """Return the port that is a meter's home, if it is there.

        The name alone proves nothing: the next adapter that is plugged in gets the name of
        one that was pulled.
        """
        port = self._ports.get(place.home) if place.home is not None else None
        if port is None or (place.usb and port.usb and place.usb != port.usb):
            return None
        return port.path

    # --- what to ask where

    def _asks(self, port: _Port, now: float) -> list[Ask]:
        residents = sorted(self._residents(port.path), key=_quick_ones_first)
        asks = [self._ask(place, guest=False) for place in residents]
        guests = {
            name
            for name in self._guests(port, now)
            if self._places[name] not in residents and port.path not in self._twins[name]
        }
        port.pending &= guests
        longest_ago = sorted(guests, key=lambda name: (port.asked_at.get(name, 0.0), name))
        return asks + [self._ask(self._places[name], guest=True) for name in longest_ago]

    @staticmethod
    def _ask(place: _Place, *, guest: bool) -> Ask:
        tries = 2 if place.answered and not guest else 1
        return Ask(place.name, place.address, tries, guest)

    def _guests(self, port: _Port, now: float) -> set[str]:
        wanted = {name for name, place in self._places.items() if not place.answered}
        if now >= port.probe_at:
            port.probe_interval_s = min(2 * port.probe_interval_s, LAST_PROBE_S)
            port.probe_at = now + port.probe_interval_s
            serves = any(place.answered for place in self._residents(port.path))
            port.pending |= {n for n in wanted if not serves or self._is_homeless(n)}
        unseen = {name for name in wanted if not self._places[name].seen}
        if unseen and port in self._likely_homes(len(unseen)):
            return (port.pending & wanted) | unseen
        return port.pending & wanted

    def _is_homeless(self, name: str) -> bool:
        return self._home(self._places[name]) is None

    def _likely_homes(self, unseen: int) -> list[_Port]:
        homes = {self._home(place) for place in self._places.values()}
        serving = [port for port in self._ports.values() if port.path in homes]
        free = [p for p in self._ports.values() if p.path not in homes and not p.foreign]
        named = [port for port in free if port.path in self._patterns]
        models = {port.model for port in serving}
        alike = [p for p in free if p not in named and (p.model in models or not models)]
        return serving + named + (alike if len(alike) <= unseen else [])

    def _is_reopening(self, port: _Port, now: float) -> bool:
        if port.wordless_cycles < REOPEN_AFTER_CYCLES or now < port.reopen_at:
            return False
        port.reopen_at = now + port.reopen_interval_s
        port.reopen_interval_s = min(2 * port.reopen_interval_s, LAST_PROBE_S)
        return True

    # --- what came of it

    def _conclude(self, jobs: Mapping[str, Job]) -> dict[str, Outcome]:
        now = self._monotonic()
        for path, job in jobs.items():
            self._note(self._ports[path], job, now)
        outcomes = {name: self._outcome(place, jobs) for name, place in self._places.items()}
        wanted = {name for name, place in self._places.items() if not place.answered}
        if wanted - self._wanted:
            for port in self._ports.values():
                residents = self._residents(port.path)
                if residents and not any(place.answered for place in residents):
                    port.pending |= wanted
                if not self._wanted or port.probe_at > now + FIRST_PROBE_S:
                    port.probe_interval_s = FIRST_PROBE_S
                    port.probe_at = now + FIRST_PROBE_S
        self._wanted = wanted
        return outcomes

    def _note(self, port: _Port, job: Job, now: float) -> None:
        if not port.is_stuck:
            self._note_trouble(port, str(job.failure) if job.failure is not None else None)
        if job.failure is not None and not isinstance(job.failure, PortBusyError):
            port.pending = set(self._places)  # what comes back may be another adapter
        if job.robbed and not port.robbery_said:
            port.robbery_said = True
            what = "another program reads from it and takes values away; stop that"
            log.warning("%s: %s%s", port.path, what, known_grabber())
        for name, took_s in job.took_s.items():
            self._places[name].took_s = took_s
        port.asked_at.update(dict.fromkeys(job.outcomes, now))
        port.pending -= job.outcomes.keys()
        anybody = any(map(heard, job.outcomes.values()))
        at_home = bool(self._residents(port.path))
        if anybody or not at_home:
            port.wordless_cycles = 0
            port.reopen_at = 0.0
            port.reopen_interval_s = FIRST_PROBE_S
        else:
            port.wordless_cycles += 1
        if anybody:
            port.foreign = False
        elif not at_home and any(isinstance(o, Faulty) for o in job.outcomes.values()):
            port.foreign = True

    @staticmethod
    def _note_trouble(port: _Port, trouble: str | None) -> None:
        if trouble == port.trouble:
            return
        if trouble is not None:
            log.warning("%s", trouble)
        else:
            log.info("%s works again", port.path)
        port.trouble = trouble

    def _outcome(self, place: _Place, jobs: Mapping[str, Job]) -> Outcome:
        heard_on = [
            path
            for path, job in jobs.items()
            if heard(job.outcomes.get(place.name, Silent())) and path not in self._twins[place.name]
        ]
        if heard_on:
            path = place.home if place.home in heard_on else heard_on[0]
            self._move_in(place, path, heard_on)
            outcome: Outcome = jobs[path].outcomes[place.name]
        else:
            outcome = self._at_home(place, jobs)
        place.answered = not isinstance(outcome, Silent)
        return outcome

    def _at_home(self, place: _Place, jobs: Mapping[str, Job]) -> Outcome:
        """Say what a meter's own port made of it, as nobody else has heard it."""
        if place.home is None and self._ports:
            return self._nowhere(place, jobs)
        home = self._home(place)
        if home is None:
            return Silent(NO_PORT)
        job = jobs.get(home)
        if job is None:
            return Silent(PORT_FAILED)
        outcome = job.outcomes.get(place.name)
        if outcome is None:
            stuck = self._ports[home].is_stuck
            return Silent(PORT_FAILED if stuck else _why_not_asked(job))
        anybody = any(map(heard, job.outcomes.values()))
        if outcome == Silent() and not anybody and not job.opened_anew:
            return Silent(NO_ANSWER_YET)
        return outcome

    def _nowhere(self, place: _Place, jobs: Mapping[str, Job]) -> Outcome:
        """Say what there is to tell of a meter that was never heard.

        It may hang on any port, so one that cannot be used proves its silence wrong.
        """
        outcomes = [job.outcomes[place.name] for job in jobs.values() if place.name in job.outcomes]
        noise = [outcome for outcome in outcomes if isinstance(outcome, Faulty)]
        closed = [_why_not_asked(job) for job in jobs.values() if job.failure is not None]
        if noise:
            return noise[0]
        if closed:
            return Silent(closed[0])
        everywhere = all(place.name in port.asked_at for port in self._ports.values())
        return Silent(NOT_FOUND if everywhere else NOT_ASKED)

    def _move_in(self, place: _Place, path: str, heard_on: list[str]) -> None:
        self._twins[place.name].update(other for other in heard_on if other != path)
        if len(heard_on) > 1 and place.name not in self._doubled:
            self._doubled.add(place.name)
            log.warning(
                "address %d answers on %s; two meters have it, only the one on %s is read: "
                "give the other another with pzem set-address",
                place.address,
                " and ".join(heard_on),
                path,
            )
        usb = self._ports[path].usb
        if (place.home, place.usb) != (path, usb) or not place.seen:
            log.info("%s (address %d) answers on %s", place.name, place.address, path)
        place.home, place.usb, place.seen = path, usb, True
        self._kept.keep(place.address, path, usb)


def _quick_ones_first(place: _Place) -> tuple[bool, bool]:
    """Order so that a meter that needs more than one try delays no other."""
    return not place.answered, place.took_s > TRY_S


def _why_not_asked(job: Job) -> str:
    if isinstance(job.failure, PortBusyError):
        return PORT_BUSY
    return NOT_ASKED if job.failure is None else PORT_FAILED
