"""The module influxdb_setup against a real InfluxDB: what it leaves on the server."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pzem.testing.influxd import Influxd, InfluxdError, free_port

POLICIES = [
    {"name": "raw", "duration": "104w", "shard_duration": "4w", "default": True},
    {"name": "m1", "duration": "INF", "shard_duration": "52w"},
    {"name": "h1", "duration": "INF"},
]
NASTY = [
    "it's",
    'say "hello"',
    "back\\slash\\",
    "Grüße 🔌",
    " with spaces ",
    "a:b:c",
    "'; DROP DATABASE housePower; --",
    "$(id) `id` %s {{ x }}",
]


class House:
    """A server, and the module with its parameters."""

    def __init__(self, server: Influxd, module: ModuleType, folder: Path) -> None:
        self.server = server
        self.module = module
        self.folder = folder
        self.file = folder / "admin.password"
        self.socket = folder / "http.sock"
        self.params: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": server.port,
            "socket": None,
            "wait_s": 30,
            "unit": None,
            "admin": "admin",
            "admin_password": "admin-1",
            "admin_password_file": str(self.file),
            "database": "housePower",
            "retention_policies": POLICIES,
            "allow_shorter_retention": False,
            "accounts": [
                {"name": "pzem", "password": "pzem-1", "privilege": "all"},
                {"name": "grafana", "password": "grafana-1", "privilege": "read"},
            ],
        }

    def declare(self, *, check_mode: bool = False, **params: object) -> dict[str, Any]:
        """Run the module with other parameters than usual; no secret may be in its result."""
        used: dict[str, Any] = {**self.params, **params}
        result = self.module.run(used, check_mode=check_mode)
        assert isinstance(result, dict)
        secrets = [used["admin_password"], *(account["password"] for account in used["accounts"])]
        shown = json.dumps(result, ensure_ascii=False)
        assert not [secret for secret in secrets if secret in shown]
        assert result["changed"] is bool(result["changes"])
        return result

    def ask(
        self, text: str, name: str = "admin", password: str = "admin-1"
    ) -> list[dict[str, Any]]:
        """Run a statement as somebody."""
        self.server.credentials = (name, password)
        return self.server.query(text)

    def refuses(self, text: str, name: str, password: str) -> str:
        """Return what the server says to a statement that it refuses."""
        with pytest.raises(InfluxdError) as caught:
            self.ask(text, name, password)
        return str(caught.value)

    def policies(self) -> dict[str, tuple[str, str, bool]]:
        """Return duration, shard duration and default by the name of the policy."""
        return {
            row["name"]: (row["duration"], row["shardGroupDuration"], row["default"])
            for row in self.ask("SHOW RETENTION POLICIES ON housePower")
        }

    def grants(self, name: str) -> dict[str, str]:
        """Return an account's privileges by database."""
        rows = self.ask(f"SHOW GRANTS FOR {name}")
        return {row["database"]: row["privilege"] for row in rows}

    def store(self, policy: str) -> None:
        """Store a point in a policy."""
        login = base64.b64encode(b"admin:admin-1").decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(
                "POST",
                f"/write?db=housePower&rp={policy}",
                b"kept value=1.5",
                {"Authorization": f"Basic {login}"},
            )
            assert connection.getresponse().status == http.HTTPStatus.NO_CONTENT

    def kept(self, policy: str) -> bool:
        """Tell whether the stored point is still there."""
        return [row["value"] for row in self.ask(f"SELECT value FROM {policy}.kept")] == [1.5]


@pytest.fixture
def house(influxdb_setup: ModuleType, tmp_path: Path) -> Iterator[House]:
    """Run an empty server that asks for passwords."""
    with Influxd(auth=True) as server:
        yield House(server, influxdb_setup, tmp_path)


@pytest.fixture
def declared(house: House) -> House:
    """Return a server on which everything is as declared."""
    house.declare()
    return house


def test_an_empty_server_gets_everything_and_then_nothing_more(house: House) -> None:
    assert house.declare()["changes"] == [
        "administrator admin",
        f"{house.file} holds the administrator's password",
        "database housePower",
        "retention policy m1 keeps INF",
        "retention policy h1 keeps INF",
        "account pzem",
        "pzem has ALL PRIVILEGES on housePower",
        "account grafana",
        "grafana has READ on housePower",
    ]
    assert house.policies() == {
        "raw": ("17472h0m0s", "672h0m0s", True),
        "m1": ("0s", "8736h0m0s", False),
        "h1": ("0s", "168h0m0s", False),
    }
    assert house.ask("SHOW USERS") == [
        {"user": "admin", "admin": True},
        {"user": "pzem", "admin": False},
        {"user": "grafana", "admin": False},
    ]
    assert house.file.read_text() == "admin-1\n"
    assert house.file.stat().st_mode & 0o777 == 0o600
    for check_mode in (True, False):
        assert house.declare(check_mode=check_mode)["changes"] == []


def test_accounts_may_do_what_they_are_for(declared: House) -> None:
    declared.ask("CREATE DATABASE other")
    assert declared.ask("SHOW DATABASES", "pzem", "pzem-1") == [{"name": "housePower"}]
    declared.ask("SELECT 1.0 * value INTO copy FROM nothing", "pzem", "pzem-1")
    declared.store("raw")
    declared.ask("DELETE FROM kept WHERE time < now()", "pzem", "pzem-1")
    assert declared.ask("SELECT value FROM raw.kept", "pzem", "pzem-1") == []
    declared.ask("SHOW MEASUREMENTS", "grafana", "grafana-1")
    assert "not authorized" in declared.refuses(
        "SELECT value INTO copy FROM nothing", "grafana", "grafana-1"
    )
    assert "requires admin" in declared.refuses("SHOW USERS", "pzem", "pzem-1")


def test_check_mode_tells_and_touches_nothing(house: House) -> None:
    told = house.declare(check_mode=True)
    assert told["changes"][0] == "administrator admin"
    assert not list(house.folder.iterdir())
    with pytest.raises(InfluxdError, match="create admin user first"):
        house.server.query("SHOW USERS")


def test_check_mode_needs_no_server(house: House) -> None:
    told = house.declare(check_mode=True, port=free_port())
    assert told["changed"]
    assert "InfluxDB is not up yet" in told["changes"][0]


def test_check_mode_tells_every_change_that_a_run_then_makes(declared: House) -> None:
    declared.ask("DROP USER pzem")
    wanted: dict[str, Any] = {
        "admin_password": "admin-2",
        "accounts": [
            {"name": "pzem", "password": "pzem-2", "privilege": "read"},
            {"name": "grafana", "password": "grafana-2", "privilege": "all"},
        ],
        "retention_policies": [
            {"name": "raw", "duration": "INF"},
            {"name": "d1", "duration": "9w"},
        ],
    }
    told = declared.declare(check_mode=True, **wanted)["changes"]
    assert declared.declare(**wanted)["changes"] == told
    assert declared.declare(**wanted)["changes"] == []


@pytest.mark.parametrize("password", NASTY)
def test_changed_passwords_are_carried_through(declared: House, password: str) -> None:
    account = {"name": "pzem", "password": f"{password}2", "privilege": "all"}
    changes = declared.declare(admin_password=password, accounts=[account])["changes"]

    assert changes[0] == "password of admin"
    assert changes[-1] == "password of pzem"
    assert declared.file.read_text(encoding="utf-8") == f"{password}\n"
    assert "authorization failed" in declared.refuses("SHOW USERS", "admin", "admin-1")
    assert declared.ask("SHOW DATABASES", "pzem", f"{password}2") == [{"name": "housePower"}]
    assert declared.declare(admin_password=password, accounts=[account])["changes"] == []


def test_a_run_that_died_after_the_server_took_the_password_is_made_good(declared: House) -> None:
    declared.ask("SET PASSWORD FOR admin = 'admin-2'")
    changes = declared.declare(admin_password="admin-2")["changes"]
    assert changes == [f"{declared.file} holds the administrator's password"]
    assert declared.file.read_text() == "admin-2\n"


def test_the_kept_password_is_made_private_again(declared: House) -> None:
    declared.file.chmod(0o644)
    assert len(declared.declare()["changes"]) == 1
    assert declared.file.stat().st_mode & 0o777 == 0o600


def restart_without_passwords(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what the role's unit for a lost password does."""
    house.server.stop()
    with monkeypatch.context() as environment:
        environment.setenv("INFLUXDB_HTTP_AUTH_ENABLED", "false")
        environment.setenv("INFLUXDB_HTTP_UNIX_SOCKET_ENABLED", "true")
        environment.setenv("INFLUXDB_HTTP_BIND_SOCKET", str(house.socket))
        house.server.start()


def test_a_lost_password_is_replaced(declared: House, monkeypatch: pytest.MonkeyPatch) -> None:
    declared.store("raw")
    declared.file.write_text("nobody knows\n")
    before = declared.ask("SHOW GRANTS FOR pzem")

    for check_mode in (True, False):
        result = declared.declare(check_mode=check_mode, admin_password="admin-2")
        assert result["locked_out"]
        assert result["changed"] is check_mode
    assert declared.file.read_text() == "nobody knows\n"

    restart_without_passwords(declared, monkeypatch)
    result = declared.declare(admin_password="admin-2", socket=str(declared.socket))
    assert result["changes"][0] == "password of admin"
    declared.server.stop()
    declared.server.start()

    assert declared.declare(admin_password="admin-2")["changes"] == []
    assert declared.ask("SHOW GRANTS FOR pzem", "admin", "admin-2") == before
    assert declared.ask("SELECT value FROM raw.kept", "pzem", "pzem-1")


@pytest.mark.parametrize(
    "loss",
    ["DROP USER admin", "REVOKE ALL PRIVILEGES FROM admin"],
    ids=["gone", "no-administrator"],
)
def test_a_lost_administrator_is_replaced(
    declared: House, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    declared.ask(loss)
    assert declared.declare()["locked_out"]
    restart_without_passwords(declared, monkeypatch)
    declared.declare(socket=str(declared.socket))
    declared.server.stop()
    declared.server.start()
    assert declared.declare()["changes"] == []
    assert declared.ask("SHOW USERS")


def test_a_server_that_asks_for_no_password_is_refused(
    influxdb_setup: ModuleType, tmp_path: Path
) -> None:
    with Influxd(auth=False) as server:
        house = House(server, influxdb_setup, tmp_path)
        server.query("CREATE USER admin WITH PASSWORD 'admin-1' WITH ALL PRIVILEGES")
        assert "authentication is switched on" in house.declare(check_mode=True)["changes"]
        with pytest.raises(influxdb_setup.SetupError, match="takes any password"):
            house.declare()


def test_accounts_get_exactly_their_privileges(declared: House) -> None:
    declared.ask("CREATE DATABASE other")
    declared.ask("GRANT ALL PRIVILEGES TO pzem")
    declared.ask("GRANT READ ON other TO pzem")
    declared.ask("GRANT ALL ON housePower TO grafana")
    declared.ask("GRANT WRITE ON other TO grafana")

    assert declared.declare()["changes"] == [
        "pzem is no administrator any more",
        "pzem has nothing to do with other",
        "grafana has READ on housePower",
        "grafana has nothing to do with other",
    ]
    assert declared.grants("pzem") == {"housePower": "ALL PRIVILEGES", "other": "NO PRIVILEGES"}
    assert declared.grants("grafana") == {"housePower": "READ", "other": "NO PRIVILEGES"}
    assert {"user": "pzem", "admin": False} in declared.ask("SHOW USERS")
    assert declared.declare()["changes"] == []


def test_an_account_that_could_only_write_gets_all_once(declared: House) -> None:
    declared.ask("REVOKE ALL ON housePower FROM pzem")
    declared.ask("GRANT WRITE ON housePower TO pzem")
    told = ["pzem has ALL PRIVILEGES on housePower"]
    assert declared.declare(check_mode=True)["changes"] == told
    assert declared.grants("pzem") == {"housePower": "WRITE"}
    assert declared.declare()["changes"] == told
    assert declared.grants("pzem") == {"housePower": "ALL PRIVILEGES"}
    assert declared.declare()["changes"] == []


def test_what_is_not_declared_is_left_alone(declared: House) -> None:
    declared.ask("CREATE USER guest WITH PASSWORD 'guest-1'")
    declared.ask("GRANT READ ON housePower TO guest")
    declared.ask("CREATE RETENTION POLICY own ON housePower DURATION 2d REPLICATION 1")
    declared.store("own")
    assert declared.declare(retention_policies=[], accounts=[])["changes"] == []
    assert declared.kept("own")
    assert declared.ask("SHOW DATABASES", "guest", "guest-1") == [{"name": "housePower"}]


def test_a_database_made_by_hand_keeps_its_points(house: House) -> None:
    house.server.query("CREATE USER admin WITH PASSWORD 'admin-1' WITH ALL PRIVILEGES")
    house.ask("CREATE DATABASE housePower")
    house.store("autogen")

    changes = house.declare()["changes"]

    assert "database housePower" not in changes
    assert house.policies()["autogen"] == ("0s", "168h0m0s", False)
    assert house.policies()["raw"] == ("17472h0m0s", "672h0m0s", True)
    assert house.kept("autogen")
    assert house.declare()["changes"] == []


def test_a_policy_is_made_longer(declared: House) -> None:
    declared.store("raw")
    wanted = [{"name": "raw", "duration": "2080w", "shard_duration": "8w", "default": True}]
    changes = declared.declare(retention_policies=wanted)["changes"]
    assert changes == ["retention policy raw keeps 2080w and is the default one"]
    assert declared.policies()["raw"] == ("349440h0m0s", "1344h0m0s", True)
    assert declared.kept("raw")


def test_the_default_policy_becomes_it_again(declared: House) -> None:
    declared.ask("ALTER RETENTION POLICY m1 ON housePower DEFAULT")
    changes = declared.declare()["changes"]
    assert changes == ["retention policy raw keeps 104w and is the default one"]
    assert declared.policies()["raw"] == ("17472h0m0s", "672h0m0s", True)
    assert declared.declare()["changes"] == []


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_shorter_policy_is_refused(declared: House, check_mode: bool) -> None:
    before = declared.policies()
    wanted = [{"name": "m1", "duration": "520w"}]
    with pytest.raises(
        declared.module.SetupError,
        match='"m1" of housePower keeps points for INF; 520w would delete',
    ):
        declared.declare(check_mode=check_mode, retention_policies=wanted)
    assert declared.policies() == before


def test_a_shorter_policy_can_be_asked_for(declared: House) -> None:
    wanted = [{"name": "m1", "duration": "520w"}]
    declared.declare(retention_policies=wanted, allow_shorter_retention=True)
    assert declared.policies()["m1"] == ("87360h0m0s", "8736h0m0s", False)


def test_two_default_policies_are_refused(house: House) -> None:
    wanted = [{"name": name, "duration": "INF", "default": True} for name in ("a", "b")]
    with pytest.raises(house.module.SetupError, match="more than one retention policy"):
        house.declare(retention_policies=wanted)
