"""What the database knows last: asked for at the start, until it has answered once.

A thread of its own with a connection of its own, so that nothing waits for it.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import requests
from requests.auth import HTTPBasicAuth

from pzem.config import ConfigError, InfluxSettings
from pzem.house.lifetime import Recalled

TIMEOUT_S: Final = 20.0
"""For a whole answer: a card that is busy can keep a query waiting for seconds."""
MAX_ANSWER_BYTES: Final = 1_000_000
"""A few rows for each meter need some hundred bytes."""
FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 30.0
LIFETIME: Final = "SELECT last(lifetime_wh), energy_wh FROM meter GROUP BY meter"
"""A selector brings its point's other fields along, and that point's time."""
REGISTER: Final = "SELECT last(energy_wh) FROM meter GROUP BY meter"
LAST_SLOT: Final = "SELECT last(cycle_s) FROM collector"

log = logging.getLogger(__name__)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The database's last words."""

    meters: Mapping[str, Recalled]
    """By name; a meter of which nothing was ever stored is missing."""
    last_slot_unix_s: int | None
    """Time of the last slot stored, in s since 1970; None: there is none."""


class NoAnswerError(Exception):
    """The database did not answer; it may do so later. The message is one line."""


class Recall(threading.Thread):
    """Asks until there is an `answer`."""

    def __init__(self, settings: InfluxSettings) -> None:
        super().__init__(name="recall", daemon=True)
        self._settings = settings
        self._stopping = threading.Event()
        self._answer: Answer | None = None

    @property
    def answer(self) -> Answer | None:
        """What the database said; None: nothing yet."""
        return self._answer

    def run(self) -> None:
        """Ask until there is an answer, or until stopped."""
        retry_s, said = FIRST_RETRY_S, False
        while not self._stopping.is_set():
            try:
                self._answer = ask(self._settings)
            except NoAnswerError as error:
                if not said:
                    said = True
                    log.info("InfluxDB does not tell yet what was stored last: %s", error)
                self._stopping.wait(retry_s)
                retry_s = min(2 * retry_s, LAST_RETRY_S)
            except Exception:
                log.exception("asking for what was stored last failed; this is a defect")
                return
            else:
                if said:
                    log.info("InfluxDB has told what was stored last")
                return

    def stop(self, timeout_s: float) -> None:
        """Ask no more; wait `timeout_s` at most for a question under way."""
        self._stopping.set()
        self.join(timeout_s)


def ask(settings: InfluxSettings) -> Answer:
    """Ask once; raises `NoAnswerError`."""
    lifetimes, registers, slots = query(settings, [LIFETIME, REGISTER, LAST_SLOT])
    try:
        meters = {
            str(row["meter"]): Recalled(float(row["last"]), None, int(row["time"]))
            for row in registers
        }
        for row in lifetimes:
            if row["energy_wh"] is not None:
                meters[str(row["meter"])] = Recalled(
                    float(row["energy_wh"]), float(row["last"]), int(row["time"])
                )
        last_slot_unix_s = int(slots[0]["time"]) if slots else None
    except (KeyError, TypeError, ValueError) as error:
        raise NoAnswerError(f"not what was asked for: {error!r}") from error
    return Answer(meters, last_slot_unix_s)


def words_in(lines: Iterable[str], unix_s: int, *, is_true: bool = True) -> dict[str, Recalled]:
    """Return what the lines of one slot (line protocol) say of each meter.

    For a block that still waits to be stored and is newer than all that was.
    """
    words = {}
    for line in lines:
        tags, _, fields = line.partition(" ")
        if not tags.startswith("meter,meter="):
            continue
        values = dict(pair.split("=", 1) for pair in fields.split(" ")[0].split(",") if "=" in pair)
        try:
            word = Recalled(
                float(values["energy_wh"]),
                float(values["lifetime_wh"]) if "lifetime_wh" in values else None,
                unix_s,
                is_true=is_true,
            )
        except (KeyError, ValueError):
            continue
        words[tags.removeprefix("meter,meter=")] = word
    return words


def query(settings: InfluxSettings, statements: Sequence[str]) -> list[list[Row]]:
    """Run InfluxQL; return the rows of each statement, tags and fields alike, times in s.

    Raises `NoAnswerError` after `TIMEOUT_S` at most, and then some for a server that
    sends one byte at a time.
    """
    deadline_s = time.monotonic() + TIMEOUT_S
    try:
        password = settings.password()
    except ConfigError as error:
        raise NoAnswerError(error.lines[0]) from error
    form = {"db": settings.database, "q": "; ".join(statements), "epoch": "s"}
    login = (
        None if password is None else HTTPBasicAuth(settings.username.encode(), password.encode())
    )
    url = urllib.parse.urljoin(settings.url.rstrip("/") + "/", "query")
    with requests.Session() as session:
        session.trust_env = False  # neither a proxy nor a .netrc of whoever starts it
        try:
            with session.get(
                url, params=form, auth=login, timeout=TIMEOUT_S, stream=True, allow_redirects=False
            ) as response:
                body = _body(response, deadline_s)
        except requests.RequestException as error:
            raise NoAnswerError(_network_error(error)) from error
    return _rows(response, body, len(statements))


def _body(response: requests.Response, deadline_s: float) -> bytes:
    body = b""
    for part in response.iter_content(chunk_size=None):
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            raise NoAnswerError("its answer does not end")
        if time.monotonic() > deadline_s:
            raise NoAnswerError(f"no whole answer within {TIMEOUT_S:.0f} s")
    return body


def _rows(response: requests.Response, body: bytes, count: int) -> list[list[Row]]:
    if "X-Influxdb-Version" not in response.headers:
        raise NoAnswerError("what answers there is not InfluxDB")
    try:
        document = json.loads(body)
        errors = [document, *document.get("results", [])]
        why = next((str(one["error"]) for one in errors if "error" in one), None)
        if why is None and response.status_code == requests.codes.ok:
            rows = [_statement_rows(result) for result in document["results"]]
            if len(rows) == count:
                return rows
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        why = None
    raise NoAnswerError(" ".join((why or f"answer {response.status_code}").split())[:300])


def _statement_rows(result: Mapping[str, Any]) -> list[Row]:
    return [
        {**series.get("tags", {}), **dict(zip(series["columns"], values, strict=True))}
        for series in result.get("series", [])
        for values in series["values"]
    ]


def _network_error(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return " ".join(str(error).split())[:300]
