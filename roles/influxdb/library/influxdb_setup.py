#!/usr/bin/python3
"""Ansible module: accounts, database and retention policies of an InfluxDB 1.x server."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import secrets
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: influxdb_setup
short_description: Accounts, database and retention policies of an InfluxDB 1.x server
description:
  - Brings an InfluxDB 1.x server that asks for passwords to the declared state.
    Points are never touched.
  - The administrator's account is made on an empty server. Later its password is changed with the
    help of the one in O(admin_password_file), which always holds the one that is valid.
  - Each account gets exactly the declared privilege on the database, and none elsewhere.
    Accounts that are not named are left alone.
  - Retention policies are created or altered; policies that are not named are left alone.
    One that would keep data for a shorter time than now is refused unless
    O(allow_shorter_retention).
options:
  host:
    description: Address of the server.
    type: str
    default: 127.0.0.1
  port:
    description: Port of its HTTP interface.
    type: int
    default: 8086
  socket:
    description:
      - Unix socket of a server that asks for no passwords. If given, only the administrator's
        account is made or given its password again, and nothing else is done.
    type: path
  wait_s:
    description: Seconds to wait for the server to answer. In check mode it is asked only once.
    type: int
    default: 900
  unit:
    description:
      - The server's systemd unit. If given, the wait ends early when systemd restarts it
        again and again.
    type: str
  admin:
    description: The administrator's account.
    type: str
    default: admin
  admin_password:
    description: Its password.
    type: str
    required: true
  admin_password_file:
    description: File on the server's machine in which the valid password is kept, for root only.
    type: path
    required: true
  database:
    description: The database.
    type: str
    required: true
  retention_policies:
    description:
      - Its retention policies; durations as in InfluxQL, such as C(104w), or C(INF) for ever.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the policy.
        type: str
        required: true
      duration:
        description: How long points are kept; C(INF) or at least C(1h).
        type: str
        required: true
      shard_duration:
        description: The span of one shard group; without it, the server decides.
        type: str
      default:
        description: Whether it is the database's default policy.
        type: bool
        default: false
  allow_shorter_retention:
    description: Whether a policy may be given a shorter duration, which deletes what is older.
    type: bool
    default: false
  accounts:
    description: Accounts that are not administrators.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the account.
        type: str
        required: true
      password:
        description: Its password.
        type: str
        required: true
      privilege:
        description: What it may do with the database.
        type: str
        required: true
        choices: [all, read]
author: House power monitor
"""

EXAMPLES = r"""
- name: Declare accounts, database and retention policies
  influxdb_setup:
    admin_password: "{{ influxdb_admin_password }}"
    admin_password_file: /etc/influxdb/admin.password
    database: housePower
    retention_policies:
      - {name: raw, duration: 104w, shard_duration: 4w, default: true}
    accounts:
      - {name: pzem, password: "{{ collector_password }}", privilege: all}
  no_log: true
"""

RETURN = r"""
changes:
  description: What was changed (in check mode, would be), one line for people each; no secrets.
  type: list
  elements: str
  returned: success
locked_out:
  description:
    - True if neither the declared nor the kept password of the administrator is valid.
      Nothing was changed then; start the server without authentication where nobody else can
      reach it, and use O(socket).
  type: bool
  returned: success
"""

ANSWER_S: Final = 120.0
"""How long one statement may take, on a slow card under load."""
RESTARTS: Final = 3
"""A server that systemd had to restart so often while it was waited for will not come up."""
EMPTY_SERVER: Final = "create admin user first"
UNITS_NS: Final = {
    "ns": 1,
    "u": 10**3,
    "µ": 10**3,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
    "w": 7 * 86400 * 10**9,
}
FOR_EVER: Final = 0
"""The duration of a policy that deletes nothing, in the server's words: 0s."""
SHORTEST_NS: Final = UNITS_NS["h"]
PRIVILEGES: Final = {"all": "ALL PRIVILEGES", "read": "READ"}

Rows = list[dict[str, Any]]


class SetupError(Exception):
    """The declared state cannot be reached; the message says why and how to mend it."""


class RefusedError(SetupError):
    """The server understood and said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"InfluxDB refused: {message} (status {status})")
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Login:
    """A name and its password."""

    name: str
    password: str = field(repr=False)

    def header(self) -> dict[str, str]:
        """Return the HTTP header that carries it."""
        both = f"{self.name}:{self.password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(both).decode()}"}


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True)
class Server:
    """One InfluxDB server; by its socket if it has one, else by address and port.

    http.client knows nothing of proxies, so none comes between.
    """

    host: str = "127.0.0.1"
    port: int = 8086
    socket: str | None = None

    def __str__(self) -> str:
        return self.socket or f"{self.host}:{self.port}"

    def answers(self) -> bool:
        """Tell whether the server is up."""
        try:
            return self._request("GET", "/ping", None, {}, 5.0)[0] == http.HTTPStatus.NO_CONTENT
        except (OSError, http.client.HTTPException):
            return False

    def ask(self, statement: str, login: Login | None) -> Rows:
        """Run one statement of InfluxQL and return its rows, or raise `RefusedError`."""
        form = urllib.parse.urlencode({"q": statement}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        headers |= login.header() if login else {}
        try:
            status, body = self._request("POST", "/query", form, headers, ANSWER_S)
            document = json.loads(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SetupError(
                f"InfluxDB at {self} stopped answering ({type(error).__name__}: {error}); "
                "see journalctl -u influxdb -n 30, then run this again."
            ) from error
        rows: Rows = []
        if "error" in document:
            raise RefusedError(status, document["error"])
        for result in document.get("results", []):
            if "error" in result:
                raise RefusedError(status, result["error"])
            for series in result.get("series", []):
                values = series.get("values", [])
                rows += [dict(zip(series["columns"], row, strict=True)) for row in values]
        return rows

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout_s: float
    ) -> tuple[int, bytes]:
        connection = (
            _SocketConnection(self.socket, timeout_s)
            if self.socket
            else http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        )
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()


def name(text: str) -> str:
    """Quote an identifier for InfluxQL."""
    return _quoted(text, '"')


def string(text: str) -> str:
    """Quote a string for InfluxQL."""
    return _quoted(text, "'")


def _quoted(text: str, quote: str) -> str:
    if not text.isprintable():
        raise SetupError(
            "a password or name contains a line break, a tab or another character that cannot be "
            "typed: write it without."
        )
    return quote + text.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote


def nanoseconds(duration: str) -> int:
    """Return a duration of InfluxQL (`104w`, `INF`) or of Go (`17472h0m0s`); 0 is for ever."""
    if duration.upper() == "INF":
        return FOR_EVER
    parts = re.findall(r"(\d+)(ns|us|µs|ms|[uµsmhdw])", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise SetupError(f'"{duration}" is no duration: write it like 104w, 30d or 12h, or INF.')
    return sum(int(number) * UNITS_NS[unit] for number, unit in parts)


@dataclass(frozen=True)
class Policy:
    """One retention policy; `shard_ns` is None where the server may decide."""

    name: str
    duration_ns: int
    shard_ns: int | None
    default: bool

    @classmethod
    def declared(cls, item: Mapping[str, Any]) -> Policy:
        """Read one as Ansible declares it."""
        shard = item.get("shard_duration")
        policy = cls(
            item["name"],
            nanoseconds(item["duration"]),
            nanoseconds(shard) if shard else None,
            bool(item.get("default")),
        )
        span, group = policy.duration_ns, policy.shard_ns
        about = f'retention policy "{policy.name}"'
        if span != FOR_EVER and span < SHORTEST_NS:
            raise SetupError(f"{about}: a duration of {item['duration']} is below InfluxDB's 1h.")
        if group is not None and group < SHORTEST_NS:
            raise SetupError(f"{about}: a shard duration of {shard} is below InfluxDB's 1h.")
        if group is not None and span != FOR_EVER and group > span:
            raise SetupError(
                f"{about}: the shard duration of {shard} is longer than the duration "
                f"of {item['duration']}; make it shorter."
            )
        return policy

    @classmethod
    def found(cls, row: Mapping[str, Any]) -> Policy:
        """Read one as the server shows it."""
        duration, shard = nanoseconds(row["duration"]), nanoseconds(row["shardGroupDuration"])
        return cls(row["name"], duration, shard, bool(row["default"]))

    def satisfies(self, wanted: Policy) -> bool:
        """Tell whether this one, found on the server, needs no change."""
        return (
            self.duration_ns == wanted.duration_ns
            and wanted.shard_ns in {None, self.shard_ns}
            and self.default >= wanted.default
        )

    def keeps_longer_than(self, other: Policy) -> bool:
        """Tell whether data would be deleted if the other took the place of this one."""
        if other.duration_ns == FOR_EVER:
            return False
        return self.duration_ns == FOR_EVER or self.duration_ns > other.duration_ns

    def span(self) -> str:
        """Return the duration for people and for InfluxQL."""
        return literal(self.duration_ns)

    def clause(self, *, create: bool) -> str:
        """Return the part of a statement that tells the durations."""
        words = f"DURATION {self.span()}"
        words += " REPLICATION 1" if create else ""
        words += f" SHARD DURATION {literal(self.shard_ns)}" if self.shard_ns else ""
        return words


def literal(duration_ns: int) -> str:
    """Return a duration in InfluxQL, in the largest unit that fits."""
    if duration_ns == FOR_EVER:
        return "INF"
    unit = next(
        u for u in ("w", "d", "h", "m", "s", "ms", "u", "ns") if not duration_ns % UNITS_NS[u]
    )
    return f"{duration_ns // UNITS_NS[unit]}{unit}"


@dataclass
class Setup:
    """The way from what the server has to what is declared; `changes` tells the steps taken."""

    server: Server
    params: Mapping[str, Any]
    check_mode: bool
    changes: list[str] = field(default_factory=list)
    login: Login | None = None

    @property
    def admin(self) -> Login:
        """The administrator as declared."""
        return Login(self.params["admin"], self.params["admin_password"])

    def run(self) -> None:
        """Declare everything, as the administrator; `LockedOutError` if that one cannot log in."""
        policies = [Policy.declared(item) for item in self.params["retention_policies"]]
        if sum(policy.default for policy in policies) > 1:
            raise SetupError("more than one retention policy is declared as the default one.")
        fresh = self.log_in()
        self.keep_admin_password()
        if fresh and self.check_mode:
            self.changes.append("database, retention policies and accounts")
            return
        if not fresh and self.anybody_gets_in():
            if not self.check_mode:
                raise SetupError(
                    f"InfluxDB at {self.server} takes any password, so authentication is off: see "
                    "which file sets INFLUXDB_HTTP_AUTH_ENABLED in systemctl cat influxdb."
                )
            self.changes.append("authentication is switched on")
        if self.declare_database(policies):
            for policy in policies:
                self.declare_policy(policy)
        for account in self.params["accounts"]:
            self.declare_account(account)

    def recover(self) -> None:
        """Give the administrator the declared password, on a server that asks for none."""
        quoted = name(self.admin.name)
        users = {row["user"]: row["admin"] for row in self.ask("SHOW USERS")}
        if self.admin.name not in users:
            self.create_admin()
        else:
            self.set_password(self.admin)
            if not users[self.admin.name]:
                self.change(
                    f"GRANT ALL PRIVILEGES TO {quoted}", f"{self.admin.name} is administrator again"
                )
        self.keep_admin_password()

    def log_in(self) -> bool:
        """Log in as the administrator, made on an empty server; return whether it was empty."""
        file = Path(self.params["admin_password_file"])
        for password in (self.admin.password, read_secret(file)):
            if password is None:
                continue
            login = Login(self.admin.name, password)
            try:
                self.server.ask("SHOW USERS", login)
            except RefusedError as refusal:
                if EMPTY_SERVER in refusal.message:
                    self.create_admin()
                    self.login = self.admin
                    return True
                if refusal.status in {http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN}:
                    continue
                raise
            self.login = login
            if password != self.admin.password:
                self.set_password(self.admin)
                self.login = login if self.check_mode else self.admin
            return False
        raise LockedOutError

    def anybody_gets_in(self) -> bool:
        """Tell whether the server takes a password that nobody can know."""
        return self.logs_in(Login(self.admin.name, secrets.token_hex(16)))

    def create_admin(self) -> None:
        """Make the administrator's account."""
        statement = (
            f"CREATE USER {name(self.admin.name)} WITH PASSWORD {string(self.admin.password)} "
            "WITH ALL PRIVILEGES"
        )
        self.change(statement, f"administrator {self.admin.name}")

    def keep_admin_password(self) -> None:
        """Keep the password that is valid now; the server came first, so no other can be."""
        file = Path(self.params["admin_password_file"])
        if read_secret(file) == self.admin.password and is_private(file):
            return
        self.changes.append(f"{file} holds the administrator's password")
        if not self.check_mode:
            write_secret(file, self.admin.password)

    def declare_database(self, policies: list[Policy]) -> bool:
        """Make the database if it is missing; return whether it can be asked about its policies."""
        database = self.params["database"]
        if database in {row["name"] for row in self.ask("SHOW DATABASES")}:
            return True
        statement = f"CREATE DATABASE {name(database)}"
        for policy in policies:
            if policy.default:  # instead of a policy "autogen" that nobody needs
                statement += f" WITH {policy.clause(create=True)} NAME {name(policy.name)}"
        self.change(statement, f"database {database}")
        return not self.check_mode

    def declare_policy(self, wanted: Policy) -> None:
        """Create or alter one retention policy."""
        database = self.params["database"]
        rows = self.ask(f"SHOW RETENTION POLICIES ON {name(database)}")
        found = {row["name"]: Policy.found(row) for row in rows}.get(wanted.name)
        place = f"RETENTION POLICY {name(wanted.name)} ON {name(database)}"
        default = " DEFAULT" if wanted.default else ""
        line = f"retention policy {wanted.name} keeps {wanted.span()}"
        line += " and is the default one" if wanted.default else ""
        if found is None:
            self.change(f"CREATE {place} {wanted.clause(create=True)}{default}", line)
        elif not found.satisfies(wanted):
            if found.keeps_longer_than(wanted) and not self.params["allow_shorter_retention"]:
                raise SetupError(
                    f'Retention policy "{wanted.name}" of {database} keeps points for '
                    f"{found.span()}; {wanted.span()} would delete all older ones. Declare "
                    f"{found.span()}, or allow it for one run: "
                    "-e '{\"influxdb_allow_shorter_retention\": true}'."
                )
            self.change(f"ALTER {place} {wanted.clause(create=False)}{default}", line)

    def declare_account(self, account: Mapping[str, Any]) -> None:
        """Make or change one account that is no administrator."""
        login = Login(account["name"], account["password"])
        quoted = name(login.name)
        users = {row["user"]: row["admin"] for row in self.ask("SHOW USERS")}
        if login.name not in users:
            self.change(
                f"CREATE USER {quoted} WITH PASSWORD {string(login.password)}",
                f"account {login.name}",
            )
        else:
            if users[login.name]:
                self.change(
                    f"REVOKE ALL PRIVILEGES FROM {quoted}",
                    f"{login.name} is no administrator any more",
                )
            if not self.logs_in(login):
                self.set_password(login)
        database, wanted = self.params["database"], PRIVILEGES[account["privilege"]]
        grants: dict[str, str] = {}
        if login.name in users or not self.check_mode:
            rows = self.ask(f"SHOW GRANTS FOR {quoted}")
            grants = {row["database"]: row["privilege"] for row in rows}
        if grants.pop(database, None) != wanted:
            self.change(
                f"GRANT {wanted} ON {name(database)} TO {quoted}",
                f"{login.name} has {wanted} on {database}",
            )
        for other, privilege in grants.items():
            if privilege != "NO PRIVILEGES":
                self.change(
                    f"REVOKE ALL PRIVILEGES ON {name(other)} FROM {quoted}",
                    f"{login.name} has nothing to do with {other}",
                )

    def logs_in(self, login: Login) -> bool:
        """Tell whether the server takes a password."""
        try:
            self.server.ask("SHOW DATABASES", login)
        except RefusedError as refusal:
            if refusal.status == http.HTTPStatus.UNAUTHORIZED:
                return False
            raise
        return True

    def set_password(self, login: Login) -> None:
        """Change an account's password."""
        self.change(
            f"SET PASSWORD FOR {name(login.name)} = {string(login.password)}",
            f"password of {login.name}",
        )

    def ask(self, statement: str) -> Rows:
        """Ask as the administrator."""
        return self.server.ask(statement, self.login)

    def change(self, statement: str, line: str) -> None:
        """Note a change and, outside check mode, make it."""
        if not self.check_mode:
            self.ask(statement)
        self.changes.append(line)


class LockedOutError(SetupError):
    """No known password is the administrator's."""


def read_secret(file: Path) -> str | None:
    """Return the secret in a file; None if there is none."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SetupError(
            f"{file} cannot be read ({error}): remove it and run this again."
        ) from error
    return text.removesuffix("\n")


def is_private(file: Path) -> bool:
    """Tell whether a file is its owner's alone, and the owner is who runs this."""
    status = file.stat()
    return status.st_mode & 0o777 == 0o600 and status.st_uid == os.geteuid()


def write_secret(file: Path, secret: str) -> None:
    """Replace a file at once, never readable by others; a power cut leaves the old or the new."""
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", encoding="utf-8") as stream:
            stream.write(f"{secret}\n")
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(file)
    except OSError as error:
        raise SetupError(
            f"{file} cannot be written: {error}; mend that and run this again."
        ) from error


def systemd_restarts(unit: str) -> int:
    """Return how often systemd has restarted a unit by itself since it was started."""
    shown = subprocess.run(
        ["/usr/bin/systemctl", "show", "--property=NRestarts", "--value", unit],
        check=False,
        capture_output=True,
        text=True,
    )
    return int(shown.stdout.strip() or 0)


def wait_for(
    server: Server,
    wait_s: float,
    *,
    restarts: Callable[[], int] = lambda: 0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until the server answers; `SetupError` if it does not, or keeps dying."""
    deadline, before = clock() + wait_s, restarts()
    while not server.answers():
        why = "see journalctl -u influxdb -n 30, mend what it says and run this again."
        if restarts() - before >= RESTARTS:
            raise SetupError(f"InfluxDB stops right after its start, again and again: {why}")
        if clock() > deadline:
            raise SetupError(f"InfluxDB at {server} did not answer within {wait_s:.0f} s: {why}")
        sleep(1.0)


def run(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Do what the parameters ask for and return the module's result."""
    server = Server(params["host"], params["port"], params["socket"])
    setup = Setup(server, params, check_mode)
    locked_out = False
    if check_mode and not server.answers():
        setup.changes.append("database, retention policies and accounts: InfluxDB is not up yet")
    else:
        unit = params["unit"]
        wait_for(server, params["wait_s"], restarts=lambda: systemd_restarts(unit) if unit else 0)
        try:
            setup.recover() if params["socket"] else setup.run()
        except LockedOutError:
            locked_out = True
            if check_mode:
                setup.changes.append(f"password of {params['admin']}, which nobody knows any more")
    return {
        "changed": bool(setup.changes),
        "changes": setup.changes,
        "locked_out": locked_out,
        "diff": {"prepared": "".join(f"+ {line}\n" for line in setup.changes)},
    }


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int", "default": 8086},
            "socket": {"type": "path"},
            "wait_s": {"type": "int", "default": 900},
            "unit": {"type": "str"},
            "admin": {"type": "str", "default": "admin"},
            "admin_password": {"type": "str", "required": True, "no_log": True},
            "admin_password_file": {"type": "path", "required": True, "no_log": False},
            "database": {"type": "str", "required": True},
            "retention_policies": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "duration": {"type": "str", "required": True},
                    "shard_duration": {"type": "str"},
                    "default": {"type": "bool", "default": False},
                },
            },
            "allow_shorter_retention": {"type": "bool", "default": False},
            "accounts": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                    "privilege": {"type": "str", "required": True, "choices": ["all", "read"]},
                },
            },
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module.params, check_mode=module.check_mode))
    except SetupError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
