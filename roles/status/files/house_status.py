#!/usr/bin/python3
# Written by the role status of the house power monitor: this file is overwritten.
"""house-status tells whether the appliance works, where its screens are, what meters show.

Exit codes: 0 everything works, 1 a service does not, 2 it could not be found out.
A meter that does not answer is told and fails nothing: a generator that stands still is silent.
"""

from __future__ import annotations

import argparse
import base64
import datetime as dt
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SETTINGS: Final = Path("/etc/house-power-monitor/status.json")
AT_LOGIN: Final = Path("/run/motd.d/house-power-monitor")
TIMEOUT_S: Final = 10
CURRENT_INTERVALS: Final = 3
"""A reading older than so many intervals is not called current."""
SETTLED_AFTER_S: Final = 20
"""How long to wait, once the first meters answer, for those that do not: a meter that has
just been powered is not believed for its first 5 seconds."""

NOTHING: Final = "-"
"""What stands in the table where there is no number."""
STATES: Final = {0: "ok", 1: "silent", 2: "faulty"}
COLUMNS: Final[Mapping[str, tuple[str, float, int]]] = {
    "volts": ("V", 1, 1),
    "amps": ("A", 1, 3),
    "watts": ("W", 1, 1),
    "power_factor": ("PF", 1, 2),
    "energy_wh": ("kWh", 0.001, 3),
}
"""Field: title, factor, digits after the point."""


NEWEST_VALUES: Final = (
    "SELECT volts, amps, watts, power_factor, energy_wh FROM meter "
    "WHERE time > now() - 1d GROUP BY meter ORDER BY time DESC LIMIT 1"
)
NEWEST_STATES: Final = (
    "SELECT state, reason FROM meter_state "
    "WHERE time > now() - 1d GROUP BY meter ORDER BY time DESC LIMIT 1"
)


class CannotTellError(Exception):
    """house-status itself cannot work; the message says why."""


@dataclass(frozen=True)
class Meter:
    """The newest that the database knows of one meter; None is what it does not know."""

    settings: Mapping[str, Any]
    state: int | None = None
    reason: str | None = None
    seen_s: float | None = None
    """Unix time of the slot in which it was asked."""
    values: Mapping[str, float] | None = None

    @property
    def label(self) -> str:
        """Return what people call it."""
        return str(self.settings.get("label") or self.settings["name"])

    def is_current(self, now_s: float, interval_s: float) -> bool:
        """Tell whether it was asked just now, whatever it answered."""
        return self.seen_s is not None and now_s - self.seen_s <= CURRENT_INTERVALS * interval_s


@dataclass(frozen=True)
class Status:
    """How the appliance is at one moment."""

    now_s: float
    problems: Sequence[str]
    meters: Sequence[Meter]

    def is_settled(self, interval_s: float) -> bool:
        """Tell whether nothing better is to be waited for."""
        return not self.problems and all(
            meter.state == 0 and meter.is_current(self.now_s, interval_s) for meter in self.meters
        )


class Appliance:
    """Asks the services on this machine."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.interval_s = float(settings["interval_s"])

    def status(self) -> Status:
        """Look once."""
        problems = [*self._units(), *self._grafana()]
        meters: Sequence[Meter] = [Meter(meter) for meter in self.settings["meters"]]
        try:
            meters = self._meters()
        except (OSError, ValueError, KeyError) as error:
            problems.append(f"InfluxDB does not answer ({error}); see: journalctl -u influxdb")
        now_s = time.time()
        if not problems and not any(meter.is_current(now_s, self.interval_s) for meter in meters):
            problems.append(self._why_nothing_comes())
        return Status(now_s, problems, meters)

    def _why_nothing_comes(self) -> str:
        line = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
        synchronised = subprocess.run(line, check=False, capture_output=True, text=True)
        if synchronised.stdout.strip() == "no":
            return (
                "no reading has come in lately: the clock is not set yet, and before that nothing "
                "is stored; has the Pi an internet connection? See: timedatectl"
            )
        return "no reading has come in lately; see: journalctl -u pzem"

    def _units(self) -> list[str]:
        problems = []
        for unit in self.settings["services"]:
            line = ["systemctl", "is-active", unit]
            state = subprocess.run(line, check=False, capture_output=True, text=True).stdout.strip()
            if state != "active":
                problems.append(f"{unit} does not run ({state}); see: journalctl -u {unit}")
        return problems

    def _grafana(self) -> list[str]:
        try:
            health = json.loads(get(self.settings["grafana_url"], "/api/health"))
        except (OSError, ValueError) as error:
            return [f"Grafana does not answer ({error}); see: journalctl -u grafana-server"]
        if health.get("database") != "ok":
            return ["Grafana is not well (its database); see: journalctl -u grafana-server"]
        return []

    def _meters(self) -> list[Meter]:
        values, states = self._select(NEWEST_VALUES), self._select(NEWEST_STATES)
        return [self._meter(meter, values, states) for meter in self.settings["meters"]]

    def _meter(
        self,
        settings: Mapping[str, Any],
        values: Mapping[str, Mapping[str, Any]],
        states: Mapping[str, Mapping[str, Any]],
    ) -> Meter:
        name = settings["name"]
        if name not in states:
            return Meter(settings)
        state = states[name]
        measured = values.get(name, {})
        is_now = measured.get("time") == state["time"]
        return Meter(
            settings,
            state=int(state["state"]),
            reason=state.get("reason"),
            seen_s=state["time"],
            values=measured if is_now else None,
        )

    def _select(self, query: str) -> dict[str, dict[str, Any]]:
        """Return the newest row of each meter by its name, `time` in s."""
        influxdb = self.settings["influxdb"]
        words = {"db": influxdb["database"], "q": query, "epoch": "ms"}
        login = f"{influxdb['user']}:{read_secret(influxdb['password_file'])}"
        headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
        answer = get(influxdb["url"], f"/query?{urllib.parse.urlencode(words)}", headers)
        result = json.loads(answer)["results"][0]
        if "error" in result:
            raise ValueError(result["error"])
        rows = {}
        for series in result.get("series", []):
            row = dict(zip(series["columns"], series["values"][0], strict=True))
            row["time"] /= 1000
            rows[series["tags"]["meter"]] = row
        return rows


def get(server: str, path: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Ask a server, whatever proxy the environment names."""
    place = urllib.parse.urlsplit(server)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP: {error!r}") from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise OSError(f"it says {answer.status} {answer.reason}")
    return body


def read_secret(path: str) -> str:
    """Return the secret in a file."""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except PermissionError as error:
        raise CannotTellError("this needs root: sudo house-status") from error
    except OSError as error:
        raise CannotTellError(f"{path}: {error.strerror}; provision again") from error


def wait(
    look: Callable[[], Status],
    interval_s: float,
    wait_s: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Status:
    """Look until all is well, or nothing better is to be expected, or the time is over."""
    end = clock() + wait_s
    works_since: float | None = None
    while True:
        status = look()
        if status.is_settled(interval_s):
            return status
        if status.problems:
            works_since = None
        elif works_since is None:
            works_since = clock()
        if clock() >= end or (works_since is not None and clock() - works_since >= SETTLED_AFTER_S):
            return status
        sleep(1)


def report(status: Status, settings: Mapping[str, Any], *, with_password: bool) -> list[str]:
    """Return the lines for people."""
    house = settings["house"]
    lines = [""]
    if status.problems:
        lines += [f"Not everything works in the house power monitor of {house}:"]
        lines += [f"  - {problem}" for problem in status.problems]
    else:
        lines += [f"The house power monitor of {house} works."]
    lines += ["", f"  Screens   {'  or  '.join(screens(settings))}"]
    lines += [f"  User      {settings['viewer']['name']}"]
    if with_password:
        lines += [f"  Password  {read_secret(settings['viewer']['password_file'])}"]
    lines += ["", *(f"  {line}" for line in table(status, settings)), ""]
    lines += [f"  {line}" for line in hints(status, float(settings["interval_s"]))]
    return lines


def table(status: Status, settings: Mapping[str, Any]) -> list[str]:
    """Return the latest reading of each meter."""
    zone = zoneinfo.ZoneInfo(settings["timezone"]) if settings["timezone"] else None
    titles = ["meter", *(title for title, _, _ in COLUMNS.values()), "time", "state"]
    rows = [titles]
    for meter in status.meters:
        numbers = [_number(meter.values, field) for field in COLUMNS]
        seen = NOTHING
        if meter.seen_s is not None:
            moment = dt.datetime.fromtimestamp(meter.seen_s, dt.UTC).astimezone(zone)
            today = dt.datetime.fromtimestamp(status.now_s, dt.UTC).astimezone(zone)
            same_day = moment.date() == today.date()
            seen = moment.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M")
        rows.append([meter.label, *numbers, seen, state_of(meter, status.now_s, settings)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    last = len(titles) - 1
    return [
        "  ".join(
            cell if column == last else cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def state_of(meter: Meter, now_s: float, settings: Mapping[str, Any]) -> str:
    """Return the state of a meter in words."""
    if meter.state is None:
        return "no data yet"
    state = STATES.get(meter.state, str(meter.state))
    if meter.reason:
        state = f"{state} ({meter.reason})"
    if not meter.is_current(now_s, float(settings["interval_s"])):
        return f"not read any more, last: {state}"
    return state


def hints(status: Status, interval_s: float) -> list[str]:
    """Return what may help with meters that do not answer."""
    silent = [
        meter for meter in status.meters
        if meter.state == 1 and meter.is_current(status.now_s, interval_s)
    ]  # fmt: skip
    lines = []
    for meter in silent:
        if meter.reason == "no_port":
            lines.append(f"{meter.label}: its USB adapter is not plugged in.")
        elif meter.settings.get("supply") == "generator":
            lines.append(f"{meter.label} is silent, as it is while its generator stands still.")
        else:
            lines.append(
                f"{meter.label} does not answer: is it powered, its adapter plugged in, "
                f"and its address {meter.settings.get('address')}?"
            )
    return lines


def _number(values: Mapping[str, float] | None, field: str) -> str:
    _, factor, digits = COLUMNS[field]
    value = (values or {}).get(field)
    return NOTHING if value is None else f"{value * factor:.{digits}f}"


def screens(settings: Mapping[str, Any]) -> list[str]:
    """Return where a browser finds the screens."""
    if settings["screens"]:
        return list(settings["screens"])
    port = urllib.parse.urlsplit(settings["grafana_url"]).port or 3000
    hosts = [f"{socket.gethostname().partition('.')[0]}.local"]
    if (address := own_address()) is not None:
        hosts.append(address)
    return [f"http://{host}:{port}" for host in hosts]


def own_address() -> str | None:
    """Return this machine's address in its network. Nothing is sent for that."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address of nobody
            return str(probe.getsockname()[0])
        except OSError:
            return None


def show_at_login(lines: Sequence[str], path: Path = AT_LOGIN) -> None:
    """Have the lines shown at each log-in until the next restart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,5}", text):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return float(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Look, and say what was seen."""
    parser = argparse.ArgumentParser(
        prog="house-status", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--wait",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="wait so long at most for services and first readings",
    )
    parser.add_argument(
        "--password", action="store_true", help="show the household's password, too"
    )
    parser.add_argument(
        "--at-login", action="store_true", help="show the result at each log-in, too"
    )
    parser.add_argument("--screens", action="store_true", help="only where the screens are")
    args = parser.parse_args(argv)
    try:
        settings = json.loads(SETTINGS.read_text(encoding="utf-8"))
        if args.screens:
            lines, code = screens(settings), 0
        else:
            appliance = Appliance(settings)
            status = wait(appliance.status, appliance.interval_s, args.wait)
            lines, code = (
                report(status, settings, with_password=args.password),
                bool(status.problems),
            )
    except (OSError, ValueError, KeyError, CannotTellError) as error:
        sys.stderr.write(f"house-status: {error}\n")
        return 2
    sys.stdout.write("\n".join(lines) + "\n")
    if args.at_login:
        show_at_login(lines)
    return int(code)


if __name__ == "__main__":
    os.environ["LC_ALL"] = "C.UTF-8"
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.exit(main())
