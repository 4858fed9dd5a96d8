"""The exclusive line and a meter's three outcomes, on ptys with damaged replies."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pzem.line import IO_ERRORS, Line, PortBusyError, PortError, opened
from pzem.meter import Faulty, Meter, MeterError, Outcome, Silent
from pzem.registers import Reading
from pzem.testing import SimulatedMeter, Simulator
from support import SHOWN, meter


@pytest.fixture
def simulator(dev: Path) -> Iterator[Simulator]:
    with Simulator.with_meters({dev / "tty": [meter("mainA", 4), meter("mainB", 5)]}) as running:
        yield running


@pytest.fixture
def line(simulator: Simulator) -> Iterator[Line]:
    opened = Line(str(simulator.lines[0].link))
    yield opened
    opened.close()


def test_a_reading_is_what_the_meter_displays(line: Line) -> None:
    assert Meter(line, 4).read() == SHOWN


def test_an_absent_meter_is_silent(line: Line) -> None:
    assert Meter(line, 9).read() == Silent()


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("leading-zero mainA", SHOWN),
        ("trailing-junk mainA", SHOWN),
        ("local-echo mainA", SHOWN),
        ("silence mainA", Silent()),
        ("late mainA 0.5", Silent()),
        ("swapped-reply mainA 9", Faulty("wrong_address 9")),
        ("wrong-function mainA", Faulty("wrong_function 3")),
        ("wrong-length mainA", Faulty("wrong_length")),
        ("corrupt-golden mainA", Faulty("bad_crc")),
        ("error mainA 4", Faulty("modbus_error 4", well_formed=True)),
        ("overrange mainA amps 105", Faulty("over_range amps 105.0", well_formed=True)),
        ("overrange mainA volts 265", Faulty("over_range volts 265.0", well_formed=True)),
    ],
)
def test_damaged_replies(simulator: Simulator, line: Line, fault: str, outcome: Outcome) -> None:
    simulator.order(fault)
    assert Meter(line, 4).read() == outcome


@pytest.mark.parametrize("fault", ["bit-flip mainA", "truncated mainA", "junk mainA"])
def test_random_damage_never_passes_for_a_reading(
    simulator: Simulator, line: Line, fault: str
) -> None:
    simulator.order(fault)
    for _ in range(10):
        assert not isinstance(Meter(line, 4).read(), Reading)
        line.drain()
    simulator.order("heal mainA")
    simulator.meter("mainA").show(SHOWN)
    assert Meter(line, 4).read() == SHOWN


def test_an_echo_alone_is_silence(simulator: Simulator, line: Line) -> None:
    simulator.order("echo-alone mainA")
    assert Meter(line, 4).read() == Silent()


def test_a_late_reply_of_one_meter_is_no_fault_of_another(simulator: Simulator, line: Line) -> None:
    simulator.order("late mainA 0.4")
    simulator.order("silence mainB")
    assert Meter(line, 4).read() == Silent()
    assert line.owes(4)
    assert Meter(line, 5).read() == Silent()


def test_a_second_user_is_told_who_holds_the_port(line: Line) -> None:
    with pytest.raises(PortBusyError, match=rf"is in use by .* \(pid {os.getpid()}\); stop that"):
        Line(str(line.port))


def test_the_port_is_free_after_closing(simulator: Simulator) -> None:
    path = str(simulator.lines[0].link)
    for _ in range(3):
        opened = Line(path)
        assert Meter(opened, 4).read() == SHOWN
        opened.close()


def test_others_are_kept_out_by_the_kernel(line: Line) -> None:
    # Root passes TIOCEXCL, so the flag itself is asked for (TIOCGEXCL of ioctl_tty(2)).
    flag = fcntl.ioctl(line.fileno(), 0x80045440, b"\0\0\0\0")
    assert int.from_bytes(flag, "little") == 1


def test_a_missing_port_and_a_file_are_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="does not exist; is the adapter plugged in"):
        Line(str(tmp_path / "none"))
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(PortError, match="is not a serial port"):
        Line(str(file))


def test_an_unplugged_port_raises_what_the_ports_expect(simulator: Simulator, line: Line) -> None:
    simulator.order("unplug tty")
    with pytest.raises(IO_ERRORS):
        Meter(line, 4).read()
    line.close()


def test_settings_are_written_and_read_back(simulator: Simulator, line: Line) -> None:
    simulated = simulator.meter("mainA")
    held = Meter(line, 4)
    held.set_alarm_threshold_w(1500)
    assert held.alarm_threshold_w() == 1500
    held.set_address(7)
    assert Meter(line, 7).read() == SHOWN
    assert simulated.address == 7


def test_energy_is_reset(simulator: Simulator, line: Line) -> None:
    simulated = SimulatedMeter("energetic", 8)
    simulated.energy_wh = 1234.0
    simulator.lines[0].meters.append(simulated)
    Meter(line, 8).reset_energy()
    line.drain()
    after = Meter(line, 8).read()
    assert isinstance(after, Reading)
    assert after.energy_wh == 0.0


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("silence mainA", "did not tell its settings: no answer"),
        ("error mainA 2", "did not tell its settings: illegal address"),
        ("corrupt-golden mainA", r"did not tell its settings: garbled answer \("),
    ],
)
def test_a_command_that_fails_says_why(
    simulator: Simulator, line: Line, fault: str, why: str
) -> None:
    simulator.order(fault)
    with pytest.raises(MeterError, match=why):
        Meter(line, 4).alarm_threshold_w()


def test_an_open_port_that_fails_is_one_clear_line(simulator: Simulator) -> None:
    def use_and_unplug() -> None:
        with opened(str(simulator.lines[0].link)) as line:
            simulator.order("unplug tty")
            Meter(line, 4).read()

    with pytest.raises(PortError, match="was it unplugged"):
        use_and_unplug()


def test_the_line_runs_at_9600_8n1(line: Line) -> None:
    *_, cflag, _lflag, ispeed, ospeed, _cc = termios.tcgetattr(line.fileno())
    assert (ispeed, ospeed) == (termios.B9600, termios.B9600)
    assert cflag & termios.CSIZE == termios.CS8
    assert not cflag & (termios.PARENB | termios.CSTOPB)
    assert os.isatty(line.fileno())


def test_bytes_that_are_gone_when_they_are_read_are_noticed(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for another reader, which a test cannot have win for certain."""
    read = os.read

    def robbed(descriptor: int, size: int) -> bytes:
        taken = read(descriptor, size)
        return b"" if descriptor == line.fileno() else taken

    assert not line.is_robbed
    monkeypatch.setattr(os, "read", robbed)
    assert Meter(line, 4).read() == Silent()
    assert line.is_robbed


def test_what_comes_sooner_than_a_reply_can_come_is_none(simulator: Simulator, line: Line) -> None:
    """The second copy of a reply arrives while the next question goes out."""
    simulated = simulator.meter("mainA")
    simulated.fail("doubled", count=1)
    assert Meter(line, 4).read() == SHOWN
    simulated.show(dataclasses.replace(SHOWN, watts=500.0))
    assert Meter(line, 4).read() == dataclasses.replace(SHOWN, watts=500.0)


def test_two_meters_that_answer_one_after_the_other_are_not_believed(
    simulator: Simulator, line: Line
) -> None:
    simulator.order("twin mainA tty")
    simulator.order("late mainA_twin 0.05")
    deadline = time.monotonic() + 3
    assert Meter(line, 4).ask(2, deadline) == Faulty("two_answers", well_formed=True)
    simulator.order("remove mainA_twin")
    simulator.order("doubled mainA")
    assert isinstance(Meter(line, 4).ask(2, deadline), Reading)
