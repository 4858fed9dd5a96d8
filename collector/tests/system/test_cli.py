"""The commands a person types, against simulated meters."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pzem import __version__
from pzem.cli import main
from pzem.frames import RESET_ENERGY
from pzem.line import Line
from pzem.testing import SimulatedMeter, Simulator
from support import PZEM, meter

EMPTY_LEDGER = '{"alive": [0, 0.0, "boot", true], "records": []}'
CONFIG = """
ports = ["{dev}/tty*"]
[[meters]]
name = "mainA"
address = 4
supply = "utility"
[[meters]]
name = "gen"
address = 6
supply = "generator"
"""


@pytest.fixture
def config(tmp_path: Path, dev: Path) -> Path:
    path = tmp_path / "pzem.toml"
    path.write_text(CONFIG.format(dev=dev))
    return path


@pytest.fixture
def house(dev: Path) -> Iterator[Simulator]:
    with Simulator.with_meters(
        {dev / "tty0": [meter("mainA", 4)], dev / "tty1": [meter("gen", 6, amps=0, watts=0)]}
    ) as simulator:
        yield simulator


@pytest.fixture
def bench(dev: Path) -> Iterator[Simulator]:
    """One new meter plugged in, as on the bench."""
    with Simulator.with_meters({dev / "tty0": [meter("new", 1)]}) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweep sixteen addresses: all 247 take a minute, and the same code."""
    monkeypatch.setattr("pzem.cli.commissioning.ALL_ADDRESSES", range(1, 17))


class TestScan:
    def test_finds_every_meter(
        self, house: Simulator, config: Path, dev: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["scan", "--config", str(config)]) == 0
        printed = capsys.readouterr()
        assert [line.split() for line in printed.out.splitlines()] == [
            ["port", "address", "V", "A", "W", "name"],
            [f"{dev}/tty0", "4", "120.0", "5.000", "600.0", "mainA"],
            [f"{dev}/tty1", "6", "120.0", "0.000", "0.0", "gen"],
        ]
        assert "100 %" in printed.err

    def test_ctrl_c_ends_it_between_two_addresses(self, house: Simulator, config: Path) -> None:
        line = [*PZEM, "scan", "--config", str(config)]
        with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as scan:
            assert scan.stderr is not None
            scan.stderr.read(1)  # the first word of its progress
            scan.send_signal(signal.SIGINT)
            assert "50 %" not in scan.stderr.read()
        assert scan.returncode == 130

    def test_json(
        self, house: Simulator, config: Path, dev: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["scan", "--json", "--config", str(config)]) == 0
        first, second = json.loads(capsys.readouterr().out)
        assert first == {
            "port": f"{dev}/tty0",
            "address": 4,
            "name": "mainA",
            "state": "ok",
            "volts": 120.0,
            "amps": 5.0,
            "watts": 600.0,
            "volt_amps": 600.0,
            "power_factor": 1.0,
            "hertz": 60.0,
            "energy_wh": 1234.0,
            "alarm": False,
        }
        assert second["address"] == 6

    def test_several_meters_on_one_line_and_one_address_twice(
        self, dev: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        meters = [meter("a", 1), meter("b", 1), meter("c", 9)]
        with Simulator.with_meters({dev / "tty0": meters}):
            assert main(["scan", "--json", "--port", f"{dev}/tty0"]) == 0
        twice, once = json.loads(capsys.readouterr().out)
        assert (twice["address"], twice["state"]) == (1, "faulty")
        assert (once["address"], once["state"]) == (9, "ok")

    def test_nothing_answers(self, dev: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with Simulator.with_meters({dev / "tty0": []}):
            assert main(["scan", "--addresses", "1-2", "--port", f"{dev}/tty0"]) == 1
        assert "no meter answers on" in capsys.readouterr().err

    def test_no_port(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["scan", "--port", f"{tmp_path}/none*"]) == 1
        assert capsys.readouterr().err == (
            f"pzem: no serial port at {tmp_path}/none*; is the adapter plugged in?\n"
        )

    @pytest.mark.parametrize("addresses", ["0-5", "5-248", "9-3", "x", "4-"])
    def test_a_wrong_range_is_wrong_usage(self, addresses: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["scan", "--addresses", addresses])
        assert ended.value.code == 2


class TestRead:
    def test_shows_every_meter(
        self, house: Simulator, config: Path, dev: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        house.order("silence gen")
        assert main(["read", "--config", str(config)]) == 0
        _, first, second = capsys.readouterr().out.splitlines()
        values = ["120.0", "5.000", "600.0", "600.0", "1.00", "60.0", "1.234", "ok"]
        assert first.split() == ["mainA", "4", f"{dev}/tty0", *values]
        assert second.split() == ["gen", "6", *["-"] * 8, "silent", "(not_found)"]

    def test_json_of_one(
        self, house: Simulator, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["read", "gen", "--json", "--config", str(config)]) == 0
        (only,) = json.loads(capsys.readouterr().out)
        assert (only["name"], only["volts"], only["state"]) == ("gen", 120.0, "ok")

    def test_a_named_meter_must_answer(
        self, house: Simulator, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        house.order("overrange gen volts 265")
        assert main(["read", "gen", "--config", str(config)]) == 1
        printed = capsys.readouterr()
        assert "faulty (over_range volts 265.0)" in printed.out
        assert printed.err == "pzem: no reading of gen\n"

    def test_an_unknown_name(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["read", "oven", "--config", str(config)]) == 2
        assert capsys.readouterr().err == "pzem: no meter is called oven; there are mainA, gen\n"


class TestSetAddress:
    def test_renumbers_and_tells_the_label(
        self, bench: Simulator, config: Path, dev: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["set-address", "4", "--config", str(config)]) == 0
        assert bench.meters[0].address == 4
        assert capsys.readouterr().out.splitlines() == [
            f"The meter on {dev}/tty0 was 1, now has address 4.",
            "Write on the meter, on its current sensor and on its USB plug: 4 (mainA)",
        ]

    def test_json(self, bench: Simulator, dev: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["set-address", "9", "--json", "--port", f"{dev}/tty0"]) == 0
        assert json.loads(capsys.readouterr().out) == {
            "port": f"{dev}/tty0",
            "old_address": 1,
            "address": 9,
            "name": None,
        }

    def test_the_same_address_again(
        self, bench: Simulator, dev: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["set-address", "1", "--port", f"{dev}/tty0"]) == 0
        assert "already has address 1" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("second", "message"),
        [(3, "more than one meter answers (1 on "), (1, "two meters with one address?")],
    )
    def test_refuses_with_two_meters_on_the_line(
        self,
        bench: Simulator,
        dev: Path,
        second: int,
        message: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        bench.lines[0].meters.append(meter("other", second))
        assert main(["set-address", "5", "--port", f"{dev}/tty0"]) == 1
        assert message in capsys.readouterr().err
        assert [m.address for m in bench.meters] == [1, second]

    def test_refuses_two_meters_that_answer_one_after_the_other(
        self, bench: Simulator, dev: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        slow = meter("slow", 1)
        slow.fail("late", 0.1)
        bench.lines[0].meters.append(slow)
        assert main(["set-address", "5", "--port", f"{dev}/tty0"]) == 1
        assert "came twice: two meters with one address?" in capsys.readouterr().err
        assert [m.address for m in bench.meters] == [1, 1]

    def test_refuses_with_two_meters_on_two_ports(
        self, house: Simulator, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["set-address", "9", "--config", str(config)]) == 1
        assert "more than one meter answers (4 on" in capsys.readouterr().err
        assert [m.address for m in house.meters] == [4, 6]

    def test_one_of_two_by_its_port(self, house: Simulator, config: Path, dev: Path) -> None:
        command = ["set-address", "9", "--config", str(config), "--port", f"{dev}/tty1"]
        assert main(command) == 0
        assert [m.address for m in house.meters] == [4, 9]

    @pytest.mark.parametrize("address", ["0", "248", "x", "-1"])
    def test_a_wrong_address_is_wrong_usage(self, address: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["set-address", address])
        assert ended.value.code == 2


class TestResetEnergy:
    @pytest.fixture
    def counting(self, house: Simulator) -> Simulator:
        house.order("heal")
        for each in house.meters:
            each.energy_wh = 5678.0
        return house

    def test_asks_first(
        self,
        counting: Simulator,
        config: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        for answer, code, left in (("\n", 1, 5678.0), ("", 1, 5678.0), ("y\n", 0, 0.0)):
            monkeypatch.setattr("sys.stdin", io.StringIO(answer))
            assert main(["reset-energy", "gen", "--config", str(config)]) == code
            assert counting.meter("gen").energy_wh == left
        printed = capsys.readouterr()
        assert "It shows 5.678 kWh" in printed.out
        assert printed.err.count("not confirmed; nothing was changed") == 2
        assert counting.meter("mainA").energy_wh == 5678.0

    def test_yes_by_address(
        self, counting: Simulator, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["reset-energy", "6", "--yes", "--json", "--config", str(config)]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert (printed["energy_wh_before"], printed["energy_wh"]) == (5678.0, 0.0)

    def test_an_echo_without_a_reset_is_noticed(
        self, dev: Path, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Stubborn(SimulatedMeter):
            """Confirms a reset, as an echoing adapter does for it, and counts on."""

            def answer(self, request: bytes) -> bytes | None:
                return request if request[1] == RESET_ENERGY else super().answer(request)

        stubborn = Stubborn("gen", 6)
        stubborn.energy_wh = 5678.0
        with Simulator.with_meters({dev / "tty0": [stubborn]}):
            assert main(["reset-energy", "gen", "--yes", "--config", str(config)]) == 1
        assert "still shows 5.678 kWh; try again" in capsys.readouterr().err


class TestAlarmThreshold:
    def test_is_set_and_shown(
        self, house: Simulator, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["alarm-threshold", "gen", "1800", "--config", str(config)]) == 0
        assert main(["alarm-threshold", "gen", "--json", "--config", str(config)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "gen (address 6): alarm above 1800 W"
        assert json.loads("".join(lines[1:]))["alarm_threshold_w"] == 1800
        assert house.meter("gen").alarm_threshold_w == 1800

    @pytest.mark.parametrize("watts", ["-1", "23001", "1.5", "x"])
    def test_a_wrong_threshold_is_wrong_usage(self, watts: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["alarm-threshold", "gen", watts])
        assert ended.value.code == 2

    @pytest.mark.parametrize(
        ("order", "target", "code", "message"),
        [
            ("silence gen", "gen", 1, "address 6 does not answer on"),
            ("corrupt-golden gen", "gen", 1, "is faulty: bad_crc"),
            ("help", "oven", 2, "oven is neither a meter's name nor an address"),
            ("help", "300", 2, "300 is neither a meter's name nor an address"),
        ],
    )
    def test_a_meter_that_is_not_there(
        self,
        house: Simulator,
        config: Path,
        order: str,
        target: str,
        code: int,
        message: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        house.order(order)
        assert main(["alarm-threshold", target, "--config", str(config)]) == code
        assert message in capsys.readouterr().err

    def test_one_address_on_two_ports(
        self, dev: Path, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with Simulator.with_meters({dev / "tty0": [meter("a", 6)], dev / "tty1": [meter("b", 6)]}):
            assert main(["alarm-threshold", "gen", "--config", str(config)]) == 1
        assert "name one of them with --port" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["scan"],
        ["read"],
        ["set-address", "9"],
        ["reset-energy", "mainA", "--yes"],
        ["alarm-threshold", "mainA"],
    ],
)
def test_a_port_in_other_hands_is_one_clear_line(
    dev: Path, config: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with Simulator.with_meters({dev / "tty0": [meter("mainA", 4)]}):
        holder = Line(f"{dev}/tty0")
        assert main([*command, "--config", str(config)]) == 1
        holder.close()
    said = capsys.readouterr().err
    assert f"{dev}/tty0 is in use" in said
    assert "Traceback" not in said


def test_check_config_says_what_is_good(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--config", str(config)]) == 0
    assert capsys.readouterr().out == (
        f"{config}: good; meters: 1 utility, 1 generator; every 5 s\n"
    )


def test_check_config_says_what_is_wrong(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text().replace("address = 6", "address = 0"))
    assert main(["check-config", "--config", str(config)]) == 2
    assert capsys.readouterr().err == (
        f"pzem: {config}:9: meters[2].address: 0 is not the address of a meter; use 1 to 247\n"
    )


@pytest.mark.parametrize("module", ["pzem", "pzem.cli"])
def test_the_package_is_the_command(module: str) -> None:
    shown = subprocess.check_output([sys.executable, "-m", module, "--version"], text=True)
    assert shown == f"pzem {__version__}\n"


@pytest.mark.parametrize("command", ["--help", "check-config", "outages --csv"])
@pytest.mark.parametrize(
    ("end", "said"),
    [("| sleep 0", ""), ("> /dev/full", "pzem: No space left on device\n"), (">&-", "")],
)
def test_output_that_nobody_takes_is_one_line_at_most(
    config: Path, tmp_path: Path, command: str, end: str, said: str
) -> None:
    (tmp_path / "outages.json").write_text(EMPTY_LEDGER)
    config.write_text(f'state_dir = "{tmp_path}"\n{config.read_text()}')
    words = command if command == "--help" else f"{command} --config {config}"
    script = f"unset PYTHONUNBUFFERED; {' '.join(PZEM)} {words} {end}"
    finished = subprocess.run(
        ["sh", "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in finished.stderr
    assert "ignored" not in finished.stderr
    assert finished.stderr.endswith(said)


@pytest.mark.parametrize("end", ["2> /dev/full", "2>&-"])
def test_a_complaint_that_nobody_takes_ends_with_its_code(config: Path, end: str) -> None:
    config.write_text("nonsense")
    script = f"{' '.join(PZEM)} check-config --config {config} {end}"
    finished = subprocess.run(["sh", "-c", script], check=False, capture_output=True, timeout=60)
    assert finished.returncode == 2
    assert finished.stdout == b""
