"""InfluxDB 1.x as an import needs it: bounded queries, and points to the nanosecond."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import requests
import requests.auth

from pzem.config import InfluxSettings
from pzem.errors import PzemError

TIMEOUT_S: Final = 90.0
"""The server ends a query after 60 s by itself; a write may wait for a busy card."""
POINTS_A_REQUEST: Final = 5000
"""What InfluxDB's own guide recommends."""

_DROPPED = re.compile(r"dropped=(\d+)")
_PASSING = (
    "timeout",
    "interrupted",
    "limit exceeded",
    "not execute",
    "engine is closed",
    "is disabled",
)
"""Words of errors that are over when the server is less busy, or up again."""


class ImportFailedError(PzemError):
    """The import cannot be done, or not to its end."""


class AwayError(Exception):
    """The server does not answer now and may do so later; the message says why."""


class Row(NamedTuple):
    """One point of a query's answer."""

    time_ns: int
    values: Sequence[Any]


class Server:
    """One InfluxDB and how to log in to it. Safe to use from one thread.

    Every call raises `AwayError` for what may succeed later, `ImportFailedError` for what
    will not, and `ConfigError` if the password cannot be read.
    """

    def __init__(self, settings: InfluxSettings) -> None:
        self.url = settings.url.rstrip("/")
        self._settings = settings
        self._session = requests.Session()
        self._session.trust_env = False  # neither a proxy nor a .netrc of whoever starts it
        password = settings.password()
        if password is not None:
            self._session.auth = _Login(settings.username, password)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def tables(self, query: str) -> list[dict[str, Any]]:
        """Run InfluxQL and return its series: `name`, `columns`, `values`; times in ns."""
        params = {"q": query, "epoch": "ns"}
        how = "GET" if query.startswith(("SELECT", "SHOW")) else "POST"
        answer = self._ask(how, "query", params, None)
        try:
            document = json.loads(answer.content)
        except ValueError as error:
            raise AwayError("the answer broke off") from error
        results = document.get("results", [])
        for told in (document, *results):
            if "error" in told:
                raise self._refusal(answer.status_code, str(told["error"]))
        return [series for result in results for series in result.get("series", [])]

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Run InfluxQL and return each row as a mapping of column to value."""
        return [
            dict(zip(series["columns"], values, strict=True))
            for series in self.tables(query)
            for values in series.get("values", [])
        ]

    def points(self, query: str) -> list[Row]:
        """Run a SELECT without tags and return its rows."""
        return [
            Row(values[0], values[1:])
            for series in self.tables(query)
            for values in series.get("values", [])
        ]

    def memory_mb(self) -> float | None:
        """Return the server's own memory in 10^6 bytes; None if it does not tell.

        Measured, this is RssAnon and a dozen MB; files that are mapped are not in it.
        Raises nothing: nothing depends on it.
        """
        try:
            told = self._statistics()["memstats"]
            return (float(told["Sys"]) - float(told["HeapReleased"])) / 1e6
        except (AwayError, ImportFailedError, ValueError, TypeError, KeyError):
            return None

    def shards_with_files(self, database: str) -> int:
        """Return how many shards of `database` have files on disk that can be read."""
        return sum(
            part["values"]["numFiles"] > 0
            for part in self._statistics().values()
            if isinstance(part, dict)
            and part.get("name") == "tsm1_filestore"
            and part["tags"]["database"] == database
        )

    def write(self, database: str, policy: str, lines: Sequence[str]) -> tuple[int, str]:
        """Store `lines` (times in ns); return how many were refused for good, and why."""
        params = {"db": database, "rp": policy, "precision": "ns"}
        answer = self._ask("POST", "write", params, "\n".join(lines).encode())
        if answer.status_code == 204:
            return 0, ""
        why = _words(answer)
        dropped = _DROPPED.search(why)
        if answer.status_code == 400 and dropped is not None:
            return int(dropped[1]), why
        if answer.status_code == 413 and len(lines) > 1:
            half = len(lines) // 2
            first = self.write(database, policy, lines[:half])
            second = self.write(database, policy, lines[half:])
            return first[0] + second[0], first[1] or second[1]
        raise self._refusal(answer.status_code, why)

    def _statistics(self) -> dict[str, Any]:
        answer = self._ask("GET", "debug/vars", {}, None)
        try:
            statistics: dict[str, Any] = json.loads(answer.content)
        except ValueError as error:
            raise AwayError("the answer broke off") from error
        return statistics

    def _ask(
        self, how: str, what: str, params: dict[str, str], body: bytes | None
    ) -> requests.Response:
        try:
            answer = self._session.request(
                how, f"{self.url}/{what}", params=params, data=body, timeout=TIMEOUT_S
            )
        except requests.Timeout as error:
            raise AwayError(f"{self.url} does not answer within {TIMEOUT_S:.0f} s") from error
        except requests.ConnectionError as error:
            raise AwayError(f"no connection to {self.url}") from error
        except requests.RequestException as error:
            raise AwayError(" ".join(str(error).split())[:300]) from error
        if answer.status_code >= 500:
            raise AwayError(f"{self.url}: {_words(answer)}")
        if "X-Influxdb-Version" not in answer.headers:
            raise AwayError(f"what answers at {self.url} is no InfluxDB")
        if answer.status_code in (401, 403):
            raise self._refusal(answer.status_code, _words(answer))
        return answer

    def _refusal(self, status: int, why: str) -> Exception:
        why = " ".join(why.split())[:300]
        if status in (401, 403) or "not authorized" in why:
            who = f"user {self._settings.username}" if self._session.auth else "no log-in"
            return ImportFailedError(f"{self.url} does not let in ({who}): {why}")
        if any(word in why for word in _PASSING):
            return AwayError(f"{self.url}: {why}")
        return ImportFailedError(f"{self.url}: {why}")


class _Login(requests.auth.AuthBase):
    """Basic authentication in UTF-8."""

    def __init__(self, username: str, password: str) -> None:
        self._word = base64.b64encode(f"{username}:{password}".encode()).decode()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Basic {self._word}"
        return request


def name(identifier: str) -> str:
    """Spell an identifier for InfluxQL."""
    return '"' + identifier.replace("\\", "\\\\").replace('"', '\\"') + '"'


def text(value: str) -> str:
    """Spell a string for InfluxQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _words(answer: requests.Response) -> str:
    try:
        return str(json.loads(answer.content)["error"])
    except (ValueError, TypeError, KeyError):
        return answer.text.strip()[:300] or f"status {answer.status_code}"
