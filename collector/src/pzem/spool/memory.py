"""What the spool knows, and the rules by which it goes out.

Nothing here waits for anything, and nothing is protected: whoever calls holds the spool's
lock. What the card holds is known from what the keeper tells.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from pzem.moment import Moment
from pzem.spool.block import Block
from pzem.spool.boots import Boot, Dating
from pzem.spool.file import NO_BOOT, Contents, Row
from pzem.spool.parcel import (
    Delivery,
    Erasure,
    Held,
    Parcel,
    Placement,
    pack,
    without_slot,
)

COMMIT_S: Final = 27.0
"""How long a block may wait in memory, in s. With a slot each 5 s that makes one commit
each 30 s, at some distance from the slots, and leaves the card 3 s to do it in."""
LIVE_S: Final = 30.0
"""What was put no longer ago than this goes before any backlog."""
MEMORY_BYTES: Final = 16_000_000
"""What blocks may take in memory while the card fails: a day and more of three meters."""
BLOCK_OVERHEAD_BYTES: Final = 400
"""What a block takes in memory beside its compressed lines."""
DEFER_S: Final = 600.0
"""A block that the server fails on, while it takes others, is tried again after this."""
DAY_S: Final = 86_400

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


class Memory:
    """The blocks in memory, those read ahead from the card, and the clocks of all boots."""

    def __init__(self, boot_id: str, monotonic: Callable[[], float]) -> None:
        self.boot_id = boot_id
        self._monotonic = monotonic
        self.fresh: dict[int, Held] = {}
        """What the card does not have, by number."""
        self._fresh_bytes = 0
        self._next_seq = 0
        self.boots: dict[str, Boot] = {}
        self.newest_s: int | None = None
        """Newest slot with a true time."""
        self.boot_start_s: int | None = None
        """When this boot began (Unix time); None while no true time is known."""
        self._interval_s: int | None = None

        self.is_file_open = False
        self.on_card = 0
        """How many blocks the file holds."""
        self.bytes = 0
        """What it takes."""
        self.oldest_on_card_s: int | None = None
        self.trouble: str | None = None
        """Why the card cannot be used, in words for people."""
        self.ahead: dict[int, Parcel] = {}
        """Read from the card and ready to be sent, by number."""
        self.retired: dict[int, str] = {}
        """Delivered, but still on the card: number and, of an undated block, its boot."""
        self.dropped_to = -1
        """Blocks up to this number were given up on the card."""
        self.cursor = -1
        """Blocks up to this number were looked at, and cannot be sent now if still there."""
        self.exhausted = True
        """Whether no block on the card was not looked at."""
        self.rewound = 0
        self._deferred: set[int] = set()
        self.deferred_until = math.inf
        self.lost = 0
        self._lost_now = 0
        self._has_taken = False
        self.left_newest_s: int | None = None
        """Newest true slot that an earlier run has left."""

    # --- what the thread that reads calls

    def put(self, block: Block) -> None:
        """Add what a slot has brought."""
        body = pack(block)
        moment = block.moment
        if not moment.is_true:
            boot = self._boot(moment.boot_id)
            if boot.known is not None:
                moment = _dated(moment, boot.known)
        elif moment.boot_id == self.boot_id:
            self._begins(math.floor(moment.unix_s - moment.monotonic_s))
        if moment.is_true:
            self.newest_s = max(moment.unix_s, self.newest_s or moment.unix_s)
        self._hold(Held(self._next_seq, moment, body, self._monotonic()))
        self._next_seq += 1
        self._give_up_in_memory()

    def time_is_known(
        self, boot_id: str, offset_s: float, interval_s: int, before_unix_s: int
    ) -> None:
        """Date the blocks of one boot, as `Spool.time_is_known` says."""
        boot = self._boot(boot_id)
        if boot_id == self.boot_id:
            self._begins(math.floor(offset_s))
            self._interval_s = interval_s
            self._make_room()
        if boot.known is not None:
            return
        boot.known = Dating(offset_s, interval_s, before_unix_s)
        boot.wish = None
        boot.changes += 1
        taken = {held.moment.unix_s for held in self.fresh.values() if held.moment.is_true}
        for held in list(self.fresh.values()):
            if held.moment.boot_id == boot_id and not held.moment.is_true:
                held.moment = _dated(held.moment, boot.known)
                if held.moment.unix_s >= before_unix_s or held.moment.unix_s in taken:
                    self._keep_records_only(held)
        self._look_again(boot_id)

    def show_undated(self, offset_s: float, interval_s: int) -> None:
        """Have the undated blocks of this boot shown, as `Spool.show_undated` says."""
        boot = self._boot(self.boot_id)
        if boot.shown is None and boot.known is None and boot.wish is None:
            boot.wish = Dating(offset_s, interval_s)
            boot.changes += 1

    @property
    def is_showing_undated(self) -> bool:
        """Whether blocks of this boot are shown at a provisional time."""
        boot = self.boots.get(self.boot_id)
        return boot is not None and boot.known is None and boot.shown is not None

    def depth(self) -> SpoolDepth:
        """Tell how much waits."""
        oldest = [self.oldest_on_card_s] if self.on_card > len(self.retired) else []
        oldest += [held.moment.unix_s for held in itertools.islice(self.fresh.values(), 1)]
        known = [slot_s for slot_s in oldest if slot_s is not None]
        undated = sum(not held.moment.is_true for held in self.fresh.values())
        undated += sum(boot.undated_on_card for boot in self.boots.values() if boot.known is None)
        retired = sum(
            1
            for boot_id in self.retired.values()
            if boot_id in self.boots and self.boots[boot_id].known is None
        )
        return SpoolDepth(
            blocks=len(self.fresh) + self.on_card - len(self.retired),
            undated=undated - retired,
            bytes=self.bytes,
            oldest_s=min(known, default=None),
            trouble=self.trouble,
            lost=self.lost,
        )

    # --- what the writer calls

    def pick(
        self, most: int, *, backlog: bool, special: bool
    ) -> Delivery | Erasure | Placement | None:
        """Return what is to be done next: what is live first, then what special there is."""
        parcels = self._live(most)
        if parcels:
            return Delivery(parcels, live=True)
        if special:
            for boot in self.boots.values():
                todo = boot.erasure() or self._placement(boot)
                if todo is not None:
                    return todo
        if backlog and self.ahead:
            return Delivery(_of_one_day(iter(self.ahead.values()), most), live=False)
        is_open = self.is_file_open
        if not backlog or not is_open or self.exhausted:
            waiting = (self._parcel(held) for held in self.fresh.values())
            parcels = _of_one_day((parcel for parcel in waiting if parcel is not None), most)
            if parcels:
                return Delivery(parcels, live=False)
        return None

    def done(self, delivery: Delivery) -> None:
        """Note that InfluxDB has stored `delivery`, or will never take it."""
        for parcel in delivery.parcels:
            self._note_done(parcel)
        if not delivery.live:
            self.say_lost()

    def defer(self, delivery: Delivery) -> None:
        """Let others go before `delivery`, for some minutes."""
        for parcel in delivery.parcels:
            self._deferred.add(parcel.seq if parcel.held is None else parcel.held.seq)
            self.ahead.pop(parcel.seq, None)
        self.deferred_until = self._monotonic() + DEFER_S

    def erased(self, erasure: Erasure) -> None:
        """Note that InfluxDB has erased what was shown provisionally."""
        boot = self.boots.get(erasure.boot_id)
        if boot is not None and boot.erasure() == erasure:
            boot.note_erased()

    def placed(self, placement: Placement, last_s: int | None) -> None:
        """Note the answer to a question: the last slot that is stored, None if there is none."""
        boot = self.boots.get(placement.boot_id)
        if boot is not None:
            boot.place_after_s = -1 if last_s is None else last_s
            boot.changes += 1

    # --- what the keeper calls

    def end_deferring(self) -> None:
        """Take up again what was deferred, when its time has come."""
        if self._monotonic() >= self.deferred_until:
            self._deferred.clear()
            self.deferred_until = math.inf
            self.rewind()

    def commit_due_s(self) -> float:
        """Return when the card is to have the oldest block, in monotonic s; inf: nothing waits."""
        oldest = next(iter(self.fresh.values()), None)
        return math.inf if oldest is None else oldest.put_s + COMMIT_S

    def has_news(self) -> bool:
        """Tell whether the card has to be told of the clock of a boot."""
        return any(not boot.is_settled for boot in self.boots.values())

    def wants_more(self) -> bool:
        """Whether the writer has taken all that was read ahead."""
        is_open = self.is_file_open
        return is_open and not self.ahead and (bool(self.retired) or not self.exhausted)

    def take(self, contents: Contents) -> None:
        """Take over what the file holds; what memory knows better stays as it is."""
        if self.fresh and contents.last_seq >= next(iter(self.fresh)):
            self._renumber(contents.last_seq + 1)
        self._next_seq = max(self._next_seq, contents.last_seq + 1)
        self.on_card = contents.blocks
        self.retired.clear()
        self.ahead.clear()
        self.rewind()
        if contents.newest_s is not None:
            self.newest_s = max(contents.newest_s, self.newest_s or contents.newest_s)
        for boot in self.boots.values():
            boot.number = None
            boot.undated_on_card = 0
        for found in contents.boots:
            boot = self.boots.setdefault(found.boot_id, found)
            if boot is not found and not self._has_taken:
                boot.merge(found)
            boot.number = found.number
            boot.undated_on_card = found.undated_on_card
        for boot in self.boots.values():
            boot.known_on_card = boot.prepared = False
            boot.changes += 1
        if not self._has_taken:
            self._has_taken = True
            self.left_newest_s = contents.newest_s
        self._make_room()

    def number(self, moment: Moment) -> int:
        """Return what stands on the card for the boot of a block."""
        return NO_BOOT if moment.is_true else self.boots[moment.boot_id].number or NO_BOOT

    def note_committed(
        self, batch: list[Held], moments: list[Moment], retired: Iterable[int]
    ) -> None:
        """Note that the card has `batch`, as it was at `moments`, and `retired` no more."""
        for seq in retired:
            self.retired.pop(seq, None)
            self.on_card -= 1
        for held, moment in zip(batch, moments, strict=True):
            self.on_card += 1
            self.exhausted = False
            held.on_card = "" if moment.is_true else moment.boot_id
            if self.fresh.get(held.seq) is held:
                self._let_go(held)
            else:  # delivered while the card was busy
                self.retired[held.seq] = held.on_card

    def settle(self, boot: Boot, changes: int, erased: tuple[int, int] | None) -> None:
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
            self.rewind()
        if self.is_leftover(boot) and boot.undated_on_card == 0:
            self.boots.pop(boot.boot_id, None)

    def settle_without_card(self) -> None:
        """Let take effect what concerns nothing that lies on the card."""
        for boot in self.boots.values():
            if not boot.is_settled and not self.needs_card(boot) and boot.erased is None:
                if boot.shown is None and boot.place_after_s is not None:
                    boot.shown, boot.wish = boot.wish, None
                boot.known_on_card = boot.known is not None
                boot.changes_on_card = boot.changes

    def needs_card(self, boot: Boot, more_undated: int = 0) -> bool:
        """Tell whether a power cut must not take what is known of `boot`."""
        if boot.undated_on_card + more_undated > 0:
            return True
        return not self.is_leftover(boot) and boot.first_s is not None

    def judge(self, row: Row, boot: Boot | None) -> Parcel | None:
        """Return what is to be sent of a block on the card, None if nothing now or ever."""
        if row.seq in self.retired or row.seq in self._deferred:
            return None
        if row.boot == NO_BOOT or boot is None:
            return None if self._is_covered(row.unix_s) else Parcel(row.seq, row.unix_s, row.body)
        if boot.known is not None:
            return self._judge_known(row, boot, boot.known) if boot.known_on_card else None
        if boot.shown is None:
            return None
        if row.seq <= boot.shown_seq:
            if self._is_final(boot):
                self.retired[row.seq] = boot.boot_id
            return None
        stamp_s = boot.shown.stamp(row.monotonic_s)
        return Parcel(row.seq, stamp_s, row.body, provisional=True, boot_id=boot.boot_id)

    # --- rules

    def _renumber(self, first_seq: int) -> None:
        """Have the blocks in memory come after those of a file that was opened late."""
        held = list(self.fresh.values())
        self.fresh.clear()
        for seq, one in enumerate(held, start=first_seq):
            if one.seq in self._deferred:
                self._deferred.add(seq)
            one.seq = seq
            self.fresh[seq] = one
        self._next_seq = first_seq + len(held)

    def _judge_known(self, row: Row, boot: Boot, known: Dating) -> Parcel | None:
        stamp_s = known.stamp(row.monotonic_s)
        body: bytes | None = row.body
        is_late = known.before_s is not None and stamp_s >= known.before_s
        if is_late or stamp_s in boot.taken:
            with contextlib.suppress(ValueError):  # damaged: whoever sends it will say so
                body = without_slot(row.body)
            if body is None:
                self.retired[row.seq] = boot.boot_id
                return None
        elif self._is_covered(stamp_s):
            return None
        marked = known.aside_s is not None
        return Parcel(row.seq, stamp_s, body or b"", provisional=marked, boot_id=boot.boot_id)

    def _boot(self, boot_id: str) -> Boot:
        return self.boots.setdefault(boot_id, Boot(boot_id))

    def is_leftover(self, boot: Boot) -> bool:
        """Whether its time will never be known."""
        return boot.boot_id != self.boot_id and boot.known is None

    def _is_final(self, boot: Boot) -> bool:
        """Whether what `boot` shows now with its mark stays where it is."""
        if boot.known is not None:
            return boot.known.aside_s is not None and boot.first_s is None
        return self.is_leftover(boot) and self.boot_start_s is not None

    def _is_covered(self, stamp_s: int) -> bool:
        """Whether provisional points may lie at `stamp_s`, or are to be erased there."""
        return any(
            boot.covers(stamp_s) for boot in self.boots.values() if not self.is_leftover(boot)
        )

    def _begins(self, start_s: int) -> None:
        """Note when this boot began (Unix time)."""
        if self.boot_start_s is None:
            self.rewind()  # what is shown of earlier boots need no longer be kept
        self.boot_start_s = min(start_s, self.boot_start_s or start_s)

    def _make_room(self) -> None:
        """Have what earlier boots show past the begin of this one step aside for true slots."""
        if self.boot_start_s is None or self._interval_s is None:
            return
        for boot in filter(self.is_leftover, self.boots.values()):
            boot.step_aside(self.boot_start_s, self._interval_s)
            if boot.known is not None:
                self._look_again(boot.boot_id)

    def _look_again(self, boot_id: str) -> None:
        """Forget how the blocks of a boot were going to be sent."""
        for parcel in list(self.ahead.values()):
            if parcel.boot_id == boot_id:
                del self.ahead[parcel.seq]
        self.rewind()

    def rewind(self) -> None:
        """Look at every block on the card again."""
        self.cursor = -1
        self.exhausted = False
        self.rewound += 1

    def _hold(self, held: Held) -> None:
        self.fresh[held.seq] = held
        self._fresh_bytes += len(held.body) + BLOCK_OVERHEAD_BYTES

    def _let_go(self, held: Held) -> None:
        del self.fresh[held.seq]
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
            self._let_go(next(iter(self.fresh.values())))
            self.note_lost()

    def note_lost(self) -> None:
        """Count a block that is given up; the first one is said."""
        self.lost += 1
        self._lost_now += 1
        if self._lost_now == 1:
            log.error("the spool is full; the oldest blocks are lost from now on")

    def say_lost(self) -> None:
        """Say how many were given up, once it is over."""
        if self._lost_now:
            log.error("%d blocks were lost while the spool was full", self._lost_now)
            self._lost_now = 0

    def _live(self, most: int) -> tuple[Parcel, ...]:
        since_s = self._monotonic() - LIVE_S
        newest = itertools.takewhile(
            lambda held: held.put_s >= since_s, reversed(self.fresh.values())
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
        if not self.is_leftover(boot) or boot.undated_on_card == 0:
            return None
        ours = self.boots.get(self.boot_id)
        is_overdue = ours is not None and ours.wish is not None
        if self.boot_start_s is None and not is_overdue:
            return None  # the last slot in the database may be one of ours
        return Placement(boot.boot_id, self.boot_start_s)

    def _note_done(self, parcel: Parcel) -> None:
        held = parcel.held
        seq, boot_id = parcel.seq, parcel.boot_id
        if held is not None:
            if held.on_card is None:
                if self.fresh.get(held.seq) is held:
                    self._let_go(held)
                return
            seq, boot_id = held.seq, held.on_card
        self.ahead.pop(seq, None)
        boot = self.boots.get(boot_id)
        if parcel.provisional and boot is not None and not self._is_final(boot):
            boot.shown_seq = max(boot.shown_seq, seq)
        elif seq > self.dropped_to:
            self.retired[seq] = boot_id


def _dated(moment: Moment, known: Dating) -> Moment:
    return replace(moment, unix_s=known.stamp(moment.monotonic_s), is_true=True)


def _of_one_day(parcels: Iterator[Parcel], most: int) -> tuple[Parcel, ...]:
    """Return the first of `parcels` in time order, as many as are of the same day."""
    found: list[Parcel] = []
    for parcel in itertools.islice(parcels, most):
        if found and parcel.stamp_s // DAY_S != found[0].stamp_s // DAY_S:
            break
        found.append(parcel)
    return tuple(sorted(found, key=lambda parcel: (parcel.stamp_s, parcel.seq)))
