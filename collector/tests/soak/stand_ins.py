"""Stand-ins for the spool, the writer, lifetime energy and the loop that wires them.

They keep to the contracts of the real parts as far as the account can see, so that the
world, the plan and the account could be tried out before those exist. They prove nothing of
the real parts and go when `wiring` uses these.
"""

from __future__ import annotations

import contextlib
import json
import math
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from pzem.clock import Clock
from pzem.meter import Outcome, Silent
from pzem.points import meter_fields
from pzem.registers import Reading
from pzem.schedule import slots
from pzem.settling import Settling
from pzem.spool import Block
from pzem.timekeeping import Timekeeper
from soak.world import WorldPorts

COMMIT_S = 30.0


def grid(seconds: float, interval_s: int) -> int:
    return math.floor(seconds / interval_s + 0.5) * interval_s


class StandInSpool:
    """Blocks in memory, copied whole to a file each 30 s if any of them has waited so long."""

    def __init__(
        self,
        folder: Path,
        boot_id: str,
        max_bytes: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = folder / "spool.pickle"
        self._boot_id = boot_id
        self._monotonic = monotonic
        self.blocks: list[Block] = []
        self.stamps: dict[int, int] = {}
        """Times of undated blocks that are known by now, by id of the block."""
        self.shown: set[int] = set()
        self.erasures: list[tuple[int, int]] = []
        self._shown_stamps: list[int] = []
        self._show: tuple[float, int] | None = None
        self._dirty_since: float | None = None
        self.live: Block | None = None
        with contextlib.suppress(OSError):
            kept = pickle.loads(self._file.read_bytes())
            self.blocks, stamps, shown, self.erasures, self._shown_stamps = kept
            self.stamps = {id(self.blocks[n]): stamp for n, stamp in stamps.items()}
            self.shown = {id(self.blocks[n]) for n in shown}

    def put(self, block: Block) -> None:
        self.blocks.append(block)
        self.live = block
        if self._dirty_since is None:
            self._dirty_since = self._monotonic()
        self.commit_if_due()

    def commit_if_due(self, *, now: bool = False) -> None:
        since = self._dirty_since
        if since is None or not (now or self._monotonic() - since >= COMMIT_S - 5):
            return
        numbers = {id(block): number for number, block in enumerate(self.blocks)}
        stamps = {numbers[i]: s for i, s in self.stamps.items() if i in numbers}
        shown = [numbers[i] for i in self.shown if i in numbers]
        kept = (self.blocks, stamps, shown, self.erasures, self._shown_stamps)
        fresh = self._file.with_suffix(".new")
        with contextlib.suppress(OSError):
            fresh.write_bytes(pickle.dumps(kept))
            fresh.replace(self._file)
            self._dirty_since = None

    def last_true(self) -> int:
        dated = (self.stamps.get(id(b)) or b.moment.unix_s * b.moment.is_true for b in self.blocks)
        return max(dated, default=0)

    def time_is_known(
        self, boot_id: str, offset_s: float, interval_s: int, before_unix_s: int
    ) -> None:
        taken = {b.moment.unix_s for b in self.blocks if b.moment.is_true}
        for block in list(self.blocks):
            if block.moment.is_true or block.moment.boot_id != boot_id:
                continue
            stamp = grid(block.moment.monotonic_s + offset_s, interval_s)
            if stamp >= before_unix_s or stamp in taken:
                self.done(block)
            else:
                self.stamps[id(block)] = stamp
        if self._shown_stamps:
            self.erasures.append((min(self._shown_stamps), max(self._shown_stamps)))
        self._shown_stamps = []
        self._show = None
        self.commit_if_due(now=True)

    def show_undated(self, offset_s: float, interval_s: int) -> None:
        self._show = offset_s, interval_s

    def next(self) -> tuple[list[Block], list[str]] | None:
        if self.live is not None and (lines := self._lines(self.live)):
            return [self.live], lines
        ready = [(block, lines) for block in self.blocks if (lines := self._lines(block))][:500]
        if not ready:
            return None
        return [block for block, _ in ready], [line for _, lines in ready for line in lines]

    def _lines(self, block: Block) -> list[str]:
        moment = block.moment
        if moment.is_true:
            return list(block.stamped())
        if id(block) in self.stamps:
            return [] if self.erasures else list(block.stamped(self.stamps[id(block)]))
        if self._show is None or moment.boot_id != self._boot_id or id(block) in self.shown:
            return []
        stamp = grid(moment.monotonic_s + self._show[0], self._show[1])
        self._shown_stamps.append(stamp)
        self._dirty_since = self._dirty_since or self._monotonic()
        self.commit_if_due(now=True)
        return [*block.stamped(stamp), f"collector provisional=1 {stamp}"]

    def acknowledged(self, blocks: list[Block]) -> None:
        for block in blocks:
            if block is self.live:
                self.live = None
            if block.moment.is_true or id(block) in self.stamps:
                self.done(block)
            else:
                self.shown.add(id(block))

    def done(self, block: Block) -> None:
        self.blocks.remove(block)
        self.stamps.pop(id(block), None)
        if not self.blocks:
            self._file.unlink(missing_ok=True)
            self._dirty_since = None
        else:
            self._dirty_since = self._dirty_since or self._monotonic()

    def place(self, before_unix_s: int, last_stored: Callable[[int], int | None]) -> None:
        """Give the leftovers of an earlier boot, which never learnt the time, a place."""
        old = [
            block
            for block in self.blocks
            if not block.moment.is_true
            and block.moment.boot_id != self._boot_id
            and id(block) not in self.stamps
        ]
        boots = dict.fromkeys(block.moment.boot_id for block in old)
        for boot in boots:
            mine = [block for block in old if block.moment.boot_id == boot]
            for block in [block for block in mine if id(block) in self.shown]:
                self.done(block)
                mine.remove(block)
            if not mine:
                continue
            last = max(last_stored(before_unix_s) or 0, self._last_true_of_others(before_unix_s))
            first_s = mine[0].moment.monotonic_s
            for block in mine:
                base = last + 5
                self.stamps[id(block)] = base + grid(block.moment.monotonic_s - first_s, 5)
                number = self.blocks.index(block)
                marked = Block(block.moment, (*block.lines, "collector provisional=1"))
                self.stamps[id(marked)] = self.stamps.pop(id(block))
                self.blocks[number] = marked

    def _last_true_of_others(self, before_unix_s: int) -> int:
        dated = (self.stamps.get(id(b)) or b.moment.unix_s * b.moment.is_true for b in self.blocks)
        return max((stamp for stamp in dated if stamp < before_unix_s), default=0)

    def close(self) -> None:
        if self.blocks:
            self._dirty_since = self._dirty_since or 0.0
            self.commit_if_due(now=True)


class StandInWriter:
    """One request at a time, when asked."""

    def __init__(self, spool: StandInSpool, url: str, database: str) -> None:
        self._spool = spool
        self._url = url
        self._database = database
        self.before_request: Callable[[], None] = lambda: None
        self.after_request: Callable[[], None] = lambda: None
        self._session = requests.Session()
        self._session.trust_env = False

    def step(self) -> bool:
        """Do one round; return whether another one may follow at once."""
        try:
            return self._step()
        except requests.RequestException:
            self._spool.commit_if_due()
            return False

    def _step(self) -> bool:
        spool = self._spool
        if spool.erasures:
            first, last = spool.erasures[0]
            for name in ("meter", "meter_state", "collector"):
                self.query(f"DELETE FROM {name} WHERE time >= {first}s AND time <= {last}s")
            spool.erasures.pop(0)
        found = spool.next()
        if found is None:
            spool.commit_if_due()
            return False
        blocks, lines = found
        self.before_request()
        answer = self._session.post(
            f"{self._url}/write",
            params={"db": self._database, "precision": "s"},
            data="\n".join(lines).encode(),
            timeout=10,
        )
        if answer.status_code != 204:
            spool.commit_if_due()
            return False
        self.after_request()
        spool.acknowledged(blocks)
        spool.commit_if_due()
        return True

    def query(self, text: str) -> list[Any]:
        answer = self._session.post(
            f"{self._url}/query",
            params={"q": text, "db": self._database, "epoch": "s"},
            timeout=10,
        ).json()
        result = answer["results"][0]
        if "error" in result:
            raise requests.RequestException(result["error"])
        return [row for series in result.get("series", []) for row in series["values"]]

    def last_stored(self, before_unix_s: int) -> int | None:
        rows = self.query(f"SELECT last(cycle_s) FROM collector WHERE time < {before_unix_s}s")
        return int(rows[0][0]) if rows else None

    def close(self) -> None:
        self._session.close()


class StandInLifetime:
    """Register plus offset; the offset is kept with each change."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept: dict[str, list[float]] = {}
        with contextlib.suppress(OSError, ValueError):
            self._kept = json.loads(file.read_text())

    def take(self, name: str, energy_wh: float) -> float:
        offset_wh, last_wh = self._kept.get(name, [0.0, energy_wh])
        if energy_wh < last_wh:
            offset_wh += last_wh
        self._kept[name] = [offset_wh, energy_wh]
        return offset_wh + energy_wh

    def save(self) -> None:
        with contextlib.suppress(OSError):
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(self._kept))
            fresh.replace(self._file)


class StandInCollector:
    """The loop over the slots."""

    def __init__(
        self,
        clock: Clock,
        boot_id: str,
        ports: WorldPorts,
        spool: StandInSpool,
        writer: StandInWriter,
        lifetime: StandInLifetime,
    ) -> None:
        self._clock = clock
        self._boot_id = boot_id
        self._ports = ports
        self._spool = spool
        self._writer = writer
        self._lifetime = lifetime
        self._settling = Settling(5)
        self._placed = False

    def run(self) -> None:
        keeper = Timekeeper("wait", self._clock, self._boot_id)
        shown = False
        for slot in slots(5, self._clock):
            moment = keeper.stamp(slot)
            if keeper.found is not None:
                found = keeper.found
                self._spool.time_is_known(self._boot_id, found.offset_s, 5, found.first_unix_s)
            if not shown and keeper.is_overdue(slot):
                with contextlib.suppress(requests.RequestException):
                    last = max(self._writer.last_stored(2**32) or 0, self._spool.last_true())
                    first = min(b.moment.unix_s for b in self._spool.blocks if not b.moment.is_true)
                    shift = max(0, last + 5 - first)
                    self._spool.show_undated(slot.unix_s - slot.monotonic_s + shift, 5)
                    shown = True
            if keeper.is_true and not self._placed:
                with contextlib.suppress(requests.RequestException):
                    self._spool.place(int(slot.unix_s - slot.monotonic_s), self._writer.last_stored)
                    self._placed = True
            lines = ["collector cycle_s=0.15"]
            for name, outcome in self._ports.poll(slot.deadline).items():
                lines += self._lines(name, self._settling.judge(name, outcome, slot.monotonic_s))
            self._lifetime.save()
            self._spool.put(Block(moment, tuple(lines)))

    def _lines(self, name: str, outcome: Outcome) -> list[str]:
        if isinstance(outcome, Reading):
            fields = meter_fields(outcome)
            fields["lifetime_wh"] = self._lifetime.take(name, outcome.energy_wh)
            text = ",".join(f"{key}={value}" for key, value in fields.items())
            return [f"meter,meter={name} {text}", f"meter_state,meter={name} state=0"]
        state = 1 if isinstance(outcome, Silent) else 2
        return [f'meter_state,meter={name} state={state},reason="{outcome.reason}"']
