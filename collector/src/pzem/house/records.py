"""What the outage ledger writes down: records whose moments may be dated only later.

A record holds moments rather than times, for a machine without a clock of its own may
learn the time long after something happened, or never. They are turned into fields of
the measurement `event` when the record is handed over; the README has the table of those
fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from influxdb.line_protocol import make_lines

from pzem.house.tally import Tally
from pzem.house.watch import moment_kept, moment_of
from pzem.moment import Moment

OUTAGE: Final = "outage"
PI_OFF: Final = "pi_off"
GENERATOR_RUN: Final = "generator_run"
SUPPLY: Final = "supply"

MEASUREMENT: Final = "event"
NOTHING: Final = "nothing"
"""What `estimated` says where nothing is: a point that is written again keeps the fields
that it is not given, so a word has to replace the former one."""
CLOCK_SET_S: Final = 5.0
"""By how much a clock must have been set within a record for that to be told of it."""
MAX_GAPS: Final = 100
"""A supply that flaps all night restarts the Pi as often; more than so many of its
absences within one record are counted, not kept."""

UTILITY_LOST: Final = "utility"
PANEL_DARK: Final = "panel dark"
"""What `lost` says where the whole house is without: by meters with a supply of their own,
and where nothing but silence shows it."""
VOLTAGE: Final = "voltage"
SILENT_METERS: Final = "silent meters"
GENERATOR_IN_USE: Final = "generator in use"
"""What `evidence` says. The last alone does not tell whether anything was lost."""


@dataclass(frozen=True, slots=True)
class Dating:
    """What is known of time when records are turned into fields."""

    boot_id: str
    """The present boot: its undated moments may still be dated."""
    interval_s: int

    def place(self, moment: Moment) -> tuple[float, bool] | None:
        """Return (unix seconds, whether that is true), or None: it may be known later."""
        if moment.is_true:
            return float(moment.unix_s), True
        if moment.boot_id == self.boot_id:
            return None
        return float(moment.unix_s), False


@dataclass(slots=True)
class Record:
    """One thing that happened, from its beginning on."""

    kind: str
    began: Moment
    ended: Moment | None = None
    moments: dict[str, Moment] = field(default_factory=dict)
    """Further moments, by the names of their fields."""
    estimated: set[str] = field(default_factory=set)
    """Names of fields that are estimates."""
    lost: set[str] = field(default_factory=set)
    evidence: set[str] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    gaps: list[tuple[Moment, Moment]] = field(default_factory=list)
    """The times in which the Pi itself was off within it: from, to."""
    more_gaps: int = 0
    meter: str | None = None
    """The meter that it is about, if it is about one."""
    stamp: int | None = None
    """Time of its point in whole unix seconds; never changed once it is given."""
    handed: bool = False
    """Whether it was handed over as it is now."""

    @property
    def end_name(self) -> str:
        """Return the name of the field that tells its end."""
        return "back_at" if self.kind == OUTAGE else "ended_at"

    @property
    def is_open(self) -> bool:
        """Tell whether it still goes on."""
        return self.kind in (OUTAGE, GENERATOR_RUN) and self.ended is None

    @property
    def concerns_all(self) -> bool:
        """Tell whether an outage is one of the whole house."""
        return GENERATOR_IN_USE in self.evidence or bool(self.lost & {UTILITY_LOST, PANEL_DARK})

    def add_gap(self, off: Moment, on: Moment) -> None:
        """Note that the Pi itself was off meanwhile."""
        self.gaps.append((off, on))
        if len(self.gaps) > MAX_GAPS:
            del self.gaps[0]
            self.more_gaps += 1

    def rewrite(self, changed: Callable[[Moment], Moment]) -> None:
        """Replace each moment by what `changed` makes of it."""
        self.began = changed(self.began)
        if self.ended is not None:
            self.ended = changed(self.ended)
        self.moments = {name: changed(moment) for name, moment in self.moments.items()}
        self.gaps = [(changed(off), changed(on)) for off, on in self.gaps]

    def awaits_time(self, dating: Dating) -> bool:
        """Tell whether one of its moments may still be dated."""
        moments = [self.began, *self.moments.values(), *(m for gap in self.gaps for m in gap)]
        if self.ended is not None:
            moments.append(self.ended)
        return any(dating.place(moment) is None for moment in moments)

    def fields(self, dating: Dating) -> dict[str, float | str] | None:
        """Return the fields of its point, or None while its beginning cannot be dated."""
        placed = dating.place(self.began)
        if placed is None:
            return None
        began, sure = placed
        fields: dict[str, float | str] = {"began_at": began, **self.numbers, **self.texts}
        estimated = set(self.estimated) if sure else {*self.estimated, "began_at"}
        provisional = not sure
        end = dating.place(self.ended) if self.ended is not None else None
        if self.kind in (OUTAGE, GENERATOR_RUN):
            fields["open"] = float(self.ended is None)
        if self.ended is not None and end is not None:
            fields |= self._end(began, sure, end, dating, estimated)
            provisional |= not end[1]
        last = fields.get(self.end_name)
        for name, moment in self.moments.items():
            if (at := dating.place(moment)) is not None:
                fields[name] = _within(name, at[0], began, last)
                if not at[1]:
                    estimated.add(name)
                    provisional = True
        if self.lost:
            fields["lost"] = _lost_text(self.lost)
        if self.evidence:
            fields["evidence"] = ", ".join(sorted(self.evidence))
        fields |= self.tally.fields()
        fields |= self._pi_off(dating, estimated)
        estimated |= self.tally.estimated()
        if estimated & {"began_at", self.end_name}:
            estimated.add("seconds")
        estimated &= fields.keys()
        fields["estimated"] = " ".join(sorted(estimated)) or NOTHING
        fields["provisional"] = float(provisional)
        return fields

    def line(self, dating: Dating) -> str | None:
        """Return its point as line protocol in whole seconds; None if it has no stamp yet."""
        fields = self.fields(dating)
        if fields is None or self.stamp is None:
            return None
        tags = {"kind": self.kind}
        if self.meter is not None:
            tags["meter"] = self.meter
        point = {"measurement": MEASUREMENT, "tags": tags, "fields": fields, "time": self.stamp}
        return str(make_lines({"points": [point]}, precision="s")).strip()

    def kept(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        return {
            "kind": self.kind,
            "began": moment_kept(self.began),
            "ended": moment_kept(self.ended) if self.ended is not None else None,
            "moments": {name: moment_kept(moment) for name, moment in self.moments.items()},
            "estimated": sorted(self.estimated),
            "lost": sorted(self.lost),
            "evidence": sorted(self.evidence),
            "texts": self.texts,
            "numbers": self.numbers,
            "tally": self.tally.kept(),
            "gaps": [[moment_kept(off), moment_kept(on)] for off, on in self.gaps],
            "more_gaps": self.more_gaps,
            "meter": self.meter,
            "stamp": self.stamp,
        }

    def _end(
        self,
        began: float,
        sure: bool,
        end: tuple[float, bool],
        dating: Dating,
        estimated: set[str],
    ) -> dict[str, float]:
        """Return when it ended and how long it took; no end lies before its beginning.

        Within one boot the monotonic clock tells how long, whatever the wall clock did.
        """
        assert self.ended is not None
        ended, end_sure = end
        if not end_sure:
            estimated.add(self.end_name)
        if self.ended.boot_id != self.began.boot_id:
            fields = {self.end_name: max(ended, began)}
            if sure and end_sure and ended >= began:
                fields["seconds"] = ended - began
            elif ended < began:
                estimated.add(self.end_name)
            return fields
        seconds = round(max(0.0, self.ended.monotonic_s - self.began.monotonic_s), 3)
        set_s = round(ended - began - seconds, 3)
        fields = {self.end_name: max(ended, began), "seconds": seconds}
        if abs(set_s) > max(CLOCK_SET_S, dating.interval_s):
            fields[self.end_name] = max(ended, began + seconds)
            if sure and end_sure:
                fields["clock_set_s"] = set_s
        return fields

    def _pi_off(self, dating: Dating, estimated: set[str]) -> dict[str, float]:
        if not self.gaps:
            return {}
        fields = {"pi_off_count": float(len(self.gaps) + self.more_gaps)}
        total_s = longest_s = 0.0
        for off, on in self.gaps:
            start, end = dating.place(off), dating.place(on)
            if start is None or end is None:
                continue
            gap_s = max(0.0, end[0] - start[0])
            total_s += gap_s
            if gap_s >= longest_s:
                longest_s = gap_s
                fields["pi_off_from"], fields["pi_off_to"] = start[0], max(start[0], end[0])
            if not (start[1] and end[1]):
                estimated.add("pi_off_s")
        if self.more_gaps:
            estimated.add("pi_off_s")
        if "pi_off_from" in fields:
            fields["pi_off_s"] = total_s
        return fields


def record_of(kept: Mapping[str, Any]) -> Record:
    """Return the record that JSON kept; raises `KeyError`, `TypeError`, `ValueError`."""
    return Record(
        kind=str(kept["kind"]),
        began=moment_of(kept["began"]),
        ended=moment_of(kept["ended"]) if kept["ended"] is not None else None,
        moments={str(name): moment_of(moment) for name, moment in kept["moments"].items()},
        estimated=set(map(str, kept["estimated"])),
        lost=set(map(str, kept["lost"])),
        evidence=set(map(str, kept["evidence"])),
        texts={str(name): str(text) for name, text in kept["texts"].items()},
        numbers={str(name): float(number) for name, number in kept["numbers"].items()},
        tally=Tally(**kept["tally"]),
        gaps=[(moment_of(off), moment_of(on)) for off, on in kept["gaps"]],
        more_gaps=int(kept["more_gaps"]),
        meter=kept["meter"],
        stamp=int(kept["stamp"]) if kept["stamp"] is not None else None,
    )


def _within(name: str, at: float, began: float, last: float | str | None) -> float:
    """Return a time that does not contradict the record's beginning and end."""
    if name.endswith(("not_before", "not_after")):
        return at
    at = max(at, began)
    return min(at, last) if isinstance(last, float) else at


def _lost_text(lost: set[str]) -> str:
    for whole in (UTILITY_LOST, PANEL_DARK):
        if whole in lost:
            return whole
    return ", ".join(sorted(lost))
