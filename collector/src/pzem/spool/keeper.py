"""What brings the spool to the card and back: the only one that waits for it."""

from __future__ import annotations

import contextlib
import logging
import math
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from pzem.spool.boots import Boot, Dating
from pzem.spool.file import NO_BOOT, Row, SpoolFile, size_of
from pzem.spool.memory import Memory
from pzem.spool.parcel import Held, measurement, unpack

AHEAD_BLOCKS: Final = 500
"""So many blocks are read from the card, taken out or put there at once."""
RETRY_S: Final = 60.0
"""A card that failed is tried again after so many seconds."""
UNDATED_S: Final = 30 * 86_400.0
"""So much of what never got its time is kept, in s."""

_TROUBLES: Final = {
    sqlite3.SQLITE_READONLY: "the card is read-only",
    sqlite3.SQLITE_FULL: "the card is full",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_PERM: "the file may not be written",
    sqlite3.SQLITE_BUSY: "another process has the file open",
    sqlite3.SQLITE_IOERR: "the card fails",
}

log = logging.getLogger(__name__)


class Keeper:
    """Commits what waits, reads ahead what is to be sent, takes out what was delivered.

    `changed` is the spool's lock, held whenever `memory` is looked at or changed, and never
    while the card is waited for. `file` None: there is no card.
    """

    def __init__(
        self,
        memory: Memory,
        file: SpoolFile | None,
        changed: threading.Condition,
        monotonic: Callable[[], float],
    ) -> None:
        self._memory = memory
        self._file = file
        self._changed = changed
        self._monotonic = monotonic
        self._retry_at = -math.inf
        self._must_look = True
        """Whether there may be a file that was not opened yet."""
        self._closing = False
        self.has_looked = False
        """Whether what an earlier run has left was looked at, with success or without."""

    def run(self) -> None:
        """Do what is due, when it is, until `close` is called."""
        while True:
            with self._changed:
                self._changed.wait_for(self._is_due, self._until_due_s())
                closing = self._closing
            self.keep(final=closing)
            if closing:
                self._close_file()
                return

    def close(self) -> None:
        """Have `run` do all that there is, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def finish(self) -> None:
        """Do the same without `run`."""
        self.keep(final=True)
        self._close_file()

    def keep(self, *, final: bool = False) -> None:
        """Do on the card what is due; all that there is if `final`. Raises nothing."""
        self._do_what_is_due(final=final)
        with self._changed:
            if not self.has_looked:
                self.has_looked = True
                self._changed.notify_all()

    def _do_what_is_due(self, *, final: bool) -> None:
        now_s = self._monotonic()
        with self._changed:
            self._memory.end_deferring()
            is_waiting = self._memory.trouble is not None and now_s < self._retry_at
            if self._file is None or (is_waiting and not final):
                self._memory.settle_without_card()
                return
            due = final or now_s >= self._memory.commit_due_s()
        try:
            self._work(self._file, due=due, final=final)
        except (sqlite3.Error, OSError) as error:
            self._stumble(_words(error, is_read_only=self._file.is_read_only()))
        except Exception:
            log.exception("the spool failed; this is a defect")
            self._stumble("an error of the program, see the log")

    def _is_due(self) -> bool:
        now_s = self._monotonic()
        if self._closing or not self.has_looked or now_s >= self._memory.deferred_until:
            return True
        if self._file is None:
            return self._memory.has_news()
        if self._memory.trouble:
            return now_s >= self._retry_at
        memory = self._memory
        return now_s >= memory.commit_due_s() or memory.has_news() or memory.wants_more()

    def _until_due_s(self) -> float:
        now_s = self._monotonic()
        ends = [now_s + RETRY_S, self._memory.deferred_until]
        if self._memory.trouble:
            ends.append(self._retry_at)
        else:
            ends.append(self._memory.commit_due_s())
        return max(min(ends) - now_s, 0.0)

    def _work(self, file: SpoolFile, *, due: bool, final: bool) -> None:
        if not file.is_open:
            must_open = (self._must_look and file.exists()) or (due and bool(self._memory.fresh))
            self._must_look = False
            if not must_open:
                with self._changed:
                    self._memory.settle_without_card()
                    self._say_card_works()
                return
            contents = file.open()
            with self._changed:
                self._memory.is_file_open = True
                self._memory.take(contents)
            self._limit_undated(file)
        self._commit(file, due=due)
        if not final:
            self._read_ahead(file)
        if not self._remove_if_empty(file):
            oldest = file.oldest(1)
            size = file.size()
            with self._changed:
                self._memory.oldest_on_card_s = oldest[0][2] if oldest else None
                self._memory.bytes = size
        with self._changed:
            self._say_card_works()

    def _stumble(self, words: str) -> None:
        self._close_file()
        with self._changed:
            if self._memory.trouble is None:
                log.error("the spool keeps to memory for now: %s", words)
            self._memory.trouble = words
            self._retry_at = self._monotonic() + RETRY_S
            self._must_look = True
            self._changed.notify_all()

    def _limit_undated(self, file: SpoolFile) -> None:
        """Give up what earlier boots left undated beyond `UNDATED_S`, the oldest first."""
        left_s = UNDATED_S
        given_up = 0
        with self._changed:
            earlier = [
                boot for boot in self._memory.boots.values() if self._memory.is_leftover(boot)
            ]
        for boot in sorted(earlier, key=lambda boot: boot.number or 0, reverse=True):
            span = None if boot.number is None else file.span(boot.number)
            if boot.number is None or span is None:
                continue
            from_s = span[1] - left_s
            left_s = max(left_s - (span[1] - span[0]), 0.0)
            if from_s <= span[0]:
                continue
            old = [row.seq for row in file.of_boot(boot.number) if row.monotonic_s < from_s]
            with self._changed:
                self._memory.retired.update(dict.fromkeys(old, boot.boot_id))
                self._memory.lost += len(old)
            given_up += len(old)
        if given_up:
            log.error("%d blocks never got their time and are too many; they are lost", given_up)

    def _commit(self, file: SpoolFile, *, due: bool) -> None:
        """Bring to the card what it has to know; one commit, where it is not very much."""
        with self._changed:
            boots = [boot for boot in self._memory.boots.values() if due or not boot.is_settled]
            fresh = list(self._memory.fresh.values()) if due else []
            news = self._memory.has_news() or self._memory.wants_more()
            news |= due and (bool(self._memory.retired) or any(boot.number for boot in boots))
            if not fresh and not news:
                return
        for boot in boots:
            self._take_up(file, boot)
        batches = [fresh[i : i + AHEAD_BLOCKS] for i in range(0, len(fresh), AHEAD_BLOCKS)]
        for batch in batches or [[]]:
            self._commit_batch(file, batch, boots)

    def _take_up(self, file: SpoolFile, boot: Boot) -> None:
        """Work out what a change of a boot's clock means for its blocks on the card."""
        with self._changed:
            known, wish, place_after_s = boot.known, boot.wish, boot.place_after_s
        number = boot.number
        if known is not None:
            span = None if number is None else file.span(number)
            if not boot.known_on_card and span is not None:
                taken = file.slots(known.stamp(span[0]), known.stamp(span[1]))
                with self._changed:
                    boot.taken = taken
            boot.prepared = True
            return
        if boot.shown is not None or place_after_s is None:
            return
        if number is None:
            with self._changed:
                boot.shown, boot.wish = wish, None
            return
        if wish is None:
            wish = self._placing(file, number, place_after_s)
        with self._changed:
            boot.shown, boot.wish = wish, None
        for row in file.of_boot(number):
            self._note_shown(file, boot, row.monotonic_s, row.body)
        boot.look_again = True

    def _placing(self, file: SpoolFile, number: int, after_s: int) -> Dating | None:
        """Return where the blocks of an earlier boot go: their own time, if after `after_s`.

        They come after what was put before them, too, whether that is delivered or not.
        """
        first = next(file.of_boot(number), None)
        if first is None:
            return None
        floors = [after_s, file.newest_before(first.seq), *self._dated_before(file, number)]
        after_s = max(slot_s for slot_s in floors if slot_s is not None)
        # Slots are multiples of an interval that divides a minute.
        interval_s = math.gcd(60, *(row.unix_s for row in file.of_boot(number)))
        offset_s = first.unix_s - first.monotonic_s
        late_s = max(after_s + 1 - first.unix_s, 0)
        placed = Dating(offset_s + math.ceil(late_s / interval_s) * interval_s, 1)
        span = file.span(number)
        assert span is not None
        with self._changed:
            start_s = math.inf if self._memory.boot_start_s is None else self._memory.boot_start_s
        meets_true_ones = placed.stamp(span[1]) >= start_s and interval_s > 1
        return replace(placed, aside_s=1) if meets_true_ones else placed

    def _dated_before(self, file: SpoolFile, number: float) -> Iterator[int]:
        """Yield the last slot of each boot before, shown or dated later."""
        for boot in list(self._memory.boots.values()):
            if boot.number is None or boot.number >= number:
                continue
            if boot.last_s is not None and boot.known is None:
                yield boot.last_s
            span = None if boot.known is None else file.span(boot.number)
            if boot.known is not None and span is not None:
                yield boot.known.stamp(span[1])

    def _note_shown(self, file: SpoolFile, boot: Boot, monotonic_s: float, body: bytes) -> None:
        """Note what a block adds to what may be shown; the first one sets the offset right."""
        with contextlib.suppress(ValueError):
            names = {measurement(line) for line in unpack(body)[0]}
            floors = [] if boot.first_s is not None else list(self._floors(file, boot))
            with self._changed:
                if boot.shown is None:
                    return
                if boot.first_s is None and boot.boot_id == self._memory.boot_id:
                    boot.shown = _shifted(boot.shown, monotonic_s, floors)
                boot.extend(boot.shown.stamp(monotonic_s), names)

    def _floors(self, file: SpoolFile, boot: Boot) -> Iterator[int]:
        for slot_s in (self._memory.newest_s, boot.place_after_s):
            if slot_s is not None:
                yield slot_s
        number = math.inf if boot.number is None else boot.number
        yield from self._dated_before(file, number)

    def _commit_batch(self, file: SpoolFile, batch: list[Held], boots: list[Boot]) -> None:
        with self._changed:
            moments = [held.moment for held in batch]
            bodies = [held.body for held in batch]
        for moment, body in zip(moments, bodies, strict=True):
            if not moment.is_true:
                self._note_shown(file, self._memory.boots[moment.boot_id], moment.monotonic_s, body)
        wanted_bytes = size_of(bodies)
        while batch and not file.has_room(wanted_bytes) and self._give_up_on_card(file):
            pass
        with self._changed:
            retired = dict(self._memory.retired)
            undated = Counter(moment.boot_id for moment in moments if not moment.is_true)
            undated.subtract(boot_id for boot_id in retired.values() if boot_id)
            kept = [boot for boot in boots if self._memory.needs_card(boot, undated[boot.boot_id])]
            gone = [
                boot
                for boot in self._memory.boots.values()
                if not self._memory.needs_card(boot, undated[boot.boot_id])
            ]
            states = [boot.to_json() for boot in kept]
            changes = [(boot, boot.changes, boot.erased) for boot in [*kept, *gone]]
        with file.transaction():
            file.delete(retired)
            for boot, state in zip(kept, states, strict=True):
                file.save(boot, state)
            for boot in gone:
                file.forget(boot)
            file.add(
                Row(held.seq, self._memory.number(moment), moment.unix_s, moment.monotonic_s, body)
                for held, moment, body in zip(batch, moments, bodies, strict=True)
            )
        with self._changed:
            self._memory.note_committed(batch, moments, retired)
            for boot_id, more in undated.items():
                self._memory.boots[boot_id].undated_on_card += more
            for boot, so_many, erased in changes:
                self._memory.settle(boot, so_many, erased)
            self._changed.notify_all()

    def _give_up_on_card(self, file: SpoolFile) -> bool:
        """Take out the oldest blocks; return whether there were any."""
        most = max(1, min(AHEAD_BLOCKS, self._memory.on_card // 10))
        oldest = file.oldest(most)
        if not oldest:
            return False
        with file.transaction():
            file.delete(seq for seq, _, _ in oldest)
        with self._changed:
            boots = {boot.number: boot for boot in self._memory.boots.values()}
            for seq, number, _ in oldest:
                if number != NO_BOOT:
                    boots[number].undated_on_card -= 1
                self._memory.ahead.pop(seq, None)
                self._memory.on_card -= 1
                if self._memory.retired.pop(seq, None) is None:
                    self._memory.note_lost()
            self._memory.dropped_to = oldest[-1][0]
        return True

    def _read_ahead(self, file: SpoolFile) -> None:
        while True:
            with self._changed:
                if self._memory.ahead or self._memory.exhausted:
                    return
                cursor, rewound = self._memory.cursor, self._memory.rewound
            rows = file.rows(cursor, AHEAD_BLOCKS)
            with self._changed:
                if rewound != self._memory.rewound:
                    continue
                boots = {boot.number: boot for boot in self._memory.boots.values()}
                for row in rows:
                    self._memory.cursor = row.seq
                    parcel = self._memory.judge(row, boots.get(row.boot))
                    if parcel is not None:
                        self._memory.ahead[row.seq] = parcel
                self._memory.exhausted = not rows
                self._changed.notify_all()

    def _remove_if_empty(self, file: SpoolFile) -> bool:
        with self._changed:
            if self._memory.on_card or any(
                boot.number is not None for boot in self._memory.boots.values()
            ):
                return False
        file.remove()
        with self._changed:
            self._memory.is_file_open = False
            self._memory.bytes = 0
            self._memory.oldest_on_card_s = None
        return True

    def _say_card_works(self) -> None:
        if self._memory.trouble:
            log.info("the spool's file can be used again")
            self._memory.trouble = None

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
        with self._changed:
            self._memory.is_file_open = False


def _shifted(shown: Dating, monotonic_s: float, floors: list[int]) -> Dating:
    """Return `shown` such that the slot at `monotonic_s` comes after all `floors`."""
    first_s = shown.stamp(monotonic_s)
    newest_s = max(floors, default=first_s - 1)
    slots = max((newest_s - first_s) // shown.interval_s + 1, 0)
    return replace(shown, offset_s=shown.offset_s + slots * shown.interval_s)


def _words(error: Exception, *, is_read_only: bool) -> str:
    """Return why the card fails, for people."""
    if is_read_only:
        return "the card is read-only"
    code = getattr(error, "sqlite_errorcode", None)
    meaning = None if code is None else _TROUBLES.get(code & 0xFF)
    return f"{meaning} ({error})" if meaning else str(error)
