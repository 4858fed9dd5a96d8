"""The database as a place to put lines, and to ask.

What may succeed later is to be tried again: no connection, no answer in time, a server
error, a missing database (404), a wrong password (401, 403), and whatever answers
without being InfluxDB. What never will is refused: a request that InfluxDB finds wrong
(400). It may have stored the rest; lines sent twice overwrite themselves.
"""

from __future__ import annotations

import contextlib
import json
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

import requests
import urllib3
from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError, InfluxDBServerError

from pzem.config import ConfigError, InfluxSettings
from pzem.errors import PzemError
from pzem.influx.bounded import BoundedAdapter

REQUEST_S: Final = 10.0
"""How long a request may take. An SD card that is busy with a compaction can keep a write
waiting for seconds."""
CONNECT_S: Final = 3.0
VERSION_HEADER: Final = "X-Influxdb-Version"
"""What InfluxDB says with each answer."""


_PASSING: Final = (
    "timeout",
    "interrupted",
    "limit exceeded",
    "not execute",
    "engine is closed",
    "is disabled",
)
"""Words of errors that are over when the server is less busy, or up again."""


class InfluxError(PzemError):
    """The database did not do what it was asked for; it may do so later."""


class InfluxRefusalError(InfluxError):
    """It will not do so however often it is asked; somebody has to mend something."""


class Verdict(Enum):
    """What became of a request."""

    STORED = "stored"
    PARTLY = "stored but for what the server has named"
    UNREADABLE = "none of it can be read"
    REFUSED = "refused for a reason that lies in a part of it"
    TOO_LARGE = "too large"
    FAILED = "the server has failed; perhaps on this request"
    LATER = "to be tried again"


class Influx:
    """One connection to the database. Safe to use from one thread."""

    def __init__(
        self, settings: InfluxSettings, request_s: float = REQUEST_S, precision: str = "s"
    ) -> None:
        """Read the password; raises `ConfigError` if it cannot be read.

        `precision`: the unit of all times, `s` or `ns`.
        """
        self._settings = settings
        self._precision = precision
        self._request_s = request_s
        self._is_influx = False
        self._is_refusal = False
        self._client = self._connect()
        self.why = ""
        """Why the last request was not stored, in one line for people."""

    @property
    def url(self) -> str:
        """The server's address."""
        return self._settings.url.rstrip("/")

    @property
    def error(self) -> InfluxError:
        """What to raise where the last request has failed."""
        what = InfluxRefusalError if self._is_refusal else InfluxError
        return what(f"{self.url}: {self.why}")

    def write(self, lines: Sequence[str], policy: str = "") -> Verdict:
        """Send `lines` in one request, for the retention policy `policy` or the default one."""
        body = ("\n".join(lines) + "\n").encode(errors="replace")
        params = {"db": self._settings.database, "rp": policy, "precision": self._precision}
        response, verdict = self._request("write", params, body)
        if response is not None and response.status_code != 204:
            self.why = f"what answers is not InfluxDB (HTTP {response.status_code})"
            return Verdict.LATER
        return verdict

    def query(self, text: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run InfluxQL and return its rows; tags, fields and `time` alike are keys.

        `params` are values for the `$name` in its WHERE clause. Raises `InfluxError`.
        """
        fields = {
            "q": text,
            "db": self._settings.database,
            "epoch": self._precision,
            "params": json.dumps(dict(params or {})),
        }
        document = self._document("query", "POST", fields)
        try:
            for result in document["results"]:
                if "error" in result:
                    self.why = _one_line(result["error"])
                    self._is_refusal = not any(word in self.why for word in _PASSING)
                    raise self.error
            return _rows(document)
        except (KeyError, TypeError, AttributeError) as error:
            raise self._not_influx() from error

    def statistics(self) -> dict[str, Any]:
        """Return what the server counts about itself. Raises `InfluxError`."""
        statistics: dict[str, Any] = self._document("debug/vars", "GET", {})
        return statistics

    def memory_mb(self) -> float | None:
        """Return the server's own memory in 10^6 bytes; None if it does not tell.

        Measured, this is RssAnon and a dozen MB; files that are mapped are not in it.
        Raises nothing: nothing depends on it.
        """
        try:
            told = self.statistics()["memstats"]
            return (float(told["Sys"]) - float(told["HeapReleased"])) / 1e6
        except (InfluxError, ValueError, TypeError, KeyError):
            return None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _document(self, path: str, method: str, params: Mapping[str, str]) -> Any:  # noqa: ANN401
        response, _ = self._request(path, params, None, method)
        if response is None:
            raise self.error
        try:
            return response.json()
        except ValueError as error:
            raise self._not_influx() from error

    def _not_influx(self) -> InfluxError:
        self.why = "what answers is not InfluxDB"
        return self.error

    def _request(
        self, path: str, params: Mapping[str, str], body: bytes | None, method: str = "POST"
    ) -> tuple[requests.Response | None, Verdict]:
        """Send one request; return the answer if it is InfluxDB's and good, and the verdict."""
        self._is_influx = self._is_refusal = False
        started_s = time.monotonic()
        try:
            response = self._client.request(
                path,
                method,
                params=dict(params),
                data=body,
                expected_response_code=204 if path == "write" else 200,
                headers={"Content-Type": "application/octet-stream", "Accept": "application/json"},
            )
        except InfluxDBClientError as error:
            return None, self._client_error(error)
        except InfluxDBServerError as error:
            why = _words(error.args[0] if error.args else "")
            self.why = f"server error: {why or 'it gives no reason'}"
            return None, Verdict.FAILED if self._is_influx else Verdict.LATER
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            is_late = time.monotonic() - started_s >= self._request_s
            self.why = self._late() if is_late else self._network_error(error)
            return None, Verdict.FAILED if self.why == self._late() else Verdict.LATER
        if not self._is_influx:
            self.why = f"what answers is not InfluxDB (HTTP {response.status_code})"
            return None, Verdict.LATER
        return response, Verdict.STORED

    def _client_error(self, error: InfluxDBClientError) -> Verdict:
        self.why = _words(error.content)
        self._is_refusal = self._is_influx
        if error.code in (401, 403):
            login = (
                f"user {self._settings.username}" if self._settings.password_file else "no log-in"
            )
            self.why = f"{self.why} ({login})"
            self._log_in_anew()
            return Verdict.LATER
        if not self._is_influx:
            self.why = f"what answers is not InfluxDB (HTTP {error.code})"
            return Verdict.LATER
        if error.code == 413:
            return Verdict.TOO_LARGE
        if error.code != 400:
            return Verdict.LATER
        if self.why.startswith("partial write"):
            return Verdict.PARTLY
        return Verdict.UNREADABLE if self.why.startswith("unable to parse") else Verdict.REFUSED

    def _network_error(self, error: Exception) -> str:
        if isinstance(error, requests.ConnectTimeout):
            return "no connection"
        reason = error.args[0] if error.args else None
        if isinstance(error, requests.Timeout) or isinstance(
            reason, (TimeoutError, urllib3.exceptions.ReadTimeoutError)
        ):
            return self._late()
        if isinstance(error, requests.exceptions.SSLError):
            return f"TLS failed: {_one_line(error)}"
        if isinstance(error, requests.ConnectionError):
            return "no connection"
        return _one_line(error)

    def _late(self) -> str:
        return f"no answer within {self._request_s:g} s"

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
        session.max_redirects = 0  # InfluxDB sends nobody elsewhere
        session.hooks["response"].append(self._look_at)
        secure = url.scheme == "https"
        client = InfluxDBClient(
            host=f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname,
            port=url.port or (443 if secure else 80),
            username=None if password is None else self._settings.username.encode(),
            password=None if password is None else password.encode(),
            ssl=secure,
            verify_ssl=True,
            timeout=(min(CONNECT_S, self._request_s), self._request_s),
            retries=1,
            path=url.path.rstrip("/"),
            session=session,
            pool_size=1,
        )
        session.mount(f"{url.scheme}://", BoundedAdapter(self._request_s))
        return client

    def _look_at(self, response: requests.Response, *_: object, **__: object) -> None:
        self._is_influx = VERSION_HEADER in response.headers or _speaks_as_influx(response)
        response.headers.pop("Content-Type", None)  # it may name what the client would unpack


def _speaks_as_influx(response: requests.Response) -> bool:
    """Tell whether an answer is InfluxDB's own although it does not name its version.

    A proxy may drop the header, and compatible servers lack it. Nothing else answers a
    write with 204, or in these words.
    """
    if response.status_code == 204:
        return True
    said = _words(response.content)
    return response.status_code == 400 and said.startswith(("partial write", "unable to parse"))


def quoted(name: str) -> str:
    """Spell an identifier for InfluxQL."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for result in document["results"]:
        for series in result.get("series", []):
            tags = series.get("tags", {})
            columns = series["columns"]
            rows += [
                {**tags, **dict(zip(columns, values, strict=True))}
                for values in series.get("values", [])
            ]
    return rows


def _words(content: object) -> str:
    """Return what the server says, out of its JSON if it is that."""
    text = content.decode(errors="replace") if isinstance(content, bytes) else str(content)
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        text = json.loads(text)["error"]
    return _one_line(text)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:300]
