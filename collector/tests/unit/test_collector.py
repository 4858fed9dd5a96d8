from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from fakes import FakeClock
from pzem.collector import Collector, CollectorError
from pzem.config import Config, HouseSettings, MeterSettings
from pzem.house import Ledger
from pzem.house.generator import StoredHours
from pzem.house.lifetime import Recalled
from pzem.house.outages import RECALL_WAIT_S
from pzem.meter import Outcome, Silent
from pzem.moment import Moment
from pzem.recall import UNKNOWN_S, Answer
from pzem.registers import Reading
from pzem.requests import METER_REPLACED, leave
from pzem.saver import Saver
from pzem.spool import Block, Delivery, Placement, Spool
from pzem.timekeeping import SHOW_AFTER_S
from support import eventually

READING = Reading(120.0, 1.0, 120.0, 5000.0, 60.0, 1.0, alarm=False)
METERS = tuple(MeterSettings(f"m{n}", n, "circuit") for n in (1, 2, 3))
BOOT = "b00t"


class Ports:
    """Meters that answer as they are told, all of them on one port."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.outcomes: dict[str, Outcome] = {meter.name: READING for meter in METERS}
        self.resets: list[tuple[str, float]] = []

    def poll(self, deadline: float) -> dict[str, Outcome]:
        self.clock.now_s += 0.25
        return dict(self.outcomes)

    def homes(self) -> dict[str, str | None]:
        return {meter.name: "/dev/ttyUSB0" for meter in METERS}

    def troubles(self) -> dict[str, str | None]:
        return {"/dev/ttyUSB0": None}

    def reset_energy(self, name: str, deadline: float) -> bool:
        self.resets.append((name, deadline))
        self.outcomes[name] = replace(READING, energy_wh=0.0)
        return True


class Writer:
    alive = True
    last_write_s = None
    why = ""
    stored = ()

    def is_alive(self) -> bool:
        return self.alive


class Recall:
    answer: Answer | None = None
    before_s: int | None = None
    awaited_s: int | None = None


class Bench:
    """A collector whose surroundings a test plays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock(1_000_001.0)
        self.ports = Ports(self.clock)
        self.writer = Writer()
        self.recall = Recall()
        self.spool = Spool(folder, BOOT, 10**8, self.clock.monotonic, background=False)
        self.config = Config(
            METERS, state_dir=folder, runtime_dir=folder / "run", thermal_zone=Path("/nowhere")
        )
        self.last_stored_s: int | None = None
        self.saver: Saver | None = None
        self.blocks: list[Block] = []
        put = self.spool.put

        def note(block: Block) -> None:
            self.blocks.append(block)
            put(block)

        self.spool.put = note  # type: ignore[method-assign]

    def run(self, slots: int, *during: Callable[[], object]) -> None:
        """Collect in `slots` slots; each of `during` happens before one of them."""
        collector = Collector(
            self.config,
            self.ports,  # type: ignore[arg-type]
            self.spool,
            self.writer,  # type: ignore[arg-type]
            self.recall,  # type: ignore[arg-type]
            self.clock,
            BOOT,
            self.saver,
        )
        self.clock.waits_left = slots
        self.clock.during_wait = [lambda each=each: each() and None for each in during]  # type: ignore[misc]
        try:
            collector.run()
        finally:
            collector.close()

    def delivered(self) -> dict[int, list[str]]:
        """Take out of the spool all that is to be sent, by its time."""
        sent: dict[int, list[str]] = {}
        for _ in range(20):
            self.spool.keep()
            todo = self.spool.next(500)
            if isinstance(todo, Placement):
                self.spool.placed(todo, self.last_stored_s)
            if not isinstance(todo, Delivery):
                continue
            for parcel in todo.parcels:
                sent[parcel.stamp_s] = parcel.lines()
            self.spool.done(todo)
        return sent

    def status(self) -> dict[str, object]:
        document: dict[str, object] = json.loads((self.folder / "run/status.json").read_text())
        return document


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.spool.close()


def nothing() -> None:
    pass


def field(block: Block, meter: str, name: str) -> float | None:
    (line,) = (line for line in block.lines if line.startswith(f"meter,meter={meter} "))
    fields = dict(pair.split("=") for pair in line.split(" ")[1].split(","))
    return float(fields[name]) if name in fields else None


def test_each_slot_becomes_a_block(bench: Bench) -> None:
    bench.run(3)
    assert [block.moment.unix_s for block in bench.blocks] == [1_000_005, 1_000_010, 1_000_015]
    assert all(block.moment.is_true for block in bench.blocks)
    assert "collector cycle_s=0.25,lateness_s=0.0,waiting_cycles=2.0" in bench.blocks[2].lines


def test_each_cycle_tells_how_warm_the_processor_is(bench: Bench, tmp_path: Path) -> None:
    zone = tmp_path / "temp"
    zone.write_text("48312\n")
    bench.config = replace(bench.config, thermal_zone=zone)
    bench.run(2, nothing, zone.unlink)
    warm, unknown = bench.blocks
    assert "host cpu_celsius=48.312" in warm.lines
    assert not [line for line in unknown.lines if line.startswith("host")]


def test_what_is_read_before_the_time_is_known_gets_its_time_then(bench: Bench) -> None:
    bench.config = replace(bench.config, clock="wait")
    bench.clock.synchronised = False

    def put_right() -> None:
        bench.clock.offset_s += 86_403.0
        bench.clock.synchronised = True

    bench.run(9, *[nothing] * 4, put_right)
    stamps = sorted(bench.delivered())
    before = [1_000_005 + 86_400 + 5 * n for n in range(4)]
    assert stamps[:4] == before, "within the slot of the right clock in which they were read"
    assert stamps[4:] == list(range(stamps[4], stamps[-1] + 5, 5))
    assert stamps[4] > before[-1]


def test_what_waits_too_long_for_its_time_is_shown(bench: Bench) -> None:
    bench.config = replace(bench.config, clock="wait")
    bench.clock.synchronised = False
    bench.last_stored_s = 1_000_500
    slots = int(SHOW_AFTER_S / 5)
    bench.run(slots)
    assert bench.delivered() == {}
    bench.run(slots + 3)
    shown = bench.delivered()
    assert min(shown) > 1_000_500, "nothing is shown before what is stored"
    assert all(f"collector provisional=1 {slot}" in lines for slot, lines in shown.items())
    assert bench.spool.depth().undated == 2 * slots + 3


def test_a_trusted_clock_is_not_asked(bench: Bench) -> None:
    bench.clock.synchronised = False
    bench.run(2)
    assert len(bench.delivered()) == 2


def test_lifetime_energy_goes_on_from_what_the_database_knew(bench: Bench) -> None:
    def answer() -> None:
        words = {meter.name: Recalled(5000.0, 75_000.0, 1_000_000) for meter in METERS}
        bench.recall.answer = Answer(words, 1_000_000)

    bench.run(2, nothing, answer)
    assert field(bench.blocks[0], "m1", "lifetime_wh") is None
    assert field(bench.blocks[1], "m1", "lifetime_wh") == 75_000.0


def test_a_replaced_meter_counts_on(bench: Bench) -> None:
    bench.recall.answer = Answer({}, None)

    def replace_meter() -> None:
        bench.ports.outcomes["m2"] = replace(READING, energy_wh=900_000.0)
        leave(bench.folder, METER_REPLACED, "m2", 1_000_007.0)

    bench.run(9, *[nothing] * 4, replace_meter)
    lifetimes = [field(block, "m2", "lifetime_wh") for block in bench.blocks]
    assert lifetimes[3] == lifetimes[-1] == 5000.0
    assert set(lifetimes) == {None, 5000.0}, "a step is believed once readings agree"
    assert not list((bench.folder / "requests").glob("*.json"))


def test_a_register_near_its_end_is_set_back_after_its_reading(bench: Bench) -> None:
    bench.recall.answer = Answer({}, None)
    full = replace(READING, energy_wh=9_900_000.0)
    bench.ports.outcomes["m3"] = full
    bench.run(6)
    ((name, deadline),) = bench.ports.resets
    assert name == "m3"
    shown = [block for block in bench.blocks if field(block, "m3", "lifetime_wh") is not None]
    assert deadline < shown[0].moment.monotonic_s + 5
    assert field(shown[0], "m3", "energy_wh") == 9_900_000.0
    assert field(shown[-1], "m3", "energy_wh") == 0.0
    assert {field(block, "m3", "lifetime_wh") for block in shown} == {9_900_000.0}
    assert len(shown) == 4


def test_a_register_that_stands_still_is_an_alarm_until_it_moves(bench: Bench) -> None:
    bench.recall.answer = Answer({}, None)
    loaded = replace(READING, amps=60.0, watts=7200.0)
    bench.ports.outcomes["m1"] = loaded

    def move() -> None:
        bench.ports.outcomes["m1"] = replace(loaded, energy_wh=5001.0)

    bench.run(20, *[nothing] * 18, move)
    stuck = [f"alarm_state,kind=register_stuck,meter=m1 active={n}.0" for n in (0, 1)]
    assert stuck[1] in bench.blocks[17].lines
    assert field(bench.blocks[17], "m1", "lifetime_estimated") == 1
    assert stuck[0] in bench.blocks[18].lines
    assert field(bench.blocks[18], "m1", "lifetime_estimated") == 1, "up to here"
    assert field(bench.blocks[19], "m1", "lifetime_estimated") == 0


def test_who_does_not_want_that_is_heeded(bench: Bench) -> None:
    bench.config = replace(bench.config, house=HouseSettings(energy_reset=False))
    bench.recall.answer = Answer({}, None)
    bench.ports.outcomes["m3"] = replace(READING, energy_wh=9_950_000.0)
    bench.run(3)
    assert bench.ports.resets == []


def test_the_status_tells_what_the_last_cycle_brought(bench: Bench) -> None:
    bench.ports.outcomes["m2"] = Silent()
    seen: list[dict[str, object]] = []
    bench.run(3, nothing, nothing, lambda: seen.append(bench.status()))
    (status,) = seen
    states = {meter["name"]: meter["state"] for meter in status["meters"]}  # type: ignore[attr-defined]
    assert states == {"m1": "ok", "m2": "silent", "m3": "ok"}
    assert status["spool"]["blocks"] == 1  # type: ignore[index]


def test_a_port_too_busy_is_said_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    bench.config = replace(bench.config, interval_s=1)
    bench.run(5)
    said = [record.getMessage() for record in caplog.records if record.name == "pzem.collector"]
    assert said == [
        "3 meters on /dev/ttyUSB0 may need 1.5 s, more than the interval of 1 s; "
        "use a longer interval_s or another adapter"
    ]


def test_without_a_writer_it_gives_up(bench: Bench) -> None:
    bench.writer.alive = False
    with pytest.raises(CollectorError, match="the writer has ended"):
        bench.run(2)


def test_a_replacement_in_the_inventory_is_met_once(bench: Bench) -> None:
    bench.recall.answer = Answer({}, None)
    bench.run(4)
    first = MeterSettings("m1", 1, "circuit", replaced=date(1970, 1, 12))
    bench.config = replace(bench.config, meters=(first, *METERS[1:]))
    bench.ports.outcomes["m1"] = replace(READING, energy_wh=700_000.0)
    bench.run(4)
    bench.ports.outcomes["m1"] = replace(READING, energy_wh=700_001.0)
    bench.run(4)
    lifetimes = [field(block, "m1", "lifetime_wh") for block in bench.blocks]
    assert [lifetimes[n] for n in (3, 7, 11)] == [5000.0, 5000.0, 5001.0]


def test_a_request_stays_until_its_effect_is_kept(bench: Bench) -> None:
    bench.recall.answer = Answer({}, None)
    (bench.folder / "lifetime.json.new").mkdir()  # nothing can be written there
    leave(bench.folder, METER_REPLACED, "m2", 1_000_001.0)
    waiting = []

    def look() -> None:
        waiting.append(len(list((bench.folder / "requests").iterdir())))

    bench.run(20, nothing, nothing, look, (bench.folder / "lifetime.json.new").rmdir)
    look()
    assert waiting == [1, 0]


def test_what_the_run_stores_itself_is_nothing_of_before(bench: Bench) -> None:
    bench.run(1)
    assert bench.recall.before_s == 1_000_001
    bench.config = replace(bench.config, clock="wait")
    bench.clock.synchronised = False
    bench.recall.before_s = None
    bench.run(1)
    assert bench.recall.before_s is None, "its time is not known yet"
    bench.clock.synchronised = True
    began_s = bench.clock.unix()
    bench.run(1)
    assert bench.recall.before_s == int(began_s)


def test_after_a_backlog_each_record_is_told_once_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is live goes first: an older word about a record may come after a newer one."""
    told: list[int] = []
    monkeypatch.setattr(Ledger, "tell_again", lambda _: told.append(len(bench.blocks)))
    bench.run(8, *[nothing] * 4, bench.delivered)
    assert told == [0, 4], "at the start, and when what waited was delivered"


class TestHangingCard:
    """What is written hangs as on a bad card: each new file is a pipe that nobody reads."""

    FILES = ("lifetime.json", "outages.json", "generator.json")

    @pytest.fixture
    def card(self, bench: Bench) -> Iterator[Bench]:
        for name in self.FILES:
            os.mkfifo(bench.folder / f"{name}.new")
        bench.saver = Saver()
        yield bench
        pipes = [bench.folder / f"{name}.new" for name in self.FILES]
        readers = [os.open(pipe, os.O_RDONLY | os.O_NONBLOCK) for pipe in pipes]
        bench.saver.close()
        for reader in readers:
            os.close(reader)

    @staticmethod
    def run(bench: Bench, slots: int, *during: Callable[[], object]) -> None:
        thread = threading.Thread(target=bench.run, args=(slots, *during), daemon=True)
        thread.start()
        eventually(lambda: not thread.is_alive(), "the slots are over")

    def test_slots_go_on_being_put(self, card: Bench) -> None:
        generator = MeterSettings("m3", 3, "generator")
        card.config = replace(card.config, meters=(*METERS[:2], generator))
        card.recall.answer = Answer({}, None)
        leave(card.folder, METER_REPLACED, "m2", 1_000_001.0)
        self.run(card, 20)
        assert [block.moment.unix_s for block in card.blocks] == [
            1_000_005 + 5 * slot for slot in range(20)
        ]
        assert not (card.folder / "lifetime.json").exists()
        assert len(list((card.folder / "requests").iterdir())) == 1

    def test_no_register_is_set_back_before_that_is_kept(self, card: Bench) -> None:
        card.recall.answer = Answer({}, None)
        card.ports.outcomes["m3"] = replace(READING, energy_wh=9_900_000.0)
        self.run(card, 8)
        assert field(card.blocks[-1], "m3", "lifetime_wh") == 9_900_000.0
        assert card.ports.resets == []

    def test_a_register_at_its_end_does_not_wait_for_it(self, card: Bench) -> None:
        card.recall.answer = Answer({}, None)
        card.ports.outcomes["m3"] = replace(READING, energy_wh=9_990_000.0)
        self.run(card, 8)
        assert [name for name, _ in card.ports.resets] == ["m3"]


def test_a_saver_that_works_lets_a_register_be_set_back_in_the_same_slot(bench: Bench) -> None:
    bench.saver = Saver()
    bench.recall.answer = Answer({}, None)
    bench.ports.outcomes["m3"] = replace(READING, energy_wh=9_900_000.0)
    bench.run(6)
    bench.saver.close()
    shown = [block for block in bench.blocks if field(block, "m3", "lifetime_wh") is not None]
    assert len(bench.ports.resets) == 1
    assert field(shown[1], "m3", "energy_wh") == 0.0


class TestBacklog:
    """The database does not have yet what an earlier run has left in the spool."""

    NEWEST_S = 1_000_000

    @pytest.fixture
    def left(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
        monkeypatch.setattr(Spool, "left_newest_s", self.NEWEST_S)
        moment = Moment(self.NEWEST_S, 1.0, "earlier")
        bench.spool.put(Block(moment, ("collector cycle_s=0.2",)))
        bench.blocks.clear()
        return bench

    @staticmethod
    def word(lifetime_wh: float, unix_s: int) -> dict[str, Recalled]:
        return {meter.name: Recalled(5000.0, lifetime_wh, unix_s) for meter in METERS}

    def test_it_is_waited_for(self, left: Bench) -> None:
        def answer(lifetime_wh: float, unix_s: int, *, is_complete: bool) -> None:
            left.recall.answer = Answer(
                self.word(lifetime_wh, unix_s), unix_s, StoredHours(7.0, None, unix_s), is_complete
            )

        generator = MeterSettings("m3", 3, "generator")
        left.config = replace(left.config, meters=(*METERS[:2], generator))
        left.run(
            4,
            lambda: answer(70_000.0, 900_000, is_complete=False),
            nothing,
            lambda: answer(75_000.0, self.NEWEST_S, is_complete=True),
        )
        assert left.recall.awaited_s == self.NEWEST_S
        shown = [field(block, "m1", "lifetime_wh") for block in left.blocks]
        assert shown == [None, None, 75_000.0, 75_000.0]
        hours = [any("hours=7.0" in line for line in block.lines) for block in left.blocks]
        assert hours == [False, False, True, True]

    def test_until_it_was_looked_at_no_answer_is_complete(
        self, left: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked = iter([False, False])
        monkeypatch.setattr(Spool, "has_looked", property(lambda _: next(looked, True)))
        awaited: list[int | None] = []
        left.run(3, *[lambda: awaited.append(left.recall.awaited_s)] * 3)
        assert awaited[0] == UNKNOWN_S
        assert left.recall.awaited_s == self.NEWEST_S

    def test_it_is_not_waited_for_when_nothing_waits(self, left: Bench) -> None:
        def delivered() -> None:
            left.delivered()

        left.run(2)
        assert left.recall.awaited_s == self.NEWEST_S
        left.run(3, nothing, delivered)
        assert left.recall.awaited_s is None

    @pytest.mark.parametrize(
        ("stored_s", "told_s"), [(900_000, NEWEST_S), (1_000_001, 1_000_001), (None, NEWEST_S)]
    )
    def test_the_newest_of_both_is_the_last_sign_of_life(
        self, left: Bench, monkeypatch: pytest.MonkeyPatch, stored_s: int | None, told_s: int
    ) -> None:
        told: list[int | None] = []
        monkeypatch.setattr(Ledger, "recalled", lambda _, last_slot_s: told.append(last_slot_s))
        left.recall.answer = Answer({}, stored_s)
        left.run(3)
        assert told == [told_s]

    def test_the_spools_word_is_enough_if_the_database_does_not_answer(
        self, left: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[tuple[int, int | None]] = []
        monkeypatch.setattr(
            Ledger, "recalled", lambda _, last_slot_s: told.append((len(left.blocks), last_slot_s))
        )
        slots = int(RECALL_WAIT_S / 5)
        left.run(slots + 1)
        assert told[0] == (slots, self.NEWEST_S)
