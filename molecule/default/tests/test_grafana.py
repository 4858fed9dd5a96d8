"""Grafana, or its stand-in, through the front door: what a browser of the house gets."""

import pytest
import yaml
from testinfra.host import Host

from appliance import METERS, Screens, screens, secret

DATA_SOURCE = "house-power"


@pytest.fixture(scope="module")
def grafana(host: Host) -> Screens:
    return screens(host)


@pytest.fixture
def viewer() -> tuple[str, str]:
    return "house", secret("grafana_viewer_password")


@pytest.fixture
def admin() -> tuple[str, str]:
    return "admin", secret("grafana_admin_password")


def test_it_is_healthy(grafana: Screens) -> None:
    status, body = grafana.ask("/api/health")
    assert (status, body["database"]) == (200, "ok")


@pytest.mark.parametrize("user", ["admin", "house", "root"])
@pytest.mark.parametrize("password", ["admin", "", "wrong"])
def test_it_refuses_default_and_wrong_passwords(grafana: Screens, user: str, password: str) -> None:
    assert grafana.ask("/api/org", user, password)[0] == 401


def test_it_shows_nothing_without_logging_in(grafana: Screens) -> None:
    assert grafana.ask("/api/search")[0] == 401


def test_nobody_can_sign_up(grafana: Screens) -> None:
    body = {"email": "a@example.org", "username": "a", "password": "abcdefgh"}
    assert grafana.ask("/api/user/signup", body=body)[0] in (401, 404)


def test_the_everyday_account_may_look_and_not_change(
    grafana: Screens, viewer: tuple[str, str], admin: tuple[str, str]
) -> None:
    _, account = grafana.ask(f"/api/users/lookup?loginOrEmail={viewer[0]}", *admin)
    _, roles = grafana.ask(f"/api/users/{account['id']}/orgs", *admin)
    assert [org["role"] for org in roles] == ["Viewer"]
    assert grafana.ask("/api/user", *viewer)[0] == 200
    assert grafana.ask("/api/users/lookup?loginOrEmail=admin", *viewer)[0] == 403
    new = {"name": "x", "login": "x", "password": "long enough"}
    assert grafana.ask("/api/admin/users", *viewer, body=new)[0] == 403


def test_there_is_one_data_source_and_it_answers(grafana: Screens, admin: tuple[str, str]) -> None:
    status, sources = grafana.ask("/api/datasources", *admin)
    assert (status, [source["uid"] for source in sources]) == (200, [DATA_SOURCE])
    status, body = grafana.ask(f"/api/datasources/uid/{DATA_SOURCE}/health", *admin)
    assert (status, body["status"]) == (200, "OK")


@pytest.mark.parametrize("meter", METERS)
def test_a_query_through_the_data_source_returns_rows(
    grafana: Screens, viewer: tuple[str, str], meter: str
) -> None:
    query = {
        "refId": "A",
        "datasource": {"type": "influxdb", "uid": DATA_SOURCE},
        "rawQuery": True,
        "resultFormat": "time_series",
        "query": f"SELECT volts FROM meter WHERE meter = '{meter}' AND time > now() - 1m",
    }
    body = {"queries": [query], "from": "now-1m", "to": "now"}
    status, answer = grafana.ask("/api/ds/query", *viewer, body=body)
    assert status == 200
    times, volts = answer["results"]["A"]["frames"][0]["data"]["values"]
    assert len(times) == len(volts) >= 6
    assert all(100 < value < 140 for value in volts)


def test_the_dashboard_is_there_and_is_the_first_thing_seen(
    grafana: Screens, viewer: tuple[str, str]
) -> None:
    status, found = grafana.ask("/api/search?type=dash-db", *viewer)
    assert status == 200
    uids = {board["uid"] for board in found}
    assert uids == {"live", "history", "energy", "generator", "quality", "health"}
    status, home = grafana.ask("/api/dashboards/home", *viewer)
    assert status == 200
    titles = {board["title"] for board in found}
    assert home.get("redirectUri") or home["dashboard"]["title"] in titles


def test_what_is_worth_an_email_is_provisioned(host: Host) -> None:
    file = host.file("/etc/grafana/provisioning/alerting/house-power.yaml")
    assert (file.user, file.group, file.mode) == ("root", "grafana", 0o640)
    alerting = yaml.safe_load(file.content_string)
    (group,) = alerting["groups"]
    assert {"utility-lost", "generator-running", "nothing-stored"} <= {
        rule["uid"] for rule in group["rules"]
    }
    sources = {query["datasourceUid"] for rule in group["rules"] for query in rule["data"]}
    assert sources == {DATA_SOURCE, "__expr__"}
    (point,) = alerting["contactPoints"]
    assert point["receivers"][0]["settings"]["addresses"] == "owner@example.org"
