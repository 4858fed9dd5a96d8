"""A real InfluxDB 1.x for the time of a test or a trial: own folder, own port."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

START_S: Final = 30.0
STOP_S: Final = 10.0

_CONFIG = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  auth-enabled = {auth}
"""


class InfluxdError(Exception):
    """InfluxDB cannot be had or does not start; the message is one line for people."""


def find_influxd() -> Path:
    """Return the server's binary: `$INFLUXD`, or `influxd` on the PATH.

    Raises `InfluxdError` if there is none.
    """
    named = os.environ.get("INFLUXD") or shutil.which("influxd")
    if not named or not Path(named).is_file():
        raise InfluxdError("no influxd on the PATH, and INFLUXD does not name one")
    return Path(named)


def free_port() -> int:
    """Return a TCP port on the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Influxd:
    """One server process; a context manager that leaves nothing behind.

    `auth`: ask for user and password; then the first user must be created with
    `query("CREATE USER … WITH ALL PRIVILEGES")`.
    """

    def __init__(self, *, auth: bool = False) -> None:
        self._auth = auth
        self._folder = Path(tempfile.mkdtemp(prefix="pzem-influxdb-"))
        self.port = free_port()
        self.rpc_port = free_port()
        """Where `influxd backup` and `influxd restore` are answered."""
        self.credentials: tuple[str, str] | None = None
        """User and password that `query` logs in with."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The server's process; None while it does not run."""
        return None if self._process is None else self._process.pid

    def __enter__(self) -> Influxd:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def start(self) -> None:
        """Start the server and wait until it answers; data of an earlier start is kept.

        Raises `InfluxdError` if it does not come up within `START_S`.
        """
        config = self._folder / "influxdb.conf"
        auth = str(self._auth).lower()
        config.write_text(
            _CONFIG.format(folder=self._folder, port=self.port, rpc_port=self.rpc_port, auth=auth)
        )
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [find_influxd(), "-config", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the one who started it
            )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise InfluxdError(f"InfluxDB did not start: {self._last_words()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server and keep its data."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """End the server as a power cut would, and keep what it had flushed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Stop the server and remove its folder."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def query(self, text: str, database: str = "housePower") -> list[dict[str, Any]]:
        """Run InfluxQL and return its rows; tags and fields alike are keys, `time` in s.

        Raises `InfluxdError` if the server refuses it.
        """
        form = urllib.parse.urlencode({"q": text, "db": database, "epoch": "s"})
        request = urllib.request.Request(  # noqa: S310 - our own server on loopback
            f"{self.url}/query", data=form.encode()
        )
        if self.credentials is not None:
            login = base64.b64encode(":".join(self.credentials).encode()).decode()
            request.add_header("Authorization", f"Basic {login}")
        try:
            with _direct().open(request, timeout=30) as answer:
                document = json.load(answer)
        except urllib.error.HTTPError as error:
            raise InfluxdError(error.read().decode(errors="replace").strip()) from error
        rows: list[dict[str, Any]] = []
        for result in document["results"]:
            if "error" in result:
                raise InfluxdError(result["error"])
            for series in result.get("series", []):
                tags = series.get("tags", {})
                columns = series["columns"]
                rows += [
                    {**tags, **dict(zip(columns, values, strict=True))}
                    for values in series.get("values", [])
                ]
        return rows

    def _answers(self) -> bool:
        try:
            with _direct().open(f"{self.url}/ping", timeout=1) as answer:
                return bool(answer.status == 204)
        except OSError:
            return False

    def _last_words(self) -> str:
        lines = (self._folder / "log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"


def _direct() -> urllib.request.OpenerDirector:
    """Return an opener that no proxy of the environment comes between."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
