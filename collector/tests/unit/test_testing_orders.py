"""The order language, its refusals, and its way through a control socket."""

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import serial

from pzem.line import Line
from pzem.meter import Meter, Silent
from pzem.registers import Reading
from pzem.testing import FAULTS, IDLE, OrderError, SimulatedHouse, SimulatedMeter, Simulator
from pzem.testing.control import ControlSocket, send_order
from pzem.testing.orders import ORDERS


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    house = SimulatedHouse(appliances=())
    ports = {tmp_path / f"ttyUSB{n}": [m] for n, m in enumerate(house.meters.values())}
    with Simulator.with_meters(ports, house) as running:
        yield running


@pytest.fixture
def bare() -> Simulator:
    """A simulator without a house that has not been started."""
    return Simulator.with_meters({"/tmp/ttyUSB0": [SimulatedMeter("mainA", 4)]})


ARGUMENTS = {
    "BITS": "3",
    "SECONDS": "0.5",
    "RATE": "0.5",
    "ADDRESS": "9",
    "CODE": "2",
    "QUANTITY": "volts",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_can_be_ordered_and_healed(bare: Simulator, fault: str) -> None:
    words = [ARGUMENTS.get(word, "300") for word in FAULTS[fault].arguments.split()]
    said = bare.order(" ".join([fault, "mainA", *words, "3"]))
    assert said.startswith(f"mainA: {fault}")
    assert said.endswith("(3 left)")
    assert str(bare.meter("mainA").fault) in bare.order("status")
    bare.order("heal mainA")
    assert bare.meter("mainA").fault is None


def test_show_sets_what_is_named_and_keeps_the_rest(bare: Simulator) -> None:
    bare.order("show mainA volts=121.5 energy_wh=77")
    assert bare.meter("mainA").displayed == replace(IDLE, volts=121.5, energy_wh=77.0)


def test_shown_values_stay_until_healed_although_the_house_lives(simulator: Simulator) -> None:
    assert simulator.house is not None
    simulator.order("show gen volts=99")
    simulator.house.advance(5)
    assert simulator.meter("gen").displayed.volts == 99
    simulator.order("heal")
    simulator.house.advance(5)
    assert simulator.meter("gen").displayed.volts != 99


def test_energy_and_load(simulator: Simulator) -> None:
    assert simulator.house is not None
    simulator.order("energy mainB 9999000")
    simulator.order("load 3600 B")
    simulator.house.advance(10)
    assert 9_999_008 <= simulator.meter("mainB").displayed.energy_wh <= 9_999_011


@pytest.mark.parametrize("state", ["outage", "generator", "utility-back", "utility"])
def test_supply(simulator: Simulator, state: str) -> None:
    simulator.order(state)
    assert simulator.order("status").startswith(f"supply: {state}\n")


def test_plug_under_the_old_and_under_another_name(simulator: Simulator, tmp_path: Path) -> None:
    simulator.order("unplug ttyUSB1")
    assert not (tmp_path / "ttyUSB1").is_symlink()
    assert "ttyUSB1 unplugged" in simulator.order("status")
    simulator.order(f"plug {tmp_path}/ttyUSB1")
    assert (tmp_path / "ttyUSB1").is_symlink()
    simulator.order("unplug ttyUSB1")
    simulator.order("plug ttyUSB1 as ttyUSB9")
    assert {path.name for path in tmp_path.iterdir()} == {"ttyUSB0", "ttyUSB2", "ttyUSB9"}


def test_swapped_ports_keep_their_device_numbers(simulator: Simulator, tmp_path: Path) -> None:
    numbers = [(tmp_path / f"ttyUSB{n}").readlink() for n in range(3)]
    assert simulator.order("swap ttyUSB0 ttyUSB2") == "ttyUSB2: mainA; ttyUSB0: gen"
    assert [(tmp_path / f"ttyUSB{n}").readlink() for n in range(3)] == numbers


def test_rewired_adapters_keep_names_and_handles(simulator: Simulator, tmp_path: Path) -> None:
    with closing(Line(str(tmp_path / "ttyUSB0"))) as line:
        assert simulator.order("rewire ttyUSB0 ttyUSB2") == "ttyUSB0: gen; ttyUSB2: mainA"
        assert isinstance(Meter(line, 6).read(), Reading)
        assert Meter(line, 4).read() == Silent()


def test_a_twin_answers_at_the_same_address_and_can_be_removed(
    simulator: Simulator, tmp_path: Path
) -> None:
    assert simulator.order("twin mainA ttyUSB2") == "ttyUSB2: gen, mainA_twin"
    with closing(Line(str(tmp_path / "ttyUSB2"))) as line:
        shown = Meter(line, 4).read()
        assert isinstance(shown, Reading)
        assert shown.volts == 111.1
        with pytest.raises(OrderError, match="mainA has a twin: remove mainA_twin first"):
            simulator.order("twin mainA ttyUSB1")
        assert simulator.order("remove mainA_twin") == "ttyUSB2: gen"
        assert Meter(line, 4).read() == Silent()


def test_a_port_that_hangs_takes_nothing_and_delivers_nothing(
    simulator: Simulator, tmp_path: Path
) -> None:
    with closing(Line(str(tmp_path / "ttyUSB0"))) as line:
        assert "hangs, until 'release ttyUSB0'" in simulator.order("hang ttyUSB0")
        with pytest.raises(serial.SerialTimeoutException):
            Meter(line, 4).read()
        line.reopen()
        with pytest.raises(serial.SerialTimeoutException):
            Meter(line, 4).read()
        simulator.order("release ttyUSB0")
        line.reopen()
        assert isinstance(Meter(line, 4).read(), Reading)


def test_a_stuck_port_works_when_it_is_opened_anew(simulator: Simulator, tmp_path: Path) -> None:
    with closing(Line(str(tmp_path / "ttyUSB0"))) as line:
        simulator.order("stick ttyUSB0")
        assert [Meter(line, 4).read() for _ in range(2)] == [Silent(), Silent()]
        line.reopen()
        assert isinstance(Meter(line, 4).read(), Reading)
        simulator.order("stick ttyUSB0")
        simulator.order("release ttyUSB0")
        assert isinstance(Meter(line, 4).read(), Reading)


@pytest.mark.parametrize("fault", ["hang", "stick"])
def test_a_replugged_port_is_well_again(simulator: Simulator, tmp_path: Path, fault: str) -> None:
    for order in (fault, "unplug", "plug"):
        simulator.order(f"{order} ttyUSB0")
    with closing(Line(str(tmp_path / "ttyUSB0"))) as line:
        assert isinstance(Meter(line, 4).read(), Reading)


def test_help_lists_every_order(bare: Simulator) -> None:
    listed = [line.split()[0] for line in bare.order("help").splitlines()[1:]]
    assert listed == list(ORDERS)
    assert bare.order("") == bare.order("help")


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ("explode", "no order is called 'explode'; 'help' lists them"),
        ("late", "the order is: late METER SECONDS [COUNT]"),
        ("junk mainA 1 2", "the order is: junk METER [COUNT]"),
        ("junk mainA soon", "COUNT must be a whole number, not 'soon'"),
        ("junk mainA 0", "COUNT must be 1 or more, not 0"),
        ("late mainA -1", "SECONDS must be a number from 0 to 60, not -1"),
        ("junk nobody", "no meter is called 'nobody'; there are: mainA, mainB, gen"),
        ("unplug ttyUSB7", "no port is called 'ttyUSB7'; there are: ttyUSB0, ttyUSB1, ttyUSB2"),
        ("plug ttyUSB0", "ttyUSB0 is plugged in: unplug it first"),
        ("show gen volts", "'volts' is not QUANTITY=VALUE, as volts=121.5"),
        ("show gen volts=x", "volts must be a number from 0 to 6553.5, not x"),
        ("show gen", "the order is: show METER QUANTITY=VALUE…"),
        ("show gen ohms=1", "no quantity is called 'ohms'; there are: volts, amps, watts"),
        ("energy gen 9999991", "WH must be a number from 0 to 9999990, not 9999991"),
        ("load 100000", "WATTS must be a number from 0 to 6000, not 100000"),
        ("load 100 Z", "there is no leg 'Z'; there are: A, B"),
        ("outage now", "the order is: outage"),
    ],
)
def test_refusal_says_what_would_be_right(simulator: Simulator, order: str, why: str) -> None:
    with pytest.raises(OrderError) as caught:
        simulator.order(order)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ("unplug ttyUSB1", "ttyUSB1 is not plugged in: plug it first"),
        ("hang ttyUSB1", "ttyUSB1 is not plugged in: plug it first"),
        ("swap ttyUSB0 ttyUSB1", "ttyUSB1 is not plugged in: plug it first"),
        ("plug ttyUSB1 as ttyUSB0", "ttyUSB0 is the name of another port: unplug that one first"),
        ("plug ttyUSB1 under ttyUSB5", "the order is: plug PORT [as LINK]"),
        ("plug ttyUSB1 as", "the order is: plug PORT [as LINK]"),
        ("plug ttyUSB1 as nowhere/tty", "No such file or directory"),
    ],
)
def test_refusal_about_an_unplugged_port(simulator: Simulator, order: str, why: str) -> None:
    simulator.order("unplug ttyUSB1")
    with pytest.raises(OrderError) as caught:
        simulator.order(order)
    assert why in str(caught.value)


def test_orders_to_the_house_need_one(bare: Simulator) -> None:
    for order in ("outage", "load 100"):
        with pytest.raises(OrderError, match="there is no house behind these meters"):
            bare.order(order)


class TestControlSocket:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "control"

    def test_carries_orders_and_refusals(self, bare: Simulator, path: Path) -> None:
        with ControlSocket(path, bare.order):
            assert path.stat().st_mode & 0o777 == 0o600
            assert send_order(path, "junk mainA") == "mainA: junk"
            assert send_order(path, "status") == bare.order("status")
            with pytest.raises(OrderError, match="no meter is called 'x'"):
                send_order(path, "junk x")
        assert not path.exists()

    def test_several_orders_on_one_connection(self, bare: Simulator, path: Path) -> None:
        with ControlSocket(path, bare.order), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"junk mainA\nnonsense\n\xff\xfe\n")
            client.shutdown(socket.SHUT_WR)
            replies = client.makefile(encoding="utf-8").read().splitlines()
        assert [reply.split()[0] for reply in replies] == ["ok", "error", "error"]

    def test_a_client_that_does_not_wait_harms_nobody(
        self, bare: Simulator, path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with ControlSocket(path, bare.order):
            for _ in range(20):
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(path))
                    client.sendall(b"help\n" * 50)
            assert send_order(path, "heal") == "mainA: no fault"
        assert capsys.readouterr().err == ""

    def test_replaces_the_socket_of_a_killed_run(self, bare: Simulator, path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(str(path))
        with ControlSocket(path, bare.order):
            assert send_order(path, "heal") == "mainA: no fault"

    def test_leaves_a_running_simulator_and_files_alone(self, bare: Simulator, path: Path) -> None:
        with ControlSocket(path, bare.order):
            with pytest.raises(OSError, match="another simulator listens there"):
                ControlSocket(path, bare.order)
            assert send_order(path, "heal") == "mainA: no fault"
        path.write_text("a file")
        with pytest.raises(OSError, match="Address already in use"):
            ControlSocket(path, bare.order)
        assert path.read_text() == "a file"

    def test_nobody_listens(self, path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            send_order(path, "status")
