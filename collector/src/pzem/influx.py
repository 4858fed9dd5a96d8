"""Writes cycles to InfluxDB 1.x, one request a cycle.

What may succeed later is tried again and stays in the spool: no connection, a server
error, a missing database (404), a wrong password (401, 403). What never will is logged
and dropped: lines that the server refuses (400). The good lines of such a request are
stored, and lines sent twice overwrite themselves.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
import urllib.parse
from collections.abc import Sequence
from enum import Enum
from typing import Final

import requests
from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError, InfluxDBServerError

from pzem.config import ConfigError, InfluxSettings
from pzem.spool import MemorySpool

TIMEOUT_S: Final = 10.0
"""An SD card that is busy with a compaction can keep a write waiting for seconds."""
FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 30.0
CYCLES_A_REQUEST: Final = 500
"""A backlog goes out in requests of this many cycles, some 5000 points: the size that
InfluxDB's own guide recommends."""

log = logging.getLogger(__name__)


class Verdict(Enum):
    """What became of a request."""

    STORED = "stored"
    REFUSED = "refused"
    """The server took what it could and will never take the rest."""
    TOO_LARGE = "too large"
    LATER = "later"


class Influx:
    """The database as a place to put lines. Safe to use from one thread."""

    def __init__(self, settings: InfluxSettings) -> None:
        self._settings = settings
        self._client = self._connect()
        self.why = ""
        """Why the last request was not stored, in one line for people."""

    def write(self, lines: Sequence[str]) -> Verdict:
        """Send `lines` in one request."""
        params = {"db": self._settings.database, "precision": "s"}
        try:
            self._client.write(list(lines), params=params, protocol="line")
        except InfluxDBClientError as error:
            return self._client_error(error)
        except InfluxDBServerError as error:
            self.why = f"server error: {_words(error.args[0] if error.args else '')}"
            return Verdict.LATER
        except requests.RequestException as error:
            self.why = _network_error(error)
            return Verdict.LATER
        return Verdict.STORED

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _client_error(self, error: InfluxDBClientError) -> Verdict:
        self.why = _words(error.content)
        if error.code == 400:
            return Verdict.REFUSED
        if error.code == 413:
            return Verdict.TOO_LARGE
        if error.code in (401, 403):
            login = (
                f"user {self._settings.username}" if self._settings.password_file else "no log-in"
            )
            self.why = f"{self.why} ({login})"
            self._log_in_anew()
        return Verdict.LATER

    def _log_in_anew(self) -> None:
        """Read the password again: it may have been changed under way."""
        try:
            fresh = self._connect()
        except ConfigError as error:
            self.why = error.lines[0]
            return
        self._client.close()
        self._client = fresh

    def _connect(self) -> InfluxDBClient:
        url = urllib.parse.urlsplit(self._settings.url)
        password = self._settings.password()
        session = requests.Session()
        session.trust_env = False  # neither a proxy nor a .netrc of whoever starts it
        secure = url.scheme == "https"
        return InfluxDBClient(
            host=f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname,
            port=url.port or (443 if secure else 80),
            username=None if password is None else self._settings.username.encode(),
            password=None if password is None else password.encode(),
            ssl=secure,
            verify_ssl=True,
            timeout=TIMEOUT_S,
            retries=1,
            path=url.path.rstrip("/"),
            session=session,
            pool_size=1,
        )


class Writer(threading.Thread):
    """Moves cycles from the spool into the database, as fast as it takes them."""

    def __init__(self, spool: MemorySpool, influx: Influx) -> None:
        super().__init__(name="writer", daemon=True)
        self._spool = spool
        self._influx = influx
        self._stopping = threading.Event()
        self._retry_s = FIRST_RETRY_S
        self._down_since: float | None = None
        self._said = ""
        self._refused_said = ""
        self._most = CYCLES_A_REQUEST

    def run(self) -> None:
        """Write until stopped, and then what is left, as long as the database takes it."""
        try:
            while not self._stopping.is_set():
                if self._spool.wait(timeout_s=0.5) and not self._write_some():
                    self._stopping.wait(self._retry_s)
                    self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)
            while len(self._spool) and self._write_some():
                pass
        except Exception:
            log.exception("the writer failed; this is a defect")
        finally:
            self._influx.close()

    def stop(self, timeout_s: float) -> None:
        """Flush the spool for `timeout_s` at most, then give up."""
        self._stopping.set()
        self.join(timeout_s)

    def _write_some(self) -> bool:
        """Send one request; return whether the next one may follow at once."""
        first, cycles = self._spool.peek(self._most)
        verdict = self._influx.write([line for cycle in cycles for line in cycle])
        if verdict is Verdict.LATER:
            self._say_down()
            return False
        if verdict is Verdict.TOO_LARGE and len(cycles) > 1:
            self._most = len(cycles) // 2
            return True
        if verdict is Verdict.STORED:
            self._refused_said = ""
        else:
            self._say_refused()
        self._spool.done(first, len(cycles))
        self._say_up()
        return True

    def _say_down(self) -> None:
        if self._down_since is None:
            self._down_since = time.monotonic()
        if self._influx.why != self._said:
            self._said = self._influx.why
            log.warning("InfluxDB takes no data: %s; cycles are kept and tried again", self._said)

    def _say_up(self) -> None:
        self._retry_s = FIRST_RETRY_S
        self._said = ""
        if len(self._spool):
            return
        self._most = CYCLES_A_REQUEST
        if self._down_since is not None:
            down_s = time.monotonic() - self._down_since
            self._down_since = None
            log.info("InfluxDB takes data again, after %.0f s", down_s)

    def _say_refused(self) -> None:
        if self._influx.why != self._refused_said:
            self._refused_said = self._influx.why
            log.error("InfluxDB refused points for good: %s; they are dropped", self._refused_said)


def _network_error(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(error, requests.exceptions.SSLError):
        return f"TLS failed: {_one_line(error)}"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return _one_line(error)


def _words(content: object) -> str:
    """Return what the server says, out of its JSON if it is that."""
    text = content.decode(errors="replace") if isinstance(content, bytes) else str(content)
    with contextlib.suppress(ValueError, TypeError, KeyError):
        text = json.loads(text)["error"]
    return _one_line(text)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]
