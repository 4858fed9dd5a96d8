"""Houses for tests of what their meters mean: wirings, outcomes, and slots in a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pzem.config import MeterSettings
from pzem.house import House, Meaning, PiFeed, Sample, SystemState
from pzem.meter import Faulty, Outcome, Silent
from pzem.moment import Moment
from pzem.registers import OverRangeError, Reading, decode, encode
from pzem.settling import Settling
from pzem.testing import SimulatedHouse, Wiring

PANEL = (
    MeterSettings("mainA", 4, "utility", "A", "panel_a"),
    MeterSettings("mainB", 5, "utility", "B", "panel_b"),
    MeterSettings("gen", 6, "generator", None, "panel_a"),
)
OWN = tuple(MeterSettings(m.name, m.address, m.supply, m.leg, "own") for m in PANEL)
ONE_LEG = (MeterSettings("main", 1, "utility"),)
OVEN = MeterSettings("oven", 9, "circuit", "A", "panel_a")
THREE_PHASES = tuple(
    MeterSettings(f"main{leg}", n, "utility", leg) for n, leg in enumerate("ABC", start=1)
)
GENERATOR_ONLY = (MeterSettings("gen", 6, "generator"),)
WIRINGS = {
    "panel": PANEL,
    "own": OWN,
    "panel and oven": (*PANEL, OVEN),
    "one leg": ONE_LEG,
    "one leg, own": (MeterSettings("main", 1, "utility", None, "own"),),
    "two legs": PANEL[:2],
    "three phases": THREE_PHASES,
    "three phases and a generator": (*THREE_PHASES, PANEL[2]),
    "utility own, generator behind the panel": (*OWN[:2], PANEL[2]),
    "generator only": GENERATOR_ONLY,
    "circuit only": (OVEN,),
}

SILENT = Silent()
FAULTY = Faulty("bad_crc")
SYSTEM = SystemState(clock_true=True, spool_blocks=0, spool_oldest_age_s=None, card_trouble=None)


def shows(amps: float, volts: float = 120.0) -> Reading:
    power_factor = 1.0 if amps else 0.0
    return Reading(volts, amps, round(volts * amps, 1), 1e3, 60.0, power_factor, alarm=False)


IDLE = shows(0.0)
UTILITY = (shows(5), shows(3), IDLE)
GENERATOR = (IDLE, IDLE, shows(8))
BOTH = (shows(5), shows(3), shows(8))
DARK = (SILENT, SILENT, SILENT)


def moment(slot: float, interval_s: float = 5.0, boot: str = "boot") -> Moment:
    """Return the slot number `slot` of a boot."""
    seconds = slot * interval_s
    return Moment(1_700_000_000 + int(seconds), 100.0 + seconds, boot)


def outcomes(meters: Sequence[MeterSettings], shown: Sequence[Outcome]) -> dict[str, Outcome]:
    return {meter.name: outcome for meter, outcome in zip(meters, shown, strict=True)}


class Slots:
    """Hands a house one slot after the other, each `interval_s` after the last.

    `is_told`: the database has answered that it knows nothing of the generator.
    """

    def __init__(
        self,
        house: House,
        meters: Sequence[MeterSettings],
        interval_s: float = 5.0,
        *,
        is_told: bool = True,
    ) -> None:
        if is_told:
            house.generator_recalled(None)
        self.house = house
        self.interval_s = interval_s
        self._meters = meters
        self._slot = 0
        self.system: SystemState | None = SYSTEM
        self.stuck: frozenset[str] = frozenset()

    def skip(self, seconds: float) -> None:
        self._slot += round(seconds / self.interval_s)

    def take(self, shown: Sequence[Outcome], seconds: float = 0.0) -> Meaning:
        """Show the same for one slot, and then for as long as `seconds` more."""
        for meaning in self.each(shown, seconds):
            last = meaning
        return last

    def each(self, shown: Sequence[Outcome], seconds: float = 0.0) -> Iterator[Meaning]:
        for _ in range(round(seconds / self.interval_s) + 1):
            yield self.show(outcomes(self._meters, shown))

    def show(self, heard: Mapping[str, Outcome]) -> Meaning:
        sample = Sample(moment(self._slot, self.interval_s), heard)
        self._slot += 1
        return self.house.take(sample, self.stuck, self.system)


def active(meaning: Meaning) -> set[str]:
    """Return the conditions that are active: kind, or kind and meter."""
    return {f"{a.kind} {a.meter}".rstrip() for a in meaning.alarms if a.active}


def known(meaning: Meaning) -> set[str]:
    """Return the conditions of which is known whether they are active."""
    return {f"{a.kind} {a.meter}".rstrip() for a in meaning.alarms}


def settings_of(wiring: Sequence[Wiring]) -> tuple[MeterSettings, ...]:
    return tuple(MeterSettings(w.name, w.address, w.supply, w.leg, w.fed_from) for w in wiring)


class Life:
    """A simulated house, heard as the collector hears it.

    `one_adapter`: all meters are on one, else each is on one of its own; `loose` holds the
    adapters whose bus cable is off.
    """

    def __init__(
        self,
        house: SimulatedHouse,
        interval_s: int = 5,
        pi_feed: PiFeed | None = None,
        *,
        one_adapter: bool = False,
    ) -> None:
        self.house = house
        self.loose: set[str | None] = set()
        self._interval_s = interval_s
        self._settling = Settling(interval_s)
        self._pi_feed = pi_feed if pi_feed is not None else PiFeed((), "")
        self._homes: dict[str, str | None] = {
            name: "tty" if one_adapter else f"tty-{name}" for name in house.meters
        }
        self._now_s = 0.0

    def heard(self) -> dict[str, Outcome]:
        """Let one interval pass and return what each meter answers then."""
        self.house.advance(self._interval_s)
        self._now_s += self._interval_s
        settled = {
            name: self._settling.judge(name, self._answer(name), self._now_s)
            for name in self.house.meters
        }
        return self._pi_feed.judge(settled, self._homes)

    def _answer(self, name: str) -> Outcome:
        meter = self.house.meters[name]
        powered = meter.powered and self._homes[name] not in self.loose
        return _answer(meter.displayed, powered)


def _answer(displayed: Reading, powered: bool) -> Outcome:
    if not powered:
        return SILENT
    try:
        return decode(encode(displayed))
    except OverRangeError as error:
        return Faulty(str(error), well_formed=True)
