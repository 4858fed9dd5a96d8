#!/usr/bin/python3
"""A stand-in for Grafana, for tests where the real one cannot be had. It is not Grafana.

It reads the same configuration and provisioning files, keeps the accounts, answers the
few API calls that the role `grafana` and the tests use, and answers data source queries
by really asking InfluxDB with the provisioned credentials. It draws nothing: whether a
dashboard looks right, and whether Grafana itself accepts the files, it cannot tell.
"""

from __future__ import annotations

import argparse
import base64
import configparser
import hashlib
import json
import os
import re
import secrets
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import yaml  # Debian's python3-yaml

VERSION: Final = "12.4.0+standin1"
UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}

Json = Any
Account = dict[str, Any]


def expand(text: str) -> str:
    """Replace `$__file{PATH}` by what is in the file, as Grafana does."""
    return re.sub(r"\$__file\{(.+?)\}", lambda m: Path(m[1]).read_text().strip(), text)


class Settings:
    """`grafana.ini` and the provisioning folder; data sources are read once, at the start."""

    def __init__(self, ini: Path, provisioning: Path, data: Path) -> None:
        self._ini = configparser.ConfigParser(interpolation=None, strict=False)
        if not self._ini.read(ini):
            sys.exit(f"grafana stand-in: {ini} cannot be read")
        self.data = data
        self._provisioning = provisioning
        self.datasources = [
            _expand_all(source)
            for document in self._documents("datasources")
            for source in document.get("datasources") or []
        ]

    def get(self, section: str, key: str, default: str = "") -> str:
        """Return one value of the ini file."""
        return expand(self._ini.get(section, key, fallback=default))

    def dashboards(self) -> Iterator[Json]:
        """Yield each provisioned dashboard as it lies on the disk now."""
        for document in self._documents("dashboards"):
            for provider in document.get("providers") or []:
                for path in sorted(Path(provider["options"]["path"]).rglob("*.json")):
                    yield json.loads(path.read_text())

    def _documents(self, kind: str) -> Iterator[Json]:
        for path in sorted((self._provisioning / kind).glob("*.y*ml")):
            yield yaml.safe_load(path.read_text()) or {}


def _expand_all(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _expand_all(item) for key, item in value.items()}
    return expand(value).replace("$$", "$") if isinstance(value, str) else value


class Accounts:
    """The accounts, with hashed passwords, in a file that outlives restarts."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.data / "stand-in.json"
        if not self._path.exists():  # the password of the ini file counts this once
            admin = {"login": settings.get("security", "admin_user", "admin"), "name": "admin"}
            password = settings.get("security", "admin_password", "admin")
            self.add({**admin, "role": "Admin", "isGrafanaAdmin": True}, password)

    def all(self) -> list[Account]:
        """Return the accounts as they are on the disk now."""
        return list(json.loads(self._path.read_text())) if self._path.exists() else []

    def find(self, key: str, value: object) -> Account | None:
        """Return the account whose `key` is `value`."""
        return next((account for account in self.all() if account[key] == value), None)

    def add(self, account: Account, password: str) -> Account:
        """Add an account and return it with its id."""
        accounts = self.all()
        new = {"id": 1 + len(accounts), **account, **_hashed(password)}
        self._write([*accounts, new])
        return new

    def change(self, id_: int, changes: Account) -> None:
        """Change some keys of an account."""
        self._write([{**a, **changes} if a["id"] == id_ else a for a in self.all()])

    def set_password(self, id_: int, password: str) -> None:
        """Give an account another password."""
        self.change(id_, _hashed(password))

    def login(self, login: str, password: str) -> Account | None:
        """Return the account if the password is right."""
        account = self.find("login", login)
        if account and secrets.compare_digest(_hash(password, account["salt"]), account["hash"]):
            return account
        return None

    def _write(self, accounts: list[Account]) -> None:
        new = self._path.with_suffix(".new")
        new.touch(mode=0o640)
        new.write_text(json.dumps(accounts))
        new.replace(self._path)


def _hash(password: str, salt: str) -> str:
    return hashlib.scrypt(password.encode(), salt=salt.encode(), n=4096, r=8, p=1).hex()


def _hashed(password: str) -> dict[str, str]:
    salt = secrets.token_hex(8)
    return {"salt": salt, "hash": _hash(password, salt)}


def ask_influxdb(source: Json, query: str) -> list[Json]:
    """Return the series that InfluxDB answers; raise `OSError` with its words if it refuses."""
    form = {"db": source["jsonData"]["dbName"], "q": query, "epoch": "ms"}
    request = urllib.request.Request(
        f"{source['url']}/query", data=urllib.parse.urlencode(form).encode()
    )
    login = f"{source['user']}:{source['secureJsonData']['password']}"
    request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            result = json.load(answer)["results"][0]
    except urllib.error.HTTPError as error:
        raise OSError(f"InfluxDB returned error: {error.read().decode()}") from error
    if "error" in result:
        raise OSError(f"InfluxDB returned error: {result['error']}")
    return list(result.get("series", []))


def interpolate(query: Json, start_ms: int, end_ms: int) -> str:
    """Fill in what Grafana's server fills in; `${__from}` is left to the browser."""
    interval_ms = max(int(query.get("intervalMs", 0)), 1000)
    text: str = query["query"]
    for macro, value in (
        ("$timeFilter", f"time >= {start_ms}ms and time <= {end_ms}ms"),
        ("$__interval_ms", str(interval_ms)),
        ("$__interval", f"{interval_ms}ms"),
    ):
        text = text.replace(macro, value)
    return text


def instant_ms(text: str) -> int:
    """Return `now`, `now-5m` or a number of milliseconds as one."""
    if relative := re.fullmatch(r"now(?:-(\d+)([smhd]))?", text):
        ago_s = int(relative[1] or 0) * UNIT_S[relative[2] or "s"]
        return int((time.time() - ago_s) * 1000)
    return int(text)


def frames(series: list[Json], *, as_table: bool) -> list[Json]:
    """Return one data frame a series, or one a value column if it is no table."""
    found = []
    for one in series:
        columns = dict(zip(one["columns"], zip(*one["values"], strict=True), strict=True))
        values = [name for name in columns if name != "time"]
        for names in [values] if as_table else [[name] for name in values]:
            fields = [
                {"name": n, "labels": one.get("tags"), "type": _type(columns[n])} for n in names
            ]
            data = [list(columns[name]) for name in names]
            if "time" in columns:
                fields.insert(0, {"name": "Time", "type": "time"})
                data.insert(0, list(columns["time"]))
            schema = {"name": f"{one['name']}.{names[0]}", "fields": fields}
            found.append({"schema": schema, "data": {"values": data}})
    return found


def _type(values: tuple[Json, ...]) -> str:
    known = next((value for value in values if value is not None), 0.0)
    return {str: "string", bool: "boolean"}.get(type(known), "number")


class RefusedError(Exception):
    """The request gets this status instead of an answer."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class Handler(BaseHTTPRequestHandler):
    """The API. `handle_…` methods are in the table at their end."""

    settings: Settings
    accounts: Accounts
    sessions: dict[str, int] = {}  # noqa: RUF012 - shared by all requests
    protocol_version = "HTTP/1.1"
    server_version = "GrafanaStandIn/1"

    def health(self) -> Json:
        return {"database": "ok", "version": VERSION, "commit": "stand-in"}

    def log_in(self) -> Json:
        body = self.body()
        account = self.accounts.login(body["user"], body["password"])
        if account is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED)
        token = secrets.token_hex(16)
        self.sessions[token] = account["id"]
        self.cookie = f"grafana_session={token}; Path=/; HttpOnly; SameSite=Lax"
        return {"message": "Logged in"}

    def user(self) -> Json:
        return _public(self.caller())

    def org(self) -> Json:
        self.caller()
        return {"id": 1, "name": "Main Org."}

    def look_up(self) -> Json:
        self.administrator()
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        return _public(_found(self.accounts.find("login", query["loginOrEmail"][0])))

    def add_user(self) -> Json:
        self.administrator()
        body = self.body()
        role = self.settings.get("users", "auto_assign_org_role", "Viewer")
        account = {"login": body["login"], "name": body.get("name", ""), "role": role}
        new = self.accounts.add({**account, "isGrafanaAdmin": False}, body["password"])
        return {"id": new["id"], "message": "User created"}

    def orgs_of_user(self, id_: str) -> Json:
        self.administrator()
        role = _found(self.accounts.find("id", int(id_)))["role"]
        return [{"orgId": 1, "name": "Main Org.", "role": role}]

    def set_role(self, id_: str) -> Json:
        self.administrator()
        self.accounts.change(int(id_), {"role": self.body()["role"]})
        return {"message": "Organization user updated"}

    def set_password(self, id_: str) -> Json:
        self.administrator()
        self.accounts.set_password(int(id_), self.body()["password"])
        return {"message": "User password updated"}

    def datasources(self) -> Json:
        self.caller()
        return [{**source, "secureJsonData": None} for source in self.settings.datasources]

    def datasource(self, uid: str) -> Json:
        self.caller()
        return {**self.source(uid), "secureJsonData": None}

    def datasource_health(self, uid: str) -> Json:
        self.caller()
        series = ask_influxdb(self.source(uid), "SHOW MEASUREMENTS")
        found = sum(len(one["values"]) for one in series)
        return {"status": "OK", "message": f"datasource is working. {found} measurements found"}

    def query(self) -> Json:
        self.caller()
        body = self.body()
        start_ms, end_ms = instant_ms(body["from"]), instant_ms(body["to"])
        results = {}
        for query in body["queries"]:
            text = interpolate(query, start_ms, end_ms)
            series = ask_influxdb(self.source(query["datasource"]["uid"]), text)
            as_table = query.get("resultFormat") == "table"
            results[query["refId"]] = {"status": 200, "frames": frames(series, as_table=as_table)}
        return {"results": results}

    def search(self) -> Json:
        self.caller()
        return [
            {"uid": found["uid"], "title": found["title"], "type": "dash-db", "tags": found["tags"]}
            for found in self.settings.dashboards()
        ]

    def dashboard(self, uid: str) -> Json:
        self.caller()
        found = next((one for one in self.settings.dashboards() if one["uid"] == uid), None)
        return {"dashboard": _found(found), "meta": {"provisioned": True, "canSave": False}}

    def home(self) -> Json:
        self.caller()
        path = Path(self.settings.get("dashboards", "default_home_dashboard_path"))
        return {"dashboard": json.loads(path.read_text()), "meta": {"isHome": True}}

    def page(self) -> Json:
        return f"This is not Grafana but a stand-in for tests ({VERSION}): it draws nothing.\n"

    TABLE: tuple[tuple[str, str, Callable[..., Json]], ...] = (
        ("GET", r"/api/health", health),
        ("POST", r"/login", log_in),
        ("GET", r"/api/user", user),
        ("GET", r"/api/org", org),
        ("GET", r"/api/users/lookup", look_up),
        ("POST", r"/api/admin/users", add_user),
        ("GET", r"/api/users/(\d+)/orgs", orgs_of_user),
        ("PATCH", r"/api/org/users/(\d+)", set_role),
        ("PUT", r"/api/admin/users/(\d+)/password", set_password),
        ("GET", r"/api/datasources", datasources),
        ("GET", r"/api/datasources/uid/([\w-]+)", datasource),
        ("GET", r"/api/datasources/uid/([\w-]+)/health", datasource_health),
        ("POST", r"/api/ds/query", query),
        ("GET", r"/api/search", search),
        ("GET", r"/api/dashboards/uid/([\w-]+)", dashboard),
        ("GET", r"/api/dashboards/home", home),
        ("GET", r"/|/login|/d/.*", page),
    )

    def answer(self) -> None:
        """Answer one request, whatever its method."""
        self.cookie = ""
        status = HTTPStatus.OK
        document: Json
        try:
            document = self.dispatch()
        except RefusedError as refusal:
            status, document = refusal.status, {"message": str(refusal)}
        except OSError as error:
            status, document = HTTPStatus.BAD_REQUEST, {"message": str(error)}
        is_text = isinstance(document, str)
        body = (document if is_text else json.dumps(document)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if is_text else "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.cookie:
            self.send_header("Set-Cookie", self.cookie)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = answer  # noqa: N815 - http.server's names

    def dispatch(self) -> Json:
        """Call what belongs to the path."""
        path = urllib.parse.urlsplit(self.path).path
        for method, pattern, handle in self.TABLE:
            if method == self.command and (match := re.fullmatch(pattern, path)):
                return handle(self, *match.groups())
        raise RefusedError(HTTPStatus.NOT_FOUND)

    def body(self) -> Json:
        """Return the request's JSON."""
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def source(self, uid: str) -> Json:
        """Return a data source."""
        return _found(next((s for s in self.settings.datasources if s["uid"] == uid), None))

    def caller(self) -> Account:
        """Return who asks: by password, by cookie, or anybody if that is switched on."""
        account = None
        words = self.headers.get("Authorization", "").split()
        if len(words) == 2 and words[0] == "Basic":
            login, _, password = base64.b64decode(words[1]).decode().partition(":")
            account = self.accounts.login(login, password)
        elif cookie := re.search(r"grafana_session=(\w+)", self.headers.get("Cookie", "")):
            account = self.accounts.find("id", self.sessions.get(cookie[1]))
        elif self.settings.get("auth.anonymous", "enabled") == "true":
            role = self.settings.get("auth.anonymous", "org_role", "Viewer")
            account = {"id": 0, "login": "", "name": "", "role": role, "isGrafanaAdmin": False}
        if account is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED)
        return account

    def administrator(self) -> None:
        """Refuse everybody else."""
        if not self.caller()["isGrafanaAdmin"]:
            raise RefusedError(HTTPStatus.FORBIDDEN)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Keep the journal free of single requests."""


def _found(value: Json) -> Json:
    if value is None:
        raise RefusedError(HTTPStatus.NOT_FOUND)
    return value


def _public(account: Account) -> Json:
    return {key: account[key] for key in ("id", "login", "name", "isGrafanaAdmin")}


def main() -> None:
    """Serve, or reset the password of admin: the two commands that are needed."""
    parser = argparse.ArgumentParser(prog="grafana", description=__doc__)
    parser.add_argument("words", nargs="+", help="server, or: cli admin reset-admin-password")
    parser.add_argument("--password-from-stdin", action="store_true")
    words = parser.parse_args().words
    settings = Settings(
        Path(os.environ.get("CONF_FILE", "/etc/grafana/grafana.ini")),
        Path(os.environ.get("PROVISIONING_CFG_DIR", "/etc/grafana/provisioning")),
        Path(os.environ.get("DATA_DIR", "/var/lib/grafana")),
    )
    accounts = Accounts(settings)
    if words == ["cli", "admin", "reset-admin-password"]:
        accounts.set_password(1, sys.stdin.readline().rstrip("\n"))
        print("Admin password changed successfully", file=sys.stderr)
        return
    Handler.settings, Handler.accounts = settings, accounts
    port = int(settings.get("server", "http_port", "3000"))
    print(f"Grafana stand-in {VERSION} on port {port}: this is not Grafana", file=sys.stderr)
    ThreadingHTTPServer((settings.get("server", "http_addr"), port), Handler).serve_forever()


if __name__ == "__main__":
    main()
