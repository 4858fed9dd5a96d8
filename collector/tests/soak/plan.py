"""What goes wrong on the simulated day, drawn from a seed.

Times are seconds since the day's begin. The plan is drawn before the day begins, so that it
does not depend on what the collector does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Final

from soak.world import NAMES

DAY_S: Final = 86_400
CALM_S: Final = 1800
"""Before the end nothing happens any more, so that all that waits can be delivered."""
MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One thing that happens; `words` are its particulars."""

    at: float
    kind: str
    words: tuple[str, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        clock = f"{int(self.at) // 3600:02}:{int(self.at) // 60 % 60:02}:{self.at % 60:04.1f}"
        lasting = f" for {self.seconds:.0f} s" if self.seconds else ""
        return f"{clock} {self.kind} {' '.join(self.words)}".rstrip() + lasting


def draw(rng: Random, day_s: float = DAY_S) -> list[Event]:
    """Return a day's faults, sorted. A shorter day has as many, so that each kind comes."""
    events = [
        *_power(rng, day_s),
        *_meters(rng, day_s),
        *_collector(rng, day_s),
        *_database(rng, day_s),
        *_card(rng, day_s),
        *_clock(rng, day_s),
    ]
    over_s = day_s - CALM_S
    return sorted(
        replace(event, seconds=min(event.seconds, over_s - event.at))
        for event in events
        if 0 < event.at < over_s
    )


def time_arrives_after(rng: Random, *, outage: bool) -> float:
    """Return how long a boot lasts before the time is known, in s.

    In an outage the internet is often down as well.
    """
    if outage:
        return rng.uniform(0, 9000)
    pick = rng.random()
    if pick < 0.5:
        return rng.uniform(5, 60)
    return rng.uniform(60, 540) if pick < 0.75 else rng.uniform(660, 2400)


def _spread(rng: Random, day_s: float, times: int) -> list[float]:
    """Return `times` moments, one in each part of the day."""
    part_s = (day_s - CALM_S) / times
    return [part_s * (number + rng.random()) for number in range(times)]


def _power(rng: Random, day_s: float) -> list[Event]:
    events = []
    for number, at in enumerate(_spread(rng, day_s, 4)):
        if number % 2:
            events.append(Event(at, "outage", ("generator",), rng.uniform(20, 90) * MINUTE))
        else:
            events.append(Event(at, "outage", (), rng.uniform(1, 40) * MINUTE))
    # One in the dark that the Pi lives through, as on a battery, and an ordinary restart.
    events += [
        Event(at, "dark", (), rng.uniform(0.2, 15) * MINUTE) for at in _spread(rng, day_s, 2)
    ]
    events += [Event(at, "reboot", (), rng.uniform(20, 60)) for at in _spread(rng, day_s, 2)]
    return events


def _meters(rng: Random, day_s: float) -> list[Event]:
    events = []
    for name in NAMES:
        for at in _spread(rng, day_s, 24):
            kind = rng.choice(("no_answer", "no_port", "crc", "short", "modbus_error 4"))
            events.append(Event(at, "meter", (name, kind), rng.expovariate(1 / 120) + 1))
    events += [Event(at, "reset", (rng.choice(NAMES[:2]),)) for at in _spread(rng, day_s, 3)]
    return events


def _collector(rng: Random, day_s: float) -> list[Event]:
    where = ("wait", "read", "request", "acknowledged")
    kills = [Event(at, "kill", (rng.choice(where),)) for at in _spread(rng, day_s, 16)]
    return kills + [Event(at, "restart") for at in _spread(rng, day_s, 4)]


def _database(rng: Random, day_s: float) -> list[Event]:
    events = [
        Event(at, "database", (rng.choice(("stopped", "killed")),), rng.uniform(0.2, 15) * MINUTE)
        for at in _spread(rng, day_s, 10)
    ]
    long_s = rng.uniform(60, 120) * MINUTE
    events.append(Event(rng.uniform(0.1, 0.7) * day_s, "database", ("stopped",), long_s))
    events += [
        Event(at, "database", ("dropped",), rng.uniform(0.5, 10) * MINUTE)
        for at in _spread(rng, day_s, 2)
    ]
    # And a kill while it is away, after more and after less than what is committed at once.
    for away_s in (rng.uniform(5, 30), rng.uniform(90, 600)):
        at = rng.uniform(0.05, 0.9) * day_s
        events.append(Event(at, "database", ("killed",), away_s + 120))
        events.append(Event(at + away_s, "kill", ("wait",)))
    return events


def _card(rng: Random, day_s: float) -> list[Event]:
    events = []
    for at in _spread(rng, day_s, 3):
        events.append(Event(at, "card", ("full",), rng.uniform(2, 30) * MINUTE))
        if rng.random() < 0.7:
            away_s = rng.uniform(2, 30) * MINUTE
            events.append(Event(at + rng.uniform(-300, 300), "database", ("stopped",), away_s))
    return events


def _clock(rng: Random, day_s: float) -> list[Event]:
    steps = [
        Event(
            at,
            "step",
            (f"{rng.choice((-1, 1)) * rng.uniform(0.6, 90):+.1f}",),
            rng.uniform(20, 900),
        )
        for at in _spread(rng, day_s, 4)
    ]
    return steps + [Event(at, "stall", (), rng.uniform(2, 90)) for at in _spread(rng, day_s, 3)]
