"""The spool on real files: what it keeps, in which order it gives it out, and when."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pzem.moment import Moment, slot_at
from pzem.spool import Block, Delivery, Erasure, Placement, Spool, keeper, memory
from pzem.spool import spool as module
from pzem.spool.file import Contents, Row, SpoolFile
from pzem.spool.parcel import measurement, unpack

NOON = 1_800_014_400
"""A slot at the beginning of an hour, some time before midnight (UTC)."""
ROOM = 2_000_000


class Bench:
    """A spool without a thread, a clock to move, and a database that is a list."""

    def __init__(self, folder: Path | None, boot: str = "boot", room: int = ROOM) -> None:
        self.folder = folder
        self.room = room
        self.now_s = 1000.0
        self.stored: list[str] = []
        self.open(boot)

    def open(self, boot: str) -> None:
        self.boot = boot
        self.spool = Spool(
            self.folder, boot, self.room, monotonic=lambda: self.now_s, background=False
        )

    def crash(self, boot: str = "boot") -> None:
        """Go on with a copy of the files as they are at this moment, as after kill -9."""
        assert self.folder is not None
        copy = self.folder.with_name(f"{self.folder.name}x")
        shutil.copytree(self.folder, copy)
        assert self.spool._file is not None
        self.spool._file.close()
        self.folder = copy
        self.open(boot)

    def put(self, number: int, *dated: str, is_true: bool = True) -> None:
        moment = Moment(NOON + 5 * number, self.now_s, self.boot, is_true=is_true)
        self.spool.put(Block(moment, (f"meter,meter=a watts={number}.0",), dated))

    def wait(self, seconds: float = 30.0) -> None:
        self.now_s += seconds
        self.spool.keep()

    def fill(self, count: int, first: int = 0, *, is_true: bool = True) -> None:
        """Put blocks, one each 5 s, with the keeper at work."""
        for number in range(first, first + count):
            self.put(number, is_true=is_true)
            self.wait(5.0)

    def show(self, offset_s: float, last_s: int | None = None) -> None:
        """Have undated blocks shown, with `last_s` the last slot in the database."""
        self.spool.show_undated(offset_s, 5)
        assert self.spool.next(500) == Placement(self.boot, None)
        self.spool.placed(Placement(self.boot, None), last_s)

    def deliver(self, most: int = 500, *, special: bool = True) -> list[Delivery]:
        """Take all that there is; return how it came."""
        came: list[Delivery] = []
        for _ in range(10_000):
            self.spool.keep()
            todo = self.spool.next(most, special=special)
            if todo is None:
                return came
            assert isinstance(todo, Delivery)
            came.append(todo)
            self.stored += [line for parcel in todo.parcels for line in parcel.lines()]
            self.spool.done(todo)
        raise AssertionError("it never ends")

    @property
    def watts(self) -> list[int]:
        return [int(line.split("watts=")[1].split(".")[0]) for line in self.stored]

    @property
    def files(self) -> list[str]:
        assert self.folder is not None
        return sorted(path.name for path in self.folder.iterdir())

    def blocks(self) -> int:
        return self.spool.depth().blocks


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder = tmp_path / "state"
    folder.mkdir()
    return Bench(folder)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


class TestWhileTheDatabaseAnswers:
    def test_the_card_sees_nothing(self, bench: Bench) -> None:
        for number in range(100):
            bench.put(number)
            bench.deliver()
            bench.wait(5.0)
        assert bench.watts == list(range(100))
        assert bench.files == []

    def test_a_block_is_stamped_with_its_slot_and_records_with_their_own(
        self, bench: Bench
    ) -> None:
        bench.put(1, "event,kind=outage seconds=5.0 1700000000")
        bench.deliver()
        assert bench.stored == [
            f"meter,meter=a watts=1.0 {NOON + 5}",
            "event,kind=outage seconds=5.0 1700000000",
        ]


class TestWhileItDoesNot:
    def test_a_block_is_on_the_card_within_half_a_minute(self, bench: Bench) -> None:
        for number in range(60):
            bench.put(number)
            bench.wait(5.0)
            missing = set(range(number + 1)) - {
                int(unpack(row[0])[0][0].split("watts=")[1].split(".")[0]) for row in _rows(bench)
            }
            assert all(number - lost < 6 for lost in missing)

    def test_there_is_one_commit_each_half_minute(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commits: list[float] = []
        genuine = SpoolFile.transaction

        def counted(file: SpoolFile) -> AbstractContextManager[None]:
            commits.append(bench.now_s)
            return genuine(file)

        monkeypatch.setattr(SpoolFile, "transaction", counted)
        bench.fill(61)
        del commits[0]  # the file is made
        assert commits == [1000.0 + 30.0 * number for number in range(1, 11)]

    def test_what_is_left_goes_to_the_card_at_the_end(self, bench: Bench) -> None:
        bench.fill(3)
        bench.spool.close()
        bench.open("next boot")
        assert bench.blocks() == 3
        bench.deliver()
        assert bench.watts == [0, 1, 2]

    def test_the_newest_come_first_and_then_the_backlog_in_order(self, bench: Bench) -> None:
        bench.fill(100)
        bench.fill(3, 100)
        first, *rest = bench.deliver(most=40)
        assert first.live
        assert not any(delivery.live for delivery in rest)
        live = [parcel.stamp_s for parcel in first.parcels]
        backlog = [parcel.stamp_s for delivery in rest for parcel in delivery.parcels]
        assert live == sorted(live)
        assert live[-1] == NOON + 5 * 102
        assert backlog == sorted(backlog)
        assert sorted(bench.watts) == list(range(103))
        assert max(len(delivery.parcels) for delivery in rest) == 40

    def test_what_comes_while_a_backlog_is_delivered_overtakes_it(self, bench: Bench) -> None:
        bench.fill(50)
        bench.wait(40.0)
        todo = bench.spool.next(10)
        assert isinstance(todo, Delivery)
        assert not todo.live
        bench.spool.done(todo)
        bench.put(50)
        todo = bench.spool.next(10)
        assert isinstance(todo, Delivery)
        assert [parcel.stamp_s for parcel in todo.parcels] == [NOON + 250]

    def test_the_file_goes_when_it_is_empty(self, bench: Bench) -> None:
        bench.fill(20)
        assert "spool.sqlite3" in bench.files
        assert bench.spool.depth().bytes > 0
        bench.deliver()
        bench.spool.keep()
        assert bench.files == []
        assert bench.spool.depth().bytes == 0

    def test_a_request_goes_to_one_day(self, bench: Bench) -> None:
        midnight = (NOON // 86_400 + 1) * 86_400
        first = (midnight - NOON) // 5 - 10
        bench.fill(20, first)
        bench.spool.close()
        bench.open("next boot")
        spans = [
            (delivery.parcels[0].stamp_s - midnight, delivery.parcels[-1].stamp_s - midnight)
            for delivery in bench.deliver()
        ]
        assert spans == [(-50, -5), (0, 45)]

    def test_what_was_delivered_while_the_card_was_busy_is_not_kept(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        genuine = SpoolFile.add

        def deliver_meanwhile(file: object, rows: object) -> None:
            genuine(file, rows)  # type: ignore[arg-type]
            todo = bench.spool.next(500)
            assert isinstance(todo, Delivery)
            bench.spool.done(todo)

        bench.put(0)
        with monkeypatch.context() as patch:
            patch.setattr(SpoolFile, "add", deliver_meanwhile)
            bench.wait()
        assert bench.spool.depth().trouble is None
        assert bench.blocks() == 0
        assert bench.files != []
        bench.spool.keep()
        assert bench.files == []

    def test_what_was_in_flight_while_it_went_to_the_card_is_done(self, bench: Bench) -> None:
        bench.put(0)
        todo = bench.spool.next(500)
        assert isinstance(todo, Delivery)
        bench.wait()
        assert "spool.sqlite3" in bench.files
        bench.spool.done(todo)
        bench.spool.keep()
        assert bench.deliver() == []
        assert bench.files == []

    def test_a_block_that_is_deferred_lets_others_go_first(self, bench: Bench) -> None:
        bench.fill(10)
        bench.wait(40.0)
        todo = bench.spool.next(1)
        assert isinstance(todo, Delivery)
        bench.spool.defer(todo)
        bench.deliver()
        assert bench.watts == list(range(1, 10))
        assert bench.blocks() == 1
        bench.wait(memory.DEFER_S)
        bench.deliver()
        assert bench.watts[-1] == 0

    def test_thirty_days_of_three_meters_fit(self, bench: Bench) -> None:
        """Measured on some blocks of real size, and extrapolated."""
        values = iter(range(10**9))
        lines = [
            f"meter,meter={name} alarm=0.0,amps={next(values) * 7919 % 40000 / 1000},energy_wh="
            f"{next(values)}.0,hertz=60.0,lifetime_wh={next(values)}.0,power_factor=0.97,"
            f"volt_amps={next(values) * 104729 % 4000000 / 1000},volts=120.{next(values) % 10},"
            f"watts={next(values) * 15485863 % 40000 / 10}"
            for name in ("mainA", "mainB", "gen")
        ]
        lines += [f"alarm_state,kind=kind_{number} active=0.0" for number in range(20)]
        assert 1000 < sum(map(len, lines)) < 1400, sum(map(len, lines))
        for number in range(2000):
            fresh = [line.replace("120.", f"{number}.") for line in lines]
            moment = Moment(NOON + 5 * number, bench.now_s, "boot")
            bench.spool.put(Block(moment, tuple(fresh)))
        bench.wait()
        assert bench.spool.depth().bytes / 2000 * 17_280 * 30 < 512e6


class TestWithoutRoom:
    def test_the_file_is_bounded_and_the_oldest_go_loudly_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench = Bench(tmp_path, room=1_000_000)
        largest = 0
        for number in range(4000):
            noise = os.urandom(300).hex()
            moment = Moment(NOON + 5 * number, bench.now_s, "boot")
            bench.spool.put(Block(moment, (f'meter watts={number}.0,x="{noise}"',)))
            bench.wait(5.0)
            largest = max(largest, sum(path.stat().st_size for path in tmp_path.iterdir()))
        assert 600_000 < largest <= 1_000_000
        assert bench.spool.depth().bytes <= 1_000_000
        lost = bench.spool.depth().lost
        assert said(caplog) == ["the spool is full; the oldest blocks are lost from now on"]
        bench.deliver()
        assert sorted(bench.watts) == list(range(lost, 4000))
        assert said(caplog)[1:] == [f"{lost} blocks were lost while the spool was full"]

    def test_in_memory_it_is_bounded_too(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memory, "MEMORY_BYTES", 20_000)
        bench = Bench(None)
        bench.fill(100)
        lost = bench.spool.depth().lost
        assert 0 < lost < 100
        assert said(caplog) == ["the spool is full; the oldest blocks are lost from now on"]
        bench.deliver()
        assert sorted(bench.watts) == list(range(lost, 100))

    def test_in_memory_the_backlog_keeps_its_order(self) -> None:
        bench = Bench(None)
        bench.fill(100)
        came = bench.deliver(most=10)
        backlog = [p.stamp_s for delivery in came if not delivery.live for p in delivery.parcels]
        assert len(backlog) > 80
        assert backlog == sorted(backlog)

    def test_what_never_was_on_the_card_is_said_to_be_lost_at_the_end(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench = Bench(None)
        bench.fill(3)
        bench.spool.close()
        assert said(caplog) == ["3 blocks could not be kept on the card and are lost"]


class TestACardThatFails:
    @pytest.fixture
    def broken(self, bench: Bench) -> Bench:
        """Have a folder in the place of the file: whatever is done with it fails."""
        assert bench.folder is not None
        (bench.folder / "spool.sqlite3").mkdir()
        return bench

    def test_it_keeps_to_memory_says_so_once_and_tries_again(
        self, broken: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert broken.folder is not None
        with caplog.at_level(logging.INFO):
            broken.fill(100)
            assert len(said(caplog)) == 1
            assert said(caplog)[0].startswith("the spool keeps to memory for now: ")
            trouble = broken.spool.depth().trouble
            assert trouble is not None
            assert broken.blocks() == 100
            (broken.folder / "spool.sqlite3").rmdir()
            broken.wait(keeper.RETRY_S)
            assert said(caplog)[1:] == ["the spool's file can be used again"]
        assert broken.spool.depth().trouble is None
        broken.crash()
        assert broken.blocks() == 100
        broken.deliver()
        assert broken.watts == list(range(100))

    def test_meanwhile_the_database_gets_everything(self, broken: Bench) -> None:
        broken.fill(50)
        broken.deliver()
        assert sorted(broken.watts) == list(range(50))
        assert broken.blocks() == 0

    def test_what_an_earlier_run_left_is_not_overwritten_by_what_came_meanwhile(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.fill(20)
        bench.spool.close()
        with monkeypatch.context() as patch:
            patch.setattr(SpoolFile, "exists", _fail)
            bench.open("boot")
            bench.fill(10, 20)
            assert bench.spool.depth().trouble == "cannot be read"
        bench.wait(keeper.RETRY_S)
        assert bench.blocks() == 30
        bench.crash()
        bench.deliver()
        assert bench.watts == list(range(30))

    def test_a_read_only_card_is_named(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        bench.fill(20)
        file = bench.spool._file
        assert file is not None
        file._database.execute("PRAGMA query_only = ON")
        bench.fill(10, 20)
        assert "the card is read-only" in str(bench.spool.depth().trouble)
        assert bench.blocks() == 30
        bench.wait(keeper.RETRY_S)
        assert bench.spool.depth().trouble is None
        bench.deliver()
        assert sorted(bench.watts) == list(range(30))

    def test_a_card_that_was_made_read_only_is_named(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Then SQLite has no better words than an I/O error."""
        monkeypatch.setattr(SpoolFile, "is_read_only", lambda _: True)
        monkeypatch.setattr(SpoolFile, "add", _fail)
        bench.fill(10)
        assert bench.spool.depth().trouble == "the card is read-only"

    @pytest.mark.parametrize("boot", ["boot", "next boot"])
    def test_a_file_that_is_slow_to_open_holds_up_nothing(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, boot: str
    ) -> None:
        bench.fill(10, is_true=False)
        bench.spool.time_is_known("boot", NOON - 1000.0, 5, NOON + 50)
        bench.fill(10, 10)
        bench.spool.close()
        go_on = threading.Event()
        genuine = SpoolFile.open

        def slow(file: SpoolFile) -> Contents:
            go_on.wait(60)
            return genuine(file)

        monkeypatch.setattr(SpoolFile, "open", slow)
        monkeypatch.setattr(module, "OPEN_S", 0.0)
        assert bench.folder is not None
        spool = Spool(bench.folder, boot, ROOM)
        try:
            assert not spool.has_looked
            assert spool.left_newest_s is None
            spool.put(Block(Moment(NOON + 100, bench.now_s, boot), ("meter,meter=a watts=20.0",)))
            todo = spool.next(500)
            assert isinstance(todo, Delivery)
            spool.put(Block(Moment(NOON + 105, bench.now_s, boot), ("meter,meter=a watts=21.0",)))
            go_on.set()
            assert spool.wait(60)
            while not spool.has_looked:
                spool.wait(1.0)
            assert spool.left_newest_s == NOON + 95
            assert spool.depth().blocks == 22
            bench.stored += [line for parcel in todo.parcels for line in parcel.lines()]
            spool.done(todo)
        finally:
            go_on.set()
            spool.close()
        bench.open(boot)
        bench.deliver()
        assert sorted(bench.watts) == list(range(22))

    def test_a_defect_stops_nothing(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(SpoolFile, "add", lambda *_: 1 / 0)
            bench.fill(10)
        assert "this is a defect" in caplog.text
        assert bench.blocks() == 10
        bench.wait(keeper.RETRY_S)
        bench.crash()
        assert bench.blocks() == 10

    def test_a_card_that_hangs_holds_up_neither_reading_nor_sending(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hanging, go_on = threading.Event(), threading.Event()

        def hang(*_: object) -> None:
            hanging.set()
            go_on.wait(60)

        monkeypatch.setattr(SpoolFile, "add", hang)
        monkeypatch.setattr(memory, "COMMIT_S", 0.0)
        spool = Spool(tmp_path, "boot", ROOM)
        try:
            spool.put(Block(Moment(NOON, 1.0, "boot"), ("a b=1",)))
            assert hanging.wait(60)
            spool.put(Block(Moment(NOON + 5, 6.0, "boot"), ("a b=2",)))
            assert spool.wait(60)
            todo = spool.next(500)
            assert isinstance(todo, Delivery)
            assert len(todo.parcels) == 2
            spool.done(todo)
            assert spool.depth().blocks == 0
        finally:
            go_on.set()
            spool.close()


def _fail(*_: object) -> bool:
    raise OSError("cannot be read")


def _rows(bench: Bench) -> list[tuple[bytes]]:
    """Read the file as another program would, from a copy."""
    assert bench.folder is not None
    if not (bench.folder / "spool.sqlite3").exists():
        return []
    copy = bench.folder.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(bench.folder, copy)
    with sqlite3.connect(copy / "spool.sqlite3") as db:
        rows = db.execute("SELECT body FROM blocks").fetchall()
    db.close()
    return rows


class TestADamagedFile:
    def _left(self, bench: Bench, count: int = 600) -> Path:
        bench.fill(count)
        bench.spool.close()
        assert bench.folder is not None
        return bench.folder / "spool.sqlite3"

    def test_what_can_be_read_is_kept(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        file = self._left(bench)
        pages = bytearray(file.read_bytes())
        middle = len(pages) // 4096 // 2 * 4096
        pages[middle : middle + 4096] = os.urandom(4096)
        file.write_bytes(pages)
        bench.open("next boot")
        bench.deliver()
        assert 500 < len(bench.watts) < 600
        assert bench.watts[0] == 0
        assert bench.watts[-1] == 599
        assert bench.watts == sorted(set(bench.watts))
        assert bench.files == ["spool.sqlite3.damaged"]
        assert any("is damaged" in line for line in said(caplog))
        assert f"{len(bench.watts)} blocks could be read" in caplog.text

    def test_a_file_that_is_none_is_set_aside(self, bench: Bench) -> None:
        file = self._left(bench)
        file.write_bytes(os.urandom(50_000))
        bench.open("next boot")
        assert bench.blocks() == 0
        bench.fill(10)
        bench.deliver()
        assert sorted(bench.watts) == list(range(10))
        assert bench.files == ["spool.sqlite3.damaged"]

    def test_a_file_of_another_format_is_set_aside(self, bench: Bench) -> None:
        file = self._left(bench)
        with sqlite3.connect(file) as db:
            db.execute("DROP TABLE boots")
            db.execute("PRAGMA user_version = 99")
        db.close()
        bench.open("next boot")
        bench.deliver()
        assert bench.watts == list(range(600))

    def test_an_empty_file_is_a_new_one(self, bench: Bench) -> None:
        assert bench.folder is not None
        (bench.folder / "spool.sqlite3").touch()
        bench.open("boot")
        bench.fill(10)
        bench.crash()
        bench.deliver()
        assert bench.watts == list(range(6))
        bench.spool.keep()
        assert bench.files == []

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
    def test_a_torn_log_costs_no_more_than_its_end(self, bench: Bench, share: float) -> None:
        bench.fill(120)
        assert bench.folder is not None
        copy = bench.folder.with_name("torn")
        shutil.copytree(bench.folder, copy)
        log = copy / "spool.sqlite3-wal"
        with log.open("r+b") as stream:
            stream.truncate(int(log.stat().st_size * share))
        torn = Bench(copy)
        torn.deliver()
        assert torn.watts == list(range(len(torn.watts)))

    def test_a_crash_while_it_is_salvaged_costs_nothing(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = self._left(bench)
        with file.open("r+b") as stream:
            stream.seek(len(file.read_bytes()) // 4096 // 2 * 4096)
            stream.write(bytes(4096))
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", _fail)
            bench.open("boot")
            assert bench.spool.depth().trouble == "cannot be read"
        assert "spool.sqlite3.new" in bench.files
        bench.open("boot")
        assert 500 < bench.blocks() < 600
        assert "spool.sqlite3.new" not in bench.files

    def test_damage_that_cannot_be_mended_is_said_once(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        self._left(bench).write_bytes(os.urandom(50_000))
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", _fail)
            bench.open("boot")
            for _ in range(3):
                bench.wait(60.0)
        bench.wait(60.0)
        assert bench.files == ["spool.sqlite3.damaged"]
        assert sum("is damaged" in line for line in said(caplog)) == 1

    def test_a_block_that_was_salvaged_gets_its_name_after_a_crash(self, bench: Bench) -> None:
        file = self._left(bench)
        file.rename(file.with_name("spool.sqlite3.new"))
        bench.open("boot")
        assert bench.blocks() == 600


class TestUndated:
    """Slots that were read before the clock was right."""

    def test_they_are_kept_and_not_sent(self, bench: Bench) -> None:
        bench.fill(100, is_true=False)
        assert bench.deliver() == []
        depth = bench.spool.depth()
        assert (depth.blocks, depth.undated) == (100, 100)

    def test_they_are_sent_at_their_true_time_when_it_comes(self, bench: Bench) -> None:
        bench.fill(100, is_true=False)
        offset_s = NOON + 86_400 - 1000.0 + 0.3
        bench.spool.time_is_known("boot", offset_s, 5, NOON + 86_400 + 500)
        assert bench.spool.depth().undated == 0
        bench.deliver()
        assert sorted(bench.stored) == sorted(
            f"meter,meter=a watts={n}.0 {NOON + 86_400 + 5 * n}" for n in range(100)
        )
        bench.spool.keep()
        assert bench.files == []

    def test_where_a_block_was_dated_at_once_the_undated_gives_way(self, bench: Bench) -> None:
        for number in range(20):
            bench.put(number, f"event,kind=outage n={number}.0 1700000000", is_true=False)
            bench.wait(5.0)
        bench.spool.time_is_known("boot", NOON - 1000.0, 5, NOON + 5 * 15)
        bench.deliver()
        slots = [line.split()[-1] for line in bench.stored if line.startswith("meter")]
        assert sorted(slots) == [str(NOON + 5 * n) for n in range(15)]
        assert len([line for line in bench.stored if line.startswith("event")]) == 20

    def test_a_block_that_gives_way_without_records_is_gone(self, bench: Bench) -> None:
        bench.fill(20, is_true=False)
        bench.spool.time_is_known("boot", NOON - 1000.0, 5, NOON + 5 * 15)
        bench.deliver()
        assert sorted(bench.watts) == list(range(15))
        bench.spool.keep()
        assert bench.blocks() == 0
        assert bench.files == []

    def test_a_slot_that_the_card_holds_dated_stays(self, bench: Bench) -> None:
        bench.fill(7, is_true=False)
        bench.put(3)
        bench.wait()
        bench.spool.time_is_known("boot", NOON - 1000.0, 5, NOON + 500)
        came = bench.deliver()
        stamps = [parcel.stamp_s for delivery in came for parcel in delivery.parcels]
        assert sorted(stamps) == [NOON + 5 * n for n in range(7)]

    def test_the_time_outlives_a_crash(self, bench: Bench) -> None:
        bench.fill(100, is_true=False)
        bench.spool.time_is_known("boot", NOON - 1000.0, 5, NOON + 10_000)
        bench.spool.keep()
        bench.crash("next boot")
        bench.deliver()
        assert len(bench.watts) >= 94
        assert all("provisional" not in line for line in bench.stored)

    def test_what_comes_undated_afterwards_is_dated_at_once(self, bench: Bench) -> None:
        bench.spool.time_is_known("boot", NOON - 1000.0, 5, NOON)
        bench.put(0, is_true=False)
        bench.deliver()
        assert bench.stored == [f"meter,meter=a watts=0.0 {NOON}"]

    def test_only_the_first_word_on_a_boot_counts(self, bench: Bench) -> None:
        bench.fill(3, is_true=False)
        bench.spool.time_is_known("boot", NOON - 1000.0, 5, NOON + 500)
        bench.spool.time_is_known("boot", NOON, 5, NOON + 500)
        bench.deliver()
        assert [line.split()[-1] for line in bench.stored] == [str(NOON + 5 * n) for n in range(3)]


class TestShown:
    """Slots that are shown at a provisional time."""

    def _shown(self, bench: Bench, count: int = 60) -> list[str]:
        bench.fill(count, is_true=False)
        bench.show(NOON - 1000.0)
        bench.wait()
        bench.deliver()
        return list(bench.stored)

    def test_they_are_marked_and_kept(self, bench: Bench) -> None:
        shown = self._shown(bench)
        assert f"meter,meter=a watts=3.0 {NOON + 15}" in shown
        assert f"collector provisional=1 {NOON + 15}" in shown
        assert len(shown) == 120
        assert bench.spool.depth().undated == 60
        assert bench.deliver() == []

    def test_later_ones_follow(self, bench: Bench) -> None:
        self._shown(bench)
        shift = (bench.now_s - 1000.0 - 300.0) / 5
        bench.fill(12, 60, is_true=False)
        bench.wait()
        bench.deliver()
        assert f"meter,meter=a watts=71.0 {NOON + 5 * (71 + int(shift))}" in bench.stored

    def test_nothing_is_shown_that_the_card_does_not_know(self, bench: Bench) -> None:
        bench.fill(4, is_true=False)
        bench.show(NOON - 1000.0)
        bench.spool.keep()
        assert bench.deliver() == []
        assert Bench(None).deliver() == []

    def test_they_come_after_every_true_slot(self, bench: Bench) -> None:
        bench.fill(100)
        bench.crash("next boot")
        newest = NOON + 5 * 95
        bench.fill(60, is_true=False)
        bench.show(NOON - bench.now_s)
        bench.wait()
        bench.deliver()
        stamps = [int(x.split()[-1]) for x in bench.stored if x.startswith("collector")]
        assert stamps[0] >= newest + 5
        assert len(stamps) == 60

    def test_they_come_after_every_slot_in_the_database(self, bench: Bench) -> None:
        bench.fill(60, is_true=False)
        bench.show(NOON - 1000.0, last_s=NOON + 777)
        bench.wait()
        bench.deliver()
        stamps = [int(x.split()[-1]) for x in bench.stored if x.startswith("collector")]
        assert stamps == [NOON + 780 + 5 * n for n in range(60)]

    def test_so_they_do_when_the_first_one_comes_later(self, bench: Bench) -> None:
        bench.show(NOON - 1000.0, last_s=NOON + 777)
        bench.wait()
        bench.fill(60, is_true=False)
        bench.wait()
        bench.deliver()
        stamps = [int(x.split()[-1]) for x in bench.stored if x.startswith("collector")]
        assert stamps == [NOON + 780 + 5 * n for n in range(60)]

    def test_when_time_comes_they_are_erased_first(self, bench: Bench) -> None:
        self._shown(bench)
        bench.spool.time_is_known("boot", NOON + 100 - 1000.0, 5, NOON + 10_000)
        assert bench.spool.next(500) is None  # until the card knows
        bench.spool.keep()
        bench.put(80)  # at a slot that is not touched
        bench.put(30)  # at one that is
        live = bench.spool.next(500)
        assert isinstance(live, Delivery)
        assert [parcel.stamp_s for parcel in live.parcels] == [NOON + 400]
        bench.spool.done(live)
        erasure = bench.spool.next(500)
        assert erasure == Erasure("boot", NOON, NOON + 295, ("collector", "meter"))
        # what lies elsewhere is not held up
        rest = bench.spool.next(500, special=False)
        assert isinstance(rest, Delivery)
        assert min(parcel.stamp_s for parcel in rest.parcels) > NOON + 295
        bench.spool.erased(erasure)
        bench.stored.clear()
        assert all(p.stamp_s > NOON + 295 for p in bench.spool.next(500).parcels)  # type: ignore[union-attr]
        bench.spool.keep()  # now the card knows that too
        bench.deliver()
        stamps = {int(line.split()[-1]) for line in bench.stored}
        assert stamps == {NOON + 100 + 5 * n for n in range(60)}
        assert all("provisional" not in line for line in bench.stored)
        bench.spool.keep()
        assert bench.files == []

    def test_a_pending_erasure_outlives_a_crash(self, bench: Bench) -> None:
        self._shown(bench)
        bench.spool.time_is_known("boot", NOON + 100 - 1000.0, 5, NOON + 10_000)
        bench.spool.keep()
        bench.crash("next boot")
        bench.spool.keep()
        erasure = bench.spool.next(500)
        assert isinstance(erasure, Erasure)
        assert (erasure.first_s, erasure.last_s) == (NOON, NOON + 295)
        bench.spool.erased(erasure)
        bench.spool.keep()
        bench.stored.clear()
        bench.deliver()
        assert len(bench.watts) == 60

    def test_an_erasure_that_a_crash_forgets_cannot_hit_a_true_point(self, bench: Bench) -> None:
        """Between the database's word and the card's, nothing is sent to those slots."""
        self._shown(bench)
        bench.spool.time_is_known("boot", NOON + 100 - 1000.0, 5, NOON + 10_000)
        bench.spool.keep()
        erasure = bench.spool.next(500)
        assert isinstance(erasure, Erasure)
        bench.spool.erased(erasure)
        bench.put(10)
        sent = []
        while (todo := bench.spool.next(500)) is not None:
            assert isinstance(todo, Delivery)
            sent += [parcel.stamp_s for parcel in todo.parcels]
            bench.spool.done(todo)
        bench.crash()
        bench.spool.keep()
        again = bench.spool.next(500)
        assert again == erasure
        assert not [stamp for stamp in sent if erasure.first_s <= stamp <= erasure.last_s]

    def _during_a_commit(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]
    ) -> None:
        genuine = SpoolFile.add

        def add(file: SpoolFile, rows: Iterable[Row]) -> None:
            genuine(file, rows)
            happens()

        bench.put(1000)
        with monkeypatch.context() as patch:
            patch.setattr(SpoolFile, "add", add)
            bench.wait()
        assert bench.spool.depth().trouble is None

    def test_a_time_that_arrives_during_a_commit_waits_for_the_next(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.fill(60, is_true=False)
        known = functools.partial(bench.spool.time_is_known, "boot", NOON - 1000.0, 5, NOON + 1000)
        self._during_a_commit(bench, monkeypatch, known)
        bench.stored.clear()
        while isinstance(todo := bench.spool.next(500), Delivery):
            assert [parcel.stamp_s for parcel in todo.parcels] == [NOON + 5000]
            bench.spool.done(todo)
        bench.spool.keep()
        bench.deliver()
        assert len(bench.watts) == 60

    def test_an_erasure_during_a_commit_is_known_to_the_card_with_the_next(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._shown(bench)
        bench.spool.time_is_known("boot", NOON + 100 - 1000.0, 5, NOON + 10_000)
        bench.spool.keep()
        erasure = bench.spool.next(500)
        assert isinstance(erasure, Erasure)
        self._during_a_commit(bench, monkeypatch, lambda: bench.spool.erased(erasure))
        bench.put(30)
        while isinstance(todo := bench.spool.next(500), Delivery):
            assert min(parcel.stamp_s for parcel in todo.parcels) > erasure.last_s
            bench.spool.done(todo)
        bench.crash()
        bench.spool.keep()
        assert bench.spool.next(500) == erasure

    def test_a_restart_in_the_same_boot_goes_on_where_it_was(self, bench: Bench) -> None:
        self._shown(bench)
        bench.spool.close()
        bench.stored.clear()
        bench.open("boot")
        bench.spool.show_undated(NOON + 99_990, 5)
        assert bench.deliver() == []
        bench.fill(10, 200, is_true=False)
        bench.wait()
        bench.deliver()
        stamps = [int(x.split()[-1]) for x in bench.stored if x.startswith("collector")]
        assert len(stamps) == 10
        assert stamps[0] < NOON + 1000

    def test_an_earlier_boot_s_are_removed_once_shown(self, bench: Bench) -> None:
        self._shown(bench)
        bench.spool.close()
        bench.stored.clear()
        bench.now_s = 50.0
        bench.open("next boot")
        assert bench.deliver() == []
        assert bench.files != [], "the time of this boot may show that they are in its way"
        bench.spool.time_is_known("next boot", NOON + 5000.0, 5, NOON + 5050)
        assert bench.deliver() == []
        bench.spool.keep()
        assert bench.files == []
        assert bench.blocks() == 0

    @pytest.mark.parametrize("interval_s", [5, 1])
    def test_an_earlier_boot_s_make_room_for_true_slots(
        self, bench: Bench, interval_s: int
    ) -> None:
        """As where it had learnt the time before it was shown, and the card could not note it."""
        self._shown(bench)
        shown = [int(x.split()[-1]) for x in bench.stored if x.startswith("collector")]
        bench.spool.close()
        bench.stored.clear()
        bench.now_s = 50.0
        bench.open("next boot")
        start_s = shown[20]
        bench.spool.time_is_known("next boot", start_s - 50.0, interval_s, start_s)
        bench.spool.put(Block(Moment(start_s, 50.0, "next boot"), ("meter watts=1e6",)))
        bench.spool.keep()
        erasure = bench.spool.next(500)
        assert erasure == Erasure("boot", shown[0], shown[-1], ("collector", "meter"), True)
        bench.crash("next boot")
        bench.spool.keep()
        assert bench.spool.next(500) == erasure, "the card knows of it"
        bench.spool.time_is_known("next boot", start_s - 50.0, interval_s, start_s)
        bench.spool.put(Block(Moment(start_s, 50.0, "next boot"), ("meter watts=1e6",)))
        bench.spool.erased(erasure)
        bench.deliver()
        bench.deliver()
        again = sorted(int(x.split()[-1]) for x in bench.stored if x.startswith("collector"))
        assert again == ([stamp + 1 for stamp in shown] if interval_s > 1 else shown[:10])
        assert bench.stored.count(f"meter watts=1e6 {start_s}") == 1
        bench.spool.keep()
        assert bench.files == []

    def test_an_earlier_boot_s_that_were_not_shown_are_placed_beside_true_slots(
        self, bench: Bench
    ) -> None:
        bench.fill(20, is_true=False)
        bench.spool.close()
        bench.now_s = 50.0
        bench.open("next boot")
        bench.spool.time_is_known("next boot", NOON + 50.0, 5, NOON + 100)
        bench.deliver(special=False)
        bench.spool.placed(Placement("boot", NOON + 50), NOON + 10)
        bench.deliver()
        stamps = [int(x.split()[-1]) for x in bench.stored if x.startswith("collector")]
        assert stamps == [NOON + 16 + 5 * n for n in range(20)]

    def test_an_earlier_boot_s_that_were_not_shown_are_placed_after_what_is_stored(
        self, bench: Bench
    ) -> None:
        bench.fill(20, is_true=False)
        bench.spool.close()
        bench.now_s = 50.0
        bench.open("next boot")
        bench.spool.keep()
        assert bench.spool.next(500) is None, "the last slot stored may be one of this boot"
        bench.spool.show_undated(NOON - 50.0, 5)
        placement = bench.spool.next(500)
        assert placement == Placement("boot", None)
        bench.spool.placed(placement, NOON + 1000)
        bench.deliver(special=False)
        stamps = [int(x.split()[-1]) for x in bench.stored if x.startswith("collector")]
        assert stamps == [NOON + 1005 + 5 * n for n in range(20)]
        bench.spool.time_is_known("next boot", NOON + 5000.0, 5, NOON + 5050)
        assert bench.deliver() == []
        bench.spool.keep()
        assert bench.files == []

    def test_their_own_time_is_kept_where_nothing_is_stored_after_it(self, bench: Bench) -> None:
        bench.fill(20, is_true=False)
        bench.spool.close()
        bench.open("next boot")
        bench.put(10_000)
        bench.spool.keep()
        bench.deliver(special=False)
        bench.stored.clear()
        placement = bench.spool.next(500)
        assert placement == Placement("boot", NOON + 50_000 - int(bench.now_s))
        bench.spool.placed(placement, None)
        bench.deliver()
        stamps = [int(x.split()[-1]) for x in bench.stored if x.startswith("collector")]
        assert stamps == [NOON + 5 * n for n in range(20)]

    def test_no_more_than_thirty_days_never_get_their_time(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.put(0, is_true=False)
        bench.wait(5.0)
        bench.put(1, is_true=False)
        bench.wait(30 * 86_400.0)
        bench.put(2, is_true=False)
        bench.wait()
        bench.spool.close()
        bench.open("next boot")
        assert bench.blocks() == 2
        assert "1 blocks never got their time" in caplog.text

    def test_they_are_dropped_with_the_rest_when_there_is_no_room(self, tmp_path: Path) -> None:
        bench = Bench(tmp_path, room=1_000_000)
        for number in range(2500):
            noise = os.urandom(300).hex()
            moment = Moment(NOON + 5 * number, bench.now_s, "boot", is_true=False)
            bench.spool.put(Block(moment, (f'meter watts={number}.0,x="{noise}"',)))
            bench.wait(5.0)
        depth = bench.spool.depth()
        assert depth.lost > 0
        assert depth.undated == depth.blocks == 2500 - depth.lost
        bench.spool.time_is_known("boot", NOON - 1000.0, 5, NOON + 10**6)
        bench.deliver()
        assert sorted(bench.watts) == list(range(depth.lost, 2500))


def test_the_newest_slot_of_an_earlier_run_is_told(bench: Bench) -> None:
    assert bench.spool.left_newest_s is None
    bench.fill(7)
    bench.crash()
    assert bench.spool.left_newest_s == NOON + 30 - 5
    bench.put(9)
    assert bench.spool.left_newest_s == NOON + 30 - 5


def test_the_oldest_is_told(bench: Bench) -> None:
    assert bench.spool.depth().oldest_s is None
    bench.fill(3)
    assert bench.spool.depth().oldest_s == NOON
    bench.fill(20, 3)
    assert bench.spool.depth().oldest_s == NOON


def test_a_thread_does_it_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "COMMIT_S", 0.05)
    spool = Spool(tmp_path, "boot", ROOM)
    assert not spool.wait(0.0)
    spool.put(Block(Moment(NOON, 1.0, "boot", is_true=False), ("a b=1",)))
    spool.put(Block(Moment(NOON, 1.0, "boot"), ("a b=2",)))
    assert spool.wait(30.0)
    spool.close()
    spool = Spool(tmp_path, "boot", ROOM)
    assert spool.depth().blocks == 2
    assert spool.wait(30.0)
    todo = spool.next(5)
    assert isinstance(todo, Delivery)
    spool.done(todo)
    spool.time_is_known("boot", NOON + 99.0, 5, NOON + 1000)
    assert spool.wait(30.0)
    todo = spool.next(5)
    assert isinstance(todo, Delivery)
    assert todo.parcels[0].stamp_s == NOON + 100
    spool.done(todo)
    spool.close()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("meter,meter=a watts=1.0", "meter"),
        ("collector cycle_s=1.0", "collector"),
        (r"a\ b\,c,d=e f=1", "a b,c"),
    ],
)
def test_a_line_names_its_measurement(line: str, name: str) -> None:
    assert measurement(line) == name


def test_a_slot_may_begin_a_little_early() -> None:
    assert [slot_at(s, 5) for s in (0.0, 4.4, 4.6, 9.4, -0.4, -0.6)] == [0, 0, 5, 5, 0, -5]
