"""What InfluxDB has not acknowledged yet: first in memory, after half a minute on the card.

Three threads meet here. The one that reads puts blocks and never waits for the card, which
may hang for seconds. The writer takes from memory what it can send. The keeper, the
spool's own, is the only one that touches the card: it commits what waits, reads ahead
what is to be sent next and takes out what was delivered.

What is delivered is taken out of the file some time later, so a crash may have it
delivered again: it overwrites itself. Where that would not be so, as with provisional
points and their erasure, the card is told first.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pzem.moment import Moment
from pzem.spool.block import Block
from pzem.spool.boots import Boot, Dating
from pzem.spool.file import NO_BOOT, Contents, Row, SpoolFile, size_of
from pzem.spool.parcel import (
    Delivery,
    Erasure,
    Held,
    Parcel,
    Placement,
    measurement,
    pack,
    unpack,
    without_slot,
)

COMMIT_S: Final = 27.0
"""How long a block may wait in memory, in s. With a slot each 5 s that makes one commit
each 30 s, at some distance from the slots, and leaves the card 3 s to do it in."""
LIVE_S: Final = 30.0
"""What was put no longer ago than this goes before any backlog."""
AHEAD_BLOCKS: Final = 500
"""So many blocks are read from the card, taken out or put there at once."""
MEMORY_BYTES: Final = 16_000_000
"""What blocks may take in memory while the card fails: a day and more of three meters."""
BLOCK_OVERHEAD_BYTES: Final = 400
"""What a block takes in memory beside its compressed lines."""
RETRY_S: Final = 60.0
"""A card that failed is tried again after so many seconds."""
DEFER_S: Final = 600.0
"""A block that the server fails on, while it takes others, is tried again after this."""
UNDATED_S: Final = 30 * 86_400.0
"""So much of what never got its time is kept, in s."""
OPEN_S: Final = 10.0
"""How long the start waits for what an earlier run has left; a large file that is damaged
takes minutes."""
CLOSE_S: Final = 5.0
"""How long the end waits for the card; systemd does not wait for ever."""
DAY_S: Final = 86_400

_TROUBLES: Final = {
    sqlite3.SQLITE_READONLY: "the card is read-only",
    sqlite3.SQLITE_FULL: "the card is full",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_PERM: "the file may not be written",
    sqlite3.SQLITE_BUSY: "another process has the file open",
    sqlite3.SQLITE_IOERR: "the card fails",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpoolDepth:
    """How much waits in the spool."""

    blocks: int
    """Blocks that are not delivered with their true time."""
    undated: int
    """How many of them have none yet."""
    bytes: int
    """Size of the file on the card."""
    oldest_s: int | None
    """Slot (Unix time) of the oldest block; provisional if that is undated. None: empty."""
    trouble: str | None
    """Why the card cannot be used, in words for people."""
    lost: int
    """Blocks given up since the start for lack of room."""


class Spool:
    """The queue between the thread that reads and the one that writes.

    `put`, `time_is_known`, `show_undated` and `depth` are for the first, `wait`, `next`,
    `done`, `defer`, `erased` and `placed` for the second. None of them waits for the card.
    """

    def __init__(
        self,
        folder: Path | None,
        boot_id: str,
        max_bytes: int,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        background: bool = True,
    ) -> None:
        """Open what an earlier run has left; waits `OPEN_S` at most for the card.

        `folder` None keeps everything in memory. `max_bytes` is never exceeded by the
        file. Without `background` nobody calls `keep` but its owner.
        """
        self._file = None if folder is None else SpoolFile(folder, max_bytes)
        self._boot_id = boot_id
        self._monotonic = monotonic
        self._changed = threading.Condition()

        self._fresh: dict[int, Held] = {}
        """What the card does not have, by number."""
        self._fresh_bytes = 0
        self._next_seq = 0
        self._boots: dict[str, Boot] = {}
        self._newest_s: int | None = None
        """Newest slot with a true time."""
        self._boot_start_s: int | None = None
        """When this boot began (Unix time); None while no true time is known."""
        self._interval_s: int | None = None

        self._on_card = 0
        self._ahead: dict[int, Parcel] = {}
        """Read from the card and ready to be sent, by number."""
        self._retired: dict[int, str] = {}
        """Delivered, but still on the card: number and, of an undated block, its boot."""
        self._dropped_to = -1
        """Blocks up to this number were given up on the card."""
        self._cursor = -1
        """Blocks up to this number were looked at, and cannot be sent now if still there."""
        self._exhausted = True
        self._rewound = 0
        self._deferred: set[int] = set()
        self._deferred_until = math.inf
        self._bytes = 0
        self._oldest_on_card_s: int | None = None

        self._trouble: str | None = None
        self._retry_at = -math.inf
        self._lost = 0
        self._lost_now = 0
        self._closing = False
        self._must_look = True
        """Whether there may be a file that was not opened yet."""
        self._has_looked = False
        self._has_taken = False
        self._left_newest_s: int | None = None
        self._keeper: threading.Thread | None = None
        if not background:
            self.keep()
            return
        self._keeper = threading.Thread(target=self._keep_on, name="spool", daemon=True)
        self._keeper.start()
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_looked, OPEN_S):
                log.warning("the spool's file is slow to open; measuring begins meanwhile")

    # --- for the thread that reads

    def put(self, block: Block) -> None:
        """Add what a slot has brought."""
        body = pack(block)
        with self._changed:
            moment = block.moment
            if not moment.is_true:
                boot = self._boot(moment.boot_id)
                if boot.known is not None:
                    moment = _dated(moment, boot.known)
            elif moment.boot_id == self._boot_id:
                self._begins(math.floor(moment.unix_s - moment.monotonic_s))
            if moment.is_true:
                self._newest_s = max(moment.unix_s, self._newest_s or moment.unix_s)
            self._hold(Held(self._next_seq, moment, body, self._monotonic()))
            self._next_seq += 1
            self._give_up_in_memory()
            self._changed.notify_all()

    def time_is_known(
        self, boot_id: str, offset_s: float, interval_s: int, before_unix_s: int
    ) -> None:
        """Date the blocks of one boot: their slot is at monotonic time + `offset_s`.

        A block whose slot is not before `before_unix_s`, the first one that was dated at
        once, or that of another block dated at once, gives way to it. What was shown
        provisionally is erased. Only the first word on a boot counts.
        """
        with self._changed:
            boot = self._boot(boot_id)
            if boot_id == self._boot_id:
                self._begins(math.floor(offset_s))
                self._interval_s = interval_s
                self._make_room()
            if boot.known is not None:
                return
            boot.known = Dating(offset_s, interval_s, before_unix_s)
            boot.wish = None
            boot.changes += 1
            taken = {held.moment.unix_s for held in self._fresh.values() if held.moment.is_true}
            for held in list(self._fresh.values()):
                if held.moment.boot_id == boot_id and not held.moment.is_true:
                    held.moment = _dated(held.moment, boot.known)
                    if held.moment.unix_s >= before_unix_s or held.moment.unix_s in taken:
                        self._keep_records_only(held)
            for parcel in list(self._ahead.values()):
                if parcel.boot_id == boot_id:
                    del self._ahead[parcel.seq]
            self._rewind()
            self._changed.notify_all()

    def show_undated(self, offset_s: float, interval_s: int) -> None:
        """Deliver the undated blocks of this boot too, at monotonic time + `offset_s`.

        They are kept until their time is known. If the first one would not come after
        every slot that the database or the spool knows of, `offset_s` is raised until it
        does. Only the first word counts in one boot.
        """
        with self._changed:
            boot = self._boot(self._boot_id)
            if boot.shown is None and boot.known is None and boot.wish is None:
                boot.wish = Dating(offset_s, interval_s)
                boot.changes += 1
                self._changed.notify_all()

    @property
    def has_looked(self) -> bool:
        """Whether what an earlier run has left was looked at, with success or without."""
        return self._has_looked

    @property
    def left_newest_s(self) -> int | None:
        """Newest slot with a true time (Unix time) that an earlier run has left.

        None: there is none, or it was not looked at yet.
        """
        return self._left_newest_s

    @property
    def is_showing_undated(self) -> bool:
        """Whether blocks of this boot are shown at a provisional time."""
        with self._changed:
            boot = self._boots.get(self._boot_id)
            return boot is not None and boot.known is None and boot.shown is not None

    def depth(self) -> SpoolDepth:
        """Tell how much waits."""
        with self._changed:
            oldest = [self._oldest_on_card_s] if self._on_card > len(self._retired) else []
            oldest += [held.moment.unix_s for held in itertools.islice(self._fresh.values(), 1)]
            known = [slot_s for slot_s in oldest if slot_s is not None]
            undated = sum(not held.moment.is_true for held in self._fresh.values())
            undated += sum(
                boot.undated_on_card for boot in self._boots.values() if boot.known is None
            )
            retired = sum(
                1
                for boot_id in self._retired.values()
                if boot_id in self._boots and self._boots[boot_id].known is None
            )
            return SpoolDepth(
                blocks=len(self._fresh) + self._on_card - len(self._retired),
                undated=undated - retired,
                bytes=self._bytes,
                oldest_s=min(known, default=None),
                trouble=self._trouble,
                lost=self._lost,
            )

    def close(self) -> None:
        """Commit what is not acknowledged, and let go of the file."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._keeper is None:
            self.keep(final=True)
            if self._file is not None:
                self._file.close()
        else:
            self._keeper.join(CLOSE_S)
        with self._changed:
            self._say_lost()
            if self._fresh:
                log.error(
                    "%d blocks could not be kept on the card and are lost%s",
                    len(self._fresh),
                    f": {self._trouble}" if self._trouble else "",
                )

    # --- for the writer

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something to send or to ask; return whether there is."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._pick(1, backlog=True, special=True) is not None, timeout_s
            )

    def next(
        self, most: int, *, backlog: bool = True, special: bool = True
    ) -> Delivery | Erasure | Placement | None:
        """Return what is to be done next; up to `most` blocks. It stays until it is done.

        Without `backlog` only what is in memory; without `special` only blocks.
        """
        with self._changed:
            return self._pick(most, backlog=backlog, special=special)

    def done(self, delivery: Delivery) -> None:
        """Note that InfluxDB has stored `delivery`, or will never take it."""
        with self._changed:
            for parcel in delivery.parcels:
                self._note_done(parcel)
            if not delivery.live:
                self._say_lost()
            self._changed.notify_all()

    def defer(self, delivery: Delivery) -> None:
        """Let others go before `delivery`, for some minutes."""
        with self._changed:
            for parcel in delivery.parcels:
                self._deferred.add(parcel.seq if parcel.held is None else parcel.held.seq)
                self._ahead.pop(parcel.seq, None)
            self._deferred_until = self._monotonic() + DEFER_S
            self._changed.notify_all()

    def erased(self, erasure: Erasure) -> None:
        """Note that InfluxDB has erased what was shown provisionally."""
        with self._changed:
            boot = self._boots.get(erasure.boot_id)
            if boot is not None and boot.erasure() == erasure:
                boot.note_erased()
                self._changed.notify_all()

    def placed(self, placement: Placement, last_s: int | None) -> None:
        """Note the answer to a question: the last slot that is stored, None if there is none."""
        with self._changed:
            boot = self._boots.get(placement.boot_id)
            if boot is not None:
                boot.place_after_s = -1 if last_s is None else last_s
                boot.changes += 1
                self._changed.notify_all()

    # --- for the keeper

    def keep(self, *, final: bool = False) -> None:
        """Do on the card what is due; all that there is if `final`. Raises nothing."""
        self._do_what_is_due(final=final)
        with self._changed:
            if not self._has_looked:
                self._has_looked = True
                self._changed.notify_all()

    def _do_what_is_due(self, *, final: bool) -> None:
        now_s = self._monotonic()
        with self._changed:
            if now_s >= self._deferred_until:
                self._deferred.clear()
                self._deferred_until = math.inf
                self._rewind()
            if self._file is None or (self._trouble and now_s < self._retry_at and not final):
                self._settle_without_card()
                return
            due = final or self._is_commit_due(now_s)
        try:
            self._work(self._file, due=due, final=final)
        except (sqlite3.Error, OSError) as error:
            self._stumble(_words(error, is_read_only=self._file.is_read_only()))
        except Exception:
            log.exception("the spool failed; this is a defect")
            self._stumble("an error of the program, see the log")

    def _keep_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._is_due, self._until_due_s())
                closing = self._closing
            self.keep(final=closing)
            if closing:
                if self._file is not None:
                    self._file.close()
                return

    def _is_due(self) -> bool:
        now_s = self._monotonic()
        if self._closing or not self._has_looked or now_s >= self._deferred_until:
            return True
        if self._file is None:
            return self._has_news()
        if self._trouble:
            return now_s >= self._retry_at
        return self._is_commit_due(now_s) or self._has_news() or self._wants_more()

    def _until_due_s(self) -> float:
        now_s = self._monotonic()
        ends = [now_s + RETRY_S, self._deferred_until]
        if self._trouble:
            ends.append(self._retry_at)
        else:
            ends += [held.put_s + COMMIT_S for held in itertools.islice(self._fresh.values(), 1)]
        return max(min(ends) - now_s, 0.0)

    def _is_commit_due(self, now_s: float) -> bool:
        oldest = next(iter(self._fresh.values()), None)
        return oldest is not None and now_s >= oldest.put_s + COMMIT_S

    def _has_news(self) -> bool:
        return any(not boot.is_settled for boot in self._boots.values())

    def _wants_more(self) -> bool:
        """Whether the writer has taken all that was read ahead."""
        is_open = self._file is not None and self._file.is_open
        return is_open and not self._ahead and (bool(self._retired) or not self._exhausted)

    def _work(self, file: SpoolFile, *, due: bool, final: bool) -> None:
        if not file.is_open:
            must_open = (self._must_look and file.exists()) or (due and bool(self._fresh))
            self._must_look = False
            if not must_open:
                with self._changed:
                    self._settle_without_card()
                    self._say_card_works()
                return
            self._take(file.open())
        self._commit(file, due=due)
        if not final:
            self._read_ahead(file)
        if not self._remove_if_empty(file):
            oldest = file.oldest(1)
            size = file.size()
            with self._changed:
                self._oldest_on_card_s = oldest[0][2] if oldest else None
                self._bytes = size
        with self._changed:
            self._say_card_works()

    def _stumble(self, words: str) -> None:
        if self._file is not None:
            self._file.close()
        with self._changed:
            if self._trouble is None:
                log.error("the spool keeps to memory for now: %s", words)
            self._trouble = words
            self._retry_at = self._monotonic() + RETRY_S
            self._must_look = True
            self._changed.notify_all()

    def _take(self, contents: Contents) -> None:
        """Take over what the file holds; what memory knows better stays as it is."""
        assert self._file is not None
        with self._changed:
            if self._fresh and contents.last_seq >= next(iter(self._fresh)):
                self._renumber(contents.last_seq + 1)
            self._next_seq = max(self._next_seq, contents.last_seq + 1)
            self._on_card = contents.blocks
            self._retired.clear()
            self._ahead.clear()
            self._rewind()
            if contents.newest_s is not None:
                self._newest_s = max(contents.newest_s, self._newest_s or contents.newest_s)
            for boot in self._boots.values():
                boot.number = None
                boot.undated_on_card = 0
            for found in contents.boots:
                boot = self._boots.setdefault(found.boot_id, found)
                if boot is not found and not self._has_taken:
                    boot.merge(found)
                boot.number = found.number
                boot.undated_on_card = found.undated_on_card
            for boot in self._boots.values():
                boot.known_on_card = boot.prepared = False
                boot.changes += 1
            if not self._has_taken:
                self._has_taken = True
                self._left_newest_s = contents.newest_s
            self._make_room()
        self._limit_undated(self._file)

    def _renumber(self, first_seq: int) -> None:
        """Have the blocks in memory come after those of a file that was opened late."""
        held = list(self._fresh.values())
        self._fresh.clear()
        for seq, one in enumerate(held, start=first_seq):
            if one.seq in self._deferred:
                self._deferred.add(seq)
            one.seq = seq
            self._fresh[seq] = one
        self._next_seq = first_seq + len(held)

    def _limit_undated(self, file: SpoolFile) -> None:
        """Give up what earlier boots left undated beyond `UNDATED_S`, the oldest first."""
        left_s = UNDATED_S
        given_up = 0
        with self._changed:
            earlier = [boot for boot in self._boots.values() if self._is_leftover(boot)]
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
                self._retired.update(dict.fromkeys(old, boot.boot_id))
                self._lost += len(old)
            given_up += len(old)
        if given_up:
            log.error("%d blocks never got their time and are too many; they are lost", given_up)

    def _commit(self, file: SpoolFile, *, due: bool) -> None:
        """Bring to the card what it has to know; one commit, where it is not very much."""
        with self._changed:
            boots = [boot for boot in self._boots.values() if due or not boot.is_settled]
            fresh = list(self._fresh.values()) if due else []
            news = self._has_news() or self._wants_more()
            news |= due and (bool(self._retired) or any(boot.number for boot in boots))
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
            start_s = math.inf if self._boot_start_s is None else self._boot_start_s
        meets_true_ones = placed.stamp(span[1]) >= start_s and interval_s > 1
        return replace(placed, aside_s=1) if meets_true_ones else placed

    def _dated_before(self, file: SpoolFile, number: float) -> Iterator[int]:
        """Yield the last slot of each boot before, shown or dated later."""
        for boot in list(self._boots.values()):
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
                if boot.first_s is None and boot.boot_id == self._boot_id:
                    boot.shown = _shifted(boot.shown, monotonic_s, floors)
                boot.extend(boot.shown.stamp(monotonic_s), names)

    def _floors(self, file: SpoolFile, boot: Boot) -> Iterator[int]:
        for slot_s in (self._newest_s, boot.place_after_s):
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
                self._note_shown(file, self._boots[moment.boot_id], moment.monotonic_s, body)
        wanted_bytes = size_of(bodies)
        while batch and not file.has_room(wanted_bytes) and self._give_up_on_card(file):
            pass
        with self._changed:
            retired = dict(self._retired)
            undated = Counter(moment.boot_id for moment in moments if not moment.is_true)
            undated.subtract(boot_id for boot_id in retired.values() if boot_id)
            kept = [boot for boot in boots if self._needs_card(boot, undated[boot.boot_id])]
            gone = [
                boot
                for boot in self._boots.values()
                if not self._needs_card(boot, undated[boot.boot_id])
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
                Row(held.seq, self._number(moment), moment.unix_s, moment.monotonic_s, body)
                for held, moment, body in zip(batch, moments, bodies, strict=True)
            )
        with self._changed:
            self._note_committed(batch, moments, retired)
            for boot_id, more in undated.items():
                self._boots[boot_id].undated_on_card += more
            for boot, so_many, erased in changes:
                self._settle(boot, so_many, erased)
            self._changed.notify_all()

    def _number(self, moment: Moment) -> int:
        return NO_BOOT if moment.is_true else self._boots[moment.boot_id].number or NO_BOOT

    def _note_committed(
        self, batch: list[Held], moments: list[Moment], retired: Iterable[int]
    ) -> None:
        for seq in retired:
            self._retired.pop(seq, None)
            self._on_card -= 1
        for held, moment in zip(batch, moments, strict=True):
            self._on_card += 1
            self._exhausted = False
            held.on_card = "" if moment.is_true else moment.boot_id
            if self._fresh.get(held.seq) is held:
                self._let_go(held)
            else:  # delivered while the card was busy
                self._retired[held.seq] = held.on_card

    def _settle(self, boot: Boot, changes: int, erased: tuple[int, int] | None) -> None:
        """Let take effect what the card knows now."""
        if boot.prepared and not boot.known_on_card:
            boot.known_on_card = boot.look_again = True
        if boot.known is None or boot.known_on_card:  # else it came just now
            boot.changes_on_card = changes
        if erased is not None and boot.erased == erased:
            boot.erased = None
            boot.look_again = True
        if boot.look_again:
            boot.look_again = False
            self._rewind()
        if self._is_leftover(boot) and boot.undated_on_card == 0:
            self._boots.pop(boot.boot_id, None)

    def _needs_card(self, boot: Boot, more_undated: int = 0) -> bool:
        """Tell whether a power cut must not take what is known of `boot`."""
        if boot.undated_on_card + more_undated > 0:
            return True
        return not self._is_leftover(boot) and boot.first_s is not None

    def _settle_without_card(self) -> None:
        """Let take effect what concerns nothing that lies on the card."""
        for boot in self._boots.values():
            if not boot.is_settled and not self._needs_card(boot) and boot.erased is None:
                if boot.shown is None and boot.place_after_s is not None:
                    boot.shown, boot.wish = boot.wish, None
                boot.known_on_card = boot.known is not None
                boot.changes_on_card = boot.changes

    def _give_up_on_card(self, file: SpoolFile) -> bool:
        """Take out the oldest blocks; return whether there were any."""
        most = max(1, min(AHEAD_BLOCKS, self._on_card // 10))
        oldest = file.oldest(most)
        if not oldest:
            return False
        with file.transaction():
            file.delete(seq for seq, _, _ in oldest)
        with self._changed:
            boots = {boot.number: boot for boot in self._boots.values()}
            for seq, number, _ in oldest:
                if number != NO_BOOT:
                    boots[number].undated_on_card -= 1
                self._ahead.pop(seq, None)
                self._on_card -= 1
                if self._retired.pop(seq, None) is None:
                    self._note_lost()
            self._dropped_to = oldest[-1][0]
        return True

    def _read_ahead(self, file: SpoolFile) -> None:
        while True:
            with self._changed:
                if self._ahead or self._exhausted:
                    return
                cursor, rewound = self._cursor, self._rewound
            rows = file.rows(cursor, AHEAD_BLOCKS)
            with self._changed:
                if rewound != self._rewound:
                    continue
                boots = {boot.number: boot for boot in self._boots.values()}
                for row in rows:
                    self._cursor = row.seq
                    parcel = self._judge(row, boots.get(row.boot))
                    if parcel is not None:
                        self._ahead[row.seq] = parcel
                self._exhausted = not rows
                self._changed.notify_all()

    def _judge(self, row: Row, boot: Boot | None) -> Parcel | None:
        """Return what is to be sent of a block on the card, None if nothing now or ever."""
        if row.seq in self._retired or row.seq in self._deferred:
            return None
        if row.boot == NO_BOOT or boot is None:
            return None if self._is_covered(row.unix_s) else Parcel(row.seq, row.unix_s, row.body)
        if boot.known is not None:
            return self._judge_known(row, boot, boot.known) if boot.known_on_card else None
        if boot.shown is None:
            return None
        if row.seq <= boot.shown_seq:
            if self._is_final(boot):
                self._retired[row.seq] = boot.boot_id
            return None
        stamp_s = boot.shown.stamp(row.monotonic_s)
        return Parcel(row.seq, stamp_s, row.body, provisional=True, boot_id=boot.boot_id)

    def _judge_known(self, row: Row, boot: Boot, known: Dating) -> Parcel | None:
        stamp_s = known.stamp(row.monotonic_s)
        body: bytes | None = row.body
        is_late = known.before_s is not None and stamp_s >= known.before_s
        if is_late or stamp_s in boot.taken:
            with contextlib.suppress(ValueError):  # damaged: whoever sends it will say so
                body = without_slot(row.body)
            if body is None:
                self._retired[row.seq] = boot.boot_id
                return None
        elif self._is_covered(stamp_s):
            return None
        marked = known.aside_s is not None
        return Parcel(row.seq, stamp_s, body or b"", provisional=marked, boot_id=boot.boot_id)

    def _remove_if_empty(self, file: SpoolFile) -> bool:
        with self._changed:
            if self._on_card or any(boot.number is not None for boot in self._boots.values()):
                return False
        file.remove()
        with self._changed:
            self._bytes = 0
            self._oldest_on_card_s = None
        return True

    # --- with the lock held

    def _boot(self, boot_id: str) -> Boot:
        return self._boots.setdefault(boot_id, Boot(boot_id))

    def _is_leftover(self, boot: Boot) -> bool:
        """Whether its time will never be known."""
        return boot.boot_id != self._boot_id and boot.known is None

    def _is_final(self, boot: Boot) -> bool:
        """Whether what `boot` shows now with its mark stays where it is."""
        if boot.known is not None:
            return boot.known.aside_s is not None and boot.first_s is None
        return self._is_leftover(boot) and self._boot_start_s is not None

    def _begins(self, start_s: int) -> None:
        """Note when this boot began (Unix time)."""
        if self._boot_start_s is None:
            self._rewind()  # what is shown of earlier boots need no longer be kept
        self._boot_start_s = min(start_s, self._boot_start_s or start_s)

    def _make_room(self) -> None:
        """Have what earlier boots show past the begin of this one step aside for true slots."""
        if self._boot_start_s is None or self._interval_s is None:
            return
        for boot in filter(self._is_leftover, self._boots.values()):
            boot.step_aside(self._boot_start_s, self._interval_s)
            if boot.known is not None:
                for parcel in list(self._ahead.values()):
                    if parcel.boot_id == boot.boot_id:
                        del self._ahead[parcel.seq]
                self._rewind()

    def _is_covered(self, stamp_s: int) -> bool:
        """Whether provisional points may lie at `stamp_s`, or are to be erased there."""
        return any(
            boot.covers(stamp_s) for boot in self._boots.values() if not self._is_leftover(boot)
        )

    def _rewind(self) -> None:
        """Look at every block on the card again."""
        self._cursor = -1
        self._exhausted = False
        self._rewound += 1

    def _hold(self, held: Held) -> None:
        self._fresh[held.seq] = held
        self._fresh_bytes += len(held.body) + BLOCK_OVERHEAD_BYTES

    def _let_go(self, held: Held) -> None:
        del self._fresh[held.seq]
        self._fresh_bytes -= len(held.body) + BLOCK_OVERHEAD_BYTES

    def _keep_records_only(self, held: Held) -> None:
        """Take the slot out of a block that gives way; what has its own time stays."""
        records = without_slot(held.body)
        if records is None:
            self._let_go(held)
        else:
            self._fresh_bytes += len(records) - len(held.body)
            held.body = records

    def _give_up_in_memory(self) -> None:
        while self._fresh_bytes > MEMORY_BYTES:
            self._let_go(next(iter(self._fresh.values())))
            self._note_lost()

    def _note_lost(self) -> None:
        self._lost += 1
        self._lost_now += 1
        if self._lost_now == 1:
            log.error("the spool is full; the oldest blocks are lost from now on")

    def _say_card_works(self) -> None:
        if self._trouble:
            log.info("the spool's file can be used again")
            self._trouble = None

    def _say_lost(self) -> None:
        if self._lost_now:
            log.error("%d blocks were lost while the spool was full", self._lost_now)
            self._lost_now = 0

    def _pick(
        self, most: int, *, backlog: bool, special: bool
    ) -> Delivery | Erasure | Placement | None:
        parcels = self._live(most)
        if parcels:
            return Delivery(parcels, live=True)
        if special:
            for boot in self._boots.values():
                todo = boot.erasure() or self._placement(boot)
                if todo is not None:
                    return todo
        if backlog and self._ahead:
            return Delivery(_of_one_day(iter(self._ahead.values()), most), live=False)
        is_open = self._file is not None and self._file.is_open
        if not backlog or not is_open or self._exhausted:
            waiting = (self._parcel(held) for held in self._fresh.values())
            parcels = _of_one_day((parcel for parcel in waiting if parcel is not None), most)
            if parcels:
                return Delivery(parcels, live=False)
        return None

    def _live(self, most: int) -> tuple[Parcel, ...]:
        since_s = self._monotonic() - LIVE_S
        newest = itertools.takewhile(
            lambda held: held.put_s >= since_s, reversed(self._fresh.values())
        )
        ready = (self._parcel(held) for held in newest)
        return _of_one_day((parcel for parcel in ready if parcel is not None), most)

    def _parcel(self, held: Held) -> Parcel | None:
        """Return what is to be sent of a block in memory, None if nothing now."""
        moment = held.moment
        if not moment.is_true or held.seq in self._deferred or self._is_covered(moment.unix_s):
            return None
        return Parcel(held.seq, moment.unix_s, held.body, held=held)

    def _placement(self, boot: Boot) -> Placement | None:
        if boot.shown is not None or boot.place_after_s is not None:
            return None
        if boot.wish is not None:
            return Placement(boot.boot_id, None)
        if not self._is_leftover(boot) or boot.undated_on_card == 0:
            return None
        ours = self._boots.get(self._boot_id)
        is_overdue = ours is not None and ours.wish is not None
        if self._boot_start_s is None and not is_overdue:
            return None  # the last slot in the database may be one of ours
        return Placement(boot.boot_id, self._boot_start_s)

    def _note_done(self, parcel: Parcel) -> None:
        held = parcel.held
        seq, boot_id = parcel.seq, parcel.boot_id
        if held is not None:
            if held.on_card is None:
                if self._fresh.get(held.seq) is held:
                    self._let_go(held)
                return
            seq, boot_id = held.seq, held.on_card
        self._ahead.pop(seq, None)
        boot = self._boots.get(boot_id)
        if parcel.provisional and boot is not None and not self._is_final(boot):
            boot.shown_seq = max(boot.shown_seq, seq)
        elif seq > self._dropped_to:
            self._retired[seq] = boot_id


def _dated(moment: Moment, known: Dating) -> Moment:
    return replace(moment, unix_s=known.stamp(moment.monotonic_s), is_true=True)


def _shifted(shown: Dating, monotonic_s: float, floors: list[int]) -> Dating:
    """Return `shown` such that the slot at `monotonic_s` comes after all `floors`."""
    first_s = shown.stamp(monotonic_s)
    newest_s = max(floors, default=first_s - 1)
    slots = max((newest_s - first_s) // shown.interval_s + 1, 0)
    return replace(shown, offset_s=shown.offset_s + slots * shown.interval_s)


def _of_one_day(parcels: Iterator[Parcel], most: int) -> tuple[Parcel, ...]:
    """Return the first of `parcels` in time order, as many as are of the same day."""
    found: list[Parcel] = []
    for parcel in itertools.islice(parcels, most):
        if found and parcel.stamp_s // DAY_S != found[0].stamp_s // DAY_S:
            break
        found.append(parcel)
    return tuple(sorted(found, key=lambda parcel: (parcel.stamp_s, parcel.seq)))


def _words(error: Exception, *, is_read_only: bool) -> str:
    """Return why the card fails, for people."""
    if is_read_only:
        return "the card is read-only"
    code = getattr(error, "sqlite_errorcode", None)
    meaning = None if code is None else _TROUBLES.get(code & 0xFF)
    return f"{meaning} ({error})" if meaning else str(error)
