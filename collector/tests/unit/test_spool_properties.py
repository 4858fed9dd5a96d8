"""Whatever happens in whatever order: nothing is lost, nothing invented, nothing out of place."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pzem.moment import Moment
from pzem.spool import COMMIT_S, Block, Delivery, Erasure, Placement, Spool

SLOT_S = 5
EPOCH = 1_800_014_400
LINE = re.compile(r"(\w+) (\w+)=([\d.]+) (\d+)")


@dataclass
class Taken:
    """A block that was put, and what is known of it."""

    number: int
    true_s: int
    boot: str
    put_s: float


class Database:
    """In the place of InfluxDB: points of the same series and time merge field by field."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, int], dict[str, float]] = {}

    def write(self, lines: list[str]) -> None:
        for line in lines:
            found = LINE.fullmatch(line)
            assert found is not None
            name, field, value, time = found.groups()
            self.points.setdefault((name, int(time)), {})[field] = float(value)

    def erase(self, erasure: Erasure) -> None:
        for name, time in list(self.points):
            if name in erasure.measurements and erasure.first_s <= time <= erasure.last_s:
                del self.points[name, time]

    def last(self, before_s: int | None) -> int | None:
        times = [
            time
            for name, time in self.points
            if name == "meter" and (before_s is None or time < before_s)
        ]
        return max(times, default=None)


class SpoolMachine(RuleBasedStateMachine):
    """Slots, outages, crashes and boots in any order, against what ought to be there.

    The clock of a boot may begin some time behind the true one, as that of a Pi does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="pzem-spool-"))
        self.folder = self.root / "0"
        self.folder.mkdir()
        self.now_s = EPOCH
        self.database = Database()
        self.taken: list[Taken] = []
        self.lost: set[int] = set()
        self.known: set[str] = set()
        self.boots = 0
        self.copies = 0
        self.kept_s = 0.0
        self.boot(behind_s=0)

    # --- the machine

    def boot(self, behind_s: int) -> None:
        self.boots += 1
        self.boot_id = f"boot{self.boots}"
        self.booted_s = self.now_s - 100
        self.behind_s = behind_s
        self.is_known = False
        self.open()

    def open(self) -> None:
        self.spool = Spool(
            self.folder,
            self.boot_id,
            50_000_000,
            monotonic=lambda: float(self.now_s - self.booted_s),
            background=False,
        )
        self.kept_s = self.now_s

    def teardown(self) -> None:
        file = self.spool._file
        assert file is not None
        file.close()
        shutil.rmtree(self.root)

    # --- what happens

    @rule(count=st.integers(1, 12), delivering=st.booleans())
    def slots(self, count: int, *, delivering: bool) -> None:
        for _ in range(count):
            self.now_s += SLOT_S
            number = len(self.taken)
            monotonic_s = float(self.now_s - self.booted_s)
            shown_s = self.now_s if self.is_known else self.now_s - self.behind_s
            moment = Moment(shown_s, monotonic_s, self.boot_id, is_true=self.is_known)
            self.taken.append(Taken(number, self.now_s, self.boot_id, self.now_s))
            self.spool.put(Block(moment, (f"meter watts={number}.0",)))
            if delivering:
                self.deliver(most=500, steps=3)
            self.keep()

    @rule()
    def keep(self) -> None:
        self.spool.keep()
        self.kept_s = self.now_s
        if self.is_known:
            self.known.add(self.boot_id)

    @rule(most=st.integers(1, 500), steps=st.integers(1, 8))
    def deliver(self, most: int, steps: int) -> None:
        for _ in range(steps):
            self.step(most)

    def step(self, most: int) -> bool:
        todo = self.spool.next(most)
        if isinstance(todo, Delivery):
            for parcel in todo.parcels:
                self.database.write(parcel.lines())
            stamps = [parcel.stamp_s for parcel in todo.parcels]
            assert stamps == sorted(stamps)
            assert len(stamps) <= most
            self.spool.done(todo)
        elif isinstance(todo, Erasure):
            self.database.erase(todo)
            self.spool.erased(todo)
        elif isinstance(todo, Placement):
            self.spool.placed(todo, self.database.last(todo.before_s))
        return todo is not None

    @rule(most=st.integers(1, 500))
    def send_but_hear_nothing(self, most: int) -> None:
        """InfluxDB has taken it, and the answer is lost."""
        todo = self.spool.next(most)
        if isinstance(todo, Delivery):
            for parcel in todo.parcels:
                self.database.write(parcel.lines())
        elif isinstance(todo, Erasure):
            self.database.erase(todo)

    @rule()
    def defer(self) -> None:
        todo = self.spool.next(1)
        if isinstance(todo, Delivery):
            self.spool.defer(todo)

    @precondition(lambda self: not self.is_known)
    @rule()
    def time_arrives(self) -> None:
        self.is_known = True
        self.spool.time_is_known(self.boot_id, float(self.booted_s), SLOT_S, self.now_s + SLOT_S)

    @precondition(lambda self: not self.is_known)
    @rule()
    def show(self) -> None:
        self.spool.show_undated(float(self.booted_s - self.behind_s), SLOT_S)

    @rule()
    def crash_of_the_process(self) -> None:
        self.lose()
        self.open()
        self.tell_again()

    @rule(off_s=st.integers(0, 200), behind_s=st.integers(0, 100))
    def power_cut(self, off_s: int, behind_s: int) -> None:
        self.lose()
        self.now_s += off_s * SLOT_S
        self.boot(behind_s * SLOT_S)

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.open()
        self.tell_again()

    def tell_again(self) -> None:
        if self.is_known:
            self.spool.time_is_known(
                self.boot_id, float(self.booted_s), SLOT_S, self.now_s + SLOT_S
            )

    def lose(self) -> None:
        """Go on with a copy of the files: what was in memory is gone."""
        for one in self.taken:
            if one.boot == self.boot_id and one.put_s > self.kept_s - COMMIT_S:
                self.lost.add(one.number)  # may be lost; it need not
        self.copies += 1
        copy = self.root / str(self.copies)
        shutil.copytree(self.folder, copy)
        file = self.spool._file
        assert file is not None
        file.close()
        self.folder = copy

    # --- what must hold

    @invariant()
    def nothing_is_invented(self) -> None:
        for (name, time), fields in self.database.points.items():
            if name == "meter":
                one = self.taken[int(fields["watts"])]
                is_marked = ("collector", time) in self.database.points
                assert one.true_s == time or is_marked

    @rule()
    def all_is_well_in_the_end(self) -> None:
        """The time arrives, the database takes everything: what is not lost is there."""
        if not self.is_known:
            self.time_arrives()
        self.now_s += 1000
        self.keep()
        for _ in range(10_000):
            self.spool.keep()
            if not self.step(500):
                break
        self.spool.keep()
        assert self.spool.depth().blocks == 0
        assert self.spool.depth().lost == 0
        assert list(self.folder.iterdir()) == []
        for one in self.taken:
            if one.boot in self.known:
                there = self.database.points.get(("meter", one.true_s))
                assert there == {"watts": one.number} or one.number in self.lost
                is_marked = ("collector", one.true_s) in self.database.points
                assert not is_marked or one.number in self.lost
        seen = {int(f["watts"]) for (name, _), f in self.database.points.items() if name == "meter"}
        never = {one.number for one in self.taken} - self.lost
        assert never <= seen
        true = [
            time
            for (name, time), fields in self.database.points.items()
            if name == "meter" and ("collector", time) not in self.database.points
        ]
        assert len(true) == len(set(true))


SpoolMachine.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSpoolMachine = SpoolMachine.TestCase
