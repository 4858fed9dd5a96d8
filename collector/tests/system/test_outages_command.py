"""`pzem outages` on a real InfluxDB, and without one."""

from __future__ import annotations

import csv
import dataclasses
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger_world import OWN, PANEL, STARTS_S, T0, World
from pzem.cli import main
from pzem.cli.outages import duration
from pzem.config import load
from pzem.testing.influxd import Influxd, free_port

CONFIG = """
state_dir = "{state_dir}"
[influxdb]
url = "{url}"
database = "{database}"
[[meters]]
name = "mainA"
address = 4
supply = "utility"
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A house with two outages, the second of which goes on, and a restart of the Pi."""
    world = World(tmp_path, OWN)
    world.start()
    world.run(60)
    world.legs = dict.fromkeys(world.legs)
    world.run(60)
    world.generator, world.on_generator = 1800.0, True
    world.run(3600)
    world.legs, world.on_generator, world.generator = {"mainA": 200.0, "mainB": 90.0}, False, None
    world.run(600)
    world.stop()
    world.run(90)
    world.boot()
    world.run(300)
    world.legs["mainA"] = None
    world.run(60)
    return world


@pytest.fixture(autouse=True)
def system_time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def configured(folder: Path, url: str, database: str) -> str:
    path = folder / "pzem.toml"
    path.write_text(CONFIG.format(state_dir=folder, url=url, database=database))
    return str(path)


def stored(server: Influxd, database: str, world: World) -> None:
    """Write what the ledger has handed over, each line on its own as it came."""
    for line in world.lines:
        request = urllib.request.Request(
            f"{server.url}/write?db={database}&precision=s", data=line.encode()
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 204


def away() -> str:
    return f"http://127.0.0.1:{free_port()}"


class TestFromTheDatabase:
    @pytest.fixture
    def config(self, influxd: Influxd, database: str, world: World, tmp_path: Path) -> str:
        stored(influxd, database, world)
        world.file.unlink()
        return configured(tmp_path, influxd.url, database)

    def test_a_table_in_the_time_of_the_house(
        self, config: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["outages", "--config", config]) == 0
        printed = capsys.readouterr()
        heads, first, off, second = printed.out.splitlines()
        assert heads.split()[:4] == ["what", "began", "until", "lasted"]
        assert first.split("  ")[0] == "utility"
        assert "2027-01-15 09:01:05 CET" in first  # T0 is 08:00 UTC
        assert "1 h 1 min" in first
        assert "by voltage" in first
        assert [word for word in first.split() if word == "1800"] == ["1800", "1800"]
        assert off.startswith("Pi off")
        assert "1 min 30 s" in off
        assert "cause: stopped in order" in off
        assert second.startswith("utility leg A")
        assert "goes on" in second
        assert printed.err == ""

    def test_json(self, config: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["outages", "--json", "--config", config]) == 0
        first, off, second = json.loads(capsys.readouterr().out)
        assert first["kind"] == "outage"
        assert first["time"] == "2027-01-15T09:01:05+01:00"
        assert first["times"]["back_at"] == "2027-01-15T10:02:05+01:00"
        assert first["fields"]["back_at"] == T0 + 60 + 60 + 3600 + 5
        assert first["fields"]["open"] == 0.0
        assert first["left_open"] is False
        assert (off["kind"], off["fields"]["seconds"]) == ("pi_off", 90.0)
        assert second["fields"]["lost"] == "utility leg A"
        assert "back_at" not in second["times"]

    def test_csv(self, config: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["outages", "--csv", "--config", config]) == 0
        first, off, second = csv.DictReader(capsys.readouterr().out.splitlines())
        assert (first["kind"], first["began_at"]) == ("outage", "2027-01-15T09:01:05+01:00")
        assert first["until"] == "2027-01-15T10:02:05+01:00"
        assert (float(first["seconds"]), float(off["clean"])) == (3660, 1)
        assert second["until"] == ""

    def test_fields_are_floats_and_texts(
        self, config: str, influxd: Influxd, database: str
    ) -> None:
        rows = influxd.query("SHOW FIELD KEYS FROM event", database)
        types = {row["fieldKey"]: row["fieldType"] for row in rows}
        texts = {"lost", "evidence", "cause", "estimated", "before", "after"}
        assert {name for name, kind in types.items() if kind == "string"} == texts
        assert {kind for name, kind in types.items() if name not in texts} == {"float"}

    def test_what_begins_twice_in_a_second_is_two_points(
        self, influxd: Influxd, database: str, tmp_path: Path
    ) -> None:
        world = World(tmp_path, OWN)
        world.start()
        world.run(60)
        for _ in range(3):
            world.kill()
            world.boot(clock_is_true=False, clock_off_s=T0 - 3600 - world.now_s)
        world.kill()
        world.boot()
        world.run(300)
        stored(influxd, database, world)
        assert len(influxd.query("SELECT seconds, clean FROM event", database)) == 4


class TestTheFile:
    def test_it_knows_more_than_the_database(
        self,
        influxd: Influxd,
        database: str,
        world: World,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        stored(influxd, database, world)
        world.legs["mainA"] = 9.0
        world.run(60)
        config = configured(tmp_path, influxd.url, database)
        assert main(["outages", "--json", "--config", config]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [one["fields"].get("seconds") for one in found] == [3660, 90, 60]

    def test_an_outage_whose_end_nobody_recorded(
        self,
        influxd: Influxd,
        database: str,
        world: World,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        stored(influxd, database, world)
        world.kill()
        world.file.unlink()
        world.start()
        config = configured(tmp_path, influxd.url, database)
        assert main(["outages", "--config", config]) == 0
        assert "not recorded" in capsys.readouterr().out.splitlines()[3]

    def test_it_is_shown_while_the_database_is_away(
        self, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        url = away()
        config = configured(tmp_path, url, "housePower")
        assert main(["outages", "--config", config]) == 0
        printed = capsys.readouterr()
        assert len(printed.out.splitlines()) == 4
        assert printed.err == (
            f"pzem: the database cannot be asked: {url}: no connection; these are the last "
            f"records, of {tmp_path}/outages.json\n"
        )

    def test_what_waits_for_the_time_is_marked(
        self, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        world.legs["mainA"] = 9.0
        world.run(60)
        world.stop()
        world.boot(clock_is_true=False, clock_off_s=-STARTS_S)
        world.run(60)
        world.legs["mainB"] = None
        world.run(60)
        assert main(["outages", "--config", configured(tmp_path, away(), "housePower")]) == 0
        line, note = capsys.readouterr().out.splitlines()[-2:]
        assert note.startswith("~ is an estimate")
        assert "the time is not known yet" in line
        assert " ~2027-" in line

    def test_what_the_wiring_cannot_show_is_said_in_words(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        world = World(tmp_path, PANEL)
        world.start()
        world.run(60)
        world.generator, world.on_generator = 1800.0, True
        world.run(600)
        world.stop()
        config = configured(tmp_path, away(), "housePower")
        assert main(["outages", "--config", config]) == 0
        _, line = capsys.readouterr().out.splitlines()
        assert line.startswith("generator in use")
        assert "whether the utility failed, or was switched off by hand, is not known" in line
        assert main(["outages", "--json", "--config", config]) == 0
        (record,) = json.loads(capsys.readouterr().out)
        assert "lost" not in record["fields"]

    def test_remarks_tell_what_a_figure_hides(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        world = World(tmp_path, OWN)
        world.start()
        world.run(60)
        world.legs["mainA"] = None
        world.run(60)
        world.stop()
        world.run(90)
        world.boot()
        world.run(60)
        world.legs["mainA"] = 9.0
        world.run(60)
        world.legs["mainB"] = None
        world.run(60)
        world.clock_off_s = 7200
        world.legs["mainB"] = 9.0
        world.run(60)
        for _ in range(2):
            world.kill()
            world.boot(clock_is_true=False, clock_off_s=-7200)
        world.kill()
        world.boot()
        world.run(300)
        assert main(["outages", "--config", configured(tmp_path, away(), "housePower")]) == 0
        printed = capsys.readouterr().out
        assert "by voltage; Pi off for 1 min 30 s of it\n" in printed
        assert "by voltage; the clock was set meanwhile\n" in printed
        assert "cause: unknown; time never known\n" in printed

    def test_neither_database_nor_file(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["outages", "--config", configured(tmp_path, away(), "housePower")]) == 1
        assert capsys.readouterr().err.endswith("outages.json tells nothing\n")


class TestTrouble:
    def test_nothing_recorded(
        self, influxd: Influxd, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = configured(tmp_path, influxd.url, database)
        assert main(["outages", "--config", config]) == 0
        assert capsys.readouterr().out == "no outage is recorded\n"
        assert main(["outages", "--json", "--config", config]) == 0
        assert json.loads(capsys.readouterr().out) == []

    def test_a_missing_database(
        self, influxd: Influxd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = configured(tmp_path, influxd.url, "never_made")
        assert main(["outages", "--config", config]) == 1
        assert "database not found: never_made" in capsys.readouterr().err

    def test_a_query_without_log_in(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with Influxd(auth=True) as server:
            name, password = "root", 'it\'s "quoted"'
            server.query("CREATE USER root WITH PASSWORD 'it\\'s \"quoted\"' WITH ALL PRIVILEGES")
            server.credentials = name, password
            server.query("CREATE DATABASE housePower")
            config = configured(tmp_path, server.url, "housePower")
            assert main(["outages", "--config", config]) == 1
            assert "unable to parse authentication" in capsys.readouterr().err
            (tmp_path / "password").write_text(password)
            text = (
                Path(config)
                .read_text()
                .replace(
                    "[[meters]]",
                    f'username = "root"\npassword_file = "{tmp_path}/password"\n[[meters]]',
                )
            )
            Path(config).write_text(text)
            assert main(["outages", "--config", config]) == 0

    @pytest.mark.parametrize(
        ("timezone", "code", "word"),
        [
            ("America/New_York", 0, "2027-01-15 03:01:05 EST"),
            ("Mars/Olympus", 2, "Mars/Olympus is not a known time zone"),
        ],
    )
    def test_the_time_zone_of_the_house(
        self,
        world: World,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        timezone: str,
        code: int,
        word: str,
    ) -> None:
        config = load(Path(configured(tmp_path, away(), "housePower")))
        house = dataclasses.replace(config.house, timezone=timezone)
        config = dataclasses.replace(config, house=house)
        monkeypatch.setattr("pzem.config.load", lambda path: config)
        assert main(["outages"]) == code
        assert word in "".join(capsys.readouterr())

    @pytest.mark.parametrize("state", ["{", "[]", "{}", '{"alive": 7, "records": []}'])
    def test_a_file_that_cannot_be_used(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str
    ) -> None:
        (tmp_path / "outages.json").write_text(state)
        assert main(["outages", "--config", configured(tmp_path, away(), "housePower")]) == 1
        assert (tmp_path / "outages.json").read_text() == state

    @pytest.mark.parametrize(
        ("answer", "word"),
        [
            (b"HTTP/1.0 200 OK\r\n\r\n<html>", "not InfluxDB"),
            (b"HTTP/1.0 200 OK\r\n\r\n[]", "not InfluxDB"),
            (b"HTTP/1.0 503 Busy\r\n\r\n", "server error"),
            (b"HTTP/1.0 500 Oops\r\n\r\nwent\nwrong", "went wrong"),
            (b"HTTP/1.0 \xff", "no connection"),
        ],
    )
    def test_something_else_answers(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: bytes, word: str
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:

            def serve() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(answer)

            thread = threading.Thread(target=serve)
            thread.start()
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
            assert main(["outages", "--config", configured(tmp_path, url, "housePower")]) == 1
            thread.join()
        assert word in capsys.readouterr().err

    def test_nobody_answers_in_time(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("pzem.cli.outages.ASK_S", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}"
            assert main(["outages", "--config", configured(tmp_path, url, "housePower")]) == 1
        assert "no answer within" in capsys.readouterr().err

    def test_two_forms_at_once_are_wrong_usage(self, tmp_path: Path) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["outages", "--json", "--csv"])
        assert ended.value.code == 2


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (90_000, "1 d 1 h"),
        (86_400 + 120, "1 d"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
