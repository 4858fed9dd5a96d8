"""How a block is kept, and what the spool hands to whoever delivers it."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from typing import Final

from pzem.moment import Moment
from pzem.spool.block import Block

PROVISIONAL_LINE: Final = "collector provisional=1"
"""Marks a slot whose time is not known yet; the measurement is the collector's own."""

_MEASUREMENT = re.compile(r"(?:\\.|[^\\, ])+", re.DOTALL)


def pack(block: Block) -> bytes:
    """Return the lines of `block`, compressed: 1.1 kB of three meters become 0.4 kB."""
    return zlib.compress(json.dumps([block.lines, block.dated], separators=(",", ":")).encode())


def without_slot(body: bytes) -> bytes | None:
    """Return the dated lines of `body` alone, packed again; None if it has none.

    Raises `ValueError` if it is damaged.
    """
    dated = unpack(body)[1]
    return zlib.compress(json.dumps([[], dated], separators=(",", ":")).encode()) if dated else None


def unpack(body: bytes) -> tuple[list[str], list[str]]:
    """Return (lines, dated lines) of what `pack` made; raises `ValueError` if it is damaged."""
    try:
        lines, dated = json.loads(zlib.decompress(body))
    except (zlib.error, TypeError) as error:
        raise ValueError(str(error)) from error
    return lines, dated


def measurement(line: str) -> str:
    """Return the name of the measurement that a line of the line protocol belongs to."""
    found = _MEASUREMENT.match(line)
    return re.sub(r"\\([, ])", r"\1", found[0]) if found else ""


@dataclass(eq=False, slots=True)
class Held:
    """A block in memory; the card may have it too by now. Equal to nothing but itself."""

    seq: int
    moment: Moment
    body: bytes
    put_s: float
    """When it was put, in seconds of the monotonic clock."""
    on_card: str | None = None
    """None: the card does not have it. Else its boot if it lies there undated, or nothing."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One block, ready to be sent."""

    seq: int
    """Blocks are numbered in the order in which they were put."""
    stamp_s: int
    body: bytes
    provisional: bool = False
    boot_id: str = ""
    """The boot of a block without a true time of its own."""
    held: Held | None = None
    """Where it comes from, if from memory."""

    def lines(self) -> list[str]:
        """Return the lines with their times; raises `ValueError` if the body is damaged."""
        lines, dated = unpack(self.body)
        if self.provisional:
            lines = [*lines, PROVISIONAL_LINE]
        return [*(f"{line} {self.stamp_s}" for line in lines), *dated]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What goes out in one request: the parcels in time order, all of one day (UTC).

    Each shard of the database begins and ends with a day. So a request goes to one
    shard, and what the server says of a part of it holds for all of it.
    """

    parcels: tuple[Parcel, ...]
    live: bool
    """Whether this is what was read just now, rather than a backlog."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was shown provisionally and is to go: from the first stamp to the last."""

    boot_id: str
    first_s: int
    last_s: int
    measurements: tuple[str, ...]
    steps_aside: bool = False
    """Whether it is shown again beside true slots, which then may be there already: where one
    is, nothing may be erased."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A question: after which stored slot undated blocks are to be shown.

    The answer is the stamp of the last slot in the database before `before_s`, so that a
    provisional point never takes the place of a true one.
    """

    boot_id: str
    before_s: int | None
    """None: of all. For blocks of an earlier boot it is where the present one began."""
