"""Following what is seen slot by slot, without being misled by a flicker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pzem.house.thresholds import DARK_S, MISSED_SLOTS
from pzem.moment import Moment

CONFIRM_S: Final = 10.0
"""How long something new must be seen before it counts, from the first slot on: a flicker
and a reply that comes late are over by then."""
UNSEEN_S: Final = 60.0
"""What was seen longer ago than this does not count towards `CONFIRM_S` any more."""


@dataclass(slots=True)
class Change:
    """Something new is certain."""

    former_seen: Moment | None
    """The last slot in which it was otherwise; None: nothing was known before."""
    former: object
    since: Moment

    @property
    def spans_boots(self) -> bool:
        """Tell whether the machine started anew in between."""
        return self.former_seen is not None and self.former_seen.boot_id != self.since.boot_id

    def is_vague(self, interval_s: int) -> bool:
        """Tell whether it may have come about well before it was seen."""
        return self.former_seen is None or is_long(self.former_seen, self.since, interval_s)


@dataclass(slots=True)
class Track:
    """Follows one thing that is seen slot by slot, and is not misled by a flicker."""

    value: bool | str | None = None
    seen: Moment | None = None
    """The last slot in which it was so."""
    candidate: bool | str | None = None
    since: Moment | None = None
    """The first slot that showed the candidate."""
    last: Moment | None = None

    def see(
        self, value: bool | str | None, moment: Moment, since: Moment | None = None
    ) -> Change | None:
        """Take what is seen now (None: nothing); return the change once it is certain.

        `since`: the slot from which on that holds, if what it shows could be understood
        only now.
        """
        if value is None:
            return None
        if value == self.value:
            self._settle(value, moment)
            return None
        if (
            value != self.candidate
            or self.since is None
            or self.last is None
            or apart(self.last, moment) > UNSEEN_S
        ):
            self.candidate, self.since = value, since or moment
        self.last = moment
        if apart(self.since, moment) < CONFIRM_S:
            return None
        change = Change(self.seen, self.value, self.since)
        self._settle(value, moment)
        return change

    def rewrite(self, changed: Callable[[Moment], Moment]) -> None:
        """Replace each moment by what `changed` makes of it."""
        self.seen = changed(self.seen) if self.seen is not None else None
        self.since = changed(self.since) if self.since is not None else None
        self.last = changed(self.last) if self.last is not None else None

    def kept(self) -> list[Any]:
        """Return what is certain as JSON keeps it."""
        return [self.value, moment_kept(self.seen) if self.seen is not None else None]

    @classmethod
    def of(cls, kept: list[Any]) -> Track:
        """Return the track that JSON kept."""
        value, seen = kept
        return cls(value, moment_of(seen) if seen is not None else None)

    def _settle(self, value: bool | str, moment: Moment) -> None:
        self.value, self.seen = value, moment
        self.candidate = self.since = self.last = None


def apart(one: Moment, other: Moment) -> float:
    """Return the seconds from `one` to `other`; infinite where no clock spans both."""
    if one.boot_id == other.boot_id:
        return other.monotonic_s - one.monotonic_s
    return float("inf")


def is_long(one: Moment, other: Moment, interval_s: int) -> bool:
    """Tell whether more slots are missing between the two than fall out now and then.

    Silence that has to last until it is believed is no gap.
    """
    return apart(one, other) > MISSED_SLOTS * interval_s + DARK_S


def moment_kept(moment: Moment) -> list[Any]:
    """Return a moment as JSON keeps it."""
    return [moment.unix_s, moment.monotonic_s, moment.boot_id, moment.is_true]


def moment_of(kept: Any) -> Moment:  # noqa: ANN401 - whatever JSON holds
    """Return the moment that JSON kept; raises `TypeError` or `ValueError`."""
    unix_s, monotonic_s, boot_id, is_true = kept
    return Moment(int(unix_s), float(monotonic_s), str(boot_id), bool(is_true))
