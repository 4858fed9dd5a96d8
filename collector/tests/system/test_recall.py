"""Asking a real InfluxDB for what it knows last, while it is missing, locked or not one."""

from __future__ import annotations

import http.server
import logging
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pzem import recall
from pzem.config import InfluxSettings
from pzem.house.lifetime import Recalled
from pzem.recall import Answer, NoAnswerError, Recall, ask, words_in
from pzem.testing.influxd import Influxd, free_port
from support import eventually

NOW = 1_800_000_000


def write(server: Influxd, database: str, lines: str) -> None:
    url = f"{server.url}/write?db={database}&precision=s"
    urllib.request.urlopen(urllib.request.Request(url, lines.encode()), timeout=30).close()


@pytest.fixture
def recalls() -> Iterator[list[Recall]]:
    started: list[Recall] = []
    yield started
    for one in started:
        one.stop(timeout_s=5)


def test_an_empty_database_knows_nothing(influxd: Influxd, database: str) -> None:
    assert ask(InfluxSettings(influxd.url, database)) == Answer({}, None)


def test_the_last_words_of_each_meter_are_those_of_one_slot(
    influxd: Influxd, database: str
) -> None:
    write(
        influxd,
        database,
        f"meter,meter=mainA energy_wh=7,lifetime_wh=107 {NOW}\n"
        f"meter,meter=mainA energy_wh=8,lifetime_wh=108.5 {NOW + 5}\n"
        f"meter,meter=mainA energy_wh=4000000 {NOW + 10}\n"
        f"meter,meter=gen energy_wh=9 {NOW + 10}\n"
        f"collector cycle_s=0.2 {NOW + 10}\n"
        f"collector cycle_s=0.2 {NOW + 15}\n",
    )
    assert ask(InfluxSettings(influxd.url, database)) == Answer(
        {"mainA": Recalled(8.0, 108.5, NOW + 5), "gen": Recalled(9.0, None, NOW + 10)}, NOW + 15
    )


def test_a_missing_database_is_no_answer(influxd: Influxd) -> None:
    with pytest.raises(NoAnswerError):
        ask(InfluxSettings(influxd.url, "nowhere"))


def test_it_asks_until_it_is_answered(
    influxd: Influxd,
    recalls: list[Recall],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recall, "FIRST_RETRY_S", 0.05)
    with caplog.at_level(logging.INFO):
        one = Recall(InfluxSettings(influxd.url, "recalled_later"))
        recalls.append(one)
        one.start()
        eventually(lambda: "does not tell yet" in caplog.text, "a word about the missing one")
        assert one.answer is None
        influxd.query("CREATE DATABASE recalled_later")
        eventually(lambda: one.answer == Answer({}, None), "the answer")
        eventually(lambda: not one.is_alive(), "the end of asking")
    assert caplog.text.count("does not tell yet") == 1
    assert "has told" in caplog.text
    influxd.query("DROP DATABASE recalled_later")


def test_a_defect_ends_it_and_nothing_else(
    recalls: list[Recall], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(settings: InfluxSettings) -> Answer:
        raise ZeroDivisionError

    monkeypatch.setattr(recall, "ask", broken)
    one = Recall(InfluxSettings())
    one.run()
    assert one.answer is None
    assert "this is a defect" in caplog.text


def test_it_ends_without_an_answer(recalls: list[Recall], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        one = Recall(InfluxSettings(f"http://127.0.0.1:{free_port()}"))
        recalls.append(one)
        one.start()
        eventually(lambda: "no connection" in caplog.text, "a word about the absence")
    one.stop(timeout_s=10)
    assert not one.is_alive()
    assert one.answer is None


def test_a_password_is_asked_for_and_never_told(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    with Influxd(auth=True) as locked:
        locked.query("CREATE USER admin WITH PASSWORD 'x' WITH ALL PRIVILEGES")
        locked.credentials = ("admin", "x")
        locked.query("CREATE DATABASE housePower")
        locked.query("CREATE USER pzem WITH PASSWORD 'straße'")
        settings = InfluxSettings(locked.url, password_file=secret)
        with pytest.raises(NoAnswerError, match="cannot read"):
            ask(settings)
        secret.write_text("wrong\n")
        with pytest.raises(NoAnswerError, match=r"^authorization failed$"):
            ask(settings)
        secret.write_text("straße\n")
        with pytest.raises(NoAnswerError, match="not authorized"):
            ask(settings)
        locked.query("GRANT ALL ON housePower TO pzem")
        assert ask(settings) == Answer({}, None)


@pytest.fixture
def stranger() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Run a stand-in for what may listen in InfluxDB's place; it says what it is told."""
    says = {"body": b"{}", "version": b""}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if says["version"]:
                self.send_header("X-Influxdb-Version", says["version"].decode())
            self.end_headers()
            self.wfile.write(says["body"])

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", says
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("version", "body", "why"),
    [
        ("", b'{"results":[{},{},{}]}', "not InfluxDB"),
        ("1.8", b"<html>", "answer 200"),
        ("1.8", b"[]", "answer 200"),
        ("1.8", b'{"results":[{}]}', "answer 200"),
        ("1.8", b'{"results":[{"error":"broken\\nshard"},{},{}]}', "^broken shard$"),
        ("1.8", b'{"results":[{"series":[{"columns":["time"],"values":[[1]]}]},{},{}]}', "asked"),
        ("1.8", b"x" * 1_000_001, "does not end"),
    ],
)
def test_what_is_no_answer(
    stranger: tuple[str, dict[str, bytes]], version: str, body: bytes, why: str
) -> None:
    url, says = stranger
    says.update(version=version.encode(), body=body)
    with pytest.raises(NoAnswerError, match=why):
        ask(InfluxSettings(url))


def test_a_server_that_is_too_slow_is_given_up(
    stranger: tuple[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, says = stranger
    says.update(version=b"1.8", body=b'{"results":[{},{},{}]}')
    moments = iter([0.0])
    monkeypatch.setattr("pzem.recall.time.monotonic", lambda: next(moments, 1000.0))
    with pytest.raises(NoAnswerError, match="no whole answer"):
        ask(InfluxSettings(url))


def test_words_of_a_slot_that_waits() -> None:
    lines = [
        "meter,meter=mainA volts=120,energy_wh=8,lifetime_wh=108.5",
        "meter,meter=gen energy_wh=9,volts=120 1800000000",
        "meter,meter=odd volts=120",
        "meter,meter=worse energy_wh=what",
        "meter_state,meter=mainA state=0",
    ]
    assert words_in(lines, NOW, is_true=False) == {
        "mainA": Recalled(8.0, 108.5, NOW, is_true=False),
        "gen": Recalled(9.0, None, NOW, is_true=False),
    }
