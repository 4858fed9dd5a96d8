"""The outage ledger: one record an outage, which survives the outage that it describes.

In the original wiring the Pi hangs on the panel behind the interlock, so an outage kills
the Pi too, and so does the moment of switching back. What happened meanwhile is put
together at the next boot, from what was kept before and what the meters show after, and
what is put together so is marked as an estimate, with the moments between which it lies.
Behind the interlock an outage that ends before the Pi is back leaves no trace but the
Pi's own absence; that is all that is recorded then.

What has no place of its own in the wiring is not claimed. Behind the interlock, a house
that was switched to the generator for an exercise shows the same currents as one without
the utility: then the record says that the generator is in use, and neither that the utility
was `lost` nor that it was an `exercise`. Meters with a supply of their own tell.

Measurement `event`, tags `kind` and (a `generator_run` of the only generator) `meter`.
The README has the table of its fields. Times are unix seconds, durations seconds, flags 0 or 1,
all of them floats; a field that is not known is missing. A point is written when something
begins and again as it goes on.

The state file is written when a record begins or ends, each five minutes while an outage
or a run goes on, else hourly, and at the end. A power cut or kill -9 therefore loses at
most: the evidence of the last `CONFIRM_S`; of an open record the peaks of the last five
minutes (its energy is a difference of registers, so none of it); and how long the collector
was alive, and the generator ran, since the file was written, which the last stored slot
tells (`recalled`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pzem.config import MeterSettings
from pzem.house.ledger_state import LedgerState
from pzem.house.records import (
    GENERATOR_RUN,
    OUTAGE,
    PI_OFF,
    SUPPLY,
    UTILITY_LOST,
    Record,
)
from pzem.house.sample import Sample
from pzem.house.sight import Loss, Sight
from pzem.house.supply import BOTH, GENERATOR, UTILITY, SupplyState
from pzem.house.tally import Counted, Tally
from pzem.house.watch import Change
from pzem.kept import KeptFile
from pzem.meter import Outcome
from pzem.moment import Moment, slot_at

STATE_FILE: Final = "outages.json"
"""Name of the ledger's file in the folder of the state."""
PRICE: Final = "after a restart an open outage will not be closed, and no new one joined to it"
"""What the loss of the file costs, for the log."""

SAVE_OPEN_S: Final = 300.0
SAVE_S: Final = 3600.0
CARD_WAIT_S: Final = 30.0
"""How long a point waits for its time to be on the card; a card that fails takes no record."""
RECALL_WAIT_S: Final = 120.0
"""How long a record that begins with the last sign of life waits for the database to tell
of a later one. InfluxDB on a Pi needs up to a minute to start."""
FRESH_BOOT_S: Final = 600.0
"""A collector that starts later after the boot cannot tell that the supply which it sees
is the one that the machine was started by."""
IDLE_WH: Final = 10.0
"""What an idle meter may count by the noise of its sensor between two writes of the file;
more was delivered while the Pi was off."""


log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Start:
    """What the present start of the service adds to what was kept."""

    moment: Moment
    gap_from: Moment | None
    """The last sign of life before: the very object that records hold."""
    pi_off: Record | None = None
    """The absence that the present boot has ended."""
    booted: Moment | None = None
    """The present boot, if the supply that is seen first is what the machine was started by."""
    first_carried: Moment | None = None
    """The first slot in which a supply was seen to carry the house."""
    generator_since: Moment | None = None
    """Since when the generator is seen to carry it."""
    recalled: bool = False
    ran: tuple[Record, ...] = ()
    """What was open when the Pi went off while the generator ran."""

    def see(self, carries: str | None, moment: Moment) -> None:
        """Take which supply carries the house; None: not seen."""
        if carries is None:
            return
        self.first_carried = self.first_carried or moment
        if carries == GENERATOR:
            self.generator_since = self.generator_since or moment
        else:
            self.generator_since = None

    def started_by(self, change: Change) -> Moment | None:
        """Return the boot, if the supply that has come since then has caused it."""
        return self.booted if change.spans_boots else None

    def rewrite(self, changed: Callable[[Moment], Moment]) -> None:
        """Replace each moment by what `changed` makes of it."""
        self.moment = changed(self.moment)
        for name in ("gap_from", "booted", "first_carried", "generator_since"):
            if (moment := getattr(self, name)) is not None:
                setattr(self, name, changed(moment))


class Ledger:
    """Keeps the records of outages, generator runs, switches and the Pi's own absences.

    `kept`: the state file. `interval_s`: seconds between slots. Not thread-safe.
    """

    def __init__(self, meters: Sequence[MeterSettings], kept: KeptFile, interval_s: int) -> None:
        self._generators = [meter.name for meter in meters if meter.supply == GENERATOR]
        self._file = kept
        self._interval_s = interval_s
        self._state = self._load()
        self._start: _Start | None = None
        self._sight = Sight(meters, interval_s)
        self._doubted = Loss(None)
        """What was seen lost while that was not certain yet."""
        self._dirty = False
        self._saved_at_s = self._stamped_at_s = float("-inf")

    def started(self, moment: Moment, last_slot_s: int | None = None) -> None:
        """Take note of the service's start; to be called once, before the first slot.

        In another boot than before, the Pi itself was off from the last sign of life to
        the boot. `last_slot_s`: see `recalled`, where it is known at once.
        """
        state = self._state
        before = state.alive
        if before is None:
            log.info("the outage ledger begins anew: it knows of nothing before this start")
        elif before.boot_id != moment.boot_id:
            self._note_pi_off(before, moment)
        moment = self._normal(moment)
        self._start = start = _Start(moment, before)
        absences = (record for record in reversed(state.records) if record.kind == PI_OFF)
        last = next(absences, None)
        if before is not None and before.boot_id != moment.boot_id and state.generator.running:
            watches = (state.outage, state.run)
            start.ran = tuple(watch.record for watch in watches if watch.record is not None)
        if last is not None and last.ended is not None and last.ended.boot_id == moment.boot_id:
            start.pi_off = last
            seen = state.supply.seen
            was_seen = seen is not None and seen.boot_id == moment.boot_id
            if moment.monotonic_s <= FRESH_BOOT_S and not was_seen:
                start.booted = last.ended
        state.alive = moment
        state.clean = False
        if last_slot_s is not None:
            self.recalled(last_slot_s)
        self._save()

    def recalled(self, last_slot_s: int | None) -> None:
        """Take the last true slot before this start, unix s, from the database or the spool.

        It is a later sign of life than the state file knows, which is written rarely.
        None: they hold no slot. To be called once they have answered; only the first
        answer counts.
        """
        start = self._start
        if start is None or start.recalled:
            return
        start.recalled = True
        gap = start.gap_from
        if last_slot_s is None:
            return
        if gap is None:
            log.warning(
                "the state of the outage ledger was lost: an outage that is open in the "
                "database stays as it is there"
            )
            return
        off = start.pi_off
        end = off.ended if off is not None and off.began is gap else start.moment
        assert end is not None
        is_earlier = last_slot_s < end.unix_s or not end.is_true
        if gap.is_true and gap.unix_s < last_slot_s and is_earlier:
            alive_s = gap.monotonic_s + last_slot_s - gap.unix_s
            later = Moment(last_slot_s, alive_s, gap.boot_id)
            self._rewrite(lambda moment: later if moment is gap else moment)
            for record in start.ran:
                # Had it stopped before, that would have been written down.
                record.tally.add(Tally(running_s=float(last_slot_s - gap.unix_s)))
                record.tally.running_estimated = True
                self._changed(record)

    def take(
        self, sample: Sample, supply: SupplyState, energies: Mapping[str, Counted] | None = None
    ) -> None:
        """Take one slot. `energies`: of the meters that were read in it."""
        if self._start is None:
            self.started(sample.moment)
        start = self._start
        assert start is not None
        moment = self._normal(sample.moment)
        carries = supply.in_use if not supply.held else None
        start.see(carries, moment)
        runs = True if carries in (GENERATOR, BOTH) else supply.generator_on
        generator = self._state.generator
        counted = generator.take(sample.outcomes, energies or {}, runs, moment, start.booted)
        # While the generator ran, the kept register lags what the Pi itself has measured.
        if start.pi_off is not None and generator.off_wh > IDLE_WH and not start.ran:
            before_wh = start.pi_off.numbers.get("generator_wh", 0.0)
            start.pi_off.numbers["generator_wh"] = before_wh + generator.off_wh
            self._changed(start.pi_off)
        self._take_loss(sample.outcomes, supply, counted, moment)
        self._take_run(runs, supply, counted, moment)
        self._take_supply(carries, moment)
        self._state.alive = moment
        self._save_if_due(moment.monotonic_s)

    def dated(self, boot_id: str, offset_s: float) -> None:
        """Give the moments of `boot_id` their true times: monotonic seconds + `offset_s`."""

        def true(moment: Moment) -> Moment:
            if moment.is_true or moment.boot_id != boot_id:
                return moment
            unix_s = moment.monotonic_s + offset_s
            grid_s = self._interval_s if moment.monotonic_s else 1  # a boot keeps no grid
            return replace(moment, unix_s=slot_at(unix_s, grid_s), is_true=True)

        self._rewrite(true)
        if self._state.alive is not None and self._state.alive.is_true:
            self._state.known_s = self._state.alive.unix_s

    def events(self) -> list[str]:
        """Return the points of what began, went on or ended since they were last returned.

        Line protocol with times in seconds. What cannot be dated yet comes later.
        """
        if self._state.alive is None:
            return []
        dating, now_s = self._state.dating(), self._state.alive.monotonic_s
        fresh = [
            record
            for record in self._state.records
            if not (record.handed or self._may_be_recalled(record))
        ]
        stamped = [self._state.stamp(record) for record in fresh if record.stamp is None]
        if any(stamped):
            self._stamped_at_s = now_s
            self._save()
        # After a power cut a record that was kept without its time would become another one.
        if now_s - self._stamped_at_s < CARD_WAIT_S and not self._file.is_saved():
            return []
        lines = []
        for record in fresh:
            if (line := record.line(dating)) is not None:
                record.handed = True
                lines.append(line)
        return lines

    def tell_again(self) -> None:
        """Have `events` return every record that is kept once more."""
        for record in self._state.records:
            record.handed = False

    def close(self) -> None:
        """Keep everything, and that the collector was stopped in order."""
        if self._state.alive is not None:
            self._state.clean = True
            self._save()

    # What the slots show

    def _take_loss(
        self,
        outcomes: Mapping[str, Outcome],
        supply: SupplyState,
        counted: Tally,
        moment: Moment,
    ) -> None:
        is_open = self._state.outage.record is not None
        loss = self._sight.take(outcomes, supply, moment, is_open=is_open)
        change = self._state.outage.take(loss.value, moment, counted, loss.since)
        # Only what is kept of the first slots tells after a power cut what was so before it.
        self._dirty |= change is not None
        if change is not None and self._state.outage.track.value is True:
            self._state.outage.open(self._begin_outage(change))
        if loss.value is True:
            self._doubted.lost |= loss.lost
            self._doubted.evidence |= loss.evidence
        record = self._state.outage.record
        if record is not None:
            self._go_on(record, supply, moment)
            if change is not None and self._state.outage.track.value is False:
                self._end_outage(record, change)
                self._state.outage.close()
        if self._state.outage.record is None and self._state.outage.track.candidate is None:
            self._doubted = Loss(None)

    def _begin_outage(self, change: Change) -> Record:
        record = Record(OUTAGE, change.since, moments={"not_after": change.since})
        former = change.former_seen
        if former is not None:
            record.moments["not_before"] = former
        if change.is_vague(self._interval_s):
            record.estimated.add("began_at")
        if former is not None and change.spans_boots:
            absences = self._absences_since(former)
            record.began = absences[0].began if absences else former
            for absence in absences:
                assert absence.ended is not None
                record.add_gap(absence.began, absence.ended)
                self._blame_outage(absence)
        self._begin(record)
        log.info("an outage is recorded in the ledger")
        return record

    def _go_on(self, record: Record, supply: SupplyState, moment: Moment) -> None:
        """Note what else an open outage shows."""
        if not (self._doubted.lost <= record.lost and self._doubted.evidence <= record.evidence):
            record.lost |= self._doubted.lost
            record.evidence |= self._doubted.evidence
            self._changed(record)
        start = self._start
        assert start is not None
        since = start.generator_since
        if since is not None and "generator_at" not in record.moments:
            record.moments["generator_at"] = since
            if start.booted is not None and since == start.first_carried:
                record.moments["generator_at"] = start.booted
                record.estimated.add("generator_at")
            self._changed(record)
        is_back = supply.utility_on is True and since is not None and UTILITY_LOST in record.lost
        if is_back and "utility_at" not in record.moments:
            record.moments["utility_at"] = moment
            self._changed(record)

    def _end_outage(self, record: Record, change: Change) -> None:
        record.ended = change.since
        record.moments["back_not_after"] = change.since
        if change.former_seen is not None:
            record.moments["back_not_before"] = change.former_seen
        if change.is_vague(self._interval_s):
            record.estimated.add("back_at")
        assert self._start is not None
        if (booted := self._start.started_by(change)) is not None:
            record.ended = booted
        self._changed(record)
        log.info("the outage is over in the ledger")

    def _take_run(
        self, runs: bool | None, supply: SupplyState, counted: Tally, moment: Moment
    ) -> None:
        change = self._state.run.take(runs, moment, counted)
        if change is not None and self._state.run.track.value is True:
            record = Record(GENERATOR_RUN, change.since, moments={"not_after": change.since})
            record.meter = self._generators[0] if len(self._generators) == 1 else None
            if change.former_seen is not None:
                record.moments["not_before"] = change.former_seen
            if change.is_vague(self._interval_s):
                record.estimated.add("began_at")
            assert self._start is not None
            booted = self._start.started_by(change)
            if booted is not None and supply.in_use == GENERATOR and not supply.held:
                record.began = booted
            self._begin(record)
            self._state.run.open(record)
        record_open = self._state.run.record
        if record_open is None:
            return
        outage = self._state.outage.record
        if outage is not None and outage.lost:
            self._note_exercise(record_open, 0.0)
        elif runs and supply.utility_on is True and "exercise" not in record_open.numbers:
            self._note_exercise(record_open, 1.0)
        if change is not None and self._state.run.track.value is False:
            former = change.former_seen
            assert former is not None  # it was seen to run
            record_open.ended = former if change.is_vague(self._interval_s) else change.since
            record_open.moments["ended_not_before"] = former
            record_open.moments["ended_not_after"] = change.since
            if change.is_vague(self._interval_s):
                record_open.estimated.add("ended_at")
            self._changed(record_open)
            self._state.run.close()

    def _note_exercise(self, run: Record, exercise: float) -> None:
        if run.numbers.get("exercise") != exercise:
            run.numbers["exercise"] = exercise
            self._changed(run)

    def _take_supply(self, carries: str | None, moment: Moment) -> None:
        change = self._state.supply.see(carries, moment)
        if change is None or change.former_seen is None:
            return
        record = Record(SUPPLY, change.since, texts={"before": str(change.former)})
        record.texts["after"] = str(self._state.supply.value)
        record.moments = {"not_before": change.former_seen, "not_after": change.since}
        if change.is_vague(self._interval_s):
            record.estimated.add("began_at")
        assert self._start is not None
        booted = self._start.started_by(change)
        if booted is not None and carries in (UTILITY, GENERATOR):
            record.began = booted
        self._begin(record)

    # Records

    def _note_pi_off(self, before: Moment, start: Moment) -> None:
        """Record that the Pi was off from its last sign of life until its present boot."""
        on_s = start.unix_s - round(start.monotonic_s)
        booted = self._normal(Moment(on_s, 0.0, start.boot_id, start.is_true))
        record = Record(PI_OFF, before, ended=booted, texts={"cause": "unknown"})
        record.numbers["clean"] = float(self._state.clean)
        if self._state.clean:
            record.texts["cause"] = "stopped in order"
        for record_open in (self._state.outage.record, self._state.run.record):
            if record_open is not None:
                record_open.add_gap(before, booted)
                self._changed(record_open)
        outage = self._state.outage.record
        if outage is not None and outage.concerns_all:
            self._blame_outage(record)
        self._begin(record)

    def _absences_since(self, moment: Moment) -> list[Record]:
        """Return the records of the Pi's absences, the first of which ended its boot."""
        absences = [record for record in self._state.records if record.kind == PI_OFF]
        first = (n for n, record in enumerate(absences) if record.began.boot_id == moment.boot_id)
        return absences[next(first, len(absences)) :]

    def _blame_outage(self, absence: Record) -> None:
        if not absence.numbers["clean"]:
            absence.texts["cause"] = "outage"
            self._changed(absence)

    def _begin(self, record: Record) -> None:
        self._state.records.append(record)
        self._changed(record)
        self._state.prune()

    def _changed(self, record: Record) -> None:
        record.handed = False
        self._dirty = True

    def _may_be_recalled(self, record: Record) -> bool:
        """Tell whether the database may still know a better beginning of it."""
        start, alive = self._start, self._state.alive
        assert start is not None
        assert alive is not None
        if start.recalled or record.stamp is not None or record.began is not start.gap_from:
            return False
        waited_s = alive.monotonic_s - start.moment.monotonic_s
        return record.began.is_true and waited_s < RECALL_WAIT_S

    # Moments

    def _normal(self, moment: Moment) -> Moment:
        """Return it with a time that a clock which was not set yet cannot put in the past."""
        if not moment.is_true and moment.unix_s < self._state.known_s:
            moment = replace(moment, unix_s=self._state.known_s)
        self._state.known_s = moment.unix_s
        return moment

    def _rewrite(self, change: Callable[[Moment], Moment]) -> None:
        """Replace every moment that is kept; what was one object stays one."""
        made: dict[int, tuple[Moment, Moment]] = {}

        def changed(moment: Moment) -> Moment:
            if id(moment) not in made:
                made[id(moment)] = (moment, change(moment))
            return made[id(moment)][1]

        self._state.rewrite(changed)
        self._sight.rewrite(changed)
        self._dirty = True
        if self._start is not None:
            self._start.rewrite(changed)

    # The state file

    def _load(self) -> LedgerState:
        state = LedgerState(self._generators, self._interval_s)
        kept = self._file.load()
        if kept is None:
            return state
        try:
            state.restore(kept)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            log.warning("the state of the outage ledger cannot be used (%r); %s", error, PRICE)
            return LedgerState(self._generators, self._interval_s)
        return state

    def _save_if_due(self, now_s: float) -> None:
        watches = (self._state.outage, self._state.run)
        going_on = [watch.record for watch in watches if watch.record is not None]
        every_s = SAVE_OPEN_S if going_on else SAVE_S
        if self._dirty or now_s - self._saved_at_s >= every_s:
            for record in going_on:
                record.handed = False  # whoever looks at the database sees it go on
            self._save()

    def _save(self) -> None:
        assert self._state.alive is not None
        self._saved_at_s = self._state.alive.monotonic_s
        self._file.save(self._state.kept())
        self._dirty = False
