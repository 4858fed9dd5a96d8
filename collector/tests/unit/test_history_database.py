"""Answers that an InfluxDB gives on bad days, or that something else gives."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pzem.config import InfluxSettings
from pzem.history.database import AwayError, ImportFailedError, Server, name, text
from pzem.history.importer import PATIENCE_S, Patience
from pzem.history.target import Levels, duration_s


class Answers:
    """A stand-in for the server: says what it is told, and remembers what it got."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b"{}"
        self.headers = {"X-Influxdb-Version": "1.8.10"}
        self.largest = 10**9
        self.stored: list[bytes] = []
        answers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(answers.status)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                too_large = len(body.splitlines()) > answers.largest
                if not too_large:
                    answers.stored += body.splitlines()
                self._answer(413 if too_large else answers.status)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                for key, value in answers.headers.items():
                    self.send_header(key, value)
                body = b"" if status == 204 else answers.body
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def answers() -> Iterator[Answers]:
    answers = Answers()
    yield answers
    answers.close()


@pytest.fixture
def server(answers: Answers) -> Iterator[Server]:
    server = Server(InfluxSettings(answers.url))
    yield server
    server.close()


@pytest.mark.parametrize(
    ("status", "body", "headers", "error", "said"),
    [
        (503, b'{"error":"starting"}', True, AwayError, "starting"),
        (502, b"<html>bad gateway", False, AwayError, "bad gateway"),
        (500, b"", True, AwayError, "status 500"),
        (200, b"<html>a router", False, AwayError, "is no InfluxDB"),
        (200, b'{"results":[', True, AwayError, "broke off"),
        (
            200,
            b'{"results":[{"error":"query-timeout limit exceeded"}]}',
            True,
            AwayError,
            "limit exceeded",
        ),
        (
            200,
            b'{"results":[{"error":"database not found: x"}]}',
            True,
            ImportFailedError,
            "database not found: x",
        ),
        (400, b'{"error":"error parsing query"}', True, ImportFailedError, "error parsing query"),
        (401, b'{"error":"authorization failed"}', True, ImportFailedError, "no log-in"),
        (
            200,
            b'{"results":[{"error":"pzem not authorized to execute statement"}]}',
            True,
            ImportFailedError,
            "does not let in",
        ),
    ],
)
def test_a_query_that_fails(
    answers: Answers,
    server: Server,
    status: int,
    body: bytes,
    headers: bool,
    error: type[Exception],
    said: str,
) -> None:
    answers.status, answers.body = status, body
    if not headers:
        answers.headers = {}
    with pytest.raises(error, match=said):
        server.rows("SELECT x FROM y")


def test_points_that_are_refused_are_counted(answers: Answers, server: Server) -> None:
    answers.status = 400
    why = "partial write: points beyond retention policy dropped=2"
    answers.body = b'{"error":"%s"}' % why.encode()
    assert server.write("x", "raw", ["a", "b", "c"]) == (2, why)


def test_a_request_that_is_too_large_is_halved(answers: Answers, server: Server) -> None:
    answers.status, answers.largest = 204, 3
    lines = [f"m f={number}" for number in range(10)]
    assert server.write("x", "raw", lines) == (0, "")
    assert answers.stored == [line.encode() for line in lines]
    answers.largest = 0
    with pytest.raises(ImportFailedError):
        server.write("x", "raw", ["one"])


@pytest.mark.parametrize(
    ("status", "body", "mb"),
    [
        (200, b'{"memstats":{"Sys":412000000,"HeapReleased":12000000}}', 400.0),
        (200, b"{}", None),
        (200, b"not here", None),
        (401, b'{"error":"log in"}', None),
        (503, b"", None),
    ],
)
def test_the_memory_of_the_server(
    answers: Answers, server: Server, status: int, body: bytes, mb: float | None
) -> None:
    answers.status, answers.body = status, body
    assert server.memory_mb() == mb


def test_a_write_that_cannot_be(answers: Answers, server: Server) -> None:
    answers.status, answers.body = 404, b'{"error":"database not found: \\"x\\""}'
    with pytest.raises(ImportFailedError, match="database not found"):
        server.write("x", "raw", ["a"])


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pzem.history.database.TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        server = Server(InfluxSettings(f"http://127.0.0.1:{mute.getsockname()[1]}"))
        with pytest.raises(AwayError, match="does not answer within"):
            server.rows("SELECT x FROM y")
    with pytest.raises(AwayError, match="no connection"):
        server.rows("SELECT x FROM y")
    server.close()


def test_names_and_texts_are_spelled_safely() -> None:
    assert name('a"b\\c') == '"a\\"b\\\\c"'
    assert text("a'b\\c") == "'a\\'b\\\\c'"


def test_patience_ends() -> None:
    said: list[str] = []
    waits: list[float] = []

    def away() -> None:
        raise AwayError("no connection")

    with pytest.raises(ImportFailedError, match="no connection"):
        Patience(said.append, waits.append)(away)
    assert said == ["no connection; trying again"]
    assert waits[:6] == [1, 2, 4, 8, 16, 30]
    assert PATIENCE_S <= sum(waits) < PATIENCE_S + 30


@pytest.mark.parametrize(
    ("spelled", "seconds"),
    [("0s", 0), ("17472h0m0s", 62_899_200), ("1h30m5s", 5405), ("2w1d", 1_296_000)],
)
def test_durations(spelled: str, seconds: int) -> None:
    assert duration_s(spelled) == seconds


def test_what_fits_into_the_raw_level() -> None:
    day_s = 86_400
    assert Levels("raw", 0, ()).raw_from_ns(1e9) is None
    assert Levels("raw", 10 * day_s, ()).raw_from_ns(1e9) == (10**9 - 9 * day_s) * 10**9
    assert Levels("raw", 0, ("m1",)).lacking == ("h1", "d1")
