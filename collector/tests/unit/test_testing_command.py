"""`pzem simulate` as a process: what it prints, takes, refuses and leaves behind."""

import argparse
import grp
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import serial

import pzem
from pzem.frames import has_good_crc, with_crc
from pzem.testing import command
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


def simulate(*arguments: object) -> int:
    """Run to the end, in this process; return the exit code."""
    parser = argparse.ArgumentParser(prog="pzem simulate")
    command.add_arguments(parser)
    try:
        return command.run(parser.parse_args([*map(str, arguments)]))
    except SystemExit as wrong_usage:
        return int(wrong_usage.code or 0)


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


def test_two_meters_left_at_one_address_may_share_a_line(start: Start, tmp_path: Path) -> None:
    process = start("--port", f"{tmp_path}/tty=a:1,b:1")
    assert until_ready(process) == [f"{tmp_path}/tty: a (address 1), b (address 1)"]


def test_ports_belong_to_the_group_also_when_they_come_back(start: Start, tmp_path: Path) -> None:
    control, port = tmp_path / "control", tmp_path / "ports" / "tty0"
    group = grp.getgrgid(other_group())
    ports = ("--directory", port.parent, "--port", "tty0=a:1")
    until_ready(start(*ports, "--control", control, "--group", group.gr_name))
    assert_belongs_to(port, group.gr_gid)
    send_order(control, "unplug tty0")
    send_order(control, "plug tty0")
    assert_belongs_to(port, group.gr_gid)


def other_group() -> int:
    """Return the id of a group to which a new pty does not belong by itself."""
    own = range(1, 1 << 16) if os.geteuid() == 0 else os.getgroups()
    new = pty_group()
    known = {group.gr_gid for group in grp.getgrall()}
    for group in own:
        if group in known and group != new:
            return group
    pytest.skip("this user is in no other group")


def pty_group() -> int:
    master, slave = os.openpty()
    try:
        return os.fstat(slave).st_gid
    finally:
        os.close(master)
        os.close(slave)


def assert_belongs_to(port: Path, group: int) -> None:
    status = port.stat()
    assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (group, 0o660)


def test_a_group_that_is_not_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [1000])
    assert simulate("--group", "root") == 2
    assert "you are not in the group root: join it, or be root" in capsys.readouterr().err


def test_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    """On a machine that gets the collector later: -S leaves site-packages out."""
    source = Path(pzem.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-S", "-m", "pzem.cli", "simulate", "--directory", tmp_path / "ports"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(source)},
    )
    with process:
        try:
            assert until_ready(process)
            assert 100 < volts(tmp_path / "ports" / "ttyUSB0", 4) < 140
        finally:
            process.terminate()


def test_takes_orders_from_standard_input_until_it_ends(start: Start, tmp_path: Path) -> None:
    control = tmp_path / "control"
    process = start("--control", control)
    until_ready(process)
    assert process.stdin is not None
    assert process.stdout is not None
    for order, reply in (
        ("junk gen 3", "ok gen: junk (3 left)"),
        ("explode", "error no order is called 'explode'; 'help' lists them"),
    ):
        print(order, file=process.stdin, flush=True)
        assert process.stdout.readline().strip() == reply
    process.stdin.close()
    before_s = cpu_time_s(process.pid)
    time.sleep(0.5)
    assert cpu_time_s(process.pid) - before_s < 0.25, "spins"
    assert send_order(control, "heal gen") == "gen: no fault"


def cpu_time_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_delivers_orders_to_a_running_simulator(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    control = tmp_path / "control"
    until_ready(start("--control", control))
    assert simulate("--control", control, "late", "gen", "0.5", "2") == 0
    assert capsys.readouterr() == ("gen: late 0.5 (2 left)\n", "")
    assert simulate("--control", control, "late", "nobody", "0.5") == 1
    why = "pzem simulate: no meter is called 'nobody'; there are: mainA, mainB, gen\n"
    assert capsys.readouterr() == ("", why)


def test_takes_over_from_a_killed_run(start: Start, tmp_path: Path) -> None:
    arguments = ("--directory", tmp_path / "ports", "--control", tmp_path / "control")
    killed = start(*arguments)
    until_ready(killed)
    killed.kill()
    killed.wait()
    assert (tmp_path / "ports" / "ttyUSB0").is_symlink()
    until_ready(start(*arguments))
    assert 100 < volts(tmp_path / "ports" / "ttyUSB0", 4) < 140


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--port", "tty"], "'tty' is not LINK=METERS"),
        (["--port", "tty="], "'' is not NAME:ADDRESS"),
        (["--port", "tty=m"], "'m' is not NAME:ADDRESS"),
        (["--port", "tty=m:1,"], "'' is not NAME:ADDRESS"),
        (["--port", "tty=m:1:solar"], "'m:1:solar' is not NAME:ADDRESS[:utility|generator|circuit"),
        (["--port", "tty=m:0"], "address 0 must be 1 to 247"),
        (["--port", "tty=m:248"], "address 248 must be 1 to 247"),
        (["--port", "a=m:1", "--port", "b=m:2"], "meter m is given twice"),
        (["--port", "a=m:1", "--port", "a=n:2"], "port a is given twice"),
        (["--volts", "12"], "must be a number from 80 to 260, not 12"),
        (["--energy", "-1"], "must be a number from 0 to 9999990, not -1"),
        (["--wiring", "odd"], "invalid choice: 'odd'"),
        (["--group", "no such"], "no group is called 'no such'"),
        (["outage"], "an order needs --control SOCKET"),
    ],
)
def test_wrong_usage(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(*arguments) == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--directory", "/proc/nowhere"], "/proc/nowhere: No such file or directory"),
        (["--directory", "/dev/null"], "cannot make /dev/null/ttyUSB0: Not a directory"),
        (["--port", "{file}=m:1"], "{file} exists and is no simulated port: remove it first"),
        (["--journal", "/proc/journal"], "/proc/journal: No such file or directory"),
        (["--control", "{file}"], "{file}: Address already in use"),
        (["--control", "/nowhere", "status"], "no simulator answers on /nowhere: No such file"),
    ],
)
def test_failure(
    arguments: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    assert simulate(*(argument.format(file=file) for argument in arguments)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"pzem simulate: {why.format(file=file)}")
    assert file.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [file]
