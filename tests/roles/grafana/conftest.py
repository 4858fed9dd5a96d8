"""The role's files as Grafana gets them, read by the stand-in, with a real InfluxDB behind it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2
import pytest
import yaml

from pzem.testing.influxd import Influxd, free_port

ROOT: Final = Path(__file__).parents[3]
ROLE: Final = ROOT / "roles" / "grafana"
STAND_IN: Final = ROOT / "molecule" / "shared" / "grafana_stand_in" / "grafana_stand_in.py"

SECRETS: Final = {
    "admin_password": "Admin-1-secret",
    "secret_key": "Key-1-secret",
    "datasource_password": "Source-1-secret",
}
ADMIN: Final = ("admin", SECRETS["admin_password"])
PATIENCE_S: Final = 30.0

RenderRole = Callable[..., Path]


@pytest.fixture
def render_role(tmp_path: Path) -> RenderRole:
    """Return a function that writes what the role writes into a folder, and returns that."""

    def render(**changes: object) -> Path:
        variables = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
        variables |= yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
        variables |= {
            "__grafana_secrets_dir": str(tmp_path / "secrets"),
            "__grafana_dashboards_dir": str(tmp_path / "dashboards"),
            "__grafana_root_url": "http://pi.local:3000/",
            "__grafana_timezone": "Europe/Berlin",
            **changes,
        }
        environment = jinja2.Environment(
            autoescape=False,
            trim_blocks=True,
            keep_trailing_newline=True,
            undefined=jinja2.StrictUndefined,
            loader=jinja2.FileSystemLoader(ROLE / "templates"),
        )
        environment.filters["to_json"] = json.dumps
        for template, place in (
            ("grafana.ini.j2", "grafana.ini"),
            ("datasource.yaml.j2", "provisioning/datasources/house-power.yaml"),
            ("dashboards.yaml.j2", "provisioning/dashboards/house-power.yaml"),
            ("drop-in.conf.j2", "drop-in.conf"),
        ):
            path = tmp_path / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(environment.get_template(template).render(variables))
        for name, secret in SECRETS.items():
            path = tmp_path / "secrets" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{secret}\n")
        (tmp_path / "dashboards").mkdir(exist_ok=True)
        (tmp_path / "dashboards" / "live.json").write_text(
            json.dumps({"uid": "live", "title": "Live", "tags": []})
        )
        (tmp_path / "data").mkdir(exist_ok=True)
        return tmp_path

    return render


@dataclass
class Answer:
    """What the server said."""

    status: int
    body: Any


class StandIn:
    """The stand-in as a process of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._url = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, STAND_IN, "server"], env=self._environment()
        )
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None, "the stand-in did not start"
            assert time.monotonic() < deadline, "the stand-in does not answer"
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
            self._process = None

    def command(self, *words: str, stdin: str) -> None:
        subprocess.run(
            [sys.executable, STAND_IN, *words],
            env=self._environment(),
            input=stdin.encode(),
            check=True,
        )

    def ask(
        self,
        path: str,
        login: tuple[str, str] | None = None,
        *,
        method: str = "GET",
        body: object = None,
    ) -> Answer:
        request = urllib.request.Request(self._url + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
        if login is not None:
            words = base64.b64encode(":".join(login).encode()).decode()
            request.add_header("Authorization", f"Basic {words}")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return Answer(answer.status, json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.loads(error.read()))

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "CONF_FILE": str(self._folder / "grafana.ini"),
            "PROVISIONING_CFG_DIR": str(self._folder / "provisioning"),
            "DATA_DIR": str(self._folder / "data"),
        }

    def _answers(self) -> bool:
        try:
            return self.ask("/api/health").status == 200
        except OSError:
            return False


@pytest.fixture(scope="session")
def influxd() -> Iterator[Influxd]:
    """Run an InfluxDB that asks for passwords, with an account that reads one database."""
    with Influxd(auth=True) as server:
        server.query("CREATE USER root WITH PASSWORD 'root-secret' WITH ALL PRIVILEGES")
        server.credentials = ("root", "root-secret")
        server.query('CREATE DATABASE "housePower"')
        server.query(f"CREATE USER grafana WITH PASSWORD '{SECRETS['datasource_password']}'")
        server.query('GRANT READ ON "housePower" TO grafana')
        yield server


@pytest.fixture
def start(render_role: RenderRole, influxd: Influxd) -> Iterator[Callable[..., StandIn]]:
    """Return a function that starts the stand-in with what the role writes."""
    running = []

    def run(**changes: object) -> StandIn:
        port = free_port()
        folder = render_role(grafana_datasource_url=influxd.url, **changes)
        ini = folder / "grafana.ini"
        ini.write_text(ini.read_text().replace("http_port = 3000", f"http_port = {port}"))
        server = StandIn(folder, port)
        running.append(server)
        server.start()
        return server

    yield run
    for server in running:
        server.stop()
