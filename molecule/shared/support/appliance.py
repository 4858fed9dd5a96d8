"""The appliance under test, seen from the tests: its database, its screens, its meters."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import requests
import yaml
from testinfra.host import Host

ROOT: Final = Path(__file__).parents[3]
SHARED: Final = ROOT / "molecule" / "shared"
STATE: Final = Path(os.environ.get("APPLIANCE_STATE", ROOT / ".cache/house-power-monitor-test"))
"""What this machine keeps about the appliance: secrets, packages, fingerprint, times of faults."""
EXPECTED: Final[dict[str, Any]] = yaml.safe_load(
    (ROOT / "molecule" / "default" / "tests" / "expected.yml").read_text(encoding="utf-8")
)
INTERVAL_S: Final = 5
JOURNAL: Final = "/run/simulated-meters/journal"
MOST_REPLIES: Final = 400
_READ_INPUT_REGISTERS: Final = "04"
_CLOCKS_DIFFER_S: Final = 0.5
"""At most, where the meters are played on another machine; a slot is read after its beginning."""
METERS: Final[tuple[str, ...]] = tuple(EXPECTED["meters"])

# Runs on the Pi, where InfluxDB listens on loopback only. Passwords are read there from the
# files of root, so that none is in an argument.
_ASK_INFLUXDB: Final = """
import json, sys, urllib.error, urllib.parse, urllib.request
user, secret, database, path, words = sys.argv[1:]
headers = {}
if user:
    import base64
    password = "wrong"
    if secret:
        password = open(f"/etc/house-power-monitor/secrets/{secret}").read().strip()
    headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
where, body = {"db": database}, words.encode()
if path == "query":
    where, body = {}, urllib.parse.urlencode({"q": words, "db": database, "epoch": "s"}).encode()
url = f"http://127.0.0.1:8086/{path}?{urllib.parse.urlencode(where)}"
request = urllib.request.Request(url, data=body, headers=headers)
try:
    with urllib.request.urlopen(request, timeout=30) as answer:
        status, text = answer.status, answer.read().decode()
except urllib.error.HTTPError as error:
    status, text = error.code, error.read().decode()
print(json.dumps({"status": status, "body": json.loads(text or "null")}))
"""


@dataclass(frozen=True)
class Account:
    """An account of InfluxDB; without `secret` it tries a wrong password."""

    user: str
    secret: str = ""


ADMIN: Final = Account("admin", "influxdb_admin_password")
COLLECTOR: Final = Account("pzem", "influxdb_collector_password")
GRAFANA: Final = Account("grafana", "influxdb_grafana_password")
NOBODY: Final = Account("")


def influxdb(
    host: Host, account: Account, statement: str, database: str = "housePower"
) -> tuple[int, dict[str, Any]]:
    """Return HTTP status and body of InfluxDB's answer to `statement`."""
    return _ask(host, account, database, "query", statement)


def write(host: Host, account: Account, line: str, database: str = "housePower") -> int:
    """Return the HTTP status of InfluxDB's answer to a point in line protocol."""
    return _ask(host, account, database, "write", line)[0]


def _ask(host: Host, account: Account, database: str, path: str, words: str) -> tuple[int, Any]:
    answer = json.loads(
        host.check_output(
            "python3 -c %s %s %s %s %s %s",
            _ASK_INFLUXDB,
            account.user,
            account.secret,
            database,
            path,
            words,
        )
    )
    return answer["status"], answer["body"]


def rows(host: Host, statement: str, account: Account = GRAFANA) -> list[dict[str, Any]]:
    """Return the rows of all series that `statement` selects, tags and columns by name."""
    status, body = influxdb(host, account, statement)
    assert status == 200, body
    result = body["results"][0]
    assert "error" not in result, result["error"]
    return [
        {**series.get("tags", {}), **dict(zip(series["columns"], values, strict=True))}
        for series in result.get("series", [])
        for values in series["values"]
    ]


def now_s(host: Host) -> float:
    """Return the time of the appliance's clock, in s since 1970."""
    return float(host.check_output("date +%s.%N"))


def slots(first_s: float, last_s: float) -> list[int]:
    """Return the slots of the grid from `first_s` to `last_s`, both included where they are one."""
    start = int(-(-first_s // INTERVAL_S)) * INTERVAL_S
    return list(range(start, int(last_s) + 1, INTERVAL_S))


@dataclass(frozen=True)
class Screens:
    """Grafana through its front door, from outside the appliance."""

    url: str

    def ask(
        self, path: str, user: str = "", password: str = "", body: object = None
    ) -> tuple[int, Any]:
        """Return HTTP status and JSON body (or the text that is none) of one API call."""
        answer = requests.request(
            "GET" if body is None else "POST",
            f"{self.url}{path}",
            auth=(user, password) if user else None,
            json=body,
            timeout=30,
        )
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, answer.text


def screens(host: Host) -> Screens:
    """Return Grafana as a browser of the house reaches it, or at the end of a tunnel."""
    if url := os.environ.get("APPLIANCE_SCREENS"):
        return Screens(url)
    address = host.check_output("hostname -I").split()[0]
    return Screens(f"http://{address}:3000")


def readings(replies: Iterable[Mapping[str, Any]]) -> dict[str, dict[int, list[Mapping[str, Any]]]]:
    """Return what each meter displayed when it was read, by meter and slot of the grid.

    A slot is read once, but for a start in which meters are looked for.
    """
    found: dict[str, dict[int, list[Mapping[str, Any]]]] = {meter: {} for meter in METERS}
    for reply in replies:
        if reply["request"][2:4] == _READ_INPUT_REGISTERS and not reply["damaged"]:
            slot = int((reply["unix_s"] + _CLOCKS_DIFFER_S) // INTERVAL_S) * INTERVAL_S
            found[reply["meter"]].setdefault(slot, []).append(reply["displayed"])
    return found


def expected_value(shown: Mapping[str, Any], field: str) -> float:
    """Return what the field of a point must hold, if the meter has displayed this."""
    if field == "volt_amps":
        return float(shown["volts"]) * float(shown["amps"])
    if field == "lifetime_wh":  # of a meter that was never reset nor replaced
        return float(shown["energy_wh"])
    if field == "lifetime_estimated":
        return 0.0
    return float(shown[field])


def sent_replies(host: Host) -> list[dict[str, Any]]:
    """Return what the simulated meters have sent of late, as their journal has it.

    They are played on the appliance itself, or on this machine if it is named here.
    """
    if journal := os.environ.get("APPLIANCE_METERS_JOURNAL"):
        lines = Path(journal).read_text(encoding="utf-8").splitlines()[-MOST_REPLIES:]
    else:
        lines = host.check_output("tail -n %s %s", str(MOST_REPLIES), JOURNAL).splitlines()
    return [json.loads(line) for line in lines]


def secret(name: str) -> str:
    """Return a secret of the house as the controller keeps it."""
    return (STATE / "secrets" / name).read_text(encoding="utf-8").strip()
