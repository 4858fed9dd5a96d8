"""`pzem simulate` as a process: what it prints, takes, refuses and leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import serial

from pzem.frames import has_good_crc, with_crc
from pzem.testing.control import send_order

SIMULATE = [sys.executable, "-m", "pzem.cli", "simulate"]
PATIENCE_S = 60.0

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a simulator with these arguments, and wait until it is ready."""
    with ExitStack() as stack:

        def starter(*arguments: object) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [*SIMULATE, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"TMPDIR": str(tmp_path)},
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield starter


def until_ready(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines = []
    while (line := process.stdout.readline().strip()) != "ready":
        assert line, "ended before it was ready"
        lines.append(line)
    return lines


def end(process: subprocess.Popen[str], with_signal: int = signal.SIGTERM) -> str:
    process.send_signal(with_signal)
    _, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    return complaints


def simulate(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return subprocess.run(
        [*SIMULATE, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def volts(port: Path, address: int) -> float:
    with serial.Serial(str(port), 9600, timeout=PATIENCE_S) as line:
        line.write(with_crc(bytes([address, 4, 0, 0, 0, 1])))
        reply = line.read(7)
    assert has_good_crc(reply)
    return int.from_bytes(reply[3:5], "big") / 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_original_house_appears_and_vanishes(start: Start, tmp_path: Path, number: int) -> None:
    process = start("--control", tmp_path / "control")
    lines = until_ready(process)
    (folder,) = tmp_path.glob("pzem-sim-*")
    assert lines == [
        f"{folder}/ttyUSB0: mainA (address 4)",
        f"{folder}/ttyUSB1: mainB (address 5)",
        f"{folder}/ttyUSB2: gen (address 6)",
    ]
    assert 115 < volts(folder / "ttyUSB2", 6) < 125
    assert end(process, number) == ""
    assert list(tmp_path.iterdir()) == []


def test_ports_meters_and_house_as_wished(start: Start, tmp_path: Path) -> None:
    control, journal, made = tmp_path / "control", tmp_path / "journal", tmp_path / "made"
    process = start(
        *("--directory", made, "--port", "tty0=main:7,oven:9:circuit:A", "--port", "tty1=gen:7"),
        *("--volts", 230, "--hertz", 50, "--energy", 12345, "--wiring", "own"),
        *("--control", control, "--journal", journal),
    )
    assert until_ready(process) == [
        f"{made}/tty0: main (address 7), oven (address 9)",
        f"{made}/tty1: gen (address 7)",
    ]
    assert 225 < volts(made / "tty0", 9) < 235
    status = send_order(control, "status")
    assert " 12345 Wh 50.0 Hz" in status
    assert "gen 7 dark" in status
    end(process)
    assert json.loads(journal.read_text())["meter"] == "oven"
    assert list(tmp_path.iterdir()) == [journal]


def test_energy_meters_left_at_one_address_may_share_a_line(start: Start, tmp_path: Path) -> None:
    process = start("--port", f"{tmp_path}/tty=a:1,b:1")
    assert until_ready(process) == [f"{tmp_path}/tty: a (address 1), b (address 1)"]


def test_takes_orders_from_standard_input(start: Start) -> None:
    process = start()
    until_ready(process)
    replies, _ = process.communicate("junk gen 3\nexplode\n", timeout=PATIENCE_S)
    assert replies.splitlines() == [
        "ok gen: junk (3 left)",
        "error no order is called 'explode'; 'help' lists them",
    ]
