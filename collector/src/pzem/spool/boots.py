"""What the spool knows of the clock of each boot that it holds undated blocks of."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, field, replace
from typing import Any

from pzem.moment import slot_at
from pzem.spool.parcel import Erasure


@dataclass(frozen=True, slots=True)
class Dating:
    """How the monotonic clock of one boot translates into time."""

    offset_s: float
    interval_s: int
    before_s: int | None = None
    """First slot that was dated at once; from there on undated blocks give way."""
    aside_s: int | None = None
    """So many seconds beside its slot each block is stamped, and keeps its mark: what an
    earlier boot showed where true slots belong steps aside. None: this is the true time."""

    def stamp(self, monotonic_s: float) -> int:
        """Return the slot (Unix time) at `monotonic_s`."""
        return slot_at(monotonic_s + self.offset_s, self.interval_s) + (self.aside_s or 0)


@dataclass(slots=True)
class Boot:
    """One boot whose clock was not right from the start."""

    boot_id: str
    number: int | None = None
    """Its number on the card, once it is there."""
    known: Dating | None = None
    """The true time, when it has arrived."""
    shown: Dating | None = None
    """The provisional time at which undated blocks are shown."""
    first_s: int | None = None
    """From here to `last_s` lie the provisional stamps that may have been sent."""
    last_s: int | None = None
    measurements: set[str] = field(default_factory=set)
    """Which measurements have points at those stamps."""
    shown_seq: int = -1
    """Blocks up to this number were shown and acknowledged."""
    undated_on_card: int = 0
    changes: int = 0
    """Counts what the card has to be told before it takes effect."""
    changes_on_card: int = 0
    """How much of that it was told; `shown_seq` may lag behind."""
    known_on_card: bool = False
    """Whether the card knows the true time: only then it is used for what lies there."""
    wish: Dating | None = None
    """How its blocks are to be shown, not yet taken up."""
    place_after_s: int | None = None
    """The last slot in the database, as its blocks are to be shown after that."""
    erased: tuple[int, int] | None = None
    """Stamps that were erased while the card still has them as pending."""
    prepared: bool = False
    """Whether the true time may be used as soon as the card knows it."""
    look_again: bool = False
    """Whether its blocks on the card can be sent as soon as the card knows how."""
    taken: set[int] = field(default_factory=set)
    """Slots of which the card holds a block dated at once: that one is the true one."""

    def extend(self, stamp_s: int, measurements: set[str]) -> None:
        """Note a provisional stamp that is going to be sent."""
        self.first_s = stamp_s if self.first_s is None else min(self.first_s, stamp_s)
        self.last_s = stamp_s if self.last_s is None else max(self.last_s, stamp_s)
        self.measurements |= measurements
        self.changes += 1

    def merge(self, kept: Boot) -> None:
        """Take over what an earlier run of the same boot has kept, and this one did not know."""
        self.known = self.known or kept.known
        self.shown = self.shown or kept.shown
        self.shown_seq = max(self.shown_seq, kept.shown_seq)
        for stamp_s in (kept.first_s, kept.last_s):
            if stamp_s is not None:
                self.extend(stamp_s, kept.measurements)

    def erasure(self) -> Erasure | None:
        """Return what is to be erased before its true blocks may be sent."""
        if not self.known_on_card or self.first_s is None or self.last_s is None:
            return None
        names = tuple(sorted(self.measurements | {"collector"}))
        steps_aside = self.known is not None and self.known.aside_s is not None
        return Erasure(self.boot_id, self.first_s, self.last_s, names, steps_aside)

    def step_aside(self, boot_start_s: int, interval_s: int) -> None:
        """Make room for the true slots of a boot that began at `boot_start_s`.

        Between slots of 1 s there is no place; then what is shown there is given up.
        """
        if self.shown is None or self.shown.aside_s is not None:
            return
        if self.last_s is None or self.last_s < boot_start_s:
            return
        if interval_s > 1:
            self.known = replace(self.shown, aside_s=1)
        else:
            self.known = replace(self.shown, aside_s=0, before_s=boot_start_s)
        self.changes += 1

    def note_erased(self) -> None:
        """Take the shown stamps as erased; they stay covered until the card knows."""
        if self.first_s is not None and self.last_s is not None:
            self.erased = (self.first_s, self.last_s)
        self.first_s = self.last_s = self.shown = None
        self.measurements = set()
        self.changes += 1

    def covers(self, stamp_s: int) -> bool:
        """Tell whether a provisional point may lie at `stamp_s`, or its erasure come again."""
        spans = [self.erased, (self.first_s, self.last_s)]
        return any(
            span is not None
            and span[0] is not None
            and span[1] is not None
            and span[0] <= stamp_s <= span[1]
            for span in spans
        )

    @property
    def is_settled(self) -> bool:
        """Whether the card knows of it what memory does."""
        return self.changes == self.changes_on_card

    def to_json(self) -> str:
        """Return what has to outlive a power cut."""
        return json.dumps(
            {
                "known": _dating_out(self.known),
                "shown": _dating_out(self.shown),
                "first_s": self.first_s,
                "last_s": self.last_s,
                "measurements": sorted(self.measurements),
                "shown_seq": self.shown_seq,
            }
        )

    @classmethod
    def from_json(cls, number: int, boot_id: str, text: str) -> Boot:
        """Return what was kept; raises `ValueError`, `TypeError` or `KeyError` if it is damaged."""
        kept: dict[str, Any] = json.loads(text)
        known = _dating_in(kept["known"])
        return cls(
            boot_id=boot_id,
            number=number,
            known=known,
            shown=_dating_in(kept["shown"]),
            first_s=kept["first_s"],
            last_s=kept["last_s"],
            measurements=set(kept["measurements"]),
            shown_seq=int(kept["shown_seq"]),
        )


def _dating_out(dating: Dating | None) -> list[float | int | None] | None:
    return None if dating is None else list(astuple(dating))


def _dating_in(kept: list[Any] | None) -> Dating | None:
    return None if kept is None else Dating(float(kept[0]), int(kept[1]), *kept[2:])
