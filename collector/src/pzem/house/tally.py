"""What the generator did: energy by its meters' registers, peaks, running time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pzem.house.register import elapsed_s, most_wh
from pzem.house.watch import apart, is_long, moment_kept, moment_of
from pzem.meter import Outcome
from pzem.moment import Moment
from pzem.registers import Reading


class Counted(Protocol):
    """Energy of one meter that was read."""

    @property
    def lifetime_wh(self) -> float | None:
        """Over all of its history; None while that is not known."""

    @property
    def estimated(self) -> bool:
        """Whether some of what it has grown by since the slot before is an estimate."""


@dataclass(slots=True)
class Tally:
    """What the generator did in some time; None is what was not measured."""

    wh: float | None = None
    wh_estimated: bool = False
    peak_watts: float | None = None
    peak_volt_amps: float | None = None
    running_s: float | None = None
    running_estimated: bool = False

    def add(self, more: Tally) -> None:
        """Add what was counted in a later time."""
        self.wh = _sum(self.wh, more.wh)
        self.wh_estimated |= more.wh_estimated
        self.peak_watts = _larger(self.peak_watts, more.peak_watts)
        self.peak_volt_amps = _larger(self.peak_volt_amps, more.peak_volt_amps)
        self.running_s = _sum(self.running_s, more.running_s)
        self.running_estimated |= more.running_estimated

    def kept(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        return {name: getattr(self, name) for name in self.__slots__}

    def fields(self) -> dict[str, float]:
        """Return what is known as fields of an event; Wh, W, VA, s."""
        known = {
            "generator_wh": self.wh,
            "peak_watts": self.peak_watts,
            "peak_volt_amps": self.peak_volt_amps,
            "running_s": self.running_s,
        }
        return {name: round(float(v), 4) for name, v in known.items() if v is not None}

    def estimated(self) -> set[str]:
        """Return the names of the fields that are estimates."""
        flags = {"generator_wh": self.wh_estimated, "running_s": self.running_estimated}
        return {name for name, estimated in flags.items() if estimated}


@dataclass(slots=True)
class _Counter:
    """The last that a meter showed."""

    register_wh: float
    lifetime_wh: float | None
    moment: Moment


class GeneratorTally:
    """Counts what the generator does from slot to slot, over restarts and boots too.

    `names`: its meters. `interval_s`: seconds between slots.
    """

    def __init__(self, names: Sequence[str], interval_s: int) -> None:
        self._names = tuple(names)
        self._interval_s = interval_s
        self._counters: dict[str, _Counter] = {}
        self.running = False
        """Whether it ran when that was last seen."""
        self._seen: Moment | None = None
        """When that was."""
        self.off_wh = 0.0
        """What was counted in the last slot for the time before the present boot."""

    def take(
        self,
        outcomes: Mapping[str, Outcome],
        energies: Mapping[str, Counted],
        runs: bool | None,
        moment: Moment,
        booted: Moment | None,
    ) -> Tally:
        """Return what it did since the slot before.

        `runs`: whether it is seen to run; None: not known. `booted`: the present boot, if
        the generator is what the machine was started by, should it run now.
        """
        tally = Tally()
        self.off_wh = 0.0
        if not self._names:
            return tally
        readings = [(n, r) for n in self._names if isinstance(r := outcomes.get(n), Reading)]
        for name, reading in readings:
            energy = energies.get(name)
            lifetime_wh = energy.lifetime_wh if energy is not None else None
            former, fresh = (
                self._counters.get(name),
                _Counter(reading.energy_wh, lifetime_wh, moment),
            )
            self._counters[name] = fresh
            if former is None:
                continue
            step_wh = _step(former, fresh)
            tally.wh = (tally.wh or 0.0) + step_wh
            tally.wh_estimated |= energy is not None and energy.estimated and step_wh > 0
            if former.moment.boot_id != moment.boot_id:
                self.off_wh += step_wh
        if runs and len(readings) == len(self._names):
            tally.peak_watts = sum(reading.watts for _, reading in readings)
            tally.peak_volt_amps = sum(reading.volt_amps for _, reading in readings)
        if runs is not None:
            tally.running_s, tally.running_estimated = self._ran(runs, moment, booted)
        return tally

    def rewrite(self, changed: Callable[[Moment], Moment]) -> None:
        """Replace each moment by what `changed` makes of it."""
        for counter in self._counters.values():
            counter.moment = changed(counter.moment)
        self._seen = changed(self._seen) if self._seen is not None else None

    def kept(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        return {
            "counters": {
                name: [last.register_wh, last.lifetime_wh, moment_kept(last.moment)]
                for name, last in self._counters.items()
            },
            "running": self.running,
            "seen": moment_kept(self._seen) if self._seen is not None else None,
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go on from what JSON kept; raises `KeyError`, `TypeError`, `ValueError`."""
        self._counters = {
            str(name): _Counter(
                float(register_wh),
                float(lifetime_wh) if lifetime_wh is not None else None,
                moment_of(moment),
            )
            for name, (register_wh, lifetime_wh, moment) in kept["counters"].items()
        }
        self.running = bool(kept["running"])
        self._seen = moment_of(kept["seen"]) if kept["seen"] is not None else None

    def _ran(self, runs: bool, moment: Moment, booted: Moment | None) -> tuple[float, bool]:
        """Return for how many seconds it ran since that was last seen; and if by estimate."""
        former, ran = self._seen, self.running
        self._seen, self.running = moment, runs
        if former is None:
            return 0.0, False
        if former.boot_id != moment.boot_id:
            if runs and booted is not None:
                return apart(booted, moment), True
            return 0.0, ran
        unseen = is_long(former, moment, self._interval_s)
        if not ran or (unseen and not runs):
            return 0.0, ran
        return max(0.0, apart(former, moment)), unseen


def _step(former: _Counter, fresh: _Counter) -> float:
    """Return the Wh between two looks at a meter; none where it cannot be told.

    A register that fell was set back or is another meter's, and one that rose by more
    than the meter can measure is another meter's as well. Over a start without the time
    nobody can say how much that is.
    """
    if former.lifetime_wh is not None and fresh.lifetime_wh is not None:
        step_wh = fresh.lifetime_wh - former.lifetime_wh
    else:
        step_wh = fresh.register_wh - former.register_wh
    return step_wh if 0 <= step_wh <= most_wh(elapsed_s(former.moment, fresh.moment)) else 0.0


def _sum(one: float | None, other: float | None) -> float | None:
    return (one or 0.0) + (other or 0.0) if one is not None or other is not None else None


def _larger(one: float | None, other: float | None) -> float | None:
    known = [value for value in (one, other) if value is not None]
    return max(known, default=None)
