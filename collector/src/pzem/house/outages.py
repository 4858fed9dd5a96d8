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
Times are unix seconds, durations seconds, flags 0 or 1, all of them floats; a field that
is not known is missing. A point is written when something begins and again as it goes on.

| field | kinds | meaning |
|---|---|---|
| `began_at` | all | when it began; the point's own time, unless that was taken |
| `not_before`, `not_after` | all | it began between these: the last slot in which it was \
still otherwise (missing: unknown), and the first in which it was so |
| `open` | outage, generator_run | 1 while it goes on |
| `back_at` | outage | when the house went back to the utility |
| `ended_at` | pi_off, generator_run | when it ended; of `pi_off`: the boot |
| `back_not_before`, `back_not_after`, `ended_not_before`, `ended_not_after` | outage, \
generator_run | it ended between these |
| `seconds` | outage, pi_off, generator_run | from beginning to end; missing where neither \
a clock nor one boot spans both |
| `clock_set_s` | outage, generator_run | by how much the clock was set meanwhile: times \
before and after it differ by so much more than `seconds` |
| `lost` (text) | outage | what is known to have been without voltage: `utility`, \
`utility leg A, …`, `panel dark`, `panel_a dark`; missing: the generator was in use, which is all \
that is known |
| `evidence` (text) | outage | `voltage` (a utility meter with its own supply is dark), \
`generator in use`, `silent meters` (all meters of a panel) |
| `generator_at` | outage | when the generator was first seen to carry the house |
| `utility_at` | outage | when the utility was seen to be live again, by meters with their \
own supply, while the generator still carried the house |
| `generator_wh` | outage, generator_run, pi_off | what the generator's meters counted in it; of \
`pi_off` from the last reading before to the first one after |
| `peak_watts`, `peak_volt_amps` | outage, generator_run | largest sum of the generator's \
meters in one slot |
| `running_s` | outage, generator_run | how long the generator ran, without the time in \
which the Pi was off |
| `exercise` | generator_run | 1 if the utility was seen to be there, and nothing lost, in its \
time; 0 if something was; missing: the wiring does not show it |
| `pi_off_count`, `pi_off_s`, `pi_off_from`, `pi_off_to` | outage, generator_run | how often \
and how long in all the Pi itself was off within it, and the longest of these times |
| `clean` | pi_off | 1 if the collector had been stopped in order before |
| `cause` (text) | pi_off | `outage` (it lies in one), `stopped in order` or `unknown` (a short \
outage, or an unplugged Pi) |
| `before`, `after` (text) | supply | the supply that carried the house: `utility`, \
`generator`, `both`, `none` |
| `estimated` (text) | all | names of the fields that are estimates, or `nothing` |
| `provisional` | all | 1 if a boot that never learnt the time lends it a time |

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
from dataclasses import dataclass, field, replace
from typing import Final

from pzem.config import OWN_SUPPLY, MeterSettings
from pzem.house.ledger_state import LedgerState
from pzem.house.records import (
    GENERATOR_IN_USE,
    GENERATOR_RUN,
    OUTAGE,
    PANEL_DARK,
    PI_OFF,
    SILENT_METERS,
    SUPPLY,
    UTILITY_LOST,
    VOLTAGE,
    Record,
)
from pzem.house.sample import Sample
from pzem.house.supply import (
    BOTH,
    GENERATOR,
    UTILITY,
    SupplyState,
    fed_together,
    is_dark,
    is_quiet,
)
from pzem.house.tally import Counted, Tally
from pzem.house.thresholds import MISSED_SLOTS, follows
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
RETRY_S: Final = 60.0
"""How soon a file that could not be written is tried again."""
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
class _Loss:
    """What one slot shows of the utility."""

    value: bool | None
    """Whether the house, or a part of it, is without; None: cannot be told."""
    lost: set[str] = field(default_factory=set)
    evidence: set[str] = field(default_factory=set)
    since: Moment | None = None
    """The slot from which on it was so, if silences were understood only later."""


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
        self._meters = tuple(meters)
        self._generators = [meter.name for meter in meters if meter.supply == GENERATOR]
        self._file = kept
        self._interval_s = interval_s
        self._state = self._load()
        self._start: _Start | None = None
        self._doubted = _Loss(None)
        """What was seen lost while that was not certain yet."""
        self._quiet_since: dict[str, Moment] = {}
        """The first slot of the silence of each meter that is quiet."""
        self._dirty = False
        self._tried_at_s = float("-inf")
        self._failed = False

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
        self._note_quiet(sample.outcomes, moment)
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
        dating = self._state.dating()
        lines = []
        is_stamped = False
        for record in self._state.records:
            if record.handed or self._may_be_recalled(record):
                continue
            if record.stamp is None:
                is_stamped |= self._state.stamp(record)
            if (line := record.line(dating)) is not None:
                record.handed = True
                lines.append(line)
        if is_stamped:
            self._save()
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

    def _note_quiet(self, outcomes: Mapping[str, Outcome], moment: Moment) -> None:
        alive = self._state.alive
        if alive is None or not follows(moment, alive, MISSED_SLOTS * self._interval_s):
            self._quiet_since.clear()
        self._quiet_since = {
            name: self._quiet_since.get(name, moment)
            for name, outcome in outcomes.items()
            if is_quiet(outcome)
        }

    def _take_loss(
        self,
        outcomes: Mapping[str, Outcome],
        supply: SupplyState,
        counted: Tally,
        moment: Moment,
    ) -> None:
        loss = self._loss(outcomes, supply)
        change = self._state.outage.take(loss.value, moment, counted, loss.since)
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
            self._doubted = _Loss(None)

    def _loss(self, outcomes: Mapping[str, Outcome], supply: SupplyState) -> _Loss:
        """Tell what the house is without, and by what that is known."""
        carries = supply.in_use if not supply.held else None
        utilities = [meter for meter in self._meters if meter.supply == UTILITY]
        own = [meter for meter in utilities if meter.fed_from == OWN_SUPPLY]
        dark = [meter for meter in utilities if is_dark(meter, self._meters, outcomes)]
        if utilities and dark == utilities:
            # From the first slot on: whether it lasts is judged by the record's own patience.
            since = self._all_quiet_since(dark)
            if len(own) == len(utilities):
                return _Loss(True, {UTILITY_LOST}, {VOLTAGE}, since)
            return _Loss(True, {PANEL_DARK}, {SILENT_METERS}, since)
        # That a single meter of a panel is silent may be its own fault.
        parts = _Loss(True, since=self._all_quiet_since(dark))
        for meter in dark:
            if meter.fed_from == OWN_SUPPLY:
                leg = f"leg {meter.leg}" if meter.leg else meter.name
                parts.lost.add(f"{UTILITY_LOST} {leg}")
                parts.evidence.add(VOLTAGE)
            elif len(fed_together(meter, self._meters)) > 1:
                parts.lost.add(f"{meter.fed_from} dark")
                parts.evidence.add(SILENT_METERS)
        if (
            carries == GENERATOR
            and not supply.utility_on
            and not (supply.utility_on is None and own)
        ):
            return _Loss(True, parts.lost, parts.evidence | {GENERATOR_IN_USE})
        if not supply.utility_on:
            return _Loss(None)
        is_open = self._state.outage.record is not None
        if carries == GENERATOR:
            return _Loss(is_open)  # an exercise, or the utility is back and not in use yet
        if parts.lost:
            return parts
        if is_open:
            may_be_on_generator = carries != UTILITY and supply.generator_on is True
            return _Loss(None if may_be_on_generator else False)
        quiet = (meter for meter in utilities if meter not in dark and self._may_be_dark(meter))
        return _Loss(None if any(quiet) else False)

    def _may_be_dark(self, meter: MeterSettings) -> bool:
        return all(other.name in self._quiet_since for other in fed_together(meter, self._meters))

    def _all_quiet_since(self, meters: Sequence[MeterSettings]) -> Moment | None:
        """Return since when all meters that share their feed with one of `meters` are quiet."""
        together = {m.name for meter in meters for m in fed_together(meter, self._meters)}
        moments = [self._quiet_since[name] for name in together]
        return max(moments, key=lambda moment: moment.monotonic_s, default=None)

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
        self._quiet_since = {name: changed(since) for name, since in self._quiet_since.items()}
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
        since_s = now_s - self._tried_at_s
        if self._failed:
            due = since_s >= RETRY_S
        else:
            due = self._dirty or since_s >= (SAVE_OPEN_S if going_on else SAVE_S)
        if due:
            for record in going_on:
                record.handed = False  # whoever looks at the database sees it go on
            self._save()

    def _save(self) -> None:
        assert self._state.alive is not None
        self._tried_at_s = self._state.alive.monotonic_s
        self._failed = not self._file.save(self._state.kept())
        self._dirty = self._dirty and self._failed
