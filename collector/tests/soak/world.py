"""One simulated day: its true time, its power, its machine, its meters and its card.

Nothing here waits. The collector's clock (`WorldClock`) moves the world on, and on the way
what the plan says happens at the moment it is due, in the collector's own thread: a kill is
an exception out of the wait, the read or the request in which it strikes.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from pzem.meter import Faulty, Outcome, Silent
from pzem.registers import OverRangeError, decode, encode
from pzem.testing.house import SimulatedHouse

INTERVAL_S: Final = 5
POLL_S: Final = 0.15
"""What a cycle over three ports takes, about."""
NAMES: Final = ("mainA", "mainB", "gen")


class Killed(BaseException):
    """The collector's process ends here and now. No part of it may catch this."""


class PowerCut(Killed):
    """The same of the whole machine."""


@dataclass(slots=True)
class Boot:
    """One run of the machine. Its monotonic clock starts with it."""

    boot_id: str
    began: float
    ended: float | None = None


@dataclass(slots=True)
class Life:
    """One run of the collector's process."""

    boot: Boot
    began: float
    wall_began: float
    synchronised: bool
    """Whether the clock was right when it began."""
    ended: float | None = None
    wall_ended: float | None = None
    killed: bool = False


@dataclass(slots=True)
class Read:
    """One cycle over the meters: what was really there."""

    true_s: float
    wall_s: float
    life: Life
    synchronised: bool
    outcomes: dict[str, Outcome]
    truth_wh: dict[str, int]
    """What each meter has counted since the day began, resets left out."""
    in_hand: bool = False
    """The process ended before it could do anything with it."""


@dataclass(frozen=True, slots=True)
class Reset:
    """A register that was set back to zero."""

    name: str
    at: float
    truth_wh: int
    """What the meter had counted by then."""


@dataclass(slots=True)
class Spans:
    """When something was so."""

    name: str
    spans: list[tuple[float, float]] = field(default_factory=list)
    _since: float | None = None

    def begin(self, at: float) -> None:
        if self._since is None:
            self._since = at

    def end(self, at: float) -> None:
        if self._since is not None:
            bisect.insort(self.spans, (self._since, at))
            self._since = None

    def longest(self, first: float, last: float) -> float:
        """Return how long it was so between two moments, without a break, in s."""
        return max((min(b, last) - max(a, first) for a, b in self.spans), default=0.0)

    def touches(self, first: float, last: float) -> bool:
        spans = self.spans
        if self._since is not None:
            spans = [*spans, (self._since, float("inf"))]
        return any(begin <= last and end >= first for begin, end in spans)


class World:
    """The house, the machine in it, and what is to happen when."""

    def __init__(self, begin: float, seed: int, energy_wh: dict[str, float]) -> None:
        self.now = begin
        self.begin = begin
        self.house = SimulatedHouse(seed=seed)
        for name, wh in energy_wh.items():
            self.house.meters[name].energy_wh = wh
        self._register_wh = {n: int(m.energy_wh) for n, m in self.house.meters.items()}
        self._counted_wh = dict.fromkeys(NAMES, 0)
        self.trouble: dict[str, Silent | Faulty] = {}
        """What a meter's line makes of its answer, by name."""
        self.reads: list[Read] = []
        self.resets: list[Reset] = []
        self.drops: list[float] = []
        """When somebody dropped the database."""

        self.kept: dict[str, tuple[float, float]] = {}
        """For a stand-in: what it keeps."""
        self.boot: Boot | None = None
        self.boots: list[Boot] = []
        self.life: Life | None = None
        self.lives: list[Life] = []
        self.error_s = 0.0
        """What the wall clock shows beyond the true time."""
        self.synchronised = False
        self.off = Spans("machine off")
        self.no_database = Spans("database away")
        self.no_card = Spans("card full")
        self.stalled = Spans("machine stood still")
        self.stepped = Spans("clock jumped")
        self.stop_asked = False
        self.stall_s = 0.0
        self.kill_next: str | None = None
        """Where the next kill strikes: "read", "request" or "acknowledged"."""

        self._numbers = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), do))

    def advance(self, until: float) -> None:
        """Move on to `until`; what falls due on the way happens."""
        while self._events and self._events[0][0] <= until:
            when, _, do = heapq.heappop(self._events)
            self._pass(max(0.0, when - self.now))
            do()
            if self.stop_asked:
                return
        self._pass(max(0.0, until - self.now))

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        self.house.advance(seconds)
        self._count()

    def _count(self) -> None:
        for name, meter in self.house.meters.items():
            shown = int(meter.energy_wh)
            self._counted_wh[name] += shown - self._register_wh[name]
            self._register_wh[name] = shown

    # --- the clocks of the machine

    def monotonic(self) -> float:
        assert self.boot is not None
        return self.now - self.boot.began

    def wall(self) -> float:
        return self.now + self.error_s

    # --- the machine

    def start_machine(self, wall_s: float) -> None:
        number = len(self.boots)
        self.boot = Boot(f"{number:08x}-0000-4000-8000-000000000000", self.now - 8.0)
        self.boots.append(self.boot)
        self.error_s = wall_s - self.now
        self.synchronised = False
        self.off.end(self.now)

    def end_machine(self) -> None:
        assert self.boot is not None
        self.boot.ended = self.now
        self.boot = None
        self.off.begin(self.now)

    def begin_life(self) -> Life:
        assert self.boot is not None
        self.life = Life(self.boot, self.now, self.wall(), self.synchronised)
        self.lives.append(self.life)
        self.stop_asked = False
        return self.life

    def end_life(self, *, killed: bool) -> None:
        assert self.life is not None
        self.life.ended = self.now
        self.life.wall_ended = self.wall()
        self.life.killed = killed
        self.life = None
        self.kill_next = None

    # --- the meters

    def look(self) -> Read:
        """Return what all meters show now, as their lines bring it."""
        assert self.life is not None
        read = Read(
            self.now,
            self.wall(),
            self.life,
            self.synchronised,
            {name: self._outcome(name) for name in NAMES},
            dict(self._counted_wh),
        )
        self.reads.append(read)
        return read

    def _outcome(self, name: str) -> Outcome:
        meter = self.house.meters[name]
        if name in self.trouble:
            return self.trouble[name]
        if not meter.powered:
            return Silent()
        try:
            return decode(encode(meter.displayed))
        except OverRangeError as error:
            return Faulty(str(error), well_formed=True)

    def reset_register(self, name: str) -> None:
        self._count()
        self.resets.append(Reset(name, self.now, self._counted_wh[name]))
        self.house.meters[name].energy_wh = 0.0
        self._register_wh[name] = 0

    def first_read_s(self) -> float:
        """Return the monotonic time of the first cycle of this boot."""
        assert self.boot is not None
        first = next(read for read in self.reads if read.life.boot is self.boot)
        return first.true_s - self.boot.began

    # --- the card

    def fill_card(self) -> None:
        """From now on no file grows: the same for root as for anybody."""
        self.no_card.begin(self.now)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))

    def free_card(self) -> None:
        self.no_card.end(self.now)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    @contextmanager
    def another_card(self) -> Iterator[None]:
        """Let who starts here not inherit the full card."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (before[1], before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


class WorldClock:
    """`pzem.clock.Clock` over a world. `between`: what the collector's threads do meanwhile."""

    def __init__(self, world: World, between: Callable[[], None]) -> None:
        self._world = world
        self._between = between

    def unix(self) -> float:
        return self._world.wall()

    def monotonic(self) -> float:
        return self._world.monotonic()

    def wait_until(self, monotonic_s: float) -> bool:
        world = self._world
        self._between()
        assert world.boot is not None
        world.advance(world.boot.began + monotonic_s)
        if world.stall_s and not world.stop_asked:
            stall_s, world.stall_s = world.stall_s, 0.0
            began = (world.now, world.wall())
            try:
                world.advance(world.now + stall_s)
            finally:
                for first, last in zip(began, (world.now, world.wall()), strict=True):
                    world.stalled.begin(first)
                    world.stalled.end(last + INTERVAL_S)
        return not world.stop_asked

    def is_synchronised(self) -> bool:
        return self._world.synchronised


class WorldPorts:
    """`pzem.ports.Ports` over a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def poll(self, deadline: float) -> dict[str, Outcome]:
        assert deadline > self._world.monotonic()
        read = self._world.look()
        if self._world.kill_next == "read":
            read.in_hand = True
            raise Killed
        try:
            self._world.advance(self._world.now + POLL_S)
        except Killed:
            read.in_hand = True
            raise
        return read.outcomes

    def homes(self) -> dict[str, str | None]:
        return {name: f"/dev/ttyUSB{number}" for number, name in enumerate(NAMES)}

    def troubles(self) -> dict[str, str | None]:
        return {f"/dev/ttyUSB{number}": None for number in range(len(NAMES))}

    def reset_energy(self, name: str, deadline: float) -> bool:
        if isinstance(self._world._outcome(name), Silent | Faulty):
            return False
        self._world.reset_register(name)
        return True

    def close(self) -> None:
        """Nothing is open."""
