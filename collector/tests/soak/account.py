"""The account of the day: what was due, what is stored, and what is known to be missing.

It is made from what the simulated meters showed, not from what the collector made of it: a
slot is stored if the database holds, at the slot's true time, what was read then. Each
slot that is not is to have one of the reasons below, and nothing else may be stored.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pzem.house.register import SET_BACK_WH
from pzem.meter import Outcome, Silent, heard
from pzem.moment import slot_at
from pzem.registers import Reading
from pzem.schedule import STEP_S
from soak.day import Rows
from soak.world import INTERVAL_S, NAMES, Read, Reset, Spans, World

COMMIT_S: Final = 30.0
"""What is not acknowledged is on the card after this time, at the latest."""
SLACK_S: Final = 1.2 * INTERVAL_S
"""Moments lie between slots."""
RETRY_S: Final = 120.0
"""So long after a full card has room again the spool may take to try it."""
DARK_S: Final = 10
SETTLING_S: Final = 5

STORED: Final = "stored, with its true time"
PROVISIONAL: Final = "kept at a provisional time: the machine never learnt the true one"
OFF: Final = "the machine was off"
NOT_RUNNING: Final = "the collector was starting, after a kill or a restart"
STALLED: Final = "the machine stood still"
STEPPED: Final = "the clock jumped over it"
ARRIVED: Final = "the time arrived: it fell between the old grid and the new one"
IN_HAND: Final = "the cycle in hand at a kill"
UNCOMMITTED: Final = "up to 30 s that were not yet on the card at a kill, the database away"
NO_CARD: Final = "in memory only at an end: the card was full"
UNDATED: Final = "up to 30 s that were not yet on the card at a kill, the time not known"

_OK: Final = {"state": 0}
FIELDS: Final = ("volts", "amps", "watts", "hertz", "power_factor", "energy_wh")


@dataclass(slots=True)
class Stored:
    """What the database holds of one slot."""

    meters: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    states: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    provisional: bool = False
    cycles: int = 0


@dataclass(slots=True)
class Account:
    """The result: counts by fate, and whatever is wrong."""

    due: int
    fates: Counter[str] = field(default_factory=Counter)
    readings: Counter[str] = field(default_factory=Counter)
    """What became of each meter's share of the stored slots."""
    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [f"{self.due:>8}  slots due"]
        rows += [f"{count:>8}    {fate}" for fate, count in self.fates.most_common()]
        rows += [f"{sum(self.fates.values()):>8}  accounted for", ""]
        rows += [f"{sum(self.readings.values()):>8}  meters' shares of the slots stored"]
        rows += [f"{count:>8}    {fate}" for fate, count in self.readings.most_common()]
        return "\n".join([*rows, "", *self.lines])


def account(world: World, rows: Sequence[Rows], end: float) -> Account:
    """Return the account from the world's begin to `end`; `rows`: before each drop, and now."""
    return _Accountant(world, rows, end).account()


class _Accountant:
    def __init__(self, world: World, rows: Sequence[Rows], end: float) -> None:
        self._world = world
        begin = -(-int(world.begin) // INTERVAL_S) * INTERVAL_S
        self._grid = range(begin, int(end), INTERVAL_S)
        self._result = Account(len(self._grid))
        self._wrong = self._result.wrong
        self._found, self._true = _found(world.reads)
        self._dated = {read.life.boot.boot_id for read in self._found}
        self._doubtful = _doubtful_boots(self._found, world.no_card)
        self._stored = self._merge(rows)
        self._at: dict[int, list[Read]] = defaultdict(list)
        self._running = self._lives()
        for read in world.reads:
            self._at[self._stamp(read)].append(read)

    def account(self) -> Account:
        provisional = self._provisional()
        for stamp in self._grid:
            stored = self._stored.get(stamp)
            if stored is not None and not stored.provisional:
                self._result.fates[STORED] += 1
                self._check(stamp, stored)
            else:
                fate = self._why_not(stamp, provisional)
                if fate is None:
                    self._wrong.append(
                        f"{stamp} is missing without a reason: {_told(self._at[stamp])}"
                    )
                else:
                    self._result.fates[fate] += 1
        for stamp, stored in self._stored.items():
            if stamp not in self._grid and not stored.provisional:
                self._wrong.append(f"{stamp} was stored but never due")
        self._lifetime(provisional)
        return self._result

    # --- what is in the database

    def _merge(self, epochs: Sequence[Rows]) -> dict[int, Stored]:
        """Put together what was there before each drop and what is there now."""
        merged: dict[int, Stored] = {}
        for number, rows in enumerate(epochs):
            last = number == len(epochs) - 1
            fresh = _slots(rows)
            again = 0
            for stamp, slot in fresh.items():
                if slot.provisional and not last and not self._is_final(slot, stamp):
                    continue  # was shown for the time being, and dropped with the rest
                before = merged.get(stamp)
                again += before is not None and not before.provisional
                merged[stamp] = slot
            if number:
                self._result.lines.append(f"{again:>8}  slots delivered to two databases")
        return merged

    def _is_final(self, slot: Stored, stamp: int) -> bool:
        """Tell whether a provisional slot belongs to a boot that never learnt the time."""
        return any(
            _shows(slot, read)
            for read in self._world.reads
            if self._may_stay_provisional(read) and abs(read.wall_s - stamp) < 7200
        )

    def _may_stay_provisional(self, read: Read) -> bool:
        boot_id = read.life.boot.boot_id
        return boot_id not in self._dated or boot_id in self._doubtful

    def _stamp(self, read: Read) -> int:
        """Return the slot a reading belongs to: by the wall clock, once that is known.

        A reading from before is dated by the clock as it is when the time becomes known.
        """
        seconds = read.wall_s
        if id(read) not in self._true:
            boot = read.life.boot
            found = [f for f in self._found if f.life.boot is boot and f.true_s > read.true_s]
            seconds = read.true_s + (found[0].wall_s - found[0].true_s if found else 0.0)
        return _grid(seconds)

    def _check(self, stamp: int, stored: Stored) -> None:
        """See that a stored slot is what was read then."""
        if stored.cycles != 1 or set(stored.states) != set(NAMES):
            self._wrong.append(f"{stamp} is not whole: {stored}")
        for name in NAMES:
            # A clock that was set back has the same slot read again: a meter that was silent
            # the second time leaves what it showed the first time.
            candidates = self._at[stamp]
            reads = [r for r in candidates if _agrees(stored, name, r.outcomes[name])]
            if reads:
                fate = self._meter_fate(stored, name, reads[-1], stamp)
            elif _is_mixture(stored, name, candidates):
                fate = "read twice, as the clock was set back"
            else:
                self._wrong.append(
                    f"{stamp} {name} was never read so: {stored}; read: {_told(self._at[stamp])}"
                )
                continue
            self._result.readings[fate] += 1

    def _meter_fate(self, stored: Stored, name: str, read: Read, stamp: int) -> str:
        outcome = read.outcomes[name]
        if isinstance(outcome, Reading):
            if name in stored.meters:
                return "read"
            if not self._is_settling(name, read):
                self._wrong.append(f"{stamp} {name} does not settle, but is stored as settling")
            return "known gap: settling after it was dark"
        return f"known gap: {'silent' if isinstance(outcome, Silent) else 'faulty'}"

    def _is_settling(self, name: str, read: Read) -> bool:
        """Tell whether a meter was silent for `DARK_S` until some seconds ago."""
        silent_s, back_s = 0, None
        for earlier in self._world.reads:
            if earlier.true_s > read.true_s:
                break
            outcome = earlier.outcomes[name]
            if isinstance(outcome, Silent):
                silent_s += INTERVAL_S
            elif heard(outcome):
                if silent_s >= DARK_S:
                    back_s = earlier.true_s
                silent_s = 0
        return back_s is not None and read.true_s - back_s <= SETTLING_S + SLACK_S

    # --- what is not

    def _why_not(self, stamp: int, provisional: Mapping[int, int]) -> str | None:
        world = self._world
        reads = self._at[stamp]
        for read in reads:
            if id(read) in provisional:
                return PROVISIONAL
        for read in reads:
            if (loss := self._loss(read)) is not None:
                return loss
        if reads:
            return None
        if world.off.touches(stamp - SLACK_S, stamp + SLACK_S):
            return OFF
        if world.stepped.touches(stamp - SLACK_S, stamp + SLACK_S):
            return STEPPED
        if not any(first < stamp < last for first, last in self._running):
            return NOT_RUNNING
        if world.stalled.touches(stamp - SLACK_S, stamp + SLACK_S):
            return STALLED
        return ARRIVED if self._has_just_arrived(stamp) else None

    def _loss(self, read: Read) -> str | None:
        """Return why a reading may be lost, or None."""
        if read.in_hand:
            return IN_HAND
        life = read.life
        if life.ended is None:
            return None
        world = self._world
        age_s = life.ended - read.true_s
        age_s -= max(0.0, world.stalled.longest(read.true_s, life.ended))
        dated_s = self._dated_at(read)
        # A backlog in memory is not sent at once when its time becomes known.
        undated = dated_s is None or (life.killed and life.ended - dated_s <= SLACK_S)
        away = dated_s is not None and world.no_database.touches(dated_s, dated_s + SLACK_S)
        if not (away or undated):
            return None
        if life.killed and age_s <= COMMIT_S + SLACK_S:
            return UNCOMMITTED if away else UNDATED
        # A commit was due, but the card was full, from then on to the end.
        for begin, over in world.no_card.spans:
            due_s = min(read.true_s + COMMIT_S + SLACK_S, life.ended)
            if begin <= due_s and over + RETRY_S * life.killed >= life.ended:
                return NO_CARD
        return None

    def _dated_at(self, read: Read) -> float | None:
        """Return when the same process knew the time of a reading, None if it never did."""
        if id(read) in self._true:
            return read.true_s
        found = [f for f in self._found if f.life is read.life and f.true_s > read.true_s]
        return found[0].true_s if found else None

    def _lives(self) -> list[tuple[int, int]]:
        """Return the first and the last slot that each process has read.

        It has to begin with its first slot and to go on to its end.
        """
        spans = []
        for life in self._world.lives:
            reads = [read for read in self._world.reads if read.life is life]
            ended = life.ended or self._world.now
            moments = [life.began, *(read.true_s for read in reads), ended]
            set_at = _set_at(reads)
            for before, after in itertools.pairwise(moments):
                # Each time that the clock is set, the slot that is waited for is left out.
                longest_s = (3 if after in set_at else 2) * INTERVAL_S
                if after - before > longest_s and not self._world.stalled.touches(before, after):
                    self._wrong.append(f"nothing was read from {before:.1f} to {after:.1f}")
            if reads:
                stamps = [self._stamp(read) for read in reads]
                spans.append((min(stamps), max(stamps)))
        return spans

    def _has_just_arrived(self, stamp: int) -> bool:
        before = [r for r in self._world.reads if r.true_s <= stamp]
        after = [r for r in self._world.reads if r.true_s > stamp]
        return bool(
            before
            and after
            and before[-1].life is after[0].life
            and after[0].true_s - before[-1].true_s < 3 * INTERVAL_S
            and not all(r.synchronised for r in before[-3:])
        )

    # --- what has no true time

    def _provisional(self) -> dict[int, int]:
        """Match each provisional slot with a reading; return the slots by the readings' ids.

        All that one boot shows is shifted alike. Slots that fit one reading alone tell by how
        much; in the dark one slot is like the next.
        """
        candidates = [read for read in self._world.reads if self._may_stay_provisional(read)]
        fitting = {
            stamp: [read for read in candidates if _shows(stored, read)]
            for stamp, stored in sorted(self._stored.items())
            if stored.provisional
        }
        shifts: dict[str, set[int]] = defaultdict(set)
        for stamp, reads in fitting.items():
            if len(reads) == 1:
                shifts[reads[0].life.boot.boot_id].add(round(stamp - reads[0].true_s))
        found: dict[int, int] = {}
        for stamp, reads in fitting.items():
            near = [
                (abs(stamp - read.true_s - shift), id(read))
                for read in reads
                for shift in shifts[read.life.boot.boot_id]
                if id(read) not in found and abs(stamp - read.true_s - shift) < INTERVAL_S
            ]
            if near:
                found[min(near)[1]] = stamp
            else:
                self._wrong.append(f"{stamp} is provisional and of no boot without the time")
        return found

    # --- energy

    def _lifetime(self, provisional: Mapping[int, int]) -> None:
        for name in NAMES:
            known = self._with_lifetime(name, provisional)
            truth = self._truth_wh(name)
            stored = [
                (stamp, float(slot.meters[name]["lifetime_wh"]))
                for stamp, slot in sorted(self._stored.items())
                if stamp in truth
                and not slot.provisional
                and name in slot.meters
                and slot.meters[name].get("lifetime_wh") is not None
            ]
            if not stored:
                self._wrong.append(f"{name} has no lifetime energy")
                continue
            resets = [reset for reset in self._world.resets if reset.name == name]
            hidden = sum(_hidden_wh(reset, known, self._world) for reset in resets)
            first_s, first_wh = stored[0]
            last_s, last_wh = stored[-1]
            counted = last_wh - first_wh
            used = truth[last_s] - truth[first_s]
            self._result.lines.append(
                f"{name}: {used} Wh used, {counted:.0f} Wh counted, {len(resets)} resets "
                f"that may hide {hidden:.0f} Wh"
            )
            if not used - hidden <= counted <= used:
                self._wrong.append(f"{name}: {used} Wh used, {counted} Wh counted")

    def _with_lifetime(self, name: str, provisional: Mapping[int, int]) -> list[Read]:
        """Return the readings of a meter whose lifetime energy the database holds."""
        known = []
        for read in self._world.reads:
            slot = self._stored.get(provisional.get(id(read), self._stamp(read)))
            point = None if slot is None else slot.meters.get(name)
            outcome = read.outcomes[name]
            if (
                point is not None
                and isinstance(outcome, Reading)
                and point["energy_wh"] == outcome.energy_wh
                and point.get("lifetime_wh") is not None
            ):
                known.append(read)
        return known

    def _truth_wh(self, name: str) -> dict[int, int]:
        return {self._stamp(read): read.truth_wh[name] for read in self._world.reads}


def _hidden_wh(reset: Reset, known: Sequence[Read], world: World) -> float:
    """Return what no collector can know of a reset: what was used since it looked last.

    What it read and lost, it has not seen; `known` is what it can go on from. Where the
    register had come near its old value again before the next such reading, or past it, it
    does not show that it was set back, and what it has counted since is hidden too. A
    database that was dropped in between has taken along what was known, and on a full card nobody
    can look into the spool.
    """
    name = reset.name
    before = [read for read in known if read.true_s < reset.at]
    after = [read for read in known if read.true_s > reset.at]
    if not before:
        return 1.0
    if after and (
        any(before[-1].true_s < at < after[0].true_s for at in world.drops)
        or world.no_card.touches(after[0].life.began, after[0].true_s)
    ):
        before = before[:1]
    hidden_wh = reset.truth_wh - before[-1].truth_wh[name] + 1.0
    before_wh = _energy_wh(before[-1], name)
    after_wh = _energy_wh(after[0], name) if after else 0.0
    shows = after_wh <= min(before_wh / 2, before_wh - SET_BACK_WH)
    return hidden_wh if shows else hidden_wh + after_wh


def _energy_wh(read: Read, name: str) -> float:
    outcome = read.outcomes[name]
    assert isinstance(outcome, Reading)
    return outcome.energy_wh


def _told(reads: Sequence[Read]) -> str:
    return "; ".join(
        f"{read.true_s:.1f} (wall clock {read.wall_s:.1f}, {'' if read.synchronised else 'not '}"
        f"synchronised), process from {read.life.began:.1f} to {read.life.ended or 0:.1f}, "
        f"{'killed, ' if read.life.killed else ''}boot {read.life.boot.boot_id[:8]}: "
        f"{read.outcomes}"
        for read in reads
    )


def _grid(seconds: float) -> int:
    return slot_at(seconds, INTERVAL_S)


def _set_at(reads: Sequence[Read]) -> set[float]:
    """Return the moments of the readings before which the wall clock was set."""
    errors = [(read.true_s, read.wall_s - read.true_s) for read in reads]
    return {
        at for (_, was_s), (at, is_s) in itertools.pairwise(errors) if abs(is_s - was_s) >= STEP_S
    }


def _found(reads: Sequence[Read]) -> tuple[list[Read], set[int]]:
    """Return the readings at which a process learnt the time, and the ids of all true ones.

    If the clock is right when it begins, all its slots are true; else it takes the second
    one that it reads with a right clock as the first true one.
    """
    known: Counter[int] = Counter({id(read.life): read.life.synchronised for read in reads})
    found: list[Read] = []
    true: set[int] = set()
    for read in reads:
        known[id(read.life)] += read.synchronised
        if known[id(read.life)] < 2:
            continue
        if not found or found[-1].life is not read.life:
            found.append(read)
        true.add(id(read))
    return found, true


def _doubtful_boots(found: Iterable[Read], no_card: Spans) -> set[str]:
    """Return the boots that learnt the time, but may have forgotten it with their end.

    They learnt it just before, or the card was full then.
    """
    first: dict[str, Read] = {}
    for read in found:
        first.setdefault(read.life.boot.boot_id, read)
    doubtful = set()
    for boot_id, read in first.items():
        ended = read.life.boot.ended
        if ended is not None and (
            ended - read.true_s < COMMIT_S + SLACK_S or no_card.touches(read.true_s, ended)
        ):
            doubtful.add(boot_id)
    return doubtful


def _slots(rows: Rows) -> dict[int, Stored]:
    slots: dict[int, Stored] = defaultdict(Stored)
    for row in rows["meter"]:
        slots[row["time"]].meters[row["meter"]] = row
    for row in rows["meter_state"]:
        slots[row["time"]].states[row["meter"]] = row
    for row in rows["collector"]:
        slots[row["time"]].cycles += 1
        slots[row["time"]].provisional = bool(row.get("provisional"))
    return dict(slots)


def _shows(stored: Stored, read: Read) -> bool:
    """Tell whether a stored slot holds what was read, meter for meter."""
    return all(_agrees(stored, name, outcome) for name, outcome in read.outcomes.items())


def _is_mixture(stored: Stored, name: str, reads: Sequence[Read]) -> bool:
    """Tell whether the point is of one reading of the slot, and the state of another."""
    point, state = stored.meters.get(name), stored.states.get(name)
    return (
        point is not None
        and state is not None
        and any(_agrees(Stored({name: point}, {name: _OK}), name, r.outcomes[name]) for r in reads)
        and any(_agrees(Stored({}, {name: state}), name, r.outcomes[name]) for r in reads)
    )


def _agrees(stored: Stored, name: str, outcome: Outcome) -> bool:
    state = stored.states.get(name)
    point = stored.meters.get(name)
    if state is None:
        return False
    if isinstance(outcome, Reading):
        if state["state"] == 2 and state["reason"] == "settling":
            return point is None
        return (
            state["state"] == 0
            and point is not None
            and all(point[field] == getattr(outcome, field) for field in FIELDS)
        )
    kind = 1 if isinstance(outcome, Silent) else 2
    return state["state"] == kind and state["reason"] == outcome.reason and point is None
