"""The simulator through its ptys, as a client sees it: pyserial and minimalmodbus."""

import fcntl
import json
import os
import select
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import minimalmodbus
import pytest
import serial

from pzem.frames import CHARACTER_S, SILENT_GAP_S, find_reply, has_good_crc, with_crc
from pzem.registers import Reading, decode
from pzem.testing import (
    IDLE,
    LinkError,
    SimulatedHouse,
    SimulatedLine,
    SimulatedMeter,
    Simulator,
    State,
)
from pzem.testing.line import TURN_AROUND_S

TIOCGEXCL = 0x80045440
PATIENCE_S = 60.0
"""Longer than anything takes on a busy machine; only a failing test waits that long."""
SILENCE_S = 0.3
"""How long to listen where nothing is to be heard."""
READING = Reading(121.5, 70.108, 8409.4, 6_553_600.0, 59.9, 0.99, alarm=True)


def read_all(address: int) -> bytes:
    return with_crc(bytes([address, 4, 0, 0, 0, 10]))


def client(port: Path) -> serial.Serial:
    return serial.Serial(str(port), 9600, timeout=PATIENCE_S)


def ask(port: Path, request: bytes, length: int = 25, timeout_s: float = PATIENCE_S) -> bytes:
    with client(port) as line:
        line.timeout = timeout_s
        line.write(request)
        return bytes(line.read(length))


def instrument(port: Path, address: int) -> minimalmodbus.Instrument:
    result = minimalmodbus.Instrument(str(port), address, close_port_after_each_call=True)
    result.serial.baudrate = 9600
    result.serial.timeout = PATIENCE_S
    return result


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def port(tmp_path: Path) -> Path:
    return tmp_path / "ttyUSB0"


@pytest.fixture
def meter() -> SimulatedMeter:
    return SimulatedMeter("mainA", 4, READING)


@pytest.fixture
def simulator(port: Path, meter: SimulatedMeter) -> Iterator[Simulator]:
    with Simulator.with_meters({port: [meter, SimulatedMeter("mainB", 5)]}) as running:
        yield running


class TestLine:
    def test_minimalmodbus_reads_what_is_displayed(self, simulator: Simulator, port: Path) -> None:
        assert decode(instrument(port, 4).read_registers(0, 10, 4)) == READING
        assert decode(instrument(port, 5).read_registers(0, 10, 4)) == IDLE

    @pytest.mark.parametrize("pieces", [1, 8])
    def test_reply_takes_at_least_its_time_on_the_wire(
        self, simulator: Simulator, port: Path, pieces: int
    ) -> None:
        length = 8 // pieces
        with client(port) as line:
            for _ in range(10):
                start = time.monotonic()
                for piece in range(pieces):
                    line.write(read_all(4)[piece * length :][:length])
                if reply := line.read(25):
                    break  # else this process was held up, which ends a frame as on a real line
            duration_s = time.monotonic() - start
        assert has_good_crc(reply)
        assert duration_s >= 33 * CHARACTER_S + SILENT_GAP_S + TURN_AROUND_S

    @pytest.mark.parametrize("baud", [19200, 4800])
    def test_another_baud_rate_is_not_understood(
        self, simulator: Simulator, port: Path, baud: int
    ) -> None:
        stranger = instrument(port, 4)
        stranger.serial.baudrate = baud
        stranger.serial.timeout = SILENCE_S
        with pytest.raises(minimalmodbus.NoResponseError):
            stranger.read_registers(0, 10, 4)

    def test_port_is_raw_from_the_start(
        self, simulator: Simulator, port: Path, meter: SimulatedMeter
    ) -> None:
        # bytes that a tty in cooked mode takes for control characters
        meter.show(replace(IDLE, volts=0x1103 / 10, amps=0x0D0A0413 / 1000, watts=0x7F1A / 10))
        expected = meter.answer(read_all(4))
        assert expected is not None
        fd = os.open(port, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, read_all(4))
        heard = b""
        while len(heard) < len(expected):
            assert select.select([fd], [], [], PATIENCE_S)[0]
            heard += os.read(fd, 256)
        os.close(fd)
        assert heard == expected

    def test_client_may_close_and_open_for_ever(self, simulator: Simulator, port: Path) -> None:
        for _ in range(10):
            with client(port):
                pass
            assert len(ask(port, read_all(4))) == 25

    def test_exclusive_use_ends_though_the_simulator_keeps_the_slave_open(
        self, simulator: Simulator, port: Path
    ) -> None:
        with client(port) as line:
            fcntl.ioctl(line.fileno(), termios.TIOCEXCL)

            def exclusive() -> bool:
                answer = fcntl.ioctl(line.fileno(), TIOCGEXCL, bytes(4))
                return bool(int.from_bytes(answer, "little"))

            assert exclusive()
            wait_until(lambda: not exclusive())

    @pytest.mark.parametrize("same_reading", [True, False])
    def test_two_meters_at_one_address_spoil_each_other(
        self, port: Path, same_reading: bool
    ) -> None:
        other = SimulatedMeter("mainB", 4, READING if same_reading else IDLE)
        with Simulator.with_meters(
            {port: [SimulatedMeter("mainA", 4, READING), other]}
        ) as simulator:
            heard = ask(port, read_all(4), length=26)
            assert len(heard) == 26
            assert find_reply(heard, read_all(4)) is None
            assert [reply.damaged for reply in simulator.journal.replies] == [True, True]


class TestPlugging:
    def test_unplugging_hangs_up_and_plugging_makes_a_new_port(
        self, simulator: Simulator, port: Path
    ) -> None:
        (line,) = simulator.lines
        with client(port) as old:
            line.unplug()
            assert not port.is_symlink()
            with pytest.raises(OSError, match="Input/output error"):
                os.write(old.fileno(), read_all(4))
            assert os.read(old.fileno(), 1) == b""
            line.plug(port.with_name("ttyUSB7"))
            assert len(ask(port.with_name("ttyUSB7"), read_all(4))) == 25
            with pytest.raises(OSError, match="Input/output error"):
                os.write(old.fileno(), read_all(4))
        assert not port.is_symlink()

    def test_plugging_and_unplugging_twice_changes_nothing(
        self, simulator: Simulator, port: Path
    ) -> None:
        (line,) = simulator.lines
        target = port.readlink()
        line.plug()
        assert port.readlink() == target
        line.unplug()
        line.unplug()
        assert not line.plugged

    @pytest.mark.parametrize("stale", ["/dev/pts/ptmx", "/nowhere/at/all"])
    def test_links_left_by_a_killed_run_are_replaced(self, port: Path, stale: str) -> None:
        port.symlink_to(stale)
        with SimulatedLine(port, [SimulatedMeter("mainA", 4)]):
            assert len(ask(port, read_all(4))) == 25

    def test_what_is_no_simulated_port_is_left_alone(self, port: Path, tmp_path: Path) -> None:
        precious = tmp_path / "precious"
        precious.write_text("data")
        port.symlink_to(precious)
        for link in (precious, port, tmp_path):
            with pytest.raises(LinkError, match=f"{link} exists and is no simulated port"):
                SimulatedLine(link, []).plug()
        assert port.read_text() == "data"

    def test_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(LinkError, match=r"cannot make .*: No such file or directory"):
            SimulatedLine(tmp_path / "a" / "ttyUSB0", []).plug()

    def test_unplugging_leaves_another_ones_link(self, simulator: Simulator, port: Path) -> None:
        port.unlink()
        port.write_text("mine now")
        simulator.lines[0].unplug()
        assert port.read_text() == "mine now"


class TestLateReplies:
    def test_holds_old_values_and_lets_later_requests_through(
        self, simulator: Simulator, port: Path, meter: SimulatedMeter
    ) -> None:
        meter.fail("late", 0.4, count=1)
        with client(port) as line:
            line.write(read_all(4))
            wait_until(lambda: meter.fault is None)  # the request has been heard
            meter.show(IDLE)
            line.write(read_all(4))
            first, second = line.read(25), line.read(25)
        assert first == meter.answer(read_all(4))
        meter.show(READING)
        assert second == meter.answer(read_all(4))
        assert [(reply.fault, reply.displayed) for reply in simulator.journal.replies] == [
            (None, IDLE),
            ("late", READING),
        ]


class TestJournal:
    def test_tells_what_was_sent_and_what_was_displayed(
        self, port: Path, meter: SimulatedMeter, tmp_path: Path
    ) -> None:
        file = tmp_path / "journal"
        begin = time.time()
        with Simulator.with_meters({port: [meter]}, journal_file=file) as simulator:
            good = ask(port, read_all(4))
            meter.fail("bit-flip", count=1)
            bad = ask(port, read_all(4))
            meter.fail("silence", count=1)
            assert ask(port, read_all(4), timeout_s=SILENCE_S) == b""
            replies = simulator.journal.replies
        assert [reply.reply for reply in replies] == [good.hex(), bad.hex()]
        assert [reply.damaged for reply in replies] == [False, True]
        assert [reply.fault for reply in replies] == [None, "bit-flip"]
        assert begin <= replies[0].unix_s < replies[1].unix_s <= time.time()
        for reply in replies:
            assert (reply.meter, reply.port) == ("mainA", str(port))
            assert reply.request == read_all(4).hex()
            assert reply.displayed == READING
        written = [json.loads(line) for line in file.read_text().splitlines()]
        assert [line["reply"] for line in written] == [good.hex(), bad.hex()]
        assert Reading(**written[0]["displayed"]) == READING

    def test_full_disk_does_not_silence_the_meters(
        self, port: Path, meter: SimulatedMeter, caplog: pytest.LogCaptureFixture
    ) -> None:
        with Simulator.with_meters({port: [meter]}, journal_file=Path("/dev/full")) as simulator:
            assert len(ask(port, read_all(4))) == len(ask(port, read_all(4))) == 25
            assert len(simulator.journal.replies) == 2
        assert len(caplog.messages) == 1


class TestSimulator:
    def test_leaves_nothing_behind(self, tmp_path: Path) -> None:
        def belongings() -> tuple[set[str], int, set[threading.Thread]]:
            files = {path.name for path in tmp_path.iterdir()}
            return files, len(os.listdir("/proc/self/fd")), set(threading.enumerate())

        before = belongings()
        house = SimulatedHouse()
        ports = {tmp_path / name: [meter] for name, meter in house.meters.items()}
        simulator = Simulator.with_meters(ports, house)
        for _ in range(2):
            simulator.start()
            assert belongings()[0] == set(house.meters)
            simulator.lines[0].unplug()
            simulator.stop()
            simulator.stop()
            assert belongings() == before

    def test_starts_all_ports_or_none(self, tmp_path: Path) -> None:
        (tmp_path / "b").write_text("a file")
        simulator = Simulator.with_meters({str(tmp_path / name): [] for name in "abc"})
        with pytest.raises(LinkError):
            simulator.start()
        assert [path.name for path in tmp_path.iterdir()] == ["b"]

    def test_house_lives_in_real_time_and_goes_dark(self, port: Path) -> None:
        house = SimulatedHouse(wild_start=False)
        with Simulator.with_meters({port: list(house.meters.values())}, house) as simulator:
            before = house.meters["mainA"].displayed
            wait_until(lambda: house.meters["mainA"].displayed != before)
            simulator.order("outage")
            assert ask(port, read_all(4), timeout_s=SILENCE_S) == b""
            simulator.order("generator")
            assert house.state is State.GENERATOR
            assert decode(instrument(port, 4).read_registers(0, 10, 4)).amps == 0

    def test_ports_change_names_under_way(self, tmp_path: Path) -> None:
        ports = {tmp_path / f"ttyUSB{n}": [SimulatedMeter(f"m{n}", n + 1)] for n in range(3)}

        def answering() -> list[int]:
            return [
                int.from_bytes(
                    ask(port, with_crc(b"\xf8\x03\x00\x02\x00\x01"), length=7)[3:5], "big"
                )
                for port in ports
            ]

        with Simulator.with_meters(ports) as simulator, ExitStack() as stack:
            old = stack.enter_context(client(tmp_path / "ttyUSB0"))
            assert simulator.order("renumber") == "ttyUSB1: m0; ttyUSB2: m1; ttyUSB0: m2"
            with pytest.raises(OSError, match="Input/output error"):
                os.write(old.fileno(), b"\0")
            simulator.order("swap ttyUSB0 ttyUSB1")
            assert answering() == [1, 3, 2]
