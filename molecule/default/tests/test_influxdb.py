"""InfluxDB: who gets in, to what, and what it keeps."""

import re
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from appliance import (
    ADMIN,
    COLLECTOR,
    EXPECTED,
    GRAFANA,
    NOBODY,
    Account,
    influxdb,
    rows,
    write,
)


def test_the_server_is_the_package_that_was_installed(host: Host) -> None:
    package = host.package("influxdb").version
    version = host.check_output("influxd version").split()[1].lstrip("v").split("~")[0]
    assert version.startswith("1.")
    assert package.startswith(version)
    if "Debian" not in host.check_output("dpkg-query -W -f '${Maintainer}' influxdb"):
        assert version == "1.8.10"


def test_it_listens_on_loopback_only(host: Host) -> None:
    listening = host.check_output("ss --no-header --listening --tcp --numeric")
    addresses = [line.split()[3] for line in listening.splitlines()]
    of_influxdb = [address for address in addresses if address.endswith((":8086", ":8088"))]
    assert sorted(of_influxdb) == ["127.0.0.1:8086", "127.0.0.1:8088"]


@pytest.mark.parametrize(
    "account",
    [NOBODY, Account("admin"), Account("pzem"), Account("grafana"), Account("root")],
    ids=["anonymous", "admin", "pzem", "grafana", "root"],
)
def test_nobody_gets_in_without_the_password(host: Host, account: Account) -> None:
    assert influxdb(host, account, "SHOW DATABASES")[0] == 401


def test_grafana_reads_and_cannot_write(host: Host) -> None:
    assert rows(host, "SELECT last(watts) FROM meter", GRAFANA)
    for statement in (
        "DROP MEASUREMENT meter",
        "DELETE FROM meter",
        "SELECT watts INTO stolen FROM meter",
        "DROP DATABASE housePower",
        "CREATE DATABASE other",
        "SHOW USERS",
    ):
        status, body = influxdb(host, GRAFANA, statement)
        assert status == 403 or "error" in body["results"][0], (statement, body)
    assert write(host, GRAFANA, "invented,meter=mainA watts=1") == 403
    assert rows(host, "SELECT * FROM invented", GRAFANA) == []
    assert rows(host, "SELECT last(watts) FROM meter", GRAFANA)


@pytest.fixture
def other_database(host: Host) -> Iterator[str]:
    """Yield the name of a database that is none of the collector's business."""
    assert influxdb(host, ADMIN, "CREATE DATABASE other")[0] == 200
    assert write(host, ADMIN, "secret value=1", "other") == 204
    yield "other"
    assert influxdb(host, ADMIN, "DROP DATABASE other")[0] == 200


def test_the_collector_sees_no_other_database(host: Host, other_database: str) -> None:
    assert [row["name"] for row in rows(host, "SHOW DATABASES", COLLECTOR)] == ["housePower"]
    for statement in ("SHOW USERS", "CREATE DATABASE mine", "DROP DATABASE other"):
        status, body = influxdb(host, COLLECTOR, statement)
        assert status == 403 or "error" in body["results"][0], (statement, body)
    assert influxdb(host, COLLECTOR, "SELECT * FROM secret", other_database)[0] == 403
    assert write(host, COLLECTOR, "secret value=2", other_database) == 403


def test_the_collector_may_read_and_take_back_what_it_stored(host: Host) -> None:
    assert rows(host, "SELECT last(energy_wh) FROM meter", COLLECTOR)
    assert write(host, COLLECTOR, "trial value=1") == 204
    assert rows(host, "SELECT value FROM trial", COLLECTOR)
    status, body = influxdb(host, COLLECTOR, "DELETE FROM trial WHERE time <= now()")
    assert (status, "error" in body["results"][0]) == (200, False)
    assert rows(host, "SELECT value FROM trial", COLLECTOR) == []
    assert influxdb(host, ADMIN, "DROP MEASUREMENT trial")[0] == 200


def test_each_account_may_do_what_it_must_and_no_more(host: Host) -> None:
    users = {row["user"]: row["admin"] for row in rows(host, "SHOW USERS", ADMIN)}
    assert users == {"admin": True, "pzem": False, "grafana": False}
    for user, privilege in {"pzem": "ALL PRIVILEGES", "grafana": "READ"}.items():
        grants = rows(host, f'SHOW GRANTS FOR "{user}"', ADMIN)
        assert grants == [{"database": "housePower", "privilege": privilege}]


def test_the_levels_of_the_history(host: Host) -> None:
    policies = {
        row["name"]: {key: row[key] for key in ("duration", "shardGroupDuration", "default")}
        for row in rows(host, "SHOW RETENTION POLICIES ON housePower", ADMIN)
    }
    assert policies == EXPECTED["retention_policies"]


def test_it_reports_nothing_to_its_maker_and_nothing_about_itself(host: Host) -> None:
    configuration = host.check_output("influxd config -config /etc/influxdb/influxdb.conf")
    assert re.search(r"reporting-(disabled = true|enabled = false)", configuration)
    assert rows(host, "SHOW DATABASES", ADMIN) == [{"name": "housePower"}]
