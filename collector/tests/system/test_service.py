"""`pzem run` as a process, from simulated meters to a real InfluxDB."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pzem.testing import ORIGINAL_WIRING, SimulatedHouse, Simulator
from pzem.testing.influxd import Influxd
from support import PZEM, eventually, meter

HOUSE = {"mainA": 4, "mainB": 5, "gen": 6}
FIELDS = ("volts", "amps", "watts", "volt_amps", "power_factor", "hertz", "energy_wh")


def configure(tmp_path: Path, dev: Path, influxd: Influxd, database: str, extra: str = "") -> Path:
    meters = "".join(
        f'[[meters]]\nname = "{w.name}"\naddress = {w.address}\nsupply = "{w.supply}"\n'
        f'fed_from = "{w.fed_from}"\n'
        for w in ORIGINAL_WIRING
    )
    config = tmp_path / "pzem.toml"
    config.write_text(
        f'ports = ["{dev}/tty*"]\nstate_dir = "{tmp_path}"\nruntime_dir = "{tmp_path}"\n{extra}\n'
        f'[influxdb]\nurl = "{influxd.url}"\ndatabase = "{database}"\n{meters}'
    )
    return config


@contextmanager
def collecting(
    config: Path, log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*PZEM, "run", "--config", config],
            stderr=stream,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("shared_line", [False, True])
def test_every_slot_holds_what_was_displayed_at_that_moment(
    tmp_path: Path, dev: Path, influxd: Influxd, database: str, *, shared_line: bool
) -> None:
    interval_s = 5 if shared_line else 1
    house = SimulatedHouse(seed=1)
    meters = list(house.meters.values())
    ports = (
        {dev / "tty0": meters}
        if shared_line
        else {dev / f"tty{n}": [each] for n, each in enumerate(meters)}
    )
    config = configure(tmp_path, dev, influxd, database, f"interval_s = {interval_s}")
    log = tmp_path / "log"
    with Simulator.with_meters(ports, house) as simulator, collecting(config, log) as process:
        eventually(
            lambda: len(influxd.query("SELECT watts FROM house", database)) >= 4, "four cycles"
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        sent = simulator.journal.replies

    for name in HOUSE:
        rows = influxd.query(f"SELECT * FROM meter WHERE meter = '{name}'", database)
        stamps = [row["time"] for row in rows]
        assert stamps == list(range(stamps[0], stamps[-1] + 1, interval_s))
        assert all(stamp % interval_s == 0 for stamp in stamps)
        for row in rows:
            displayed = [
                reply.displayed
                for reply in sent
                if reply.meter == name and 0 <= reply.unix_s - row["time"] < 0.6 * interval_s
            ]
            assert [row[field] for field in FIELDS] in [
                [getattr(reading, field) for field in FIELDS] for reading in displayed
            ]
    states = influxd.query("SELECT * FROM meter_state", database)
    assert {row["state"] for row in states} == {0}


def test_silence_and_faults_are_states_and_no_values(
    tmp_path: Path, dev: Path, influxd: Influxd, database: str
) -> None:
    config = configure(tmp_path, dev, influxd, database, "interval_s = 1")
    ports = {dev / f"tty{n}": [meter(name, HOUSE[name])] for n, name in enumerate(HOUSE)}
    ports[dev / "tty2"] = [meter("gen", HOUSE["gen"], amps=0.0, watts=0.0, power_factor=0.0)]
    log = tmp_path / "log"

    def states(name: str) -> list[tuple[float, str | None]]:
        rows = influxd.query(f"SELECT * FROM meter_state WHERE meter = '{name}'", database)
        return [(row["state"], row.get("reason")) for row in rows]

    with Simulator.with_meters(ports) as simulator, collecting(config, log):
        eventually(lambda: (0, None) in states("gen"), "the generator's meter is found")
        simulator.order("silence gen")
        simulator.order("overrange mainB amps 105")
        wanted = (2, "over_range amps 105.0")
        eventually(lambda: states("mainB").count(wanted) >= 4, "a fault in the database")
        eventually(lambda: (1, "no_answer") in states("gen"), "silence in the database")
        simulator.order("heal")
        eventually(lambda: states("gen")[-1] == (0, None), "the generator's meter is read")
        eventually(lambda: (0, None) in states("mainB"), "mainB is read")
        eventually(
            lambda: len(influxd.query("SELECT watts FROM house", database)) >= 1,
            "a sum once all answer",
        )
    faulty = influxd.query("SELECT * FROM meter WHERE amps > 100", database)
    assert faulty == []
    said = log.read_text()
    assert said.count("mainB is faulty (over_range amps 105.0)") == 1
    assert "Traceback" not in said


def test_a_card_that_hangs_stops_neither_the_slots_nor_the_end(
    tmp_path: Path, dev: Path, influxd: Influxd, database: str
) -> None:
    """Whoever opens the new file of a state hangs: it is a pipe that nobody reads."""
    config = configure(tmp_path, dev, influxd, database, "interval_s = 1")
    for name in ("ports", "lifetime", "generator", "outages"):
        os.mkfifo(tmp_path / f"{name}.json.new")
    ports = {dev / f"tty{n}": [meter(name, HOUSE[name])] for n, name in enumerate(HOUSE)}
    log = tmp_path / "log"
    with Simulator.with_meters(ports), collecting(config, log) as process:
        eventually(
            lambda: len(influxd.query("SELECT energy_wh FROM meter", database)) >= 12, "four slots"
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert log.read_text().count("the card does not answer") == 1


def test_a_second_collector_leaves_the_files_of_the_first_alone(
    tmp_path: Path, dev: Path, influxd: Influxd, database: str
) -> None:
    config = configure(tmp_path, dev, influxd, database, "interval_s = 1")
    ports = {dev / "tty0": [meter("mainA", HOUSE["mainA"])]}
    status = tmp_path / "status.json"
    with Simulator.with_meters(ports), collecting(config, tmp_path / "log"):
        eventually(status.exists, "the first one collects")
        started = json.loads(status.read_text())["started_unix_s"]
        second = subprocess.run(
            [*PZEM, "run", "--config", config],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 1
        assert second.stdout == ""
        assert f"another collector keeps its state in {tmp_path}; stop that one" in second.stderr
        assert len(second.stderr.splitlines()) == 1
        assert json.loads(status.read_text())["started_unix_s"] == started


def test_systemd_hears_ready_and_each_closed_cycle(
    tmp_path: Path, dev: Path, influxd: Influxd
) -> None:
    """Without meters and without its database the service is ready all the same."""
    config = configure(tmp_path, dev, influxd, "missing", "interval_s = 1")
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(60)
        with collecting(config, tmp_path / "log", {"NOTIFY_SOCKET": str(address)}) as process:
            assert systemd.recv(1024).startswith(b"READY=1")
            assert [systemd.recv(1024) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            process.send_signal(signal.SIGTERM)
            heard = [b""]
            while heard[-1] != b"STOPPING=1":
                heard.append(systemd.recv(1024))
            assert process.wait(timeout=30) == 0


def test_a_wrong_configuration_ends_with_2_and_no_traceback(tmp_path: Path) -> None:
    config = tmp_path / "pzem.toml"
    config.write_text("interval_s = 7\n")
    finished = subprocess.run(
        [*PZEM, "run", "--config", config], check=False, capture_output=True, text=True
    )
    assert finished.returncode == 2
    assert "Traceback" not in finished.stderr
    assert len(finished.stderr.splitlines()) == 2


def test_a_password_file_that_cannot_be_read_ends_with_2(
    tmp_path: Path, dev: Path, influxd: Influxd
) -> None:
    config = configure(tmp_path, dev, influxd, "db")
    text = config.read_text().replace("[influxdb]", '[influxdb]\npassword_file = "/nowhere/x"')
    config.write_text(text)
    finished = subprocess.run(
        [*PZEM, "run", "--config", config], check=False, capture_output=True, text=True
    )
    assert finished.returncode == 2
    assert finished.stderr.startswith("pzem: influxdb.password_file: cannot read /nowhere/x")
