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
from pzem.house.generator import StoredHours
from pzem.house.lifetime import Recalled
from pzem.recall import Answer, NoAnswerError, Recall, ask
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


def test_hours_of_the_generator_are_those_before_this_run(influxd: Influxd, database: str) -> None:
    settings = InfluxSettings(influxd.url, database)
    write(influxd, database, f"generator hours=11.5,load=0.5 {NOW}")
    assert ask(settings).generator == StoredHours(11.5, None, NOW)
    write(
        influxd,
        database,
        f"generator hours=12.5,hours_since_service=2 {NOW + 5}\n"
        f"generator load=0.5 {NOW + 10}\n"
        f"generator hours=13,hours_since_service=3 {NOW + 15}\n",
    )
    assert ask(settings, NOW + 15).generator == StoredHours(12.5, 2.0, NOW + 5)
    assert ask(settings, NOW).generator is None


def test_an_answer_without_what_is_yet_to_be_delivered_is_not_complete(
    influxd: Influxd,
    database: str,
    recalls: list[Recall],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recall, "FIRST_RETRY_S", 0.05)
    settings = InfluxSettings(influxd.url, database)
    assert not ask(settings, awaited_s=NOW).is_complete
    write(influxd, database, f"collector cycle_s=0.2 {NOW - 5}\ncollector cycle_s=0.2 {NOW + 5}")
    one = Recall(settings)
    one.before_s, one.awaited_s = NOW + 5, NOW  # what is live goes before the backlog
    recalls.append(one)
    one.start()
    eventually(lambda: one.answer is not None, "an answer")
    assert one.answer is not None
    assert (one.answer.last_slot_unix_s, one.answer.is_complete) == (NOW - 5, False)
    write(influxd, database, f"collector cycle_s=0.2 {NOW}")
    eventually(lambda: not one.is_alive(), "the end of asking")
    assert (one.answer.last_slot_unix_s, one.answer.is_complete) == (NOW, True)


def test_slots_of_this_run_are_no_word_of_before(influxd: Influxd, database: str) -> None:
    write(influxd, database, f"collector cycle_s=0.2 {NOW}\ncollector cycle_s=0.2 {NOW + 5}\n")
    settings = InfluxSettings(influxd.url, database)
    assert ask(settings, NOW + 5).last_slot_unix_s == NOW
    assert ask(settings, NOW).last_slot_unix_s is None


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
        with pytest.raises(NoAnswerError, match="authorization failed"):
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
        def do_POST(self) -> None:
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
        ("1.8", b"<html>", "not InfluxDB"),
        ("1.8", b"[]", "not InfluxDB"),
        ("1.8", b'{"results":[{"error":"broken\\nshard"}]}', "^http://.*: broken shard$"),
        ("1.8", b'{"results":[{"series":[{"columns":["time"],"values":[[1]]}]}]}', "asked"),
    ],
)
def test_what_is_no_answer(
    stranger: tuple[str, dict[str, bytes]], version: str, body: bytes, why: str
) -> None:
    url, says = stranger
    says.update(version=version.encode(), body=body)
    with pytest.raises(NoAnswerError, match=why):
        ask(InfluxSettings(url))
