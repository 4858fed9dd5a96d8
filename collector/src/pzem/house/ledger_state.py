"""What the outage ledger keeps over restarts and power cuts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pzem.house.records import OUTAGE, Dating, Record, record_of
from pzem.house.tally import GeneratorTally, Tally
from pzem.house.watch import Change, Track, moment_kept, moment_of
from pzem.moment import Moment

KEPT_A_KIND: Final = 10
"""So many closed records of each kind stay in the file: they are handed over again after
a restart, and are what can be shown while the database is away."""
KEPT_STAMPS: Final = 50
MAX_RECORDS: Final = 200
"""A bound for those that wait for the time."""

_VERSION: Final = 1


@dataclass(slots=True)
class Watch:
    """A track that is True or False, and the record that is open while it is True."""

    track: Track = field(default_factory=Track)
    record: Record | None = None
    pending: Tally = field(default_factory=Tally)
    """Counted since something new is seen that is not certain yet."""

    def take(
        self,
        value: bool | None,
        moment: Moment,
        counted: Tally,
        since: Moment | None = None,
    ) -> Change | None:
        """Take one slot and what was counted up to it; return a change that is certain.

        `since`: see `Track.see`.

        What was counted belongs to the record from the first slot that shows it; what
        comes after the first slot that shows its end does not.
        """
        was_doubted = self.track.candidate is not None
        change = self.track.see(value, moment, since)
        is_doubted = change is not None or self.track.candidate is not None
        if self.record is None:
            if is_doubted:
                self.pending.add(counted)
            else:
                self.pending = Tally()
        elif was_doubted and is_doubted:
            self.pending.add(counted)
        else:
            self.record.tally.add(self.pending)
            self.record.tally.add(counted)
            self.pending = Tally()
        return change

    def open(self, record: Record) -> None:
        """Begin a record with what was counted since it is seen."""
        record.tally, self.pending = self.pending, Tally()
        self.record = record

    def close(self) -> None:
        """End the record; what was counted since then belongs to nobody."""
        self.record = None
        self.pending = Tally()


class LedgerState:
    """The records, and what the next slot is compared with.

    `generators`: the generator's meters. `interval_s`: seconds between slots.
    """

    def __init__(self, generators: Sequence[str], interval_s: int) -> None:
        self.interval_s = interval_s
        self.records: list[Record] = []
        self.outage = Watch()
        self.run = Watch()
        self.supply = Track()
        self.generator = GeneratorTally(generators, interval_s)
        self.alive: Moment | None = None
        """The last sign of life; None: nothing is known."""
        self.known_s = 0
        """The time that was last seen, unix s."""
        self.clean = False
        """Whether the collector was stopped in order then."""
        self._stamps: dict[str, list[int]] = {}

    def dating(self) -> Dating:
        """Return what is known of time now."""
        assert self.alive is not None
        return Dating(self.alive.boot_id, self.interval_s)

    def stamp(self, record: Record) -> bool:
        """Give a record the time of its point, a second later where that is taken.

        Returns whether its beginning could be dated.
        """
        placed = self.dating().place(record.began)
        if placed is None:
            return False
        taken = self._stamps.setdefault(record.kind, [])
        stamp = int(placed[0])
        while stamp in taken:
            stamp += 1
        record.stamp = stamp
        taken.append(stamp)
        del taken[:-KEPT_STAMPS]
        return True

    def prune(self) -> None:
        """Let go of the oldest that are closed and handed over, beyond `KEPT_A_KIND`."""
        dating = self.dating()
        done: dict[str, list[Record]] = {}
        for record in self.records:
            if record.handed and not record.is_open and not record.awaits_time(dating):
                done.setdefault(record.kind, []).append(record)
        gone = [record for records in done.values() for record in records[:-KEPT_A_KIND]]
        closed = [record for record in self.records if not record.is_open]
        gone += closed[: max(0, len(self.records) - MAX_RECORDS)]
        self.records = [
            record for record in self.records if not any(record is other for other in gone)
        ]

    def rewrite(self, changed: Callable[[Moment], Moment]) -> bool:
        """Replace each moment by what `changed` makes of it; return whether a record changed."""
        is_changed = False
        for record in self.records:
            former = record.kept()
            record.rewrite(changed)
            if record.kept() != former:
                record.handed = False
                is_changed = True
        for track in (self.outage.track, self.run.track, self.supply):
            track.rewrite(changed)
        self.generator.rewrite(changed)
        self.alive = changed(self.alive) if self.alive is not None else None
        return is_changed

    def kept(self) -> dict[str, Any]:
        """Return it as JSON keeps it."""
        tracks = (self.outage.track, self.run.track, self.supply)
        return {
            "version": _VERSION,
            "alive": moment_kept(self.alive) if self.alive is not None else None,
            "known_s": self.known_s,
            "clean": self.clean,
            "tracks": [track.kept() for track in tracks],
            "pending": [self.outage.pending.kept(), self.run.pending.kept()],
            "generator": self.generator.kept(),
            "stamps": self._stamps,
            "records": [record.kept() for record in self.records],
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go on from what JSON kept; raises `KeyError`, `TypeError`, `ValueError`."""
        if kept["version"] != _VERSION:
            raise ValueError(f"version {kept['version']}")
        self.records = [record_of(record) for record in kept["records"]]
        self.outage.track, self.run.track, self.supply = map(Track.of, kept["tracks"])
        for watch, pending in zip((self.outage, self.run), kept["pending"], strict=True):
            watch.pending = Tally(**pending)
        for record in self.records:
            if record.is_open:
                (self.outage if record.kind == OUTAGE else self.run).record = record
        self.generator.restore(kept["generator"])
        self.alive = alive = moment_of(kept["alive"])
        self.known_s = int(kept["known_s"])
        self.clean = bool(kept["clean"])
        self._stamps = {
            str(kind): [int(stamp) for stamp in stamps] for kind, stamps in kept["stamps"].items()
        }
        for track in (self.outage.track, self.run.track, self.supply):
            if track.seen == alive:
                track.seen = alive  # one object, so that it is replaced as one
