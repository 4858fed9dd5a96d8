"""One meter's lifetime energy: its register, and what the register does not know of.

The lifetime energy goes on over everything that befalls a register. It is built in two
parts. What this run has counted since its first reading is known from that run alone.
Where the run began is known from elsewhere: the state file, the spool, the database. That
may come late, and a later word may be newer than an earlier one; so the first reading is
related to the newest one each time, and until it can be, there is no lifetime energy to
show, while counting goes on.

A step that a single false reading could have made (a fall, or a large rise) is believed
once the readings after it agree; until then nothing is shown either.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from pzem.house import account_words as words
from pzem.house.account_words import kwh
from pzem.house.bridge import Bridge
from pzem.house.register import SET_BACK_WH, SURE_S, Kind, Step, elapsed_s, judge, most_wh
from pzem.moment import Moment

CONFIRM_S: Final = 10.0
"""How long readings must agree before a step is believed that one alone could not prove:
the nonsense after power returns lasts about 5 s."""
GRACE_S: Final = 120.0
"""How long the database's last word is waited for if the last run had no good end, in s:
InfluxDB on a Pi needs up to two minutes to start."""
SAY_AGAIN_S: Final = 3600.0
"""A reading that is not believed is said at most this often."""
UNSTEADY_S: Final = 600.0
"""A register that shows no two values that agree for this long is said."""
RESET_AT_WH: Final = 9_900_000.0
"""At which a register is set back: 23 kW need four hours from here to its end."""
RESET_RETRY_S: Final = 600.0
REPLACED_WINDOW_S: Final = 2 * 86_400
"""How far a meter's replacement and the word of it may lie apart."""
MUCH: Final = 2.0
"""Times the power at the ends of a gap is what a register may well have counted in it."""
ZONE_S: Final = 14 * 3600
"""A local day begins and ends at most this far from that of UTC."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a meter at one moment."""

    register_wh: float
    lifetime_wh: float
    shown_wh: float
    """The largest lifetime energy that was ever shown; more than `lifetime_wh` only while
    something that was counted by mistake is made up for."""
    moment: Moment
    bridged_wh: float = 0.0
    """Part of `lifetime_wh` that was estimated since the register moved last."""
    reset_sent: bool = False
    """The meter was told to set its register to zero, and has not been read since."""


@dataclass(frozen=True, slots=True)
class Break:
    """A step that may have been another meter's arrival, and what was counted for it."""

    moment: Moment
    counted_wh: float


@dataclass(frozen=True, slots=True)
class Declaration:
    """The owner's word that a meter was replaced, or will be."""

    day: date | None = None
    """The day in the inventory; None: said by hand."""
    until_unix_s: int | None = None
    """Until when the new meter is waited for; None: not decided yet."""

    def covers(self, broken: Moment, now: Moment) -> bool:
        """Tell whether a break is the replacement."""
        if self.day is None:
            ago_s = elapsed_s(broken, now)
            return ago_s is not None and ago_s <= REPLACED_WINDOW_S
        begin_s = _midnight_s(self.day) - ZONE_S
        return broken.is_true and begin_s <= broken.unix_s <= self._end_s(self.day)

    def may_follow(self, known: Moment) -> bool:
        """Tell whether the meter may have been replaced after `known`."""
        if self.day is None or not known.is_true:
            return True
        return known.unix_s < _midnight_s(self.day + timedelta(days=1)) + ZONE_S

    def wait_from(self, now: Moment) -> Declaration:
        """Return it with the end of waiting decided."""
        if self.day is None:
            return replace(self, until_unix_s=now.unix_s + REPLACED_WINDOW_S)
        return replace(self, until_unix_s=self._end_s(self.day))

    def is_over(self, now: Moment) -> bool:
        """Tell whether the new meter is waited for no longer."""
        return now.is_true and self.until_unix_s is not None and now.unix_s > self.until_unix_s

    @staticmethod
    def _end_s(day: date) -> int:
        return _midnight_s(day + timedelta(days=1)) + ZONE_S + REPLACED_WINDOW_S


@dataclass(frozen=True, slots=True)
class _Mark:
    """A register's value, and when it was read."""

    register_wh: float
    moment: Moment
    watts: float = 0.0


class Account:
    """One meter's lifetime energy, reading by reading.

    `known`: what the state file kept. `is_newest`: nobody can know more, for the last run
    has ended in good order.
    """

    def __init__(
        self,
        name: str,
        interval_s: float,
        known: Known | None = None,
        *,
        is_newest: bool = False,
        last_break: Break | None = None,
        declaration: Declaration | None = None,
    ) -> None:
        self._name = name
        self._known = known
        self._is_answered = is_newest and known is not None
        self.last_break = last_break
        self.declaration = declaration
        self.has_changed = False
        """Whether there is something to be kept that no rule can find out again."""
        self._first: _Mark | None = None
        """The first reading of this run that is believed."""
        self._start_wh: float | None = None
        """Lifetime energy at `_first`."""
        self._link: Step | None = None
        """The step from `_known` to `_first`."""
        self._swapped_before = False
        """That step was the replacement of the meter."""
        self._is_settled = False
        self._counted_wh = 0.0
        """Used since `_first`."""
        self.is_estimated = False
        """Whether what `take` returned last has grown by some power that was integrated."""
        self._has_estimate = False
        """Whether what was counted since then is such."""
        self._last: _Mark | None = None
        """The last reading that is believed."""
        self._doubtful: tuple[_Mark, _Mark] | None = None
        """First and last of the readings that contradict it, and agree with each other."""
        self._shown_wh = float("-inf") if known is None else known.shown_wh
        self._bridge = Bridge(interval_s)
        self._reset_sent = known is not None and known.reset_sent
        self._reset_at_s: float | None = None
        self._is_reset_said = self._is_refusal_said = False
        self._glitch_said_s = float("-inf")
        self._unsteady_since_s: float | None = None
        self._is_unsteady_said = False

    @property
    def is_stuck(self) -> bool:
        """Whether the register stands still under load at present."""
        return self._bridge.is_stuck and self._doubtful is None

    @property
    def is_complete(self) -> bool:
        """Whether nobody else knows more of the meter than `kept` does."""
        return self._is_settled or self._is_answered

    def take(self, register_wh: float, watts: float, moment: Moment) -> float | None:
        """Take a reading; return the lifetime energy in Wh, or None: not known yet."""
        self._observe(_Mark(register_wh, moment, watts))
        self._settle(moment)
        if self.declaration is not None and self._is_settled and self.declaration.is_over(moment):
            log.info("%s: no new meter was seen; it is waited for no longer", self._name)
            self.declaration = None
            self.has_changed = True
        self.is_estimated = False
        if self._doubtful is not None or not self._is_settled:
            return None
        self.is_estimated, self._has_estimate = self._has_estimate, False
        self._shown_wh = max(self._shown_wh, round(self._lifetime_wh, 3))
        return self._shown_wh

    def recall(self, known: Known | None, *, is_complete: bool) -> None:
        """Take what the spool or the database knows last; None: nothing.

        `is_complete`: nobody can know more. What is not newer than what is known here is
        passed over; the lifetime energy, which never falls, tells which is.
        """
        self._is_answered = self._is_answered or is_complete
        newest_wh = self._shown_wh if self._known is None else self._known.shown_wh
        if known is not None and known.shown_wh > max(newest_wh, self._shown_wh):
            self._adopt(known)
        start_wh = self._start_wh
        self._relate()
        self.has_changed = self.has_changed or self._start_wh != start_wh

    def declare(self, declaration: Declaration, now: Moment | None) -> None:
        """Take the owner's word that the meter was replaced, or will be soon."""
        self.declaration = declaration
        self.has_changed = True
        if self._is_settled and now is not None:
            self._weigh_declaration(now)

    def is_reset_due(self, moment: Moment) -> bool:
        """Tell whether the register, as read at `moment`, is to be set back now."""
        return (
            self._is_settled
            and self._last is not None
            and self._last.moment == moment
            and self._last.register_wh >= RESET_AT_WH
            and (self._reset_at_s is None or moment.monotonic_s - self._reset_at_s >= RESET_RETRY_S)
        )

    def note_reset(self, moment: Moment) -> None:
        """Note that the meter is being told to set its register to zero."""
        self._reset_sent = True
        self._reset_at_s = moment.monotonic_s
        if not self._is_reset_said and self._last is not None:
            self._is_reset_said = True
            log.info(
                "%s: its energy register has come to %s and is set to zero; the lifetime energy "
                "goes on",
                self._name,
                kwh(self._last.register_wh),
            )

    def take_back_reset(self) -> None:
        """Note that it is not being told so after all."""
        self._reset_sent = False

    def kept(self) -> Known | None:
        """Return what is worth keeping: of this run, if it has found its beginning."""
        if not self._is_settled or self._last is None:
            return self._known
        return Known(
            self._last.register_wh,
            round(self._lifetime_wh, 3),
            max(self._shown_wh, round(self._lifetime_wh, 3)),
            self._last.moment,
            round(self._bridge.bridged_wh, 3),
            self._reset_sent,
        )

    @property
    def _lifetime_wh(self) -> float:
        return (self._start_wh or 0.0) + self._counted_wh

    # --- which readings are believed

    def _observe(self, mark: _Mark) -> None:
        before = self._before()
        step = None if before is None else self._judge(before, mark)
        if before is not None and step is not None and step.sure:
            if self._doubtful is not None:
                self._say_glitch(self._doubtful[1], mark)
                self._doubtful = None
            self._believe(step, mark)
            return
        if self._doubtful is None or not _goes_on(self._doubtful[1], mark):
            self._note_unsteady(mark.moment)
            self._doubtful = (mark, mark)
            return
        first = self._doubtful[0]
        self._doubtful = (first, mark)
        if mark.moment.monotonic_s - first.moment.monotonic_s < CONFIRM_S:
            return
        self._doubtful = None
        grown = Step(Kind.GREW, mark.register_wh - first.register_wh, sure=True)
        self._believe(None if before is None else self._judge(before, first), first)
        self._believe(grown, mark)

    def _before(self) -> _Mark | None:
        if self._last is not None or self._known is None:
            return self._last
        return _Mark(self._known.register_wh, self._known.moment)

    def _judge(self, before: _Mark, after: _Mark) -> Step:
        seconds = elapsed_s(before.moment, after.moment)
        step = judge(before.register_wh, after.register_wh, seconds, reset_sent=self._reset_sent)
        grown_wh = after.register_wh - before.register_wh
        most_then_wh = most_wh(SURE_S if seconds is None else min(seconds, SURE_S))
        if 0 < grown_wh <= self._bridge.used_wh + most_then_wh and not step.sure:
            return Step(Kind.CAUGHT_UP, grown_wh, sure=False)
        return step

    def _believe(self, step: Step | None, mark: _Mark) -> None:
        """Take a reading for true; `step`: from the one before, None if there is none."""
        self._unsteady_since_s = None
        if self._last is None or step is None:
            self._first = self._last = mark
            self._bridge.restart(mark.watts)
            known = self._known
            if known is not None and known.bridged_wh and known.register_wh == mark.register_wh:
                self._bridge.resume(known.bridged_wh)
                self._has_estimate = True
            self._relate()
            return
        last, self._last = self._last, mark
        gap_s = elapsed_s(last.moment, mark.moment)
        if step.kind is Kind.CAUGHT_UP or _is_growth(step, gap_s, max(last.watts, mark.watts)):
            self._grow(step.counted_wh, mark, gap_s)
        else:
            self._break(step, last, mark)

    # --- counting

    def _grow(self, grown_wh: float, mark: _Mark, gap_s: float | None) -> None:
        was_stuck, bridged_wh = self._bridge.is_stuck, self._bridge.bridged_wh
        if grown_wh:
            counted_wh = self._bridge.moves(mark.watts, gap_s, grown_wh)
            by_power = was_stuck and counted_wh > grown_wh - bridged_wh
        else:
            counted_wh = self._bridge.stands(mark.watts, gap_s)
            by_power = self._bridge.is_stuck
        self._counted_wh += counted_wh
        self._has_estimate = self._has_estimate or by_power
        if self._bridge.is_stuck and not was_stuck:
            self.has_changed = True
            log.warning(
                "%s: its energy register stands still at %s under load; what is used is "
                "estimated from the power until it moves",
                self._name,
                kwh(mark.register_wh),
            )
        elif was_stuck and not self._bridge.is_stuck:
            self.has_changed = True
            log.info(
                "%s: its energy register moves again; %s were estimated meanwhile",
                self._name,
                kwh(bridged_wh),
            )
        self._look_after_reset(mark)

    def _look_after_reset(self, mark: _Mark) -> None:
        if not self._reset_sent or self._reset_at_s is None:
            return
        if mark.moment.monotonic_s - self._reset_at_s >= CONFIRM_S:
            self._reset_sent = False
            self.has_changed = True
            if not self._is_refusal_said:
                self._is_refusal_said = True
                log.warning(
                    "%s: its energy register was not set to zero; it is tried again each %.0f min",
                    self._name,
                    RESET_RETRY_S / 60,
                )

    def _break(self, step: Step, last: _Mark, mark: _Mark) -> None:
        """Count a step that is no plain growth."""
        if step.kind is Kind.GREW:
            # It may hold what was bridged, as in `Bridge.moves`.
            step = replace(step, counted_wh=max(0.0, step.counted_wh - self._bridge.bridged_wh))
        self._bridge.restart(mark.watts)
        self.has_changed = True
        if self._is_replacement(step, last.register_wh, mark.register_wh):
            words.say_replaced(self._name, last.register_wh, mark.register_wh)
            self.declaration = None
            self.last_break = None
        else:
            self._counted_wh += step.counted_wh
            self._note_break(step, last.register_wh, mark)
        self._reset_sent = False

    def _is_replacement(self, step: Step, before_wh: float, after_wh: float) -> bool:
        """Tell whether a step is the new meter that was announced."""
        if self.declaration is None or step.sure or step.kind is Kind.WRAPPED:
            return False
        return not _is_small_fall(before_wh, after_wh)

    def _note_break(self, step: Step, before_wh: float, mark: _Mark) -> None:
        if self._reset_sent and step.kind is Kind.RESET:
            self._reset_at_s = None
            self._is_reset_said = self._is_refusal_said = False
        elif step.kind is not Kind.WRAPPED and not _is_small_fall(before_wh, mark.register_wh):
            self.last_break = Break(mark.moment, step.counted_wh)
        words.say_step(self._name, step, before_wh, mark.register_wh)

    # --- where the run began

    def _adopt(self, known: Known) -> None:
        """Put a newer word from before this run in the place of the older one."""
        old, self._known = self._known, known
        if old is not None and old.bridged_wh and known.register_wh == old.register_wh:
            more_wh = known.lifetime_wh - old.lifetime_wh
            self._known = replace(known, bridged_wh=old.bridged_wh + more_wh)
            if self._bridge.is_stuck and self._last is not None:
                self._bridge.used_wh += more_wh
        self._shown_wh = max(self._shown_wh, known.shown_wh)

    def _relate(self) -> None:
        """Find the lifetime energy at the first reading of this run."""
        known, first = self._known, self._first
        if first is None:
            return
        if known is None:
            self._link = None
            self._start_wh = first.register_wh if self._is_answered else None
            return
        seconds = elapsed_s(known.moment, first.moment)
        link = judge(known.register_wh, first.register_wh, seconds, reset_sent=known.reset_sent)
        if _is_growth(link, seconds, first.watts):
            link = replace(link, sure=True)
        counted_wh = link.counted_wh
        if self._is_replaced_before(link, known):
            counted_wh = 0.0
        elif link.kind is Kind.GREW:
            counted_wh = max(0.0, counted_wh - known.bridged_wh)
        self._link = link
        self._start_wh = known.lifetime_wh + counted_wh

    def _is_replaced_before(self, link: Step, known: Known) -> bool:
        """Tell whether the meter was replaced between `known` and this run."""
        if self._is_settled:
            return self._swapped_before and not link.sure
        return (
            self.declaration is not None
            and self._first is not None
            and self._is_replacement(link, known.register_wh, self._first.register_wh)
            and self.declaration.may_follow(known.moment)
        )

    def _settle(self, now: Moment) -> None:
        """Show the lifetime energy from now on, if its beginning is beyond doubt."""
        if self._is_settled or self._first is None or not self._may_settle(now):
            return
        link, known = self._link, self._known
        if link is not None and known is not None:
            if self._is_replaced_before(link, known):
                self._swapped_before = True
                words.say_replaced(self._name, known.register_wh, self._first.register_wh)
                self.declaration = None
                self.last_break = None
            elif not (link.sure and link.kind is Kind.GREW):
                self._note_break(link, known.register_wh, self._first)
            if link.kind is not Kind.GREW:
                self._reset_sent = False
        self._is_settled = True
        self.has_changed = True
        self._weigh_declaration(now)

    def _may_settle(self, now: Moment) -> bool:
        known, first, link = self._known, self._first, self._link
        if self._start_wh is None or first is None:
            return False
        if self._is_answered:
            return True
        if known is None or link is None or known.bridged_wh:
            return False
        if known.reset_sent and link.kind is Kind.RESET:
            return True  # it was kept right before the reset
        if link.kind is not Kind.GREW or self._is_replaced_before(link, known):
            return False
        # The file is up to an hour old. A register that was set back since then, and has
        # come past the value in it again, looks as if it had only grown.
        return now.monotonic_s - first.moment.monotonic_s >= GRACE_S

    # --- a meter that was replaced

    def _weigh_declaration(self, now: Moment) -> None:
        """See whether the new meter has been there for a while; else wait for it."""
        if self.declaration is None:
            return
        broken = self.last_break
        if broken is not None and self.declaration.covers(broken.moment, now):
            self._counted_wh -= broken.counted_wh
            if broken.counted_wh:
                log.info(
                    "%s was replaced: %s were counted that the new meter had on its register; "
                    "the lifetime energy stands still until as much has been used",
                    self._name,
                    kwh(broken.counted_wh),
                )
            else:
                log.info("%s was replaced: that was seen, and is reckoned with already", self._name)
            self.declaration = None
            self.last_break = None
        elif self.declaration.until_unix_s is None:
            self.declaration = self.declaration.wait_from(now)
            if not self.declaration.is_over(now):
                log.info(
                    "%s is to be replaced: what the new meter's register shows at first will "
                    "not be counted",
                    self._name,
                )
        self.has_changed = True

    # --- words for people

    def _say_glitch(self, false: _Mark, after: _Mark) -> None:
        now_s = after.moment.monotonic_s
        if now_s - self._glitch_said_s >= SAY_AGAIN_S:
            self._glitch_said_s = now_s
            log.warning(
                "%s: its energy register showed %s for a moment and then %s; the first is not "
                "believed",
                self._name,
                kwh(false.register_wh),
                kwh(after.register_wh),
            )

    def _note_unsteady(self, moment: Moment) -> None:
        if self._unsteady_since_s is None:
            self._unsteady_since_s = moment.monotonic_s
            self._is_unsteady_said = False
        elif (
            not self._is_unsteady_said and moment.monotonic_s - self._unsteady_since_s >= UNSTEADY_S
        ):
            self._is_unsteady_said = True
            log.warning(
                "%s: no two values of its energy register agree; its lifetime energy is not "
                "counted",
                self._name,
            )


def _is_growth(step: Step, gap_s: float | None, watts: float) -> bool:
    """Tell whether a step is growth that needs no new meter to explain it.

    A meter is often not read for a while before it is replaced. `watts`: its power at
    either end of the gap.
    """
    used_wh = watts * (gap_s or 0.0) / 3600
    return step.kind is Kind.GREW and (step.sure or step.counted_wh <= MUCH * used_wh)


def _is_small_fall(before_wh: float, after_wh: float) -> bool:
    return 0 < before_wh - after_wh <= SET_BACK_WH


def _goes_on(before: _Mark, after: _Mark) -> bool:
    step = judge(before.register_wh, after.register_wh, elapsed_s(before.moment, after.moment))
    return step.kind is Kind.GREW


def _midnight_s(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
