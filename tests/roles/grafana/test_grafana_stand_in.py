"""The stand-in reads the role's files as Grafana does, and lets in only whom Grafana would.

What it cannot prove: that Grafana itself accepts the files, and how a dashboard looks.
"""

from __future__ import annotations

import base64
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.roles.grafana.conftest import ADMIN, STAND_IN, StandIn

from pzem.testing.influxd import Influxd

VIEWER = ("house", "viewer-1-secret")
Start = Callable[..., StandIn]


def add_viewer(server: StandIn) -> int:
    body = {"login": VIEWER[0], "name": "House", "password": VIEWER[1], "OrgId": 1}
    answer = server.ask("/api/admin/users", ADMIN, method="POST", body=body)
    assert answer.status == 200
    return int(answer.body["id"])


def ask_for_watts(server: StandIn, login: tuple[str, str]) -> list[object]:
    query = {
        "refId": "A",
        "datasource": {"uid": "house-power"},
        "rawQuery": True,
        "query": 'SELECT mean("watts") FROM "meter" WHERE $timeFilter GROUP BY time($__interval)',
        "intervalMs": 60000,
    }
    body = {"from": "0", "to": "119999", "queries": [query]}
    answer = server.ask("/api/ds/query", login, method="POST", body=body)
    assert answer.status == 200
    (frame,) = answer.body["results"]["A"]["frames"]
    values: list[object] = frame["data"]["values"]
    return values


@pytest.mark.parametrize("login", [None, ("admin", "admin"), ("admin", ""), ("nobody", "x")])
def test_nobody_gets_in_without_the_password(start: Start, login: tuple[str, str] | None) -> None:
    server = start()
    assert server.ask("/api/user", login).status == 401
    assert server.ask("/api/search", login).status == 401
    assert server.ask("/api/user", ADMIN).status == 200


def test_a_viewer_looks_and_does_not_change(start: Start) -> None:
    server = start()
    id_ = add_viewer(server)
    assert server.ask("/api/users/lookup?loginOrEmail=house", ADMIN).body["id"] == id_
    assert server.ask(f"/api/users/{id_}/orgs", ADMIN).body[0]["role"] == "Viewer"
    assert server.ask("/api/dashboards/uid/live", VIEWER).status == 200
    assert server.ask("/api/dashboards/home", VIEWER).body["dashboard"]["uid"] == "live"
    assert server.ask("/api/datasources", VIEWER).body[0]["secureJsonData"] is None
    assert server.ask("/api/admin/users", VIEWER, method="POST", body={}).status == 403


def test_the_house_may_look_without_logging_in_if_that_is_wanted(start: Start) -> None:
    server = start(grafana_lan_view=True)
    assert server.ask("/api/search").body[0]["uid"] == "live"
    assert server.ask("/api/admin/users", method="POST", body={}).status == 403
    assert server.ask("/api/user", ("admin", "wrong")).status == 401


def test_passwords_outlive_a_restart_and_can_be_reset(start: Start) -> None:
    server = start()
    id_ = add_viewer(server)
    new = ("admin", "Admin-2-secret")
    server.command("cli", "admin", "reset-admin-password", "--password-from-stdin", stdin=new[1])
    body = {"password": "viewer-2-secret"}
    path = f"/api/admin/users/{id_}/password"
    assert server.ask(path, new, method="PUT", body=body).status == 200
    server.stop()
    server.start()
    assert server.ask("/api/user", ADMIN).status == 401
    assert server.ask("/api/user", new).status == 200
    assert server.ask("/api/user", VIEWER).status == 401
    assert server.ask("/api/user", ("house", "viewer-2-secret")).status == 200


def test_it_really_asks_influxdb(start: Start, influxd: Influxd) -> None:
    server = start()
    health = server.ask("/api/datasources/uid/house-power/health", ADMIN)
    assert health.body["status"] == "OK"
    _write(influxd, "meter,meter=a watts=100 30", "meter,meter=a watts=200 90")
    assert ask_for_watts(server, ADMIN) == [[0, 60000], [100, 200]]


def test_a_refused_query_is_no_answer(start: Start) -> None:
    server = start(grafana_datasource_user="stranger")
    answer = server.ask("/api/datasources/uid/house-power/health", ADMIN)
    assert answer.status == 400
    assert "authorization failed" in answer.body["message"]


def test_the_package_is_the_same_each_time(tmp_path: Path) -> None:
    packages = [tmp_path / name for name in ("a.deb", "b.deb")]
    for package in packages:
        subprocess.run([STAND_IN.parent / "build.sh", package], check=True, capture_output=True)
    assert packages[0].read_bytes() == packages[1].read_bytes()
    fields = ["dpkg-deb", "--field", str(packages[0]), "Package", "Version", "Description"]
    told = subprocess.run(fields, check=True, capture_output=True, text=True).stdout
    assert "Package: grafana\n" in told
    assert "+standin" in told
    assert "This is not Grafana" in told


def _write(influxd: Influxd, *lines: str) -> None:
    assert influxd.credentials is not None
    request = urllib.request.Request(
        f"{influxd.url}/write?db=housePower&precision=s", data="\n".join(lines).encode()
    )
    words = base64.b64encode(":".join(influxd.credentials).encode()).decode()
    request.add_header("Authorization", f"Basic {words}")
    urllib.request.urlopen(request, timeout=30).close()
