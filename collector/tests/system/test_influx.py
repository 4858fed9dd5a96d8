"""Writing to a real InfluxDB that is missing, locked, refusing, or simply away."""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pzem.config import ConfigError, InfluxSettings
from pzem.influx import Influx, InfluxError, InfluxRefusalError, Verdict, Writer, quoted
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


def test_an_end_does_not_try_a_dead_database_once_more(
    spool: Spool, writers: list[Writer], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    genuine = Influx.write

    def counted(influx: Influx, lines: Sequence[str]) -> Verdict:
        nonlocal asked
        asked += 1
        return genuine(influx, lines)

    monkeypatch.setattr(Influx, "write", counted)
    monkeypatch.setattr("pzem.influx.writer.FIRST_RETRY_S", 3600.0)
    writer = start(writers, spool, InfluxSettings(f"http://127.0.0.1:{free_port()}"))
    spool.put(block(0))
    eventually(lambda: writer.why, "a request that failed")
    writer.stop(timeout_s=60)
    assert not writer.is_alive()
    assert asked == 1
    assert spool.depth().blocks == 1


def test_the_environment_does_not_come_between(
    influxd: Influxd, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert Influx(InfluxSettings(influxd.url, database)).write(cycle(0)) is Verdict.STORED


class Answering:
    """A server that answers each request with the given bytes, slowly if asked to.

    It stands in for what a real InfluxDB cannot be made to say.
    """

    def __init__(self, answer: bytes, pause_s: float = 0.0) -> None:
        self._answer = answer
        self._pause_s = pause_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Answering:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError):
            socket.create_connection(self._listener.getsockname()).close()
        self._thread.join(30)
        self._listener.close()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            client, _ = self._listener.accept()
            with client, contextlib.suppress(OSError):
                client.settimeout(30)
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = client.recv(65536)
                    if not piece:
                        break
                    head += piece
                if not self._pause_s:
                    client.sendall(self._answer)
                    continue
                for one in self._answer:
                    client.sendall(bytes([one]))
                    if self._stopped.wait(self._pause_s):
                        break


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


INFLUX = "X-Influxdb-Version: 1.8.10"


@pytest.mark.parametrize(
    ("said", "verdict", "why"),
    [
        (answer("204 No Content", b"", INFLUX), Verdict.STORED, ""),
        (answer("204 No Content"), Verdict.STORED, ""),
        (answer("200 OK", b"{}"), Verdict.LATER, "not InfluxDB (HTTP 200)"),
        (answer("200 OK", b"<html>", INFLUX), Verdict.LATER, "<html>"),
        (answer("400 Bad Request", b"hello"), Verdict.LATER, "not InfluxDB (HTTP 400)"),
        (answer("302 Found", b"", "Location: /elsewhere"), Verdict.LATER, "redirects"),
        (
            answer("400 Bad Request", b'{"error":"partial write: x dropped=1"}', INFLUX),
            Verdict.PARTLY,
            "partial write",
        ),
        (
            answer("400 Bad Request", b'{"error":"unable to parse"}', INFLUX),
            Verdict.UNREADABLE,
            "unable to parse",
        ),
        (answer("400 Bad Request", b'{"error":"no"}', INFLUX), Verdict.REFUSED, "no"),
        (
            answer("400 Bad Request", b'{"error":"partial write: x dropped=1"}'),
            Verdict.PARTLY,
            "partial write",
        ),
        (answer("400 Bad Request", b'{"error":"no"}'), Verdict.LATER, "not InfluxDB (HTTP 400)"),
        (answer("404 Not Found", b'{"error":"gone"}', INFLUX), Verdict.LATER, "gone"),
        (answer("413 Too Large", b'{"error":"big"}', INFLUX), Verdict.TOO_LARGE, "big"),
        (answer("413 Too Large", b"nginx"), Verdict.LATER, "not InfluxDB (HTTP 413)"),
        (answer("500 Oops", b'{"error":"oops"}', INFLUX), Verdict.FAILED, "server error: oops"),
        (answer("502 Bad Gateway", b"nginx"), Verdict.LATER, "server error: nginx"),
        (
            answer("200 OK", b"\xc1", "Content-Type: application/x-msgpack"),
            Verdict.LATER,
            "not InfluxDB",
        ),
        (b"this is no HTTP\r\n\r\n", Verdict.LATER, "no connection"),
        (b"", Verdict.LATER, "no connection"),
        (b"HTTP/1.1 500 x\r\nContent-Length: 100\r\n\r\nshort", Verdict.LATER, ""),
        (b"HTTP/1.1 500 x\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
         Verdict.LATER, ""),
    ],
)  # fmt: skip
def test_each_answer_has_its_verdict(said: bytes, verdict: Verdict, why: str) -> None:
    with Answering(said) as server:
        influx = Influx(InfluxSettings(server.url))
        assert influx.write(cycle(0)) is verdict
        assert why in influx.why
        influx.close()


def test_a_server_that_trickles_does_not_hold_up_the_writer() -> None:
    with Answering(answer("204 No Content", b"", INFLUX), pause_s=0.2) as server:
        influx = Influx(InfluxSettings(server.url), request_s=1.0)
        assert influx.write(cycle(0)) is Verdict.FAILED
        assert influx.why == "no answer within 1 s"
        influx.close()


def test_a_server_that_trickles_its_body_does_not_either() -> None:
    slow = answer("500 Oops", b"x" * 100, INFLUX)
    with Answering(slow, pause_s=0.01) as server:
        influx = Influx(InfluxSettings(server.url), request_s=1.0)
        assert influx.write(cycle(0)) is Verdict.FAILED
        assert influx.why == "no answer within 1 s"
        influx.close()


class TestQuestions:
    def test_rows_have_tags_fields_and_time(self, influxd: Influxd, database: str) -> None:
        influx = Influx(InfluxSettings(influxd.url, database))
        influx.write(cycle(0))
        text = "SELECT last(watts) FROM meter WHERE time <= $now GROUP BY meter"
        (row,) = influx.query(text, {"now": NOW * 10**9})
        assert (row["meter"], row["last"], row["time"]) == ("mainA", 0, NOW)

    def test_what_is_not_there_has_no_rows(self, influxd: Influxd, database: str) -> None:
        influx = Influx(InfluxSettings(influxd.url, database))
        assert influx.query("SELECT watts FROM nothing") == []

    def test_a_question_may_fail(self, influxd: Influxd, database: str) -> None:
        influx = Influx(InfluxSettings(influxd.url, database))
        with pytest.raises(InfluxError, match="error parsing query"):
            influx.query("SELECT")
        with pytest.raises(InfluxError, match="database not found"):
            Influx(InfluxSettings(influxd.url, "nowhere")).query("SELECT watts FROM meter")
        away = Influx(InfluxSettings(f"http://127.0.0.1:{free_port()}"))
        with pytest.raises(InfluxError, match="no connection"):
            away.query("SELECT watts FROM meter")

    @pytest.mark.parametrize("body", [b"[]", b"{}", b"hello", b'{"results":[{"series":1}]}'])
    def test_an_answer_may_be_none(self, body: bytes) -> None:
        with (
            Answering(answer("200 OK", body, INFLUX)) as server,
            pytest.raises(InfluxError, match="not InfluxDB"),
        ):
            Influx(InfluxSettings(server.url)).query("SELECT watts FROM meter")

    @pytest.mark.parametrize(
        ("said", "for_good", "why"),
        [
            (answer("401 No", b'{"error":"who?"}', INFLUX), True, "who\\? \\(no log-in\\)"),
            (answer("404 Not Found", b'{"error":"gone"}', INFLUX), True, "gone"),
            (answer("404 Not Found", b"nginx"), False, "not InfluxDB"),
            (answer("503 No", b'{"error":"starting"}', INFLUX), False, "starting"),
            (answer("200 OK", b'{"results":[', INFLUX), False, "not InfluxDB"),
            (answer("200 OK", b'{"results":[{"error":"is disabled"}]}', INFLUX), False, "is dis"),
            (answer("200 OK", b'{"results":[{"error":"no such thing"}]}', INFLUX), True, "no such"),
        ],
    )
    def test_it_is_known_whether_asking_again_helps(
        self, said: bytes, for_good: bool, why: str
    ) -> None:
        with Answering(said) as server:
            influx = Influx(InfluxSettings(server.url))
            with pytest.raises(InfluxError, match=f"^{server.url}: .*{why}") as raised:
                influx.query("SELECT watts FROM meter")
        assert isinstance(raised.value, InfluxRefusalError) is for_good

    def test_any_policy_and_nanoseconds(self, influxd: Influxd, database: str) -> None:
        name = 'a "b'
        influx = Influx(InfluxSettings(influxd.url, database), precision="ns")
        influx.query(
            f"CREATE RETENTION POLICY {quoted(name)} ON {database} DURATION INF REPLICATION 1"
        )
        assert influx.write([f"m f=1 {NOW}000000001"], name) is Verdict.STORED
        (row,) = influx.query(f"SELECT * FROM {quoted(name)}.m")
        assert row == {"time": NOW * 10**9 + 1, "f": 1}

    def test_what_the_server_counts(self, influxd: Influxd) -> None:
        influx = Influx(InfluxSettings(influxd.url))
        assert influx.statistics()["memstats"]["Sys"] > 10**6


def test_a_poison_point_in_a_backlog_costs_no_other(
    influxd: Influxd, database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server stores the good ones, and says which one it never will."""
    spool = Spool(tmp_path, "boot", 10_000_000)
    for number in range(300):
        poison = ['meter,meter=mainA watts="text" 5', "garbage"] if number == 137 else []
        spool.put(block(number, *poison))
    spool.close()
    spool = Spool(tmp_path, "boot", 10_000_000)
    writer = Writer(spool, Influx(InfluxSettings(influxd.url, database)))
    writer.start()
    eventually(lambda: len(watts(influxd, database)) == 300, "all good points are stored")
    eventually(lambda: spool.depth().blocks == 0, "the spool is empty")
    writer.stop(timeout_s=10)
    spool.close()
    assert "refused points for good" in caplog.text
    assert not (tmp_path / "spool.sqlite3").exists()


class Moody(Influx):
    """The real database, but for one point at which it says `mood`.

    It stands in for refusals that InfluxDB does not explain.
    """

    def __init__(self, settings: InfluxSettings, poison: str, mood: Verdict) -> None:
        super().__init__(settings)
        self.poison = poison
        self.mood = mood
        self.requests = 0

    def write(self, lines: Sequence[str], policy: str = "") -> Verdict:
        self.requests += 1
        if any(self.poison in line for line in lines):
            self.why = "I do not like it"
            return self.mood
        return super().write(lines, policy)


@pytest.mark.parametrize("mood", [Verdict.REFUSED, Verdict.TOO_LARGE])
def test_a_point_that_is_refused_without_a_word_is_searched_and_dropped(
    influxd: Influxd,
    database: str,
    tmp_path: Path,
    mood: Verdict,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spool = Spool(tmp_path, "boot", 10_000_000)
    for number in range(300):
        spool.put(block(number, *(["poison x=1.0 5"] if number == 137 else [])))
    influx = Moody(InfluxSettings(influxd.url, database), "poison", mood)
    writer = Writer(spool, influx)
    writer.start()
    eventually(lambda: len(watts(influxd, database)) == 300, "all others are stored")
    eventually(lambda: spool.depth().blocks == 0, "the spool is empty")
    writer.stop(timeout_s=10)
    spool.close()
    assert "I do not like it: poison x=1.0 5" in caplog.text
    assert influx.requests < 100


@pytest.mark.parametrize("mood", [Verdict.REFUSED, Verdict.TOO_LARGE])
def test_a_server_that_refuses_all_is_waited_for(
    influxd: Influxd,
    database: str,
    spool: Spool,
    writers: list[Writer],
    mood: Verdict,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As a proxy before it may, or a setting of the server: no point is to blame for that."""
    monkeypatch.setattr("pzem.influx.writer.FIRST_RETRY_S", 0.01)
    monkeypatch.setattr("pzem.influx.writer.LAST_RETRY_S", 0.05)
    influx = Moody(InfluxSettings(influxd.url, database), "", mood)
    writers.append(Writer(spool, influx))
    for number in range(5):
        spool.put(
            block(number, "event,kind=outage seconds=1.0 5", "event,kind=pi_off seconds=1.0 5")
        )
    writers[0].start()
    eventually(lambda: influx.requests > 50, "it was tried again and again")
    assert spool.depth().blocks == 5
    influx.poison = "nothing has this"
    eventually(lambda: watts(influxd, database) == [0, 1, 2, 3, 4], "all are stored")
    assert caplog.text.count("I do not like it") == 1


def test_a_series_that_is_refused_is_said_once(
    influxd: Influxd,
    database: str,
    spool: Spool,
    writers: list[Writer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    influx = Moody(InfluxSettings(influxd.url, database), "poison", Verdict.REFUSED)
    writers.append(Writer(spool, influx))
    writers[0].start()
    for number in range(5):
        spool.put(block(number, f"poison x=1.0 {number}"))
        eventually(lambda: spool.depth().blocks == 0, "it is dealt with")
    assert watts(influxd, database) == [0, 1, 2, 3, 4]
    assert caplog.text.count("refused points for good") == 1


def test_how_many_points_are_refused_is_no_news(
    influxd: Influxd,
    database: str,
    spool: Spool,
    writers: list[Writer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    start(writers, spool, InfluxSettings(influxd.url, database))
    spool.put(block(0))
    eventually(lambda: spool.depth().blocks == 0, "the type of the field is settled")
    for number in range(1, 5):
        bad = [f'meter,meter=m{i} watts="text" {NOW}' for i in range(number)]
        spool.put(block(number, *bad))
        eventually(lambda: spool.depth().blocks == 0, "it is dealt with")
    assert watts(influxd, database) == [0, 1, 2, 3, 4]
    assert caplog.text.count("refused points for good") == 1


def test_a_block_on_which_the_server_fails_does_not_block_the_rest(
    influxd: Influxd,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pzem.influx.writer.FIRST_RETRY_S", 0.01)
    monkeypatch.setattr("pzem.influx.writer.LAST_RETRY_S", 0.05)
    spool = Spool(tmp_path, "boot", 10_000_000)
    for number in range(50):
        spool.put(block(number))
    spool.close()
    spool = Spool(tmp_path, "boot", 10_000_000)
    influx = Moody(InfluxSettings(influxd.url, database), "watts=7.0", Verdict.FAILED)
    writer = Writer(spool, influx)
    writer.start()
    numbers = itertools.count(50)

    def others_are_stored() -> bool:
        spool.put(block(next(numbers)))
        return {*range(50)} - {7} <= {int(value) for value in watts(influxd, database)}

    eventually(others_are_stored, "all others are stored")
    eventually(lambda: spool.depth().blocks == 1, "only one is left")
    writer.stop(timeout_s=10)
    spool.close()
    assert (tmp_path / "spool.sqlite3").exists()


def test_an_unexpected_error_ends_the_writer_with_a_word(
    tmp_path: Path, influxd: Influxd, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path, "boot", 10_000_000)
    influx = Influx(InfluxSettings(influxd.url, database))
    influx.write = lambda *_: 1 / 0  # type: ignore[method-assign, assignment]
    writer = Writer(spool, influx)
    writer.start()
    spool.put(block(0))
    writer.join(60)
    assert not writer.is_alive()
    assert "the writer failed; this is a defect" in caplog.text
    spool.close()


def test_a_damaged_block_costs_itself_alone(
    influxd: Influxd, database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path, "boot", 10_000_000)
    for number in range(20):
        spool.put(block(number))
    spool.close()
    with sqlite3.connect(tmp_path / "spool.sqlite3") as db:
        db.execute("UPDATE blocks SET body = x'00112233' WHERE seq = 7")
    db.close()
    spool = Spool(tmp_path, "boot", 10_000_000)
    writer = Writer(spool, Influx(InfluxSettings(influxd.url, database)))
    writer.start()
    eventually(lambda: spool.depth().blocks == 0, "the spool is empty")
    writer.stop(timeout_s=10)
    spool.close()
    assert watts(influxd, database) == [*range(7), *range(8, 20)]
    assert "a block of the spool is damaged" in caplog.text


class TestProvisional:
    def test_what_was_shown_is_replaced_when_the_time_comes(
        self, influxd: Influxd, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pzem.spool.memory.COMMIT_S", 0.05)
        spool = Spool(tmp_path, "boot", 10_000_000)
        writer = Writer(spool, Influx(InfluxSettings(influxd.url, database)))
        writer.start()
        influxd_write = Influx(InfluxSettings(influxd.url, database)).write
        influxd_write([f"meter,meter=mainA watts=900.0 {NOW - 5}", f"other x=1.0 {NOW + 10}"])
        for number in range(10):
            monotonic_s = 100.0 + 5 * number
            moment = Moment(NOW + 5 * number, monotonic_s, "boot", is_true=False)
            lines = (f"meter,meter=mainA watts={number}.0", "collector cycle_s=0.1")
            spool.put(Block(moment, lines))
        spool.show_undated(NOW - 100.0, 5)
        marked = "SELECT provisional FROM collector WHERE provisional = 1"
        eventually(lambda: len(influxd.query(marked, database)) == 10, "they are shown")
        assert len(watts(influxd, database)) == 11
        spool.time_is_known("boot", NOW + 3600 - 100.0 + 0.2, 5, NOW + 3600 + 50)
        spool.put(Block(Moment(NOW + 3650, 150.0, "boot"), ("meter,meter=mainA watts=10.0",)))
        eventually(lambda: spool.depth().blocks == 0, "the spool is empty")
        writer.stop(timeout_s=10)
        spool.close()
        rows = influxd.query("SELECT watts FROM meter", database)
        assert [(row["time"], row["watts"]) for row in rows] == [
            (NOW - 5, 900),
            *((NOW + 3600 + 5 * number, number) for number in range(11)),
        ]
        assert influxd.query(marked, database) == []
        assert len(influxd.query("SELECT x FROM other", database)) == 1
        assert list(tmp_path.iterdir()) == []

    def test_what_an_earlier_boot_left_comes_after_what_is_stored(
        self, influxd: Influxd, database: str, tmp_path: Path
    ) -> None:
        Influx(InfluxSettings(influxd.url, database)).write([f"collector cycle_s=0.1 {NOW}"])
        spool = Spool(tmp_path, "boot", 10_000_000)
        for number in range(10):
            moment = Moment(NOW - 60 + 5 * number, 100.0 + 5 * number, "boot", is_true=False)
            spool.put(Block(moment, (f"meter,meter=mainA watts={number}.0",)))
        spool.close()
        spool = Spool(tmp_path, "next boot", 10_000_000)
        writer = Writer(spool, Influx(InfluxSettings(influxd.url, database)))
        writer.start()
        live = Moment(NOW + 600, 5.0, "next boot")
        spool.put(Block(live, ("collector cycle_s=0.1",)))
        eventually(lambda: spool.depth().blocks == 0, "the spool is empty")
        writer.stop(timeout_s=10)
        spool.close()
        rows = influxd.query("SELECT watts FROM meter", database)
        assert [row["time"] for row in rows] == [NOW + 5 + 5 * number for number in range(10)]

    def test_a_question_that_fails_is_said_once_and_asked_again(
        self,
        influxd: Influxd,
        database: str,
        spool: Spool,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr("pzem.spool.memory.COMMIT_S", 0.05)
        influx = Influx(InfluxSettings(influxd.url, database))
        query, asked = influx.query, 0

        def refuse(text: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
            nonlocal asked
            asked += 1
            raise InfluxError("not authorized to read")

        influx.query = refuse  # type: ignore[method-assign]
        writer = Writer(spool, influx)
        spool.put(block(0))
        assert writer.step()
        spool.put(Block(Moment(NOW + 5, 105.0, "boot", is_true=False), ("meter watts=1.0",)))
        spool.show_undated(NOW - 100.0, 5)
        for _ in range(3):
            writer._special_from = 0.0  # when it is asked again
            assert writer.step()
        assert asked == 3
        assert caplog.messages == [
            "InfluxDB does not tell its last slot, after which provisional ones are to lie: not "
            "authorized to read; it is tried again"
        ]
        influx.query = query  # type: ignore[method-assign]
        writer._special_from = 0.0
        assert writer.step()
        eventually(lambda: writer.step() and len(watts(influxd, database)) == 2, "it is shown")

    def test_an_absent_server_is_called_absent_before_anything_can_be_sent(
        self, spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("pzem.spool.memory.COMMIT_S", 0.05)
        caplog.set_level(logging.INFO)
        with Influxd() as server:
            server.query("CREATE DATABASE housePower")
            server.stop()
            writer = Writer(spool, Influx(InfluxSettings(server.url)))
            spool.put(Block(Moment(NOW, 100.0, "boot", is_true=False), ("meter watts=1.0",)))
            spool.show_undated(NOW - 100.0, 5)
            for _ in range(3):
                writer._special_from = 0.0  # when it is asked again
                assert writer.step()
            assert writer.why == "no connection"
            server.start()
            writer._special_from = 0.0
            eventually(lambda: writer.step() and writer.last_write_s is not None, "it is shown")
        said = "InfluxDB takes no data: no connection; it is kept and tried again"
        assert caplog.messages[0] == said
        assert caplog.messages[1].startswith("InfluxDB takes data again, after ")
        assert len(caplog.messages) == 2
        assert not writer.why

    def test_an_erasure_that_fails_holds_up_nothing_else(
        self,
        influxd: Influxd,
        database: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr("pzem.spool.memory.COMMIT_S", 0.05)
        spool = Spool(tmp_path, "boot", 10_000_000)
        influx = Influx(InfluxSettings(influxd.url, database))
        query = influx.query

        def refuse(text: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
            if text.startswith("DELETE"):
                raise InfluxError("not authorized to DELETE")
            return query(text, params)

        influx.query = refuse  # type: ignore[method-assign]
        writer = Writer(spool, influx)
        writer.start()
        for number in range(3):
            moment = Moment(NOW + 5 * number, 100.0 + 5 * number, "boot", is_true=False)
            spool.put(Block(moment, (f"meter,meter=mainA watts={number}.0",)))
        spool.show_undated(NOW - 100.0, 5)
        eventually(lambda: len(watts(influxd, database)) == 3, "they are shown")
        spool.time_is_known("boot", NOW - 95.0, 5, NOW + 1000)
        eventually(lambda: "not authorized" in caplog.text, "a word about it")
        spool.put(block(100))
        eventually(lambda: 100 in watts(influxd, database), "what lies elsewhere is stored")
        writer.stop(timeout_s=10)
        spool.close()
        assert caplog.text.count("not authorized to DELETE") == 1
        assert "does not erase what was shown at a provisional time" in caplog.text
        assert Spool(tmp_path, "boot", 10_000_000, background=False).depth().blocks == 2
        # the third block's true slot is free of provisional points: it was delivered


CHILD = """
import sys, time
from pathlib import Path
from pzem.config import InfluxSettings
from pzem.influx import Influx, Writer
from pzem.moment import Moment
from pzem.spool import Block, Spool
folder, url, database, first, now = sys.argv[1:]
spool = Spool(Path(folder), "boot", 50_000_000)
for number in range(int(first), int(first) + 200):
    moment = Moment(int(now) + 5 * number, 5.0 * number, "boot")
    spool.put(Block(moment, (f"meter,meter=mainA watts={number}.0",)))
spool.close()
spool = Spool(Path(folder), "boot", 50_000_000)
writer = Writer(spool, Influx(InfluxSettings(url, database)))
print("kept", flush=True)
writer._most = writer._limit = 7
writer.start()
time.sleep(600)
"""


def test_a_kill_in_the_middle_of_delivery_loses_nothing(
    influxd: Influxd, database: str, tmp_path: Path
) -> None:
    for round_ in range(5):
        arguments = [str(tmp_path), influxd.url, database, str(200 * round_), str(NOW)]
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"kept\n"
            time.sleep(0.02 * round_)  # somewhere in it: nothing depends on where
            child.kill()
    spool = Spool(tmp_path, "boot", 50_000_000)
    writer = Writer(spool, Influx(InfluxSettings(influxd.url, database)))
    writer.start()
    eventually(lambda: spool.depth().blocks == 0, "the spool is empty")
    writer.stop(timeout_s=10)
    spool.close()
    assert watts(influxd, database) == list(range(1000))
    assert list(tmp_path.iterdir()) == []
