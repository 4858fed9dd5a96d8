"""Writing to a real InfluxDB that is missing, locked, refusing, or simply away."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pzem.config import ConfigError, InfluxSettings
from pzem.influx import Influx, Verdict, Writer
from pzem.moment import Moment
from pzem.spool import Block, Spool
from pzem.testing.influxd import Influxd, free_port
from support import eventually

NOW = int(time.time()) // 5 * 5


def cycle(number: int) -> list[str]:
    return [f"meter,meter=mainA watts={number}.0 {NOW + 5 * number}"]


def block(number: int, *more: str) -> Block:
    line = f"meter,meter=mainA watts={number}.0"
    return Block(Moment(NOW + 5 * number, 1000.0 + 5 * number, "boot"), (line,), more)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path, "boot", 10_000_000)
    yield spool
    spool.close()


@pytest.fixture
def writers() -> Iterator[list[Writer]]:
    started: list[Writer] = []
    yield started
    for writer in started:
        writer.stop(timeout_s=5)


def start(writers: list[Writer], spool: Spool, settings: InfluxSettings) -> Writer:
    writer = Writer(spool, Influx(settings))
    writers.append(writer)
    writer.start()
    return writer


def watts(server: Influxd, database: str) -> list[float]:
    return [row["watts"] for row in server.query("SELECT watts FROM meter", database)]


def test_cycles_are_stored_at_their_slots(
    influxd: Influxd, database: str, spool: Spool, writers: list[Writer]
) -> None:
    writer = start(writers, spool, InfluxSettings(influxd.url, database))
    for number in range(3):
        spool.put(block(number))
    writer.stop(timeout_s=10)
    rows = influxd.query("SELECT watts FROM meter", database)
    assert [(row["time"], row["watts"]) for row in rows] == [
        (NOW, 0),
        (NOW + 5, 1),
        (NOW + 10, 2),
    ]


def test_fields_are_floats(influxd: Influxd, database: str) -> None:
    assert Influx(InfluxSettings(influxd.url, database)).write(cycle(1)) is Verdict.STORED
    (row,) = influxd.query("SHOW FIELD KEYS FROM meter", database)
    assert (row["fieldKey"], row["fieldType"]) == ("watts", "float")


def test_a_missing_database_is_waited_for(
    influxd: Influxd, spool: Spool, writers: list[Writer], caplog: pytest.LogCaptureFixture
) -> None:
    name = "comes_later"
    with caplog.at_level(logging.INFO):
        start(writers, spool, InfluxSettings(influxd.url, name))
        spool.put(block(0))
        eventually(lambda: caplog.records, "a word about the missing database")
        influxd.query(f"CREATE DATABASE {name}")
        eventually(lambda: watts(influxd, name) == [0], "the cycle is stored")
        eventually(lambda: "takes data again" in caplog.text, "a word about the return")
    assert "database not found" in caplog.records[0].getMessage()
    influxd.query(f"DROP DATABASE {name}")


def test_an_absent_server_loses_nothing(
    spool: Spool, writers: list[Writer], caplog: pytest.LogCaptureFixture
) -> None:
    with Influxd() as server, caplog.at_level(logging.INFO):
        server.query("CREATE DATABASE housePower")
        start(writers, spool, InfluxSettings(server.url))
        spool.put(block(0))
        eventually(lambda: watts(server, "housePower") == [0], "the first cycle is stored")
        server.stop()
        for number in range(1, 4):
            spool.put(block(number))
        eventually(lambda: "no connection" in caplog.text, "a word about the absence")
        server.start()
        eventually(lambda: watts(server, "housePower") == [0, 1, 2, 3], "all cycles are stored")
    assert caplog.text.count("no connection") == 1


def test_lines_that_are_refused_are_dropped_and_the_good_ones_kept(
    influxd: Influxd,
    database: str,
    spool: Spool,
    writers: list[Writer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    influxd.query(f"CREATE RETENTION POLICY raw ON {database} DURATION 1d REPLICATION 1 DEFAULT")
    writer = start(writers, spool, InfluxSettings(influxd.url, database))
    spool.put(block(0, "meter,meter=mainA watts=1.0 5"))
    spool.put(block(1, 'meter,meter=mainA watts="text" 1'))
    spool.put(block(2))
    writer.stop(timeout_s=10)
    assert watts(influxd, database) == [0, 1, 2]
    assert "refused points for good" in caplog.text


def test_a_backlog_that_is_too_large_is_cut(
    influxd: Influxd, database: str, spool: Spool, writers: list[Writer]
) -> None:
    influx = Influx(InfluxSettings(influxd.url, database))
    writer = Writer(spool, influx)
    genuine = influx.write
    sizes = []

    def limited(lines: list[str]) -> Verdict:
        sizes.append(len(lines))
        return genuine(lines) if len(lines) <= 4 else Verdict.TOO_LARGE

    influx.write = limited  # type: ignore[method-assign, assignment]
    for number in range(20):
        spool.put(block(number))
    writers.append(writer)
    writer.start()
    writer.stop(timeout_s=10)
    assert sizes[0] == 20
    assert max(sizes[3:]) <= 4
    assert len(watts(influxd, database)) == 20


class TestAuthentication:
    @pytest.fixture
    def locked(self) -> Iterator[Influxd]:
        with Influxd(auth=True) as server:
            server.query("CREATE USER admin WITH PASSWORD 'x' WITH ALL PRIVILEGES")
            server.credentials = ("admin", "x")
            server.query("CREATE DATABASE housePower")
            server.query("CREATE USER pzem WITH PASSWORD 'right'")
            server.query("GRANT WRITE ON housePower TO pzem")
            yield server

    def test_the_password_of_the_file_opens(self, locked: Influxd, tmp_path: Path) -> None:
        secret = tmp_path / "password"
        secret.write_text("right\n")
        influx = Influx(InfluxSettings(locked.url, password_file=secret))
        assert influx.write(cycle(0)) is Verdict.STORED
        assert watts(locked, "housePower") == [0]

    def test_a_changed_password_is_picked_up(
        self,
        locked: Influxd,
        tmp_path: Path,
        spool: Spool,
        writers: list[Writer],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        secret = tmp_path / "password"
        secret.write_text("wrong\n")
        start(writers, spool, InfluxSettings(locked.url, password_file=secret))
        spool.put(block(0))
        eventually(lambda: "authorization failed" in caplog.text, "a word about the password")
        assert "wrong" not in caplog.text
        secret.write_text("right\n")
        eventually(lambda: watts(locked, "housePower") == [0], "the cycle is stored")

    def test_without_a_password_nothing_is_taken(self, locked: Influxd) -> None:
        influx = Influx(InfluxSettings(locked.url))
        assert influx.write(cycle(0)) is Verdict.LATER
        assert influx.why.endswith("(no log-in)")


def test_a_password_file_that_vanishes_is_told(tmp_path: Path, influxd: Influxd) -> None:
    secret = tmp_path / "password"
    with pytest.raises(ConfigError, match="cannot read"):
        Influx(InfluxSettings(influxd.url, password_file=secret))


def test_an_end_without_a_database_keeps_what_it_has(spool: Spool, writers: list[Writer]) -> None:
    writer = start(writers, spool, InfluxSettings(f"http://127.0.0.1:{free_port()}"))
    spool.put(block(0))
    writer.stop(timeout_s=10)
    assert not writer.is_alive()
    assert spool.depth().blocks == 1


def test_the_environment_does_not_come_between(
    influxd: Influxd, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert Influx(InfluxSettings(influxd.url, database)).write(cycle(0)) is Verdict.STORED
