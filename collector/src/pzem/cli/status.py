"""`pzem status`: what the running collector says of itself; no root, no database."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pzem import moment, status
from pzem.cli import table
from pzem.cli.complaint import complain
from pzem.config import DEFAULT_PATH, Config, ConfigError, load

HEADS: Final = ("meter", "address", "port", *table.READING_HEADS, "life kWh", "state")
WELL: Final = 0
NOT_WELL: Final = 1
MALFORMED: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What comes of a document that has the schema's number and something else in it."""


def show(args: argparse.Namespace) -> int:
    """Print the status; 0 if all is well, else 1: see `pzem.status.complaints`.

    Raises `StatusError` if there is none, `ConfigError` if a configuration that was
    named cannot be used.
    """
    folder = _runtime_dir(args.config)
    document, now = status.read(folder), _now()
    try:
        age_s = status.age_s(document, *now)
        running = not status.is_old(document, age_s)
        said = status.complaints(document) if running else [_old(document, age_s)]
        shown = "\n".join(lines(document, age_s))
        if args.json:
            told = {**document, "age_s": age_s, "running": running, "complaints": said}
            shown = json.dumps(told, indent=1, ensure_ascii=False)
    except MALFORMED as error:
        raise status.not_a_status(folder) from error
    print(shown)
    for line in said:
        complain(line)
    return NOT_WELL if said else WELL


def _now() -> tuple[str, float]:
    """Return this boot and the monotonic clock, which all processes of the machine share."""
    return moment.boot_id(), time.monotonic()


def _runtime_dir(named: Path | None) -> Path:
    """Return where the status lies; the usual place if the configuration is for others' eyes."""
    if named is not None:
        return load(named).runtime_dir
    try:
        return load(DEFAULT_PATH).runtime_dir
    except ConfigError:
        return Config.runtime_dir


def _old(document: Mapping[str, Any], age_s: float | None) -> str:
    if age_s is None:
        return (
            "the collector is not running: its status is of an earlier boot (systemctl start pzem)"
        )
    pid = document["pid"]
    if _is_there(pid):
        return (
            f"the collector (pid {pid}) has closed no cycle for {duration(age_s)}: its status "
            "is old (systemctl restart pzem; journalctl -u pzem says more)"
        )
    return (
        f"the collector is not running any more: its status is {duration(age_s)} old "
        "(systemctl start pzem; journalctl -u pzem says why it ended)"
    )


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and somebody else's
    return True


def lines(document: Mapping[str, Any], age_s: float | None) -> list[str]:
    """Return a status of that age (in s) as people read it."""
    written = document["written"]
    now_s = written["unix_s"]
    ago = "of an earlier boot" if age_s is None else f"written {duration(age_s)} ago"
    heads = [
        f"collector {document['version']}, {ago}, running for "
        f"{duration(now_s - document['started_unix_s'])}, every {document['interval_s']} s"
    ]
    heads += [
        f"{name + ':':10}{text}"
        for name, text in (
            ("clock", _clock(document)),
            ("house", _house(document["house"])),
            ("database", _database(document)),
            ("spool", _spool(document)),
        )
    ]
    heads += [
        f"{'port:':10}{port['path']}: {port['trouble']}"
        for port in document["ports"]
        if port["trouble"]
    ]
    alarms = [
        f"{'alarm:':10}{alarm['kind']}{' ' + alarm['meter'] if alarm['meter'] else ''} for "
        f"{duration(now_s - alarm['since_unix_s'])}: {alarm['cause']}"
        for alarm in document["alarms"]
    ]
    rows = [_row(meter, now_s) for meter in document["meters"]]
    return [*heads, *alarms, "", *table.layout(HEADS, rows, words=3)]


def _row(meter: Mapping[str, Any], now_s: int) -> list[str]:
    last = meter["last"]
    cells = table.no_reading_cells()
    state = meter["state"]
    if state == "ok":
        cells = table.reading_cells(last)
        state += ", alarm" if last["alarm"] else ""
    else:
        state += f" ({meter['reason']}) for {duration(now_s - meter['since_unix_s'])}"
        if last is not None:
            state += f", last read {duration(now_s - last['at_unix_s'])} before"
    lifetime = table.NOTHING
    if meter["lifetime_wh"] is not None:
        lifetime = f"{'~' if meter['estimated'] else ''}{meter['lifetime_wh'] / 1000:.3f}"
    port = meter["port"] or table.NOTHING
    return [meter["name"], str(meter["address"]), port, *cells, lifetime, state]


def _clock(document: Mapping[str, Any]) -> str:
    clock = document["clock"]
    lasted = duration(document["written"]["unix_s"] - clock["since_unix_s"])
    at = datetime.fromtimestamp(document["written"]["unix_s"]).astimezone()
    if clock["state"] == status.TRUE:
        return f"right, {at:%Y-%m-%d %H:%M:%S} at the last cycle"
    if clock["state"] == status.PROVISIONAL:
        return (
            "the time is not known; readings are kept until it is, "
            f"and shown at a provisional time for {lasted}"
        )
    return f"the time has not been known for {lasted}; readings are kept until it is"


def _house(house: Mapping[str, Any]) -> str:
    supply = {
        None: "supply not known",
        "none": "no supply",
        "both": "on utility and generator at once",
    }.get(house["supply"], f"on {house['supply']}")
    figures = [
        f"{house[key]:.1f} {unit}"
        for key, unit in (("watts", "W"), ("volt_amps", "VA"))
        if house[key] is not None
    ]
    return ", ".join([supply, *figures])


def _database(document: Mapping[str, Any]) -> str:
    database, now_s = document["database"], document["written"]["unix_s"]
    last_s = database["last_write_unix_s"]
    ago = "no write yet" if last_s is None else f"last write {duration(now_s - last_s)} before"
    if database["trouble"] is not None:
        return f"takes no data ({database['trouble']}), {ago}"
    if database["stored"]:
        at = datetime.fromtimestamp(database["stored"][-1]).astimezone()
        ago += f", of the slot {at:%H:%M:%S}"
    return ago


def _spool(document: Mapping[str, Any]) -> str:
    spool, now_s = document["spool"], document["written"]["unix_s"]
    words = ["empty"]
    if spool["blocks"]:
        words = [f"{spool['blocks']} cycles wait, {spool['bytes'] / 1e6:.1f} MB on the card"]
        if spool["undated"]:
            words.append(f"{spool['undated']} of them without a time")
        if spool["oldest_unix_s"] is not None:
            words.append(f"the oldest of {duration(now_s - spool['oldest_unix_s'])} before")
    if spool["lost"]:
        words.append(f"{spool['lost']} lost for want of room")
    if spool["trouble"]:
        words.append(spool["trouble"])
    return ", ".join(words)


def duration(seconds: float) -> str:
    """Spell a duration in the two largest of its units."""
    whole = max(0, round(seconds))
    for unit_s, unit, part_s, part in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= unit_s:
            return f"{whole // unit_s} {unit} {whole % unit_s // part_s} {part}"
    return f"{whole // 60} min" if whole >= 120 else f"{whole} s"
