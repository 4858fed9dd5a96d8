"""The fault table: what each fault on the line stores, says and costs.

Each row is played on real ptys through the same parts as a slot of the service, in its
order: `Ports`, `Settling`, `Health`, `Announcer`. Every meter displays other figures in
every cycle, so that a value of another cycle or of another meter is seen as false.
Recovery is counted in cycles: 1 is the first cycle after the fault has ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import select
import threading
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import serial

from pzem.announcer import Announcer
from pzem.health import FAULTY, OK, SILENT, Health, MeterHealth
from pzem.line import Line
from pzem.meter import Outcome
from pzem.moment import Moment
from pzem.places import Places
from pzem.ports import FIRST_PROBE_S, Ports
from pzem.registers import Reading
from pzem.settling import DARK_S, Settling
from pzem.testing import IDLE, SimulatedMeter, Simulator
from support import eventually

METERS = {"mainA": 4, "mainB": 5, "gen": 6}
INTERVAL_S = 5
BUDGET_S = 3.0
FAULTY_CYCLES = 5
"""More than it takes to say something, so that what is said twice is seen."""
LONGEST_RECOVERY = 5

THREE_PORTS = {"tty0": ["mainA"], "tty1": ["mainB"], "tty2": ["gen"]}
ONE_PORT = {"tty0": ["mainA", "mainB", "gen"]}

Layout = Mapping[str, list[str]]


class Bench:
    """A house of three meters, read slot by slot.

    Cycles follow one another at once, unless `pace_s` is given: then they start that far
    apart and take at most 0.6 of it, as on a grid.
    """

    def __init__(
        self,
        dev: Path,
        simulator: Simulator,
        said: Callable[[], list[str]],
        pace_s: float | None = None,
    ) -> None:
        self.dev = dev
        self.simulator = simulator
        self.said = said
        self.ahead_s = 0.0
        self.shown: dict[str, Reading] = {}
        """What the meters are to display in this cycle."""
        self.before_poll: Callable[[], None] | None = None
        self.latest_health: dict[str, MeterHealth] = {}
        self.said_before: list[str] = []
        """What was said until the meters had been found."""
        self.ports = Ports([f"{dev}/tty*"], (), METERS, Places(None), self._monotonic)
        self._health = Health()
        self._pace_s = pace_s
        self._settling = Settling(INTERVAL_S)
        self._announcer = Announcer()
        self._cycle = 0

    def _monotonic(self) -> float:
        return time.monotonic() + self.ahead_s

    def cycle(self) -> dict[str, str]:
        """Play one slot; return "ok" or the reason for each meter."""
        start_s = time.monotonic()
        self._cycle += 1
        self._display()
        if self.before_poll is not None:
            self.before_poll()
        budget_s = BUDGET_S if self._pace_s is None else 0.6 * self._pace_s
        polled = self.ports.poll(self._monotonic() + budget_s)
        slot_s = self._cycle * INTERVAL_S
        outcomes = {n: self._settling.judge(n, o, float(slot_s)) for n, o in polled.items()}
        for name, outcome in outcomes.items():
            if isinstance(outcome, Reading):
                assert outcome == self.shown[name], "a false value"
        self.latest_health = self._health.take(Moment(slot_s, float(slot_s), "boot"), outcomes)
        self._announcer.note(outcomes)
        if self._pace_s is not None:
            time.sleep(max(0.0, start_s + self._pace_s - time.monotonic()))
        return {name: _word(outcome) for name, outcome in outcomes.items()}

    def cycles(self, count: int) -> dict[str, list[str]]:
        """Play some slots; return what each of the meters was in them."""
        played = [self.cycle() for _ in range(count)]
        return {name: [outcomes[name] for outcomes in played] for name in METERS}

    def recovery(self, name: str) -> int:
        """Play slots until the meter is read; return in which one it is."""
        for number in range(1, LONGEST_RECOVERY + 1):
            if self.cycle()[name] == OK:
                return number
        pytest.fail(f"{name} is not read after {LONGEST_RECOVERY} cycles")

    def order(self, *orders: str) -> None:
        for order in orders:
            self.simulator.order(order)

    def _display(self) -> None:
        for number, meter in enumerate(self.simulator.meters):
            if meter.name in METERS:
                watts = round(100 + 10 * number + self._cycle / 10, 1)
                reading = Reading(120.0, 2.0, watts, 1000.0 + self._cycle, 60.0, 0.5, alarm=False)
                meter.show(reading)
                self.shown[meter.name] = reading


def _word(outcome: Outcome) -> str:
    return OK if isinstance(outcome, Reading) else outcome.reason


Play = Callable[..., AbstractContextManager[Bench]]


@pytest.fixture
def play(dev: Path, caplog: pytest.LogCaptureFixture) -> Play:
    caplog.set_level(logging.INFO, "pzem")

    def said() -> list[str]:
        return [r.getMessage().replace(f"{dev}/", "") for r in caplog.records]

    @contextmanager
    def playing(
        layout: Layout = THREE_PORTS, pace_s: float | None = None, orders: tuple[str, ...] = ()
    ) -> Iterator[Bench]:
        links = {
            dev / link: [SimulatedMeter(name, METERS[name]) for name in names]
            for link, names in layout.items()
        }
        with Simulator.with_meters(links) as simulator:
            bench = Bench(dev, simulator, said, pace_s)
            bench.order(*orders)
            with bench.ports:
                bench.ports.discover()
                bench.cycle()
                bench.said_before = said()
                caplog.clear()
                yield bench

    return playing


@dataclass(frozen=True)
class Row:
    """One fault of the meter `mainA`; the others are never to feel it."""

    name: str
    begins: tuple[str, ...]
    stored: tuple[str, ...] | str
    """What `mainA` is in each of the first cycles, as patterns; one: in all of them."""
    said: tuple[str, ...] | None = ()
    """Every line of the log, as patterns, from the first cycle until three after the end.
    None: it depends on the moment, but none is said twice."""
    ends: tuple[str, ...] = ("heal",)
    recovery: int = 1
    """In the loose rows (`said` is None) at most that many cycles."""
    layout: Layout = dataclasses.field(default_factory=lambda: THREE_PORTS)
    pace_s: float | None = None
    during: str = ""
    """An order that is given in the middle of the first cycle."""


READ_AGAIN = "mainA is read again"
QUIET = ("no_answer_yet", "no_answer_yet", "no_answer", "no_answer", "no_answer")
SETTLED = 2
"""The first slot in which a meter is read that was silent: it might have been dark."""
SAID_QUIET = (r"mainA is silent \(no answer\)", READ_AGAIN)
NOISE = r"mainA is faulty \(({})(;.*)?\)"


def faulty(
    name: str, order: str, reason: str, layout: Layout = THREE_PORTS, ends: str = "heal"
) -> Row:
    """Return the row of a meter that answers what cannot be true."""
    return Row(name, (order,), reason, (NOISE.format(reason), READ_AGAIN), (ends,), layout=layout)


def harmless(name: str, order: str) -> Row:
    """Return the row of a fault that costs nothing and is nobody's business."""
    return Row(name, (order,), OK)


GONE = (
    "tty0 is gone",
    r"mainA is silent \(its adapter is not plugged in\)",
    r"tty\d appeared",
)
LATE = f"{OK}|no_answer.*|short_reply"

TABLE = [
    Row("no reply", ("silence mainA",), QUIET, SAID_QUIET, recovery=SETTLED),
    Row(
        "no reply, on a line with others",
        ("silence mainA",),
        "no_answer",
        SAID_QUIET,
        recovery=SETTLED,
        layout=ONE_PORT,
    ),
    Row("one reply lost", ("silence mainA 1",), OK),
    *[
        Row(f"late by {s} of an interval", (f"late mainA {s}",), LATE, None, pace_s=1.0, recovery=3)
        for s in (0.35, 0.95, 1.02)
    ],
    faulty("short reply", "truncated mainA", "short_reply"),
    faulty("long reply", "too-long mainA", "wrong_length"),
    harmless("doubled reply", "doubled mainA"),
    harmless("leading junk", "leading-junk mainA"),
    harmless("leading zero", "leading-zero mainA"),
    harmless("trailing junk", "trailing-junk mainA"),
    harmless("echo before the reply", "local-echo mainA"),
    Row("echo alone", ("echo-alone mainA",), QUIET, SAID_QUIET, recovery=SETTLED),
    faulty("junk", "junk mainA", "bad_crc|short_reply"),
    faulty("one flipped bit", "bit-flip mainA", "bad_crc"),
    faulty("three flipped bits", "bit-flips mainA 3", "bad_crc"),
    faulty("flipped bits, on a line with others", "bit-flip mainA", "bad_crc", layout=ONE_PORT),
    faulty("burst of 16 bits", "burst mainA 16", "bad_crc"),
    Row("one reply spoilt", ("bit-flip mainA 1",), OK),
    faulty("wrong address", "wrong-address mainA", r"wrong_address \d+"),
    Row(
        "the address of another meter",
        ("swapped-reply mainA 5",),
        QUIET,
        SAID_QUIET,
        recovery=SETTLED,
    ),
    faulty("wrong function", "wrong-function mainA", "wrong_function 3"),
    faulty("wrong length", "wrong-length mainA", "wrong_length"),
    *[faulty(f"error {n}", f"error mainA {n}", f"modbus_error {n}") for n in (1, 2, 3, 4)],
    faulty("more volts than there can be", "overrange mainA volts 300", "over_range volts 300.0"),
    faulty("fewer volts than it measures", "overrange mainA volts 0", "over_range volts 0.0"),
    faulty("more amps", "overrange mainA amps 105", "over_range amps 105.0"),
    faulty("more watts", "overrange mainA watts 24000", "over_range watts 24000.0"),
    faulty("impossible frequency", "overrange mainA hertz 24.4", "over_range hertz 24.4"),
    faulty(
        "two meters at an address on a line",
        "twin mainA tty0",
        "bad_crc|short_reply",
        ends="remove mainA_twin",
    ),
    Row(
        "two meters at an address that answer one after the other",
        ("twin mainA tty0", "late mainA_twin 0.05"),
        "two_answers",
        (NOISE.format("two_answers"), READ_AGAIN),
        ("remove mainA_twin",),
    ),
    Row(
        "port vanishes",
        ("unplug tty0",),
        "no_port",
        (*GONE, "mainA .* answers on tty0|" + READ_AGAIN),
        ends=("plug tty0",),
    ),
    Row(
        "port vanishes in the middle of a read",
        ("silence mainA",),
        ("port_failed", *["no_port"] * 4),
        ("tty0 does not exist; is the adapter plugged in\\?", *GONE, READ_AGAIN),
        ends=("heal", "plug tty0"),
        during="unplug tty0",
    ),
    Row(
        "port comes back under another name",
        ("unplug tty0",),
        "no_port",
        (*GONE, r"mainA \(address 4\) answers on tty7", READ_AGAIN),
        ends=("plug tty0 as tty7",),
    ),
    Row(
        "port comes back at once",
        ("unplug tty0", "plug tty0"),
        OK,
        ("tty0 is gone", "tty0 appeared"),
    ),
    Row(
        "port that takes nothing",
        ("hang tty0",),
        "port_failed",
        (
            "tty0 failed: Write timeout",
            r"mainA is silent \(its port does not work\)",
            "tty0 works again",
            READ_AGAIN,
        ),
        ends=("release tty0",),
    ),
    Row(
        "port that is stuck until it is opened anew",
        ("stick tty0",),
        ("no_answer_yet", "no_answer_yet", "settling", OK, OK),
    ),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_fault(play: Play, row: Row) -> None:
    with play(row.layout, row.pace_s) as bench:
        bench.order(*row.begins)
        if row.during:
            threading.Timer(0.1, bench.order, [row.during]).start()
        stored = bench.cycles(FAULTY_CYCLES)
        wanted = [row.stored] * FAULTY_CYCLES if isinstance(row.stored, str) else row.stored
        for got, pattern in zip(stored["mainA"], wanted, strict=True):
            assert re.fullmatch(pattern, got), stored["mainA"]
        bench.order(*row.ends)
        recovery = bench.recovery("mainA")
        assert recovery == row.recovery or (row.said is None and recovery < row.recovery)
        assert set(bench.cycles(3)["mainA"]) == {OK}
        said = bench.said()
    assert {*stored["mainB"], *stored["gen"]} == {OK}
    if row.said is None:
        assert len(said) == len(set(said)) <= 2, said
        return
    assert len(said) == len(row.said), said
    for got, pattern in zip(said, row.said, strict=True):
        assert re.fullmatch(pattern, got), said


def test_the_nonsense_after_power_returns_is_not_believed(play: Play) -> None:
    with play() as bench:
        bench.order("silence mainA")
        dark = bench.cycles(DARK_S // INTERVAL_S + 1)["mainA"]
        assert dark[2:] == ["no_answer"] * (len(dark) - 2)
        bench.order("nonsense mainA 2")  # as long as the first cycle asks
        assert bench.cycles(2) == {"mainA": ["settling", OK], "mainB": [OK, OK], "gen": [OK, OK]}
        bench.cycles(3)
        assert bench.said() == ["mainA is silent (no answer)", "mainA is read again"]


def test_a_reading_against_physics_is_asked_for_again_after_a_refresh(play: Play) -> None:
    """The registers of two different seconds cost no slot."""
    with play() as bench:
        meter = bench.simulator.meter("mainA")
        torn = dataclasses.replace(IDLE, watts=3000.0)

        bench.before_poll = lambda: meter.show(torn)
        asked = len(bench.simulator.journal.replies)
        threading.Timer(0.5, lambda: meter.show(bench.shown["mainA"])).start()
        assert bench.cycle() == dict.fromkeys(METERS, OK)
        sent = [r.displayed for r in bench.simulator.journal.replies[asked:] if r.meter == "mainA"]
        assert sent == [torn, bench.shown["mainA"]]


def test_a_meter_that_stays_against_physics_is_faulty_and_said_once(play: Play) -> None:
    with play() as bench:
        meter = bench.simulator.meter("mainA")
        torn = dataclasses.replace(IDLE, watts=3000.0)
        bench.before_poll = lambda: meter.show(torn)
        stored = bench.cycles(FAULTY_CYCLES)
        assert stored["mainA"] == ["implausible 3000.0 W 0.0 VA"] * FAULTY_CYCLES
        assert {*stored["mainB"], *stored["gen"]} == {OK}
        bench.before_poll = None
        assert bench.recovery("mainA") == 1
        assert bench.said() == ["mainA is faulty (implausible 3000.0 W 0.0 VA)"]


# --- two meters at one address, on two ports


def test_a_twin_on_another_port_is_said_once_and_never_read(play: Play) -> None:
    """Also when the meter that is read falls silent and is looked for everywhere."""
    layout = {**THREE_PORTS, "tty3": []}
    with play(layout, orders=("twin mainA tty3",)) as bench:
        assert sum("two meters have it" in line for line in bench.said_before) == 1
        assert bench.ports.homes()["mainA"] == f"{bench.dev}/tty0"
        bench.order("silence mainA")
        for _ in range(5):
            bench.ahead_s += 4 * FIRST_PROBE_S
            assert bench.cycle()["mainA"].startswith("no_answer")
        bench.order("heal mainA")
        assert bench.recovery("mainA") == SETTLED
        assert not any("two meters" in line for line in bench.said())


# --- adapters and lines that change places


@pytest.mark.parametrize("order", ["swap tty0 tty1", "renumber"])
def test_adapters_exchanged_between_two_cycles_lose_none(play: Play, order: str) -> None:
    with play() as bench:
        bench.order(order)
        assert bench.cycles(2) == {name: [OK, OK] for name in METERS}
        bench.cycles(2)
        said = bench.said()
    changed = 2 if "swap" in order else 3
    for what in (r"tty\d is gone", r"tty\d appeared", r"\w+ \(address \d\) answers on tty\d"):
        lines = [line for line in said if re.fullmatch(what, line)]
        assert len(lines) == len(set(lines)) == changed
    assert len(said) == 3 * changed


def test_lines_exchanged_behind_their_adapters_cost_one_cycle(play: Play) -> None:
    with play() as bench:
        bench.order("rewire tty0 tty2")
        played = bench.cycles(3)
        assert played["mainA"] == played["gen"] == ["no_answer_yet", OK, OK]
        assert played["mainB"] == [OK, OK, OK]
        assert sorted(bench.said()) == [
            "gen (address 6) answers on tty0",
            "mainA (address 4) answers on tty2",
        ]


def test_a_line_exchanged_with_that_of_a_dark_meter_is_found_too(play: Play) -> None:
    with play() as bench:
        bench.order("silence gen")
        bench.cycles(4)
        bench.order("rewire tty0 tty2")
        assert bench.cycles(3)["mainA"] == ["no_answer_yet", OK, OK]


# --- threads that are stuck in the kernel


class Kernel:
    """A stand-in for a driver that does not come back: it holds a call of one port's thread.

    A pty never does that by itself. What it cannot show is a call that no signal can interrupt.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call: str, port: str) -> None:
        self._back = threading.Event()
        self._port = port
        owner, name = {"read": (os, "read"), "select": (select, "select")}.get(
            call, (serial.Serial, call)
        )
        original = getattr(owner, name)

        def held(*args: object, **kwargs: object) -> object:
            if threading.current_thread().name == f"port {self._port}":
                self._back.wait()
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, held)

    def come_back(self) -> None:
        self._back.set()


@pytest.mark.parametrize("call", ["write", "read", "select", "open", "close"])
def test_a_port_whose_thread_is_stuck_holds_up_no_other(
    play: Play, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with play() as bench:
        if call in {"open", "close"}:  # which happen when a port has been without a word
            bench.order("silence mainA")
            bench.cycles(2)
        kernel = Kernel(monkeypatch, call, f"{bench.dev}/tty0")
        assert bench.cycle() == {"mainA": "port_failed", "mainB": OK, "gen": OK}
        stored = bench.cycles(4)
        assert stored == {"mainA": ["port_failed"] * 4, "mainB": [OK] * 4, "gen": [OK] * 4}
        kernel.come_back()
        bench.order("heal")
        eventually(lambda: not bench.ports._ports[f"{bench.dev}/tty0"].is_stuck, "it is back")
        assert bench.recovery("mainA") == (SETTLED if call in {"open", "close"} else 1)
        bench.cycles(3)
        said = bench.said()
    assert said.count("tty0 does not react; its meters wait for it") == 1
    assert said.count("tty0 works again") == 1
    assert len(said) == len(set(said)) <= 4


def test_ports_can_be_closed_though_one_is_stuck(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    with play() as bench:
        kernel = Kernel(monkeypatch, "read", f"{bench.dev}/tty0")
        bench.cycle()
        bench.ports.close()
        kernel.come_back()


def test_a_defect_is_said_once_and_costs_its_own_port_only(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with play() as bench:

        def broken(line: Line, *_: object) -> bytes:
            if str(line.port).endswith("tty0"):
                raise RuntimeError("oops")
            return original(line)

        original = Line.read
        monkeypatch.setattr(Line, "read", broken)
        stored = bench.cycles(4)
        assert stored == {"mainA": ["port_failed"] * 4, "mainB": [OK] * 4, "gen": [OK] * 4}
        monkeypatch.setattr(Line, "read", original)
        assert bench.recovery("mainA") == 1
    assert sum("this is a defect" in line for line in bench.said()) == 1


# --- others on the ports


class Foreign:
    """A device that is no meter, and talks all the time."""

    def __init__(self, link: Path) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        link.symlink_to(os.ttyname(self._slave))

    def take(self) -> bytes:
        os.write(self.master, b"$GPGGA,123519,4807.038,N,01131.000,E*47\r\n")
        try:
            return os.read(self.master, 4096)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self.master)
        os.close(self._slave)


def test_a_foreign_device_gets_nothing_until_a_meter_was_missed_for_a_minute(
    play: Play,
) -> None:
    with play() as bench:
        foreign = Foreign(bench.dev / "tty9")
        assert bench.cycles(3) == {name: [OK] * 3 for name in METERS}
        assert foreign.take() == b"", "all meters answer, so nobody is looked for"
        bench.order("silence gen")
        bench.cycles(FAULTY_CYCLES)
        assert foreign.take() == b"", "it may come back where it was"
        bench.ahead_s += FIRST_PROBE_S
        bench.cycles(2)
        assert len(foreign.take()) == 8, "one question"
        bench.order("heal gen")
        assert bench.recovery("gen") == SETTLED
        bench.cycles(3)
        assert bench.said() == ["tty9 appeared", "gen is silent (no answer)", "gen is read again"]
        foreign.close()


@pytest.mark.parametrize("has_brltty", [False, True])
def test_a_port_that_another_program_holds(
    play: Play, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, has_brltty: bool
) -> None:
    program = tmp_path / "brltty"
    monkeypatch.setattr("pzem.line.BRLTTY", (program,))
    if has_brltty:
        program.touch()
    with play() as bench:
        bench.order("unplug tty0")
        bench.cycle()
        bench.order("plug tty0")
        with closing(Line(f"{bench.dev}/tty0")):
            stored = bench.cycles(FAULTY_CYCLES)
        assert stored["mainA"] == ["port_busy"] * FAULTY_CYCLES
        assert {*stored["mainB"], *stored["gen"]} == {OK}
        assert bench.recovery("mainA") == 1
        bench.cycles(3)
        said = bench.said()
    assert len(said) == 6
    assert said[:2] == ["tty0 is gone", "tty0 appeared"]
    assert re.match(r"tty0 is in use by .*; stop that first", said[2])
    assert ("sudo apt purge brltty" in said[2]) is has_brltty
    assert said[3] == "mainA is silent (another program holds its port)"
    assert said[4:] == ["tty0 works again", "mainA is read again"]


def test_a_program_that_reads_along_steals_values_and_spoils_none(play: Play) -> None:
    """It asked for no lock and had the port open before."""
    with play() as bench:
        thief = os.open(bench.dev / "tty0", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        over = threading.Event()

        def steal() -> None:
            while not over.is_set():
                if select.select([thief], [], [], 0.05)[0]:
                    with contextlib.suppress(BlockingIOError):
                        os.read(thief, 3)

        thread = threading.Thread(target=steal)
        thread.start()
        stored = bench.cycles(FAULTY_CYCLES)
        over.set()
        thread.join()
        os.close(thief)
        assert {*stored["mainB"], *stored["gen"]} == {OK}
        assert bench.recovery("mainA") <= 2
        said = bench.said()
        assert len(said) == len(set(said)) <= 3
        assert all(re.match("mainA is |tty0: another program reads from it", s) for s in said)


# --- how the meters are, and since when


def test_health_tells_since_when(play: Play) -> None:
    with play() as bench:
        bench.order("silence mainA")
        bench.cycles(4)
        (since, latest) = (2 * INTERVAL_S, 5 * INTERVAL_S)
        health = bench.latest_health
        assert (health["mainA"].state, health["mainA"].reason) == (SILENT, "no_answer")
        assert health["mainA"].since.unix_s == since
        bench.order("overrange mainA amps 105")
        bench.cycle()
        health = bench.latest_health
        assert (health["mainA"].state, health["mainA"].reason) == (FAULTY, "over_range amps 105.0")
        assert health["mainA"].since.unix_s == latest + INTERVAL_S
        assert health["mainB"].since.unix_s == INTERVAL_S


def test_a_meter_that_no_port_has_heard_is_not_found(play: Play) -> None:
    with play(orders=("silence gen",)) as bench:
        assert bench.cycles(4)["gen"] == ["not_found"] * 4
        bench.order("heal gen")
        assert bench.recovery("gen") == SETTLED
        bench.cycles(3)
        assert bench.said() == [
            "gen is silent (not heard on any port so far; it is looked for)",
            "gen (address 6) answers on tty2",
            "gen is read again",
        ]
